//! The bytes of one HTTP/1.1 connection, shared by the connection and the body of the request that it is on.
//!
//! The part that waits reads: the connection for a head, or for the end of a client that leaves; the body for its next
//! part. Only one of them does at a time: while a body is not over, its bytes are its own. A body may outlive its
//! exchange, in the hands of a task that still sends it to an endpoint, so each exchange has a number, and a body whose
//! number has passed gets nothing more.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use tokio::io::AsyncWrite;

use super::write_timeout::WriteTimeout;
use crate::http1::{BodyDecoder, BodyLength, Piece, ReadBuf, WriteBuf, write_interim};
use crate::message::Headers;
use crate::proxy::accept::client_stream::ClientStream;
use crate::proxy::body::body_fault::BodyFault;
use crate::proxy::request::interim::{Interim, InterimSink};

/// Tells a client that waits with its body to send it (RFC 9110, 15.2.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A connection's stream, and what is read and to be written.
#[derive(Debug)]
pub(crate) struct Http1Transport {
    stream: WriteTimeout<ClientStream>,
    pub(crate) read_buf: ReadBuf,
    pub(crate) write_buf: WriteBuf,
    /// The body of the request that is under way.
    body: BodyDecoder,
    /// Whether the client waits to be told to send it.
    expects_continue: bool,
    /// Whether it has been told so for this request, by us or by its endpoint.
    continued: bool,
    /// Whether the response has begun: then what waits to be written is the connection's to write, which is woken for
    /// it.
    responding: bool,
    /// Whether what is left of the body will not be asked for.
    left: bool,
    /// The number of the exchange.
    exchange: u64,
}

/// A connection, as its task and the bodies on it share it.
#[derive(Clone, Debug)]
pub(crate) struct SharedTransport(Rc<RefCell<Option<Http1Transport>>>);

impl Http1Transport {
    /// Reads more; how many bytes came, none at the end.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.read_buf.poll_fill(&mut self.stream, cx)
    }

    /// Writes what waits, and what TLS has kept of it.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_buf.poll_flush(&mut self.stream, cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Begins an exchange whose request has a body of this length.
    pub(crate) fn begin(&mut self, body: BodyLength, expects_continue: bool) {
        self.exchange += 1;
        self.body = BodyDecoder::new(body);
        (self.expects_continue, self.continued) = (expects_continue, false);
        (self.responding, self.left) = (false, false);
    }

    /// Whether another request can follow, as far as is known when the response begins: not if a client that is refused
    /// has more to send of a body that is not read. It has to be told with the response (RFC 9112, 9.6).
    pub(crate) fn may_go_on(&mut self, cx: &mut Context<'_>) -> bool {
        self.body.is_over() || !self.left || self.skip(cx)
    }

    /// The response has begun: the client is not told to go on any more.
    pub(crate) fn responding(&mut self) {
        (self.expects_continue, self.responding) = (false, true);
    }

    /// Whether the request's body was taken to its end.
    pub(crate) fn body_is_over(&self) -> bool {
        self.body.is_over()
    }

    /// Ends the exchange. Returns whether the next request can be read: what is left of this one's body came already,
    /// or there is nothing left.
    pub(crate) fn end(&mut self, cx: &mut Context<'_>) -> bool {
        self.exchange += 1;
        self.skip(cx)
    }

    /// Drops what has come of the body. Whether that was all of it.
    fn skip(&mut self, cx: &mut Context<'_>) -> bool {
        let mut may_read = true;
        loop {
            match self.body.decode(self.read_buf.bytes()) {
                Ok(Piece::Data(_)) => {}
                Ok(Piece::Over | Piece::Trailers(_)) => return true,
                // One look: an upload that goes on is not worth reading.
                Ok(Piece::More) if may_read => {
                    may_read = false;
                    if !matches!(self.poll_fill(cx), Poll::Ready(Ok(1..))) {
                        return false;
                    }
                }
                Ok(Piece::More) | Err(_) => return false,
            }
        }
    }

    /// Puts an interim response of the endpoint in, to be written before the response. A client is told to go on once.
    fn interim(&mut self, status: StatusCode, headers: &Headers) {
        let again = status == StatusCode::CONTINUE && std::mem::replace(&mut self.continued, true);
        if !again && !self.responding {
            self.expects_continue &= status != StatusCode::CONTINUE;
            write_interim(&mut self.write_buf, status, headers);
        }
    }

    /// While the response has not begun: writes what waits, and is ready when the client has left.
    pub(crate) fn poll_before_response(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.write_buf.is_empty() && matches!(self.poll_flush(cx), Poll::Ready(Err(_))) {
            return Poll::Ready(());
        }
        self.poll_gone(cx)
    }

    /// Ready when the client has left in the middle of an exchange. What it sends beyond its request stays for later,
    /// and is not read on.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.body.is_over() || !self.read_buf.is_empty() {
            return Poll::Pending;
        }
        match self.poll_fill(cx) {
            Poll::Ready(Ok(1..)) | Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(()),
        }
    }

    /// Whether nothing waits in either direction.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.read_buf.is_empty() && self.write_buf.is_empty()
    }

    /// The next part of the body.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        loop {
            match self.body.decode(self.read_buf.bytes()) {
                Ok(Piece::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Piece::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Ok(Piece::Over) => return Poll::Ready(None),
                Ok(Piece::More) => {}
                Err(broken) => return Poll::Ready(Some(Err(broken.into()))),
            }
            if std::mem::take(&mut self.expects_continue) {
                self.continued = true;
                self.write_buf.small().extend_from_slice(CONTINUE);
            }
            if !self.responding && !self.write_buf.is_empty() {
                // If it cannot be written now, it goes out with the response.
                let _flushed = self.poll_flush(cx);
            }
            match ready!(self.poll_fill(cx)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(Some(Err(BodyFault::Gone))),
            }
        }
    }
}

