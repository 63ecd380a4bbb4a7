//! What a plan will do: the same state machine and the same judge, on simulated time and traffic.
//!
//! A run is one release. Each tick draws how many requests come (Poisson), how many of them the lot sends to the
//! candidate (binomial, with the weight of the moment), and how many fail or exceed the baseline's quantiles; the counts go
//! where those of the data plane go. Requests are not drawn one by one: a tick costs about a dozen draws whatever the
//! traffic, so a thousand releases of half an hour take seconds.
//!
//! Latencies are log-normal, those of the candidate so many times as long. The thresholds of the judge are taken to be
//! the baseline's true quantiles, as a minute of traffic shows them nearly. Gates agree at once. Chance is an argument.

use std::time::Duration;

use rand::Rng;
use rand_distr::{Binomial, Distribution, Poisson};

use crate::table::Weight;

use super::event::{Ending, Happened};
use super::judge::latency::{LatencyCounts, QUANTILES};
use super::judge::{Counts, EpochCounts, Evidence, Share, Sides};
use super::plan::Plan;
use super::run::{Phase, Rollout};
use super::stage::Answer;

/// Time between two looks of the judge.
pub const TICK: Duration = Duration::from_millis(250);

/// The normal distribution's quantiles at [`QUANTILES`].
const NORMAL_QUANTILES: [f64; QUANTILES.len()] = [0.0, 1.281_551_565_545, 2.326_347_874_041];

/// What the versions really do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct World {
    /// Requests per second of both versions together.
    pub requests_per_second: f64,
    /// The baseline's probability of failure.
    pub baseline_failing: f64,
    /// What the candidate does from its first request on.
    pub candidate: Behaviour,
    /// What it does later, if that is something else.
    pub later: Option<Later>,
    /// How much latencies differ from each other: sigma of their logarithm. 0.5 has a 99th percentile of 3.2 times the
    /// median.
    pub spread: f64,
}

/// What a version does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Behaviour {
    /// Its probability of failure.
    pub failing: f64,
    /// How many times as slow as the baseline it is.
    pub slower: f64,
}

/// A version that changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Later {
    /// Since the beginning of the release.
    pub at: Duration,
    /// How long it takes until it is as bad as it gets: a leak. Zero for at once.
    pub ramp: Duration,
    /// As bad as it gets.
    pub behaviour: Behaviour,
}

impl World {
    /// What the candidate does at a moment of the release.
    #[must_use]
    pub fn candidate_at(&self, time: Duration) -> Behaviour {
        let Some(later) = self.later.filter(|later| time >= later.at) else { return self.candidate };
        let part = if later.ramp.is_zero() {
            1.0
        } else {
            ((time - later.at).as_secs_f64() / later.ramp.as_secs_f64()).min(1.0)
        };
        let between = |from: f64, to: f64| from + part * (to - from);
        Behaviour {
            failing: between(self.candidate.failing, later.behaviour.failing),
            slower: between(self.candidate.slower, later.behaviour.slower),
        }
    }

    /// Whether the candidate is never worse than the baseline.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        let fine = |behaviour: &Behaviour| behaviour.failing <= self.baseline_failing && behaviour.slower <= 1.0;
        fine(&self.candidate) && self.later.is_none_or(|later| fine(&later.behaviour))
    }

    /// Since when it is worse.
    #[must_use]
    pub fn worse_since(&self) -> Duration {
        let from_the_start = Self { later: None, ..*self };
        if from_the_start.is_healthy() { self.later.map_or(Duration::ZERO, |later| later.at) } else { Duration::ZERO }
    }
}

/// How a simulated release ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// At an end of its own.
    Ended(Ending),
    /// Waiting for somebody.
    Paused,
    /// Not within the time that is simulated.
    Unfinished,
}

/// A simulated release.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// How it ended.
    pub outcome: Outcome,
    /// When.
    pub took: Duration,
    /// Requests that the candidate was given.
    pub candidate_requests: u64,
    /// Those that failed there.
    pub failed: u64,
    /// Those that would have failed with the shield: both attempts failed.
    pub failed_with_shield: u64,
}

