//! How many thresholds latencies are compared with.

/// The median, the 90th and the 99th percentile of the version that is to be replaced.
pub(crate) const THRESHOLDS: usize = 3;
