//! The bytes that were read from a connection and not used yet.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::head::{self, HeadError, HeadLimits, Request, ResponseHead};
use super::{buffer_pool, coop};

/// With less room than this a read first makes more.
const ROOM_BYTES_MIN: usize = 2 * 1024;

/// The room that there is at first.
const ROOM_BYTES: usize = buffer_pool::READING_BYTES;

/// The room that there is when the last read filled what there was: large bodies come in large parts.
const ROOM_BYTES_MAX: usize = buffer_pool::READING_BYTES_MAX;

/// A buffer for reading. It has no memory until something is read, and none any more when nothing is left of it and
/// nothing more comes.
#[derive(Debug, Default)]
pub struct ReadBuf {
    bytes: BytesMut,
    /// How many bytes of the front have been looked at and are no whole head.
    looked_at: usize,
    /// Whether the last read filled its room.
    filled: bool,
}

impl ReadBuf {
    /// A buffer that begins with what is in `bytes`.
    #[must_use]
    pub fn with(bytes: BytesMut) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes.
    pub fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// All that is in it.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes.freeze()
    }

    /// Lends its memory to others if nothing is in it.
    pub fn lend(&mut self) {
        buffer_pool::give_reading(&mut self.bytes);
    }

    /// Gives its memory back if nothing is in it.
    pub fn rest(&mut self) {
        if self.bytes.is_empty() {
            self.lend();
            *self = Self::default();
        }
    }

    /// Reads more; how many bytes came, none at the end of the input.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn poll_fill<S: AsyncRead + Unpin>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let wanted = if self.filled { ROOM_BYTES_MAX } else { ROOM_BYTES };
        // To the front of the room if no part of it is held any more.
        if self.bytes.is_empty() && !self.bytes.try_reclaim(wanted) && self.bytes.capacity() < ROOM_BYTES_MIN {
            self.lend();
            self.bytes = buffer_pool::take_reading(wanted);
        }
        if self.bytes.capacity() - self.bytes.len() < ROOM_BYTES_MIN {
            self.bytes.reserve(wanted);
        }
        let room = self.bytes.capacity() - self.bytes.len();
        let read = pin!(stream.read_buf(&mut self.bytes));
        let polled = std::future::Future::poll(read, cx);
        if let Poll::Ready(Ok(count)) = polled {
            self.filled = count == room;
            coop::consume_budget(count, cx);
        } else {
            // If a part of it is still held, it stays, and what comes next goes behind that: a body in pieces of a
            // byte would be held in as many rooms otherwise.
            self.lend();
        }
        polled
    }

    /// The head of a request, if it is whole.
    ///
    /// # Errors
    /// When what is there cannot become one.
    pub fn request(&mut self, limits: HeadLimits) -> Result<Option<Request>, HeadError> {
        self.head(limits, |bytes| head::request(bytes, limits))
    }

    /// The head of a response, if it is whole.
    ///
    /// # Errors
    /// When what is there cannot become one.
    pub fn response(&mut self, to_head: bool, limits: HeadLimits) -> Result<Option<ResponseHead>, HeadError> {
        self.head(limits, |bytes| head::response(bytes, to_head, limits))
    }

    /// A head that comes in many small parts is parsed when its end is there, not at each of them. The first part is
    /// always looked at, so that what is no HTTP at all is refused at once.
    fn head<H>(
        &mut self,
        limits: HeadLimits,
        parse: impl FnOnce(&mut BytesMut) -> Result<Option<H>, HeadError>,
    ) -> Result<Option<H>, HeadError> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        // Where the end may have begun before.
        let from = self.looked_at.saturating_sub(3);
        if self.looked_at > 0 && self.bytes.len() < limits.bytes_max && !has_empty_line(&self.bytes[from..]) {
            self.looked_at = self.bytes.len();
            return Ok(None);
        }
        let head = parse(&mut self.bytes)?;
        self.looked_at = if head.is_some() { 0 } else { self.bytes.len() };
        Ok(head)
    }
}

