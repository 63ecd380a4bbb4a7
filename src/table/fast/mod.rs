//! Structures that only save cache misses. A reader who wants to know *what* is decided can skip this folder.
//!
//! [`route_entry`] is what a decision reads of a service, in two cache lines; [`rule_prefilter`] turns rules away
//! without reading them; [`hosts`] and [`paths`] find a service in two misses; [`intern`] numbers the header names that
//! all share.

pub(crate) mod hosts;
pub(crate) mod intern;
pub(crate) mod paths;
pub(crate) mod route_entry;
pub(crate) mod rule_prefilter;
