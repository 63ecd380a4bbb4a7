//! The local reply: what the proxy responds by itself, with whose fault it was. Every status code of the data plane's
//! own is in this file.
//!
//! A local reply has a stable reason word ([`RejectReason`]); the sentence beside it is for people and may change.

use bytes::Bytes;
use http::StatusCode;
use http_body_util::Full;

use crate::message::known_headers::{
    ACCEPT, ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, GRPC_MESSAGE, GRPC_STATUS, RETRY_AFTER,
};
use crate::message::{Headers, Response};
use crate::stats::RejectReason;

/// Whose fault an ending was. Only the upstream's counts against a version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultParty {
    /// The client sent what must not be forwarded, or went away.
    Client,
    /// The origin did not do its part.
    Upstream,
    /// The proxy, or its configuration.
    Own,
}

/// A response of our own: why, and what the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalReply {
    /// The reason.
    pub reason: RejectReason,
    /// A sentence for people: what was found, what is wanted.
    pub detail: &'static str,
    /// When it is worth to try again, in seconds.
    pub retry_after: Option<u64>,
}

impl LocalReply {
    /// A reply with a sentence.
    #[must_use]
    pub fn new(reason: RejectReason, detail: &'static str) -> Self {
        Self { reason, detail, retry_after: (reason == RejectReason::NoEndpoint).then_some(1) }
    }

    /// The same, with the time after which it is worth to try again.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The status that is counted and logged; the client sees it too, except for 499, whose client is gone.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        ReplyRule::of(self.reason).status
    }

    /// Whose fault it was.
    #[must_use]
    pub fn fault(&self) -> FaultParty {
        ReplyRule::of(self.reason).fault
    }

    /// Whether the connection must end with the response.
    #[must_use]
    pub fn closes(&self) -> bool {
        ReplyRule::of(self.reason).closes
    }

    /// The response, in the manner that the client understands.
    #[must_use]
    pub fn response(&self, format: ErrorFormat) -> Response<Full<Bytes>> {
        if format == ErrorFormat::Grpc {
            return self.to_grpc_response();
        }
        // A client that closed its sending side inside its body may still read.
        let gone = self.reason == RejectReason::ClientGone;
        let status = if gone { StatusCode::BAD_REQUEST } else { self.status() };
        let (reason, detail) = (self.reason.word(), self.detail);
        let (kind, body) = if format == ErrorFormat::Json {
            let error = serde_json::json!({ "status": status.as_u16(), "reason": reason, "detail": detail });
            ("application/json", serde_json::json!({ "error": error }).to_string() + "\n")
        } else {
            ("text/plain; charset=utf-8", format!("{} {reason}: {detail}\n", status.as_u16()))
        };
        let length = body.len();
        let mut response = Response::new(Full::new(Bytes::from(body)));
        response.status = status;
        let headers = &mut response.headers;
        headers.append(CONTENT_TYPE, kind);
        headers.append(CONTENT_LENGTH, length.to_string());
        if self.closes() {
            headers.append(CONNECTION, "close");
        }
        if self.reason == RejectReason::MethodNotAllowed {
            headers.append(ALLOW, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        }
        if let Some(seconds) = self.retry_after {
            headers.append(RETRY_AFTER, seconds.to_string());
        }
        response
    }
}

impl LocalReply {
    /// A call that ends before it began: a head alone, without trailers (gRPC over HTTP/2, "Trailers-Only").
    fn to_grpc_response(self) -> Response<Full<Bytes>> {
        let message = format!("{}: {}", self.reason.word(), self.detail);
        let mut response = grpc_response(self.status(), &message);
        if self.closes() {
            response.headers.append(CONNECTION, "close");
        }
        response
    }

