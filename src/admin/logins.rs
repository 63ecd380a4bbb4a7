//! Logins to the admin API that failed: what they leave in the log, and how often an address may try.
//!
//! A token is long and random, so an attacker does not find one by trying; the limit is for those that people have made
//! up. It must not become a way to keep operators out:
//!
//! - It counts *different* wrong tokens of an address. A dashboard that sends an old one every few seconds guesses
//!   nothing, and does not lock the office out that it shares an address with.
//! - On this machine, where all share an address, and for addresses that have shown a good token within the last hour,
//!   a good one is always taken; a wrong one too many waits a second for its refusal.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::visit::Origin;

/// Different wrong tokens of one address after a pause: an operator who looks for the right one in a drawer.
const FAILURES_AT_ONCE: u32 = 10;

/// And one more each time: ten a minute, 14,400 a day, of the 10^9 that even a bad token of eight letters leaves.
const FAILURE_INTERVAL: Duration = Duration::from_secs(6);

/// How long an address that has shown a good token is believed to have operators behind it.
const FAMILIAR_FOR: Duration = Duration::from_secs(3600);

/// Addresses that are remembered; of more, those that have been quiet longest are forgotten.
const ADDRESSES_MAX: usize = 1024;

/// Wrong tokens that are remembered of an address, as hashes.
const REMEMBERED: usize = 4;

/// Lines of the log at once, and the time after which there may be one more.
const LINES_AT_ONCE: u32 = 10;

/// See [`LINES_AT_ONCE`].
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// How long a wrong token too many waits where it has to be looked at all the same.
pub(crate) const DELAY: Duration = Duration::from_secs(1);

/// A number of something at once, and one more after each interval (the generic cell rate algorithm).
#[derive(Clone, Copy, Debug)]
struct Allowance {
    used_up_at: Instant,
}

impl Allowance {
    /// How long it is too early at `now` for another one.
    fn early(self, now: Instant, at_once: u32, interval: Duration) -> Option<Duration> {
        let debt = self.used_up_at.saturating_duration_since(now);
        debt.checked_sub(interval * (at_once - 1)).filter(|early| !early.is_zero())
    }

    fn take(&mut self, now: Instant, interval: Duration) {
        self.used_up_at = self.used_up_at.max(now) + interval;
    }
}

/// What is known of an address.
#[derive(Debug)]
struct LoginAddress {
    failures: Allowance,
    /// Hashes of its last wrong tokens, the newest first.
    wrong: [u64; REMEMBERED],
    good_at: Option<Instant>,
    seen_at: Instant,
}

/// The logins of a process.
#[derive(Debug)]
pub(crate) struct Logins {
    addresses: Mutex<HashMap<u128, LoginAddress>>,
    lines: Mutex<(Allowance, u64)>,
    hasher: RandomState,
}

/// Too many wrong tokens came from this address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooMany {
    /// When the next one may come.
    pub(crate) wait: Duration,
}

impl Default for Logins {
    fn default() -> Self {
        let allowance = Allowance { used_up_at: Instant::now() };
        Self { addresses: Mutex::default(), lines: Mutex::new((allowance, 0)), hasher: RandomState::new() }
    }
}

/// The key of those on this machine, which is no address.
const LOCAL: u128 = 0;

fn key(origin: Origin) -> u128 {
    match origin {
        Origin::Unix | Origin::Loopback => LOCAL,
        Origin::Remote(block) => block,
    }
}

impl Logins {
    fn addresses(&self) -> MutexGuard<'_, HashMap<u128, LoginAddress>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an address has shown a good token lately.
    pub(crate) fn is_familiar(&self, block: u128, now: Instant) -> bool {
        self.addresses().get(&block).is_some_and(|address| address.is_familiar(now))
    }

    /// Whether a token of `origin` may be looked at at all.
    ///
    /// # Errors
    /// [`TooMany`] when it came with too many wrong ones.
    pub(crate) fn may_try(&self, origin: Origin, now: Instant) -> Result<(), TooMany> {
        let addresses = self.addresses();
        let Some(address) = addresses.get(&key(origin)) else { return Ok(()) };
        match address.failures.early(now, FAILURES_AT_ONCE, FAILURE_INTERVAL) {
            Some(wait) if !origin.is_local() && !address.is_familiar(now) => Err(TooMany { wait }),
            _ => Ok(()),
        }
    }

    /// A good token came.
    pub(crate) fn good(&self, origin: Origin, now: Instant) {
        let mut addresses = self.addresses();
        remembered(&mut addresses, key(origin), now).good_at = Some(now);
    }

