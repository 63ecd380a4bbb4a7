//! The status of an endpoint, for those who show it.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

use super::{EndpointHealth, OutReason};

/// Where an endpoint stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthStatus {
    /// It takes requests.
    Healthy,
    /// Its checks fail; this is how.
    Unhealthy(String),
    /// It refuses connections.
    Paused {
        /// For this many milliseconds.
        for_ms: u64,
        /// How the first one failed.
        refusal: String,
    },
    /// Too many of its exchanges failed; this many milliseconds are left of the rest.
    Ejected(u64),
    /// The rest is over, and the next request will tell.
    Untried,
}

impl EndpointHealth {
    /// Where the endpoint stands at `now_ms`.
    #[must_use]
    pub fn status(&self, now_ms: u64) -> HealthStatus {
        let left = self.rest_until_ms.load(Relaxed).saturating_sub(now_ms);
        let text = |text: &Mutex<String>| text.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !self.is_out() {
            HealthStatus::Healthy
        } else if self.speaks_against(OutReason::Unhealthy) {
            HealthStatus::Unhealthy(text(&self.check_failure))
        } else if let Some(for_ms) = self.refuses_for(now_ms) {
            HealthStatus::Paused { for_ms, refusal: text(&self.refusal) }
        } else if left == 0 {
            HealthStatus::Untried
        } else {
            HealthStatus::Ejected(left)
        }
    }
}
