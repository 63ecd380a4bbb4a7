//! The limit of the client connections of all workers together.
//!
//! Each connection may need a second descriptor, towards an endpoint. If accepting took the last ones, the requests
//! that are here could not be passed on, and the admin API could not respond (docs/http-rules.md#rule-23). At the limit
//! no connection is refused: the workers close the connection that has [waited for its client](super::waiting) longest,
//! and stop accepting until it, or another one, has ended; the kernel's queue holds the rest. The number is shared by
//! the workers, at the cost of two adds a connection: with a share for each, one worker would be full while others have
//! room.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use super::waiting::{WaitingSummary, displace_longest};

/// The bound, and what is open below it. Several workers that look at the same moment can each go one above.
#[derive(Debug)]
pub(crate) struct GlobalConnectionLimit {
    max: usize,
    open: AtomicUsize,
    freed: Notify,
    told: AtomicBool,
    waiting: Vec<Arc<WaitingSummary>>,
}

/// How often a connection to close is looked for while there is no room: connections begin to wait by themselves.
const LOOK_INTERVAL: Duration = Duration::from_millis(25);

/// A connection's permit; dropping it frees it.
#[derive(Debug)]
pub(crate) struct GlobalConnectionPermit(Arc<GlobalConnectionLimit>);

impl GlobalConnectionLimit {
    /// Up to `max` connections; those that wait are on these lists.
    #[must_use]
    pub(crate) fn new(max: usize, waiting: Vec<Arc<WaitingSummary>>) -> Self {
        Self { max, open: AtomicUsize::new(0), freed: Notify::new(), told: AtomicBool::new(false), waiting }
    }

    /// Whether there is no room.
    #[must_use]
    pub(crate) fn is_reached(&self) -> bool {
        self.open.load(Ordering::SeqCst) >= self.max
    }

    /// Waits until there is room.
    pub(crate) async fn room(&self, now_ms: impl Fn() -> u64) {
        // Once: under an attack it would be a line for every connection.
        if !self.told.swap(true, Ordering::Relaxed) {
            let max = self.max;
            tracing::warn!(
                max,
                "as many connections as fit; those that are idle make room, and the next ones wait. Raise the limit of open files or proxy.connections_max"
            );
        }
        loop {
            let mut freed = pin!(self.freed.notified());
            // Before the look, so that what is freed in between is not missed.
            freed.as_mut().enable();
            if !self.is_reached() {
                return;
            }
            // If there is none to close, those that come have to wait for an end.
            let _displaced = displace_longest(&self.waiting, now_ms());
            // Looked at again after a moment in any case.
            let _freed = timeout(LOOK_INTERVAL, freed).await;
        }
    }

    /// Takes a permit.
    #[must_use]
    pub(crate) fn enter(self: &Arc<Self>) -> GlobalConnectionPermit {
        self.open.fetch_add(1, Ordering::SeqCst);
        GlobalConnectionPermit(Arc::clone(self))
    }
}

impl Drop for GlobalConnectionPermit {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::SeqCst) >= self.0.max {
            self.0.freed.notify_waiters();
        }
    }
}
