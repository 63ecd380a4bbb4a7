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
use super::event::{RolloutEnding, RolloutEvent};
use super::judge::{Evidence, OutcomeCounts, PerVersion};
use super::plan::Plan;
use super::run::{Phase, Rollout};
use super::stage::TaskResult;
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

/// Simulates a release for `most` at the longest.
pub(crate) fn simulate(plan: &Plan, world: &SimulatedWorld, most: Duration, random: &mut impl Rng) -> SimulatedRun {
    let services = world.services.max(1) as usize;
    let (mut rollout, first) = Rollout::start(plan.clone(), services, Duration::ZERO);
    let mut task = first.task;
    let mut run = SimulatedRun {
        outcome: SimulatedEnd::Unfinished,
        took: most,
        candidate_requests: 0,
        failed: 0,
        failed_with_shield: 0,
    };
    let healthy = world.healthy();
    let of = |number: usize| if number == 0 { world } else { &healthy };
    let mut traffic: Vec<_> =
        (0..services).map(|number| SimulatedTraffic::new(of(number), number, plan.judge(), random)).collect();
    let thresholds = plan.judge().slower.map(|tolerated| simulated_traffic::thresholds(world.spread, tolerated));
    let page: Vec<_> = world.page.and_then(|_| RouteName::new(b"/page")).into_iter().collect();
    let endpoints = Some(PerVersion { candidate: world.endpoints, baseline: world.endpoints });
    let mut now = Duration::ZERO;
    while now < most {
        // All gates agree.
        while let Some(begun) = task {
            task = rollout.answer(now, begun, &TaskResult::Done).and_then(|made| made.task);
        }
        match rollout.phase() {
            Phase::Finished { ending, .. } => {
                return SimulatedRun { outcome: SimulatedEnd::Ended(ending), took: now, ..run };
            }
            Phase::Paused { .. } => return SimulatedRun { outcome: SimulatedEnd::Paused, took: now, ..run },
            Phase::Going { .. } | Phase::Back(_) => {}
        }
        now += TICK;
        let ticks: Vec<_> = traffic.iter_mut().map(|traffic| traffic.tick(now, &rollout, random)).collect();
        for epoch in ticks.iter().flat_map(|tick| &tick.epochs) {
            let OutcomeCounts { requests, failures, .. } = epoch.outcomes.candidate;
            run.candidate_requests += requests;
            run.failed += failures;
            run.failed_with_shield += binomial(failures, world.baseline_failing, random);
        }
        let evidence = ticks.iter().map(|SimulatedTick { epochs, routes, users }| Evidence {
            epochs,
            routes,
            route_names: &page,
            endpoints,
            thresholds,
            users: *users,
            ..Evidence::default()
        });
        let evidence: Vec<_> = evidence.collect();
        let made = rollout.tick(now, &evidence);
        task = made.and_then(|made| made.task);
        if let Some(RolloutEvent::RollbackBlocked { .. }) = made.map(|made| made.event) {
            return SimulatedRun { outcome: SimulatedEnd::Paused, took: now, ..run };
        }
    }
    run
}

#[cfg(test)]
mod tests;
