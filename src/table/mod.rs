//! Routing, pure and immutable: from a request to a service, a version and, if it is sticky, a slot.
//!
//! In reading order: [`spec`] is what a service is, [`weights`], [`slots`] and [`hash`] are the split, [`traffic`] is
//! what changes while requests flow, [`host_addresses`] is what the names of endpoints stand for, [`router`] finds the
//! service, [`matcher`] the rule, and [`key`] the user. A [`service`] is all of that for one service, and a
//! [`Table`] is one immutable generation of all services. [`decide()`] puts them together; [`vary`] is what of that a
//! cache has to know; [`experiment_table`] is what comes between rules and split while an experiment runs,
//! [`fault_table`] what a chaos run does to requests on purpose, and [`active_mirror`] what is copied of them;
//! [`availability`], [`effective`] and [`ejection`] say what becomes of requests whose endpoints cannot respond.
//! [`fast`] only saves cache misses.
//!
//! A lock around one changing table would be simpler to write and would let a request see half of a change. So a table
//! never changes: a request keeps the one that it began with.
//!
//! Nothing here waits, reads a clock, draws a random number or logs: time and chance are arguments.

mod active_mirror;
pub(crate) mod address;
pub(crate) mod availability;
mod canary_pair;
mod compile_error;
pub(crate) mod compiled_flag;
pub(crate) mod decide;
pub(crate) mod effective;
pub(crate) mod ejection;
pub(crate) mod experiment_run;
pub(crate) mod experiment_table;
pub(crate) mod fast;
pub(crate) mod fault_table;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod flag_inputs;
pub(crate) mod flag_state;
pub(crate) mod flag_table;
pub(crate) mod hash;
pub(crate) mod host_addresses;
mod jwt_claim;
pub(crate) mod key;
pub(crate) mod matcher;
pub(crate) mod path;
pub(crate) mod request;
pub(crate) mod router;
pub(crate) mod rules;
pub(crate) mod service;
pub(crate) mod slot_ranges;
pub(crate) mod slots;
pub(crate) mod spec;
#[expect(clippy::module_inception, reason = "the table is what the folder is about")]
pub(crate) mod table;
pub(crate) mod traffic;
pub(crate) mod user_facts;
pub(crate) mod vary;
pub(crate) mod weights;

pub(crate) use crate::shared::name::Name;
pub(crate) use active_mirror::ActiveMirror;
pub(crate) use address::{EndpointAddress, HostPort};
pub(crate) use availability::{Availability, Takeover};
pub(crate) use canary_pair::CanaryPair;
pub(crate) use compile_error::CompileError;
pub(crate) use decide::{Candidate, Cause, Decision, RouteError, decide, decide_at};
pub(crate) use host_addresses::{Addresses, ResolveError};
pub(crate) use request::{BearerClaims, RequestView};
pub(crate) use service::{ActiveSlo, Endpoint, Service, Version};
pub(crate) use slots::Slots;
pub(crate) use spec::ServiceSpec;
pub(crate) use table::Table;
pub(crate) use traffic::{MirrorShare, Traffic};
pub(crate) use weights::{SLOTS, Weight, Weights};
