//! How many times as often as the baseline the candidate fails, as an interval for people.
//!
//! E says how sure it is *that* the candidate is worse; people also want to know *by how much*. The interval holds the
//! true ratio with the given confidence at all times at once (a confidence sequence), so it may be watched live.
//! It inverts the same bets: a ratio `r` is in it while a wealth that bets against exactly `r` has not won:
//!
//! ```text
//! { r : l(r) >= ln alpha + ln mean_g exp l(g) }
//! l(r) = sum over shares w of c*ln th + b*ln(1 - th)      th = w*r/(w*r + 1 - w)
//! ```
//!
//! with `c` and `b` the counted failures of candidate and baseline. `l` is concave in `ln r`, so the set is an
//! interval and is found by bisection.

use super::evidence::CandidateShare;
use super::wealth::ln_sum;
use crate::shared::probability::Probability;

/// The alternatives `g`.
const ALTERNATIVES: [f64; 19] = [
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    1.0 / 3.0,
    1.0 / 2.0,
    1.0 / 1.5,
    1.0 / 1.2,
    1.0,
    1.2,
    1.5,
    2.0,
    3.0,
    5.0,
    10.0,
    20.0,
    50.0,
    100.0,
];

/// Ratios are looked for within e^-30 to e^30, ten million millions: beyond, they are nothing and infinitely many.
const LN_RATIO_MAX: f64 = 30.0;

/// Halvings of an interval of 60 until it is smaller than a float can tell.
const HALVINGS: u32 = 60;

/// The failures of both versions by share.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RatioCounts {
    /// One entry for each share that was in force, in order of appearance.
    pub shares: Vec<ShareFailures>,
}

/// Failures under one share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ShareFailures {
    /// The candidate's share.
    pub share: CandidateShare,
    /// Counted failures of the candidate.
    pub candidate: u64,
    /// Counted failures of the baseline.
    pub baseline: u64,
}

/// From the smallest to the largest ratio that the evidence allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RatioInterval {
    /// The smallest; 0 while the candidate has not failed.
    pub low: f64,
    /// The largest; infinite while the baseline has not failed.
    pub high: f64,
}

impl RatioCounts {
    /// Adds failures under a share. Allocates only when the share is new.
    pub(crate) fn add(&mut self, share: CandidateShare, candidate: u64, baseline: u64) {
        if !share.compares() || candidate + baseline == 0 {
            return;
        }
        match self.shares.iter_mut().find(|known| known.share == share) {
            Some(known) => {
                known.candidate += candidate;
                known.baseline += baseline;
            }
            None => self.shares.push(ShareFailures { share, candidate, baseline }),
        }
    }

    /// The interval that holds the true ratio at all times with probability `1 - alpha`; `None` before the first
    /// failure.
    #[must_use]
    pub(crate) fn interval(&self, alpha: Probability) -> Option<RatioInterval> {
        if self.shares.is_empty() {
            return None;
        }
        let threshold = alpha.value().ln() + self.ln_alternatives();
        let best = bisect(-LN_RATIO_MAX, LN_RATIO_MAX, |x| self.slope(x) > 0.0);
        let inside = |x: f64| self.ln_likelihood(x) >= threshold;
        let low = if inside(-LN_RATIO_MAX) { 0.0 } else { bisect(-LN_RATIO_MAX, best, |x| !inside(x)).exp() };
        let high = if inside(LN_RATIO_MAX) { f64::INFINITY } else { bisect(best, LN_RATIO_MAX, inside).exp() };
        Some(RatioInterval { low, high })
    }

    /// The logarithm of what a bet on all alternatives has made of its stake if the true ratio is this one. It is
    /// evidence against it on both sides.
    #[must_use]
    pub(crate) fn ln_wealth_against(&self, ratio: f64) -> f64 {
        self.ln_alternatives() - self.ln_likelihood(ratio.ln())
    }

    /// ln mean_g exp l(g).
    fn ln_alternatives(&self) -> f64 {
        ln_sum(ALTERNATIVES.iter().map(|g| self.ln_likelihood(g.ln()) - (ALTERNATIVES.len() as f64).ln()))
    }

