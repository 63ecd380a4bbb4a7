//! The places for connections to the admin API, and who gives up which for whom.
//!
//! No connection waits for a place. A connection that comes when there is none takes the place of the one that has kept
//! us waiting longest: an operator gets in whatever stands around at the door. The obvious bound, a queue before a
//! number of places, is the attack: the client that fills the places decides how long the queue stands still.
//! Connections on which we work are left alone.
//!
//! A part of the places is for those on this machine, for connections that have shown a token or a certificate, and for
//! the addresses that they come from: connections of others take each other's places, and of one address only a limited
//! number. When those are full, the address that has most of them gives one up, so that a flood displaces itself: it
//! ends the one connection of an operator who comes for the first time only when it comes from as many addresses as
//! there are places.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::visit::{Origin, Visit};
use crate::stats::labels::AdminRefused;

/// Connections at a time, if there are descriptors for them: a fleet's scrapers, and every operator with a dashboard.
pub(crate) const CONNECTIONS_MAX: usize = 256;

/// Connections of one address that has shown nothing: a browser opens six, an office behind one address has some people
/// who look at the same time.
const STRANGERS_PER_ADDRESS_MAX: usize = 32;

/// How long a connection of this machine has for its first bytes before another one may have its place. Without it, who
/// connects fast enough would end every connection before its head was read; with it, 256 places pass on 5,000
/// connections a second, and those that wait at the socket meanwhile wait for a fifth of a second.
const YOUNG: Duration = Duration::from_millis(50);

/// Strangers may have three of this many parts of all places.
const QUARTERS: usize = 4;

/// The open connections.
#[derive(Debug)]
pub(crate) struct ConnectionPlaces {
    max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    visits: BTreeMap<u64, Arc<Visit>>,
}

/// A connection's place; dropping it frees it.
#[derive(Debug)]
pub(crate) struct ConnectionPlace {
    places: Arc<ConnectionPlaces>,
    number: u64,
}

/// Why there is no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoPlace {
    /// There will be none.
    Refused(AdminRefused),
    /// All others have only just come; one of them may be displaced then.
    Until(Instant),
}

/// What a connection counts as.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum PlaceKind {
    /// From elsewhere, and nothing is known of it.
    Stranger(u128),
    /// From this machine, or an address that has shown a token before.
    Kept,
    /// It has shown a token or a certificate itself.
    Known,
}

impl ConnectionPlaces {
    /// Room for `max` connections.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max: max.max(1), open: Mutex::default() })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a connection, if need be that of another one. `familiar` says which addresses have shown a
    /// token.
    ///
    /// # Errors
    /// [`NoPlace`]: we work on all connections that it could displace, or they have only just come.
    pub(crate) fn enter(
        self: &Arc<Self>,
        visit: &Arc<Visit>,
        now: Instant,
        familiar: impl Fn(u128) -> bool,
    ) -> Result<ConnectionPlace, NoPlace> {
        let mut open = self.open();
        if let Some(number) = open.must_go(self.max, visit, now, &familiar)?
            && let Some(displaced) = open.visits.remove(&number)
        {
            displaced.displace();
        }
        let number = open.next;
        open.next += 1;
        open.visits.insert(number, Arc::clone(visit));
        drop(open);
        Ok(ConnectionPlace { places: Arc::clone(self), number })
    }

    /// Ends the connection that has kept us waiting longest, for the sake of its descriptor.
    pub(crate) fn displace_one(&self) {
        let mut open = self.open();
        let longest = longest(open.visits.iter());
        if let Some(displaced) = longest.and_then(|(_, number)| open.visits.remove(&number)) {
            displaced.displace();
        }
    }
}

