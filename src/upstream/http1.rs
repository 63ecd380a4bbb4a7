//! A connection to an endpoint that speaks HTTP/1.1, for one exchange at a time.
//!
//! It is polled by its user: there is no task behind it and no channel to one, as in hyper's client, where these cost
//! more than the four system calls of an exchange. The exchange owns it from its request to the end of its response's
//! body, so no other request can read what belongs to it, and its head is only borrowed, so that one that was not
//! written can go elsewhere without a copy:
//!
//! ```text
//! begin -> poll_response ... -> into_response -> poll_frame ... -> into_idle -> the pool
//! ```
//!
//! What an endpoint sends unasked is never taken for a response: a connection on which it did is not used, nor is one
//! with bytes behind the end of a body.

mod detached;
#[cfg(test)]
mod tests;
mod upload;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::io::AsyncRead;
use tokio::time::{Instant, Sleep, sleep_until};

use self::detached::{ResponseReader, detach};
use self::upload::{Upload, UploadFault};
use super::endpoint_stream::EndpointStream;
use super::incoming_error::IncomingError;
use crate::http1::{BodyDecoder, HeadError, HeadLimits, Piece, ReadBuf, ResponseHead, WriteBuf, coop, write_request};
use crate::message::Headers;

/// The parts of a request's head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestLines<'h> {
    pub method: &'h Method,
    /// The target in origin form.
    pub target: &'h [u8],
    /// The headers, with those that frame the body.
    pub headers: &'h Headers,
}

/// Why there is no response.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Http1SendError {
    /// Not a byte of the request was written, nothing of its body was taken: it may go elsewhere.
    #[error("the connection was closed before the request was written")]
    Unsent,
    /// The connection broke after something was written.
    #[error("the connection broke before the answer came")]
    Broken,
    /// What came was not HTTP.
    #[error("what came was not HTTP/1.1")]
    Malformed,
    /// The head of the response has more bytes than it may have.
    #[error("the head of the answer has too many bytes")]
    TooLarge,
    /// The head of the response has more lines than it may have.
    #[error("the head of the answer has too many lines")]
    TooManyLines,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Http1 {
    link: Link,
    read_buf: ReadBuf,
    write_buf: WriteBuf,
    /// The body of the response that is under way.
    body: BodyDecoder,
    /// What the head of a response may have.
    heads: HeadLimits,
    /// How that body broke, until it is told.
    broken: Option<IncomingError>,
    /// Whether another exchange may follow this one.
    reusable: bool,
    /// Whether it has not been used yet: then it is not known whether it is still open.
    fresh: bool,
    /// See [`poll_until`](Self::poll_until).
    timer: Option<Pin<Box<Sleep>>>,
}

/// Who uses the socket.
#[derive(Debug)]
enum Link {
    Own(EndpointStream),
    /// The response, while the upload goes on.
    SharedConnection(ResponseReader),
}

/// A request that is being sent.
#[derive(Debug)]
pub(crate) struct RequestInProgress {
    upload: Upload,
    /// Whether there is nothing more to send, or no endpoint to send it to.
    over: bool,
    /// What the connection had written before.
    before: u64,
    to_head: bool,
}

impl Http1 {
    /// A connection that was not used yet, on which the heads of responses are within `heads`.
    #[must_use]
    pub(crate) fn new(stream: EndpointStream, heads: HeadLimits) -> Box<Self> {
        Box::new(Self {
            link: Link::Own(stream),
            read_buf: ReadBuf::default(),
            write_buf: WriteBuf::default(),
            body: BodyDecoder::Length(0),
            heads,
            broken: None,
            reusable: true,
            fresh: true,
            timer: None,
        })
    }

    /// Whether it can be used: the endpoint has neither ended it nor sent anything.
    pub(crate) fn is_quiet(&mut self) -> bool {
        match &mut self.link {
            Link::Own(stream) => stream.is_quiet(),
            Link::SharedConnection(_) => false,
        }
    }

    /// Begins an exchange. The connection comes from a pool that has just seen it quiet, or is new.
    ///
    /// # Errors
    /// [`Http1SendError::Unsent`] when the endpoint has closed it already.
    pub(crate) fn begin<B: Body<Data = Bytes>>(
        &mut self,
        head: RequestLines<'_>,
        body: &B,
    ) -> Result<RequestInProgress, Http1SendError> {
        if std::mem::take(&mut self.fresh) && !self.is_quiet() {
            return Err(Http1SendError::Unsent);
        }
        let before = self.write_buf.written();
        write_request(&mut self.write_buf, head.method, head.target, head.headers);
        let upload = Upload::of(head.headers, body);
        Ok(RequestInProgress { upload, over: false, before, to_head: *head.method == Method::HEAD })
    }

