//! A trial as the request path has it: what a worker says of a user whom it gives an arm, and of what the user does.

use std::fmt;
use std::sync::Arc;

use http::Method;

use super::probability::Probability;
use super::trial_key::TrialKey;

/// A trial that runs, under one share of the treatment.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    /// Its name.
    pub(crate) key: Arc<TrialKey>,
    /// The share.
    pub(crate) share: Probability,
    /// What its users do that counts.
    pub(crate) requests: Arc<dyn CountsRequests>,
}

/// Which requests count for the metrics of a trial.
pub(crate) trait CountsRequests: fmt::Debug + Send + Sync {
    /// The metrics that may count a request with this head, a bit for each: the first metric is the lowest.
    fn asking(&self, method: &Method, path: &[u8]) -> u32;

    /// Those of these metrics that count it, now that it has a response.
    fn counting(&self, asking: u32, status: u16) -> u32;
}

/// What a rollout counts of its users: each share is a trial of its own.
#[derive(Clone, Debug)]
pub(crate) struct RolloutTrials {
    /// The number of the rollout.
    pub(crate) rollout: u64,
    /// What its users do that counts.
    pub(crate) requests: Arc<dyn CountsRequests>,
}

impl RolloutTrials {
    /// The trial at a share, in slots of the candidate and of the baseline; none where one of them has nothing.
    pub(crate) fn at(&self, [candidate, baseline]: [u32; 2]) -> Option<Trial> {
        let share = Probability::new(f64::from(candidate) / f64::from(candidate + baseline))?;
        let key = Arc::new(TrialKey::Rollout { id: self.rollout, slots: candidate });
        Some(Trial { key, share, requests: Arc::clone(&self.requests) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Nothing;

    impl CountsRequests for Nothing {
        fn asking(&self, _: &Method, _: &[u8]) -> u32 {
            0
        }

        fn counting(&self, _: u32, _: u16) -> u32 {
            0
        }
    }

    #[test]
    fn each_share_of_a_rollout_is_a_trial_of_its_own_and_all_or_nothing_is_none() {
        let trials = RolloutTrials { rollout: 7, requests: Arc::new(Nothing) };
        let trial = trials.at([1_000, 99_000]).unwrap();
        assert_eq!(*trial.key, TrialKey::Rollout { id: 7, slots: 1_000 });
        assert!((trial.share.value() - 0.01).abs() < 1e-12, "{trial:?}");
        // A third version has the rest.
        assert_eq!(trials.at([20_000, 20_000]).map(|trial| trial.share), Some(Probability::HALF));
        assert!(trials.at([100_000, 0]).is_none() && trials.at([0, 100_000]).is_none());
    }
}
