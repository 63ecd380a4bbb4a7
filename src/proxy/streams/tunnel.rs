//! Bytes in both directions, after both sides agreed to switch protocols: what becomes of a WebSocket.
//!
//! The codecs hand both connections over and forget them, so what they do for requests is done here: a bound on
//! silence, the end when the version is left behind, the count. A side that has said its last byte is closed for
//! writing on the other one, which may still respond.
//!
//! A tunnel that a shift closes is cut: there is no close frame with 1001 ("going away") first. A frame of ours may
//! only stand between two frames, and to know where one ends every byte would have to be followed, in both directions,
//! for the life of the tunnel, through fragments, extensions and subprotocols that were agreed on by others; a frame
//! set in the wrong place is taken for a part of a message. The bytes that came last do not tell either: a frame can
//! end in the middle of a read. Clients must expect the cut anyway, as it is what they see of a network or a process
//! that goes (1006), and open the WebSocket anew; `on_shift = { after = "30s" }` leaves the service that time to send
//! its own 1001.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::long_lived::StreamGuard;
use crate::proxy::connection::stream_permit::StreamPermit;
use crate::proxy::request::upstream_connection::UpstreamConnection;
use crate::upstream::TunnelUpstream;

/// What is read at a time in one direction.
const ROOM_BYTES: usize = 8 * 1024;

/// How long one side may go on when the other one is gone: what it has said is on its way already.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

/// A tunnel that both sides agreed on.
#[derive(Debug)]
pub(crate) struct Tunnel {
    /// The endpoint's side; none if it has consented to a request that had not ended.
    pub upstream: Option<TunnelUpstream>,
    /// Holds the endpoint's count of requests in flight. Its connection is never used for another one
    /// (docs/http-rules.md#rule-26).
    pub connection: UpstreamConnection,
    /// Holds the version's count of long connections.
    pub guard: StreamGuard,
    /// Longest silence in both directions together.
    pub idle_timeout: Duration,
    /// Holds the client's count of streams, if it is on one.
    pub stream: Option<StreamPermit>,
}

impl Tunnel {
    /// Carries bytes between `client` and the endpoint until one side breaks, both have ended, nothing moves for too
    /// long, or the version is left behind. `first` are bytes of the client that were read too early.
    pub(crate) async fn run(self, client: impl AsyncRead + AsyncWrite + Unpin, first: Bytes) {
        let client = TunnelEnd { stream: client, unread: first };
        match self.upstream {
            Some(TunnelUpstream::Http1(stream, unread)) => {
                carry(client, TunnelEnd { stream, unread }, &self.guard, self.idle_timeout).await
            }
            Some(TunnelUpstream::Http2(stream)) => {
                let upstream = TunnelEnd { stream: *stream, unread: Bytes::new() };
                carry(client, upstream, &self.guard, self.idle_timeout).await
            }
            None => tracing::debug!("the endpoint consented to a tunnel with a request that had not ended"),
        }
        drop((self.connection, self.stream));
    }
}

/// One side of a tunnel, with bytes that were read from it too early.
struct TunnelEnd<S> {
    stream: S,
    unread: Bytes,
}

/// Carries bytes between two sides, each with those that were read already.
async fn carry<C, U>(client: TunnelEnd<C>, upstream: TunnelEnd<U>, guard: &StreamGuard, idle_timeout: Duration)
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let moved = Rc::new(Cell::new(Instant::now()));
    let mut client = Moving { stream: client.stream, first: client.unread, moved: Rc::clone(&moved) };
    let mut upstream = Moving { stream: upstream.stream, first: upstream.unread, moved: Rc::clone(&moved) };
    tokio::select! {
        () = both_ways(&mut client, &mut upstream) => tracing::debug!("tunnel ended"),
        () = silence(&moved, idle_timeout) => tracing::debug!("tunnel closed: nothing moved for too long"),
        () = poll_fn(|cx| guard.poll_closed(cx)) => tracing::debug!("tunnel closed: its version was left behind"),
    }
}

/// Carries bytes until both sides have ended. When one breaks, what it said before is passed on all the same, and so is
/// what the other one still says, for a moment: a side that closes after its last word has often not read all that was
/// sent to it, and the first that is seen of it is then that it takes no more.
async fn both_ways<C, U>(client: &mut C, upstream: &mut U)
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let (mut forth, mut back) = (TunnelDirection::default(), TunnelDirection::default());
    let mut patience: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        let ended = [forth.poll(client, upstream, cx), back.poll(upstream, client, cx)];
        if ended.iter().all(Poll::is_ready) {
            return Poll::Ready(());
        }
        if ended.contains(&Poll::Ready(DirectionEnd::Broken)) {
            return patience.get_or_insert_with(|| Box::pin(sleep(LAST_WORDS_MAX))).as_mut().poll(cx);
        }
        Poll::Pending
    })
    .await;
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

