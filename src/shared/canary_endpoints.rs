//! What the counters of a rollout know by endpoint.

use super::canary_outcome::{Arm, CanaryOutcome, ResponseSeen};
use super::canary_stats::{CanaryRules, CanaryStats};
use super::endpoint_tallies::{EndpointOutcome, EndpointTotals};

impl CanaryStats {
    /// What the candidate's requests to the endpoint with this number have come to.
    #[must_use]
    pub(crate) fn of_endpoint(&self, endpoint: u32) -> EndpointTotals {
        self.rules.endpoints.totals(endpoint)
    }
}

impl CanaryRules {
    /// Counts what an endpoint of the candidate has done.
    pub(super) fn count_endpoint(&self, worker: usize, sample: &CanaryOutcome, whole: bool) {
        let CanaryOutcome { arm: Arm::Candidate, endpoint: Some(endpoint), failed, seen, micros, .. } = *sample else {
            return;
        };
        let compares = whole && self.thresholds.compares();
        let outcome = EndpointOutcome {
            failed: (failed || seen != ResponseSeen::Nothing).then_some(failed),
            exceeded: compares.then(|| self.thresholds.exceeded(Arm::Candidate as usize, micros).exceeded),
        };
        self.endpoints.count(worker, endpoint, &outcome);
    }
}
