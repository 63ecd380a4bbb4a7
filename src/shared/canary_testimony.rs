//! Who has testified for a rollout on this replica, and on others that tell it.

use std::sync::{Arc, OnceLock, PoisonError};

use super::canary_stats::CanaryStats;
use super::sightings::{SightingRun, Testimony};

impl CanaryStats {
    /// Also keeps who was new, for a replica that asks. Before the first share has any.
    pub(crate) fn tell(&mut self) {
        if let Some(rules) = Arc::get_mut(&mut self.rules) {
            rules.tells = true;
        }
    }

    /// Who was new since this was asked last, by share. To be called before totals are read: what it tells of is in
    /// them then.
    pub(crate) fn take_sightings(&self) -> Vec<SightingRun> {
        let epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut runs = Vec::new();
        for epoch in &*epochs {
            for arm in 0..2 {
                let mut told = Vec::new();
                let cells = epoch.cells.iter().filter_map(OnceLock::get).map(|cell| &**cell);
                cells.chain([&epoch.swept]).for_each(|cell| cell.told[arm].take_into(&mut told));
                if !told.is_empty() {
                    runs.push(SightingRun { shares: epoch.shares, arm, told });
                }
            }
        }
        runs
    }

    /// Notes what a user has met on another replica. Whether it was not known of this user in this window.
    pub(crate) fn testify(&self, testimony: Testimony, slot: u32) -> bool {
        let rules = &*self.rules;
        let users = &rules.users;
        match testimony {
            Testimony::Came => users.came.first(slot),
            Testimony::Failed => users.failed.first(slot),
            Testimony::Lost => users.lost.first(slot),
            Testimony::Above(threshold) => users.latency.exceeded.get(threshold).is_some_and(|set| set.first(slot)),
            Testimony::Slow => users.latency.slow.first(slot),
            Testimony::Class(class) => rules.responses.testify(class, slot),
            Testimony::FailedOnRoute(route) => {
                rules.routes.as_ref().is_some_and(|routes| routes.testify_failed(route, slot))
            }
            Testimony::AboveOnRoute(route, threshold) => {
                rules.routes.as_ref().is_some_and(|routes| routes.testify_above(route, threshold, slot))
            }
        }
    }
}
