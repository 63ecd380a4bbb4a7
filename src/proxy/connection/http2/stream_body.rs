//! The body of a request on a stream of HTTP/2.
//!
//! A part is the client's to replace as soon as it was taken: the window of the stream grows when the task that
//! sends the body on asks for more of it, so an endpoint that does not read stops its client and no other one.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};

use super::responder::Responder;
use crate::proxy::body::body_fault::BodyFault;

/// What a client sends on a stream after the head of its request.
#[derive(Debug)]
pub(crate) struct Http2Body {
    stream: RecvStream,
    /// What is to come, if the client said it. The codec holds it to that.
    left: Option<u64>,
    /// Told when more is asked for, while the client waits for that.
    expects_continue: Option<Rc<Responder>>,
}

impl Http2Body {
    /// The body of a request with these headers. One that waits to be told to go on is told at the first look.
    pub(super) fn new(stream: RecvStream, headers: &HeaderMap, expects_continue: Option<Rc<Responder>>) -> Self {
        Self { stream, left: length(headers), expects_continue }
    }
}

/// The length that a head tells. Two of them, or what is no number, is refused later on.
fn length(headers: &HeaderMap) -> Option<u64> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next()?.to_str().ok()?.parse().ok();
    length.filter(|_| lengths.next().is_none())
}

impl Body for Http2Body {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        if let Some(responder) = self.expects_continue.take() {
            responder.go_on();
        }
        match ready!(self.stream.poll_data(cx)) {
            Some(Ok(data)) => {
                // There is nothing to give back when the stream is over, and that is seen at the next look.
                let _window = self.stream.flow_control().release_capacity(data.len());
                self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            // Whatever the code of a reset says: a body that was not ended must not look like one that was.
            Some(Err(_gone)) => return Poll::Ready(Some(Err(BodyFault::Gone))),
            None => {}
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).map_err(|_gone| BodyFault::Gone).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
