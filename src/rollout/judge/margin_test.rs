//! The test that one class of responses is beyond one margin: that of [`super::errors`], for which a response in the
//! class is what a failure is there.
//!
//! Most classes are empty most of the time, and a tick without a response of the candidate in the class can win
//! nothing. So the limits of bursts are caught up with when there is one, at the latest when [`super::responses`] asks
//! for it.

use std::time::Duration;

use super::class_share::ClassTally;
use super::errors::{ErrorBets, ErrorCounts, ErrorTest, RATIOS};
use super::judge_settings::{JudgeSettings, Margin};
use super::stretch::{Cumulative, Stretch};
use super::wealth::{BurstLimits, Wealth};

/// The limits of bursts are caught up with after this number of ticks at the latest; and no burst that is tolerated by
/// default is as long.
pub(super) const QUIET_TICKS: usize = 16;

/// A test that a class is beyond one margin.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MarginTest {
    pub(super) test: ErrorTest,
    margin: Margin,
    ln_needed: f64,
    /// By how much ln E exceeded that when the test was settled last.
    pub(super) ln_ahead: f64,
    stretch: Cumulative<{ RATIOS.len() }, ClassTally>,
    /// Ticks without an event of the candidate that are to be caught up with.
    pub(super) quiet: QuietTicks<{ RATIOS.len() }>,
    /// Whether this tick has an event of the candidate.
    pub(super) has_event: bool,
}

/// Ticks in which nothing could be won, so that no limit mattered; what passed is made up for when there is something
/// to win again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct QuietTicks<const N: usize> {
    /// How many.
    pub(super) ticks: usize,
    /// For how many seconds of them the candidate was exposed to bursts.
    exposed: f64,
    /// Logarithms of what the bets have lost in them.
    lost: [f64; N],
}

impl<const N: usize> Default for QuietTicks<N> {
    fn default() -> Self {
        Self { ticks: 0, exposed: 0.0, lost: [0.0; N] }
    }
}

impl<const N: usize> QuietTicks<N> {
    pub(super) fn rest(&mut self, exposed: f64) {
        self.ticks += 1;
        self.exposed += exposed;
    }

    pub(super) fn catch_up(&mut self, wealth: &mut Wealth<N>) {
        let mut exposed = std::mem::take(&mut self.exposed);
        for _ in 0..std::mem::take(&mut self.ticks).min(QUIET_TICKS) {
            let limits = BurstLimits { rates: &[], exposed };
            self.lost.iter_mut().zip(wealth.settle(&limits)).for_each(|(sum, ln)| *sum += ln);
            exposed = 0.0;
        }
    }

    /// Logarithms of what the bets have lost in them, once.
    pub(super) fn take_lost(&mut self) -> [f64; N] {
        std::mem::replace(&mut self.lost, [0.0; N])
    }
}

impl MarginTest {
    pub(super) fn new(settings: &JudgeSettings, margin: Margin, ln_needed: f64, now: Duration) -> Self {
        let nothing = ClassTally { at: now, ..ClassTally::default() };
        let test = ErrorTest::proving_at(settings, ln_needed);
        Self {
            test,
            margin,
            ln_needed,
            ln_ahead: -ln_needed,
            stretch: Cumulative::new(nothing),
            quiet: QuietTicks::default(),
            has_event: false,
        }
    }

    pub(super) fn fold(&mut self, bets: &ErrorBets, counts: ErrorCounts) {
        if counts.candidate_failures > 0 {
            self.catch_up();
            self.has_event = true;
        }
        self.test.fold(bets, counts);
    }

    pub(super) fn rest(&mut self, exposed: f64) {
        self.quiet.rest(exposed);
    }

    /// Ends the ticks that had no event of the candidate, in which no limit mattered.
    pub(super) fn catch_up(&mut self) {
        self.quiet.catch_up(&mut self.test.wealth);
    }

    pub(super) fn settle(&mut self, limits: &BurstLimits<'_>, tally: &ClassTally) {
        self.catch_up();
        self.has_event = false;
        let mut factors = self.test.wealth.settle(limits);
        factors.iter_mut().zip(self.quiet.take_lost()).for_each(|(ln, lost)| *ln += lost);
        self.stretch.follow(&factors, tally);
        self.ln_ahead = self.test.wealth.ln_value() - self.ln_needed;
    }

    pub(super) fn ln_e(&self) -> f64 {
        self.ln_ahead + self.ln_needed
    }

    pub(super) fn is_proved(&self) -> bool {
        self.ln_ahead >= 0.0
    }

    /// Those who were counted may be counted once more, with this part of alpha.
    pub(super) fn open_window(&mut self, part: f64) {
        self.stretch.open_window(&mut self.test.wealth, part);
    }

    pub(super) fn late(&self) -> Option<Stretch<ClassTally>> {
        self.stretch.late(&self.test.wealth)
    }

    /// Whether the shares that would be printed say so.
    pub(super) fn is_told(&self, totals: &ClassTally) -> bool {
        let shares = self.late().map_or(totals.shares, |late| late.found.shares);
        shares.candidate.part() > self.margin.tolerated(shares.baseline.part())
    }
}
