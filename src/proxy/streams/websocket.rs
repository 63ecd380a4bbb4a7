//! The handshakes of WebSocket: what of a request asks for a tunnel, and how the handshake of one protocol becomes that
//! of another.
//!
//! Inside the proxy a WebSocket has one form, the one of HTTP/1.1 (RFC 6455, 4): a `GET` with `Upgrade: websocket`. A
//! `CONNECT` of HTTP/2 (RFC 8441) is turned into it when it comes in, and a request to an endpoint that speaks HTTP/2
//! is turned into that when it goes out, so that rules, keys and headers see one thing. HTTP/2 has no key and no proof
//! of having read it; the proxy makes and checks them where the other side wants them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use h2::ext::Protocol;
use http::{Method, StatusCode, Version};

use crate::message::known_headers::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use crate::message::{Headers, RequestHead, Response};
use crate::proxy::request::admit::BodyFraming;

/// What RFC 6455, 4.2.2 appends to a key before it is hashed.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A WebSocket that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebSocketHandshake {
    /// The proof that the client waits for, if the proxy has to give it.
    client_accept: Option<String>,
    /// Whether the client asked in HTTP/2.
    http2: bool,
}

/// A response to a handshake that breaks the rules of consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.detail())]
pub(crate) enum ConsentError {
    /// A success that opens no tunnel, and that a client of HTTP/2 would take for one that does.
    Neither,
    /// A consent to something else.
    OtherProtocol,
    /// A consent that any request would have got.
    NoProof,
}

impl ConsentError {
    /// What is wrong, for the client.
    #[must_use]
    pub(crate) fn detail(self) -> &'static str {
        match self {
            Self::Neither => "the upstream answered a WebSocket's handshake with neither a consent nor a refusal",
            Self::OtherProtocol => "the upstream switched to another protocol than the one it was asked for",
            Self::NoProof => "the upstream switched protocols without the proof that it meant this request",
        }
    }
}

/// Takes the handshake out of a request of HTTP/2, which becomes one of HTTP/1.1 in all but its version. `None` if it
/// is none.
pub(crate) fn from_http2(head: &mut RequestHead) -> Option<WebSocketHandshake> {
    if head.method != Method::CONNECT || head.extensions.get::<Protocol>()?.as_str() != "websocket" {
        return None;
    }
    head.method = Method::GET;
    Some(WebSocketHandshake { client_accept: None, http2: true })
}

/// The handshake that a request of HTTP/1.1 asks for (docs/http-rules.md#rule-15): a `GET` whose `Connection` names
/// `Upgrade`, whose `Upgrade` is `websocket` alone, and that has no body. `None`: the headers are dropped, the request
/// is plain.
#[must_use]
pub(crate) fn from_http1(head: &RequestHead, body: BodyFraming) -> Option<WebSocketHandshake> {
    let mut protocols = head.headers.get_all(UPGRADE);
    let websocket = protocols.next()?.eq_ignore_ascii_case(b"websocket") && protocols.next().is_none();
    let named = head
        .headers
        .get_all(CONNECTION)
        .any(|line| line.split(|byte| *byte == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(b"upgrade")));
    let plain = head.method == Method::GET && head.version == Version::HTTP_11 && body == BodyFraming::None;
    let key = head.headers.get(SEC_WEBSOCKET_KEY);
    (websocket && named && plain).then(|| WebSocketHandshake { client_accept: key.map(accept), http2: false })
}

impl WebSocketHandshake {
    /// Asks the endpoint; after everything that ends at this hop was removed. Returns the proof that it has to give, if
    /// the client did not ask for one.
    pub(crate) fn ask(&self, headers: &mut Headers, random: u128) -> Option<String> {
        headers.insert(CONNECTION, "upgrade");
        headers.insert(UPGRADE, "websocket");
        if !self.http2 {
            return None;
        }
        let key = STANDARD.encode(random.to_be_bytes());
        headers.insert(SEC_WEBSOCKET_KEY, &key);
        Some(accept(key.as_bytes()))
    }

    /// The handshake, if `response` consents to it.
    ///
    /// # Errors
    /// What is wrong with a consent; or with a response that is none, and that the client would take for one.
    pub(crate) fn consented<B>(
        self,
        response: &Response<B>,
        accept: Option<&str>,
    ) -> Result<Option<Self>, ConsentError> {
        let consents = is_consent(response, accept)?;
        // To a client of HTTP/2 any 2xx says that the tunnel is open (RFC 8441, 5; RFC 9110, 9.3.6).
        if !consents && self.http2 && response.status.is_success() {
            return Err(ConsentError::Neither);
        }
        Ok(consents.then_some(self))
    }

