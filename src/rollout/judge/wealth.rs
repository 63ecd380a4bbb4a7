//! The stake of a test, spread over alternatives, with a reserve for regressions that begin late.
//!
//! How much worse a bad version will be is not known, so a test bets on several alternatives at once, each with an
//! equal part of the stake; the sum of fair games is a fair game, and the alternative that comes true carries it. A
//! version that turns bad after half an hour of health meets bets that have lost nearly everything by then. So half
//! of the stake stays in reserve and is spent bit by bit on starting anew. What is spent depends on time alone, never
//! on what the tick that it is spent on brings, which keeps the game fair.
//!
//! Everything is kept in logarithms: a hundred failures in a row multiply a wealth by more than a float can hold.

use std::time::Duration;

/// The part of a stake that is kept for later starts. Half costs a test that is right from the start ln 2 of
/// evidence, 7 to 10 % more requests.
pub(crate) const RESERVE: f64 = 0.5;

/// The part of the reserve that is spent within the horizon; the rest follows ever more slowly and never runs out,
/// for a rollout that was held. At equal density a restart in the first hour after the horizon is worth a quarter of
/// one before.
const RESERVE_WITHIN_HORIZON: f64 = 0.8;

/// What a test has won or lost with a stake of 1, over `N` alternatives.
#[derive(Clone, Debug, PartialEq)]
pub struct Wealth<const N: usize> {
    /// Logarithm of the wealth on each alternative.
    pub ln_parts: [f64; N],
    /// What was not staked yet.
    pub reserve: f64,
}

impl<const N: usize> Wealth<N> {
    /// Everything staked at once.
    #[must_use]
    pub fn staked() -> Self {
        Self::with_reserve(0.0)
    }

    /// `reserve` kept for later, the rest of 1 staked now.
    #[must_use]
    pub fn with_reserve(reserve: f64) -> Self {
        Self { ln_parts: [((1.0 - reserve) / N as f64).ln(); N], reserve }
    }

    /// Stakes so much of the reserve, or what is left of it, as a new start: to be called *before* the evidence of a
    /// tick multiplies it.
    pub fn restart(&mut self, stake: f64) {
        let stake = stake.min(self.reserve);
        if stake > 0.0 {
            self.reserve -= stake;
            let part = (stake / N as f64).ln();
            for ln in &mut self.ln_parts {
                *ln = ln_add(*ln, part);
            }
        }
    }

    /// Stakes what [`reserve_after`] no longer keeps.
    pub fn restart_by(&mut self, elapsed: Duration, horizon: Duration) {
        self.restart(self.reserve - reserve_after(elapsed, horizon));
    }

    /// Multiplies the wealth on each alternative; `ln_factor` is told its number.
    pub fn multiply(&mut self, ln_factor: impl Fn(usize) -> f64) {
        for (alternative, ln) in self.ln_parts.iter_mut().enumerate() {
            *ln += ln_factor(alternative);
        }
    }

    /// Logarithm of the whole wealth, the reserve included: the test's ln E.
    #[must_use]
    pub fn ln_value(&self) -> f64 {
        ln_sum(self.ln_parts.iter().copied().chain([self.reserve.ln()]))
    }
}

/// What is still in reserve this long after the start. Evenly spent over the horizon, because it is not known when a
/// leak will show; quiet times waste nothing, since a stake that has met no evidence is as good as a new one.
#[must_use]
pub(crate) fn reserve_after(elapsed: Duration, horizon: Duration) -> f64 {
    let passed = elapsed.as_secs_f64() / horizon.as_secs_f64().max(1.0);
    let late = (passed - 1.0).max(0.0);
    let spent = RESERVE_WITHIN_HORIZON * passed.min(1.0) + (1.0 - RESERVE_WITHIN_HORIZON) * late / (late + 1.0);
    RESERVE * (1.0 - spent)
}

/// ln(e^a + e^b).
#[must_use]
pub(crate) fn ln_add(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// The logarithm of the sum of what `lns` are the logarithms of; minus infinity for none.
#[must_use]
pub(crate) fn ln_sum(lns: impl Iterator<Item = f64> + Clone) -> f64 {
    let high = lns.clone().fold(f64::NEG_INFINITY, f64::max);
    if high == f64::NEG_INFINITY { high } else { high + lns.map(|ln| (ln - high).exp()).sum::<f64>().ln() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_won_or_lost_by_moving_wealth() {
        let mut wealth = Wealth::<8>::with_reserve(RESERVE);
        assert!(wealth.ln_value().abs() < 1e-15);
        for _ in 0..300 {
            wealth.restart(0.002);
        }
        assert!(wealth.ln_value().abs() < 1e-13);
        assert_eq!(wealth.reserve, 0.0);
    }

    #[test]
    fn the_reserve_lasts_for_ever_and_is_mostly_spent_by_the_horizon() {
        let hour = Duration::from_secs(3600);
        let kept = |hours: u64| reserve_after(Duration::from_secs(hours * 3600), hour);
        assert_eq!(reserve_after(Duration::ZERO, hour), RESERVE);
        assert!((kept(1) - 0.1).abs() < 1e-15);
        assert!((kept(2) - 0.05).abs() < 1e-15);
        assert!(kept(1_000_000) > 0.0);
        assert!((0..200).all(|hour| kept(hour) > kept(hour + 1)));
    }

    #[test]
    fn sums_of_logarithms_know_nothing_and_very_much() {
        assert_eq!(ln_add(f64::NEG_INFINITY, 3.0), 3.0);
        assert_eq!(ln_add(f64::NEG_INFINITY, f64::NEG_INFINITY), f64::NEG_INFINITY);
        assert!((ln_add(2000.0, 2000.0) - 2000.0 - 2_f64.ln()).abs() < 1e-12);
        assert_eq!(ln_sum([].into_iter()), f64::NEG_INFINITY);
        assert!((ln_sum([1.0_f64.ln(), 2.0_f64.ln(), 5.0_f64.ln()].into_iter()) - 8.0_f64.ln()).abs() < 1e-15);
    }
}
