//! The test on failures: is the next failure the candidate's more often than its share of the traffic explains?
//!
//! The hypothesis that the candidate is fine is `p_c <= r0 * (p_b + delta*(1 - p_b))`: its probability of failure is
//! at most `r0` times the baseline's, after an absolute increase of `delta` was granted. With `w` the probability
//! that a request went to the candidate, a failure under that hypothesis is the candidate's with probability at most
//! `th0 = w*r0/(w*r0 + 1 - w)`. An alternative `r` says it is `th = w*r0*r/(w*r0*r + 1 - w)`, and bets so:
//!
//! ```text
//! candidate's failure   th/th0                        baseline's failure   Lb = (1 - th)/(1 - th0)
//! candidate's success   1                             baseline's success   1 - delta*(1 - Lb)
//! ```
//!
//! The expected factor of one request, given all before it, is exactly `1 + (th - th0)*(w*r0 + 1 - w)*(p_c/r0 - p_b -
//! delta*(1 - p_b))`: at most 1 under the hypothesis, whatever the rates do and however the weights move. (The
//! conditional binomial test of Lindon and Malek, arXiv 2011.03567, with margins.)
//!
//! Why not compare two rates: only failures are needed, so the test pays nothing for the uncertainty of how many
//! requests a rate is made of, and needs about a tenth more requests than an oracle that knows how bad the candidate
//! is.
//!
//! The same test is made of users who are *lost*: a user is the trial then, and the event that he has nothing but
//! failures for longer than a burst. Where twice as many failures are tolerated, eight in a row may be 256 times as
//! frequent, and so the tolerated ratio is taken to the eighth power.
//!
//! Where users come back only a user's first failure is counted, while every success of the
//! baseline is. That errs on the candidate's side. Let `x = 1 - Lb` and `p_c` be the largest tolerated. What a user
//! of `n` requests wins on average as the candidate's, in units of the fair odds, is `T_n = x*p_c + (1 - p_b)*(1 -
//! delta)*T_(n-1)`; what the same user loses as the baseline's is at least `W_n = x*p_c + (1 - p_b)*(1 -
//! delta*x)*W_(n-1)` (for `r0 = 1`). As `x <= 1`, `W_n >= T_n` for every `n`. The simulation at the edge of the
//! margin is a test.

use super::evidence::CandidateShare;
use super::judge_settings::{JudgeSettings, Margin, Multiple};
use super::stakes::Comparison;
use super::wealth::Wealth;

/// How many times more often than tolerated the candidate may be failing; one of them is near enough to any truth.
pub(crate) const RATIOS: [f64; 8] = [1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0];

/// A verdict against the candidate needs at least this number of its own failures, whatever the odds say: two are an
/// anecdote.
pub(crate) const CANDIDATE_EVENTS_MIN: u64 = 3;

/// The test: its E is the [`Wealth::ln_value`] of its wealth.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ErrorTest {
    /// What the bets have won, by alternative.
    pub wealth: Wealth<{ RATIOS.len() }>,
}

/// What counts in this test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ErrorCounts {
    /// Failures of the candidate.
    pub candidate_failures: u64,
    /// Failures of the baseline.
    pub baseline_failures: u64,
    /// Successes of the baseline; only a granted increase makes them count.
    pub baseline_successes: u64,
}

/// The logarithms of the factors under one share of the traffic: computed once, used every tick.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ErrorBets {
    candidate_failure: [f64; RATIOS.len()],
    baseline_failure: [f64; RATIOS.len()],
    baseline_success: [f64; RATIOS.len()],
}

impl ErrorBets {
    /// The bets under one share. Nothing is bet where everything goes to one side: there is nothing to compare.
    #[must_use]
    pub(crate) fn new(share: CandidateShare, margin: Margin) -> Self {
        let (w, r0, delta) = (share.value(), margin.ratio.value(), margin.increase.value());
        let mut bets = Self { candidate_failure: [0.0; 8], baseline_failure: [0.0; 8], baseline_success: [0.0; 8] };
        if share.compares() {
            let tolerated = w * r0 + 1.0 - w;
            for (index, r) in RATIOS.iter().enumerate() {
                let suspected = w * r0 * r + 1.0 - w;
                let baseline = tolerated / suspected;
                bets.candidate_failure[index] = (r * baseline).ln();
                bets.baseline_failure[index] = baseline.ln();
                bets.baseline_success[index] = (-delta * (1.0 - baseline)).ln_1p();
            }
        }
        bets
    }

    /// The logarithms of the factors of one alternative: candidate's failure, baseline's failure, baseline's success.
    #[must_use]
    pub(crate) fn ln_factors(&self, alternative: usize) -> [f64; 3] {
        [self.candidate_failure[alternative], self.baseline_failure[alternative], self.baseline_success[alternative]]
    }
}

/// The margin of the test on lost users.
#[must_use]
pub(crate) fn margin_of_lost_users(margin: Margin) -> Margin {
    let ratio = margin.ratio.value().powi(8);
    Margin { ratio: Multiple::new(ratio).unwrap_or(margin.ratio), ..margin }
}

impl ErrorTest {
    #[cfg(test)]
    /// Everything staked now: the most powerful test of a version that is bad from the start.
    #[must_use]
    pub(crate) fn unconditional() -> Self {
        Self { wealth: Wealth::staked() }
    }

    /// A part of the stake kept for later starts ([`Wealth::restart`]).
    #[must_use]
    pub(crate) fn with_restarts(settings: &JudgeSettings) -> Self {
        Self::proving_at(settings, settings.ln_needed(Comparison::Errors))
    }

    /// The same for a proof at `ln_needed`.
    #[must_use]
    pub(crate) fn proving_at(settings: &JudgeSettings, ln_needed: f64) -> Self {
        Self { wealth: settings.wealth(ln_needed) }
    }

    /// The same of users who are lost. Nothing is granted for bursts, which do not lose anybody.
    #[must_use]
    pub(crate) fn of_lost_users(settings: &JudgeSettings) -> Self {
        Self { wealth: settings.wealth_without_bursts() }
    }

    /// Folds in what happened under one share; the order does not matter.
    pub(crate) fn fold(&mut self, bets: &ErrorBets, counts: ErrorCounts) {
        let (candidate, baseline) = (counts.candidate_failures as f64, counts.baseline_failures as f64);
        let successes = counts.baseline_successes as f64;
        self.wealth.multiply(|alternative| {
            let [won, lost, spent] = bets.ln_factors(alternative);
            candidate * won + baseline * lost + successes * spent
        });
    }
}

#[cfg(test)]
mod tests;
