//! Where an endpoint stands, in words: for the status, and nobody else.

use crate::shared::endpoint_health::Standing;
use crate::table::{Endpoint, HostPort};

/// A word, and what else there is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    /// `ready`, `drained`, `unhealthy`, `paused`, `ejected` or `untried`.
    pub state: &'static str,
    /// Why, or until when.
    pub reason: Option<String>,
}

/// Where `endpoint` stands at `now_ms`, and the name that it is drained with, if it is. What an operator said comes first.
#[must_use]
pub(crate) fn words(endpoint: &Endpoint, drained_with: Option<&HostPort>, now_ms: u64) -> Words {
    if endpoint.drained {
        let left = endpoint.stats.in_flight();
        let left = (left > 0).then(|| format!("draining, {left} in flight"));
        let parts: Vec<_> = drained_with.map(|name| format!("with {name}")).into_iter().chain(left).collect();
        let reason = (!parts.is_empty()).then(|| parts.join(", "));
        return Words { state: "drained", reason };
    }
    let (state, reason) = match endpoint.stats.rotation.standing(now_ms) {
        Standing::In => ("ready", None),
        Standing::Unfit(complaint) => ("unhealthy", Some(complaint)),
        Standing::Paused { for_ms, refusal } => {
            let seconds = for_ms / 1_000;
            let millis = for_ms % 1_000 / 100;
            ("paused", Some(format!("no connection for {seconds}.{millis} s, tried every 100 ms: {refusal}")))
        }
        Standing::Ejected(left) => ("ejected", Some(format!("too many failures, tried again in {left} ms"))),
        Standing::Untried => ("untried", Some("the next request tells".to_owned())),
    };
    Words { state, reason }
}