impl Open {
    /// Which connection has to end so that `visit` gets in; `None` inside if there is room.
    fn must_go(
        &self,
        max: usize,
        visit: &Visit,
        now: Instant,
        familiar: &impl Fn(u128) -> bool,
    ) -> Result<Option<u64>, NoPlace> {
        let kind = |visit: &Visit| match visit.origin {
            Origin::Remote(_) | Origin::Unix | Origin::Loopback if visit.is_known() => PlaceKind::Known,
            Origin::Remote(block) if !familiar(block) => PlaceKind::Stranger(block),
            Origin::Remote(_) | Origin::Unix | Origin::Loopback => PlaceKind::Kept,
        };
        let of = |wanted: &dyn Fn(PlaceKind) -> bool| -> Vec<(&u64, &Arc<Visit>)> {
            self.visits.iter().filter(|(_, visit)| wanted(kind(visit))).collect()
        };
        if let own @ PlaceKind::Stranger(_) = kind(visit) {
            let of_address = of(&|kind| kind == own);
            if of_address.len() >= STRANGERS_PER_ADDRESS_MAX {
                let longest = longest(of_address.into_iter()).map(|(_, number)| Some(number));
                return longest.ok_or(NoPlace::Refused(AdminRefused::TooManyOfAddress));
            }
            let strangers = of(&|kind| matches!(kind, PlaceKind::Stranger(_)));
            if strangers.len() >= (max - max / QUARTERS).max(1) || self.visits.len() >= max {
                let greediest = greediest(&strangers, Some(visit)).map(Some);
                return greediest.ok_or(NoPlace::Refused(AdminRefused::TooManyConnections));
            }
            return Ok(None);
        }
        if self.visits.len() < max {
            return Ok(None);
        }
        if let Some(number) = greediest(&of(&|kind| matches!(kind, PlaceKind::Stranger(_))), None) {
            return Ok(Some(number));
        }
        let kept = longest(of(&|kind| kind == PlaceKind::Kept).into_iter());
        match kept.or_else(|| longest(of(&|kind| kind == PlaceKind::Known).into_iter())) {
            Some((since, _)) if since + YOUNG > now => Err(NoPlace::Until(since + YOUNG)),
            Some((_, number)) => Ok(Some(number)),
            None => Err(NoPlace::Refused(AdminRefused::TooManyConnections)),
        }
    }
}

/// The connection that has waited for its client longest, of those that do, and since when.
fn longest<'v>(visits: impl Iterator<Item = (&'v u64, &'v Arc<Visit>)>) -> Option<(Instant, u64)> {
    visits.filter_map(|(number, visit)| Some((visit.waits_since()?, *number))).min()
}

