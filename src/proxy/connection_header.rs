//! The `Connection` header: which headers a peer says are for this hop only (RFC 9110, 7.6.1).

use http::header::{self, CONNECTION};
use http::{HeaderMap, HeaderName};

use super::refuse::Refusal;
use crate::stats::Refused;

/// From so many tokens on a `Connection` header is an attempt to make us remove something.
const TOKENS_MAX: usize = 10;

/// Headers that end at this hop whether `Connection` names them or not. `TE` and `Transfer-Encoding` are handled where
/// the body's framing is written.
const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::UPGRADE,
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

/// Removes the headers that `Connection` names, and all that end at this hop.
pub fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<_> = tokens(headers).filter_map(|token| HeaderName::from_bytes(token).ok()).collect();
        for name in named {
            // `Connection: te` is how `TE` must be sent; what of it may pass is decided with the body's framing.
            if name != header::TE {
                headers.remove(name);
            }
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove("http2-settings");
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
        strip(&mut map);
        assert_eq!(map.keys().collect::<Vec<_>>(), ["x-other"]);
    }

    #[test]
    fn sacred_names_and_long_lists_are_refused() {
        for bad in ["x-forwarded-for", "close, X-Forwarded-Proto", "HOST", "a,b,c,d,e,f,g,h,i,j"] {
            assert!(check(&headers(bad)).is_err(), "{bad}");
        }
        check(&headers("a,b,c,,d,e,f,g,h,i")).expect("nine tokens");
    }
}
