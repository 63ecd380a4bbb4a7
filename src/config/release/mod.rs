//! The sections about releases: `[services.S.rollout]`, `[flags.F.rollout]`, `[groups.G]` and what they consist of.
//!
//! [`section`] is a section as data, [`overrides`] what a caller of the admin API may change of it, [`rollout`] how
//! it is checked ([`own_metrics`]: what it asks a metrics server; [`guardrails`]: what of its users must not get worse;
//! [`contradictions`]: keys that are wrong together; [`of_flag`]: what of it holds for flags), [`releases`] all of them
//! together, and [`settings`] what the running process asks of them.

pub(crate) mod contradictions;
pub(crate) mod group;
pub(crate) mod guardrails;
pub(crate) mod hook;
pub(crate) mod judge;
pub(crate) mod of_flag;
pub(crate) mod overrides;
pub(crate) mod own_metrics;
pub(crate) mod releases;
pub(crate) mod responses;
pub(crate) mod rollout;
pub(crate) mod section;
pub(crate) mod settings;
pub(crate) mod smoke;
pub(crate) mod step;
