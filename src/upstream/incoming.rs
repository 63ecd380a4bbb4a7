//! The body of a response, whatever the connection speaks.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::endpoint_stream::EndpointStream;
use super::http1::Http1;
use super::http2::response_stream::ResponseStream;
use super::http2::upstream_stream::StreamContent;
use super::incoming_error::IncomingError;
use crate::http2::TunnelStream;

/// What comes from an endpoint.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// On a connection of its own, which it owns until its end.
    Http1(Box<Http1>),
    /// On a stream of a shared one.
    Http2(ResponseStream),
    /// The other end of a tunnel on such a stream: there is no body.
    Tunnel(Box<TunnelStream>),
    /// It has been read to its end, and its connection is somewhere else.
    Over,
}

/// An endpoint's side of a tunnel.
#[derive(Debug)]
pub(crate) enum TunnelUpstream {
    /// A connection of its own, and what came behind the response on it.
    Http1(EndpointStream, Bytes),
    /// A stream of a shared one.
    Http2(Box<TunnelStream>),
}

impl From<StreamContent> for Incoming {
    fn from(content: StreamContent) -> Self {
        match content {
            StreamContent::Body(stream) => Self::Http2(stream),
            StreamContent::Tunnel(stream) => Self::Tunnel(stream),
        }
    }
}

impl Incoming {
    /// The connection, for another exchange, if it can have one; if not, it is closed.
    #[must_use]
    pub(crate) fn take_idle(&mut self) -> Option<Box<Http1>> {
        match std::mem::replace(self, Self::Over) {
            Self::Http1(connection) => connection.into_idle(),
            other @ (Self::Http2(_) | Self::Tunnel(_) | Self::Over) => {
                *self = other;
                None
            }
        }
    }

    /// The bytes themselves, after both sides have agreed on a tunnel; `None` while the request is not at its end.
    #[must_use]
    pub(crate) fn into_tunnel(self) -> Option<TunnelUpstream> {
        match self {
            Self::Http1(connection) => {
                connection.into_stream().map(|(stream, unread)| TunnelUpstream::Http1(stream, unread))
            }
            Self::Tunnel(stream) => Some(TunnelUpstream::Http2(stream)),
            Self::Http2(_) | Self::Over => None,
        }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = IncomingError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        match &mut *self {
            Self::Http1(connection) => connection.poll_frame(cx),
            Self::Http2(stream) => Pin::new(stream).poll_frame(cx),
            Self::Tunnel(_) | Self::Over => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_over(),
            Self::Http2(stream) => stream.is_end_stream(),
            Self::Tunnel(_) | Self::Over => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(connection) => connection.size_hint(),
            Self::Http2(stream) => stream.size_hint(),
            Self::Tunnel(_) | Self::Over => SizeHint::with_exact(0),
        }
    }
}
