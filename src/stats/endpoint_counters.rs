//! The counters of an endpoint, shared by all workers and table generations.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::shared::endpoint_health::EndpointHealth;
use crate::shared::unhealthy_counters::UnhealthyCounter;

/// A request in [`EndpointStats::load`]: one in flight, and one more begun.
const REQUEST: u64 = 1 << 32 | 1;

/// One endpoint's live state.
#[derive(Debug)]
pub struct EndpointStats {
    /// Number of the endpoint in the process; workers keep their pools by it. Never used again.
    pub id: u32,
    /// Its address.
    pub address: SocketAddr,
    /// Requests that began (the upper half, which wraps) and those of them in flight (the lower half): two counts for
    /// one locked instruction.
    load: AtomicU64,
    connections: AtomicU32,
    /// Whether it takes requests.
    pub health: EndpointHealth,
}

impl EndpointStats {
    /// A fresh endpoint, in rotation.
    #[must_use]
    pub fn new(id: u32, address: SocketAddr) -> Self {
        let (load, connections) = (AtomicU64::new(0), AtomicU32::new(0));
        Self { id, address, load, connections, health: EndpointHealth::default() }
    }

    /// The same endpoint, which counts itself in `counter` while it is out of rotation.
    #[must_use]
    pub fn with_counter(mut self, counter: UnhealthyCounter) -> Self {
        self.health = self.health.with_counter(counter);
        self
    }

    /// Requests in flight, over all workers.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        halves(self.load.load(Relaxed)).1
    }

    /// Requests that have ended, however they did, or have become tunnels; wraps at 2^32.
    #[must_use]
    pub fn ended(&self) -> u32 {
        let (begun, in_flight) = halves(self.load.load(Relaxed));
        begun.wrapping_sub(in_flight)
    }

    /// Counts a request in.
    pub fn enter(&self) {
        self.load.fetch_add(REQUEST, Relaxed);
    }

    /// Counts a request out.
    pub fn leave(&self) {
        self.load.fetch_sub(1, Relaxed);
    }

    /// Counts a request as ended that has become a tunnel: it stays in flight, perhaps for days, and the share of
    /// failures must not wait for it.
    pub fn become_tunnel(&self) {
        self.load.fetch_add(1 << 32, Relaxed);
    }

    /// Counts a tunnel out, whose request has ended already.
    pub fn leave_tunnel(&self) {
        self.load.fetch_sub(REQUEST, Relaxed);
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
}

/// The upper and the lower half.
fn halves(load: u64) -> (u32, u32) {
    #[expect(clippy::cast_possible_truncation, reason = "cut in halves")]
    let halves = ((load >> 32) as u32, load as u32);
    halves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_in_and_out() {
        let endpoint = EndpointStats::new(1, ([127, 0, 0, 1], 80).into());
        (0..5).for_each(|_| endpoint.enter());
        (0..3).for_each(|_| endpoint.leave());
        assert_eq!((endpoint.in_flight(), endpoint.ended()), (2, 3));
        endpoint.become_tunnel();
        assert_eq!((endpoint.in_flight(), endpoint.ended()), (2, 4), "ended, and still there");
        endpoint.leave_tunnel();
        assert_eq!((endpoint.in_flight(), endpoint.ended()), (1, 4), "ended once");
        endpoint.leave();
        assert_eq!((endpoint.in_flight(), endpoint.ended()), (0, 5));
        endpoint.load.store(u64::from(u32::MAX) << 32, Relaxed);
        endpoint.enter();
        assert_eq!((endpoint.in_flight(), endpoint.ended()), (1, u32::MAX), "the upper half wraps alone");
        endpoint.become_tunnel();
        endpoint.leave_tunnel();
        assert_eq!((endpoint.in_flight(), endpoint.ended()), (0, 0));
    }
}
