//! The body of a response, whatever the connection speaks.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::endpoint_stream::EndpointStream;
use super::http1::Http1;
use super::incoming_error::IncomingError;
use crate::http1::Broken;

/// What comes from an endpoint.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// On a connection of its own, which it owns until its end.
    Http1(Box<Http1>),
    /// On a stream of a shared one.
    Http2(hyper::body::Incoming),
    /// It has been read to its end, and its connection is somewhere else.
    Over,
}

impl Incoming {
    /// The connection, for another exchange, if it can have one; if not, it is closed.
    #[must_use]
    pub(crate) fn take_idle(&mut self) -> Option<Box<Http1>> {
        match std::mem::replace(self, Self::Over) {
            Self::Http1(connection) => connection.into_idle(),
            other @ (Self::Http2(_) | Self::Over) => {
                *self = other;
                None
            }
        }
    }

    /// The bytes themselves, after a switch of protocols, with those that were read already; `None` if hyper has them.
    #[must_use]
    pub(crate) fn into_stream(self) -> Option<(EndpointStream, Bytes)> {
        match self {
            Self::Http1(connection) => connection.into_stream(),
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
            Self::Http2(incoming) => match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
                // To hyper a reset without an error is an end, also in the middle.
                None if !incoming.is_end_stream() => Poll::Ready(Some(Err(Broken::Short.into()))),
                polled => Poll::Ready(polled.map(|frame| frame.map_err(IncomingError::Http2))),
            },
            Self::Over => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_over(),
            Self::Http2(incoming) => incoming.is_end_stream(),
            Self::Over => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(connection) => connection.size_hint(),
            Self::Http2(incoming) => incoming.size_hint(),
            Self::Over => SizeHint::with_exact(0),
        }
    }
}
