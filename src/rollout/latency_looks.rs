//! The latencies of the last minute, for people and, every few seconds, as the thresholds that the next ones are
//! compared with.
//!
//! Thresholds are those of the time before, so that no request is compared with what it was counted in itself.

use std::collections::VecDeque;
use std::time::Duration;

use super::judge::PerVersion;
use super::judge::judge_settings::Multiple;
use super::judge::quantiles::{QUANTILES, Quantiles, Thresholds};
use crate::stats::latency_histogram::LatencyTotals;

/// Time between two thresholds.
const LOOK: Duration = Duration::from_secs(5);

/// How many looks back they go: a minute.
const LOOKS: usize = 12;

/// Fewer latencies than this say nothing of a 99th percentile.
const TIMED_MIN: u64 = 100;

/// What was timed so far, now and at the looks of the last minute.
#[derive(Debug, Default)]
pub(crate) struct LatencyLooks {
    looks: VecDeque<PerVersion<LatencyTotals>>,
    looked: Option<Duration>,
}

/// What a tick shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LatencyLook {
    /// The latencies of both versions in the last minute; none unless both have some.
    pub quantiles: Option<PerVersion<Quantiles>>,
    /// Thresholds that come into force now.
    pub thresholds: Option<Thresholds>,
}

impl LatencyLooks {
    /// Looks that begin now, where thresholds are known from before: the first ones of these come a look later.
    #[must_use]
    pub(crate) fn begun(now: Duration) -> Self {
        Self { looks: VecDeque::new(), looked: Some(now) }
    }

    /// Looks at all that was timed until now; `slower` is what is tolerated, and none where latency is not judged.
    pub(crate) fn look(
        &mut self,
        now: Duration,
        totals: PerVersion<LatencyTotals>,
        slower: Option<Multiple>,
    ) -> LatencyLook {
        // At the beginning, all that was before it.
        let recent = match self.looks.front() {
            Some(before) => PerVersion {
                candidate: totals.candidate.since(&before.candidate),
                baseline: totals.baseline.since(&before.baseline),
            },
            None => totals.clone(),
        };
        let seen = recent.candidate.count() > 0 && recent.baseline.count() > 0;
        let quantiles = PerVersion { candidate: of(&recent.candidate), baseline: of(&recent.baseline) };
        let mut found = LatencyLook { quantiles: seen.then_some(quantiles), thresholds: None };
        if self.looked.is_some_and(|looked| now < looked + LOOK) {
            return found;
        }
        self.looked = Some(now);
        found.thresholds = thresholds(&recent.baseline, slower);
        if self.looks.len() == LOOKS {
            self.looks.pop_front();
        }
        self.looks.push_back(totals);
        found
    }

    /// Whether this was a moment at which thresholds are made.
    #[must_use]
    pub(crate) fn looked_at(&self, now: Duration) -> bool {
        self.looked == Some(now)
    }
}

/// The thresholds that these latencies of a baseline make, if they are enough and latency is judged.
#[must_use]
pub(crate) fn thresholds(baseline: &LatencyTotals, slower: Option<Multiple>) -> Option<Thresholds> {
    let slower = slower.filter(|_| baseline.count() >= TIMED_MIN)?;
    Some(Thresholds::new(&of(baseline), slower))
}

/// The quantiles of some latencies; zero where there are none.
#[must_use]
pub(crate) fn of(latency: &LatencyTotals) -> Quantiles {
    Quantiles(QUANTILES.map(|q| Duration::from_micros(latency.quantile(q).unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(count: u64) -> PerVersion<LatencyTotals> {
        let of = |micros| LatencyTotals::of([(micros, count)]);
        PerVersion { candidate: of(20_000), baseline: of(10_000) }
    }

    #[test]
    fn thresholds_come_every_few_seconds_once_there_is_enough() {
        let mut looks = LatencyLooks::default();
        let slower = Multiple::new(2.0);
        let seconds = Duration::from_secs;
        let few = looks.look(seconds(1), totals(TIMED_MIN - 1), slower);
        assert_eq!((few.thresholds, few.quantiles.is_some()), (None, true));
        assert_eq!(looks.look(seconds(5), totals(2 * TIMED_MIN), slower).thresholds, None);
        assert!(!looks.looked_at(seconds(5)) && looks.looked_at(seconds(1)));
        let enough = looks.look(seconds(6), totals(2 * TIMED_MIN), slower);
        assert!(enough.thresholds.is_some() && looks.looked_at(seconds(6)));
        assert_eq!(LatencyLooks::begun(seconds(6)).look(seconds(7), totals(900), slower).thresholds, None);
        assert_eq!(looks.look(seconds(12), totals(900), None).thresholds, None);
    }
}
