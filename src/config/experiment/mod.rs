//! Experiments: whose arms are compared and by what, and the sums that people write down of one.

pub(crate) mod definition;
mod kind;
pub(crate) mod metric;
pub(crate) mod sums;
