//! The requests of a tick, and what becomes of them.

use std::time::Duration;

use rand::{Rng, RngExt};
use rand_distr::weighted::WeightedAliasIndex;
use rand_distr::{Binomial, Distribution, Pareto, Poisson, StandardNormal};

use super::super::judge::latency::{LatencyCounts, QUANTILES};
use super::super::judge::settings::Multiple;
use super::super::judge::{CandidateShare, EpochCounts, Judge, OutcomeCounts, PerVersion, Side};
use super::super::run::Rollout;
use super::TICK;
use super::world::{Behaviour, SimulatedWorld, UserPopulation};
use crate::table::SLOTS;

/// The normal distribution's quantiles at [`QUANTILES`].
const NORMAL_QUANTILES: [f64; QUANTILES.len()] = [0.0, 1.281_551_565_545, 2.326_347_874_041];

/// Everybody who asks in a simulated release.
#[derive(Debug)]
pub(crate) struct SimulatedTraffic<'w> {
    world: &'w SimulatedWorld,
    crowd: Option<UserPool>,
}

impl<'w> SimulatedTraffic<'w> {
    pub(crate) fn new(world: &'w SimulatedWorld, random: &mut impl Rng) -> Self {
        Self { world, crowd: world.users.and_then(|users| UserPool::new(users, random)) }
    }

    /// What a tick brings.
    pub(crate) fn tick(&self, now: Duration, rollout: &mut Rollout, random: &mut impl Rng) -> EpochCounts {
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
        let mut counts = EpochCounts::none(CandidateShare::at(weight));
        match (&self.crowd, rollout.judges_mut().first_mut()) {
            (Some(crowd), Some(judge)) => {
                for _ in 0..requests {
                    crowd.ask(&odds, weight.slots(), judge, (&mut counts, random));
                }
            }
            _ => strangers(&odds, requests, (&mut counts, random)),
        }
        counts
    }
}

/// What becomes of a request at a moment.
#[derive(Debug)]
struct Odds {
    failing: PerVersion<f64>,
    /// How far logarithms of latencies are above the thresholds' own distribution, in standard deviations. `None` where
    /// latency is not judged.
    shift: Option<PerVersion<f64>>,
}

impl Odds {
    fn new(world: &SimulatedWorld, candidate: Behaviour, tolerated: Option<Multiple>) -> Self {
        let failing = PerVersion { candidate: candidate.failing, baseline: world.baseline_failing };
        let shift = tolerated.map(|tolerated| PerVersion {
            candidate: (candidate.slower / tolerated.value()).ln() / world.spread,
            baseline: 0.0,
        });
        Self { failing, shift }
    }
}

/// Requests that have nothing to do with each other.
fn strangers(odds: &Odds, requests: u64, (counts, random): (&mut EpochCounts, &mut impl Rng)) {
    let candidate = binomial(requests, counts.share.value(), random);
    for (side, requests) in [(Side::Candidate, candidate), (Side::Baseline, requests - candidate)] {
        let failures = binomial(requests, *odds.failing.of(side), random);
        *counts.outcomes.of_mut(side) = OutcomeCounts { requests, failures, counted_failures: failures };
        if let Some(shift) = &odds.shift {
            *counts.latencies.of_mut(side) = latencies(requests, *shift.of(side), random);
        }
    }
}

/// So many latencies by the thresholds that they exceed.
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

/// Users who come back.
#[derive(Debug)]
struct UserPool {
    /// Who asks next.
    activity: WeightedAliasIndex<f64>,
    users: Vec<SimulatedUser>,
    failures_stick: bool,
}

#[derive(Clone, Copy, Debug)]
struct SimulatedUser {
    slot: u32,
    /// With failures that stick, everything fails for those below the probability.
    luck: f64,
}

impl UserPool {
    /// `None` for nobody.
    fn new(users: UserPopulation, random: &mut impl Rng) -> Option<Self> {
        let pareto = Pareto::new(1.0, users.tail).ok()?;
        let activity = (0..users.count).map(|_| pareto.sample(random)).collect();
        let activity = WeightedAliasIndex::new(activity).ok()?;
        let user = |_| SimulatedUser { slot: random.random_range(0..SLOTS), luck: random.random() };
        Some(Self { activity, users: (0..users.count).map(user).collect(), failures_stick: users.failures_stick })
    }

    /// One request, by somebody.
    fn ask(
        &self,
        odds: &Odds,
        candidate_slots: u32,
        judge: &mut Judge,
        (counts, random): (&mut EpochCounts, &mut impl Rng),
    ) {
        let number = self.activity.sample(random);
        let Some(user) = self.users.get(number) else { return };
        // The candidate is the later version and owns the low end.
        let side = if user.slot < candidate_slots { Side::Candidate } else { Side::Baseline };
        let luck = if self.failures_stick { user.luck } else { random.random() };
        let outcomes = counts.outcomes.of_mut(side);
        outcomes.requests += 1;
        if luck < *odds.failing.of(side) {
            outcomes.failures += 1;
            outcomes.counted_failures += u64::from(judge.admit_failure(number as u64));
        }
        if let Some(shift) = &odds.shift
            && judge.admit_latency(number as u64)
        {
            let normal: f64 = StandardNormal.sample(random);
            let exceeded = NORMAL_QUANTILES.iter().filter(|quantile| normal + shift.of(side) > **quantile).count();
            let latencies = counts.latencies.of_mut(side);
            latencies.timed += 1;
            latencies.by_exceeded[exceeded] += 1;
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
