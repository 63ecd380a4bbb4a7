//! What is counted of a rollout by route: a page of which a thousandth of the requests are fails unseen among the
//! others.
//!
//! A *route* is a beginning of a path, whole segments long, and a request belongs to the longest one that there is. At
//! most [`ROUTES`] are told apart; what belongs to none is in the counts of the whole only. Which they are is decided
//! while the rollout runs, by how many requests they have and by nothing else: [`BusyRoutes`] counts in each worker,
//! and the control plane gives the free places to the busiest ([`RouteStats::refresh`]). A route stays for the rest of
//! the rollout, so that its counts mean one thing.
//!
//! Memory is of a fixed size, whatever paths clients ask for: some 100 KB a worker, and in a sticky service four
//! bits for each slot and route.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, AtomicUsize};

use serde::{Deserialize, Serialize};

use super::additive::{Counters, additive};
use super::busy_routes::{BusyRoutes, SeenRoute};
use super::canary_clients::ClientNumber;
use super::count::Count;
use super::flights::{Flight, Requester};
use super::latency_thresholds::LatencyThresholds;
use super::octaves;
use super::route_name::{ROUTE_SEGMENTS_MAX, RouteName, prefixes};
pub(crate) use super::route_number::{ROUTES, RouteNumber};
use super::sightings::{Testimony, TestimonyTeller};
use super::slot_set::SlotSet;
use super::threshold_count::THRESHOLDS;

/// A route has at least one in this many of the requests: what is rarer says nothing within a rollout.
const PART_MIN: u64 = 2_000;

/// And it has come this many times: a few are chance.
const REQUESTS_MIN: u64 = 8;

/// Places of the table of hashes, twice as many as are needed and more.
const TABLE: usize = 4 * ROUTES;

/// Latencies up to 2^28 us, four and a half minutes.
pub(crate) const ROUTE_LATENCY_BUCKETS: usize = octaves::buckets_to(28);

/// The routes of one rollout.
#[derive(Debug)]
pub(crate) struct RouteStats {
    hashes: RandomState,
    cells: Box<[OnceLock<Box<RouteCell>>]>,
    table: [RoutePlace; TABLE],
    names: [OnceLock<RouteName>; ROUTES],
    pub(super) known: AtomicUsize,
    /// By route.
    thresholds: Box<[LatencyThresholds]>,
    /// By route, where a user is one draw.
    pub(super) users: Box<[OnceLock<RouteUsers>]>,
    /// Clients whose failure was counted, each route at a place of its own.
    clients: SlotSet,
    /// Clients that have exceeded a threshold, each of each route at a place of its own.
    slow_clients: SlotSet,
}

#[derive(Debug, Default)]
struct RoutePlace {
    /// 0 where nothing is.
    hash: AtomicU64,
    number: AtomicU64,
}

/// What one worker sees.
#[derive(Debug)]
struct RouteCell {
    busy: BusyRoutes,
    /// Of the baseline, by route.
    latencies: Box<[Count]>,
}

/// Users who have said something of a route.
#[derive(Debug, Default)]
pub(super) struct RouteUsers {
    pub(super) failed: SlotSet,
    pub(super) exceeded: [SlotSet; THRESHOLDS],
}

/// One worker's counters of a version, by route.
#[derive(Debug, Default)]
pub(crate) struct RouteCounters([RouteArmCounters; ROUTES]);

/// Where a request of one version to a route is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RouteTally<'c> {
    pub counters: &'c RouteCounters,
    /// Who is told who was new.
    pub teller: TestimonyTeller<'c>,
}

#[derive(Debug, Default)]
struct RouteArmCounters {
    requests: Count,
    failures: Count,
    counted_failures: Count,
    by_exceeded: [Count; THRESHOLDS + 1],
    overdue: [Count; THRESHOLDS],
    first_above: [Count; THRESHOLDS],
}

/// Judged requests of a version to one route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTotals {
    /// All of them.
    pub requests: u64,
    /// Those that failed by the upstream's fault.
    pub failures: u64,
    /// Those of the failures that are evidence.
    pub counted_failures: u64,
    /// Those that are compared, by how many thresholds of the route they exceeded.
    pub by_exceeded: [u64; THRESHOLDS + 1],
    /// By threshold, those besides that were found above it before they ended, or whose client left then.
    pub overdue: [u64; THRESHOLDS],
    /// By threshold, those above it that are evidence.
    pub first_above: [u64; THRESHOLDS],
}

