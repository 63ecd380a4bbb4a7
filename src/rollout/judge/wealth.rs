//! The stake of a test, spread over alternatives, with a reserve for regressions that begin late and a price for
//! bursts.
//!
//! How much worse a bad version will be is not known, so a test bets on several alternatives at once, each with an
//! equal part of the stake; the sum of fair games is a fair game, and the alternative that comes true carries it. A
//! version that turns bad after half an hour of health meets bets that have lost nearly everything by then. So a part
//! of the stake stays in reserve and is spent bit by bit on starting anew. What is spent depends on time alone, never
//! on what the tick that it is spent on brings, which keeps the game fair.
//!
//! # One burst is one draw
//!
//! A pause of a process or a reconnecting pool makes a hundred requests bad together. As a hundred bets they prove
//! anything; but the lot fell once, on the endpoint that paused. So within any stretch as long as a tolerated burst,
//! wealth grows by a [`Price`]'s `growth` at the most:
//!
//! ```text
//! W(t) <- min( (W(t-1) + stake) * F,
//!              growth * (W(t-l) + stakes since),  l = 1 to the ticks of a burst ) * exp(-leak * time)
//! ```
//!
//! Without bursts that is less than the fair game, hence still a proof. With bursts of v2 that come by chance, at most
//! `rate` a second, each multiplies by `growth` at the most, and the leak pays for it: `growth^bursts * exp(-rate *
//! (growth - 1) * time)` has mean 1, so a leak of `rate * (growth - 1)` keeps the game fair whatever happens inside of
//! the bursts. A test has three prices at once, as it has alternatives: a high one with a large leak sees an outage
//! within two bursts' length, a low one with hardly any leak sees small regressions with hardly more requests. What the
//! baseline's own bursts say about the rate lowers the growth ([`super::burst::BurstWatch`]).
//!
//! Why not leave a burst out as an outlier: which stretch is one is only known afterwards, and leaving out the best of
//! many stretches costs more requests than a price that small regressions never reach.
//!
//! Everything is kept in logarithms: a hundred failures in a row multiply a wealth by more than a float can hold.

use std::collections::VecDeque;
use std::time::Duration;

/// The part of a stake that is kept for later starts. It costs a test that is right from the start 1 to 3 % more
/// requests. Half would cost 7 to 10 %, and find a regression that begins late with 8 % fewer.
pub(crate) const RESERVE: f64 = 0.2;

/// The part of the reserve that is spent within the horizon; the rest follows ever more slowly and never runs out,
/// for a rollout that was held. At equal density a restart in the first hour after the horizon is worth a quarter of
/// one before.
const RESERVE_WITHIN_HORIZON: f64 = 0.8;

/// What a burst may win, and what that costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Price {
    /// The part of the stake that is bet at this price.
    pub part: f64,
    /// Logarithm of the most that wealth grows by within a burst.
    pub ln_growth: f64,
    /// What wealth loses, in nats a second.
    pub leak: f64,
}

/// Kinds of events that the alternatives of one test bet on, at the most.
const EVENTS_MAX: usize = 3;

/// How bursts are limited in one tick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BurstLimits<'a> {
    /// How often the candidate may have bursts that explain what its last `l + 1` ticks show, a second; by the kind of
    /// event. What is not there is limited most.
    pub rates: &'a [Vec<f64>],
    /// For how many seconds the candidate was exposed to them since the tick before.
    pub exposed: f64,
}

impl BurstLimits<'_> {
    /// The logarithm of what wealth may grow by within this number of ticks and one, by the kind of event.
    fn ln_growths(&self, price: &Price, ticks: usize) -> [f64; EVENTS_MAX] {
        std::array::from_fn(|event| match self.rates.get(event).and_then(|rates| rates.get(ticks)) {
            Some(rate) => (price.leak / rate).ln_1p().clamp(LN_GROWTH_MIN.min(price.ln_growth), price.ln_growth),
            None => LN_GROWTH_MIN.min(price.ln_growth),
        })
    }
}

/// What a test has won or lost with a stake of 1, over `N` alternatives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wealth<const N: usize> {
    rows: Vec<Row<N>>,
    /// The kind of event that each alternative bets on.
    events: [usize; N],
    /// What was not staked yet.
    pub reserve: f64,
    /// Logarithm of what this tick multiplies each alternative by.
    ln_factors: [f64; N],
    /// What was staked in this tick and the ones before, newest first, as many as a burst has.
    stakes: VecDeque<f64>,
    /// Logarithm of the part of alpha that the open window has.
    ln_part: f64,
    /// The test's ln E in the best of the windows before.
    ln_closed: f64,
    /// The alternative that had won most in that one.
    led_closed: usize,
}

/// What was bet at one price.
#[derive(Clone, Debug, PartialEq)]
struct Row<const N: usize> {
    price: Price,
    /// Logarithm of the wealth on each alternative.
    ln_parts: [f64; N],
    /// The same after the ticks before, newest first.
    past: VecDeque<[f64; N]>,
}

