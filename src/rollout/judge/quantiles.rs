//! Quantiles of latency, the thresholds made of them, and the counters of requests by threshold.
//!
//! Counters and not latencies: thresholds ascend, so the number of those that a request exceeds says all that the test
//! on latency asks ([`super::latency`]), and a request costs one increment. The counters stand apart from the test
//! because evidence carries them, and evidence must not know the tests that read it.

use std::time::Duration;

use super::judge_settings::Multiple;
use super::per_version::Side;
use crate::shared::additive::additive;

/// The baseline's quantiles that are thresholds.
pub(crate) const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// Median, 90th and 99th percentile of a version's latency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantiles(pub [Duration; QUANTILES.len()]);

/// What a latency is compared with, for each side: the baseline's quantiles, and for the candidate those times what is
/// tolerated. In microseconds, ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    baseline: [u64; QUANTILES.len()],
    candidate: [u64; QUANTILES.len()],
}

impl Thresholds {
    /// From the baseline's quantiles of the previous minute.
    #[must_use]
    pub fn new(baseline: &Quantiles, tolerated: Multiple) -> Self {
        let mut sorted = baseline.0;
        sorted.sort_unstable();
        let slower = |latency: Duration| Duration::try_from_secs_f64(latency.as_secs_f64() * tolerated.value());
        Self {
            baseline: sorted.map(micros),
            candidate: sorted.map(|latency| micros(slower(latency).unwrap_or(Duration::MAX))),
        }
    }

    /// How many thresholds a latency in microseconds exceeds: its counter in [`LatencyCounts`].
    #[must_use]
    pub fn exceeded(&self, side: Side, micros: u64) -> usize {
        self.micros(side).iter().filter(|threshold| micros > **threshold).count()
    }

    /// The thresholds of one side, in microseconds.
    #[must_use]
    pub fn micros(&self, side: Side) -> [u64; QUANTILES.len()] {
        match side {
            Side::Candidate => self.candidate,
            Side::Baseline => self.baseline,
        }
    }
}

/// How long the judged requests of one version took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LatencyCounts {
    /// Requests by how many thresholds they exceeded; nothing while no thresholds are in force.
    pub by_exceeded: [u64; QUANTILES.len() + 1],
    /// By threshold, those besides that were found above it before they ended, or whose client left then.
    pub overdue: [u64; QUANTILES.len()],
    /// By threshold, those above it that are evidence where users come back: the first of each user in a window.
    pub first_above: [u64; QUANTILES.len()],
    /// For the ceiling on slow requests, if there is one: all that were timed, thresholds or not.
    pub timed: u64,
    /// Those of them that took longer than [`super::judge_settings::SlowCeiling::longer_than`].
    pub slow: u64,
    /// Those of the slow ones that are evidence: where users come back the first of each in a window.
    pub first_slow: u64,
}

impl LatencyCounts {
    /// Of requests each of which is a draw of its own, by how many thresholds they exceeded.
    #[must_use]
    pub fn of(by_exceeded: [u64; QUANTILES.len() + 1]) -> Self {
        let counts = Self { by_exceeded, ..Self::default() };
        Self { first_above: std::array::from_fn(|quantile| counts.above(quantile)), ..counts }
    }

    /// The same with those that were slow.
    #[must_use]
    pub fn with_slow(self, slow: u64) -> Self {
        Self { timed: self.by_exceeded.iter().sum(), slow, first_slow: slow, ..self }
    }

    /// All requests that were compared with the threshold of the quantile with this number in [`QUANTILES`].
    #[must_use]
    pub fn compared(&self, quantile: usize) -> u64 {
        self.above(quantile) + self.below(quantile)
    }

    /// Those above it.
    #[must_use]
    pub fn above(&self, quantile: usize) -> u64 {
        let ended: u64 = self.by_exceeded.iter().skip(quantile + 1).sum();
        ended + self.overdue.get(quantile).unwrap_or(&0)
    }

    /// Those below it.
    #[must_use]
    pub fn below(&self, quantile: usize) -> u64 {
        self.by_exceeded.iter().take(quantile + 1).sum()
    }
}

additive!(LatencyCounts { by_exceeded, overdue, first_above, timed, slow, first_slow });

/// A latency in whole microseconds, as counters keep it; half a million years at most.
#[must_use]
pub(crate) fn micros(latency: Duration) -> u64 {
    u64::try_from(latency.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_described_by_how_many_thresholds_it_exceeds() {
        let millis = Duration::from_millis;
        let quantiles = Quantiles([millis(100), millis(200), millis(1000)]);
        let thresholds = Thresholds::new(&quantiles, Multiple::new(1.2).unwrap());
        let exceeded = |side, ms: u64| thresholds.exceeded(side, ms * 1000);
        assert_eq!([100, 101, 200, 201, 1001].map(|ms| exceeded(Side::Baseline, ms)), [0, 1, 1, 2, 3]);
        assert_eq!(
            [101, 120, 121, 240, 241, 1200, 1201].map(|ms| exceeded(Side::Candidate, ms)),
            [0, 0, 1, 1, 2, 2, 3]
        );
        assert_eq!(thresholds.micros(Side::Candidate), [120_000, 240_000, 1_200_000]);
        let counts = LatencyCounts { overdue: [3, 1, 0], ..LatencyCounts::of([5, 4, 3, 2]) };
        assert_eq!(
            [0, 1, 2].map(|quantile| (counts.above(quantile), counts.below(quantile))),
            [(12, 5), (6, 9), (2, 12)]
        );
        assert_eq!((counts.first_above, counts.compared(1)), ([9, 5, 2], 15));
    }

    #[test]
    fn absurd_quantiles_do_no_harm() {
        let quantiles = Quantiles([Duration::MAX, Duration::ZERO, Duration::from_secs(1)]);
        let thresholds = Thresholds::new(&quantiles, Multiple::new(1e300).unwrap());
        assert_eq!(thresholds.exceeded(Side::Candidate, 1), 1);
        assert_eq!(thresholds.exceeded(Side::Baseline, 2_000_000), 2);
    }
}
