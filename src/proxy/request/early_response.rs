//! A listener without TLS that sends every client to the https URL of what it asked for.
//!
//! By 308 for every method: it is the one permanent redirect with which a client repeats the method and the body, and
//! every client of the last ten years knows it; 301 turns a `POST` into a `GET`. The rules of admission come first, so
//! the host in the response is one valid host and nothing else. A request that a trusted proxy took over https is let
//! through, or it would be sent round in a circle.

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::Full;

use super::configured_reply::ConfiguredReply;
use super::local_reply::{ErrorFormat, LocalReply};
use crate::message::known_headers::LOCATION;
use crate::message::{RequestTarget, Response};
use crate::proxy::body::response_body::ResponseBody;
use crate::stats::RejectReason;

/// The port that an https URL need not name.
const HTTPS_PORT: u16 = 443;

/// How a request ends that is not forwarded.
#[derive(Debug)]
pub(crate) enum EarlyResponse {
    /// With a local reply.
    Local(EarlyReply),
    /// With what the proxy itself was asked for.
    Own(Box<Response<ResponseBody>>),
    /// With what a rule, or the URL that a service wants to be asked by, says.
    Configured(Box<ConfiguredReply>),
}

/// A local reply, which may say where to go instead.
#[derive(Debug)]
pub(crate) struct EarlyReply {
    pub reply: LocalReply,
    location: Option<HeaderValue>,
}

impl From<LocalReply> for EarlyResponse {
    fn from(reply: LocalReply) -> Self {
        Self::Local(EarlyReply { reply, location: None })
    }
}

impl EarlyReply {
    /// The response, in the manner that the client understands.
    #[must_use]
    pub(crate) fn response(self, format: ErrorFormat) -> Response<Full<Bytes>> {
        let mut response = self.reply.response(format);
        if let Some(location) = self.location {
            response.headers.append(LOCATION, location);
        }
        response
    }
}

/// The response to a request for `target` of the host `name`, which belongs to the https URL with `port`.
#[must_use]
pub(crate) fn to_https(name: &str, target: &RequestTarget, port: u16) -> EarlyResponse {
    if name.is_empty() {
        return LocalReply::new(RejectReason::BadHost, "found no Host header, want one to redirect to").into();
    }
    let port = if port == HTTPS_PORT { String::new() } else { format!(":{port}") };
    let location = [format!("https://{name}{port}").as_bytes(), target.path_and_query()].concat();
    match HeaderValue::from_bytes(&location) {
        Ok(location) => {
            let detail = "this listener sends every request to its https URL";
            let reply = LocalReply::new(RejectReason::RedirectedToHttps, detail);
            EarlyResponse::Local(EarlyReply { reply, location: Some(location) })
        }
        Err(_not_a_value) => {
            LocalReply::new(RejectReason::BadTarget, "the target cannot stand in a Location header").into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(name: &str, target: &str, port: u16) -> Option<String> {
        let target = RequestTarget::parse(target.as_bytes()).expect("a target");
        let EarlyResponse::Local(exit) = to_https(name, &target, port) else { return None };
        exit.location.map(|location| location.to_str().expect("ASCII").to_owned())
    }

    #[test]
    fn the_url_is_that_of_the_same_host_path_and_query() {
        for (name, target, port, wanted) in [
            ("a.example", "/x?y=1", 443, Some("https://a.example/x?y=1")),
            ("a.example", "/", 8443, Some("https://a.example:8443/")),
            ("[::1]", "http://[::1]/x", 443, Some("https://[::1]/x")),
            ("a.example", "//evil.example/", 443, Some("https://a.example//evil.example/")),
            ("", "/", 443, None),
        ] {
            assert_eq!(location(name, target, port).as_deref(), wanted);
        }
    }
}