    /// l(e^x).
    fn ln_likelihood(&self, x: f64) -> f64 {
        let of_share = |counts: &ShareFailures| {
            let odds = x + (counts.share.value() / (1.0 - counts.share.value())).ln();
            // ln th and ln(1 - th) from the logarithm of the odds, exact at both ends.
            counts.candidate as f64 * -softplus(-odds) + counts.baseline as f64 * -softplus(odds)
        };
        self.shares.iter().map(of_share).sum()
    }

    /// The derivative of l(e^x) by x.
    fn slope(&self, x: f64) -> f64 {
        let of_share = |counts: &ShareFailures| {
            let odds = x.exp() * counts.share.value() / (1.0 - counts.share.value());
            counts.candidate as f64 / (1.0 + odds) - counts.baseline as f64 * odds / (1.0 + odds)
        };
        self.shares.iter().map(of_share).sum()
    }
}

/// ln(1 + e^x).
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Where `holds` turns from true to false between `low` and `high`.
fn bisect(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if holds(middle) { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(counts: &[(f64, u64, u64)]) -> Option<RatioInterval> {
        let mut ratio = RatioCounts::default();
        for (share, candidate, baseline) in counts {
            ratio.add(CandidateShare::new(*share).unwrap(), *candidate, *baseline);
        }
        ratio.interval(Probability::new(0.05).unwrap())
    }

    fn rounded(interval: RatioInterval) -> [f64; 2] {
        [interval.low, interval.high].map(|end| (end * 100.0).round() / 100.0)
    }

    #[test]
    fn the_vector_comes_out() {
        assert_eq!(rounded(interval(&[(0.1, 30, 100)]).unwrap()), [1.27, 5.25]);
    }

    #[test]
    fn ticks_of_one_share_add_up_and_shares_go_together() {
        assert_eq!(interval(&[(0.1, 10, 60), (0.1, 20, 40)]), interval(&[(0.1, 30, 100)]));
        let (one, both) = (interval(&[(0.1, 30, 100)]).unwrap(), interval(&[(0.1, 30, 100), (0.5, 27, 10)]).unwrap());
        assert!(one.low < both.low && both.high < one.high, "{one:?} {both:?}");
    }

    /// The wealth against a ratio is 1/alpha exactly where the interval at alpha ends.
    #[test]
    fn the_interval_ends_where_the_wealth_against_a_ratio_has_won() {
        let mut ratio = RatioCounts::default();
        ratio.add(CandidateShare::new(0.1).unwrap(), 30, 100);
        ratio.add(CandidateShare::new(0.5).unwrap(), 4, 2);
        let RatioInterval { low, high } = ratio.interval(Probability::new(0.05).unwrap()).unwrap();
        for end in [low, high] {
            let wealth = ratio.ln_wealth_against(end).exp();
            assert!((wealth - 20.0).abs() < 1e-6, "{wealth} at {end}");
        }
        assert!(ratio.ln_wealth_against((low * high).sqrt()) < 20.0_f64.ln());
        assert_eq!(RatioCounts::default().ln_wealth_against(1.0), 0.0);
    }

    /// Over all orders in which ten failures can come, the expectation of the wealth against the true ratio is 1.
    #[test]
    fn the_bet_against_a_ratio_is_fair() {
        let (share, ratio) = (0.3_f64, 2.0_f64);
        let odds = share * ratio / (share * ratio + 1.0 - share);
        let expectation: f64 = (0..1_u32 << 10)
            .map(|order| {
                let candidate = order.count_ones();
                let mut counts = RatioCounts::default();
                counts.add(CandidateShare::new(share).unwrap(), u64::from(candidate), u64::from(10 - candidate));
                let probability = (0..10).map(|bit| if order >> bit & 1 == 1 { odds } else { 1.0 - odds });
                probability.product::<f64>() * counts.ln_wealth_against(ratio).exp()
            })
            .sum();
        assert!((expectation - 1.0).abs() < 1e-9, "{expectation}");
    }

    #[test]
    fn an_end_without_evidence_is_open() {
        assert_eq!(interval(&[]), None);
        assert_eq!(interval(&[(1.0, 5, 0)]), None);
        let no_baseline = interval(&[(0.1, 5, 0)]).unwrap();
        assert!(no_baseline.low > 1.0 && no_baseline.high.is_infinite(), "{no_baseline:?}");
        let no_candidate = interval(&[(0.1, 0, 100)]).unwrap();
        assert!(no_candidate.low == 0.0 && no_candidate.high < 1.0, "{no_candidate:?}");
    }
}