    /// The response as it goes over a connection that has no codec; it ends with it. One to a `HEAD` has the head of
    /// the response to a `GET`, and no body (RFC 9110, 9.3.2).
    #[must_use]
    pub fn to_http1_bytes(self, to_head: bool) -> Vec<u8> {
        use std::io::Write as _;
        let Response { status, mut headers, body, .. } = self.response(ErrorFormat::Text);
        let mut bytes = Vec::new();
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&jiff::Timestamp::now());
        // Writing to a vector does not fail.
        let _written = write!(bytes, "HTTP/1.1 {}\r\ndate: {}\r\n", status, date.unwrap_or_default());
        headers.insert(CONNECTION, "close");
        headers.write(&mut bytes);
        bytes.extend(b"\r\n");
        bytes.extend(body.into_inner().filter(|_| !to_head).unwrap_or_default());
        bytes
    }
}

/// How a call of gRPC ends that would get this status: 200, and the outcome in the head.
#[must_use]
pub(crate) fn grpc_response(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let headers = &mut response.headers;
    headers.append(CONTENT_TYPE, "application/grpc");
    headers.append(GRPC_STATUS, grpc_status(status).to_string());
    // Percent-encoded; our words are ASCII, so the sign itself is all there is to encode.
    headers.append(GRPC_MESSAGE, message.replace('%', "%25"));
    response
}

