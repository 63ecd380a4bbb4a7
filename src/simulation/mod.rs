//! What a plan will do, before it is used: many simulated releases, and what is said of them.
//!
//! One release is [`crate::rollout::simulate`]'s, pure and tick by tick: the proxy's own state machine and judge on
//! simulated traffic. Here are many of them, on threads. Both the command line and the API ask for them, in the same
//! words: [`simulation_options`] are what may be said of the plan and of the world, [`release_batch`] plays, and
//! [`simulation_report`] is what comes of it. Each release has a seed of its own, so a result depends neither on the
//! number of threads nor on who asked.

pub(crate) mod release_batch;
pub(crate) mod simulation_options;
pub(crate) mod simulation_report;
