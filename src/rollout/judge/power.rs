//! How many requests it takes to catch a regression: what a bake has to collect, and whether it can.
//!
//! Under a true regression the logarithm of the best alternative's wealth is a random walk with drift `g` per
//! request, and the alarm goes off when it has climbed `a = ln(1/alpha) + ln J` (its start is 1/J of the stake). So
//! the mean is near `a/g` (Wald's identity, the overshoot neglected), within 15 % for the regressions that matter.
//!
//! The mean is not enough to call a bake long enough: half of all bad versions take about that long or longer. The
//! 90th percentile is approximated from the first two moments of the walk's first passage: mean `a/g` and variance
//! `a*v/g^3` with `v` the variance of one step (the inverse Gaussian's, Wald again). The number of failures that it
//! takes is small, so the waiting time is nearer to a gamma distribution than to any other with these moments, and
//! the gamma's percentile is Wilson and Hilferty's cube: `mean * (1 - 1/(9k) + 1.2816/(3*sqrt(k)))^3` with `k =
//! mean^2/variance`. Against simulation it is within 20 % from shares of 1 to 50 % and failure ratios of 0.01 to 10
//! %.
//!
//! Why not simulate: the number is asked for in each verdict, and it changes with the baseline's failure ratio.

use std::time::Duration;

use super::burst::PART_OF_SMALL_REGRESSIONS;
use super::ceiling::{CeilingBets, MULTIPLES};
use super::errors::{CANDIDATE_EVENTS_MIN, ErrorBets, RATIOS};
use super::evidence::CandidateShare;
use super::judge_settings::JudgeSettings;
use super::per_version::PerVersion;
use super::stakes::Comparison;
use super::wealth::RESERVE;
use crate::shared::probability::Probability;

/// The normal distribution's 90th percentile.
const NORMAL_P90: f64 = 1.281_551_565_545;

/// Where bursts are tolerated, a part of the stake is bet at the price that small regressions are found at, and this
/// many times as many requests make up for what leaks meanwhile. By simulation.
const BURST_COST: f64 = 1.25;

/// How many judged requests of the candidate it takes until the alarm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Detection {
    /// On average.
    pub mean: f64,
    /// In nine of ten releases at most.
    pub p90: f64,
}

impl Detection {
    /// By the test on failures, where the versions fail with probabilities `failing` and the test's ln E must reach
    /// `ln_needed`. `None` if the bets would not win: the difference is tolerated or too small for any of them.
    #[must_use]
    pub(crate) fn by_errors(
        bets: &ErrorBets,
        share: CandidateShare,
        failing: PerVersion<f64>,
        ln_needed: f64,
    ) -> Option<Self> {
        let w = share.value();
        let steps = (0..RATIOS.len()).map(|alternative| {
            let [candidate, baseline, success] = bets.ln_factors(alternative);
            WalkStep::of(&[
                (w * failing.candidate, candidate),
                ((1.0 - w) * failing.baseline, baseline),
                ((1.0 - w) * (1.0 - failing.baseline), success),
            ])
        });
        let requests = Self::of_walk(steps, ln_needed + (RATIOS.len() as f64).ln())?;
        Some(Self { mean: requests.mean * w, p90: requests.p90 * w }.at_least(failing.candidate))
    }

    /// By the test of a ceiling, where the candidate fails with probability `failing`.
    #[must_use]
    pub(crate) fn by_ceiling(bets: &CeilingBets, failing: f64, ln_needed: f64) -> Option<Self> {
        let steps = (0..MULTIPLES.len()).map(|alternative| {
            let [bad, good] = bets.ln_factors(alternative);
            WalkStep::of(&[(failing, bad), (1.0 - failing, good)])
        });
        Self::of_walk(steps, ln_needed + (MULTIPLES.len() as f64).ln())
    }

    fn of_walk(steps: impl Iterator<Item = WalkStep>, climb: f64) -> Option<Self> {
        let best = steps.max_by(|a, b| a.drift.total_cmp(&b.drift)).filter(|best| best.drift > 0.0)?;
        let mean = climb / best.drift;
        let shape = climb * best.drift / best.variance;
        let cube_root = 1.0 - 1.0 / (9.0 * shape) + NORMAL_P90 / (3.0 * shape.sqrt());
        Some(Self { mean, p90: (mean * cube_root.powi(3)).max(mean) })
    }

