//! Which routes of a service have most of the requests, as one worker sees it.
//!
//! Beginnings of paths are counted in a table of a fixed size, by a hash that clients cannot foresee: eight places for
//! each of some groups. One that is not there takes the place of one that came once, and beside busier ones it has to
//! come more often than they do: so what comes again and again stays, whatever a flood of paths passes by that come
//! once.
//!
//! A beginning with another one below it nearly each time it is asked for (`/users/` and a number) is *broad*: what is
//! below it is not looked at any more, and it is a route itself. Below a beginning that is hardly there nothing is
//! looked at either.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::route_name::{ROUTE_BYTES_MAX, RouteName};

/// Groups of places.
const GROUPS: usize = 64;

/// Places of a group.
const PLACES: usize = 8;

/// Words of a name.
const WORDS: usize = ROUTE_BYTES_MAX / 8;

/// A beginning that has come this many times is there, and what is below it is looked at.
const THERE: u64 = 16;

/// One with this number of others below it that were new, by a quarter of its requests or more, is broad.
const BROAD: u64 = 32;

/// It is broad for good.
const IS_BROAD: u64 = u64::MAX;

/// The busiest beginnings of paths of one worker.
#[derive(Debug)]
pub(crate) struct BusyRoutes {
    requests: AtomicU64,
    places: Box<[BusyRoute]>,
}

#[derive(Debug, Default)]
struct BusyRoute {
    /// 0 where nothing is.
    hash: AtomicU64,
    /// Requests since it is there.
    requests: AtomicU64,
    /// How many below it were new.
    below: AtomicU64,
    length: AtomicU64,
    name: [AtomicU64; WORDS],
}

/// A beginning of paths that was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeenRoute {
    pub name: RouteName,
    pub requests: u64,
    /// Whether what is below it is not looked at.
    pub is_broad: bool,
}

impl Default for BusyRoutes {
    fn default() -> Self {
        Self { requests: AtomicU64::new(0), places: (0..GROUPS * PLACES).map(|_| BusyRoute::default()).collect() }
    }
}

/// Adds to a counter that one worker writes.
fn increase(count: &AtomicU64) -> u64 {
    let more = count.load(Relaxed) + 1;
    count.store(more, Relaxed);
    more
}

impl BusyRoutes {
    /// Counts a request by the beginnings of its path with their hashes, the shortest first.
    pub(crate) fn count<'p>(&self, prefixes: impl Iterator<Item = (&'p [u8], u64)>) {
        increase(&self.requests);
        let mut above: Option<&BusyRoute> = None;
        for (prefix, hash) in prefixes {
            let Some(group) = self.group(hash) else { return };
            let known = group.iter().find(|place| place.hash.load(Relaxed) == hash);
            let Some(place) = known.or_else(|| take_place(group, prefix, hash)) else { return };
            let requests = increase(&place.requests);
            if let Some(above) = above.filter(|_| known.is_none()) {
                above.found_new_below();
            }
            if requests < THERE || place.is_broad() {
                return;
            }
            above = Some(place);
        }
    }

    fn group(&self, hash: u64) -> Option<&[BusyRoute]> {
        let number = usize::try_from(hash % GROUPS as u64).ok()?;
        self.places.get(number * PLACES..(number + 1) * PLACES)
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// What is there at this moment.
    pub(crate) fn seen(&self) -> impl Iterator<Item = SeenRoute> {
        self.places.iter().filter_map(BusyRoute::seen)
    }
}

/// A place of the group for one that is new, unless all of the others are busier.
fn take_place<'g>(group: &'g [BusyRoute], prefix: &[u8], hash: u64) -> Option<&'g BusyRoute> {
    let least = group.iter().min_by_key(|place| place.requests.load(Relaxed))?;
    let requests = least.requests.load(Relaxed);
    if requests > 1 {
        least.requests.store(requests - 1, Relaxed);
        return None;
    }
    least.name(prefix, hash);
    Some(least)
}

impl BusyRoute {
    fn is_broad(&self) -> bool {
        self.below.load(Relaxed) == IS_BROAD
    }

    fn found_new_below(&self) {
        let new = increase(&self.below);
        if new >= BROAD && new * 4 >= self.requests.load(Relaxed) {
            self.below.store(IS_BROAD, Relaxed);
        }
    }

    fn name(&self, prefix: &[u8], hash: u64) {
        self.hash.store(hash, Relaxed);
        self.requests.store(0, Relaxed);
        self.below.store(0, Relaxed);
        self.length.store(prefix.len() as u64, Relaxed);
        for (word, bytes) in self.name.iter().zip(prefix.chunks(8).chain(std::iter::repeat(&[][..]))) {
            let mut all = [0; 8];
            all.iter_mut().zip(bytes).for_each(|(to, byte)| *to = *byte);
            word.store(u64::from_ne_bytes(all), Relaxed);
        }
    }

    /// As it is at this moment, perhaps in the middle of a change: who reads it checks the hash of the name.
    fn seen(&self) -> Option<SeenRoute> {
        let mut bytes = [0; ROUTE_BYTES_MAX];
        for (to, word) in bytes.chunks_mut(8).zip(&self.name) {
            to.copy_from_slice(&word.load(Relaxed).to_ne_bytes());
        }
        let length = usize::try_from(self.length.load(Relaxed)).ok()?;
        let name = RouteName::new(bytes.get(..length)?)?;
        let requests = self.requests.load(Relaxed);
        (requests > 0 && length > 0).then_some(SeenRoute { name, requests, is_broad: self.is_broad() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::hash::{BuildHasher, RandomState};

    use super::super::route_name::prefixes;
    use super::*;

    fn ask(busy: &BusyRoutes, hashes: &RandomState, path: &str) {
        busy.count(prefixes(path.as_bytes()).map(|prefix| (prefix, hashes.hash_one(prefix))));
    }

    fn seen(busy: &BusyRoutes) -> BTreeMap<String, (u64, bool)> {
        busy.seen().map(|seen| (seen.name.text(), (seen.requests, seen.is_broad))).collect()
    }

    #[test]
    fn what_comes_again_stays_beside_a_flood_that_comes_once() {
        let (busy, hashes) = (BusyRoutes::default(), RandomState::new());
        for number in 0..100_000 {
            ask(&busy, &hashes, &format!("/{number}/x"));
            ask(&busy, &hashes, &format!("/users/{number}/orders"));
            if number % 250 == 0 {
                ask(&busy, &hashes, "/checkout");
            }
        }
        let seen = seen(&busy);
        let (checkout, _) = seen["/checkout"];
        assert!(checkout > 300, "of 400: {checkout}");
        assert_eq!(seen["/users"], (100_000, true));
        assert!(seen.len() <= GROUPS * PLACES);
        assert_eq!(busy.requests(), 200_400);
    }

    #[test]
    fn the_pages_of_an_api_are_told_apart() {
        let (busy, hashes) = (BusyRoutes::default(), RandomState::new());
        for number in 0..4_000 {
            ask(&busy, &hashes, &format!("/api/v1/r{}", number % 20));
        }
        let seen = seen(&busy);
        assert_eq!(seen["/api"], (4_000, false));
        assert_eq!(seen.keys().filter(|name| name.starts_with("/api/v1/r")).count(), 20, "{seen:?}");
        assert!(seen["/api/v1/r7"].0 > 190, "{seen:?}");
    }
}
