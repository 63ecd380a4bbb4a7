//! The name of a trial: of whatever users are counted for.

use super::name::Name;

/// What users are counted for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TrialKey {
    /// A run of an experiment.
    Experiment {
        /// The experiment.
        name: Name,
        /// The revision of its start.
        since: u64,
    },
    /// A step of a rollout with guardrails. Each step is a trial of its own: users go from one version to the other
    /// from step to step, and would be seen in both.
    Rollout {
        /// The rollout's number.
        id: u64,
        /// The slots of the version that is rolled out.
        slots: u32,
    },
}
