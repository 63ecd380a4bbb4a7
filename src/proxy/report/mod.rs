//! TODO page of report.

pub(crate) mod canary_sample;
pub(crate) mod in_flight;
pub(crate) mod outlier_report;
pub(crate) mod panic;
