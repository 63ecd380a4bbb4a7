//! The counts of the last hour, by seconds: for burn rates over minutes, which hours are too coarse for.
//!
//! They are in memory only: after a restart these rates begin anew, and the budget, which is counted by hours, does
//! not.

use std::collections::VecDeque;

use crate::shared::additive::Additive;
use crate::stats::SloTotals;

/// The width of a bucket, in seconds.
const BUCKET_S: u64 = 5;

/// How far back they go, in buckets: an hour, and the one that is being filled.
const BUCKETS: u64 = 3600 / BUCKET_S + 1;

/// The counts of the last hour.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecentCounts {
    /// By the number of the bucket since 1970, ascending; those without requests are missing.
    buckets: VecDeque<(u64, SloTotals)>,
}

impl RecentCounts {
    /// Adds what was counted at this moment, in seconds since 1970.
    pub(crate) fn add(&mut self, now_s: u64, counted: &SloTotals) {
        let number = now_s / BUCKET_S;
        // The clock was set back: what it called later is not recent.
        while self.buckets.back().is_some_and(|(last, _)| *last > number) {
            self.buckets.pop_back();
        }
        while self.buckets.front().is_some_and(|(first, _)| first + BUCKETS <= number) {
            self.buckets.pop_front();
        }
        if counted.is_empty() {
            return;
        }
        match self.buckets.back_mut() {
            Some((last, sum)) if *last == number => sum.add(counted),
            Some(_) | None => self.buckets.push_back((number, *counted)),
        }
    }

    /// What was counted in this number of seconds up to now: whole buckets, and the one that is being filled.
    pub(crate) fn last(&self, now_s: u64, seconds: u64) -> SloTotals {
        let from = (now_s / BUCKET_S).saturating_sub(seconds / BUCKET_S);
        let mut sum = SloTotals::default();
        let recent = self.buckets.iter().rev().take_while(|(number, _)| *number >= from);
        recent.for_each(|(_, counted)| sum.add(counted));
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(count: u64) -> SloTotals {
        SloTotals { requests: count, ..SloTotals::default() }
    }

    #[test]
    fn what_is_older_than_asked_for_does_not_count() {
        let mut recent = RecentCounts::default();
        let begin = 1_000_000;
        for second in 0..7200 {
            recent.add(begin + second, &requests(1));
        }
        let now = begin + 7199;
        assert_eq!(recent.last(now, 300).requests, 305);
        assert_eq!(recent.last(now, 3600).requests, 3605);
        assert_eq!(recent.buckets.len(), 721);
        assert_eq!(recent.last(now + 3600, 300).requests, 0);
        recent.add(now + 7200, &requests(0));
        assert!(recent.buckets.is_empty(), "and is forgotten");
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_keep_counts_alive() {
        let mut recent = RecentCounts::default();
        recent.add(1_000_000, &requests(7));
        recent.add(900_000, &requests(1));
        assert_eq!(recent.last(900_000, 300).requests, 1);
    }
}
