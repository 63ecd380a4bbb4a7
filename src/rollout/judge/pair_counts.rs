//! Requests that both versions got: what is counted of them, and what is known.

use crate::shared::additive::additive;

/// What came of requests that both versions got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PairCounts {
    /// All of them.
    pub pairs: u64,
    /// Those that the candidate failed and the baseline did not.
    pub candidate_failed_alone: u64,
    /// The reverse.
    pub baseline_failed_alone: u64,
    /// Those that both failed.
    pub both_failed: u64,
    /// Those whose responses differ, but for how long they took.
    pub differing: u64,
}

additive!(PairCounts { pairs, candidate_failed_alone, baseline_failed_alone, both_failed, differing });

/// What is known of pairs at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairFindings {
    /// All pairs.
    pub counts: PairCounts,
    /// Those of this step.
    pub step: PairCounts,
    /// The part of the pairs of a step that may differ.
    pub differ_max: f64,
    /// ln E.
    pub ln_e: f64,
    /// ln E at which the candidate is turned back.
    pub ln_alarm: f64,
}
