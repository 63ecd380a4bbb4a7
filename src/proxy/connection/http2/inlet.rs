//! The bytes of a client on their way to the codec: noted, because the codec does not tell whether anything came, and
//! looked through once the connection is [leaving](super::farewell).

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::farewell::{Farewell, FramePosition};
use super::streams::{Leaving, Streams};
use crate::tls::maybe_tls::pass_on_writes;

/// What is read at a time of a connection that is leaving.
const SCRATCH_BYTES: usize = 4 * 1024;

/// A client's connection under the codec.
#[derive(Debug)]
pub(super) struct Inlet<S> {
    stream: S,
    streams: Rc<Streams>,
    position: FramePosition,
    farewell: Option<Box<Farewell>>,
}

impl<S> Inlet<S> {
    pub(super) fn new(stream: S, streams: Rc<Streams>) -> Self {
        Self { stream, streams, position: FramePosition::default(), farewell: None }
    }
}

impl<S: AsyncRead + Unpin> Inlet<S> {
    fn poll_leaving(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>, leaving: Leaving) -> Poll<io::Result<()>> {
        let position = &mut self.position;
        let farewell = self.farewell.get_or_insert_with(|| Box::new(Farewell::new(std::mem::take(position))));
        if leaving == Leaving::Finally {
            farewell.release();
        }
        loop {
            let count = farewell.give(buf.initialize_unfilled());
            if count > 0 {
                buf.advance(count);
                return Poll::Ready(Ok(()));
            }
            let mut scratch = [0; SCRATCH_BYTES];
            let mut scratch = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut scratch))?;
            self.streams.heard();
            if scratch.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            farewell.take(scratch.filled());
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Inlet<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(leaving) = self.streams.leaving() {
            return self.poll_leaving(cx, buf, leaving);
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_ready() {
            self.streams.heard();
            self.position.follow(&buf.filled()[before..]);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Inlet<S> {
    pass_on_writes!(stream: write, flush, shutdown);
}
