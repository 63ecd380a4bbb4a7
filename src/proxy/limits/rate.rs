//! The rate limit of one client, or of all of a listener: the generic cell rate algorithm over a table of fixed size.
//!
//! GCRA keeps one number a client: the time at which it will have used up what it had (its *theoretical arrival time*).
//! A number in the past is a client that has all of its burst, which is the same as one that was never seen. So the
//! table needs no sweep: an entry in the past is a free one. It needs no locks either (an entry is one word with a tag
//! of the client and its time) and cannot grow: a client is looked for in one set of eight entries, and if eight others
//! of that set are all in debt, the one that owes least is forgotten. A map behind locks would need a sweep, a bound
//! and an answer to what happens at the bound; here an attacker with many addresses can make us forget debts, never
//! memory.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Entries that a client may have; they fill a cache line.
const WAYS: usize = 8;

/// Sets of entries: 65,536 clients that ask at the same time, in half a MiB.
const SETS: usize = 8192;

/// Bits of an entry that hold the time. In ticks they last for eight years of a process.
const TIME_BITS: u32 = 52;

/// Ticks of a microsecond: fine enough for a million requests a second.
const TICKS_PER_MICRO: u128 = 16;

/// No debt is longer, so that times stay within their bits.
const TOLERANCE_MAX: u64 = 1 << (TIME_BITS - 2);

/// Whose requests are counted together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RateKey {
    /// Those of a client's address.
    Address,
    /// All of them.
    Listener,
}

/// A limit on the rate of requests.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    by: RateKey,
    interval: u64,
    tolerance: u64,
    sets: Box<[[AtomicU64; WAYS]]>,
    hasher: RandomState,
}

impl RateLimiter {
    /// `requests` in `per`, and up to `burst` at once after a pause.
    #[must_use]
    pub(crate) fn new(by: RateKey, requests: u32, per: Duration, burst: u32) -> Self {
        let interval = (ticks(per) / u64::from(requests.max(1))).clamp(1, TOLERANCE_MAX);
        let tolerance = interval.saturating_mul(u64::from(burst.saturating_sub(1))).min(TOLERANCE_MAX);
        let sets = if by == RateKey::Address { SETS } else { 1 };
        let empty = |_| std::array::from_fn(|_| AtomicU64::new(0));
        Self { by, interval, tolerance, sets: (0..sets).map(empty).collect(), hasher: RandomState::new() }
    }

    /// Takes a request of `client` at `now`, a time since the start of the process.
    ///
    /// # Errors
    /// How long it is too early.
    pub(crate) fn take(&self, client: u128, now: Duration) -> Result<(), Duration> {
        let hash = self.hasher.hash_one(if self.by == RateKey::Address { client } else { 0 });
        #[expect(clippy::cast_possible_truncation, reason = "a remainder of a few thousand")]
        let set = &self.sets[(hash % self.sets.len() as u64) as usize];
        let (tag, now) = (hash >> TIME_BITS, ticks(now));
        loop {
            let (entry, found) = find(set, tag, now);
            let time = if found >> TIME_BITS == tag { time_of(found).max(now) } else { now };
            if let Some(early) = (time - now).checked_sub(self.tolerance).filter(|early| *early > 0) {
                return Err(duration(early));
            }
            let next = (tag << TIME_BITS) | (time + self.interval);
            // Another worker was faster: look again.
            if entry.compare_exchange_weak(found, next, Relaxed, Relaxed).is_ok() {
                return Ok(());
            }
        }
    }
}

/// The entry of a client, or the one that it gets, with what is in it.
fn find(set: &[AtomicU64; WAYS], tag: u64, now: u64) -> (&AtomicU64, u64) {
    let mut best = (&set[0], set[0].load(Relaxed));
    for entry in set {
        let found = entry.load(Relaxed);
        if found >> TIME_BITS == tag && time_of(found) > now {
            return (entry, found);
        }
        if time_of(found) < time_of(best.1) {
            best = (entry, found);
        }
    }
    best
}

