//! What a change does to an experiment, as the API shows it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::control::experiment_difference::{ExperimentDifference, RunEnd};
use crate::table::Weight;

/// What changes for an experiment.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ExperimentDifference)]
pub(crate) struct RunDifferenceView {
    /// The experiment.
    experiment: String,
    /// Whether it ran before.
    was_running: bool,
    /// Whether it runs.
    running: bool,
    /// The revision that started the run, which is its name.
    since: u64,
    /// Per cent of the users whom it had before, in both arms together.
    share_before: f64,
    /// Per cent of the users whom it has.
    share: f64,
    /// Share of the users that it can take in who get another version or variant, 0 to 1; none where that is not known.
    moved_ratio: Option<f64>,
    /// Why the run has ended, if it has: `stopped`, `shipped_control`, `shipped_treatment`, `redefined` (the config
    /// says something else of what it compares), `removed` (from the config) or `rolled_back`.
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<&'static str>,
}

impl RunDifferenceView {
    /// The view of a difference.
    #[must_use]
    pub(crate) fn of(difference: &ExperimentDifference) -> Self {
        let (before, after) = difference.shares();
        Self {
            experiment: difference.experiment.to_string(),
            was_running: difference.before.as_ref().is_some_and(|before| before.running),
            running: difference.after.running,
            since: difference.after.since,
            share_before: before.percent(),
            share: after.percent(),
            moved_ratio: difference.moved.map(Weight::ratio),
            end: difference.end.map(RunEnd::word),
        }
    }
}
