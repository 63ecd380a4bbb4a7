//! The pause of an endpoint that refuses connections.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

use super::{EndpointHealth, OutReason, claim_after};

/// How long after the last refusal a request is let through, in milliseconds. Connections of our own are refused
/// far more often than that, and each refusal begins it anew: it runs out only if we do not try.
pub(crate) const PAUSE_MS: u64 = 4_000;

/// Between two requests that try a paused endpoint for want of a better one, in milliseconds, after the first
/// refusal...
const ATTEMPT_INTERVAL_MIN_MS: u64 = 10;

/// ...and after several. What is refused at once costs little; what hangs keeps up to `connect_timeout` / 100 ms
/// requests.
const ATTEMPT_INTERVAL_MAX_MS: u64 = 100;

impl EndpointHealth {
    /// Whether the endpoint is paused: it refused its last connection.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.speaks_against(OutReason::Paused)
    }

    /// Asks to open a connection for a request at `now_ms`. While the endpoint is paused, one in a while gets yes.
    #[must_use]
    pub fn claim_last_resort(&self, now_ms: u64) -> bool {
        !self.is_paused() || claim_after(&self.attempt_at_ms, now_ms, self.attempt_interval_ms())
    }

    /// How long after an attempt the next one is.
    fn attempt_interval_ms(&self) -> u64 {
        let doublings = self.refusals.load(Relaxed).saturating_sub(1).min(10);
        (ATTEMPT_INTERVAL_MIN_MS << doublings).min(ATTEMPT_INTERVAL_MAX_MS)
    }

    /// For how long the endpoint has refused connections at `now_ms`; `None` if it does not.
    #[must_use]
    pub fn refuses_for(&self, now_ms: u64) -> Option<u64> {
        self.is_paused().then(|| now_ms.saturating_sub(self.paused_from_ms.load(Relaxed)))
    }

    /// Notes that the endpoint refused a connection, and says so by `refusal`. Returns whether it did not do so before.
    pub fn refused(&self, now_ms: u64, refusal: impl FnOnce() -> String) -> bool {
        self.refusals.fetch_add(1, Relaxed);
        self.attempt_at_ms.store(now_ms + self.attempt_interval_ms(), Relaxed);
        self.still_refuses(now_ms);
        if self.is_paused() {
            return false;
        }
        self.paused_from_ms.store(now_ms, Relaxed);
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal();
        self.take_out(OutReason::Paused)
    }

    /// Notes that a paused endpoint refused a connection of our own: no request has to try.
    pub fn still_refuses(&self, now_ms: u64) {
        self.pause_until_ms.store(now_ms + PAUSE_MS, Relaxed);
    }

    /// Notes that the endpoint took a connection. Returns whether that ended a pause.
    pub fn connected(&self, now_ms: u64) -> bool {
        if !self.is_paused() {
            return false;
        }
        self.refusals.store(0, Relaxed);
        self.bring_in(OutReason::Paused, now_ms)
    }
}
