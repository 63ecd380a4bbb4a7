//! What is known of an endpoint at run time, shared by all workers and table generations.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::alarm::Alarm;

/// First pause after an endpoint refused a connection, in milliseconds.
const PAUSE_FIRST_MS: u64 = 250;

/// Longest pause, in milliseconds: what an endpoint that comes back waits at the most.
const PAUSE_MAX_MS: u64 = 4_000;

/// One endpoint's live state.
///
/// An endpoint that does not take connections is left alone for a pause that doubles with each failure; when the pause
/// is over, one request is let through as a probe. The times are milliseconds on the process's own clock.
#[derive(Debug)]
pub struct EndpointStats {
    /// Number of the endpoint in the process; workers keep their pools by it. Never used again.
    pub id: u32,
    /// Its address.
    pub address: SocketAddr,
    in_flight: AtomicU32,
    connections: AtomicU32,
    failures: AtomicU32,
    paused_until_ms: AtomicU64,
    /// Raised while the endpoint is failing.
    alarm: Option<Alarm>,
}

impl EndpointStats {
    /// A fresh endpoint, taken to be reachable.
    #[must_use]
    pub fn new(id: u32, address: SocketAddr) -> Self {
        Self {
            id,
            address,
            in_flight: AtomicU32::new(0),
            connections: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            paused_until_ms: AtomicU64::new(0),
            alarm: None,
        }
    }

    /// The same endpoint, which raises `alarm` while it is failing.
    #[must_use]
    pub fn with_alarm(self, alarm: Alarm) -> Self {
        Self { alarm: Some(alarm), ..self }
    }

    /// Requests in flight, over all workers.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Counts a request in.
    pub fn enter(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// Counts a request out.
    pub fn leave(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Open connections, over all workers.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.connections.load(Relaxed)
    }

    /// Counts a connection in.
    pub fn opened(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    /// Counts a connection out.
    pub fn closed(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    /// Whether requests may be sent at `now_ms`: no failure since the last success, or the pause is over.
    #[must_use]
    pub fn reachable(&self, now_ms: u64) -> bool {
        self.failures.load(Relaxed) == 0 || self.paused_until_ms.load(Relaxed) <= now_ms
    }

    /// Asks to send a request at `now_ms`. Of the requests that ask after a pause, one gets yes: the probe.
    #[must_use]
    pub fn claim(&self, now_ms: u64) -> bool {
        let failures = self.failures.load(Relaxed);
        if failures == 0 {
            return true;
        }
        let until = self.paused_until_ms.load(Relaxed);
        let next = now_ms + pause_ms(failures);
        until <= now_ms && self.paused_until_ms.compare_exchange(until, next, Relaxed, Relaxed).is_ok()
    }

    /// Whether the last that is known of the endpoint is a failure: it is paused, or waits for its probe.
    #[must_use]
    pub fn failing(&self) -> bool {
        self.failures.load(Relaxed) != 0
    }

    /// Notes that the endpoint took a connection or answered. Returns whether it had been failing.
    pub fn succeeded(&self) -> bool {
        // A load first: the store would take the cache line from the other workers on every request.
        let back = self.failing() && self.failures.swap(0, Relaxed) != 0;
        if let (true, Some(alarm)) = (back, &self.alarm) {
            alarm.clear();
        }
        back
    }

    /// Notes at `now_ms` that the endpoint did not take a connection. Returns whether this is the first failure.
    pub fn failed(&self, now_ms: u64) -> bool {
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        self.paused_until_ms.store(now_ms + pause_ms(failures), Relaxed);
        if let (1, Some(alarm)) = (failures, &self.alarm) {
            alarm.raise();
        }
        failures == 1
    }
}

/// The pause after so many failures in a row.
fn pause_ms(failures: u32) -> u64 {
    let doublings = failures.saturating_sub(1).min(10);
    (PAUSE_FIRST_MS << doublings).min(PAUSE_MAX_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_probe_after_each_pause_until_it_answers() {
        let endpoint = EndpointStats::new(1, ([127, 0, 0, 1], 80).into());
        assert!(endpoint.reachable(0) && endpoint.claim(0) && endpoint.claim(0));
        endpoint.failed(1_000);
        assert!(!endpoint.reachable(1_249) && !endpoint.claim(1_249));
        assert!(endpoint.reachable(1_250) && endpoint.claim(1_250), "the probe");
        assert!(!endpoint.claim(1_250), "only one probe");
        endpoint.failed(1_260);
        assert!(!endpoint.reachable(1_759), "the pause has doubled");
        for _ in 0..40 {
            endpoint.failed(2_000);
        }
        assert!(endpoint.reachable(2_000 + PAUSE_MAX_MS));
        assert!(endpoint.succeeded() && !endpoint.succeeded());
        assert!(endpoint.claim(0) && endpoint.claim(0));
    }
}
