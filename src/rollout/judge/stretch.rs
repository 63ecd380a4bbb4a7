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
use super::wealth::Wealth;
use crate::shared::additive::{Additive, additive};

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
    /// The stretch that the best closed window is about.
    closed: Option<Stretch<T>>,
}

/// What can be counted from a moment on.
pub(crate) trait RunningTotals: Additive + Copy {
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
        Self { sums: [0.0; N], since: [nothing; N], now: nothing, closed: None }
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

    /// Opens a window of the test that is followed ([`super::windows`]): what comes from now on is followed for
    /// itself.
    pub(crate) fn open_window(&mut self, wealth: &mut Wealth<N>, part: f64) {
        self.closed = self.late(wealth);
        wealth.open_window(part);
        (self.sums, self.since) = ([0.0; N], [self.now; N]);
    }

    /// What was counted before and in the stretch that the test is about, if that is a late part of the whole; else
    /// all of it is the stretch. A closed window that knows most is told by what it met, and not by the days after it.
    pub(crate) fn late(&self, wealth: &Wealth<N>) -> Option<Stretch<T>> {
        if wealth.is_of_closed() {
            return self.closed;
        }
        let before = *self.since.get(wealth.leading())?;
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

additive!(Totals { at, outcomes, latencies });

impl RunningTotals for Totals {
    fn of_candidate(&self) -> u64 {
        self.outcomes.candidate.requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Multiplies the second of two alternatives, when the candidate has had this number of requests in all.
    fn bet(wealth: &mut Wealth<2>, followed: &mut Cumulative<2>, ln: f64, requests: u64) {
        let mut totals = Totals::default();
        totals.outcomes.candidate.requests = requests;
        wealth.multiply(|alternative| if alternative == 1 { ln } else { 0.0 });
        followed.follow(&[ln; 2], &totals);
    }

    /// The requests before the stretch and in it.
    fn told(wealth: &Wealth<2>, followed: &Cumulative<2>) -> Option<[u64; 2]> {
        let Stretch { before, found } = followed.late(wealth)?;
        Some([before, found].map(|totals| totals.outcomes.candidate.requests))
    }

    #[test]
    fn each_window_is_told_by_its_own_numbers() {
        let (mut wealth, mut followed) = (Wealth::<2>::staked(), Cumulative::<2>::new(Totals::default()));
        bet(&mut wealth, &mut followed, -1.0, 1_000);
        bet(&mut wealth, &mut followed, 8.0, 1_100);
        assert_eq!((told(&wealth, &followed), wealth.leading()), (Some([1_000, 100]), 1));
        followed.open_window(&mut wealth, 0.25);
        // Good in the next window, which does not take back what was found, nor add to it.
        bet(&mut wealth, &mut followed, -1.0, 2_000);
        assert_eq!((told(&wealth, &followed), wealth.leading()), (Some([1_000, 100]), 1));
        // Worse than it ever was: told from there on, without the window before.
        bet(&mut wealth, &mut followed, 20.0, 2_300);
        assert_eq!((told(&wealth, &followed), wealth.leading()), (Some([2_000, 300]), 1));
    }

    #[test]
    fn the_stretch_of_a_window_begins_with_it_at_the_earliest() {
        let (mut wealth, mut followed) = (Wealth::<2>::staked(), Cumulative::<2>::new(Totals::default()));
        bet(&mut wealth, &mut followed, 1.0, 1_000);
        assert_eq!(told(&wealth, &followed), None, "it is all of it");
        followed.open_window(&mut wealth, 0.25);
        bet(&mut wealth, &mut followed, 9.0, 1_400);
        assert_eq!(told(&wealth, &followed), Some([1_000, 400]));
    }
}
