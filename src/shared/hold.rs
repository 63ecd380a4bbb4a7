//! A hold: new requests of some services wait for a moment, so that those in flight can end before the traffic changes,
//! and no request of the old version runs beside one of the new.
//!
//! This is what both planes know of it. The control plane publishes the [`Holds`] that are open; each worker keeps the
//! list for its own requests, which ask it without touching anything shared, and signs a hold when it has it. From then
//! on no request of these services begins on this worker: deciding whether to wait and counting in as in flight are one
//! step of its only thread. So once every worker has signed, the gauges of requests in flight can only fall, and when
//! their sum is zero, nothing of the services runs. Without the signatures a request that had looked just before could
//! still count itself in after the sum was taken; a fence in every request would close that gap as well, and every
//! request would pay for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

use super::name::Name;

/// How much may be held, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HoldBounds {
    /// Requests at a time, over all workers.
    pub requests_max: u64,
    /// Bytes of their heads. Bodies are not read while a request is held: they wait in the sockets.
    pub bytes_max: u64,
    /// When it began, in milliseconds on the process's clock.
    pub since_ms: u64,
    /// When every worker lets go by itself, on the same clock.
    pub until_ms: u64,
}

/// One hold.
#[derive(Debug)]
pub struct Hold {
    /// Its number.
    pub id: u64,
    /// The services whose requests wait.
    pub services: Box<[Name]>,
    /// How much may be held.
    pub bounds: HoldBounds,
    requests: AtomicU64,
    bytes: AtomicU64,
    total: AtomicU64,
    overflowed: AtomicBool,
    signed: Box<[AtomicBool]>,
}

impl Hold {
    /// A hold that this many workers have to sign.
    #[must_use]
    pub fn new(id: u64, services: Box<[Name]>, bounds: HoldBounds, workers: usize) -> Self {
        Self {
            id,
            services,
            bounds,
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            total: AtomicU64::new(0),
            overflowed: AtomicBool::new(false),
            signed: (0..workers).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// Notes that a worker holds requests from now on.
    pub fn sign(&self, worker: usize) {
        self.signed[worker].store(true, Release);
    }

    /// Whether all workers hold requests.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.signed.iter().all(|signed| signed.load(Acquire))
    }

    /// Takes a request in whose head has this many bytes; `None` when there is no room: it goes on, and the hold is not
    /// kept.
    #[must_use]
    pub fn enter(self: &Arc<Self>, bytes: u64) -> Option<Held> {
        // The guard first: it takes back what is counted here.
        let held = Held { hold: Arc::clone(self), bytes };
        let requests = self.requests.fetch_add(1, Relaxed) + 1;
        let all_bytes = self.bytes.fetch_add(bytes, Relaxed) + bytes;
        if requests > self.bounds.requests_max || all_bytes > self.bounds.bytes_max {
            self.overflowed.store(true, Relaxed);
            return None;
        }
        self.total.fetch_add(1, Relaxed);
        Some(held)
    }

    /// Requests that are held now.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Requests that were held so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// Whether requests went on because there was no room for them.
    #[must_use]
    pub fn overflowed(&self) -> bool {
        self.overflowed.load(Relaxed)
    }
}

/// A request that is held; dropping it counts it out.
#[derive(Debug)]
pub struct Held {
    hold: Arc<Hold>,
    bytes: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.hold.requests.fetch_sub(1, Relaxed);
        self.hold.bytes.fetch_sub(self.bytes, Relaxed);
    }
}

/// The holds that are open; no two of them have a service in common.
#[derive(Clone, Debug, Default)]
pub struct Holds(Vec<Arc<Hold>>);

impl Holds {
    /// The hold of a service at `now_ms`, if it is held.
    #[must_use]
    pub fn of(&self, service: &Name, now_ms: u64) -> Option<&Arc<Hold>> {
        self.0.iter().find(|hold| hold.bounds.until_ms > now_ms && hold.services.contains(service))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Hold>> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same and one more, without those that are over at `now_ms`.
    #[must_use]
    pub fn with(&self, hold: Arc<Hold>, now_ms: u64) -> Self {
        let open = self.0.iter().filter(|hold| hold.bounds.until_ms > now_ms);
        Self(open.cloned().chain([hold]).collect())
    }

    /// The same without one.
    #[must_use]
    pub fn without(&self, id: u64) -> Self {
        Self(self.0.iter().filter(|hold| hold.id != id).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).expect("a good name")
    }

    fn hold(id: u64, service: &str) -> Arc<Hold> {
        let bounds = HoldBounds { requests_max: 2, bytes_max: 100, since_ms: 0, until_ms: 1000 };
        Arc::new(Hold::new(id, [name(service)].into(), bounds, 2))
    }

    #[test]
    fn a_hold_is_bounded_in_count_and_bytes() {
        let hold = hold(1, "shop");
        let (first, second) = (hold.enter(10).unwrap(), hold.enter(10).unwrap());
        assert!(!hold.overflowed());
        assert!(hold.enter(10).is_none() && hold.overflowed(), "too many");
        assert_eq!((hold.requests(), hold.total()), (2, 2));
        drop((first, second));
        assert!(hold.enter(101).is_none(), "too large");
        assert!(hold.enter(100).is_some());
        assert_eq!((hold.requests(), hold.total()), (0, 3));
    }

    #[test]
    fn all_workers_sign() {
        let hold = hold(1, "shop");
        hold.sign(1);
        assert!(!hold.is_signed());
        hold.sign(0);
        assert!(hold.is_signed());
    }

    #[test]
    fn a_service_is_held_until_the_end_at_the_latest() {
        let holds = Holds::default().with(hold(1, "shop"), 0).with(hold(2, "cart"), 0);
        let id = |service: &str, now_ms| holds.of(&name(service), now_ms).map(|hold| hold.id);
        assert_eq!((id("shop", 999), id("cart", 0), id("pay", 0)), (Some(1), Some(2), None));
        assert_eq!(id("shop", 1000), None);
        assert!(holds.without(1).of(&name("shop"), 0).is_none());
        assert_eq!(holds.with(hold(3, "pay"), 1000).iter().count(), 1, "those that are over are forgotten");
    }
}