/// What a gRPC client would make of our status code ("HTTP to gRPC Status Code Mapping" of the gRPC project), so that
/// it retries the same as behind another proxy.
fn grpc_status(status: StatusCode) -> u16 {
    const UNKNOWN: u16 = 2;
    const PERMISSION_DENIED: u16 = 7;
    const UNIMPLEMENTED: u16 = 12;
    const INTERNAL: u16 = 13;
    const UNAVAILABLE: u16 = 14;
    const UNAUTHENTICATED: u16 = 16;
    match status.as_u16() {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502..=504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// The connection must end with the response: its framing is not to be trusted any more, or it is one too many.
const CLOSES: bool = true;

/// The connection can go on.
const STAYS: bool = false;

/// What follows from a reason.
struct ReplyRule {
    status: StatusCode,
    fault: FaultParty,
    closes: bool,
}

impl ReplyRule {
    /// One line a reason, so that what a client gets for it is read at one place.
    fn of(reason: RejectReason) -> Self {
        let rule = |status, fault, closes| Self { status, fault, closes };
        let client_gone = StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST);
        match reason {
            RejectReason::BadHead => rule(StatusCode::BAD_REQUEST, FaultParty::Client, CLOSES),
            RejectReason::BadHost => rule(StatusCode::BAD_REQUEST, FaultParty::Client, CLOSES),
            RejectReason::BadTarget => rule(StatusCode::BAD_REQUEST, FaultParty::Client, CLOSES),
            RejectReason::BadFraming => rule(StatusCode::BAD_REQUEST, FaultParty::Client, CLOSES),
            RejectReason::BadConnection => rule(StatusCode::BAD_REQUEST, FaultParty::Client, CLOSES),
            RejectReason::BadProxyHeader => rule(StatusCode::BAD_REQUEST, FaultParty::Client, CLOSES),
            RejectReason::BadBody => rule(StatusCode::BAD_REQUEST, FaultParty::Client, CLOSES),
            // The client is not told of it in HTTP.
            RejectReason::TlsHandshake => rule(StatusCode::BAD_REQUEST, FaultParty::Client, CLOSES),
            RejectReason::TlsTimeout => rule(StatusCode::BAD_REQUEST, FaultParty::Client, CLOSES),
            RejectReason::UnknownCoding => rule(StatusCode::NOT_IMPLEMENTED, FaultParty::Client, CLOSES),
            RejectReason::RedirectedToHttps => rule(StatusCode::PERMANENT_REDIRECT, FaultParty::Client, STAYS),
            RejectReason::Redirected => rule(StatusCode::PERMANENT_REDIRECT, FaultParty::Client, STAYS),
            // By what a rule says.
            RejectReason::FixedResponse => rule(StatusCode::SERVICE_UNAVAILABLE, FaultParty::Own, STAYS),
            RejectReason::MethodNotAllowed => rule(StatusCode::METHOD_NOT_ALLOWED, FaultParty::Client, STAYS),
            RejectReason::TargetTooLong => rule(StatusCode::URI_TOO_LONG, FaultParty::Client, CLOSES),
            RejectReason::Loop => rule(StatusCode::LOOP_DETECTED, FaultParty::Own, STAYS),
            RejectReason::Misdirected => rule(StatusCode::MISDIRECTED_REQUEST, FaultParty::Client, STAYS),
            RejectReason::HeadTooLarge => rule(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, FaultParty::Client, CLOSES),
            RejectReason::HeadTimeout => rule(StatusCode::REQUEST_TIMEOUT, FaultParty::Client, CLOSES),
            RejectReason::ProxyHeaderTimeout => rule(StatusCode::REQUEST_TIMEOUT, FaultParty::Client, CLOSES),
            RejectReason::BodyTimeout => rule(StatusCode::REQUEST_TIMEOUT, FaultParty::Client, CLOSES),
            RejectReason::BodyTooSlow => rule(StatusCode::REQUEST_TIMEOUT, FaultParty::Client, CLOSES),
            RejectReason::Flood => rule(StatusCode::TOO_MANY_REQUESTS, FaultParty::Client, CLOSES),
            RejectReason::ProxyHeaderForeign => rule(StatusCode::FORBIDDEN, FaultParty::Client, CLOSES),
            RejectReason::ClientGone => rule(client_gone, FaultParty::Client, CLOSES),
            RejectReason::NoService => rule(StatusCode::NOT_FOUND, FaultParty::Own, STAYS),
            RejectReason::BodyTooLarge => rule(StatusCode::PAYLOAD_TOO_LARGE, FaultParty::Client, CLOSES),
            RejectReason::RateLimited => rule(StatusCode::TOO_MANY_REQUESTS, FaultParty::Client, STAYS),
            RejectReason::TooManyOfAddress => rule(StatusCode::TOO_MANY_REQUESTS, FaultParty::Client, CLOSES),
            RejectReason::NoEndpoint => rule(StatusCode::SERVICE_UNAVAILABLE, FaultParty::Own, STAYS),
            RejectReason::TooManyConnections => rule(StatusCode::SERVICE_UNAVAILABLE, FaultParty::Own, CLOSES),
            RejectReason::Displaced => rule(StatusCode::SERVICE_UNAVAILABLE, FaultParty::Own, CLOSES),
            RejectReason::TooManyOfClient => rule(StatusCode::SERVICE_UNAVAILABLE, FaultParty::Client, STAYS),
            RejectReason::OutOfDescriptors => rule(StatusCode::SERVICE_UNAVAILABLE, FaultParty::Own, CLOSES),
            RejectReason::Overloaded => rule(StatusCode::SERVICE_UNAVAILABLE, FaultParty::Own, CLOSES),
            RejectReason::QueueFull => rule(StatusCode::SERVICE_UNAVAILABLE, FaultParty::Own, CLOSES),
            RejectReason::QueueTimeout => rule(StatusCode::SERVICE_UNAVAILABLE, FaultParty::Own, CLOSES),
            RejectReason::ConnectFailed => rule(StatusCode::BAD_GATEWAY, FaultParty::Upstream, STAYS),
            RejectReason::UpstreamReset => rule(StatusCode::BAD_GATEWAY, FaultParty::Upstream, STAYS),
            RejectReason::UpstreamBadAnswer => rule(StatusCode::BAD_GATEWAY, FaultParty::Upstream, STAYS),
            RejectReason::UpstreamTimeout => rule(StatusCode::GATEWAY_TIMEOUT, FaultParty::Upstream, STAYS),
            RejectReason::Internal => rule(StatusCode::INTERNAL_SERVER_ERROR, FaultParty::Own, CLOSES),
        }
    }
}

/// Whether a request ended by a bug or a shortage of ours, which says nothing of the version.
#[must_use]
pub(crate) fn is_own_shortage(reason: Option<RejectReason>) -> bool {
    matches!(reason, Some(RejectReason::Internal | RejectReason::OutOfDescriptors | RejectReason::TooManyOfClient))
}

/// How a client is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorFormat {
    /// Plain text.
    Text,
    Json,
    /// As a gRPC call ends: 200, and the outcome in `grpc-status`.
    Grpc,
}