impl<const N: usize> Wealth<N> {
    /// Everything staked at once, at no price: for outcomes that have nothing to do with each other.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn staked() -> Self {
        Self::with_reserve(0.0, &[], 0)
    }

    /// `reserve` kept for later, the rest of 1 staked now, at these prices for bursts of at most `burst_ticks` ticks.
    /// Without prices no burst is tolerated.
    #[must_use]
    pub(crate) fn with_reserve(reserve: f64, prices: &[Price], burst_ticks: usize) -> Self {
        let free = [Price { part: 1.0, ln_growth: f64::INFINITY, leak: 0.0 }];
        let prices = if prices.is_empty() { &free } else { prices };
        let row = |price: &Price| {
            let ln_parts = [(price.part * (1.0 - reserve) / N as f64).ln(); N];
            let mut past = VecDeque::with_capacity(burst_ticks + 1);
            past.push_front(ln_parts);
            Row { price: *price, ln_parts, past }
        };
        Self {
            rows: prices.iter().map(row).collect(),
            events: [0; N],
            reserve,
            ln_factors: [0.0; N],
            stakes: std::iter::repeat_n(0.0, burst_ticks).collect(),
            ln_part: 0.0,
            ln_closed: f64::NEG_INFINITY,
            led_closed: 0,
        }
    }

    /// The same, with this part of alpha.
    #[must_use]
    pub(crate) fn with_part(self, part: f64) -> Self {
        Self { ln_part: part.ln(), ..self }
    }

    /// The same, where each alternative bets on the event with this number.
    #[must_use]
    pub(crate) fn betting_on(self, events: [usize; N]) -> Self {
        Self { events, ..self }
    }

    /// Closes the window and opens another, with a new stake and this part of alpha ([`super::windows`]).
    pub(crate) fn open_window(&mut self, part: f64) {
        let prices: Vec<_> = self.rows.iter().map(|row| row.price).collect();
        let fresh = Self::with_reserve(RESERVE, &prices, self.stakes.len()).with_part(part).betting_on(self.events);
        *self = Self { ln_closed: self.ln_value(), led_closed: self.leading(), ..fresh };
    }

    /// Stakes this much of the reserve, or what is left of it, as a new start: to be called *before* the evidence of a
    /// tick multiplies it.
    pub(crate) fn restart(&mut self, stake: f64) {
        let stake = stake.min(self.reserve);
        if stake > 0.0 {
            self.reserve -= stake;
            if let Some(newest) = self.stakes.front_mut() {
                *newest += stake;
            }
            for row in &mut self.rows {
                let part = (stake * row.price.part / N as f64).ln();
                for ln in &mut row.ln_parts {
                    *ln = ln_add(*ln, part);
                }
            }
        }
    }

    /// Stakes what [`reserve_after`] no longer keeps.
    pub(crate) fn restart_by(&mut self, elapsed: Duration, horizon: Duration) {
        self.restart(self.reserve - reserve_after(elapsed, horizon));
    }

    /// Multiplies the wealth on each alternative; `ln_factor` is told its number.
    pub(crate) fn multiply(&mut self, ln_factor: impl Fn(usize) -> f64) {
        for (alternative, sum) in self.ln_factors.iter_mut().enumerate() {
            let ln = ln_factor(alternative);
            *sum += ln;
            for row in &mut self.rows {
                row.ln_parts[alternative] += ln;
            }
        }
    }

    /// Ends a tick: limits what a burst has won. Returns the logarithms of what the tick has multiplied the
    /// alternatives by.
    pub(crate) fn settle(&mut self, limits: &BurstLimits<'_>) -> [f64; N] {
        let factors = std::mem::replace(&mut self.ln_factors, [0.0; N]);
        if self.stakes.is_empty() {
            return factors;
        }
        for row in &mut self.rows {
            row.settle(&factors, &self.events, &self.stakes, limits);
        }
        self.stakes.pop_back();
        self.stakes.push_front(0.0);
        factors
    }

    /// The test's ln E: of the window that knows most, times its part of alpha.
    #[must_use]
    pub(crate) fn ln_value(&self) -> f64 {
        (self.ln_open() + self.ln_part).max(self.ln_closed)
    }

    /// Whether a window that is closed knows more than the open one.
    #[must_use]
    pub(crate) fn is_of_closed(&self) -> bool {
        self.ln_closed > self.ln_open() + self.ln_part
    }

    /// Logarithm of the whole wealth in the open window, the reserve included.
    #[must_use]
    pub(crate) fn ln_open(&self) -> f64 {
        let parts = self.rows.iter().flat_map(|row| row.ln_parts.iter().copied());
        ln_sum(parts.chain([self.reserve.ln()]))
    }

    /// The number of the alternative that has won most, in the window that knows most.
    #[must_use]
    pub(crate) fn leading(&self) -> usize {
        if self.is_of_closed() {
            return self.led_closed;
        }
        let ln = |alternative: usize| ln_sum(self.rows.iter().map(|row| row.ln_parts[alternative]));
        (0..N).max_by(|a, b| ln(*a).total_cmp(&ln(*b))).unwrap_or(0)
    }
}