    /// Sends what is left of the request, and looks for the head of its response, or of an
    /// [interim](ResponseHead::is_interim) one before it: then the next poll looks for the next one.
    ///
    /// # Errors
    /// [`Http1SendError`]; the connection is of no use any more.
    pub(crate) fn poll_response<B: Body<Data = Bytes> + Unpin>(
        &mut self,
        sending: &mut RequestInProgress,
        body: &mut B,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseHead, Http1SendError>> {
        self.send(sending, body, cx)?;
        loop {
            match self.read_buf.response(sending.to_head, self.heads) {
                Ok(Some(head)) => return Poll::Ready(Ok(head)),
                Ok(None) => {}
                Err(HeadError::TooLarge) => return Poll::Ready(Err(Http1SendError::TooLarge)),
                Err(HeadError::TooManyLines) => return Poll::Ready(Err(Http1SendError::TooManyLines)),
                Err(_what) => return Poll::Ready(Err(Http1SendError::Malformed)),
            }
            match ready!(self.read_buf.poll_fill(&mut self.link, cx)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(Err(Http1SendError::Broken)),
            }
        }
    }

    fn send<B: Body<Data = Bytes> + Unpin>(
        &mut self,
        sending: &mut RequestInProgress,
        body: &mut B,
        cx: &mut Context<'_>,
    ) -> Result<(), Http1SendError> {
        let Link::Own(stream) = &mut self.link else { return Ok(()) };
        if sending.over {
            return Ok(());
        }
        match sending.upload.poll(body, &mut self.write_buf, stream, cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => sending.over = true,
            Poll::Ready(Err(UploadFault::Body)) => return Err(Http1SendError::Broken),
            Poll::Ready(Err(UploadFault::Connection)) => {
                if self.write_buf.written() == sending.before && !sending.upload.touched {
                    return Err(Http1SendError::Unsent);
                }
                // It may have answered before it closed: that has still to be read, and nothing can come after it.
                (sending.over, self.reusable) = (true, false);
            }
        }
        Ok(())
    }

    /// Goes on with the body of the response; the rest of the request's `body`, if it has not been sent yet, by itself.
    #[must_use]
    pub(crate) fn into_response<B: Body<Data = Bytes> + Default + Unpin + 'static>(
        mut self: Box<Self>,
        head: &ResponseHead,
        sending: RequestInProgress,
        body: &mut B,
    ) -> Box<Self> {
        self.body = BodyDecoder::new(head.body);
        self.reusable &= head.keep_alive && head.status != StatusCode::SWITCHING_PROTOCOLS;
        if sending.over || sending.upload.is_whole() {
            return self;
        }
        let Self { link, read_buf, write_buf, body: incoming, heads, broken, reusable, fresh, timer } = *self;
        let link = match link {
            Link::Own(stream) => {
                Link::SharedConnection(detach(stream, sending.upload, std::mem::take(body), write_buf))
            }
            shared @ Link::SharedConnection(_) => shared,
        };
        Box::new(Self {
            link,
            read_buf,
            write_buf: WriteBuf::default(),
            body: incoming,
            heads,
            broken,
            reusable,
            fresh,
            timer,
        })
    }

    /// The next part of the response's body.
    ///
    /// A break is told at a poll of its own, after one that has nothing: the task that passes the response on drops
    /// what waits to be written when it is told, and the client would get nothing of a response whose beginning and
    /// break come together.
    ///
    /// # Errors
    /// When the body is broken, or shorter than its head said.
    // As in `Incoming`, which calls it.
    #[inline(always)]
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match self.poll_part(cx) {
            Poll::Ready(Err(error)) => {
                self.broken = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Ok(part)) => Poll::Ready(part.map(Ok)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, IncomingError>> {
        loop {
            match self.body.decode(self.read_buf.bytes())? {
                Piece::Data(data) => return Poll::Ready(Ok(Some(Frame::data(data)))),
                Piece::Trailers(trailers) => return Poll::Ready(Ok(Some(Frame::trailers(trailers)))),
                Piece::Over => return Poll::Ready(Ok(None)),
                Piece::More => {}
            }
            if ready!(self.read_buf.poll_fill(&mut self.link, cx))? == 0 {
                self.body.end()?;
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// Whether all of the response was read.
    #[must_use]
    pub(crate) fn is_over(&self) -> bool {
        self.body.is_over()
    }

    /// What is known of how much of the response is left.
    #[must_use]
    pub(crate) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    /// The connection, ready for another exchange; `None` if it cannot have one. The request's body has to be at its
    /// end.
    #[must_use]
    #[inline(always)]
    pub(crate) fn into_idle(mut self: Box<Self>) -> Option<Box<Self>> {
        if !self.reusable || !self.body.is_over() || !self.read_buf.is_empty() {
            return None;
        }
        self.read_buf.lend();
        if matches!(self.link, Link::Own(_)) {
            return Some(self);
        }
        let Self { link, heads, timer, .. } = *self;
        let Link::SharedConnection(reader) = link else { return None };
        let idle = Self::new(reader.reunite()?, heads);
        Some(Box::new(Self { fresh: false, timer, ..*idle }))
    }

    /// Gives the memory for reading back, of a connection that has been idle for a while.
    pub(crate) fn rest(&mut self) {
        self.read_buf.rest();
    }

    /// The bytes themselves, after a switch of protocols: the connection, and what came behind the response.
    #[must_use]
    pub(crate) fn into_stream(self: Box<Self>) -> Option<(EndpointStream, Bytes)> {
        match self.link {
            Link::Own(stream) => Some((stream, self.read_buf.into_bytes())),
            Link::SharedConnection(_) => None,
        }
    }

    /// Ends a connection that is not used.
    pub(crate) fn close(self: Box<Self>) {
        if let Link::Own(stream) = self.link {
            stream.close();
        }
    }

    /// Ready when `deadline` is over.
    ///
    /// The timer stays with the connection and is moved only when it goes off too early: an exchange that does not last
    /// costs one look at it, where making, arming and disarming one would cost three times as much.
    pub(crate) fn poll_until(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(coop::poll_unbudgeted(timer.as_mut(), cx));
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut tokio::io::ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Own(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::SharedConnection(reader) => Pin::new(reader).poll_read(cx, buf),
        }
    }
}
