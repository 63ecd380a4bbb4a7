//! Quantiles of latency, the thresholds made of them, and the counters of requests by threshold.
//!
//! Counters and not latencies: thresholds ascend, so the number of those that a request exceeds says all that the test
//! on latency asks ([`super::latency`]), and a request costs one increment. The counters stand apart from the test
//! because evidence carries them, and evidence must not know the tests that read it.

use std::time::Duration;

use super::judge_settings::Multiple;
use super::per_version::Side;

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
    /// For the ceiling on slow requests, if there is one: all that were timed, thresholds or not.
    pub timed: u64,
    /// Those of them that took longer than [`super::judge_settings::SlowCeiling::longer_than`].
    pub slow: u64,
}

impl LatencyCounts {
    /// All requests that were compared with thresholds.
    #[must_use]
    pub fn compared(&self) -> u64 {
        self.by_exceeded.iter().sum()
    }

    /// Those above the threshold of the quantile with this number in [`QUANTILES`].
    #[must_use]
    pub fn above(&self, quantile: usize) -> u64 {
        self.by_exceeded.iter().skip(quantile + 1).sum()
    }

    /// Adds `more`.
    pub fn add(&mut self, more: &Self) {
        for (count, more) in self.by_exceeded.iter_mut().zip(more.by_exceeded) {
            *count += more;
        }
        self.timed += more.timed;
        self.slow += more.slow;
    }

    /// What was counted since `earlier`.
    #[must_use]
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            by_exceeded: std::array::from_fn(|i| self.by_exceeded[i].saturating_sub(earlier.by_exceeded[i])),
            timed: self.timed.saturating_sub(earlier.timed),
            slow: self.slow.saturating_sub(earlier.slow),
        }
    }
}

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
        let counts = LatencyCounts { by_exceeded: [5, 4, 3, 2], ..LatencyCounts::default() };
        assert_eq!(([0, 1, 2].map(|quantile| counts.above(quantile)), counts.compared()), ([9, 5, 2], 14));
    }

    #[test]
    fn absurd_quantiles_do_no_harm() {
        let quantiles = Quantiles([Duration::MAX, Duration::ZERO, Duration::from_secs(1)]);
        let thresholds = Thresholds::new(&quantiles, Multiple::new(1e300).unwrap());
        assert_eq!(thresholds.exceeded(Side::Candidate, 1), 1);
        assert_eq!(thresholds.exceeded(Side::Baseline, 2_000_000), 2);
    }
}
