//! Who has testified for a rollout on this replica, and on others that tell it.

use std::sync::{Arc, OnceLock, PoisonError};

use super::canary_stats::CanaryStats;
use super::sightings::{EpochSightings, Sighting, Testimony};

impl CanaryStats {
    /// Also keeps who was new, for a replica that asks. Before the first share has any.
    pub(crate) fn tell(&mut self) {
        if let Some(rules) = Arc::get_mut(&mut self.rules) {
            rules.tells = true;
        }
    }

    /// Who was new since this was asked last, by share. To be called before totals are read: what it tells of is in
    /// them then.
    pub(crate) fn take_sightings(&self) -> Vec<EpochSightings> {
        let epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = epochs.iter().map(|epoch| {
            let mut arms = [Vec::<Sighting>::new(), Vec::new()];
            let cells = epoch.cells.iter().filter_map(OnceLock::get).map(|cell| &**cell);
            for cell in cells.chain([&epoch.swept]) {
                cell.told.iter().zip(&mut arms).for_each(|(told, all)| told.take_into(all));
            }
            EpochSightings { shares: epoch.shares, arms }
        });
        taken.filter(|epoch| epoch.arms.iter().any(|arm| !arm.is_empty())).collect()
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
