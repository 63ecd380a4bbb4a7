//! The bytes of a tunnel on a stream of HTTP/2 (RFC 8441, 5): a stream that ends is a side that has said its last byte,
//! one that is reset a side that is gone. A tunnel that is dropped before its end resets it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One side of a tunnel.
#[derive(Debug)]
pub(crate) struct TunnelStream {
    incoming: RecvStream,
    outgoing: SendStream<Bytes>,
    /// What came and did not fit where it was read to.
    unread: Bytes,
    /// Whether it was said that nothing more goes out.
    shut: bool,
}

impl TunnelStream {
    /// The tunnel on a stream that both sides have agreed on.
    pub(crate) fn new(incoming: RecvStream, outgoing: SendStream<Bytes>) -> Self {
        Self { incoming, outgoing, unread: Bytes::new(), shut: false }
    }
}

fn broken(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}

impl AsyncRead for TunnelStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(self.incoming.poll_data(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(data)) => self.unread = data,
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            }
        }
        let count = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread[..count]);
        self.unread.advance(count);
        // There is nothing to give back when the stream is over, and that is seen at the next look.
        let _window = self.incoming.flow_control().release_capacity(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        // No more than the other side has room for: what the codec has, it still has when the stream is over for us.
        if self.outgoing.capacity() < bytes.len() {
            self.outgoing.reserve_capacity(bytes.len());
        }
        while self.outgoing.capacity() == 0 {
            match ready!(self.outgoing.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let count = self.outgoing.capacity().min(bytes.len());
        let sent = self.outgoing.send_data(Bytes::copy_from_slice(&bytes[..count]), false);
        Poll::Ready(sent.map(|()| count).map_err(broken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's task writes.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::replace(&mut self.shut, true) {
            return Poll::Ready(Ok(()));
        }
        self.outgoing.reserve_capacity(0);
        Poll::Ready(self.outgoing.send_data(Bytes::new(), true).map_err(broken))
    }
}
