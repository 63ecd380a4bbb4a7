//! The requests of a tick, and what becomes of them.

use std::time::Duration;

use rand::{Rng, RngExt};
use rand_distr::weighted::WeightedAliasIndex;
use rand_distr::{Binomial, Distribution, Pareto, Poisson, StandardNormal};

use super::super::counts::{CountsReader, compare_with};
use super::super::judge::evidence::micros;
use super::super::judge::latency::{LatencyCounts, QUANTILES, Quantiles, Thresholds};
use super::super::judge::settings::Multiple;
use super::super::judge::{Assignment, CandidateShare, EpochCounts, JudgeSettings, OutcomeCounts, PerVersion, Side};
use super::super::run::Rollout;
use super::world::{Behaviour, SimulatedWorld, UserPopulation};
use crate::rollout::TICK;
use crate::shared::canary_stats::{Arm, CanaryOutcome, CanaryStats, CanaryTerms};
use crate::table::{SLOTS, Weight};

/// The normal distribution's quantiles at [`QUANTILES`].
const NORMAL_QUANTILES: [f64; QUANTILES.len()] = [0.0, 1.281_551_565_545, 2.326_347_874_041];

/// The baseline's median latency. Only ratios matter.
const MEDIAN: Duration = Duration::from_millis(100);

/// All who ask in a simulated release.
#[derive(Debug)]
pub(crate) struct SimulatedTraffic<'w> {
    world: &'w SimulatedWorld,
    users: Option<UserPool>,
}

impl<'w> SimulatedTraffic<'w> {
    pub(crate) fn new(world: &'w SimulatedWorld, judge: &JudgeSettings, random: &mut impl Rng) -> Self {
        let users = world.users.and_then(|users| UserPool::new(users, world.spread, judge, random));
        Self { world, users }
    }

    /// What a tick brings.
    pub(crate) fn tick(&mut self, now: Duration, rollout: &Rollout, random: &mut impl Rng) -> Vec<EpochCounts> {
        let weight = rollout.weight();
        let mean = self.world.requests_per_second * TICK.as_secs_f64();
        let requests = Poisson::new(mean).map_or(0.0, |poisson| poisson.sample(random));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of some seconds' requests"
        )]
        let requests = requests as u64;
        let tolerated = rollout.plan().judge().slower;
        let odds = Odds::new(self.world, self.world.candidate_at(now), tolerated);
        match &mut self.users {
            Some(users) => {
                let window = rollout.judges().first().and_then(|judge| judge.latency()).map_or(1, |open| open.number);
                users.ask(requests, weight, &odds, random);
                users.counts.read(&users.canary, window)
            }
            None => vec![strangers(&odds, requests, CandidateShare::at(weight), random)],
        }
    }
}

/// What becomes of a request at a moment.
#[derive(Debug)]
struct Odds {
    failing: PerVersion<f64>,
    /// How far logarithms of latencies are above the thresholds' own distribution, in standard deviations. `None` where
    /// latency is not judged.
    shift: Option<PerVersion<f64>>,
    /// How many times as slow as the baseline each is.
    slower: PerVersion<f64>,
}

impl Odds {
    fn new(world: &SimulatedWorld, candidate: Behaviour, tolerated: Option<Multiple>) -> Self {
        let failing = PerVersion { candidate: candidate.failing, baseline: world.baseline_failing };
        let shift = tolerated.map(|tolerated| PerVersion {
            candidate: (candidate.slower / tolerated.value()).ln() / world.spread,
            baseline: 0.0,
        });
        Self { failing, shift, slower: PerVersion { candidate: candidate.slower, baseline: 1.0 } }
    }
}