/// Whether a line end follows a line end, as lenient as a parser of heads can be.
fn has_empty_line(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::task::Waker;

    use tokio::io::AsyncWrite;

    use super::*;
    use crate::message::known_headers::HOST;

    #[test]
    fn large_bodies_are_read_in_large_parts() {
        let (mut stream, mut read_buf, mut most) = (&[0; 1 << 20][..], ReadBuf::default(), 0);
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..10 {
            let Poll::Ready(Ok(count)) = read_buf.poll_fill(&mut stream, &mut cx) else { panic!("memory is ready") };
            most = most.max(count);
            // No part of it is kept.
            drop(read_buf.bytes().split());
        }
        assert!(most >= 64 * 1024, "{most} bytes at once");
    }

    #[test]
    fn who_waits_for_more_holds_nothing() {
        let (mut near, mut far) = tokio::io::duplex(64);
        let mut cx = Context::from_waker(Waker::noop());
        let mut read_buf = ReadBuf::default();
        assert!(std::pin::Pin::new(&mut far).poll_write(&mut cx, b"GET / HTTP/1.1\r\n").is_ready());
        assert!(read_buf.poll_fill(&mut near, &mut cx).is_ready());
        assert!(read_buf.poll_fill(&mut near, &mut cx).is_pending());
        assert_eq!(read_buf.len(), 16, "a part of a head stays");
        read_buf.bytes().clear();
        assert!(read_buf.poll_fill(&mut near, &mut cx).is_pending());
        assert_eq!(read_buf.bytes().capacity(), 0);
    }

    #[test]
    fn who_waits_after_a_large_part_holds_nothing_and_the_next_one_finds_the_same_room() {
        let (mut near, mut far) = tokio::io::duplex(1 << 20);
        let mut cx = Context::from_waker(Waker::noop());
        let mut read_buf = ReadBuf::default();
        let mut places = BTreeSet::new();
        for _ in 0..10 {
            let sent = std::pin::Pin::new(&mut far).poll_write(&mut cx, &[0; 100_000]);
            assert!(matches!(sent, Poll::Ready(Ok(100_000))));
            while read_buf.poll_fill(&mut near, &mut cx).is_ready() {
                if read_buf.len() > ROOM_BYTES {
                    places.insert(read_buf.bytes().as_ptr());
                }
                drop(read_buf.bytes().split());
            }
            assert_eq!(read_buf.bytes().capacity(), 0);
        }
        assert_eq!(places.len(), 1, "a large room is not made anew");
    }

    #[test]
    fn small_pieces_that_somebody_holds_share_their_room() {
        let (mut near, mut far) = tokio::io::duplex(64);
        let mut cx = Context::from_waker(Waker::noop());
        let mut read_buf = ReadBuf::default();
        let mut held: Vec<Bytes> = Vec::new();
        for _ in 0..1000 {
            assert!(std::pin::Pin::new(&mut far).poll_write(&mut cx, b"x").is_ready());
            assert!(read_buf.poll_fill(&mut near, &mut cx).is_ready());
            held.push(read_buf.bytes().split().freeze());
            assert!(read_buf.poll_fill(&mut near, &mut cx).is_pending());
        }
        let follows = |pair: &&[Bytes]| pair[0].as_ptr().addr() + 1 == pair[1].as_ptr().addr();
        assert_eq!(held.windows(2).filter(follows).count(), 999);
    }

    #[test]
    fn small_requests_are_read_to_the_same_place() {
        let limits = HeadLimits { bytes_max: 1024, headers_max: 10 };
        let mut read_buf = ReadBuf::default();
        let mut cx = Context::from_waker(Waker::noop());
        let mut places = BTreeSet::new();
        for _ in 0..10 {
            let mut stream = &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..];
            assert!(read_buf.poll_fill(&mut stream, &mut cx).is_ready());
            places.insert(read_buf.bytes().as_ptr());
            let head = read_buf.request(limits).expect("a head").expect("a whole one");
            assert_eq!(head.head.headers.get(HOST), Some(&b"a"[..]));
        }
        assert_eq!(places.len(), 1);
    }
}
