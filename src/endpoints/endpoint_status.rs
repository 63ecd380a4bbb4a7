//! The status of an endpoint in words: for the API's `status`, and for nothing else.

use crate::shared::endpoint_health::HealthStatus;
use crate::table::{Endpoint, HostPort};

/// A word, and what else there is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointStatus {
    /// `ready`, `drained`, `unhealthy`, `paused`, `ejected` or `untried`.
    pub state: &'static str,
    /// Why, or until when.
    pub reason: Option<String>,
}

/// Where `endpoint` stands at `now_ms`, and the name that it is drained with, if it is. What an operator said comes
/// first.
#[must_use]
pub(crate) fn endpoint_status(endpoint: &Endpoint, drained_with: Option<&HostPort>, now_ms: u64) -> EndpointStatus {
    if endpoint.drained {
        let left = endpoint.stats.in_flight();
        let left = (left > 0).then(|| format!("draining, {left} in flight"));
        let parts: Vec<_> = drained_with.map(|name| format!("with {name}")).into_iter().chain(left).collect();
        let reason = (!parts.is_empty()).then(|| parts.join(", "));
        return EndpointStatus { state: "drained", reason };
    }
    let (state, reason) = match endpoint.stats.health.status(now_ms) {
        HealthStatus::Healthy => ("ready", None),
        HealthStatus::Unhealthy(check_failure) => ("unhealthy", Some(check_failure)),
        HealthStatus::Paused { for_ms, refusal } => {
            let seconds = for_ms / 1_000;
            let millis = for_ms % 1_000 / 100;
            ("paused", Some(format!("no connection for {seconds}.{millis} s, tried every 100 ms: {refusal}")))
        }
        HealthStatus::Ejected(left) => ("ejected", Some(format!("too many failures, tried again in {left} ms"))),
        HealthStatus::Untried => ("untried", Some("the next request tells".to_owned())),
    };
    EndpointStatus { state, reason }
}
