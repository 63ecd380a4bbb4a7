//! What users have said already. A user is a slot of the key space: the lot fell on it once, however often it comes.
//!
//! Each set is for one kind of testimony, and a slot gives it once until the set is emptied: the judge opens a new
//! window then, with a wealth of its own ([`crate::rollout::judge::windows`]). Beside them is who came in the last
//! minute, because the judge has to know whether those who come have anything to say yet.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::failure_runs::FailureRuns;
use super::slot_set::SlotSet;
use super::threshold_count::THRESHOLDS;

/// What users have said already.
#[derive(Debug, Default)]
pub(crate) struct UserSets {
    /// Who came in this step.
    pub came: SlotSet,
    /// Whose failure was counted.
    pub failed: SlotSet,
    /// Who was counted as lost.
    pub lost: SlotSet,
    /// Whose latency was counted.
    pub latency: LatencySets,
    /// Who came in this minute.
    active: SlotSet,
    /// Whose request failed in this minute.
    failing: SlotSet,
    runs: FailureRuns,
    tick: AtomicU32,
}

/// What clients have said already, by the [place](super::canary_clients::ClientNumber::place) of their address: an
/// address, as a user, says it once in a window, however many users it brings.
#[derive(Debug, Default)]
pub(crate) struct ClientSets {
    /// Those who came in this step.
    pub came: SlotSet,
    /// Those whose failure was counted.
    pub failed: SlotSet,
    /// Those of which a user was counted as lost.
    pub lost: SlotSet,
    /// Those whose latency was counted.
    pub latency: LatencySets,
}

/// Who had a request that took long.
#[derive(Debug, Default)]
pub(crate) struct LatencySets {
    /// Those who have exceeded each threshold.
    pub exceeded: [SlotSet; THRESHOLDS],
    /// Those who had a slow request.
    pub slow: SlotSet,
}

impl LatencySets {
    /// Takes all out.
    pub(crate) fn clear(&self) {
        self.exceeded.iter().chain([&self.slow]).for_each(SlotSet::clear);
    }
}

/// The users who came in a minute, and what they had said by its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ActiveUsers {
    /// All of them.
    pub active: u32,
    /// Those who had a failure in this minute.
    pub failing: u32,
    /// Those whose failure was counted in the window.
    pub failed: u32,
    /// Those who were counted as lost in the window.
    pub lost: u32,
}

impl ActiveUsers {
    /// Adds those of another replica.
    pub(crate) fn add(&mut self, more: &Self) {
        self.active = self.active.saturating_add(more.active);
        self.failing = self.failing.saturating_add(more.failing);
        self.failed = self.failed.saturating_add(more.failed);
        self.lost = self.lost.saturating_add(more.lost);
    }
}

impl UserSets {
    /// Notes a request that ended now. Returns whether its user has had nothing but failures for `burst_ticks`.
    pub(crate) fn note(&self, slot: u32, failed: bool, burst_ticks: u16) -> bool {
        self.active.first(slot);
        if failed {
            self.failing.first(slot);
        }
        self.runs.note(slot, failed, self.tick.load(Relaxed), burst_ticks)
    }

    /// A tick is over.
    pub(crate) fn end_tick(&self) {
        self.tick.fetch_add(1, Relaxed);
    }

    /// A minute is over.
    pub(crate) fn end_minute(&self) -> ActiveUsers {
        let users = ActiveUsers {
            active: self.active.count(),
            failing: self.failing.count(),
            failed: self.active.count_common(&self.failed),
            lost: self.active.count_common(&self.lost),
        };
        self.active.clear();
        self.failing.clear();
        users
    }
}
