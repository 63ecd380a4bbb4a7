//! The sums of an experiment, made of its users one by one. They come in the order of their hashes, wherever they are
//! kept: then the sums are the same to the last bit.

use super::experiment_result::{ExperimentCounts, MetricCounts, ShareUsers};
use super::metric_result::{MetricPlan, ShareSums};
use crate::shared::per_arm::{ExperimentArm, PerArm};
use crate::shared::probability::Probability;

/// What one user did for one metric.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct UserValues {
    /// What it did.
    pub(crate) x: f64,
    /// What that is divided by, or what was known of the user before.
    pub(crate) y: f64,
}

/// The sums so far.
#[derive(Debug)]
pub(crate) struct UserSums {
    users: Vec<ShareUsers>,
    metrics: Vec<MetricCounts>,
    seen: u64,
    crossed: u64,
}

impl UserSums {
    /// Of no user, for these metrics and shares.
    pub(crate) fn new<'a>(plans: impl Iterator<Item = &'a MetricPlan>, shares: &[Probability]) -> Self {
        let no_users = |share: &Probability| ShareUsers { share: *share, users: PerArm::default() };
        let no_sums = |share: &Probability| ShareSums { share: *share, arms: PerArm::default() };
        let of_metric =
            |plan: &MetricPlan| MetricCounts { plan: plan.clone(), sums: shares.iter().map(no_sums).collect() };
        let users = shares.iter().map(no_users).collect();
        Self { users, metrics: plans.map(of_metric).collect(), seen: 0, crossed: 0 }
    }

    /// One user more, first seen in `arm` while the share with index `share` was in force.
    pub(crate) fn add(&mut self, arm: ExperimentArm, crossed: bool, share: u16, values: &[UserValues]) {
        let share = usize::from(share);
        let Some(users) = self.users.get_mut(share) else { return };
        *users.users.get_mut(arm) += 1;
        self.seen += 1;
        if crossed {
            self.crossed += 1;
            return;
        }
        for (index, metric) in self.metrics.iter_mut().enumerate() {
            let UserValues { x, y } = values.get(index).copied().unwrap_or_default();
            metric.sums[share].arms.get_mut(arm).add_user(x, y);
        }
    }

    /// All of it.
    pub(crate) fn counts(self, turned_away: u64) -> ExperimentCounts {
        let Self { users, metrics, seen, crossed } = self;
        ExperimentCounts { users, seen, crossed, turned_away, metrics }
    }
}