/// Requests that have nothing to do with each other.
fn strangers(odds: &Odds, requests: u64, share: CandidateShare, random: &mut impl Rng) -> EpochCounts {
    let mut counts = EpochCounts::none(share);
    let candidate = binomial(requests, share.value(), random);
    for (side, requests) in [(Side::Candidate, candidate), (Side::Baseline, requests - candidate)] {
        let failures = binomial(requests, *odds.failing.of(side), random);
        *counts.outcomes.of_mut(side) = OutcomeCounts { requests, failures, counted_failures: failures };
        if let Some(shift) = &odds.shift {
            *counts.latencies.of_mut(side) = latencies(requests, *shift.of(side), random);
        }
    }
    counts
}

/// The latencies of some requests by the thresholds that they exceed.
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

/// Users who come back. They are counted as the workers of the proxy count them, because it matters who asks.
#[derive(Debug)]
struct UserPool {
    /// Who asks next.
    activity: WeightedAliasIndex<f64>,
    users: Vec<SimulatedUser>,
    failures_stick: bool,
    /// Sigma of the logarithm of latencies.
    spread: f64,
    canary: CanaryStats,
    counts: CountsReader,
}

#[derive(Clone, Copy, Debug)]
struct SimulatedUser {
    slot: u32,
    /// With failures that stick, everything fails for those below the probability.
    luck: f64,
}

impl UserPool {
    /// `None` where there are no users.
    fn new(users: UserPopulation, spread: f64, judge: &JudgeSettings, random: &mut impl Rng) -> Option<Self> {
        let pareto = Pareto::new(1.0, users.tail).ok()?;
        let activity = (0..users.count).map(|_| pareto.sample(random)).collect();
        let activity = WeightedAliasIndex::new(activity).ok()?;
        let terms = CanaryTerms {
            candidate: "candidate".into(),
            baseline: "baseline".into(),
            per_key: judge.assignment == Assignment::PerKey,
            slow_us: None,
            failed_calls: 0,
        };
        let canary = CanaryStats::new(terms, 1);
        if let Some(tolerated) = judge.slower {
            let quantiles = NORMAL_QUANTILES.map(|normal| MEDIAN.mul_f64((spread * normal).exp()));
            compare_with(&canary, &Thresholds::new(&Quantiles(quantiles), tolerated));
        }
        let user = |_| SimulatedUser { slot: random.random_range(0..SLOTS), luck: random.random() };
        let (users, failures_stick) = ((0..users.count).map(user).collect(), users.failures_stick);
        Some(Self { activity, users, failures_stick, spread, canary, counts: CountsReader::default() })
    }

    /// Some requests, each by some user.
    fn ask(&self, requests: u64, weight: Weight, odds: &Odds, random: &mut impl Rng) {
        let split = self.canary.epoch([weight.slots(), Weight::FULL.slots() - weight.slots()]);
        for _ in 0..requests {
            let Some(user) = self.users.get(self.activity.sample(random)) else { continue };
            // The candidate is the later version and owns the low end.
            let of_candidate = user.slot < weight.slots();
            let (arm, side) =
                if of_candidate { (Arm::Candidate, Side::Candidate) } else { (Arm::Baseline, Side::Baseline) };
            let luck = if self.failures_stick { user.luck } else { random.random() };
            let normal: f64 = StandardNormal.sample(random);
            let latency = MEDIAN.mul_f64(odds.slower.of(side) * (self.spread * normal).exp());
            let failed = luck < *odds.failing.of(side);
            split.count(0, &CanaryOutcome { arm, slot: Some(user.slot), failed, micros: micros(latency) });
        }
    }
}

pub(crate) fn binomial(trials: u64, probability: f64, random: &mut impl Rng) -> u64 {
    if trials == 0 || probability <= 0.0 {
        return 0;
    }
    Binomial::new(trials, probability.min(1.0)).map_or(0, |binomial| binomial.sample(random))
}

/// The probability that a standard normal variable is above `x`: Abramowitz and Stegun, 7.1.26, within 1e-7.
pub(crate) fn upper_tail(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let polynomial = series.iter().fold(0.0, |sum, factor| sum * t + factor) * t;
    let tail = 0.5 * polynomial * (-z * z).exp();
    if x >= 0.0 { tail } else { 1.0 - tail }
}
