//! What hyper's HTTP/1.1 server reads and writes, seen from outside.
//!
//! Inbound bytes pass by the [`Tracker`]. Outbound, one thing is kept back: a head that hyper cannot parse never becomes
//! a request of ours, hyper answers it alone, with a status and nothing else. That answer is [`hushed`](Tap::hushed), and
//! the connection, which ends with it anyway, writes a refusal like any other in its place. Parsing heads ourselves
//! before hyper does would say no earlier, and cost every good request a second parser.
//!
//! What looks like an answer of hyper's may be the end of an upstream's body. So nothing is hushed while an exchange is
//! [`Live`]: from its request until its answer's body is gone *and* every byte of it has left. A head that is refused
//! while bytes of the answer before still wait is answered by hyper.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::Response;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::{HeadFraming, Tracker};
use super::refuse::Refusal;

/// hyper's own answers are shorter: a status line, a length and a date.
const CANNED_BYTES_MAX: usize = 160;

/// What is known of a connection's bytes; shared by the connection and the service that answers its requests.
#[derive(Debug, Default)]
pub struct Tap {
    tracker: RefCell<Tracker>,
    hushed: Cell<Option<Refusal>>,
    /// Whether bytes were written that may not have gone out.
    unflushed: Cell<bool>,
    live: Cell<Live>,
}

/// Whether bytes that are written may be those of an answer that somebody asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Live {
    /// They are not: what hyper says now, it says by itself.
    #[default]
    No,
    /// A request has been taken, and its answer's body is not over.
    Yes,
    /// The body is over; its last bytes may wait.
    Ending,
}

impl Tap {
    /// See [`Tracker::next_head`]. What is written from now on belongs to this request, until its
    /// [answer](Self::answered) is gone.
    pub fn next_head(&self) -> Option<HeadFraming> {
        self.live.set(Live::Yes);
        self.tracker.borrow_mut().next_head()
    }

    /// The answer to the request that was taken last.
    #[must_use]
    pub fn answered<B>(self: &Rc<Self>, answer: Response<B>) -> Response<Tapped<B>> {
        answer.map(|body| Tapped { body, tap: Rc::clone(self) })
    }

    /// See [`Tracker::within_head`].
    #[must_use]
    pub fn within_head(&self) -> bool {
        self.tracker.borrow().within_head()
    }

    /// See [`Tracker::is_to_head`].
    #[must_use]
    pub fn is_to_head(&self) -> bool {
        self.tracker.borrow().is_to_head()
    }

    /// Whether all bytes that came belong to whole messages, and all that were written have gone out.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        !self.unflushed.get() && self.hushed.get().is_none() && self.tracker.borrow().is_between_messages()
    }

    /// What stands for the answer of hyper's own that was kept back; it is for the connection to say it.
    #[must_use]
    pub fn hushed(&self) -> Option<Refusal> {
        self.hushed.get()
    }
}

/// The body of an answer, which tells the tap of its end.
#[derive(Debug)]
pub struct Tapped<B> {
    body: B,
    tap: Rc<Tap>,
}

impl<B> Drop for Tapped<B> {
    fn drop(&mut self) {
        self.tap.live.set(Live::Ending);
    }
}

impl<B: Body + Unpin> Body for Tapped<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection whose bytes are seen by a tap.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    tap: Rc<Tap>,
}

impl<S> Watched<S> {
    /// Wraps `stream`.
    pub fn new(stream: S) -> (Self, Rc<Tap>) {
        let tap = Rc::default();
        (Self { stream, tap: Rc::clone(&tap) }, tap)
    }

    /// The stream itself.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

/// What is to be done with bytes that hyper writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outbound {
    /// They are an answer, or a part of one.
    Pass,
    /// They are hyper's own answer.
    Hush(Refusal),
}

impl Outbound {
    /// Looks whether `bytes`, before which all was sent, are an answer of hyper's own. It cannot be taken for one of ours
    /// or an upstream's, because those always have a header that it has not (`Content-Type`, `Via`).
    fn of(bytes: &[u8]) -> Self {
        if bytes.len() > CANNED_BYTES_MAX || !bytes.starts_with(b"HTTP/1.") || !bytes.ends_with(b"\r\n\r\n") {
            return Self::Pass;
        }
        canned(bytes).map_or(Self::Pass, Self::Hush)
    }
}

/// What to say in its place, if `head` is one of hyper's own answers.
fn canned(head: &[u8]) -> Option<Refusal> {
    let mut lines = std::str::from_utf8(head).ok()?.trim_end_matches("\r\n").split("\r\n");
    let status = lines.next()?.get(9..12)?.parse().ok()?;
    let bare = lines.all(|line| {
        let name = line.split(':').next().unwrap_or(line);
        line == "content-length: 0" || name == "date" || name == "connection"
    });
    Refusal::in_place_of(status).filter(|_| bare)
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.tap.tracker.borrow_mut().feed(&buf.filled()[before..]);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.tap.unflushed.set(true);
        if self.tap.live.get() == Live::No
            && let Outbound::Hush(refusal) = Outbound::of(buf)
        {
            self.tap.hushed.set(Some(refusal));
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper asks for this when its own buffer is empty.
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        let flushed = matches!(polled, Poll::Ready(Ok(())));
        self.tap.unflushed.set(!flushed);
        if flushed && self.tap.live.get() == Live::Ending {
            self.tap.live.set(Live::No);
        }
        polled
    }

    /// Only flushes: the connection has a last word, and closes itself.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.tap.unflushed.set(true);
        if self.tap.live.get() == Live::No {
            // Rare, and looked at alone.
            let first = bufs.iter().find(|buf| !buf.is_empty());
            return self.poll_write(cx, first.map_or(&[][..], |buf| buf));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANNED: &[u8] =
        b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\ndate: Sat, 21 Nov 2026 12:00:00 GMT\r\n\r\n";

    #[test]
    fn answers_of_hypers_own_are_told_from_others() {
        assert_eq!(Outbound::of(CANNED), Outbound::Hush(Refusal::in_place_of(431).expect("one of hyper's")));
        let upstreams = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nvia: 1.1 pointsman\r\n\r\n";
        for other in [
            upstreams.as_slice(),
            b"",
            b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            &CANNED[1..],
            &[b"x", CANNED].concat(),
        ] {
            assert_eq!(Outbound::of(other), Outbound::Pass, "{:?}", String::from_utf8_lossy(other));
        }
    }
}
