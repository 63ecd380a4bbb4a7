//! The budget of a task's turn, in bytes that it reads, and the deadlines that are heard when it is used up.
//!
//! tokio ends a task's turn after 128 reads, whatever they brought. That may be mebibytes of which nothing comes:
//! frames of nine bytes, chunks of one, a chunk's size that has no end. They keep everybody else on the thread waiting
//! for a tenth of a second, again and again. So reads are [charged](consume_budget) by what they bring.
//!
//! A timer of tokio's wants a part of the turn as well, and says that it waits when none is left. Who always has
//! something to read would never run into a deadline. So deadlines are [`poll_unbudgeted`] out of turn.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::coop::{poll_proceed, unconstrained};
use tokio::time::Sleep;

/// What one of the 128 parts of a turn may bring: with its whole turn, a task reads twice the window of a stream of
/// HTTP/2, or twice what the codec of HTTP/1.1 takes at once.
pub(crate) const BYTES_PER_PART: usize = 1024;

/// Takes from the budget for a read that brought this many bytes; the socket has taken one part already.
pub(crate) fn consume_budget(bytes: usize, cx: &mut Context<'_>) {
    for _ in 0..bytes / BYTES_PER_PART {
        match poll_proceed(cx) {
            Poll::Ready(part) => part.made_progress(),
            // The turn is over: the next read finds that out.
            Poll::Pending => break,
        }
    }
}

/// Whether `timer` is over, also when the turn is.
pub(crate) fn poll_unbudgeted(timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    Pin::new(&mut unconstrained(timer)).poll(cx)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_deadline_is_heard_when_the_turn_is_over() {
        let mut timer = Box::pin(sleep(Duration::from_millis(1)));
        // It is known to the runtime before it is over.
        poll_fn(|cx| Poll::Ready(timer.as_mut().poll(cx).is_pending())).await;
        sleep(Duration::from_millis(20)).await;
        let seen = poll_fn(|cx| {
            consume_budget(usize::MAX, cx);
            assert!(timer.as_mut().poll(cx).is_pending(), "it wants a part of the turn");
            Poll::Ready(poll_unbudgeted(timer.as_mut(), cx))
        });
        assert_eq!(seen.await, Poll::Ready(()));
    }
}
