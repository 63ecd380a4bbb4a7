//! TODO page of release.

pub(crate) mod group;
pub(crate) mod hook;
pub(crate) mod judge;
pub(crate) mod overrides;
pub(crate) mod releases;
pub(crate) mod rollout;
pub(crate) mod section;
pub(crate) mod smoke;
pub(crate) mod step;