impl SharedTransport {
    pub(crate) fn new(stream: WriteTimeout<ClientStream>) -> Self {
        let transport = Http1Transport {
            stream,
            read_buf: ReadBuf::default(),
            write_buf: WriteBuf::default(),
            body: BodyDecoder::Length(0),
            expects_continue: false,
            continued: false,
            responding: false,
            left: false,
            exchange: 0,
        };
        Self(Rc::new(RefCell::new(Some(transport))))
    }

    /// Does something with the transport; nothing when it is gone.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Http1Transport) -> T) -> Option<T> {
        self.0.borrow_mut().as_mut().map(act)
    }

    /// The stream, and the bytes that were read from it and not used. Bodies that are left get nothing more.
    pub(crate) fn take(&self) -> Option<(ClientStream, Bytes)> {
        let transport = self.0.borrow_mut().take()?;
        Some((transport.stream.into_inner(), transport.read_buf.into_bytes()))
    }

    /// Where interim responses go.
    pub(crate) fn interim(&self) -> Interim {
        Interim::to(Rc::clone(&self.0) as Rc<dyn InterimSink>)
    }

    /// The body of the request that is under way.
    pub(crate) fn body(&self) -> Http1RequestBody {
        Http1RequestBody { exchange: self.with(|transport| transport.exchange).unwrap_or(0), transport: self.clone() }
    }
}

impl InterimSink for RefCell<Option<Http1Transport>> {
    fn send(&self, status: StatusCode, headers: &Headers) {
        // The steps run while the transport is not borrowed. If it were, a response that is optional would be missing.
        if let Ok(mut transport) = self.try_borrow_mut()
            && let Some(transport) = transport.as_mut()
        {
            transport.interim(status, headers);
        }
    }
}

/// The body of a request that comes on a connection.
#[derive(Debug)]
pub(crate) struct Http1RequestBody {
    transport: SharedTransport,
    exchange: u64,
}

impl Http1RequestBody {
    fn with<T>(&self, act: impl FnOnce(&mut Http1Transport) -> T) -> Option<T> {
        self.transport.with(|transport| (transport.exchange == self.exchange).then(|| act(transport))).flatten()
    }
}

impl Drop for Http1RequestBody {
    fn drop(&mut self) {
        // The transport is not borrowed when a body is dropped; if it were, the connection would find out at the end.
        if let Ok(mut transport) = self.transport.0.try_borrow_mut()
            && let Some(transport) = transport.as_mut().filter(|transport| transport.exchange == self.exchange)
        {
            transport.left = true;
        }
    }
}

impl Body for Http1RequestBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        self.with(|transport| transport.poll_body(cx)).unwrap_or(Poll::Ready(Some(Err(BodyFault::Over))))
    }

    fn is_end_stream(&self) -> bool {
        self.with(|transport| transport.body_is_over()).unwrap_or(false)
    }

    fn size_hint(&self) -> SizeHint {
        self.with(|transport| transport.body.size_hint()).unwrap_or_default()
    }
}
