//! Bytes in both directions, after both sides agreed to switch protocols: what becomes of a WebSocket.
//!
//! The codecs hand both connections over and forget them, so what they do for requests is done here: a bound on silence, the
//! end when the version is left behind, the count. A side that has said its last byte is closed for writing on the other
//! one, which may still answer.
//!
//! A tunnel that a shift closes is cut: there is no close frame with 1001 ("going away") first. A frame of ours may only
//! stand between two frames, and to know where one ends every byte would have to be followed, in both directions, for
//! the life of the tunnel, through fragments, extensions and subprotocols that were agreed on by others; a frame set in
//! the wrong place is taken for a part of somebody's message. The bytes that came last do not tell either: a frame can
//! end in the middle of a read. Clients must expect the cut anyway, as it is what they see of a network or a process that
//! goes (1006), and open the WebSocket anew; `on_shift = { after = "30s" }` leaves the service that time to send its own
//! 1001.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::time::{Instant, sleep_until};

use super::dial::Lease;
use super::long::Open;
use super::stream_place::StreamPlace;
use crate::upstream::{EndpointStream, Incoming};

/// A tunnel that both sides agreed on.
#[derive(Debug)]
pub struct Tunnel {
    /// The endpoint's side.
    pub upstream: Far,
    /// Holds the endpoint's count of requests in flight. Its connection is never used for another one (rule 26).
    pub lease: Lease,
    /// Holds the version's count of long connections.
    pub open: Open,
    /// Longest silence in both directions together.
    pub idle_timeout: Duration,
    /// Holds the client's count of streams, if it is on one.
    pub stream: Option<StreamPlace>,
}

/// An endpoint's side of a tunnel.
#[derive(Debug)]
pub enum Far {
    /// A connection of its own, and what came behind the answer on it.
    Http1(EndpointStream, Bytes),
    /// A stream of a shared one, as soon as hyper hands it over; there is none when the answer had a body to come.
    Http2(Option<OnUpgrade>),
}

impl Far {
    /// What an answer that consents to a tunnel leaves behind: its body, or what hyper put into its head.
    #[must_use]
    pub fn of(incoming: Incoming, promised: Option<OnUpgrade>) -> Self {
        incoming.into_stream().map_or(Self::Http2(promised), |(stream, unread)| Self::Http1(stream, unread))
    }
}

impl Tunnel {
    /// Carries bytes between `client` and the endpoint until one side breaks, both have ended, nothing moves for too
    /// long, or the version is left behind. `first` are bytes of the client that were read too early.
    pub async fn run(self, client: impl AsyncRead + AsyncWrite + Unpin, first: Bytes) {
        match self.upstream {
            Far::Http1(stream, unread) => carry((client, first), (stream, unread), &self.open, self.idle_timeout).await,
            Far::Http2(Some(stream)) => match stream.await {
                Ok(stream) => {
                    let upstream = (TokioIo::new(stream), Bytes::new());
                    carry((client, first), upstream, &self.open, self.idle_timeout).await;
                }
                Err(error) => tracing::debug!(%error, "the endpoint took its consent to a tunnel back"),
            },
            Far::Http2(None) => tracing::debug!("the endpoint consented to a tunnel with a request that had not ended"),
        }
        drop((self.lease, self.stream));
    }
}

/// Carries bytes between two sides, each with those that were read already.
async fn carry<C, U>((client, first): (C, Bytes), (upstream, unread): (U, Bytes), open: &Open, idle_timeout: Duration)
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let moved = Rc::new(Cell::new(Instant::now()));
    let mut client = Moving { stream: client, first, moved: Rc::clone(&moved) };
    let mut upstream = Moving { stream: upstream, first: unread, moved: Rc::clone(&moved) };
    tokio::select! {
        ended = copy_bidirectional(&mut client, &mut upstream) => {
            tracing::debug!(error = ended.err().map(tracing::field::display), "tunnel ended");
        }
        () = silence(&moved, idle_timeout) => tracing::debug!("tunnel closed: nothing moved for too long"),
        () = poll_fn(|cx| open.poll_closed(cx)) => tracing::debug!("tunnel closed: its version was left behind"),
    }
}

/// Waits until nothing has moved for `limit`.
async fn silence(moved: &Cell<Instant>, limit: Duration) {
    loop {
        let until = moved.get() + limit;
        if until <= Instant::now() {
            return;
        }
        sleep_until(until).await;
    }
}

/// A stream that notes when bytes moved, with bytes that come before its own.
struct Moving<S> {
    stream: S,
    first: Bytes,
    moved: Rc<Cell<Instant>>,
}

impl<S> Moving<S> {
    fn note<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.moved.set(Instant::now());
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Moving<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let count = self.first.len().min(buf.remaining());
            buf.put_slice(&self.first[..count]);
            self.first.advance(count);
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.note(polled)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Moving<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
