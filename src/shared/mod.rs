//! TODO page of shared.

pub mod canary_stats;
pub mod count;
pub mod endpoint_health;
pub mod hold;
pub mod name;
pub mod unhealthy_counters;
