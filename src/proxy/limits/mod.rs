//! TODO page of limits.

pub mod concurrency;
pub mod rate;
pub mod hold;
