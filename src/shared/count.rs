//! A counter with one writer.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts what one worker does. Any thread may read it; only the worker may add, which is why adding is a plain load
/// and store. Two writers would lose counts (never memory safety).
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`. For the worker that owns the counter only.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Takes `n` back: for gauges, by the same worker.
    pub fn sub(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(n), Relaxed);
    }

    /// The count so far.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
