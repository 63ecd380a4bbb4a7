//! How many client connections all workers may have together.
//!
//! Each connection may need a second descriptor, towards an endpoint. If accepting took the last ones, the requests that
//! are here could not be passed on, and the admin API could not answer (http.md, 23). At the ceiling nobody is refused: the
//! workers stop accepting until a connection ends, and the kernel's queue holds the rest. The number is shared by the
//! workers, at the cost of two adds a connection: with a share for each, one worker would be full while others have room.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The bound, and what is open below it. Several workers that look at the same moment can each go one above.
#[derive(Debug)]
pub struct Ceiling {
    max: usize,
    open: AtomicUsize,
    freed: Notify,
    told: AtomicBool,
}

/// A connection's place; dropping it frees it.
#[derive(Debug)]
pub struct Place(Arc<Ceiling>);

impl Ceiling {
    /// Up to `max` connections.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max, open: AtomicUsize::new(0), freed: Notify::new(), told: AtomicBool::new(false) }
    }

    /// Whether there is no room.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.open.load(Ordering::SeqCst) >= self.max
    }

    /// Waits until there is room.
    pub async fn room(&self) {
        // Once: under an attack it would be a line for every connection.
        if !self.told.swap(true, Ordering::Relaxed) {
            let max = self.max;
            tracing::warn!(
                max,
                "as many connections as fit; the next ones wait. Raise the limit of open files or proxy.connections_max"
            );
        }
        loop {
            let mut freed = pin!(self.freed.notified());
            // Before the look, so that what is freed in between is not missed.
            freed.as_mut().enable();
            if !self.is_reached() {
                return;
            }
            freed.await;
        }
    }

    /// Takes a place.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Place {
        self.open.fetch_add(1, Ordering::SeqCst);
        Place(Arc::clone(self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::SeqCst) >= self.0.max {
            self.0.freed.notify_waiters();
        }
    }
}
