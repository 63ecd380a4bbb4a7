//! The requests of a tick, and what becomes of them.

mod copies;
mod page_traffic;

use std::time::Duration;

use rand::seq::IteratorRandom;
use rand::{Rng, RngExt};
use rand_distr::weighted::WeightedAliasIndex;
use rand_distr::{Binomial, Distribution, Pareto, Poisson, StandardNormal};

use self::page_traffic::PageTraffic;
use super::super::counts::{CountsReader, compare_with};
use super::super::judge::evidence::RouteCounts;
use super::super::judge::pair_counts::PairCounts;
use super::super::judge::quantiles::micros;
use super::super::judge::quantiles::{LatencyCounts, QUANTILES, Quantiles, Thresholds};
use super::super::judge::{
    Assignment, CandidateShare, EpochCounts, Judge, JudgeSettings, OutcomeCounts, PerVersion, Side,
};
use super::super::run::Rollout;
use super::world::{BurstKind, Bursts, SimulatedWorld, UserPopulation};
use crate::rollout::TICK;
use crate::rollout::judge::judge_settings::Multiple;
use crate::shared::additive::Additive;
use crate::shared::canary_stats::{Arm, CanaryOutcome, CanaryStats, CanaryTerms, ResponseSeen};
use crate::shared::flights::Told;
use crate::shared::response_class::{ObservedResponse, ResponseClass};
use crate::shared::response_counters::{ClassTotals, ResponseOutcome};
use crate::shared::user_sets::ActiveUsers;
use crate::table::{SLOTS, Weight};

/// The normal distribution's quantiles at [`QUANTILES`].
const NORMAL_QUANTILES: [f64; QUANTILES.len()] = [0.0, 1.281_551_565_545, 2.326_347_874_041];

/// The baseline's median latency. Only ratios matter.
const MEDIAN: Duration = Duration::from_millis(100);

/// All who ask for a service in a simulated release.
#[derive(Debug)]
pub(crate) struct SimulatedTraffic {
    world: SimulatedWorld,
    /// Its number in the rollout.
    service: usize,
    users: Option<UserPool>,
    endpoints: Vec<SimulatedEndpoint>,
}

impl SimulatedTraffic {
    pub(crate) fn new(world: SimulatedWorld, service: usize, judge: &JudgeSettings, random: &mut impl Rng) -> Self {
        let users = world.users.and_then(|users| UserPool::new(users, world.spread, judge, random));
        let sides = [Side::Candidate, Side::Baseline];
        let each = sides.into_iter().flat_map(|side| (0..world.endpoints).map(move |_| side));
        let endpoints = each.map(|side| SimulatedEndpoint::new(side, world.bursts, random)).collect();
        Self { world, service, users, endpoints }
    }

    /// What a tick brings.
    pub(crate) fn tick(&mut self, now: Duration, rollout: &Rollout, random: &mut impl Rng) -> SimulatedTick {
        let weight = rollout.weight();
        let rate = self.world.requests_per_second * TICK.as_secs_f64();
        let tolerated = rollout.plan().judge().slower;
        let share = CandidateShare::at(weight);
        let to_candidate = self.world.requests_per_second * share.value();
        let odds = Odds::new(&self.world, now, to_candidate, tolerated);
        let frozen = rollout.judges().get(self.service).and_then(Judge::frozen).and_then(|frozen| frozen.slow_us);
        if let Some(bursts) = self.world.bursts {
            self.endpoints.iter_mut().for_each(|endpoint| endpoint.turn(now, bursts, random));
        }
        let (mut active, mut routes) = (None, Vec::new());
        let epochs = match &mut self.users {
            Some(users) => {
                let asked = UserRequests { requests: poisson(rate, random), weight, endpoints: &self.endpoints };
                if let Some(slow_us) = frozen {
                    users.canary.slow_above(slow_us);
                }
                users.ask(asked, &odds, random);
                let windows = rollout.judges().get(self.service).map(Judge::windows);
                active = windows.and_then(|windows| users.counts.look_at_users(&users.canary, windows));
                users.counts.read(&users.canary)
            }
            None if self.world.page.is_some() => {
                let page = PageTraffic { odds: &odds, part: self.world.page.unwrap_or(1.0), share };
                let (counts, of_page) = page.of(&self.world, poisson(rate, random), random);
                routes.push(of_page);
                vec![with_slow(counts, frozen)]
            }
            None if self.world.bursts.is_none() => {
                vec![with_slow(strangers(&odds, poisson(rate, random), share, random), frozen)]
            }
            None => {
                let mut counts = EpochCounts::none(share);
                for endpoint in &self.endpoints {
                    let part = if endpoint.side == Side::Candidate { share.value() } else { 1.0 - share.value() };
                    endpoint.serve(&odds, rate * part / f64::from(self.world.endpoints), &mut counts, random);
                }
                vec![with_slow(counts, frozen)]
            }
        };
        let pairs = rollout.mirror().map(|part| {
            let odds = Odds::new(&self.world, now, self.world.requests_per_second * part.ratio(), tolerated);
            copies::pairs(&odds.failing, poisson(rate * part.ratio(), random), random)
        });
        SimulatedTick { epochs, routes, users: active, pairs }
    }
}

