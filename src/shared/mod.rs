//! TODO page of shared.

pub(crate) mod canary_stats;
pub(crate) mod count;
pub(crate) mod endpoint_health;
pub(crate) mod hold;
pub(crate) mod name;
pub(crate) mod unhealthy_counters;
