//! The counters of the data plane. They use [`crate::shared`] only, and everything may use it.
//!
//! A request counts on its own worker's memory only ([`Count`](crate::shared::count::Count): a relaxed load and store,
//! no locked instruction, no cache line shared between cores); the control plane sums the workers when a caller asks
//! and hands the sums to the Prometheus exporter. The obvious way, one shared atomic per metric, costs a bus
//! transaction for each of a dozen counters of every request. [`Registry`] resolves the handles when a table is built;
//! [`labels`] has the words.

pub(crate) mod admin;
pub(crate) mod chaos_counters;
pub(crate) mod deliveries;
pub(crate) mod endpoint_counters;
pub(crate) mod events;
pub(crate) mod labels;
pub(crate) mod latency_histogram;
pub(crate) mod registry;
pub(crate) mod release_counters;
pub(crate) mod service_counters;
pub(crate) mod slo_counters;
pub(crate) mod version_counters;
pub(crate) mod worker_counters;

pub(crate) use admin::AdminStats;
pub(crate) use chaos_counters::{ChaosCounters, ChaosResult};
pub(crate) use endpoint_counters::EndpointStats;
pub(crate) use events::EventStats;
pub(crate) use labels::{
    AdminRefused, CodeClass, EventCallOutcome, EventOutcome, FirstAttempt, FlagCallOutcome, HiddenBy, JwtOutcome,
    RejectReason, Retry, TlsHandshake, UpstreamFailure,
};
pub(crate) use registry::{CanaryEnd, Registry};
pub(crate) use release_counters::{EndingLabels, ReleaseStats};
pub(crate) use service_counters::ServiceStats;
pub(crate) use slo_counters::{SloOutcome, SloStats, SloTotals};
pub(crate) use version_counters::{VersionCell, VersionStats, VersionTotals};
pub(crate) use worker_counters::{WorkerStats, WorkerTotals};
