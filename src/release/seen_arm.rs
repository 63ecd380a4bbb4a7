//! What two versions did of late, as the world of a simulation: how often they fail, how much latencies differ, and
//! whether one is slower.
//!
//! Two versions that are equal are never seen to be exactly so. What may be chance counts as equal: the forecast for a
//! good version is the one that is wanted then.

use crate::metrics::version_history::{HistoryPoint, POINT_INTERVAL};
use crate::stats::VersionTotals;

/// Requests from which on a version has shown how often it fails.
const ENOUGH: f64 = 500.0;

/// The same of a candidate, which has few.
const CANDIDATE_ENOUGH: f64 = 100.0;

/// How many standard errors chance is good for.
const CHANCE: f64 = 3.0;

/// The candidate's median has to be this many times the baseline's, or more.
const SLOWER_MIN: f64 = 1.2;

/// The 99th percentile of the normal distribution, in standard deviations.
const P99: f64 = 2.326_347_874;

/// What latencies usually are, and what can be believed of them.
const SPREAD: f64 = 0.5;
const SPREAD_RANGE: [f64; 2] = [0.05, 3.0];

/// What a version did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct SeenArm {
    requests: f64,
    errors: f64,
    /// Sums over requests of the logarithms of the median and of the 99th percentile.
    log_median: f64,
    log_p99: f64,
    /// The requests of which there are such.
    timed: f64,
}

/// What the two of a rollout did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct SeenArms {
    /// The baseline since the process began.
    pub(crate) since_start: SeenArm,
    /// The baseline of late.
    pub(crate) baseline: SeenArm,
    /// The candidate of late.
    pub(crate) candidate: SeenArm,
}

impl SeenArm {
    /// What is in the points of a history.
    pub(crate) fn of(points: &[Option<HistoryPoint>]) -> Self {
        let of_point = |point: &HistoryPoint| {
            let requests = point.requests_per_second * POINT_INTERVAL.as_secs_f64();
            let [median, _, p99] = point.quantiles_ms.unwrap_or_default();
            let timed = if median > 0.0 && p99 > 0.0 { requests } else { 0.0 };
            let log = |quantile: f64| if timed > 0.0 { timed * quantile.ln() } else { 0.0 };
            let errors = requests * point.error_ratio.unwrap_or_default();
            Self { requests, errors, log_median: log(median), log_p99: log(p99), timed }
        };
        points.iter().flatten().map(of_point).fold(Self::default(), Self::and)
    }

    /// How often it failed since the process began.
    pub(crate) fn since_start(totals: &VersionTotals) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let [requests, errors] = [totals.requests(), totals.failures()].map(|count| count as f64);
        Self { requests, errors, ..Self::default() }
    }

    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            errors: self.errors + other.errors,
            log_median: self.log_median + other.log_median,
            log_p99: self.log_p99 + other.log_p99,
            timed: self.timed + other.timed,
        }
    }

    /// Of few requests the part is taken to be smaller than it seems.
    fn error_ratio(&self) -> f64 {
        (self.errors / self.requests.max(ENOUGH)).min(1.0)
    }
}

impl SeenArms {
    /// The part of the baseline's requests that fail.
    pub(crate) fn baseline_errors(&self) -> f64 {
        if self.baseline.requests >= ENOUGH { self.baseline.error_ratio() } else { self.since_start.error_ratio() }
    }

    /// The part of the candidate's, if it has some and that is more or less than the baseline's.
    pub(crate) fn candidate_errors(&self) -> Option<f64> {
        let SeenArm { requests, errors, .. } = self.candidate;
        if requests < CANDIDATE_ENOUGH {
            return None;
        }
        let (ratio, baseline) = ((errors / requests).min(1.0), self.baseline_errors());
        // By the rule of a few requests more, so that none that failed of a few is not taken for certain.
        let likely = (baseline * requests + 1.0) / (requests + 2.0);
        let chance = CHANCE * (likely * (1.0 - likely) / requests).sqrt();
        ((ratio - baseline).abs() > chance).then_some(ratio)
    }

    /// How many times as slow as the baseline the candidate is.
    pub(crate) fn slower(&self) -> f64 {
        let (candidate, baseline) = (&self.candidate, &self.baseline);
        if candidate.timed < CANDIDATE_ENOUGH || baseline.timed < CANDIDATE_ENOUGH {
            return 1.0;
        }
        let times = (candidate.log_median / candidate.timed - baseline.log_median / baseline.timed).exp();
        if times.is_finite() && times >= SLOWER_MIN { times } else { 1.0 }
    }

    /// Sigma of the logarithm of the baseline's latencies.
    pub(crate) fn spread(&self) -> f64 {
        let SeenArm { log_median, log_p99, timed, .. } = self.baseline;
        if timed < CANDIDATE_ENOUGH {
            return SPREAD;
        }
        let [least, most] = SPREAD_RANGE;
        ((log_p99 - log_median) / timed / P99).clamp(least, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Weight;

    fn point(requests_per_second: f64, error_ratio: f64, quantiles_ms: [f64; 3]) -> Option<HistoryPoint> {
        let (error_ratio, quantiles_ms) = (Some(error_ratio), Some(quantiles_ms));
        Some(HistoryPoint { requests_per_second, error_ratio, quantiles_ms, weight: Weight::FULL })
    }

    fn arm(requests_per_second: f64, error_ratio: f64, median: f64) -> SeenArm {
        SeenArm::of(&[None, point(requests_per_second, error_ratio, [median, 2.0 * median, 3.2 * median]), None])
    }

    #[test]
    fn equal_versions_are_not_told_apart_by_chance() {
        let seen =
            SeenArms { baseline: arm(100.0, 0.01, 20.0), candidate: arm(20.0, 0.02, 21.0), ..SeenArms::default() };
        assert!((seen.baseline_errors() - 0.01).abs() < 1e-9);
        // Two of a hundred beside one of a hundred.
        assert_eq!((seen.candidate_errors(), seen.slower()), (None, 1.0));
        assert!((seen.spread() - 0.5).abs() < 1e-3, "{}", seen.spread());
    }

    #[test]
    fn a_candidate_that_is_worse_is_seen_so() {
        let seen =
            SeenArms { baseline: arm(100.0, 0.01, 20.0), candidate: arm(20.0, 0.2, 50.0), ..SeenArms::default() };
        assert!((seen.candidate_errors().expect("seen") - 0.2).abs() < 1e-9);
        assert!((seen.slower() - 2.5).abs() < 1e-9);
    }

    #[test]
    fn of_little_nothing_is_concluded() {
        let nothing = SeenArms::default();
        assert_eq!((nothing.baseline_errors(), nothing.candidate_errors()), (0.0, None));
        assert_eq!((nothing.slower(), nothing.spread()), (1.0, SPREAD));
        let young = SeenArms {
            since_start: SeenArm { requests: 1_000.0, errors: 50.0, ..SeenArm::default() },
            baseline: arm(10.0, 1.0, 0.0),
            candidate: arm(10.0, 1.0, 5.0),
        };
        assert_eq!((young.baseline_errors(), young.candidate_errors()), (0.05, None));
        assert_eq!((young.slower(), young.spread()), (1.0, SPREAD));
    }

    #[test]
    fn intervals_count_by_their_requests() {
        let points = [point(90.0, 0.0, [10.0, 20.0, 30.0]), point(10.0, 1.0, [10.0, 20.0, 30.0])];
        let seen = SeenArms { baseline: SeenArm::of(&points), ..SeenArms::default() };
        assert!((seen.baseline_errors() - 0.1).abs() < 1e-9);
    }
}