impl ErrorFormat {
    /// What fits a request: gRPC by its `Content-Type`; otherwise the words of `Accept` in order, the first that we can
    /// serve decides.
    #[must_use]
    pub fn of(headers: &Headers) -> Self {
        let grpc = headers.get(CONTENT_TYPE).and_then(|kind| kind.strip_prefix(b"application/grpc"));
        if grpc.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';'))) {
            return Self::Grpc;
        }
        let mut served = accepted_types(headers).filter_map(|kind| {
            let is = |name: &str| kind.eq_ignore_ascii_case(name);
            let suffix = kind.len().checked_sub("+json".len()).and_then(|at| kind.get(at..));
            let json = is("application/json") || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"));
            let text = is("text/plain") || is("text/html") || is("text/*") || is("*/*");
            (json || text).then_some(if json { Self::Json } else { Self::Text })
        });
        served.next().unwrap_or(Self::Text)
    }
}

/// The media types that `Accept` names and that are wanted, in its order.
pub(crate) fn accepted_types(headers: &Headers) -> impl Iterator<Item = &str> {
    let values = headers.get_all(ACCEPT).filter_map(|value| std::str::from_utf8(value).ok());
    values.flat_map(|value| value.split(',')).filter_map(accepted)
}

/// The media type of an element of `Accept`, unless it says by `q=0` that it is not wanted.
fn accepted(element: &str) -> Option<&str> {
    let (kind, parameters) = element.split_once(';').unwrap_or((element, ""));
    let weight = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("q="));
    (weight.and_then(|weight| weight.parse::<f32>().ok()) != Some(0.0)).then(|| kind.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_chooses_the_body() {
        for (accept, json) in [
            ("application/json", true),
            ("application/json, text/plain, */*", true),
            ("text/html,application/json;q=0.9", false),
            ("*/*", false),
            ("application/vnd.api+json; charset=utf-8", true),
            ("image/png", false),
            ("Application/JSON", true),
            ("application/json;q=0", false),
            ("application/json; q=0.0, text/plain", false),
        ] {
            let mut headers = Headers::default();
            headers.append(ACCEPT, accept);
            assert_eq!(ErrorFormat::of(&headers) == ErrorFormat::Json, json, "{accept}");
        }
    }

    #[test]
    fn grpc_is_told_by_its_status() {
        for (kind, grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc; x=y", true),
            ("application/grpc-web", false),
            ("text/plain", false),
        ] {
            let mut headers = Headers::default();
            headers.append(CONTENT_TYPE, kind);
            assert_eq!(ErrorFormat::of(&headers) == ErrorFormat::Grpc, grpc, "{kind}");
        }
        let answer = LocalReply::new(RejectReason::NoEndpoint, "100 % gone").response(ErrorFormat::Grpc);
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers.get(GRPC_STATUS), Some(&b"14"[..]));
        assert_eq!(answer.headers.get(GRPC_MESSAGE), Some(&b"no_endpoint: 100 %25 gone"[..]));
    }

    #[test]
    fn every_reason_has_an_error_status_and_a_fault() {
        let redirects = [RejectReason::RedirectedToHttps, RejectReason::Redirected];
        for reason in RejectReason::ALL.into_iter().filter(|reason| !redirects.contains(reason)) {
            let reply = LocalReply::new(reason, "why");
            assert!(reply.status().as_u16() >= 400, "{reason:?}");
            let upstream = reply.fault() == FaultParty::Upstream;
            assert_eq!(upstream, matches!(reply.status().as_u16(), 502 | 504), "{reason:?}");
        }
    }
}
