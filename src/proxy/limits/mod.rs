//! TODO page of limits.

pub(crate) mod concurrency;
pub(crate) mod hold;
pub(crate) mod rate;