/// The sums of all workers under one share, by route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteEpochTotals {
    /// Slots of the candidate and of the baseline.
    pub shares: [u32; 2],
    /// The candidate's and the baseline's requests, by the number of the route.
    pub routes: Vec<[RouteTotals; 2]>,
}

/// How a request to a route ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RouteOutcome {
    pub route: RouteNumber,
    /// The number of its arm.
    pub arm: usize,
    pub is_baseline: bool,
    pub failed: bool,
    /// Whether it is known whether it would have failed.
    pub is_known: bool,
    /// Whether it is known how long it took, and not only for how long its client has waited.
    pub is_whole: bool,
    pub micros: u64,
    /// How many thresholds of the route it was found above before its end.
    pub told: usize,
}

impl Default for RouteCell {
    fn default() -> Self {
        let latencies = (0..ROUTES * ROUTE_LATENCY_BUCKETS).map(|_| Count::default()).collect();
        Self { busy: BusyRoutes::default(), latencies }
    }
}

impl RouteStats {
    /// For this number of workers.
    pub(crate) fn new(workers: usize, per_key: bool) -> Self {
        let users = if per_key { ROUTES } else { 0 };
        Self {
            hashes: RandomState::new(),
            cells: (0..workers).map(|_| OnceLock::new()).collect(),
            table: std::array::from_fn(|_| RoutePlace::default()),
            names: std::array::from_fn(|_| OnceLock::new()),
            known: AtomicUsize::new(0),
            thresholds: (0..ROUTES).map(|_| LatencyThresholds::new(None)).collect(),
            users: (0..users).map(|_| OnceLock::new()).collect(),
            clients: SlotSet::default(),
            slow_clients: SlotSet::default(),
        }
    }

    /// The route of a request that comes now, which counts for who is busiest.
    pub(crate) fn route(&self, worker: usize, path: &[u8]) -> Option<RouteNumber> {
        let mut hashed = [(&[][..], 0); ROUTE_SEGMENTS_MAX];
        let (mut count, mut route) = (0, None);
        for (place, prefix) in hashed.iter_mut().zip(prefixes(path)) {
            let hash = self.hash(prefix);
            *place = (prefix, hash);
            count += 1;
            route = self.find(hash).or(route);
        }
        let cell = self.cells[worker].get_or_init(Box::default);
        cell.busy.count(hashed.into_iter().take(count));
        route
    }

    pub(super) fn hash(&self, prefix: &[u8]) -> u64 {
        self.hashes.hash_one(prefix).max(1)
    }

    fn places(&self, hash: u64) -> impl Iterator<Item = &RoutePlace> {
        let first = usize::try_from(hash % TABLE as u64).unwrap_or(0);
        self.table.iter().cycle().skip(first).take(TABLE)
    }

    pub(super) fn find(&self, hash: u64) -> Option<RouteNumber> {
        let mut taken = self.places(hash).map(|place| (place.hash.load(Acquire), place)).take_while(|(of, _)| *of != 0);
        let (_, place) = taken.find(|(of, _)| *of == hash)?;
        usize::try_from(place.number.load(Relaxed)).ok().and_then(RouteNumber::new)
    }

    /// Counts a request that has ended, of one who asks.
    pub(crate) fn count(&self, worker: usize, counted: RouteTally<'_>, outcome: &RouteOutcome, from: Requester) {
        let RouteOutcome { route, arm, is_baseline, failed, is_known, is_whole, micros, told } = *outcome;
        let number = route.index();
        let (Some(counts), Some(thresholds)) = (counted.counters.0.get(number), self.thresholds.get(number)) else {
            return;
        };
        counts.requests.add(u64::from(is_known));
        if failed {
            counts.failures.add(1);
            let is_first =
                is_first_of_client(from, &self.clients, number) && self.is_first(number, from, |users| &users.failed);
            counted.teller.count_first(&counts.counted_failures, Testimony::FailedOnRoute(route), from.slot, is_first);
        }
        if is_baseline
            && is_whole
            && let Some(cell) = self.cells[worker].get()
        {
            let bucket = octaves::bucket_of(micros, ROUTE_LATENCY_BUCKETS);
            cell.latencies[number * ROUTE_LATENCY_BUCKETS + bucket].add(1);
        }
        if !thresholds.compares() {
            return;
        }
        let exceeded = thresholds.exceeded(arm, micros).exceeded;
        if is_whole && told == 0 {
            counts.by_exceeded[exceeded].add(1);
        } else {
            counts.overdue.iter().take(exceeded).skip(told).for_each(|count| count.add(1));
        }
        self.count_above(counted, route, from, told..exceeded);
    }

