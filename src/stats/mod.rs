//! What is counted, where, and under which name. A leaf: everything may use it, it uses nothing of ours.
//!
//! A request counts on its own worker's memory only ([`Count`]: a relaxed load and store, no locked instruction, no
//! cache line shared between cores); the control plane sums the workers when somebody looks and hands the sums to the
//! Prometheus exporter. The obvious way, one shared atomic per metric, costs a bus transaction for each of a dozen
//! counters of every request. [`Registry`] resolves the handles when a table is built; [`names`] has every name.

pub mod admin;
pub mod endpoint;
pub mod latency;
pub mod names;
pub mod registry;
pub mod service;
pub mod version;
pub mod worker;

pub use admin::AdminStats;
pub use endpoint::EndpointStats;
pub use latency::Latency;
pub use names::{AdminRefused, CodeClass, FirstAttempt, Refused, Retry, TlsHandshake, UpstreamFailure};
pub use registry::Registry;
pub use service::{ServiceCell, ServiceStats, ServiceTotals};
pub use version::{VersionCell, VersionStats, VersionTotals};
pub use worker::{WorkerStats, WorkerTotals};
