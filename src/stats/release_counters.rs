//! What became of rollouts, what the judge's looks took, and the revisions, since the start. The control plane counts
//! them, a few a minute, so they are one map behind a lock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How rollouts ended, how long the judge has worked, and which changes were made.
#[derive(Debug, Default)]
pub struct ReleaseStats {
    endings: Mutex<BTreeMap<EndingLabels, u64>>,
    changes: Mutex<BTreeMap<&'static str, u64>>,
    judge_looks: AtomicU64,
    judge_micros: AtomicU64,
}

/// What an ending is counted under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndingLabels {
    /// The service.
    pub service: Box<str>,
    /// How it ended, in one word.
    pub ending: &'static str,
    /// Why, in one word.
    pub why: &'static str,
}

impl ReleaseStats {
    /// Counts the end of a rollout.
    pub fn ended(&self, labels: EndingLabels) {
        *self.endings.lock().unwrap_or_else(PoisonError::into_inner).entry(labels).or_default() += 1;
    }

    /// The endings so far.
    #[must_use]
    pub fn endings(&self) -> BTreeMap<EndingLabels, u64> {
        self.endings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a revision, by what it was for.
    pub fn changed(&self, action: &'static str) {
        *self.changes.lock().unwrap_or_else(PoisonError::into_inner).entry(action).or_default() += 1;
    }

    /// The revisions so far that were for `action`.
    #[must_use]
    pub fn changes(&self, action: &'static str) -> u64 {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.get(action).copied().unwrap_or_default()
    }

    /// Counts a look of the judge at one rollout.
    pub fn judged(&self, took: Duration) {
        self.judge_looks.fetch_add(1, Relaxed);
        self.judge_micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// How often the judge has looked at a rollout.
    #[must_use]
    pub fn judge_looks(&self) -> u64 {
        self.judge_looks.load(Relaxed)
    }

    /// How long these looks took.
    #[must_use]
    pub fn judge_time(&self) -> Duration {
        Duration::from_micros(self.judge_micros.load(Relaxed))
    }
}
