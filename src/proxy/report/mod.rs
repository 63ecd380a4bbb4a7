//! TODO page of report.

pub mod in_flight;
pub(crate) mod outlier_report;
pub(crate) mod canary_sample;
pub(crate) mod panic;