/// Of the address that has most of these connections, with the one that comes, the one that has waited for its client
/// longest; of the address with most but it, if all of those are worked on.
fn greediest(strangers: &[(&u64, &Arc<Visit>)], comes: Option<&Visit>) -> Option<u64> {
    let mut shares: BTreeMap<&Origin, usize> = BTreeMap::new();
    let origins = strangers.iter().map(|(_, visit)| &visit.origin).chain(comes.map(|visit| &visit.origin));
    origins.for_each(|origin| *shares.entry(origin).or_default() += 1);
    let waiting = strangers.iter().filter_map(|(number, visit)| {
        let share = shares.get(&visit.origin).copied().unwrap_or_default();
        Some((Reverse(share), visit.waits_since()?, **number))
    });
    waiting.min().map(|(_, _, number)| number)
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.places.open().visits.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    struct Door {
        places: Arc<ConnectionPlaces>,
        now: Instant,
        familiar: Option<u128>,
    }

    impl Door {
        fn of(max: usize) -> Self {
            Self { places: ConnectionPlaces::new(max), now: Instant::now(), familiar: None }
        }

        /// A connection that comes a second after the one before.
        fn enter(&mut self, from: &str) -> Result<(Arc<Visit>, ConnectionPlace), NoPlace> {
            self.now += Duration::from_secs(1);
            let address = from.parse::<IpAddr>().expect("an address");
            let visit = Arc::new(Visit::new(Origin::of(address), from.to_owned(), self.now));
            let place = self.places.enter(&visit, self.now, |block| Some(block) == self.familiar)?;
            Ok((visit, place))
        }

        fn has(&self, visit: &Arc<Visit>) -> bool {
            self.places.open().visits.values().any(|open| Arc::ptr_eq(open, visit))
        }
    }

    fn all(door: &mut Door, from: impl Iterator<Item = String>) -> Vec<(Arc<Visit>, ConnectionPlace)> {
        from.map(|from| door.enter(&from).expect("a place")).collect()
    }

    #[tokio::test]
    async fn whoever_keeps_us_waiting_longest_goes_first() {
        let mut door = Door::of(4);
        let silent = all(&mut door, (1..=4).map(|n| format!("127.0.0.{n}")));
        // Work on the first one has begun: it stays, and the next one goes.
        silent[0].0.called(door.now);
        let (operator, _place) = door.enter("127.0.0.1").expect("a place");
        assert!(door.has(&operator) && door.has(&silent[0].0) && !door.has(&silent[1].0) && door.has(&silent[2].0));
        assert_eq!(silent[1].0.end().await, Some(AdminRefused::Displaced));
        // One that is known is the last to go.
        silent[2].0.known();
        let _more = all(&mut door, (5..=7).map(|n| format!("127.0.0.{n}")));
        assert!(door.has(&silent[2].0) && door.has(&silent[0].0) && !door.has(&operator));
        assert_eq!(door.places.open().visits.len(), 4);
    }

    #[tokio::test]
    async fn there_is_no_place_while_all_are_worked_on() {
        let mut door = Door::of(2);
        let busy = all(&mut door, (1..=2).map(|n| format!("127.0.0.{n}")));
        busy.iter().for_each(|(visit, _)| visit.called(door.now));
        let refused = NoPlace::Refused(AdminRefused::TooManyConnections);
        assert_eq!(door.enter("127.0.0.1").unwrap_err(), refused);
        busy[1].0.responded(door.now);
        let entered = door.enter("127.0.0.1");
        assert!(entered.is_ok() && !door.has(&busy[1].0), "who does not take its answer can go");
        drop((busy, entered));
        assert_eq!(door.places.open().visits.len(), 0);
    }

    #[tokio::test]
    async fn those_that_have_only_just_come_have_a_moment() {
        let mut door = Door::of(2);
        let _first = all(&mut door, (1..=2).map(|n| format!("127.0.0.{n}")));
        let (began, third) = (door.now - Duration::from_secs(1), "127.0.0.3");
        door.now = began - Duration::from_secs(1) + YOUNG / 2;
        assert_eq!(door.enter(third).unwrap_err(), NoPlace::Until(began + YOUNG));
        door.now = began - Duration::from_secs(1) + YOUNG;
        assert!(door.enter(third).is_ok());
    }

    #[tokio::test]
    async fn strangers_take_each_others_places_only() {
        let mut door = Door::of(8);
        let (local, _place) = door.enter("127.0.0.1").expect("a place");
        let strangers = all(&mut door, (1..=20).map(|n| format!("192.0.2.{n}")));
        assert!(door.has(&local), "a quarter is kept");
        assert_eq!(strangers.iter().filter(|(visit, _)| door.has(visit)).count(), 6);
        let (operator, _place) = door.enter("198.51.100.1").expect("a place");
        operator.known();
        let _more = all(&mut door, (21..=60).map(|n| format!("192.0.2.{n}")));
        assert!(door.has(&operator) && door.has(&local));
        // The address is known by now: its next connection is none of a stranger.
        door.familiar = Some(crate::shared::client_prefix::block("198.51.100.1".parse().expect("an address")));
        let (next, _place) = door.enter("198.51.100.1").expect("a place");
        let _more = all(&mut door, (61..=99).map(|n| format!("192.0.2.{n}")));
        assert!(door.has(&next));
    }

    #[tokio::test]
    async fn a_flood_of_some_addresses_displaces_itself() {
        let mut door = Door::of(CONNECTIONS_MAX);
        let (operator, _place) = door.enter("198.51.100.1").expect("a place");
        let places = CONNECTIONS_MAX - CONNECTIONS_MAX / QUARTERS;
        // As many as come in a second; all of them are younger than the operator's.
        let flood = all(&mut door, (0..5_000).map(|n| format!("192.0.2.{}", n % (places - 1))));
        assert!(door.has(&operator), "its address has the smallest share");
        assert_eq!(flood.iter().filter(|(visit, _)| door.has(visit)).count(), places - 1);
        // Those that are worked on stay, whatever their share is.
        flood.iter().for_each(|(visit, _)| visit.called(door.now));
        assert!(door.enter("203.0.113.1").is_ok() && !door.has(&operator), "there is no other one");
    }

    #[tokio::test]
    async fn one_address_has_only_so_many() {
        let mut door = Door::of(CONNECTIONS_MAX);
        let (other, _place) = door.enter("192.0.2.1").expect("a place");
        let greedy = all(&mut door, (0..300).map(|_| "192.0.2.2".to_owned()));
        assert_eq!(greedy.iter().filter(|(visit, _)| door.has(visit)).count(), STRANGERS_PER_ADDRESS_MAX);
        assert!(door.has(&other), "others are not concerned");
        greedy.iter().for_each(|(visit, _)| visit.called(door.now));
        let refused = NoPlace::Refused(AdminRefused::TooManyOfAddress);
        assert_eq!(door.enter("192.0.2.2").unwrap_err(), refused);
        assert!(door.enter("192.0.2.3").is_ok());
    }
}
