//! Whose turn it is in a body on an HTTP/2 stream.
//!
//! A client that gives a stream no window stops it without stopping the connection: the socket takes bytes, hyper waits
//! for the window, and nobody asks our body for more. So the body notes when it last gave something and was not asked
//! again; the connection resets streams that stay so for too long.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::proxy::body::response_body::ResponseBody;
use crate::proxy::body::transfer::BodyFault;

/// Since when the client has been given a part and has not made room for more; `None` while it is the upstream's turn.
#[derive(Debug, Default)]
pub(crate) struct WindowStall(Cell<Option<Instant>>);

impl WindowStall {
    /// Notes that the client was given something.
    pub(crate) fn given(&self) {
        self.0.set(Some(Instant::now()));
    }

    /// Since when it is the client's turn.
    #[must_use]
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        self.0.get()
    }
}

/// An answer's body that keeps its pace.
#[derive(Debug)]
pub(crate) struct WindowStallTracker {
    body: ResponseBody,
    pace: Rc<WindowStall>,
}

impl WindowStallTracker {
    /// Begins with the head, which is given now.
    pub(crate) fn new(body: ResponseBody, pace: Rc<WindowStall>) -> Self {
        pace.given();
        Self { body, pace }
    }
}

impl Body for WindowStallTracker {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Pending => self.pace.0.set(None),
            Poll::Ready(_) => self.pace.given(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