/// Simulates a release for `most` at the longest.
pub fn simulate(plan: &Plan, world: &World, most: Duration, random: &mut impl Rng) -> Run {
    let (mut rollout, first) = Rollout::start(plan.clone(), 1, Duration::ZERO);
    let mut task = first.task;
    let mut run =
        Run { outcome: Outcome::Unfinished, took: most, candidate_requests: 0, failed: 0, failed_with_shield: 0 };
    let mut now = Duration::ZERO;
    while now < most {
        // Whoever is asked agrees.
        while let Some(begun) = task {
            task = rollout.answer(now, begun, &Answer::Done).and_then(|made| made.task);
        }
        match rollout.phase() {
            Phase::Finished { ending, .. } => return Run { outcome: Outcome::Ended(ending), took: now, ..run },
            Phase::Paused { .. } => return Run { outcome: Outcome::Paused, took: now, ..run },
            Phase::Going { .. } | Phase::Back(_) => {}
        }
        now += TICK;
        let epochs = [drawn(plan, world, (now, rollout.weight()), random)];
        let Counts { requests, failures, .. } = epochs[0].outcomes.candidate;
        run.candidate_requests += requests;
        run.failed += failures;
        run.failed_with_shield += binomial(failures, world.baseline_failing, random);
        let made = rollout.tick(now, &[Evidence { epochs: &epochs, ..Evidence::default() }]);
        task = made.and_then(|made| made.task);
        if let Some(Happened::Stuck { .. }) = made.map(|made| made.happened) {
            return Run { outcome: Outcome::Paused, took: now, ..run };
        }
    }
    run
}

/// What a tick brings.
fn drawn(plan: &Plan, world: &World, (now, weight): (Duration, Weight), random: &mut impl Rng) -> EpochCounts {
    let share = Share::at(weight);
    let behaviour = world.candidate_at(now);
    let mean = world.requests_per_second * TICK.as_secs_f64();
    let all = Poisson::new(mean).map_or(0.0, |poisson| poisson.sample(random));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of some seconds' requests")]
    let all = all as u64;
    let candidate = binomial(all, share.value(), random);
    let mut of = |requests: u64, failing: f64| {
        let failures = binomial(requests, failing, random);
        Counts { requests, failures, counted_failures: failures }
    };
    let outcomes =
        Sides { candidate: of(candidate, behaviour.failing), baseline: of(all - candidate, world.baseline_failing) };
    let Some(tolerated) = plan.judge().slower else { return EpochCounts { outcomes, ..EpochCounts::none(share) } };
    let slower = (behaviour.slower / tolerated.value()).ln() / world.spread;
    let latencies =
        Sides { candidate: latencies(candidate, slower, random), baseline: latencies(all - candidate, 0.0, random) };
    EpochCounts { share, outcomes, latencies }
}

/// So many latencies by the thresholds that they exceed; their logarithms are `shift` standard deviations above the
/// baseline's.
fn latencies(requests: u64, shift: f64, random: &mut impl Rng) -> LatencyCounts {
    let above = NORMAL_QUANTILES.map(|quantile| upper_tail(quantile - shift));
    let mut counts = LatencyCounts { timed: requests, ..LatencyCounts::default() };
    let (mut left, mut within) = (requests, 1.0);
    // One threshold after the other, each among those that exceed the one before.
    for (number, above) in above.into_iter().enumerate() {
        let exceed = binomial(left, (above / within).min(1.0), random);
        counts.by_exceeded[number] = left - exceed;
        (left, within) = (exceed, above);
    }
    counts.by_exceeded[QUANTILES.len()] = left;
    counts
}

fn binomial(trials: u64, probability: f64, random: &mut impl Rng) -> u64 {
    if trials == 0 || probability <= 0.0 {
        return 0;
    }
    Binomial::new(trials, probability.min(1.0)).map_or(0, |binomial| binomial.sample(random))
}

/// The probability that a standard normal variable is above `x`: Abramowitz and Stegun, 7.1.26, within 1e-7.
fn upper_tail(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let polynomial = series.iter().fold(0.0, |sum, factor| sum * t + factor) * t;
    let tail = 0.5 * polynomial * (-z * z).exp();
    if x >= 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests;
