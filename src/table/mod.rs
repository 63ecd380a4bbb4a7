//! Routing, pure and immutable: from a request to a service, a version and, if it is sticky, a slot.
//!
//! In reading order: [`spec`] is what a service is, [`weights`], [`slots`] and [`hash`] are the split, [`traffic`] is
//! what changes while requests flow, [`router`] finds the service, [`matcher`] the rule, [`key`] the user, and
//! [`decide()`] puts them together over a [`Table`], one immutable generation of it all, and [`availability`] says what
//! becomes of requests whose version cannot answer. What keeps a decision as fast among ten thousand services is in
//! [`fast`].
//!
//! Nothing here waits, reads a clock, draws a random number or logs: time and chance are arguments.

pub(crate) mod address;
pub(crate) mod availability;
mod canary_pair;
pub(crate) mod compile;
pub(crate) mod decide;
pub(crate) mod effective;
pub(crate) mod fast;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod hash;
mod jwt_claim;
pub(crate) mod key;
pub(crate) mod matcher;

pub(crate) mod outlier;
pub(crate) mod path;
pub(crate) mod request;

pub(crate) mod router;
pub(crate) mod slots;
pub(crate) mod spec;
pub(crate) mod traffic;
pub(crate) mod weights;

pub(crate) use crate::shared::name::Name;
pub(crate) use address::{Addresses, EndpointAddress, HostPort};
pub(crate) use availability::{Availability, Takeover};
pub(crate) use canary_pair::CanaryPair;
pub(crate) use compile::{CompileError, Endpoint, Service, Table, Version};
pub(crate) use decide::{Candidate, Cause, Decision, RouteError, decide, decide_at};
pub(crate) use request::RequestView;
pub(crate) use slots::Slots;
pub(crate) use spec::ServiceSpec;
pub(crate) use traffic::Traffic;
pub(crate) use weights::{SLOTS, Weight, Weights};
