//! TODO page of fast.

pub(crate) mod hosts;
pub(crate) mod intern;
pub(crate) mod paths;
pub(crate) mod route_entry;
pub(crate) mod rule_prefilter;