/// What is above the ceiling on slow requests, once there is one: it is the candidate's highest threshold.
fn with_slow(mut counts: EpochCounts, frozen: Option<u64>) -> EpochCounts {
    if frozen.is_some() {
        let candidate = &mut counts.latencies.candidate;
        *candidate = candidate.with_slow(candidate.above(QUANTILES.len() - 1));
    }
    counts
}

/// The thresholds of the judge, where the logarithms of latencies have this sigma.
pub(crate) fn thresholds(spread: f64, tolerated: Multiple) -> Thresholds {
    let quantiles = NORMAL_QUANTILES.map(|normal| MEDIAN.mul_f64((spread * normal).exp()));
    Thresholds::new(&Quantiles(quantiles), tolerated)
}

/// What a tick brings.
#[derive(Debug)]
pub(crate) struct SimulatedTick {
    /// By share.
    pub epochs: Vec<EpochCounts>,
    /// By route, if one is watched.
    pub routes: Vec<RouteCounts>,
    /// Once in a minute: the users who came in it.
    pub users: Option<ActiveUsers>,
    /// What came of copies, while the plan mirrors.
    pub(super) pairs: Option<PairCounts>,
}

/// An endpoint of a version, with its trouble.
#[derive(Debug)]
struct SimulatedEndpoint {
    side: Side,
    kind: BurstKind,
    from: Duration,
    until: Duration,
    /// The part of this tick that is in a burst.
    part: f64,
    /// In ticks, how long the burst was that ends in this one.
    ended: Option<f64>,
}

impl SimulatedEndpoint {
    fn new(side: Side, bursts: Option<Bursts>, random: &mut impl Rng) -> Self {
        let kind = bursts.map_or(BurstKind::Failures, |bursts| bursts.kind);
        let from = bursts.map_or(Duration::MAX, |bursts| bursts.every.mul_f64(random.random::<f64>()));
        let until = bursts.map_or(Duration::MAX, |bursts| from + bursts.length(random));
        Self { side, kind, from, until, part: 0.0, ended: None }
    }

    /// Goes on to the tick that ends at `now`.
    fn turn(&mut self, now: Duration, bursts: Bursts, random: &mut impl Rng) {
        let begin = now.saturating_sub(TICK);
        let within = self.until.min(now).saturating_sub(self.from.max(begin));
        self.part = within.as_secs_f64() / TICK.as_secs_f64();
        self.ended = None;
        if self.until <= now {
            self.ended = Some((self.until - self.from).as_secs_f64() / TICK.as_secs_f64());
            self.from = self.until + bursts.every.mul_f64(random.random_range(2.0 / 3.0..4.0 / 3.0));
            self.until = self.from + bursts.length(random);
        }
    }

    /// A tick's requests of strangers, `mean` on average.
    fn serve(&self, odds: &Odds, mean: f64, counts: &mut EpochCounts, random: &mut impl Rng) {
        let asked = poisson(mean * (1.0 - self.part), random);
        let failing = binomial(asked, *odds.failing.of(self.side), random);
        let (mut requests, mut failures) = (asked, failing);
        let mut timed = odds.shift.as_ref().map(|shift| latencies(asked, *shift.of(self.side), random));
        let (in_burst, held_back) = match self.kind {
            BurstKind::Failures => (poisson(mean * self.part, random), 0),
            BurstKind::Pause => (0, self.ended.map_or(0, |ticks| poisson(mean * ticks, random))),
        };
        requests += in_burst + held_back;
        failures += in_burst;
        if let Some(timed) = &mut timed {
            let mut troubled = [0; QUANTILES.len() + 1];
            (troubled[0], troubled[QUANTILES.len()]) = (in_burst, held_back);
            timed.add(&LatencyCounts::of(troubled).with_slow(0));
        }
        let outcomes = OutcomeCounts::of(requests, failures);
        counts.outcomes.of_mut(self.side).add(&outcomes);
        counts.responses.of_mut(self.side).add(&odds.classes(self.side, requests, failures, random));
        counts.latencies.of_mut(self.side).add(&timed.unwrap_or_default());
    }
}

impl Bursts {
    fn length(self, random: &mut impl Rng) -> Duration {
        let [shortest, longest] = self.lasting;
        shortest + longest.saturating_sub(shortest).mul_f64(random.random::<f64>())
    }
}

/// How many come where `mean` are expected.
fn poisson(mean: f64, random: &mut impl Rng) -> u64 {
    let requests = Poisson::new(mean).map_or(0.0, |poisson| poisson.sample(random));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of some seconds' requests")]
    let requests = requests as u64;
    requests
}

/// What becomes of a request at a moment.
#[derive(Debug)]
struct Odds {
    failing: PerVersion<f64>,
    not_found: PerVersion<f64>,
    /// How far logarithms of latencies are above the thresholds' own distribution, in standard deviations. `None` where
    /// latency is not judged.
    shift: Option<PerVersion<f64>>,
    /// How many times as slow as the baseline each is.
    slower: PerVersion<f64>,
}

