//! A connection of HTTP/2 whose turn is counted [in bytes](crate::http1::coop); its codec reads it, and counts reads.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http1::coop::consume_budget;
use crate::tls::maybe_tls::pass_on_writes;

/// A connection that yields to others when its budget of bytes is used up.
#[derive(Debug)]
pub(crate) struct CoopBudget<S>(pub(crate) S);

impl<S: AsyncRead + Unpin> AsyncRead for CoopBudget<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.0).poll_read(cx, buf);
        consume_budget(buf.filled().len() - before, cx);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CoopBudget<S> {
    pass_on_writes!(0: write, flush, shutdown);
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::http1::coop::BYTES_PER_PART;

    #[tokio::test(flavor = "current_thread")]
    async fn a_turn_ends_after_so_many_bytes_and_another_one_comes() {
        let mut endless = CoopBudget(tokio::io::repeat(0));
        for _turn in 0..3 {
            tokio::task::yield_now().await;
            let mut count = 0;
            let mut bytes = [0; 8 * 1024];
            poll_fn(|cx| {
                loop {
                    let mut buf = ReadBuf::new(&mut bytes);
                    match Pin::new(&mut endless).poll_read(cx, &mut buf) {
                        Poll::Ready(read) => read.unwrap(),
                        Poll::Pending => return Poll::Ready(()),
                    }
                    count += buf.filled().len();
                }
            })
            .await;
            assert!((64 * 1024..=128 * BYTES_PER_PART).contains(&count), "{count}");
        }
    }
}
