//! What a plan will do: the same state machine and the same judge, on simulated time and traffic.
//!
//! A run is one release. Each tick draws how many requests come (Poisson), how many of them the lot sends to the
//! candidate (binomial, with the weight of the moment), and how many fail or exceed the baseline's quantiles; the counts go
//! where those of the data plane go. Requests of strangers are not drawn one by one: a tick costs about a dozen draws
//! whatever the traffic, so a thousand releases of half an hour take seconds. Those of users who come back are, because it
//! matters who asks: each user is one draw for the judge.
//!
//! Latencies are log-normal, those of the candidate so many times as long. The thresholds of the judge are taken to be
//! the baseline's true quantiles, as a minute of traffic shows them nearly. Gates agree at once. Chance is an argument.

mod traffic;
mod world;

use std::time::Duration;

use rand::Rng;

use super::event::{Ending, RolloutEvent};
use super::judge::{Counts, Evidence};
use super::plan::Plan;
use super::run::{Phase, Rollout};
use super::stage::Answer;
use traffic::{Traffic, binomial};
pub(crate) use world::{Behaviour, Later, Users, World};

/// Time between two looks of the judge.
pub(crate) const TICK: Duration = Duration::from_millis(250);

/// How a simulated release ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// At an end of its own.
    Ended(Ending),
    /// Waiting for somebody.
    Paused,
    /// Not within the time that is simulated.
    Unfinished,
}

/// A simulated release.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Run {
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
pub(crate) fn simulate(plan: &Plan, world: &World, most: Duration, random: &mut impl Rng) -> Run {
    let (mut rollout, first) = Rollout::start(plan.clone(), 1, Duration::ZERO);
    let mut task = first.task;
    let mut run =
        Run { outcome: Outcome::Unfinished, took: most, candidate_requests: 0, failed: 0, failed_with_shield: 0 };
    let traffic = Traffic::new(world, random);
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
        let epochs = [traffic.tick(now, &mut rollout, random)];
        let Counts { requests, failures, .. } = epochs[0].outcomes.candidate;
        run.candidate_requests += requests;
        run.failed += failures;
        run.failed_with_shield += binomial(failures, world.baseline_failing, random);
        let made = rollout.tick(now, &[Evidence { epochs: &epochs, ..Evidence::default() }]);
        task = made.and_then(|made| made.task);
        if let Some(RolloutEvent::RollbackBlocked { .. }) = made.map(|made| made.event) {
            return Run { outcome: Outcome::Paused, took: now, ..run };
        }
    }
    run
}

#[cfg(test)]
mod tests;
