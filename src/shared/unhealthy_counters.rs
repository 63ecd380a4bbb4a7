//! Counters that say in one load that nothing is wrong with the endpoints of a service.
//!
//! A decision asks whether its version has an endpoint that takes requests. The straight answer goes over version,
//! endpoints and their states: four cache misses behind each other in a large table, to learn that nothing is wrong, as
//! nearly always. So endpoints count themselves here when they leave the rotation and when they are back, and as long
//! as a service's count is 0, no request has to look further. The counts of all services are a few kilobytes, which
//! stay in a core's cache. Services that share a count only make each other look.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Counts in all: 16 KiB of them, and with ten thousand services two or three share one.
const COUNTERS: usize = 4_096;

/// How many endpoints are out of rotation at run time, by service.
#[derive(Debug)]
pub struct UnhealthyCounters {
    counts: Box<[AtomicU32]>,
    /// The sum of all counts: 10 times a second it is asked whether anything at all is wrong.
    all: AtomicU32,
}

/// The index of a service in [`UnhealthyCounters`], as a hash of its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CounterIndex(u16);

impl Default for UnhealthyCounters {
    fn default() -> Self {
        Self { counts: (0..COUNTERS).map(|_| AtomicU32::new(0)).collect(), all: AtomicU32::new(0) }
    }
}

impl UnhealthyCounters {
    /// Whether no endpoint of the service is out of rotation. Drained endpoints are not counted: the table knows them.
    #[must_use]
    pub fn all_healthy(&self, index: CounterIndex) -> bool {
        self.count(index).load(Relaxed) == 0
    }

    /// Whether no endpoint at all is out of rotation.
    #[must_use]
    pub fn everything_healthy(&self) -> bool {
        self.all.load(Relaxed) == 0
    }

    fn count(&self, index: CounterIndex) -> &AtomicU32 {
        &self.counts[usize::from(index.0) % COUNTERS]
    }
}

impl CounterIndex {
    /// The index of the service of this name.
    #[must_use]
    pub fn of(service: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        service.hash(&mut hasher);
        #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
        let bits = hasher.finish() as u16;
        Self(bits)
    }
}

/// Incremented once when an endpoint leaves the rotation, decremented once when it is back.
#[derive(Clone, Debug)]
pub struct UnhealthyCounter {
    counters: Arc<UnhealthyCounters>,
    index: CounterIndex,
}

impl UnhealthyCounter {
    /// The counter of a service's endpoints.
    #[must_use]
    pub fn new(counters: Arc<UnhealthyCounters>, service: &str) -> Self {
        Self { counters, index: CounterIndex::of(service) }
    }

    /// One reason more to look at the endpoints of the service. Each call is taken back by one
    /// [`UnhealthyCounter::decrement`].
    pub fn increment(&self) {
        self.counters.count(self.index).fetch_add(1, Relaxed);
        self.counters.all.fetch_add(1, Relaxed);
    }

    /// One reason less.
    pub fn decrement(&self) {
        self.counters.count(self.index).fetch_sub(1, Relaxed);
        self.counters.all.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_silent_until_its_own_endpoints_ring() {
        let counters = Arc::<UnhealthyCounters>::default();
        let shop = UnhealthyCounter::new(Arc::clone(&counters), "shop");
        let all_healthy = |service: &str| counters.all_healthy(CounterIndex::of(service));
        assert!(all_healthy("shop") && all_healthy("cart") && counters.everything_healthy());
        shop.increment();
        shop.clone().increment();
        assert!(!all_healthy("shop") && all_healthy("cart") && !counters.everything_healthy());
        shop.decrement();
        assert!(!all_healthy("shop"), "one of two is still out");
        shop.decrement();
        assert!(all_healthy("shop"));
    }
}
