//! Since when a version is bad.
//!
//! A verdict on a version that was good for a quarter of an hour must not be told by the totals of that quarter: "3 %
//! against 3 %" is no reason. For each alternative the sum of its bets' logarithms is followed from its last low on
//! (Page's cumulative sum); what was counted since then is the stretch that proves it, for people. It decides
//! nothing but that: no proof stands whose own stretch speaks for the candidate.

use std::time::Duration;

use super::ceiling::MULTIPLES;
use super::errors::RATIOS;
use super::evidence::OutcomeCounts;
use super::latency::ALTERNATIVES;
use super::per_version::PerVersion;
use super::quantiles::LatencyCounts;

/// What was counted by a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Totals {
    /// The moment.
    pub at: Duration,
    /// Outcomes since the rollout began.
    pub outcomes: PerVersion<OutcomeCounts>,
    /// Latencies since the rollout began.
    pub latencies: PerVersion<LatencyCounts>,
}

/// The stretches of all alternatives of the tests.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stretches {
    /// Of the test on failures.
    pub errors: Cumulative<{ RATIOS.len() }>,
    /// Of the test on lost users.
    pub lost: Cumulative<{ RATIOS.len() }>,
    /// Of the test on latency.
    pub latency: Cumulative<{ ALTERNATIVES.len() }>,
    /// Of the ceiling on failures.
    pub failure_ceiling: Cumulative<{ MULTIPLES.len() }>,
    /// Of the ceiling on slow requests.
    pub slow_ceiling: Cumulative<{ MULTIPLES.len() }>,
}

/// What has been counted since the last low of each alternative.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cumulative<const N: usize, T = Totals> {
    sums: [f64; N],
    since: [T; N],
    now: T,
}

/// What can be counted from a moment on.
pub(crate) trait RunningTotals: Copy {
    /// What was counted since `earlier`.
    fn since(&self, earlier: &Self) -> Self;

    /// Requests of the candidate.
    fn of_candidate(&self) -> u64;
}

impl Stretches {
    /// They begin now.
    pub(crate) fn new(now: Duration) -> Self {
        let nothing = Totals { at: now, ..Totals::default() };
        Self {
            errors: Cumulative::new(nothing),
            lost: Cumulative::new(nothing),
            latency: Cumulative::new(nothing),
            failure_ceiling: Cumulative::new(nothing),
            slow_ceiling: Cumulative::new(nothing),
        }
    }
}

impl<const N: usize, T: RunningTotals> Cumulative<N, T> {
    /// Begins with what was counted so far.
    pub(crate) fn new(nothing: T) -> Self {
        Self { sums: [0.0; N], since: [nothing; N], now: nothing }
    }

    /// Follows what a tick has multiplied the alternatives by.
    pub(crate) fn follow(&mut self, ln_factors: &[f64; N], totals: &T) {
        for ((sum, since), ln) in self.sums.iter_mut().zip(&mut self.since).zip(ln_factors) {
            *sum += ln;
            if *sum <= 0.0 {
                (*sum, *since) = (0.0, *totals);
            }
        }
        self.now = *totals;
    }

    /// What was counted before and in the stretch of an alternative, if that is a late part of the whole; else all of
    /// it is the stretch.
    pub(crate) fn late(&self, alternative: usize) -> Option<Stretch<T>> {
        let before = *self.since.get(alternative)?;
        let found = self.now.since(&before);
        (found.of_candidate() * 2 < self.now.of_candidate()).then_some(Stretch { before, found })
    }
}

/// A late part of a rollout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stretch<T = Totals> {
    /// What was counted before.
    pub before: T,
    /// What was counted in it; its `at` is how long it lasted.
    pub found: T,
}

impl RunningTotals for Totals {
    fn since(&self, earlier: &Self) -> Self {
        let (outcomes, latencies) = (&self.outcomes, &self.latencies);
        Self {
            at: self.at.saturating_sub(earlier.at),
            outcomes: PerVersion {
                candidate: outcomes.candidate.since(&earlier.outcomes.candidate),
                baseline: outcomes.baseline.since(&earlier.outcomes.baseline),
            },
            latencies: PerVersion {
                candidate: latencies.candidate.since(&earlier.latencies.candidate),
                baseline: latencies.baseline.since(&earlier.latencies.baseline),
            },
        }
    }

    fn of_candidate(&self) -> u64 {
        self.outcomes.candidate.requests
    }
}
