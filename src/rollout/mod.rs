//! The progress of a release: pure state machines over time and evidence.
//!
//! The layer between routing and configuration: it speaks of weights ([`crate::table`]) and is told what happened to
//! requests, and answers what should become of the split. Nothing in here reads a clock, a counter or a file, draws
//! lots or waits: `now` and counts come in, a verdict goes out. So the same code runs in the proxy, in a simulation of
//! thousands of releases a second, and in a test that replays a recorded one; and what it decided can be explained
//! afterwards from what was stored, because nothing else went into it.
//!
//! - [`judge`]: whether the candidate version is worse than the baseline, by tests that stay valid however often one
//!   looks.
//! - [`plan`]: what a release is meant to do; [`stage`]: what every plan consists of.
//! - [`release`]: how a service is released, as the config says it; it becomes a plan when a rollout begins.
//! - [`counts`]: from the workers' counters to what the judge is told; [`latency_looks`]: the thresholds among it.
//! - [`replica_counts`]: what the other replicas of a fleet have counted, for the judge of the one that leads.
//! - [`forecast`]: how long a plan takes at the traffic that there is, and which one fits it.
//! - [`simulate`]: what a plan will do, on simulated time and traffic.
//! - [`run`]: the state machine that goes through them (`back`: in reverse); [`command`]: what operators say to it;
//!   [`event`]: what it does.

pub(crate) mod command;
pub(crate) mod counts;
pub(crate) mod event;
pub(crate) mod forecast;
pub(crate) mod judge;
pub(crate) mod latency_looks;
pub(crate) mod plan;
pub(crate) mod release;
pub(crate) mod replica_counts;
pub(crate) mod run;
pub(crate) mod simulate;
pub(crate) mod stage;

use std::time::Duration;

/// Time between two looks of the judge: what is bad is seen within a quarter of a second, and a tick costs
/// microseconds.
pub(crate) const TICK: Duration = Duration::from_millis(250);
