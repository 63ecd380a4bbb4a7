//! The `Connection` header: which headers a peer says are for this hop only (RFC 9110, 7.6.1).

use http::header::{self, CONNECTION};
use http::{HeaderMap, HeaderName};

use super::present::Present;
use super::refuse::Refusal;
use crate::stats::Refused;

/// From so many tokens on a `Connection` header is an attempt to make us remove something.
const TOKENS_MAX: usize = 10;

/// Headers that end at this hop whether `Connection` names them or not, besides `Connection` and `Upgrade` themselves
/// ([`Present::HOP_BY_HOP`]). `TE` and `Transfer-Encoding` are handled where the body's framing is written.
const HOP_BY_HOP: [HeaderName; 5] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("http2-settings"),
];

/// Checks the tokens of a request.
///
/// # Errors
/// A [`Refusal`] if there are ten or more tokens, or one names what routing and logging rely on.
pub fn check(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut count = 0;
    for token in tokens(headers) {
        count += 1;
        let sacred = starts_with(token, b"x-forwarded-") || token.eq_ignore_ascii_case(b"host");
        if sacred || count >= TOKENS_MAX {
            let detail = "the Connection header names Host or X-Forwarded-*, or ten headers or more";
            return Err(Refusal::new(Refused::BadConnection, detail));
        }
    }
    Ok(())
}

/// Removes the headers that `Connection` names, and all that end at this hop. `present` is what was there at most.
pub fn strip(headers: &mut HeaderMap, present: Present) {
    if present.has(Present::CONNECTION) {
        let named = tokens(headers).filter(|token| !is_known(token));
        let named: Vec<_> = named.filter_map(|token| HeaderName::from_bytes(token).ok()).collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    if present.has(Present::UPGRADE) {
        headers.remove(header::UPGRADE);
    }
    if present.has(Present::HOP_BY_HOP) {
        for name in &HOP_BY_HOP {
            headers.remove(name);
        }
    }
}

/// Whether `Connection` names what is removed without being named, which is what it names nearly always; or `TE`, which
/// must be named to be sent: what of it may pass is decided with the body's framing.
fn is_known(token: &[u8]) -> bool {
    [&b"keep-alive"[..], b"upgrade", b"te"].into_iter().any(|known| token.eq_ignore_ascii_case(known))
}

fn tokens(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(CONNECTION).iter();
    lines.flat_map(|line| line.as_bytes().split(|b| *b == b',')).map(<[u8]>::trim_ascii).filter(|t| !t.is_empty())
}

fn starts_with(token: &[u8], prefix: &[u8]) -> bool {
    token.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(connection: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static(connection));
        headers.insert("x-secret", HeaderValue::from_static("1"));
        headers.insert("keep-alive", HeaderValue::from_static("timeout=5"));
        headers.insert("x-other", HeaderValue::from_static("1"));
        headers
    }

    #[test]
    fn named_headers_go() {
        let mut map = headers("keep-alive, X-Secret");
        check(&map).expect("harmless");
        let present = Present::among(&map);
        strip(&mut map, present);
        assert_eq!(map.keys().collect::<Vec<_>>(), ["x-other"]);
    }

    #[test]
    fn what_ends_here_goes_unnamed_and_te_stays() {
        let mut map = headers("TE, Upgrade, close");
        for name in HOP_BY_HOP.iter().chain([&header::UPGRADE, &header::TE, &HeaderName::from_static("close")]) {
            map.insert(name, HeaderValue::from_static("1"));
        }
        let present = Present::among(&map);
        strip(&mut map, present);
        assert_eq!(map.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["te", "x-secret", "x-other"]);
    }

    #[test]
    fn sacred_names_and_long_lists_are_refused() {
        for bad in ["x-forwarded-for", "close, X-Forwarded-Proto", "HOST", "a,b,c,d,e,f,g,h,i,j"] {
            assert!(check(&headers(bad)).is_err(), "{bad}");
        }
        check(&headers("a,b,c,,d,e,f,g,h,i")).expect("nine tokens");
    }
}
