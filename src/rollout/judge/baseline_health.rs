//! When the baseline itself is unhealthy.
//!
//! Both versions failing is not the candidate's fault: the comparison stays flat, and nothing is rolled back. But a
//! database that is down also hides whatever the candidate does wrong, so nothing is promoted either.
//!
//! **Unhealthy** means: of the baseline's judged requests that ended in the last [`RECENT`] at least [`FAILURES_MIN`]
//! failed, and they are more than [`super::JudgeSettings::baseline_unhealthy`] of all. A plain rate, not a test: it
//! decides nothing that has to be proved, only that promotion waits, and it must recover as soon as the incident does.
//! It counts every failure, users who come back included. A baseline without requests is not unhealthy.

use std::time::Duration;

use super::evidence::OutcomeCounts;
use crate::shared::probability::Probability;

/// What counts as recent.
pub(crate) const RECENT: Duration = Duration::from_secs(BUCKETS as u64 * BUCKET.as_secs());

/// Fewer failures than this are an accident on a service with few requests.
pub(crate) const FAILURES_MIN: u64 = 3;

const BUCKETS: usize = 12;
const BUCKET: Duration = Duration::from_secs(5);

/// What the baseline did recently: a ring of short stretches of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecentHealth {
    /// Requests and failures in each stretch; the newest is at `newest` modulo their number.
    pub buckets: [(u64, u64); BUCKETS],
    /// The number of the newest stretch since the epoch of time.
    pub newest: u64,
}

impl RecentHealth {
    /// Counts what ended by `now`, which never goes back.
    pub(crate) fn add(&mut self, now: Duration, counts: &OutcomeCounts) {
        self.forget_before(now);
        let bucket = &mut self.buckets[index(self.newest)];
        bucket.0 += counts.requests;
        bucket.1 += counts.failures;
    }

    /// Drops what is no longer recent at `now`.
    pub(crate) fn forget_before(&mut self, now: Duration) {
        let current = now.as_secs() / BUCKET.as_secs();
        let stale = current.saturating_sub(self.newest).min(BUCKETS as u64);
        for bucket in 0..stale {
            self.buckets[index(current - bucket)] = (0, 0);
        }
        self.newest = self.newest.max(current);
    }

    /// Recent requests and how many of them failed.
    #[must_use]
    pub(crate) fn recent(&self) -> (u64, u64) {
        self.buckets.iter().fold((0, 0), |sum, bucket| (sum.0 + bucket.0, sum.1 + bucket.1))
    }

    /// Whether the baseline is unhealthy.
    #[must_use]
    pub(crate) fn is_unhealthy(&self, above: Probability) -> bool {
        let (requests, failures) = self.recent();
        failures >= FAILURES_MIN && failures as f64 > above.value() * requests as f64
    }
}

fn index(bucket: u64) -> usize {
    usize::try_from(bucket % BUCKETS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(requests: u64, failures: u64) -> OutcomeCounts {
        OutcomeCounts { requests, failures, ..OutcomeCounts::default() }
    }

    #[test]
    fn ill_is_above_the_setting_with_three_failures_within_the_last_minute() {
        let at = Duration::from_secs;
        let above = Probability::new(0.05).unwrap();
        let mut health = RecentHealth::default();
        assert!(!health.is_unhealthy(above));
        health.add(at(1000), &counts(2, 2));
        assert!(!health.is_unhealthy(above), "two failures are an accident");
        health.add(at(1001), &counts(58, 1));
        assert!(!health.is_unhealthy(above), "3 of 60 are not more than 5 %");
        health.add(at(1012), &counts(19, 1));
        assert!(health.is_unhealthy(above), "4 of 79");
        health.forget_before(at(1059));
        assert_eq!(health.recent(), (79, 4));
        health.forget_before(at(1060));
        assert_eq!(health.recent(), (19, 1));
        health.forget_before(at(900));
        assert_eq!(health.recent(), (19, 1), "time that goes back changes nothing");
        health.add(at(90_000), &counts(5, 0));
        assert_eq!(health.recent(), (5, 0));
    }
}
