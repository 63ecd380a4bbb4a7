//! A request that experiments may count when it is known how it was responded to.

use std::sync::Arc;

use super::seen_users::SeenUsers;
use crate::experiment::name_hash::NameHash;
use crate::shared::trial::CountsRequests;
use crate::shared::trial_key::TrialKey;

/// What a request may turn out to be, for all who count its user.
#[derive(Debug)]
pub(crate) struct AwaitedRequest {
    user: NameHash,
    trials: Vec<AwaitingTrial>,
}

/// Metrics that may count a request.
#[derive(Debug)]
pub(crate) struct AwaitingTrial {
    /// What they count for.
    pub(crate) trial: Arc<TrialKey>,
    /// What they count.
    pub(crate) requests: Arc<dyn CountsRequests>,
    /// A bit for each that may.
    pub(crate) asking: u32,
}

impl AwaitedRequest {
    /// A request of a user.
    pub(crate) fn of(user: NameHash) -> Self {
        Self { user, trials: Vec::new() }
    }

    /// It may count for one more.
    pub(crate) fn add(&mut self, trial: AwaitingTrial) {
        self.trials.push(trial);
    }

    /// The request had this status, at this time in milliseconds since 1970.
    pub(crate) fn responded(self, status: u16, at_ms: u64, seen: &SeenUsers) {
        for AwaitingTrial { trial, requests, asking } in &self.trials {
            let metrics = requests.counting(*asking, status);
            if metrics != 0 {
                seen.requested(trial, self.user, metrics, at_ms);
            }
        }
    }
}
