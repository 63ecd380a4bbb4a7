//! The test on latency: does the candidate exceed the baseline's quantiles more often than its share explains?
//!
//! Latencies have no agreed distribution, and means are made by the worst few. But whatever the distribution is, a
//! request of a candidate that is not slower exceeds a given threshold no more often than one of the baseline.
//! So thresholds are taken from the baseline of the *previous* minute (its median, 90th and 99th percentile), and
//! exceeding one is an event as in [`super::errors`]: known odds, and no assumption but the random assignment. The
//! thresholds may be old, rough or wrong: that costs power, never validity, because they do not depend on the requests
//! that are compared with them.
//!
//! An alternative `(q, r)` says that the candidate exceeds the q-quantile `r` times as often: a request above it has
//! the ratio `rho = r`, one below `rho = (1 - r*(1 - q))/q`, and with `w` the candidate's share the wealth is
//! multiplied by
//!
//! ```text
//! rho/(w*rho + 1 - w)   if it was the candidate's        1/(w*rho + 1 - w)   if it was the baseline's
//! ```
//!
//! A whole confidence band on the distribution function (Dvoretzky-Kiefer-Wolfowitz and its kin) would also see
//! changes in between, but needs two to twenty times as many requests for the regressions that happen.
//!
//! **What is older than a threshold has exceeded it.** A request that hangs is counted when it is found without a
//! response above a threshold, not at its end a minute later. Of the thresholds above that one it says nothing unless
//! it exceeds them too: whether it would have stayed below is known later than the side that it is on, and what is
//! left out so is left out on both sides. The same holds for a request whose client leaves before the end. One whose
//! response has begun is timed at its end: streams are long on purpose.
//!
//! **Where users come back** a user is one draw, and the event is that he exceeds a threshold for the first time in a
//! window ([`super::windows`]): the worst that he met, on both sides alike. His first request would be fairer to the
//! median and blind for the second page that he opens. As in the test on failures there is no bet on what does not
//! happen, because most requests are those of users who have testified.
//!
//! **The interface in.** A tolerance of `t` means that the candidate's latency is divided by `1 + t` first; the same
//! thing is done once per minute here, by multiplying its thresholds
//! ([`super::quantiles::Thresholds`]). Thresholds ascend, so a
//! request is described by *how many* it exceeds: four counters per version and weight epoch ([`LatencyCounts`]), one
//! increment per request, and no latency is ever stored.
//!
//! **Every judged request is compared, whatever became of it.** Where users do not come back every request is a bet
//! here, unlike failures, fast ones too: a fast request speaks for the candidate if it was the candidate's, and
//! *against* it if it was the baseline's. So the odds must be those of the requests that are compared. If the
//! candidate's are left out for a reason that the baseline does not share (only answers are timed and the candidate
//! fails more; its endpoints warm up), then every fast request of the baseline looks like evidence, and at a share of
//! half some thirty of them are an alarm. Failures that are fast make a version look faster; the test on failures is
//! there to say so.

use super::evidence::CandidateShare;
use super::judge_settings::{Assignment, JudgeSettings};
use super::quantiles::{LatencyCounts, QUANTILES};
use super::stakes::Comparison;
use super::wealth::Wealth;

/// The alternatives: a quantile, and how many times as often it is exceeded. All of 1.25, 1.5, 2, 3, 5, 10, 20 and 50
/// that leave something below the quantile (`r*(1 - q) <= 0.97`).
pub(crate) const ALTERNATIVES: [(usize, f64); 15] = [
    (0, 1.25),
    (0, 1.5),
    (1, 1.25),
    (1, 1.5),
    (1, 2.0),
    (1, 3.0),
    (1, 5.0),
    (2, 1.25),
    (2, 1.5),
    (2, 2.0),
    (2, 3.0),
    (2, 5.0),
    (2, 10.0),
    (2, 20.0),
    (2, 50.0),
];

/// The test: its E is the [`Wealth::ln_value`] of its wealth.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LatencyTest {
    /// What the bets have won, by alternative.
    pub(crate) wealth: Wealth<{ ALTERNATIVES.len() }>,
}

/// The logarithms of the factors under one share of the traffic: computed once, used every tick.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LatencyBets([LatencyFactors; ALTERNATIVES.len()]);

/// The logarithms of the factors of one alternative.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct LatencyFactors {
    /// The candidate's, above and below the threshold.
    pub candidate: [f64; 2],
    /// The baseline's, above and below the threshold.
    pub baseline: [f64; 2],
}

impl LatencyBets {
    /// The bets under one share. Nothing is bet where everything goes to one side, and where users come back nothing on
    /// what stays below a threshold.
    #[must_use]
    pub(crate) fn new(share: CandidateShare, assignment: Assignment) -> Self {
        let w = share.value();
        Self(ALTERNATIVES.map(|(quantile, r)| {
            let q = QUANTILES[quantile];
            let rho = [r, (1.0 - r * (1.0 - q)) / q];
            let mean = rho.map(|rho| w * rho + 1.0 - w);
            let below = f64::from(u8::from(assignment == Assignment::PerRequest));
            let bets = LatencyFactors {
                candidate: [(rho[0] / mean[0]).ln(), (rho[1] / mean[1]).ln() * below],
                baseline: [-mean[0].ln(), -mean[1].ln() * below],
            };
            if share.compares() { bets } else { LatencyFactors::default() }
        }))
    }

    /// The logarithms of the factors of every alternative, with the number of its quantile.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &LatencyFactors)> {
        ALTERNATIVES.iter().map(|(quantile, _)| *quantile).zip(&self.0)
    }
}

impl LatencyTest {
    #[cfg(test)]
    /// Everything staked now.
    #[must_use]
    pub(crate) fn unconditional() -> Self {
        Self { wealth: Wealth::staked() }
    }

    /// A part of the stake kept for later starts ([`Wealth::restart`]).
    #[must_use]
    pub(crate) fn with_restarts(settings: &JudgeSettings) -> Self {
        Self::proving_at(settings, settings.ln_needed(Comparison::Latency))
    }

    /// The same for a proof at `ln_needed`.
    #[must_use]
    pub(crate) fn proving_at(settings: &JudgeSettings, ln_needed: f64) -> Self {
        let quantiles = ALTERNATIVES.map(|(quantile, _)| quantile);
        Self { wealth: settings.wealth(ln_needed).betting_on(quantiles) }
    }

    /// The number in [`QUANTILES`] of the quantile whose bets have won most.
    #[must_use]
    pub(crate) fn leading_quantile(&self) -> usize {
        ALTERNATIVES.get(self.wealth.leading()).map_or(0, |(quantile, _)| *quantile)
    }

    /// Folds in what happened under one share; the order does not matter.
    pub(crate) fn fold(&mut self, bets: &LatencyBets, candidate: &LatencyCounts, baseline: &LatencyCounts) {
        let split = |counts: &LatencyCounts, quantile: usize| {
            [counts.first_above[quantile] as f64, counts.below(quantile) as f64]
        };
        let candidate = [0, 1, 2].map(|quantile| split(candidate, quantile));
        let baseline = [0, 1, 2].map(|quantile| split(baseline, quantile));
        self.wealth.multiply(|alternative| {
            let (quantile, factors) = (ALTERNATIVES[alternative].0, &bets.0[alternative]);
            let sum = |counts: [f64; 2], lns: [f64; 2]| counts[0] * lns[0] + counts[1] * lns[1];
            sum(candidate[quantile], factors.candidate) + sum(baseline[quantile], factors.baseline)
        });
    }
}

#[cfg(test)]
mod tests;