fn time_of(entry: u64) -> u64 {
    entry & ((1 << TIME_BITS) - 1)
}

fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_nanos() * TICKS_PER_MICRO / 1000).unwrap_or(u64::MAX).min(1 << (TIME_BITS - 1))
}

fn duration(ticks: u64) -> Duration {
    Duration::from_nanos((u128::from(ticks) * 1000 / TICKS_PER_MICRO).try_into().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_and_then_the_rate() {
        let rate = RateLimiter::new(RateKey::Address, 10, SECOND, 20);
        let at = |ms| Duration::from_millis(ms);
        assert!((0..20).all(|_| rate.take(1, at(0)).is_ok()), "the burst");
        assert_eq!(rate.take(1, at(0)), Err(at(100)));
        assert_eq!(rate.take(1, at(60)), Err(at(40)), "a refused request costs nothing");
        assert!(rate.take(2, at(0)).is_ok(), "others are not concerned");
        assert_eq!((0..50).filter(|n| rate.take(1, at(100 + n * 20)).is_ok()).count(), 10, "ten in the next second");
        assert!((0..20).all(|_| rate.take(1, at(60_000)).is_ok()), "the burst has come back");
        assert!(rate.take(1, at(60_000)).is_err());
    }

    #[test]
    fn a_listener_counts_all_together() {
        let rate = RateLimiter::new(RateKey::Listener, 1, SECOND, 3);
        assert_eq!((0..10).filter(|client| rate.take(*client, Duration::ZERO).is_ok()).count(), 3);
        assert_eq!(rate.sets.len(), 1);
    }

    #[test]
    fn many_clients_cannot_make_it_grow_and_hardly_forget_the_worst() {
        let rate = RateLimiter::new(RateKey::Address, 1, SECOND, 100);
        assert!((0..100).all(|_| rate.take(u128::MAX, Duration::ZERO).is_ok()));
        for client in 0..1_000_000 {
            rate.take(client, Duration::ZERO).ok();
        }
        assert!(rate.take(u128::MAX, Duration::ZERO).is_err(), "who owes most is kept longest");
    }

    #[test]
    fn extremes_stay_in_their_bits() {
        let rate = RateLimiter::new(RateKey::Listener, 1, Duration::from_secs(86_400), u32::MAX);
        let late = Duration::from_secs(86_400 * 365 * 4);
        assert!((0..800).all(|_| rate.take(0, late).is_ok()), "two years of debt");
        let fast = RateLimiter::new(RateKey::Listener, u32::MAX, Duration::from_millis(1), 1);
        assert!(fast.take(0, Duration::ZERO).is_ok());
    }

    #[test]
    fn workers_do_not_lose_each_others_requests() {
        let rate = RateLimiter::new(RateKey::Address, 1, SECOND, 1000);
        let taken: usize = std::thread::scope(|scope| {
            let worker = || (0..1000).filter(|_| rate.take(7, SECOND).is_ok()).count();
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        // Workers that come first of all at the same moment may each make an entry.
        assert!((1000..=1004).contains(&taken), "{taken}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// In no window does a client get more than its burst and what the window is long.
        #[test]
        fn never_more_than_the_burst_and_the_rate(
            gaps in prop::collection::vec(0_u64..400, 1..200), requests in 1_u32..50, extra in 0_u32..50,
        ) {
            let burst = requests + extra;
            let rate = RateLimiter::new(RateKey::Address, requests, SECOND, burst);
            let mut now = 0;
            let mut taken = Vec::new();
            for gap in gaps {
                now += gap;
                if rate.take(1, Duration::from_millis(now)).is_ok() {
                    taken.push(now);
                }
            }
            for (from, start) in taken.iter().enumerate() {
                for (to, end) in taken.iter().enumerate().skip(from) {
                    let allowed = f64::from(burst) + (end - start) as f64 / 1000.0 * f64::from(requests);
                    prop_assert!(((to - from + 1) as f64) <= allowed + 1e-3, "{} to {}", start, end);
                }
            }
        }
    }
}
