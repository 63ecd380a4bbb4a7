//! The `Connection` header: which headers a peer says are for this hop only (RFC 9110, 7.6.1).

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::message::known_headers::{
    CONNECTION, HTTP2_SETTINGS, KEEP_ALIVE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, PROXY_CONNECTION, UPGRADE,
};
use crate::message::{HeaderSet, Headers, KnownHeader};
use crate::proxy::request::local_reply::LocalReply;
use crate::stats::RejectReason;

/// From this many tokens on a `Connection` header is an attempt to make us remove something.
const TOKENS_MAX: usize = 10;

/// Headers that end at this hop whether `Connection` names them or not, besides `Connection` and `Upgrade` themselves
/// ([`HeaderSet::HOP_BY_HOP`]). `TE` and `Transfer-Encoding` are handled where the body's framing is written.
const HOP_BY_HOP: [KnownHeader; 5] =
    [KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, HTTP2_SETTINGS];

/// Checks the tokens of a request.
///
/// # Errors
/// A [`LocalReply`] if there are ten or more tokens, or one names what routing and logging rely on.
pub(crate) fn check(headers: &Headers) -> Result<(), LocalReply> {
    let mut count = 0;
    for token in tokens(headers.get_all(CONNECTION)) {
        count += 1;
        let sacred = starts_with(token, b"x-forwarded-") || token.eq_ignore_ascii_case(b"host");
        if sacred || count >= TOKENS_MAX {
            let detail = "the Connection header names Host or X-Forwarded-*, or ten headers or more";
            return Err(LocalReply::new(RejectReason::BadConnection, detail));
        }
    }
    Ok(())
}

/// Removes the headers that `Connection` names, and all that end at this hop.
pub(crate) fn strip(headers: &mut Headers) {
    if headers.has(HeaderSet::CONNECTION) {
        // Nearly always it is a single word, and names nothing else.
        if !headers.get_all(CONNECTION).all(is_known) {
            let named = tokens(headers.get_all(CONNECTION)).filter(|token| !is_known(token));
            let mut named: Vec<_> = named.map(<[u8]>::to_ascii_lowercase).collect();
            // In order, because a response may name thousands.
            named.sort_unstable();
            headers.retain(|name| named.binary_search_by(|gone| gone.as_slice().cmp(name)).is_err());
        }
        headers.remove(CONNECTION);
    }
    headers.remove(UPGRADE);
    if headers.has(HeaderSet::HOP_BY_HOP) {
        headers.retain(|name| !ends_here(name));
    }
}

/// The same for trailers, if a `Connection` is one of them.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    let lines = trailers.get_all(CONNECTION.as_str()).iter().map(HeaderValue::as_bytes);
    let named = tokens(lines).filter(|token| !is_known(token));
    let mut gone: Vec<_> = named.filter_map(|token| HeaderName::from_bytes(token).ok()).collect();
    let by_themselves = |name: &&HeaderName| {
        let text = name.as_str();
        ends_here(text.as_bytes()) || text == CONNECTION.as_str() || text == UPGRADE.as_str()
    };
    gone.extend(trailers.keys().filter(by_themselves).cloned());
    for name in gone {
        trailers.remove(name);
    }
}

fn ends_here(name: &[u8]) -> bool {
    HOP_BY_HOP.iter().any(|known| known.as_str().as_bytes() == name)
}

/// Whether `Connection` names what is removed without being named, which is what it names nearly always; or `TE`, which
/// must be named to be sent: what of it may pass is decided with the body's framing.
fn is_known(token: &[u8]) -> bool {
    [&b"keep-alive"[..], b"upgrade", b"te"].into_iter().any(|known| token.eq_ignore_ascii_case(known))
}

fn tokens<'h>(lines: impl Iterator<Item = &'h [u8]>) -> impl Iterator<Item = &'h [u8]> {
    lines.flat_map(|line| line.split(|b| *b == b',')).map(<[u8]>::trim_ascii).filter(|t| !t.is_empty())
}

fn starts_with(token: &[u8], prefix: &[u8]) -> bool {
    token.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These names, and a `Connection`.
    fn headers(connection: &'static str, names: &[&'static str]) -> Headers {
        let line = |name: &'static str| (HeaderName::from_static(name), HeaderValue::from_static("1"));
        let connection = (HeaderName::from_static("connection"), HeaderValue::from_static(connection));
        std::iter::once(connection).chain(names.iter().copied().map(line)).collect()
    }

    fn names(headers: &Headers) -> Vec<String> {
        headers.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
    }

    #[test]
    fn named_headers_go() {
        let mut lines = headers("keep-alive, X-Secret", &["x-secret", "keep-alive", "x-other"]);
        check(&lines).expect("harmless");
        strip(&mut lines);
        assert_eq!(names(&lines), ["x-other"]);
    }

    #[test]
    fn what_ends_here_goes_unnamed_and_te_stays() {
        let ends = HOP_BY_HOP.map(KnownHeader::as_str);
        let others = ["upgrade", "te", "close", "x-secret"];
        let mut lines = headers("TE, Upgrade, close", &[&ends[..], &others].concat());
        strip(&mut lines);
        assert_eq!(names(&lines), ["te", "x-secret"]);
    }

    #[test]
    fn trailers_end_here_as_headers_do() {
        let mut trailers = headers("X-Named, te", &["x-named", "te", "keep-alive", "upgrade", "x"]).into_map();
        strip_trailers(&mut trailers);
        assert_eq!(trailers.keys().collect::<Vec<_>>(), ["te", "x"]);
    }

    #[test]
    fn sacred_names_and_long_lists_are_refused() {
        for bad in ["x-forwarded-for", "close, X-Forwarded-Proto", "HOST", "a,b,c,d,e,f,g,h,i,j"] {
            assert!(check(&headers(bad, &[])).is_err(), "{bad}");
        }
        check(&headers("a,b,c,,d,e,f,g,h,i", &[])).expect("nine tokens");
    }
}