    /// A wrong token came.
    ///
    /// # Errors
    /// [`TooMany`] when it is one too many.
    pub(crate) fn wrong(&self, origin: Origin, secret: &[u8], now: Instant) -> Result<(), TooMany> {
        let hash = self.hasher.hash_one(secret);
        let mut addresses = self.addresses();
        let address = remembered(&mut addresses, key(origin), now);
        if let Some(wait) = address.failures.early(now, FAILURES_AT_ONCE, FAILURE_INTERVAL) {
            return Err(TooMany { wait });
        }
        if !address.wrong.contains(&hash) {
            address.wrong.rotate_right(1);
            address.wrong[0] = hash;
            address.failures.take(now, FAILURE_INTERVAL);
        }
        Ok(())
    }

    /// Whether the log may have a line of a failed login at `now`, and how many had none since the last one.
    pub(crate) fn line(&self, now: Instant) -> Option<u64> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.0.early(now, LINES_AT_ONCE, LINE_INTERVAL).is_some() {
            lines.1 += 1;
            return None;
        }
        lines.0.take(now, LINE_INTERVAL);
        Some(std::mem::take(&mut lines.1))
    }
}

impl LoginAddress {
    fn is_familiar(&self, now: Instant) -> bool {
        self.good_at.is_some_and(|at| now.saturating_duration_since(at) < FAMILIAR_FOR)
    }
}

fn remembered(addresses: &mut HashMap<u128, LoginAddress>, key: u128, now: Instant) -> &mut LoginAddress {
    if addresses.len() >= ADDRESSES_MAX && !addresses.contains_key(&key) {
        // Those with operators behind them last.
        let oldest = addresses.iter().min_by_key(|(_, address)| (address.is_familiar(now), address.seen_at));
        let oldest = oldest.map(|(key, _)| *key);
        oldest.and_then(|key| addresses.remove(&key));
    }
    let new = || LoginAddress {
        failures: Allowance { used_up_at: now },
        wrong: [0; REMEMBERED],
        good_at: None,
        seen_at: now,
    };
    let address = addresses.entry(key).or_insert_with(new);
    address.seen_at = now;
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    const REMOTE: Origin = Origin::Remote(7);

    fn guess(logins: &Logins, origin: Origin, secret: &str, now: Instant) -> Result<(), TooMany> {
        logins.may_try(origin, now)?;
        logins.wrong(origin, secret.as_bytes(), now)
    }

    #[tokio::test]
    async fn an_address_may_guess_ten_a_minute() {
        let (logins, now) = (Logins::default(), Instant::now());
        let good = |from: Instant, count: u32| {
            (0..count).filter(|n| guess(&logins, REMOTE, &format!("{from:?}{n}"), from).is_ok()).count()
        };
        assert_eq!(good(now, 50), 10);
        let TooMany { wait } = logins.may_try(REMOTE, now).unwrap_err();
        assert_eq!(wait, FAILURE_INTERVAL);
        assert!(logins.may_try(Origin::Remote(8), now).is_ok(), "others are not concerned");
        assert_eq!(good(now + FAILURE_INTERVAL * 3, 50), 3);
        assert_eq!(good(now + FAILURE_INTERVAL * 300, 50), 10);
    }

    #[tokio::test]
    async fn the_same_wrong_token_is_no_guess() {
        let (logins, now) = (Logins::default(), Instant::now());
        assert!((0..10_000).all(|_| guess(&logins, REMOTE, "last year's", now).is_ok()));
        assert!(logins.may_try(REMOTE, now).is_ok());
    }

    #[tokio::test]
    async fn operators_are_not_locked_out() {
        let (logins, now) = (Logins::default(), Instant::now());
        for local in [Origin::Loopback, Origin::Unix] {
            let refused = (0..50).filter(|n| guess(&logins, local, &format!("{local:?}{n}"), now).is_err()).count();
            assert!(refused >= 40 && logins.may_try(local, now).is_ok(), "{refused}");
        }
        logins.good(REMOTE, now);
        let refused = (0..50).filter(|n| guess(&logins, REMOTE, &n.to_string(), now).is_err()).count();
        assert_eq!((refused, logins.may_try(REMOTE, now)), (40, Ok(())), "somebody there knows a token");
        assert!(logins.is_familiar(7, now) && !logins.is_familiar(7, now + FAMILIAR_FOR));
    }

    #[tokio::test]
    async fn memory_is_bounded_and_operators_are_forgotten_last() {
        let (logins, now) = (Logins::default(), Instant::now());
        logins.good(Origin::Remote(1), now);
        for n in 2..5000 {
            logins.wrong(Origin::Remote(n), b"guess", now + Duration::from_secs(1)).unwrap();
        }
        assert_eq!(logins.addresses().len(), ADDRESSES_MAX);
        assert!(logins.is_familiar(1, now));
    }

    #[tokio::test]
    async fn the_log_says_how_many_it_left_out() {
        let (logins, now) = (Logins::default(), Instant::now());
        let lines: Vec<_> = (0..100).filter_map(|_| logins.line(now)).collect();
        assert_eq!(lines, [0; 10]);
        assert_eq!(logins.line(now + LINE_INTERVAL), Some(90));
    }
}