impl<const N: usize> Row<N> {
    fn settle(&mut self, factors: &[f64; N], events: &[usize; N], stakes: &VecDeque<f64>, limits: &BurstLimits<'_>) {
        let lost = self.price.leak * limits.exposed;
        let mut staked = 0.0;
        for (ticks, past) in self.past.iter().enumerate() {
            staked += stakes.get(ticks).copied().unwrap_or(0.0);
            let ln_staked = (staked * self.price.part / N as f64).ln();
            let ln_growths = limits.ln_growths(&self.price, ticks);
            // What has not grown in this tick was within the limit before.
            for alternative in (0..N).filter(|alternative| factors[*alternative] > 0.0) {
                let most = ln_growths[events[alternative]] + ln_add(past[alternative], ln_staked);
                self.ln_parts[alternative] = self.ln_parts[alternative].min(most);
            }
        }
        for ln in self.ln_parts.iter_mut().chain(self.past.iter_mut().flatten()) {
            *ln -= lost;
        }
        if self.past.len() >= stakes.len() {
            self.past.pop_back();
        }
        self.past.push_front(self.ln_parts);
    }
}

/// However often the baseline has bursts, wealth may grow by a fifth within one.
const LN_GROWTH_MIN: f64 = 0.182_321_556_794;

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
        let mut wealth = Wealth::<8>::with_reserve(RESERVE, &[], 0);
        assert!(wealth.ln_value().abs() < 1e-15);
        for _ in 0..300 {
            wealth.restart(0.002);
        }
        assert!(wealth.ln_value().abs() < 1e-13);
        assert_eq!(wealth.reserve, 0.0);
    }

    #[test]
    fn a_window_keeps_what_the_best_one_before_it_knew() {
        let price = Price { part: 1.0, ln_growth: 9.0, leak: 0.0 };
        let mut wealth = Wealth::<2>::with_reserve(RESERVE, &[price], 3).with_part(0.5);
        assert!((wealth.ln_value() - 0.5_f64.ln()).abs() < 1e-12);
        wealth.multiply(|_| 5.0);
        let known = wealth.ln_value();
        wealth.open_window(0.25);
        assert_eq!(wealth.ln_value(), known);
        assert!(wealth.ln_open().abs() < 1e-12, "a new stake");
        wealth.multiply(|_| 9.0);
        assert!(wealth.ln_value() > known + 3.0, "{}", wealth.ln_value());
    }

    #[test]
    fn the_reserve_lasts_for_ever_and_is_mostly_spent_by_the_horizon() {
        let hour = Duration::from_secs(3600);
        let kept = |hours: u64| reserve_after(Duration::from_secs(hours * 3600), hour);
        assert_eq!(reserve_after(Duration::ZERO, hour), RESERVE);
        assert!((kept(1) - 0.2 * RESERVE).abs() < 1e-15);
        assert!((kept(2) - 0.1 * RESERVE).abs() < 1e-15);
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

    #[test]
    fn a_burst_multiplies_by_its_growth_at_the_most_and_wealth_leaks() {
        let price = Price { part: 1.0, ln_growth: 2.0, leak: 0.5 };
        let mut wealth = Wealth::<2>::with_reserve(0.0, &[price], 4);
        let mut tick = |gain: f64, exposed: f64| {
            wealth.multiply(|_| gain);
            wealth.settle(&BurstLimits { rates: &[vec![1e-9; 4]], exposed });
            wealth.ln_value()
        };
        tick(0.0, 0.0);
        let in_a_burst = [5.0, 5.0, 5.0].map(|gain| tick(gain, 0.0));
        assert!(in_a_burst.iter().all(|ln| (ln - 2.0).abs() < 1e-12), "{in_a_burst:?}");
        tick(5.0, 0.0);
        assert!((tick(5.0, 0.0) - 4.0).abs() < 1e-12, "a longer one is two");
        assert!((tick(-1.0, 1.0) - 2.5).abs() < 1e-12, "losses are not limited");
    }

    #[test]
    fn often_bursts_lower_the_growth_of_bets_on_what_they_explain() {
        let price = Price { part: 1.0, ln_growth: 5.0, leak: 0.5 };
        let grown = |rates: &[Vec<f64>], events: [usize; 2]| {
            let mut wealth = Wealth::<2>::with_reserve(0.0, &[price], 2).betting_on(events);
            for gain in [0.0, 9.0] {
                wealth.multiply(|_| gain);
                wealth.settle(&BurstLimits { rates, exposed: 0.0 });
            }
            wealth.ln_value()
        };
        let rates = [vec![0.1; 2], vec![0.0; 2]];
        assert!((grown(&rates[1..], [0, 0]) - 5.0).abs() < 1e-12, "no burst explains it");
        assert!((grown(&rates[..1], [0, 0]) - 6_f64.ln()).abs() < 1e-12, "1 + 0.5 / 0.1");
        assert!((grown(&rates, [1, 1]) - 5.0).abs() < 1e-12, "bursts of another kind");
        assert!((grown(&rates, [0, 1]) - ((6.0 + 5_f64.exp()) / 2.0).ln()).abs() < 1e-12);
        assert!((grown(&[], [0, 0]) - LN_GROWTH_MIN).abs() < 1e-9);
    }
}