    /// Never before the failures that a verdict needs at the least.
    fn at_least(self, failing: f64) -> Self {
        let events = CANDIDATE_EVENTS_MIN as f64 / failing;
        Self { mean: self.mean.max(events), p90: self.p90.max(events) }
    }
}

/// One request's step of the walk.
struct WalkStep {
    drift: f64,
    variance: f64,
}

impl WalkStep {
    /// From the probabilities of outcomes and their logarithmic factors; what is left has the factor 1.
    fn of(outcomes: &[(f64, f64)]) -> Self {
        let moment = |power| outcomes.iter().map(|(probability, ln)| probability * ln.powi(power)).sum::<f64>();
        Self { drift: moment(1), variance: moment(2) - moment(1).powi(2) }
    }
}

/// A bake that cannot collect what a verdict needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shortfall {
    /// Judged requests of the candidate that are needed.
    pub needed: u64,
    /// Those that the bake will bring.
    pub expected: f64,
    /// The bake that would be long enough; [`Duration::MAX`] without traffic.
    pub bake: Duration,
}

impl JudgeSettings {
    /// How many judged requests of the candidate a step at `share` needs before it may advance, beside a baseline
    /// that fails with probability `baseline`. `None` if no number is enough: on a baseline that fails so often the
    /// promised regression cannot be told from chance.
    ///
    /// At 0 and 100 % there is nothing to compare with: only a ceiling on failures asks for requests there.
    #[must_use]
    pub fn requests_needed(&self, share: CandidateShare, baseline: f64) -> Option<u64> {
        if self.requests_min.is_some() {
            return self.requests_min;
        }
        if share.compares() {
            let candidate = (self.margin.tolerated(baseline) + self.catches.value()).min(1.0);
            let ln_needed = self.ln_climb(self.ln_needed(Comparison::Errors));
            let bets = ErrorBets::new(share, self.margin);
            let detection = Detection::by_errors(&bets, share, PerVersion { candidate, baseline }, ln_needed);
            self.enough(detection)
        } else {
            self.ceilings.failures.map_or(Some(0), |ceiling| self.requests_for_ceiling(ceiling, self.ln_alarm()))
        }
    }

    /// The same at 100 %, below a ceiling that the baseline's own rate has become.
    #[must_use]
    pub fn requests_for_frozen(&self, ceiling: Probability) -> Option<u64> {
        self.requests_min.or_else(|| self.requests_for_ceiling(ceiling, self.ln_frozen_alarm()))
    }

    fn requests_for_ceiling(&self, ceiling: Probability, ln_alarm: f64) -> Option<u64> {
        let failing = (ceiling.value() + self.catches.value()).min(1.0);
        self.enough(Detection::by_ceiling(&CeilingBets::new(ceiling), failing, self.ln_climb(ln_alarm)))
    }

    /// How far the wealth of what is staked at once has to climb.
    fn ln_climb(&self, ln_alarm: f64) -> f64 {
        let ln_price = if self.tolerate_burst.is_zero() { 0.0 } else { PART_OF_SMALL_REGRESSIONS.ln() };
        ln_alarm - (1.0 - RESERVE).ln() - ln_price
    }

    fn enough(&self, detection: Option<Detection>) -> Option<u64> {
        let longer = if self.tolerate_burst.is_zero() { 1.0 } else { BURST_COST };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive; saturates")]
        detection.map(|detection| (detection.p90 * longer).ceil() as u64)
    }

    /// Whether a bake of this length at `share` cannot collect [`Self::requests_needed`] with so much traffic on both
    /// versions together; `None` if it can, or if no bake could.
    #[must_use]
    pub fn shortfall(&self, share: CandidateShare, baseline: f64, traffic: ExpectedTraffic) -> Option<Shortfall> {
        let needed = self.requests_needed(share, baseline)?;
        let per_second = traffic.requests_per_second * share.value();
        let expected = per_second * traffic.bake.as_secs_f64();
        let bake = Duration::try_from_secs_f64((needed as f64 / per_second).ceil()).unwrap_or(Duration::MAX);
        (expected < needed as f64).then_some(Shortfall { needed, expected, bake })
    }
}

/// What a bake will see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpectedTraffic {
    /// Judged requests per second of both versions together.
    pub requests_per_second: f64,
    /// How long the step bakes.
    pub bake: Duration,
}

#[cfg(test)]
mod tests;
