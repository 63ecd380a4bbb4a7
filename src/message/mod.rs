//! Heads of messages, as every stage of the proxy sees them, whatever protocol they came in.
//!
//! `http::HeaderMap` did this once, and a quarter of what a request cost was spent in it: a hash for each name, a
//! counted reference for each value, a table to grow and to drop, of which a proxy needs next to nothing. It asks for
//! some thirty names, of which two or three are there, adds five lines, and writes all of it out again. So here the
//! lines stay the bytes they came as: [`Headers`] is one piece of text with the places of its lines, in their order. To
//! ask for a name is to compare it with the few that are there, and for the names that a proxy knows not even that:
//! which of them are there is [noted](HeaderSet) when a line is added. To write lines that were not changed is one
//! copy.
//!
//! A message on HTTP/2 comes from its codec as a map and goes to it as one; it is turned once on each side. Trailers
//! stay maps: they are rare, and the bodies' types want them so.
//!
//! - [`headers`]: the lines. [`known_headers`]: the names that the proxy knows. [`header_set`]: which of them are
//!   there.

pub(crate) mod ascii;
pub(crate) mod header_set;
pub(crate) mod headers;
pub(crate) mod known_headers;
pub(crate) mod target;

use http::{Extensions, Method, StatusCode, Version};

pub(crate) use header_set::HeaderSet;
pub(crate) use headers::{HeaderSpan, Headers};
pub(crate) use known_headers::KnownHeader;
pub(crate) use target::RequestTarget;

/// The head of a request.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The target, as the client wrote it until it is routed, and in origin form then.
    pub target: RequestTarget,
    /// What it came in.
    pub version: Version,
    /// The lines.
    pub headers: Headers,
    /// What the codec of HTTP/2 knows besides.
    pub extensions: Extensions,
}

impl From<http::request::Parts> for RequestHead {
    fn from(head: http::request::Parts) -> Self {
        let http::request::Parts { method, uri, version, headers, extensions, .. } = head;
        Self { method, target: uri.into(), version, headers: Headers::from(&headers), extensions }
    }
}

/// A response: its head and its body.
#[derive(Debug)]
pub struct Response<B> {
    /// The status.
    pub status: StatusCode,
    /// What it came in.
    pub version: Version,
    /// The lines.
    pub headers: Headers,
    /// The body.
    pub body: B,
}

impl<B> Response<B> {
    /// 200, without a line.
    #[must_use]
    pub fn new(body: B) -> Self {
        Self { status: StatusCode::OK, version: Version::HTTP_11, headers: Headers::default(), body }
    }

    /// The same head with another body, made of this one.
    #[must_use]
    pub fn map<C>(self, change: impl FnOnce(B) -> C) -> Response<C> {
        let (head, body) = self.with_body(());
        head.with_body(change(body)).0
    }

    /// The same head with another body, and this one.
    #[must_use]
    pub fn with_body<C>(self, other: C) -> (Response<C>, B) {
        let Self { status, version, headers, body } = self;
        (Response { status, version, headers, body: other }, body)
    }
}

impl<B> From<http::Response<B>> for Response<B> {
    fn from(response: http::Response<B>) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status, version: head.version, headers: Headers::from(&head.headers), body }
    }
}
