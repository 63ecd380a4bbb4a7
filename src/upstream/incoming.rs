//! The body of a response, whatever the connection speaks.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
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
    /// There is none, nor a connection: nothing was sent to an endpoint.
    Nothing,
    /// Another one of these, which is watched.
    Watched(Box<WatchedIncoming>),
}

/// What looks at a body as it passes. One that is dropped has seen a body that was given up.
pub(crate) trait BodyWatch: std::fmt::Debug {
    /// A part came.
    fn part(&mut self, part: &[u8]);
    /// The trailers came.
    fn trailers(&mut self, trailers: &HeaderMap);
    /// It came to its end, or broke.
    fn over(self: Box<Self>, whole: bool);
}

/// A body that is watched.
#[derive(Debug)]
pub(crate) struct WatchedIncoming {
    body: Incoming,
    watch: Option<Box<dyn BodyWatch>>,
}

/// What calls these is only worked into its callers if it does not call itself.
impl WatchedIncoming {
    #[cold]
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(polled) = &polled {
            self.look(polled.as_ref());
        }
        polled
    }

    #[cold]
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    #[cold]
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn look(&mut self, polled: Option<&Result<Frame<Bytes>, IncomingError>>) {
        let Some(watch) = &mut self.watch else { return };
        match polled {
            Some(Ok(frame)) => {
                if let Some(part) = frame.data_ref() {
                    watch.part(part);
                } else if let Some(trailers) = frame.trailers_ref() {
                    watch.trailers(trailers);
                }
                if self.body.is_end_stream() {
                    self.over(true);
                }
            }
            Some(Err(_)) => self.over(false),
            None => self.over(true),
        }
    }

    fn over(&mut self, whole: bool) {
        if let Some(watch) = self.watch.take() {
            watch.over(whole);
        }
    }
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
    /// The same body, which `watch` sees as it passes.
    #[must_use]
    pub(crate) fn watched(self, watch: Box<dyn BodyWatch>) -> Self {
        Self::Watched(Box::new(WatchedIncoming { body: self, watch: Some(watch) }))
    }

    /// The connection, for another exchange, if it can have one; if not, it is closed.
    #[must_use]
    #[inline(always)]
    pub(crate) fn take_idle(&mut self) -> Option<Box<Http1>> {
        match std::mem::replace(self, Self::Over) {
            Self::Http1(connection) => connection.into_idle(),
            Self::Watched(watched) => self.take_idle_of(*watched),
            other @ (Self::Http2(_) | Self::Tunnel(_) | Self::Over | Self::Nothing) => {
                *self = other;
                None
            }
        }
    }

    /// The same of one that is watched.
    #[cold]
    fn take_idle_of(&mut self, watched: WatchedIncoming) -> Option<Box<Http1>> {
        *self = watched.body;
        self.take_idle()
    }

    /// The bytes themselves, after both sides have agreed on a tunnel; `None` while the request is not at its end.
    #[must_use]
    pub(crate) fn into_tunnel(self) -> Option<TunnelUpstream> {
        match self {
            Self::Http1(connection) => {
                connection.into_stream().map(|(stream, unread)| TunnelUpstream::Http1(stream, unread))
            }
            Self::Tunnel(stream) => Some(TunnelUpstream::Http2(stream)),
            Self::Watched(watched) => watched.body.into_tunnel(),
            Self::Http2(_) | Self::Over | Self::Nothing => None,
        }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = IncomingError;

    // Two call it, responses and those of copies: left to itself it is worked into neither, and each response pays.
    #[inline(always)]
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        match &mut *self {
            Self::Http1(connection) => connection.poll_frame(cx),
            Self::Http2(stream) => Pin::new(stream).poll_frame(cx),
            Self::Tunnel(_) | Self::Over | Self::Nothing => Poll::Ready(None),
            Self::Watched(watched) => watched.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_over(),
            Self::Http2(stream) => stream.is_end_stream(),
            Self::Tunnel(_) | Self::Over | Self::Nothing => true,
            Self::Watched(watched) => watched.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(connection) => connection.size_hint(),
            Self::Http2(stream) => stream.size_hint(),
            Self::Tunnel(_) | Self::Over | Self::Nothing => SizeHint::with_exact(0),
            Self::Watched(watched) => watched.size_hint(),
        }
    }
}
