//! Whether anything is wrong with the endpoints of a service, in one load.
//!
//! A decision asks whether its version has an endpoint that takes requests. The straight answer goes over version,
//! endpoints and their states: four cache misses behind each other in a large table, to learn that nothing is wrong, as
//! nearly always. So endpoints count themselves here when they leave the rotation and when they are back, and as long
//! as a service's count is 0, nobody has to look further. The counts of all services are a few kilobytes, which stay in
//! a core's cache. Services that share a count only make each other look.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Counts in all: 16 KiB of them, and with ten thousand services two or three share one.
const BELLS: usize = 4_096;

/// How many endpoints are out of rotation at run time, by service.
#[derive(Debug)]
pub struct Alarms {
    counts: Box<[AtomicU32]>,
    /// The sum of all counts: 10 times a second it is asked whether anything at all is wrong.
    all: AtomicU32,
}

/// The place of a service in [`Alarms`], as a hash of its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bell(u16);

impl Default for Alarms {
    fn default() -> Self {
        Self { counts: (0..BELLS).map(|_| AtomicU32::new(0)).collect(), all: AtomicU32::new(0) }
    }
}

impl Alarms {
    /// Whether no endpoint of the service is out of rotation. Drained endpoints are not counted: the table knows them.
    #[must_use]
    pub fn silent(&self, bell: Bell) -> bool {
        self.count(bell).load(Relaxed) == 0
    }

    /// Whether no endpoint at all is out of rotation.
    #[must_use]
    pub fn all_silent(&self) -> bool {
        self.all.load(Relaxed) == 0
    }

    fn count(&self, bell: Bell) -> &AtomicU32 {
        &self.counts[usize::from(bell.0) % BELLS]
    }
}

impl Bell {
    /// The place of the service of this name.
    #[must_use]
    pub fn of(service: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        service.hash(&mut hasher);
        #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
        let bits = hasher.finish() as u16;
        Self(bits)
    }
}

/// What an endpoint rings: once when it leaves the rotation, once when it is back.
#[derive(Clone, Debug)]
pub struct Alarm {
    alarms: Arc<Alarms>,
    bell: Bell,
}

impl Alarm {
    /// The alarm of a service's endpoints.
    #[must_use]
    pub fn new(alarms: Arc<Alarms>, service: &str) -> Self {
        Self { alarms, bell: Bell::of(service) }
    }

    /// One reason more to look at the endpoints of the service. Each call is taken back by one [`Alarm::clear`].
    pub fn raise(&self) {
        self.alarms.count(self.bell).fetch_add(1, Relaxed);
        self.alarms.all.fetch_add(1, Relaxed);
    }

    /// One reason less.
    pub fn clear(&self) {
        self.alarms.count(self.bell).fetch_sub(1, Relaxed);
        self.alarms.all.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_silent_until_its_own_endpoints_ring() {
        let alarms = Arc::<Alarms>::default();
        let shop = Alarm::new(Arc::clone(&alarms), "shop");
        let silent = |service: &str| alarms.silent(Bell::of(service));
        assert!(silent("shop") && silent("cart") && alarms.all_silent());
        shop.raise();
        shop.clone().raise();
        assert!(!silent("shop") && silent("cart") && !alarms.all_silent());
        shop.clear();
        assert!(!silent("shop"), "one of two is still out");
        shop.clear();
        assert!(silent("shop"));
    }
}
