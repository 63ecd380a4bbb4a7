//! The counters of events that programs send of users. They are shared by all doors: events come in batches, some a
//! second.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::labels::{EventCallOutcome, EventOutcome};

/// What became of calls with events, and of the events.
#[derive(Debug)]
pub struct EventStats {
    calls: [AtomicU64; EventCallOutcome::ALL.len()],
    events: [AtomicU64; EventOutcome::ALL.len()],
}

impl Default for EventStats {
    fn default() -> Self {
        let zero = |_| AtomicU64::new(0);
        Self { calls: std::array::from_fn(zero), events: std::array::from_fn(zero) }
    }
}

impl EventStats {
    /// Counts a call.
    pub fn called(&self, outcome: EventCallOutcome) {
        self.calls[outcome as usize].fetch_add(1, Relaxed);
    }

    /// Counts an event of a call that was good.
    pub fn sent(&self, outcome: EventOutcome) {
        self.events[outcome as usize].fetch_add(1, Relaxed);
    }

    /// The calls so far, by what became of them.
    pub fn calls(&self) -> impl Iterator<Item = (EventCallOutcome, u64)> {
        EventCallOutcome::ALL.into_iter().zip(self.calls.iter().map(|count| count.load(Relaxed)))
    }

    /// The events so far, by what became of them.
    pub fn events(&self) -> impl Iterator<Item = (EventOutcome, u64)> {
        EventOutcome::ALL.into_iter().zip(self.events.iter().map(|count| count.load(Relaxed)))
    }
}
