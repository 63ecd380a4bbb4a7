//! The result of an experiment: whether its arms can be compared, and what each metric says.

use super::metric_result::{MetricPlan, MetricResult, ShareSums};
use super::sample_ratio::{ChiSquare, SampleRatio};
use crate::shared::per_arm::PerArm;
use crate::shared::probability::Probability;

/// Users seen in both arms that are too many to be chance: something does not keep them where they are.
pub(crate) const CROSSED_MAX: f64 = 0.01;

/// What an experiment has counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ExperimentCounts {
    /// Users by the share that the treatment had when they were first seen, and by the arm that they were first seen
    /// in.
    pub users: Vec<ShareUsers>,
    /// Users that were seen at all.
    pub seen: u64,
    /// Users of these that were seen in both arms; they are in no sum.
    pub crossed: u64,
    /// Exposures of users for whom there was no room.
    pub turned_away: u64,
    /// The metrics with their sums.
    pub metrics: Vec<MetricCounts>,
}

/// Users that came while the treatment had one share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ShareUsers {
    /// The share.
    pub share: Probability,
    /// The users.
    pub users: PerArm<u64>,
}

/// A metric and its sums, by share.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MetricCounts {
    /// The metric.
    pub plan: MetricPlan,
    /// Its sums.
    pub sums: Vec<ShareSums>,
}

/// What came out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ExperimentResult {
    /// How people call the arms.
    pub names: PerArm<String>,
    /// 1 less the confidence of the intervals.
    pub alpha: f64,
    /// Users by the arm that they were first seen in.
    pub users: PerArm<u64>,
    /// Users that were seen at all.
    pub seen: u64,
    /// Users that were seen in both arms.
    pub crossed: u64,
    /// Exposures of users for whom there was no room.
    pub turned_away: u64,
    /// Whether the arms have the users that they should have.
    pub sample_ratio: SampleRatio,
    /// The test for those who look once.
    pub chi_square: Option<ChiSquare>,
    /// What is wrong with the experiment itself.
    pub warnings: Vec<ExperimentWarning>,
    /// What the metrics say.
    pub metrics: Vec<MetricResult>,
}

/// What is wrong with an experiment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ExperimentWarning {
    /// The arms do not have the users that they should have.
    SampleRatio,
    /// This part of the users was seen in both arms.
    Crossed(f64),
    /// It is full: this many exposures were of users for whom there was no room.
    Full(u64),
}

impl ExperimentResult {
    /// What the counts say.
    #[must_use]
    pub(crate) fn of(names: PerArm<String>, counts: &ExperimentCounts, alpha: Probability) -> Self {
        let mut sample_ratio = SampleRatio::default();
        let mut users = PerArm::<u64>::default();
        for seen in &counts.users {
            sample_ratio.add(seen.share, seen.users);
            users.control += seen.users.control;
            users.treatment += seen.users.treatment;
        }
        let metrics = counts.metrics.iter().map(|metric| MetricResult::of(&metric.plan, &metric.sums, alpha)).collect();
        let mut warnings = Vec::new();
        if sample_ratio.alarms() {
            warnings.push(ExperimentWarning::SampleRatio);
        }
        let crossed = counts.crossed as f64 / counts.seen as f64;
        if crossed > CROSSED_MAX {
            warnings.push(ExperimentWarning::Crossed(crossed));
        }
        if counts.turned_away > 0 {
            warnings.push(ExperimentWarning::Full(counts.turned_away));
        }
        Self {
            names,
            alpha: alpha.value(),
            users,
            seen: counts.seen,
            crossed: counts.crossed,
            turned_away: counts.turned_away,
            chi_square: sample_ratio.chi_square(),
            sample_ratio,
            warnings,
            metrics,
        }
    }

    /// Whether the arms can be compared at all.
    #[must_use]
    pub(crate) fn is_comparable(&self) -> bool {
        !self.warnings.contains(&ExperimentWarning::SampleRatio)
    }
}
