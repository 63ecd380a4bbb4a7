//! What a response tells the caches between the proxy and its users (docs/http-rules.md#rule-30).
//!
//! An endpoint does not know that there is a split. It calls its page public, and a cache then hands the cookie that
//! the proxy put on it, which names one user, to all others, or one version's page to users of the other. So the proxy
//! says what it knows: a response with a new cookie is for one user, and which headers decide between versions.
//!
//! A directive of the endpoint's that is stricter stays. What cannot be read is taken for the strictest.

use crate::message::Headers;
use crate::message::known_headers::{CACHE_CONTROL, VARY};
use crate::table::vary::Vary;

/// Says that a response is for one user: no shared cache may store it.
///
/// `no-cache` is not as strict: a cache stores the response with the cookie in it, and hands both out as soon as the
/// endpoint confirms that the page is the same (RFC 9111, 5.2.2.4). Fields for one kind of cache only take precedence
/// over `Cache-Control` there (RFC 9213, 2.1), so that they go.
pub(crate) fn keep_private(headers: &mut Headers) {
    headers.retain(|name| !name.ends_with(b"cdn-cache-control") && name != b"surrogate-control");
    let lines = headers.get_all(CACHE_CONTROL).collect::<Vec<_>>().join(&b", "[..]);
    let Some(directives) = directives(&lines) else {
        return headers.insert(CACHE_CONTROL, "no-store");
    };
    let is_one_of = |directive: &[u8], names: &[&str]| {
        let name = directive.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii_end();
        names.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
    };
    let is_strict = |directive: &&[u8]| {
        // With a list of fields `private` is about those fields alone (RFC 9111, 5.2.2.7).
        is_one_of(directive, &["no-store"]) || directive.eq_ignore_ascii_case(b"private")
    };
    if directives.iter().any(is_strict) {
        return;
    }
    // These speak of shared caches, which have nothing to do with the response any more.
    let kept = directives.iter().filter(|directive| !is_one_of(directive, &["public", "private", "s-maxage"]));
    let kept: Vec<&[u8]> = kept.copied().chain([&b"private"[..]]).collect();
    headers.insert(CACHE_CONTROL, kept.join(&b", "[..]));
}

/// No cache keeps the response, whatever was said of it before.
pub(crate) fn keep_out(headers: &mut Headers) {
    headers.retain(|name| !name.ends_with(b"cdn-cache-control") && name != b"surrogate-control");
    headers.insert(CACHE_CONTROL, "no-store");
}

/// The elements of a list, but for empty ones; `None` if a quoted string has no end.
fn directives(list: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut quoted, mut escaped) = (false, false);
    let mut found: Vec<&[u8]> = list
        .split(|byte| {
            let plain = !escaped;
            escaped = quoted && plain && *byte == b'\\';
            quoted ^= *byte == b'"' && plain;
            *byte == b',' && !quoted
        })
        .map(<[u8]>::trim_ascii)
        .collect();
    found.retain(|element| !element.is_empty());
    (!quoted).then_some(found)
}

