//! The test without a baseline: is more than an agreed part of the requests bad?
//!
//! For steps of 100 %, for a watch after a flip, and for hard objectives, there is nothing to compare with. The
//! hypothesis is `p <= p0`; the alternative `m` says `p1 = min(m*p0, 0.99)`, and bets `p1/p0` on a bad request and
//! `(1 - p1)/(1 - p0)` on a good one, Wald's likelihood ratio. Its mean over `m` is a wealth as in the other tests.
//!
//! No lot plays a part here: the hypothesis itself says that each counted request, given all before it, is bad with
//! probability at most `p0`. Users who come back strain that, so they are counted as in the other tests.
//!
//! Why not "the rate of the last minute is above p0": with 60 requests a minute and a true rate of a tenth of the
//! ceiling, such a rule fires within the hour with near certainty.

use std::time::Duration;

use super::judge_settings::JudgeSettings;
use super::wealth::Wealth;
use crate::shared::probability::Probability;

/// How many times above the ceiling the truth may be.
pub(crate) const MULTIPLES: [f64; 6] = [1.5, 2.0, 3.0, 5.0, 10.0, 20.0];

/// No alternative says that every request is bad: the first good one would end it.
const RATE_MAX: f64 = 0.99;

/// The test: its E is the [`Wealth::ln_value`] of its wealth.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CeilingTest {
    bets: CeilingBets,
    /// What the bets have won, by alternative.
    pub wealth: Wealth<{ MULTIPLES.len() }>,
    started: Duration,
    /// What it has to prove beyond the other alarms, in nats: a smaller part of alpha.
    ln_more: f64,
}

/// The logarithms of the factors against one ceiling.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CeilingBets {
    bad: [f64; MULTIPLES.len()],
    good: [f64; MULTIPLES.len()],
}

impl CeilingBets {
    /// The bets against `ceiling`.
    #[must_use]
    pub(crate) fn new(ceiling: Probability) -> Self {
        let p0 = ceiling.value();
        // Above a ceiling of 99 % an alternative would lie below it and bet on health.
        let p1 = |multiple: f64| (multiple * p0).min(RATE_MAX).max(p0);
        Self {
            bad: MULTIPLES.map(|multiple| (p1(multiple) / p0).ln()),
            good: MULTIPLES.map(|multiple| ((1.0 - p1(multiple)) / (1.0 - p0)).ln()),
        }
    }

    /// The logarithms of the factors of one alternative: a bad request, a good one.
    #[must_use]
    pub(crate) fn ln_factors(&self, alternative: usize) -> [f64; 2] {
        [self.bad[alternative], self.good[alternative]]
    }
}

impl CeilingTest {
    #[cfg(test)]
    /// Everything staked now.
    #[must_use]
    pub(crate) fn unconditional(ceiling: Probability) -> Self {
        Self { bets: CeilingBets::new(ceiling), wealth: Wealth::staked(), started: Duration::ZERO, ln_more: 0.0 }
    }

    /// A part of the stake kept for later starts ([`Wealth::restart`]): good requests cost, and after an hour far
    /// below the ceiling nothing else would be left.
    #[must_use]
    pub(crate) fn with_restarts(ceiling: Probability, settings: &JudgeSettings, now: Duration) -> Self {
        let wealth = settings.wealth(settings.ln_alarm());
        Self { bets: CeilingBets::new(ceiling), wealth, started: now, ln_more: 0.0 }
    }

    /// The same of a ceiling that the baseline's own rate has become now.
    #[must_use]
    pub(crate) fn frozen(ceiling: Probability, settings: &JudgeSettings, now: Duration) -> Self {
        let (usual, frozen) = (settings.ln_alarm(), settings.ln_frozen_alarm());
        let wealth = settings.wealth(frozen);
        Self { bets: CeilingBets::new(ceiling), wealth, started: now, ln_more: frozen - usual }
    }

    /// The test's ln E, as it is compared with the level of the other alarms.
    #[must_use]
    pub(crate) fn ln_value(&self) -> f64 {
        self.wealth.ln_value() - self.ln_more
    }

    /// Stakes what the reserve gives for this tick; before [`Self::fold`].
    pub(crate) fn restart(&mut self, now: Duration, horizon: Duration) {
        self.wealth.restart_by(now.saturating_sub(self.started), horizon);
    }

    /// A window of its wealth was opened.
    pub(crate) fn window_opened(&mut self, now: Duration) {
        self.started = now;
    }

    /// Folds in counts of bad and good requests.
    pub(crate) fn fold(&mut self, bad: u64, good: u64) {
        let bets = &self.bets;
        self.wealth.multiply(|alternative| {
            let [won, lost] = bets.ln_factors(alternative);
            bad as f64 * won + good as f64 * lost
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ln_e(bad: u64, requests: u64, ceiling: f64) -> f64 {
        let mut test = CeilingTest::unconditional(Probability::new(ceiling).unwrap());
        test.fold(bad, requests - bad);
        test.wealth.ln_value()
    }

    #[test]
    fn the_vectors_come_out() {
        for (found, want) in [(ln_e(3, 20, 0.01), 4.427_774_934_1), (ln_e(10, 100, 0.05), 0.966_862_858_0)] {
            assert!((found - want).abs() < 1e-9, "found {found}, want {want}");
        }
    }

    #[test]
    fn the_game_is_fair_at_the_ceiling_and_unfair_below() {
        for ceiling in [0.001, 0.05, 0.4, 0.98, 0.995] {
            let bets = CeilingBets::new(Probability::new(ceiling).unwrap());
            for alternative in 0..MULTIPLES.len() {
                let expected = |p: f64| {
                    let [bad, good] = bets.ln_factors(alternative).map(f64::exp);
                    p * bad + (1.0 - p) * good
                };
                assert!((expected(ceiling) - 1.0).abs() < 1e-12);
                assert!(expected(ceiling / 2.0) <= 1.0);
            }
        }
    }
}
