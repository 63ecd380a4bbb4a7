//! The bytes that wait to be written on a connection.
//!
//! Small parts are copied behind each other and go out in one `send`; one large part, such as a piece of a body, is not
//! copied and goes out together with what is before and after it in one `writev`. A `writev` of one small part costs
//! the kernel more than a `send` of it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use super::buffer_pool;

/// From this many bytes on a part is not copied: a copy of less costs less than the second vector does.
const LARGE_BYTES_MIN: usize = 4 * 1024;

/// The most small bytes that may wait before more is accepted.
const SMALL_BYTES_MAX: usize = 16 * 1024;

/// Bytes to write, in order: small ones, a large part, and what ends it.
#[derive(Debug, Default)]
pub(crate) struct WriteBuf {
    small: Vec<u8>,
    /// How many of the small ones are written.
    sent: usize,
    large: Bytes,
    after: &'static [u8],
    /// How many bytes have been written in its life.
    written: u64,
}

impl WriteBuf {
    /// Where to put small parts. What is large has to be [written](Self::poll_flush) before; see
    /// [`has_room`](Self::has_room).
    pub(crate) fn small(&mut self) -> &mut Vec<u8> {
        debug_assert!(self.large.is_empty() && self.after.is_empty(), "a large part is in the way");
        if self.small.capacity() == 0 {
            self.small = buffer_pool::take_writing();
        }
        &mut self.small
    }

    /// Whether nothing waits.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.small.len() && self.large.is_empty() && self.after.is_empty()
    }

    /// How many bytes have been written, ever: who saw the number before knows whether anything went out since.
    #[must_use]
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Whether more may be put in before the next flush.
    #[must_use]
    pub(crate) fn has_room(&self) -> bool {
        self.large.is_empty() && self.after.is_empty() && self.small.len() < SMALL_BYTES_MAX
    }

    /// Puts a part in, and `after`, which ends it.
    pub(crate) fn push(&mut self, part: Bytes, after: &'static [u8]) {
        if part.len() < LARGE_BYTES_MIN {
            let small = self.small();
            small.extend_from_slice(&part);
            small.extend_from_slice(after);
        } else {
            (self.large, self.after) = (part, after);
        }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// When the connection takes no more.
    pub(crate) fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let small = &self.small[self.sent..];
            let written = if self.large.is_empty() && self.after.is_empty() {
                ready!(Pin::new(&mut *stream).poll_write(cx, small))?
            } else {
                let parts = [IoSlice::new(small), IoSlice::new(&self.large), IoSlice::new(self.after)];
                ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &parts))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        self.written += written as u64;
        let small = written.min(self.small.len() - self.sent);
        self.sent += small;
        written -= small;
        if self.sent == self.small.len() {
            buffer_pool::give_writing(std::mem::take(&mut self.small));
            self.sent = 0;
        }
        let large = written.min(self.large.len());
        self.large.advance(large);
        if self.large.is_empty() {
            // Its end would hold all of the room that it was read into.
            self.large = Bytes::new();
        }
        written -= large;
        self.after = &self.after[written.min(self.after.len())..];
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use bytes::BytesMut;

    use super::*;

    #[test]
    fn what_was_written_is_held_no_more() {
        let mut room = BytesMut::zeroed(64 * 1024);
        let (mut write_buf, mut stream) = (WriteBuf::default(), Vec::new());
        write_buf.push(room.split().freeze(), b"\r\n");
        assert!(!room.try_reclaim(64 * 1024));
        assert!(write_buf.poll_flush(&mut stream, &mut Context::from_waker(Waker::noop())).is_ready());
        assert_eq!(stream.len(), 64 * 1024 + 2);
        assert!(room.try_reclaim(64 * 1024), "the room is free for the next part");
    }
}
