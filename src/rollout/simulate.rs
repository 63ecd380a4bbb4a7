//! The simulation of a plan: the state machine and the judge of the proxy, on simulated time and traffic.
//!
//! A run is one release. Each tick draws how many requests come (Poisson), how many of them the lot sends to the
//! candidate (binomial, with the weight of the moment), and how many fail or exceed the baseline's quantiles; the
//! counts go where those of the data plane go. Requests of strangers are not drawn one by one: a tick costs about a
//! dozen draws whatever the traffic, so a thousand releases of half an hour take seconds. Those of users who come
//! back are, because it matters who asks: each user is one draw for the judge.
//!
//! Latencies are log-normal, those of the candidate longer by a factor. The thresholds of the judge are taken to be
//! the baseline's true quantiles, as a minute of traffic shows them nearly. A candidate may have a capacity, beyond
//! which the surplus fails: what breaks at 100 % only. Gates agree at once, and smoke requests are answered well.
//! Chance is an argument.

mod simulated_traffic;
mod world;

use std::time::Duration;

use rand::Rng;

use super::TICK;
use super::event::{RolloutEnding, RolloutEvent, Transition};
use super::judge::quantiles::Thresholds;
use super::judge::{Evidence, OutcomeCounts, PerVersion};
use super::plan::Plan;
use super::run::{Phase, Rollout};
use super::stage::{StageTask, TaskResult};
use crate::shared::route_name::RouteName;
use simulated_traffic::{SimulatedTick, SimulatedTraffic, binomial};
pub(crate) use world::{Behaviour, BurstKind, Bursts, Later, RoughTime, SimulatedWorld, UserPopulation};

/// How a simulated release ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SimulatedEnd {
    /// At an end of its own.
    Ended(RolloutEnding),
    /// Waiting for an operator.
    Paused,
    /// Not within the time that is simulated.
    Unfinished,
}

/// A simulated release.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SimulatedRun {
    /// How it ended.
    pub outcome: SimulatedEnd,
    /// When.
    pub took: Duration,
    /// Requests that the candidate was given.
    pub candidate_requests: u64,
    /// Those that failed there.
    pub failed: u64,
    /// Those that would have failed with the shield: both attempts failed.
    pub failed_with_shield: u64,
}

/// A release that is simulated tick by tick: its caller can look at a clock in between, and leave it.
#[derive(Debug)]
pub(crate) struct ReleaseSimulation {
    world: SimulatedWorld,
    rollout: Rollout,
    task: Option<StageTask>,
    traffic: Vec<SimulatedTraffic>,
    thresholds: Option<Thresholds>,
    /// The page that is watched, if there is one.
    page: Vec<RouteName>,
    now: Duration,
    /// The longest that it is simulated.
    most: Duration,
    run: SimulatedRun,
}

impl ReleaseSimulation {
    /// A release that is about to begin, and is simulated for `most` at the longest.
    pub(crate) fn new(plan: &Plan, world: &SimulatedWorld, most: Duration, random: &mut impl Rng) -> Self {
        let services = world.services.max(1) as usize;
        let (rollout, first) = Rollout::start(plan.clone(), services, Duration::ZERO);
        let of = |number: usize| if number == 0 { *world } else { world.healthy() };
        let traffic =
            (0..services).map(|number| SimulatedTraffic::new(of(number), number, plan.judge(), random)).collect();
        let run = SimulatedRun {
            outcome: SimulatedEnd::Unfinished,
            took: most,
            candidate_requests: 0,
            failed: 0,
            failed_with_shield: 0,
        };
        Self {
            world: *world,
            rollout,
            task: first.task,
            traffic,
            thresholds: plan.judge().slower.map(|tolerated| simulated_traffic::thresholds(world.spread, tolerated)),
            page: world.page.and_then(|_| RouteName::new(b"/page")).into_iter().collect(),
            now: Duration::ZERO,
            most,
            run,
        }
    }

    /// Simulates the next tick; what came of the release, if it is over.
    pub(crate) fn tick(&mut self, random: &mut impl Rng) -> Option<SimulatedRun> {
        if self.now >= self.most {
            return Some(self.run);
        }
        // All gates agree.
        while let Some(begun) = self.task {
            self.task = self.rollout.answer(self.now, begun, &TaskResult::Done).and_then(|made| made.task);
        }
        match self.rollout.phase() {
            Phase::Finished { ending, .. } => return Some(self.ended(SimulatedEnd::Ended(ending))),
            Phase::Paused { .. } => return Some(self.ended(SimulatedEnd::Paused)),
            Phase::Going { .. } | Phase::Back(_) => {}
        }
        self.now += TICK;
        let made = self.requests(random);
        self.task = made.and_then(|made| made.task);
        let blocked = matches!(made.map(|made| made.event), Some(RolloutEvent::RollbackBlocked { .. }));
        blocked.then(|| self.ended(SimulatedEnd::Paused))
    }

    fn ended(&self, outcome: SimulatedEnd) -> SimulatedRun {
        SimulatedRun { outcome, took: self.now, ..self.run }
    }

    /// What the requests of a tick make of the rollout.
    fn requests(&mut self, random: &mut impl Rng) -> Option<Transition> {
        let Self { world, rollout, traffic, thresholds, page, now, run, .. } = self;
        let ticks: Vec<_> = traffic.iter_mut().map(|traffic| traffic.tick(*now, rollout, random)).collect();
        for epoch in ticks.iter().flat_map(|tick| &tick.epochs) {
            let OutcomeCounts { requests, failures, .. } = epoch.outcomes.candidate;
            run.candidate_requests += requests;
            run.failed += failures;
            run.failed_with_shield += binomial(failures, world.baseline_failing, random);
        }
        let endpoints = Some(PerVersion { candidate: world.endpoints, baseline: world.endpoints });
        let evidence = ticks.iter().map(|SimulatedTick { epochs, routes, users, pairs }| Evidence {
            epochs,
            routes,
            route_names: page,
            endpoints,
            thresholds: *thresholds,
            users: *users,
            pairs: *pairs,
            ..Evidence::default()
        });
        let evidence: Vec<_> = evidence.collect();
        rollout.tick(*now, &evidence)
    }
}

#[cfg(test)]
mod tests;