    /// How many thresholds of its route a request in flight has exceeded.
    pub(crate) fn exceeded(&self, flight: &Flight, micros: u64) -> usize {
        let thresholds = flight.route.and_then(|route| self.thresholds.get(route.index()));
        thresholds.map_or(0, |thresholds| thresholds.exceeded(flight.arm, micros).exceeded)
    }

    /// Counts a request that is found above these thresholds of its route before its end.
    pub(crate) fn count_overdue(&self, counted: RouteTally<'_>, flight: &Flight, thresholds: Range<usize>) {
        let Some(route) = flight.route else { return };
        let Some(counts) = counted.counters.0.get(route.index()) else { return };
        counts.overdue.iter().take(thresholds.end).skip(thresholds.start).for_each(|count| count.add(1));
        self.count_above(counted, route, flight.from, thresholds);
    }

    fn count_above(&self, counted: RouteTally<'_>, route: RouteNumber, from: Requester, thresholds: Range<usize>) {
        let Some(counts) = counted.counters.0.get(route.index()) else { return };
        for threshold in thresholds {
            let kind = route.index() * THRESHOLDS + threshold;
            let is_first = is_first_of_client(from, &self.slow_clients, kind)
                && self.is_first(route.index(), from, |users| &users.exceeded[threshold]);
            let testimony = Testimony::AboveOnRoute(route, threshold);
            counted.teller.count_first(&counts.first_above[threshold], testimony, from.slot, is_first);
        }
    }

    /// Whether it is the user's first time, where users are one draw.
    fn is_first(&self, number: usize, from: Requester, set: impl Fn(&RouteUsers) -> &SlotSet) -> bool {
        let Some(slot) = from.slot else { return true };
        self.users.get(number).and_then(OnceLock::get).is_some_and(|users| set(users).first(slot))
    }

    /// The routes that there are, by their numbers.
    pub(crate) fn names(&self) -> impl Iterator<Item = RouteName> {
        let known = self.known.load(Acquire);
        self.names.iter().take(known).filter_map(OnceLock::get).copied()
    }

    /// How long the baseline's requests took, by route and bucket.
    pub(crate) fn latencies(&self) -> Vec<u64> {
        let mut sums = vec![0; ROUTES * ROUTE_LATENCY_BUCKETS];
        for cell in self.cells.iter().filter_map(OnceLock::get) {
            sums.iter_mut().zip(&cell.latencies).for_each(|(sum, count)| *sum += count.value());
        }
        sums
    }

    /// Compares the latencies of a route with these from now on, in microseconds, ascending.
    pub(crate) fn compare_with(&self, number: usize, thresholds: [[u64; THRESHOLDS]; 2]) {
        if let Some(of_route) = self.thresholds.get(number) {
            of_route.compare_with(thresholds);
        }
    }

    /// Users and clients may have a failure once more.
    pub(crate) fn forget_failures(&self) {
        self.clients.clear();
        self.users.iter().filter_map(OnceLock::get).for_each(|users| users.failed.clear());
    }

    /// Users and clients may be timed once more.
    pub(crate) fn forget_latencies(&self) {
        self.slow_clients.clear();
        self.users.iter().filter_map(OnceLock::get).for_each(|users| users.exceeded.iter().for_each(SlotSet::clear));
    }

    /// Gives places that are free to the busiest routes.
    pub(crate) fn refresh(&self) {
        let known = self.known.load(Relaxed);
        if known == ROUTES {
            return;
        }
        for (number, name) in (known..ROUTES).zip(self.busiest()) {
            self.give_place(number, name);
        }
    }

    pub(super) fn give_place(&self, number: usize, name: RouteName) {
        let hash = self.hash(name.as_bytes());
        let Some(place) = self.places(hash).find(|place| place.hash.load(Relaxed) == 0) else { return };
        if let Some(name_place) = self.names.get(number) {
            name_place.get_or_init(|| name);
        }
        if let Some(users) = self.users.get(number) {
            users.get_or_init(RouteUsers::default);
        }
        place.number.store(number as u64, Relaxed);
        place.hash.store(hash, Release);
        self.known.store(number + 1, Release);
    }

