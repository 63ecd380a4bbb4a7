//! Releases that judge themselves: the [`director`] makes happen what the state machine of [`crate::rollout`] decides (`advance`: store,
//! begin, tell).
//!
//! [`desk`] is how it is asked, [`start`] how a rollout begins ([`bad_plan`] why not), `run` one that is under way; [`ceilings`] are what
//! green is measured by, `barred` is what happens while nobody answers for green; [`scale`] reads for the judge
//! what the workers counted. [`saved`] is what is stored of a rollout (and `provenance` whether its hooks may be run after a restart), [`view`] what is shown
//! of it.
//!
//! [`duty`] is what a rollout does to the world, and each of its parts ends within a time that its caller knows, whatever
//! the other side does: it runs a [`hook`](crate::outbound::hook), asks a [`webhook`](crate::outbound::webhook), sends [`smoke`](crate::outbound::smoke) requests; [`notify`](crate::outbound::notify) tells people (what is
//! sent is [signed](crate::outbound::sign)). A hook that hangs or prints for ever must not be a rollout that hangs. What they answer is told
//! in words for people (with an [`excerpt`](crate::outbound::excerpt) of what was said).

mod advance;
pub(crate) mod bad_plan;
mod barred;
pub(crate) mod brief;
pub(crate) mod ceilings;
pub(crate) mod desk;
pub(crate) mod director;
pub(crate) mod duty;
mod provenance;
mod run;
pub(crate) mod saved;
pub(crate) mod scale;
pub(crate) mod start;
pub(crate) mod view;
mod warm_up;
