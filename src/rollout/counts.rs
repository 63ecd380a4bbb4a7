//! From the counters of the workers to what the judge is told.
//!
//! Counters only grow; what a tick brings is the difference to the tick before. The proxy and the simulation read
//! them here, from the same counters, so that a user who comes back is one draw in both by the same rule: a bit for
//! each slot of the key space, in [`CanaryStats`].

use super::judge::quantiles::{LatencyCounts, Thresholds};
use super::judge::{CandidateShare, EpochCounts, OutcomeCounts, PerVersion, Side};
use crate::shared::canary_stats::{ArmTotals, CanaryStats, EpochTotals};
use crate::table::Weight;

/// Reads the counters of one service, tick by tick.
#[derive(Debug)]
pub(crate) struct CountsReader {
    seen: Vec<EpochTotals>,
    /// The judge's window of latencies, in which a user is timed once.
    window: u32,
}

impl Default for CountsReader {
    fn default() -> Self {
        Self { seen: Vec::new(), window: 1 }
    }
}

impl CountsReader {
    /// What was counted since the last reading. In a new window every user may be timed once more.
    pub(crate) fn read(&mut self, canary: &CanaryStats, window: u32) -> Vec<EpochCounts> {
        if std::mem::replace(&mut self.window, window) != window {
            canary.time_again();
        }
        let totals = canary.totals();
        let counts = totals.iter().filter_map(|now| {
            let before = self.seen.iter().find(|before| before.shares == now.shares);
            let [candidate, baseline] = [0, 1].map(|index| match before {
                Some(before) => now.arms[index].since(&before.arms[index]),
                None => now.arms[index],
            });
            let [for_candidate, for_baseline] = now.shares.map(|slots| Weight::from_slots(slots).unwrap_or_default());
            Some(EpochCounts {
                share: CandidateShare::of(for_candidate, for_baseline)?,
                outcomes: PerVersion { candidate: outcomes(&candidate), baseline: outcomes(&baseline) },
                latencies: PerVersion { candidate: latencies(&candidate), baseline: latencies(&baseline) },
            })
        });
        let counts = counts.filter(|counts| *counts != EpochCounts::none(counts.share)).collect();
        self.seen = totals;
        counts
    }
}

/// Has the workers compare latencies with these from now on.
pub(crate) fn compare_with(canary: &CanaryStats, thresholds: &Thresholds) {
    canary.compare_with([Side::Candidate, Side::Baseline].map(|side| thresholds.micros(side)));
}

fn outcomes(totals: &ArmTotals) -> OutcomeCounts {
    let ArmTotals { requests, failures, counted_failures, .. } = *totals;
    OutcomeCounts { requests, failures, counted_failures }
}

fn latencies(totals: &ArmTotals) -> LatencyCounts {
    LatencyCounts { by_exceeded: totals.by_exceeded, timed: totals.timed, slow: totals.slow }
}