    /// Those that have no place yet, the busiest first. What has a route of its own below it counts for that one.
    fn busiest(&self) -> Vec<RouteName> {
        let (mut all, mut seen) = (0, BTreeMap::<Box<[u8]>, SeenRoute>::new());
        for cell in self.cells.iter().filter_map(OnceLock::get) {
            all += cell.busy.requests();
            for new in cell.busy.seen() {
                let sum = seen.entry(new.name.as_bytes().into()).or_insert(SeenRoute { requests: 0, ..new });
                sum.requests += new.requests;
                sum.is_broad |= new.is_broad;
            }
        }
        let is_busy = |requests: u64| requests >= REQUESTS_MIN && requests.saturating_mul(PART_MIN) >= all;
        let is_above = |prefix: &[u8]| seen.get(prefix).is_some_and(|above| !above.is_broad && is_busy(above.requests));
        let is_candidate = |name: &[u8]| prefixes(name).all(|prefix| prefix == name || is_above(prefix));
        let candidates = seen.iter().filter(|(name, seen)| is_busy(seen.requests) && is_candidate(name));
        let mut own: BTreeMap<&[u8], (RouteName, u64)> = BTreeMap::new();
        for (name, seen) in candidates {
            // What is above comes first.
            if let Some(above) = prefixes(name).take_while(|prefix| *prefix != &**name).last()
                && let Some((_, requests)) = own.get_mut(above)
            {
                *requests = requests.saturating_sub(seen.requests);
            }
            own.insert(name, (seen.name, seen.requests));
        }
        let is_new = |name: &RouteName| self.find(self.hash(name.as_bytes())).is_none();
        let mut new: Vec<_> = own.into_values().filter(|(name, requests)| is_busy(*requests) && is_new(name)).collect();
        new.sort_by_key(|(_, requests)| std::cmp::Reverse(*requests));
        new.into_iter().map(|(name, _)| name).collect()
    }
}

/// Whether it is the first time of the client in this set, for an outcome of this kind; always, where many are behind
/// an address.
fn is_first_of_client(from: Requester, clients: &SlotSet, kind: usize) -> bool {
    from.client.is_none_or(|place| clients.first(ClientNumber::place_of(u64::from(place), kind)))
}

impl RouteEpochTotals {
    /// The sums of what workers and sweeps have counted, of this number of routes.
    pub(crate) fn of(shares: [u32; 2], counted: &[OnceLock<Box<[RouteCounters; 2]>>], known: usize) -> Self {
        let mut routes = vec![[RouteTotals::default(); 2]; known];
        for counters in counted.iter().filter_map(OnceLock::get) {
            for (number, arms) in routes.iter_mut().enumerate() {
                arms.iter_mut().zip(&**counters).for_each(|(totals, counters)| counters.0[number].add_to(totals));
            }
        }
        Self { shares, routes }
    }
}

