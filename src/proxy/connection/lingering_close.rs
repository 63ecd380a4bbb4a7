//! A connection that is not closed before its client has read the last response.
//!
//! A client of HTTP/2 sends while it reads: window updates, acknowledgements. A socket that is closed while such bytes
//! are unread, or that gets them after it was closed, responds with a reset, and at a reset a client gives up what of
//! the last response it has not read (RFC 9112, 9.6, says it of HTTP/1.1). The codec keeps its socket to itself and
//! only shuts it down, so the waiting is a part of that: nothing more is written, and what still comes is read and
//! dropped until the client has closed as well.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::LINGER_SILENCE_MAX;
use crate::tls::maybe_tls::pass_on_writes;

/// How much is read at once to be dropped: frames of a client that has nothing to ask any more are small.
const SCRATCH_BYTES: usize = 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct LingeringClose<S> {
    stream: S,
    /// Since everything is written: when the client has had its time.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> LingeringClose<S> {
    /// Lingers when it is shut down.
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, until: None }
    }
}

impl<S: AsyncRead + Unpin> LingeringClose<S> {
    /// Ready when the client has closed.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut scratch = [0; SCRATCH_BYTES];
            let mut scratch = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut scratch));
            if read.is_err() || scratch.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LingeringClose<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LingeringClose<S> {
    pass_on_writes!(stream: write, flush);

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.until.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            // All of it, not each silence: a client that goes on sending has read that the connection is over.
            self.until = Some(Box::pin(sleep(LINGER_SILENCE_MAX)));
        }
        let late = self.until.as_mut().is_none_or(|until| until.as_mut().poll(cx).is_ready());
        if late || self.poll_closed(cx).is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn response(mut stream: impl AsyncWrite + Unpin) {
        stream.write_all(&[b'x'; 50_000]).await.expect("taken");
        stream.shutdown().await.expect("an end");
    }

    /// How many bytes of a response a client gets that sends what is not read.
    async fn read(lingers: bool) -> io::Result<usize> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut client = TcpStream::connect(listener.local_addr()?).await?;
        let server = listener.accept().await?.0;
        client.write_all(b"a window update").await?;
        server.readable().await?;
        let responded = match lingers {
            true => tokio::spawn(response(LingeringClose::new(server))),
            false => tokio::spawn(response(server)),
        };
        if !lingers {
            responded.await.expect("the server ends");
            client.write_all(b"another one").await?;
            return client.read_to_end(&mut Vec::new()).await;
        }
        client.write_all(b"another one").await?;
        let count = client.read_to_end(&mut Vec::new()).await?;
        drop(client);
        responded.await.expect("the server ends");
        Ok(count)
    }

    #[tokio::test]
    async fn what_the_client_has_not_read_outlives_what_it_still_sends() {
        assert_eq!(read(true).await.expect("an end in order"), 50_000);
        read(false).await.expect_err("a reset, at which clients give up reading");
    }

    #[tokio::test]
    async fn a_client_that_does_not_close_is_not_waited_for() {
        let (_client, server) = tokio::io::duplex(64);
        LingeringClose::new(server).shutdown().await.expect("an end");
    }
}