/// How one direction has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum DirectionEnd {
    /// All that its source said was passed on, and its end.
    Well,
    /// Its source or its target is gone. What came before was passed on as far as it could be.
    Broken,
}

/// One direction of a tunnel.
#[derive(Debug)]
struct TunnelDirection {
    room: Box<[u8]>,
    /// What of the room is to be written.
    waiting: Range<usize>,
    /// Whether something was written and not flushed.
    unflushed: bool,
    /// How the source has ended.
    source: Option<DirectionEnd>,
    ended: Option<DirectionEnd>,
}

impl Default for TunnelDirection {
    fn default() -> Self {
        let room = vec![0; ROOM_BYTES].into_boxed_slice();
        Self { room, waiting: 0..0, unflushed: false, source: None, ended: None }
    }
}

impl TunnelDirection {
    /// Goes on; may be asked again after its end.
    fn poll<R, W>(&mut self, source: &mut R, target: &mut W, cx: &mut Context<'_>) -> Poll<DirectionEnd>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        if self.ended.is_none() {
            let passed = ready!(self.pass(source, target, cx));
            self.ended = Some(passed.unwrap_or(DirectionEnd::Broken));
        }
        self.ended.map_or(Poll::Pending, Poll::Ready)
    }

    /// An error is the target's.
    fn pass<R, W>(&mut self, source: &mut R, target: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<DirectionEnd>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            while !self.waiting.is_empty() {
                match ready!(Pin::new(&mut *target).poll_write(cx, &self.room[self.waiting.clone()]))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    written => self.waiting.start += written,
                }
                self.unflushed = true;
            }
            if let Some(ended) = self.source {
                ready!(Pin::new(&mut *target).poll_shutdown(cx))?;
                return Poll::Ready(Ok(ended));
            }
            let mut room = ReadBuf::new(&mut self.room);
            match Pin::new(&mut *source).poll_read(cx, &mut room) {
                Poll::Ready(Ok(())) if room.filled().is_empty() => self.source = Some(DirectionEnd::Well),
                Poll::Ready(Ok(())) => self.waiting = 0..room.filled().len(),
                Poll::Ready(Err(_gone)) => self.source = Some(DirectionEnd::Broken),
                Poll::Pending => {
                    if self.unflushed {
                        ready!(Pin::new(&mut *target).poll_flush(cx))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, join, split};

    use super::*;

    /// A side that takes nothing any more.
    #[derive(Debug)]
    struct Gone;

    impl AsyncWrite for Gone {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
        }
    }

    #[tokio::test]
    async fn what_a_side_said_before_it_was_gone_arrives() {
        let (mut user, mut client) = duplex(64);
        let (mut origin, upstream) = duplex(64);
        let mut upstream = join(split(upstream).0, Gone);
        user.write_all(b"a frame that nobody reads").await.unwrap();
        let (_, came) = tokio::join!(both_ways(&mut client, &mut upstream), async {
            // Long after the break was seen.
            sleep(LAST_WORDS_MAX / 2).await;
            origin.write_all(b"close").await.unwrap();
            drop(origin);
            let mut came = Vec::new();
            user.read_to_end(&mut came).await.unwrap();
            came
        });
        assert_eq!(came, b"close");
    }

    #[tokio::test]
    async fn a_side_that_is_gone_does_not_keep_the_other_one() {
        let (mut user, mut client) = duplex(64);
        let (_origin, upstream) = duplex(64);
        let mut upstream = join(split(upstream).0, Gone);
        user.write_all(b"x").await.unwrap();
        let began = Instant::now();
        both_ways(&mut client, &mut upstream).await;
        assert!(began.elapsed() >= LAST_WORDS_MAX, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_half_that_is_closed_leaves_the_other_one_open() {
        let (mut user, mut client) = duplex(4096);
        let (mut origin, mut upstream) = duplex(4096);
        let talk = async {
            let mut came = Vec::new();
            user.write_all(&[b'q'; 1000]).await.unwrap();
            user.shutdown().await.unwrap();
            origin.read_to_end(&mut came).await.unwrap();
            assert_eq!(came.len(), 1000);
            sleep(LAST_WORDS_MAX * 2).await;
            origin.write_all(b"answer").await.unwrap();
            drop(origin);
            came.clear();
            user.read_to_end(&mut came).await.unwrap();
            assert_eq!(came, b"answer");
        };
        tokio::join!(both_ways(&mut client, &mut upstream), talk);
    }
}