    /// Turns the endpoint's consent into what the client waits for.
    pub(crate) fn consent<B>(&self, response: &mut Response<B>) {
        let headers = &mut response.headers;
        if self.http2 {
            headers.remove(SEC_WEBSOCKET_ACCEPT);
            response.status = StatusCode::OK;
            return;
        }
        headers.insert(CONNECTION, "upgrade");
        headers.insert(UPGRADE, "websocket");
        if let (Some(accept), Version::HTTP_2) = (&self.client_accept, response.version) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        response.status = StatusCode::SWITCHING_PROTOCOLS;
    }
}

/// Whether a response to a handshake is a consent; `Err` if it claims to be one and breaks the rules.
///
/// # Errors
/// What is wrong.
fn is_consent<B>(response: &Response<B>, accept: Option<&str>) -> Result<bool, ConsentError> {
    if response.version == Version::HTTP_2 {
        return Ok(response.status == StatusCode::OK);
    }
    if response.status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(false);
    }
    let headers = &response.headers;
    if headers.get(UPGRADE).is_none_or(|protocol| !protocol.eq_ignore_ascii_case(b"websocket")) {
        return Err(ConsentError::OtherProtocol);
    }
    if accept.is_some() && headers.get(SEC_WEBSOCKET_ACCEPT) != accept.map(str::as_bytes) {
        return Err(ConsentError::NoProof);
    }
    Ok(true)
}

/// The proof of having read a key (RFC 6455, 4.2.2).
fn accept(key: &[u8]) -> String {
    let text = [key, KEY_SUFFIX.as_bytes()].concat();
    STANDARD.encode(ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &text))
}

#[cfg(test)]
mod tests {
    use http::Extensions;

    use super::*;
    use crate::message::{KnownHeader, RequestTarget};

    fn head(method: Method, lines: &[(KnownHeader, &str)]) -> RequestHead {
        let mut headers = Headers::default();
        for (name, value) in lines {
            headers.append(*name, value);
        }
        let (target, version) = (RequestTarget::parse(b"/chat").expect("a path"), Version::HTTP_11);
        RequestHead { method, target, version, headers, extensions: Extensions::new() }
    }

    const ASKS: [(KnownHeader, &str); 2] = [(CONNECTION, "keep-alive, Upgrade"), (UPGRADE, "WebSocket")];

    #[test]
    fn the_proof_is_that_of_the_standard() {
        // The example of RFC 6455, 1.3.
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_a_whole_handshake_asks_for_a_tunnel() {
        assert!(from_http1(&head(Method::GET, &ASKS), BodyFraming::None).is_some());
        assert!(from_http1(&head(Method::POST, &ASKS), BodyFraming::None).is_none());
        assert!(from_http1(&head(Method::GET, &ASKS), BodyFraming::Chunked).is_none());
        assert!(from_http1(&head(Method::GET, &ASKS[1..]), BodyFraming::None).is_none());
        let many = [ASKS[0], ASKS[1], (UPGRADE, "h2c")];
        assert!(from_http1(&head(Method::GET, &many), BodyFraming::None).is_none());
        let other = [ASKS[0], (UPGRADE, "h2c")];
        assert!(from_http1(&head(Method::GET, &other), BodyFraming::None).is_none());
        let mut old = head(Method::GET, &ASKS);
        old.version = Version::HTTP_10;
        assert!(from_http1(&old, BodyFraming::None).is_none());
    }

    #[test]
    fn a_consent_without_its_proof_is_none() {
        let response = |upgrade, proof| {
            let mut response = Response::new(());
            response.status = StatusCode::SWITCHING_PROTOCOLS;
            response.headers.append(UPGRADE, upgrade);
            response.headers.append(SEC_WEBSOCKET_ACCEPT, proof);
            response
        };
        assert_eq!(is_consent(&response("websocket", "right"), Some("right")), Ok(true));
        assert_eq!(is_consent(&response("websocket", "wrong"), Some("right")), Err(ConsentError::NoProof));
        assert_eq!(is_consent(&response("h2c", "right"), Some("right")), Err(ConsentError::OtherProtocol));
        assert_eq!(is_consent(&Response::new(()), None), Ok(false));
    }
}
