//! How requests know that the rollout which they count for has ended: tables that were made before still have it.

use std::sync::atomic::Ordering::Relaxed;

use super::canary_stats::{CanaryStats, SplitEpoch};

impl CanaryStats {
    /// Says that the rollout goes on.
    pub(crate) fn go_on(&self) {
        self.rules.over.store(false, Relaxed);
    }

    /// Says that the rollout has ended, and whether the candidate has `replaced` the baseline.
    pub(crate) fn end(&self, replaced: bool) {
        self.rules.replaced.store(replaced, Relaxed);
        self.rules.over.store(true, Relaxed);
    }
}

impl SplitEpoch {
    /// Whether the rollout has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.rules.over.load(Relaxed)
    }

    /// Whether the rollout has ended with everything on the candidate.
    pub(crate) fn is_replaced(&self) -> bool {
        self.is_over() && self.rules.replaced.load(Relaxed)
    }
}
