//! The requests that wait because the codec has queued the stream of another one.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct OpeningQueue {
    /// Whether the codec has a stream that is not opened yet.
    opening: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl OpeningQueue {
    /// Ready when the codec has no stream that is not opened.
    pub(super) fn poll_turn(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.opening.get() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The codec has one from now on.
    pub(super) fn begin(&self) {
        self.opening.set(true);
    }

    /// It is opened, or given up. The others look again, in the order in which they came.
    pub(super) fn end(&self) {
        self.opening.set(false);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }
}
