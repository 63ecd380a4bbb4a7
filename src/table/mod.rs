//! Routing, pure and immutable: from a request to a service, a version and, if it is sticky, a slot.
//!
//! In reading order: [`spec`] is what a service is, [`weights`], [`slots`] and [`hash`] are the split, [`traffic`] is
//! what changes while requests flow, [`router`] finds the service, [`matcher`] the rule, [`key`] the user, and
//! [`decide()`] puts them together over a [`Table`], one immutable generation of it all, and [`availability`] says what becomes of
//! requests whose version cannot answer. What keeps a decision as fast
//! among ten thousand services is [`hot`], the two cache lines of a service, [`gate`], which turns rules away without
//! reading them, [`hosts`], a hash table of two misses, and [`intern`], header names that all services share.
//!
//! Nothing here waits, reads a clock, draws a random number or logs: time and chance are arguments.

pub mod address;
pub mod availability;
mod canary_pair;
pub mod client;
pub mod compile;
pub mod decide;
pub(crate) mod fast;
#[cfg(test)]
pub(crate) mod fixture;
pub mod hash;
pub mod health;
mod jwt_claim;
pub mod key;
pub mod limits;
pub mod matcher;

pub mod outlier;
pub mod path;
pub mod request;

pub mod router;
pub mod shortage;
pub mod slots;
pub mod spec;
pub mod traffic;
pub mod weights;

pub use crate::shared::name::Name;
pub use address::{Addresses, EndpointAddress, HostPort};
pub use availability::{Availability, Takeover};
pub use canary_pair::OnTrial;
pub use compile::{CompileError, Endpoint, Service, Table, Version};
pub use decide::{Candidate, Cause, Decision, Undecided, decide, decide_at};
pub use request::RequestView;
pub use slots::Slots;
pub use spec::ServiceSpec;
pub use traffic::Traffic;
pub use weights::{SLOTS, Weight, Weights};