/// Says which headers decide between versions, beside what the endpoint says of its own.
pub(crate) fn note_vary(headers: &mut Headers, vary: &Vary) {
    let mut lines = headers.get_all(VARY).filter(|line| !line.is_empty()).peekable();
    if lines.peek().is_none() {
        return headers.insert(VARY, vary.value());
    }
    let said = || headers.get_all(VARY).flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    if said().any(|name| name == b"*") {
        return;
    }
    let names = vary.names().iter().map(|name| name.as_str().as_bytes());
    let missing: Vec<&[u8]> = names.filter(|name| !said().any(|other| other.eq_ignore_ascii_case(name))).collect();
    if !missing.is_empty() {
        // One line: some caches read no second one.
        let all = lines.chain(missing).collect::<Vec<_>>().join(&b", "[..]);
        headers.insert(VARY, all);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::table::fixture::{spec, table};
    use crate::table::spec::{KeySource, ServiceSpec};

    /// The lines after an edit, as `name: value`.
    fn edited(lines: &[(&'static str, &str)], edit: impl Fn(&mut Headers)) -> Vec<String> {
        let line = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), http::HeaderValue::from_str(value).expect("a value"))
        };
        let mut headers: Headers = lines.iter().map(line).collect();
        edit(&mut headers);
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        headers.iter().map(|(name, value)| format!("{}: {}", text(name), text(value))).collect()
    }

    fn private(value: &str) -> String {
        edited(&[("cache-control", value)], keep_private).join("; ").replace("cache-control: ", "")
    }

    #[test]
    fn a_response_for_one_user_is_private_unless_it_is_stricter() {
        assert_eq!(edited(&[], keep_private), ["cache-control: private"]);
        for (said, becomes) in [
            ("public, max-age=600", "max-age=600, private"),
            ("Public,S-MaxAge=600 , max-age=5", "max-age=5, private"),
            ("s-maxage=600", "private"),
            ("max-age=600, must-revalidate", "max-age=600, must-revalidate, private"),
            ("no-cache", "no-cache, private"),
            ("no-cache=\"set-cookie\"", "no-cache=\"set-cookie\", private"),
            ("private=\"x-a, x-b\", public", "private"),
            ("x=\"a, private, \\\", no-store\", max-age=1", "x=\"a, private, \\\", no-store\", max-age=1, private"),
            ("", "private"),
            (" , ,", "private"),
            // These stay as they are.
            ("private", "private"),
            ("Private, max-age=60", "Private, max-age=60"),
            ("no-store", "no-store"),
            ("public, no-store", "public, no-store"),
            ("max-age=0, NO-STORE", "max-age=0, NO-STORE"),
            // No two caches read this alike.
            ("x=\"a, no-store", "no-store"),
            ("public, x=\"", "no-store"),
        ] {
            assert_eq!(private(said), becomes, "{said:?}");
        }
    }

    #[test]
    fn lines_become_one_and_fields_for_one_kind_of_cache_go() {
        let lines = [("cache-control", "public"), ("etag", "\"1\""), ("cache-control", "max-age=600")];
        assert_eq!(edited(&lines, keep_private), ["etag: \"1\"", "cache-control: max-age=600, private"]);
        let lines = [
            ("cdn-cache-control", "max-age=600"),
            ("example-cdn-cache-control", "max-age=600"),
            ("surrogate-control", "max-age=600"),
            ("cache-control", "no-store"),
        ];
        assert_eq!(edited(&lines, keep_private), ["cache-control: no-store"]);
    }

    #[test]
    fn names_are_added_to_those_that_are_there() {
        let names = ["x-user", "cookie"].map(HeaderName::from_static).map(KeySource::Header);
        let table = table([ServiceSpec { sticky: names.into(), ..spec("shop", "v1=50 v2=50") }]);
        let vary = table.service(0).vary.as_ref().expect("headers decide");
        for (said, becomes) in [
            (&[][..], &["x-user, cookie"][..]),
            (&[""], &["x-user, cookie"]),
            (&["accept-encoding"], &["accept-encoding, x-user, cookie"]),
            (&["Accept-Encoding", "COOKIE"], &["Accept-Encoding, COOKIE, x-user"]),
            (&["cookie ,X-User"], &["cookie ,X-User"]),
            (&["*"], &["*"]),
            (&["accept", "*"], &["accept", "*"]),
            (&["x-user-id"], &["x-user-id, x-user, cookie"]),
        ] {
            let lines: Vec<_> = said.iter().map(|value| ("vary", *value)).collect();
            let wanted: Vec<_> = becomes.iter().map(|value| format!("vary: {value}")).collect();
            assert_eq!(edited(&lines, |headers| note_vary(headers, vary)), wanted, "{said:?}");
        }
    }

    proptest::proptest! {
        /// Whatever an endpoint says, a shared cache does not store the response, and a second edit changes nothing.
        #[test]
        fn no_value_leaves_a_response_public(value in "[a-c =\"\\\\,;]{0,4}(public|private|no-store|s-maxage=1)?[a-c =\"\\\\,;]{0,8}") {
            let once = private(&value);
            let all = directives(once.as_bytes()).expect("no string is open");
            let strict = |directive: &&[u8]| {
                directive.eq_ignore_ascii_case(b"private") || directive.to_ascii_lowercase().starts_with(b"no-store")
            };
            proptest::prop_assert!(all.iter().any(strict), "{}", once);
            proptest::prop_assert_eq!(private(&once), once);
        }
    }
}
