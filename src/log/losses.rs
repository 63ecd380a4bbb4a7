//! The counts of what a log has lost, and why.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Counts what could not be written to one log. The thread that writes and the thread that shows it share it.
#[derive(Debug, Default)]
pub struct Losses {
    lines: AtomicU64,
    problem: Mutex<Option<String>>,
}

impl Losses {
    /// Counts lines that are lost.
    pub fn add(&self, lines: u64) {
        self.lines.fetch_add(lines, Relaxed);
    }

    /// Lines that were lost since the start.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines.load(Relaxed)
    }

    /// Why the last write failed; none when it was good.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how the last write went. Returns whether that is news.
    pub fn set_problem(&self, problem: Option<String>) -> bool {
        let mut known = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        let news = known.is_some() != problem.is_some();
        *known = problem;
        news
    }
}
