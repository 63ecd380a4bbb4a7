//! TODO page of limits.

pub mod concurrency;
pub mod hold;
pub mod rate;
