//! What is counted of one version under one share: the counters of a worker, and their sums.

use serde::{Deserialize, Serialize};

use super::additive::additive;
use super::count::Count;
use super::response_counters::{ClassCounters, ClassTotals};
use super::sightings::{SightingLog, TestimonyTeller};
use super::threshold_count::THRESHOLDS;

/// One worker's counters.
#[derive(Debug, Default)]
// Whole pairs of cache lines: the next one is prefetched in pairs, and a neighbour's writes would take both away.
#[repr(align(128))]
pub(crate) struct EpochCounters {
    /// The candidate's and the baseline's.
    pub arms: [ArmCounters; 2],
    /// Who was new, where other replicas are told.
    pub told: [SightingLog; 2],
}

/// Where a request of one version is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArmTally<'c> {
    pub counters: &'c ArmCounters,
    /// Who is told who was new.
    pub teller: TestimonyTeller<'c>,
}

impl EpochCounters {
    /// Where requests of an arm are counted; `tells`: another replica is told who was new.
    pub(crate) fn tally(&self, arm: usize, tells: bool) -> ArmTally<'_> {
        ArmTally { counters: &self.arms[arm], teller: TestimonyTeller::new(tells.then(|| &self.told[arm])) }
    }
}

/// Those of one version; see [`ArmTotals`].
#[derive(Debug, Default)]
pub(crate) struct ArmCounters {
    pub requests: Count,
    pub draws: Count,
    pub failures: Count,
    pub counted_failures: Count,
    pub lost: Count,
    pub by_exceeded: [Count; THRESHOLDS + 1],
    pub overdue: [Count; THRESHOLDS],
    pub first_above: [Count; THRESHOLDS],
    pub timed: Count,
    pub slow: Count,
    pub first_slow: Count,
    pub classes: ClassCounters,
}

/// What became of the judged requests of one version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmTotals {
    /// All of them.
    pub requests: u64,
    /// What the lot fell on: each user who came for the first time in a step, and each request without a key.
    pub draws: u64,
    /// Those that failed by the upstream's fault.
    pub failures: u64,
    /// Those of the failures that are evidence: the first of each slot in a window.
    pub counted_failures: u64,
    /// Users who were lost, each once in a window.
    pub lost: u64,
    /// Those that are compared, by how many thresholds they exceeded.
    pub by_exceeded: [u64; THRESHOLDS + 1],
    /// By threshold, those besides that were found above it before they ended.
    pub overdue: [u64; THRESHOLDS],
    /// By threshold, those above it that are evidence: the first of each slot in a window.
    pub first_above: [u64; THRESHOLDS],
    /// Those that were timed.
    pub timed: u64,
    /// Those of them that were slow.
    pub slow: u64,
    /// Those of the slow ones that are evidence: the first of each slot in a window.
    pub first_slow: u64,
    /// By what their responses are.
    pub classes: ClassTotals,
}

additive!(ArmTotals, of ArmCounters {
    requests,
    draws,
    failures,
    counted_failures,
    lost,
    by_exceeded,
    overdue,
    first_above,
    timed,
    slow,
    first_slow,
    classes,
});
