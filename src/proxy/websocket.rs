//! The handshakes of WebSocket: what of a request asks for a tunnel, and how the handshake of one protocol becomes that
//! of another.
//!
//! Inside the proxy a WebSocket has one form, the one of HTTP/1.1 (RFC 6455, 4): a `GET` with `Upgrade: websocket`. A
//! `CONNECT` of HTTP/2 (RFC 8441) is turned into it when it comes in, and a request to an endpoint that speaks HTTP/2 is
//! turned into that when it goes out, so that rules, keys and headers see one thing. HTTP/2 has no key and no proof of
//! having read it; the proxy makes and checks them where the other side wants them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use hyper::ext::Protocol;

use super::admit::BodyFraming;

/// What RFC 6455, 4.2.2 appends to a key before it is hashed.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A WebSocket that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The proof that the client waits for, if the proxy has to give it.
    client_accept: Option<HeaderValue>,
    /// Whether the client asked in HTTP/2.
    http2: bool,
}

/// Takes the handshake out of a request of HTTP/2, which becomes one of HTTP/1.1 in all but its version. `None` if it is
/// none.
pub fn from_http2(head: &mut Parts) -> Option<Handshake> {
    if head.method != Method::CONNECT || head.extensions.get::<Protocol>()?.as_str() != "websocket" {
        return None;
    }
    head.method = Method::GET;
    Some(Handshake { client_accept: None, http2: true })
}

/// The handshake that a request of HTTP/1.1 asks for (rule 15): a `GET` whose `Connection` names `Upgrade`, whose
/// `Upgrade` is `websocket` alone, and that has no body. `None`: the headers are dropped, the request is plain.
#[must_use]
pub fn from_http1(head: &Parts, body: BodyFraming) -> Option<Handshake> {
    let mut protocols = head.headers.get_all(UPGRADE).iter();
    let websocket = protocols.next()?.as_bytes().eq_ignore_ascii_case(b"websocket") && protocols.next().is_none();
    let named = head.headers.get_all(CONNECTION).iter().any(|line| {
        line.as_bytes().split(|byte| *byte == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    });
    let plain = head.method == Method::GET && head.version == Version::HTTP_11 && body == BodyFraming::None;
    let key = head.headers.get(SEC_WEBSOCKET_KEY);
    (websocket && named && plain).then(|| Handshake { client_accept: key.map(accept), http2: false })
}

impl Handshake {
    /// Asks the endpoint; after everything that ends at this hop was removed. Returns the proof that it has to give, if
    /// the client did not ask for one.
    pub fn ask(&self, headers: &mut HeaderMap, random: u128) -> Option<HeaderValue> {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        if !self.http2 {
            return None;
        }
        let key = HeaderValue::from_str(&STANDARD.encode(random.to_be_bytes())).ok()?;
        let wanted = accept(&key);
        headers.insert(SEC_WEBSOCKET_KEY, key);
        Some(wanted)
    }

    /// The handshake, if `response` consents to it.
    ///
    /// # Errors
    /// What is wrong with a consent; or with an answer that is none, and that the client would take for one.
    pub fn answered<B>(
        self,
        response: &Response<B>,
        accept: Option<&HeaderValue>,
    ) -> Result<Option<Self>, &'static str> {
        let consents = is_consent(response, accept)?;
        // To a client of HTTP/2 any 2xx says that the tunnel is open (RFC 8441, 5; RFC 9110, 9.3.6).
        if !consents && self.http2 && response.status().is_success() {
            return Err("the upstream answered a WebSocket's handshake with neither a consent nor a refusal");
        }
        Ok(consents.then_some(self))
    }

    /// Turns the endpoint's consent into what the client waits for.
    pub fn consent(&self, head: &mut http::response::Parts) {
        let headers = &mut head.headers;
        if self.http2 {
            headers.remove(SEC_WEBSOCKET_ACCEPT);
            head.status = StatusCode::OK;
            return;
        }
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        if let (Some(accept), Version::HTTP_2) = (&self.client_accept, head.version) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept.clone());
        }
        head.status = StatusCode::SWITCHING_PROTOCOLS;
    }
}

/// Whether an answer to a handshake is a consent; `Err` if it claims to be one and breaks the rules.
///
/// # Errors
/// What is wrong.
fn is_consent<B>(response: &Response<B>, accept: Option<&HeaderValue>) -> Result<bool, &'static str> {
    if response.version() == Version::HTTP_2 {
        return Ok(response.status() == StatusCode::OK);
    }
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(false);
    }
    let headers = response.headers();
    if headers.get(UPGRADE).is_none_or(|protocol| !protocol.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        return Err("the upstream switched to another protocol than the one it was asked for");
    }
    if accept.is_some() && headers.get(SEC_WEBSOCKET_ACCEPT) != accept {
        return Err("the upstream switched protocols without the proof that it meant this request");
    }
    Ok(true)
}

/// The proof of having read a key (RFC 6455, 4.2.2).
fn accept(key: &HeaderValue) -> HeaderValue {
    let text = [key.as_bytes(), KEY_SUFFIX.as_bytes()].concat();
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &text);
    HeaderValue::from_str(&STANDARD.encode(digest)).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(method: &str, lines: &[(&'static str, &'static str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/chat").body(()).expect("a request");
        for (name, value) in lines {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        request.into_parts().0
    }

    const ASKS: [(&str, &str); 2] = [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];

    #[test]
    fn the_proof_is_that_of_the_standard() {
        // The example of RFC 6455, 1.3.
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_a_whole_handshake_asks_for_a_tunnel() {
        assert!(from_http1(&head("GET", &ASKS), BodyFraming::None).is_some());
        assert!(from_http1(&head("POST", &ASKS), BodyFraming::None).is_none());
        assert!(from_http1(&head("GET", &ASKS), BodyFraming::Chunked).is_none());
        assert!(from_http1(&head("GET", &ASKS[1..]), BodyFraming::None).is_none());
        let many = [ASKS[0], ASKS[1], ("upgrade", "h2c")];
        assert!(from_http1(&head("GET", &many), BodyFraming::None).is_none());
        let other = [ASKS[0], ("upgrade", "h2c")];
        assert!(from_http1(&head("GET", &other), BodyFraming::None).is_none());
        let mut old = head("GET", &ASKS);
        old.version = Version::HTTP_10;
        assert!(from_http1(&old, BodyFraming::None).is_none());
    }

    #[test]
    fn a_consent_without_its_proof_is_none() {
        let answer = |upgrade, proof: &'static str| {
            let answer = Response::builder().status(101).header(UPGRADE, upgrade).header(SEC_WEBSOCKET_ACCEPT, proof);
            answer.body(()).expect("an answer")
        };
        let wanted = HeaderValue::from_static("right");
        assert_eq!(is_consent(&answer("websocket", "right"), Some(&wanted)), Ok(true));
        assert!(is_consent(&answer("websocket", "wrong"), Some(&wanted)).is_err());
        assert!(is_consent(&answer("h2c", "right"), Some(&wanted)).is_err());
        assert_eq!(is_consent(&Response::new(()), None), Ok(false));
    }
}