impl Odds {
    fn new(world: &SimulatedWorld, now: Duration, to_candidate: f64, tolerated: Option<Multiple>) -> Self {
        let (candidate, anyway) = (world.candidate_under(now, to_candidate), world.failing_anyway(now));
        let failing =
            PerVersion { candidate: candidate.failing.max(anyway), baseline: world.baseline_failing.max(anyway) };
        let shift = tolerated.map(|tolerated| PerVersion {
            candidate: (candidate.slower / tolerated.value()).ln() / world.spread,
            baseline: 0.0,
        });
        let not_found = PerVersion { candidate: candidate.not_found, baseline: world.baseline_not_found };
        Self { failing, not_found, shift, slower: PerVersion { candidate: candidate.slower, baseline: 1.0 } }
    }
}

impl Odds {
    /// The classes of the responses to requests of which some have failed.
    fn classes(&self, side: Side, asked: u64, failures: u64, random: &mut impl Rng) -> ClassTotals {
        let mut totals = ClassTotals { asked, ..ClassTotals::default() };
        let not_found = binomial(asked - failures, *self.not_found.of(side), random);
        totals.by_class[ResponseClass::NotFound.index()] = not_found;
        totals.counted[ResponseClass::NotFound.index()] = not_found;
        totals
    }
}

/// Requests that have nothing to do with each other.
fn strangers(odds: &Odds, requests: u64, share: CandidateShare, random: &mut impl Rng) -> EpochCounts {
    let mut counts = EpochCounts::none(share);
    let candidate = binomial(requests, share.value(), random);
    for (side, requests) in [(Side::Candidate, candidate), (Side::Baseline, requests - candidate)] {
        let failures = binomial(requests, *odds.failing.of(side), random);
        *counts.outcomes.of_mut(side) = OutcomeCounts::of(requests, failures);
        *counts.responses.of_mut(side) = odds.classes(side, requests, failures, random);
        if let Some(shift) = &odds.shift {
            *counts.latencies.of_mut(side) = latencies(requests, *shift.of(side), random);
        }
    }
    counts
}

/// The latencies of some requests by the thresholds that they exceed.
fn latencies(requests: u64, shift: f64, random: &mut impl Rng) -> LatencyCounts {
    let above = NORMAL_QUANTILES.map(|quantile| upper_tail(quantile - shift));
    let mut by_exceeded = [0; QUANTILES.len() + 1];
    let (mut left, mut within) = (requests, 1.0);
    // One threshold after the other, each among those that exceed the one before.
    for (number, above) in above.into_iter().enumerate() {
        let exceed = binomial(left, (above / within).min(1.0), random);
        by_exceeded[number] = left - exceed;
        (left, within) = (exceed, above);
    }
    by_exceeded[QUANTILES.len()] = left;
    LatencyCounts::of(by_exceeded).with_slow(0)
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

/// A tick's requests of users.
#[derive(Clone, Copy, Debug)]
struct UserRequests<'a> {
    requests: u64,
    /// The candidate's weight.
    weight: Weight,
    endpoints: &'a [SimulatedEndpoint],
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
            burst_ticks: judge.burst_ticks(),
            responses: true,
            except: [].into(),
            routes: false,
            flag: None,
            flags: [].into(),
        };
        let canary = CanaryStats::new(terms, 1);
        if let Some(tolerated) = judge.slower {
            compare_with(&canary, &thresholds(spread, tolerated));
        }
        let user = |_| SimulatedUser { slot: random.random_range(0..SLOTS), luck: random.random() };
        let (users, failures_stick) = ((0..users.count).map(user).collect(), users.failures_stick);
        Some(Self { activity, users, failures_stick, spread, canary, counts: CountsReader::default() })
    }

    /// Some requests, each by some user.
    fn ask(&self, asked: UserRequests<'_>, odds: &Odds, random: &mut impl Rng) {
        let UserRequests { requests, weight, endpoints } = asked;
        let is_troubled = endpoints.iter().any(|endpoint| endpoint.part > 0.0);
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
            let endpoint = if is_troubled {
                endpoints.iter().filter(|endpoint| endpoint.side == side).choose(random)
            } else {
                None
            };
            let troubled = endpoint.filter(|endpoint| random.random::<f64>() < endpoint.part);
            let (fails, waits) = troubled.map_or((false, false), |endpoint| {
                (endpoint.kind == BurstKind::Failures, endpoint.kind == BurstKind::Pause)
            });
            let failed = fails || luck < *odds.failing.of(side);
            let latency = if waits { latency + TICK } else { latency };
            let status = if random.random::<f64>() < *odds.not_found.of(side) { 404 } else { 200 };
            let observed = (!failed).then_some(ObservedResponse { status, media_type: 1, length: None });
            let outcome = CanaryOutcome {
                arm,
                slot: Some(user.slot),
                client: None,
                failed,
                seen: ResponseSeen::Whole,
                timed: true,
                micros: micros(latency),
                response: ResponseOutcome { is_asked: true, has_body: false, observed },
                route: None,
                endpoint: None,
            };
            split.count(0, &outcome, Told::default());
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
