//! The body of a stream of change events. It ends when its worker drains: the client comes back to another process.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::ofrep::change_feed::FeedSubscription;
use crate::proxy::worker::Worker;

/// What is awaited: the next part, with what the one after it comes from.
type Next = Pin<Box<dyn Future<Output = Option<(Bytes, FeedSubscription)>>>>;

/// Events, and heartbeats in between.
pub(crate) struct EventBody {
    next: Next,
    worker: Rc<Worker>,
}

impl EventBody {
    /// What this client is told, counted by `worker`.
    #[must_use]
    pub(crate) fn new(worker: &Rc<Worker>, subscription: FeedSubscription) -> Self {
        worker.stats.flag_streams().add(1);
        Self { next: Box::pin(next(Rc::clone(worker), subscription)), worker: Rc::clone(worker) }
    }

    /// The next part; none at the end.
    pub(crate) fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some((part, subscription)) = ready!(self.next.as_mut().poll(cx)) else {
            self.next = Box::pin(std::future::ready(None));
            return Poll::Ready(None);
        };
        self.next = Box::pin(next(Rc::clone(&self.worker), subscription));
        Poll::Ready(Some(part))
    }
}

async fn next(worker: Rc<Worker>, mut subscription: FeedSubscription) -> Option<(Bytes, FeedSubscription)> {
    let part = tokio::select! {
        biased;
        () = worker.drained() => return None,
        part = subscription.next() => part?,
    };
    Some((part, subscription))
}

impl Drop for EventBody {
    fn drop(&mut self) {
        self.worker.stats.flag_streams().sub(1);
    }
}

impl std::fmt::Debug for EventBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventBody").finish_non_exhaustive()
    }
}