additive!(RouteTotals, of RouteArmCounters { requests, failures, counted_failures, by_exceeded, overdue, first_above });

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::canary_clients::ClientWatch;
    use crate::shared::response_counters::Asker;

    fn stats() -> RouteStats {
        RouteStats::new(2, true)
    }

    fn tally(counters: &RouteCounters) -> RouteTally<'_> {
        RouteTally { counters, teller: TestimonyTeller::new(None) }
    }

    fn names(stats: &RouteStats) -> Vec<String> {
        stats.names().map(|name| name.text()).collect()
    }

    fn ask(stats: &RouteStats, times: u64, path: impl Fn(u64) -> String) {
        for number in 0..times {
            stats.route(usize::try_from(number % 2).unwrap(), path(number).as_bytes());
        }
    }

    #[test]
    fn the_busiest_routes_are_told_apart_and_what_is_rare_is_not() {
        let stats = stats();
        ask(&stats, 20_000, |number| format!("/users/{number}"));
        ask(&stats, 8_000, |number| format!("/api/v1/r{}", number % 10));
        ask(&stats, 40, |_| "/checkout".to_owned());
        ask(&stats, 6, |_| "/rare".to_owned());
        stats.refresh();
        let found = names(&stats);
        assert_eq!(found[0], "/users", "{found:?}");
        assert_eq!(found.iter().filter(|name| name.starts_with("/api/v1/r")).count(), 10, "{found:?}");
        assert!(found.contains(&"/checkout".to_owned()) && !found.contains(&"/rare".to_owned()), "{found:?}");
        let of = |path: &str| stats.route(0, path.as_bytes()).map(|route| found[route.index()].clone());
        assert_eq!(of("/users/7/orders").unwrap(), "/users");
        assert_eq!(of("/api/v1/r3/x").unwrap(), "/api/v1/r3");
        assert_eq!(of("/checkout").unwrap(), "/checkout");
        assert_eq!(of("/rare"), None);
    }

    #[test]
    fn places_are_given_once_and_never_more_than_there_are() {
        let stats = stats();
        ask(&stats, 6_400, |number| format!("/p{}", number % 64));
        stats.refresh();
        let first = names(&stats);
        assert_eq!(first.len(), ROUTES);
        ask(&stats, 100_000, |_| "/new".to_owned());
        stats.refresh();
        assert_eq!(names(&stats), first);
        assert!(first.iter().all(|name| stats.route(0, name.as_bytes()).is_some()));
    }

    #[test]
    fn a_user_has_one_failure_on_each_route_until_they_are_forgotten() {
        let (stats, counters) = (stats(), RouteCounters::default());
        ask(&stats, 100, |number| if number % 2 == 0 { "/a".to_owned() } else { "/b".to_owned() });
        stats.refresh();
        let fail = |path: &str| {
            let route = stats.route(0, path.as_bytes()).unwrap();
            let outcome = RouteOutcome {
                route,
                arm: 0,
                is_baseline: false,
                failed: true,
                is_known: true,
                is_whole: true,
                micros: 1,
                told: 0,
            };
            stats.count(0, tally(&counters), &outcome, Requester { slot: Some(7), client: None });
            let mut totals = RouteTotals::default();
            counters.0[route.index()].add_to(&mut totals);
            (totals.failures, totals.counted_failures)
        };
        assert_eq!((fail("/a"), fail("/a"), fail("/b")), ((1, 1), (2, 1), (1, 1)));
        stats.forget_failures();
        assert_eq!(fail("/a"), (3, 2));
    }

    #[test]
    fn an_address_says_it_once_on_a_route_and_uses_up_no_other_user() {
        let (stats, counters) = (stats(), RouteCounters::default());
        ask(&stats, 100, |_| "/a".to_owned());
        stats.refresh();
        stats.compare_with(0, [[10, 20, 30]; 2]);
        let route = stats.route(0, b"/a").unwrap();
        let clients = ClientWatch::new(1);
        let fail = |slot, address: [u8; 4]| {
            let (arm, is_baseline, failed) = (0, false, true);
            let (is_known, is_whole, micros) = (true, true, 25);
            let outcome = RouteOutcome { route, arm, is_baseline, failed, is_known, is_whole, micros, told: 0 };
            let client = Some(clients.number(address.into()));
            stats.count(0, tally(&counters), &outcome, Requester::of(Some(Asker { slot, client })));
            let mut totals = RouteTotals::default();
            counters.0[0].add_to(&mut totals);
            (totals.counted_failures, totals.first_above)
        };
        (0..1_000).for_each(|slot| assert_eq!(fail(slot, [10, 0, 0, 1]), (1, [1, 1, 0])));
        assert_eq!(fail(500, [10, 0, 0, 2]), (2, [2, 2, 0]));
        stats.forget_latencies();
        assert_eq!(fail(501, [10, 0, 0, 1]), (2, [3, 3, 0]));
    }

    #[test]
    fn latencies_are_compared_with_those_of_the_route() {
        let (stats, counters) = (stats(), RouteCounters::default());
        ask(&stats, 40, |_| "/slow".to_owned());
        stats.refresh();
        let route = stats.route(0, b"/slow").unwrap();
        let end = |micros, is_whole| {
            let (arm, is_baseline, failed) = (1, true, false);
            let outcome =
                RouteOutcome { route, arm, is_baseline, failed, is_known: is_whole, is_whole, micros, told: 0 };
            stats.count(0, tally(&counters), &outcome, Requester::default());
        };
        let time = |micros| end(micros, true);
        time(30_000_000);
        assert_eq!(stats.latencies().iter().sum::<u64>(), 1);
        stats.compare_with(0, [[0, 0, 0], [10, 20, 30]]);
        [5, 25, 31].into_iter().for_each(time);
        [5, 25].into_iter().for_each(|waited| end(waited, false));
        let mut totals = RouteTotals::default();
        counters.0[0].add_to(&mut totals);
        assert_eq!((totals.requests, totals.by_exceeded), (4, [1, 0, 1, 1]));
        assert_eq!((totals.overdue, totals.first_above), ([1, 1, 0], [3, 3, 1]));
    }
}
