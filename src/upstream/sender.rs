//! What sends a request, whatever the connection speaks.
//!
//! An HTTP/1.1 connection carries one exchange at a time and is owned by it. An HTTP/2 connection carries many: it
//! stays in the pool, and an exchange owns a [`UpstreamStream`] of it, which counts as one of its open streams.

use super::http1::Http1;
use super::http2::upstream_stream::UpstreamStream;

/// Sends the request of one exchange.
#[derive(Debug)]
pub(crate) enum RequestSender {
    /// A connection of its own.
    Http1(Box<Http1>),
    /// A stream on a shared one.
    Http2(UpstreamStream),
    /// Nothing any more: the connection is with the response, or gone.
    Spent,
}

impl RequestSender {
    /// Whether requests are sent as HTTP/2 wants them.
    #[must_use]
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }
}
