//! What each replica of a fleet has counted for a rollout, and what it comes to: the judge of the one that leads is
//! told of the requests of all.
//!
//! Counts only grow, so a replica says what it has counted since it began, and whatever of that was not heard yet is
//! new: no answer that is lost loses anything. A user may come to several replicas. One who testifies on one for the
//! first time is told besides, by slot and kind ([`Sighting`]), and is noted in the leader's own sets of those who
//! have; one who was there already was counted by both, and is taken away again here. So the leader's sets are those
//! of the fleet, its workers do not count who has testified elsewhere, and its judge's windows empty them for all.
//!
//! Latencies are compared on each replica with the baseline's of that replica: both sides are alike there, and that is
//! all that a comparison needs. So nothing has to be told back but when a window opens.
//!
//! A counter and who was new are not read in one moment. What is to be taken away and was not counted yet waits.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::counts::{CountsReader, epoch_counts, route_counts};
use super::judge::endpoint_watch::EndpointCounts;
use super::judge::evidence::RouteCounts;
use super::judge::pair_counts::PairCounts;
use super::judge::windows::Windows;
use super::judge::{EpochCounts, PerVersion};
use crate::shared::additive::Additive;
use crate::shared::canary_stats::{ArmTotals, CanaryStats, EpochTotals};
use crate::shared::endpoint_tallies::EndpointTotals;
use crate::shared::route_name::RouteName;
use crate::shared::route_stats::{RouteEpochTotals, RouteNumber, RouteTotals};
use crate::shared::sightings::{Sighting, SightingRun, Testimony};
use crate::shared::user_sets::ActiveUsers;
use crate::stats::latency_histogram::LatencyTotals;

/// Countings that are known at a time: many more than there are replicas, each of which may begin anew.
const COUNTINGS_MAX: usize = 512;

/// What a replica has counted of one service since it began to count for a rollout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReplicaCounts {
    /// By share.
    pub(crate) epochs: Vec<EpochTotals>,
    /// The same by route, in the order of their names.
    pub(crate) routes: Vec<RouteEpochTotals>,
    /// The routes that are told apart; none: one whose name is no text.
    pub(crate) route_names: Vec<Option<String>>,
    /// How many sightings were told before those that are told here.
    pub(crate) told_before: u64,
    /// Who was new.
    pub(crate) sightings: Vec<SightingRun>,
    /// How long requests took: the buckets in which there are any; none: as before.
    pub(crate) latencies: Option<[TimedBuckets; 2]>,
    /// The candidate's endpoints; none: as before.
    pub(crate) endpoints: Option<Vec<EndpointCounts>>,
    /// The users of the last minute that is over.
    pub(crate) users: Option<ActiveUsers>,
    /// What came of copies since the process began, while the service is mirrored to the candidate.
    pub(crate) pairs: Option<PairCounts>,
}

/// Latencies of the candidate or of the baseline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TimedBuckets {
    /// By the number of the bucket.
    counts: BTreeMap<usize, u64>,
    /// In microseconds.
    sum_us: u64,
}

/// The numbers of the windows in which users testify: when one changes, they may say it once more. Each judge has its
/// own, so that a user who was heard by one that is gone is heard by the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WindowNumbers {
    step: u32,
    failures: u32,
    lost: u32,
    latency: u32,
}

/// What the other replicas of a fleet have counted of one service.
#[derive(Debug, Default)]
pub(crate) struct FleetCounts {
    /// By the name of the replica and its counting, with a space between them.
    replicas: BTreeMap<Arc<str>, HeardReplica>,
    /// How many have been heard.
    heard: u64,
    /// What was not told to the judge yet, by share.
    new: BTreeMap<[u32; 2], [ArmTotals; 2]>,
    /// The same by route, by the leader's numbers.
    new_on_routes: BTreeMap<[u32; 2], Vec<[RouteTotals; 2]>>,
    new_pairs: PairCounts,
    /// What was counted twice, and is to be taken away.
    twice: BTreeMap<CountedTwice, u64>,
}

/// What is known of one replica.
#[derive(Debug, Default)]
struct HeardReplica {
    /// When it was heard first, among the others.
    number: u64,
    counts: CountsReader,
    told: u64,
    latencies: [TimedBuckets; 2],
    endpoints: Vec<EndpointCounts>,
    pairs: Option<PairCounts>,
    users: Option<ActiveUsers>,
}

/// A count in which a user is who was counted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct CountedTwice {
    shares: [u32; 2],
    arm: usize,
    testimony: Testimony,
}

/// Whether all that a replica says is news when it is heard for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstHeard {
    /// It began to count after who asks: it is.
    Anew,
    /// It counted for another leader before, who judged by it: only what comes from now on is.
    Before,
}

impl ReplicaCounts {
    /// How many sightings were told with these and before.
    pub(crate) fn told(&self) -> u64 {
        let told = self.sightings.iter().map(|run| run.told.len()).sum::<usize>();
        self.told_before + told as u64
    }
}

impl TimedBuckets {
    /// What there is of these.
    pub(crate) fn of(totals: &LatencyTotals) -> Self {
        let counts = totals.buckets.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect();
        Self { counts, sum_us: totals.sum_us }
    }

    fn add_to(&self, totals: &mut LatencyTotals) {
        for (bucket, count) in &self.counts {
            if let Some(sum) = totals.buckets.get_mut(*bucket) {
                *sum = sum.saturating_add(*count);
            }
        }
        totals.sum_us = totals.sum_us.saturating_add(self.sum_us);
    }
}

impl WindowNumbers {
    /// Those of a judge, with a number that stands for it.
    pub(crate) fn of(windows: &Windows, judge: u32) -> Self {
        let Windows { step, failures, lost, latency } = windows;
        let [step, failures, lost, latency] =
            [*step, failures.number, lost.number, latency.number].map(|number| number.wrapping_add(judge));
        Self { step, failures, lost, latency }
    }

    /// As counters are told of them.
    pub(crate) fn windows(self) -> Windows {
        let Self { step, failures, lost, latency } = self;
        let mut windows = Windows::open(std::time::Duration::ZERO);
        windows.step = step;
        (windows.failures.number, windows.lost.number, windows.latency.number) = (failures, lost, latency);
        windows
    }
}

impl FleetCounts {
    /// Takes what a replica has counted. `canary` has the counters of the one that leads, whose users and routes are
    /// those of the fleet; `replica` stands for one that has counted without a break.
    pub(crate) fn take(&mut self, replica: &Arc<str>, said: ReplicaCounts, first: FirstHeard, canary: &CanaryStats) {
        let is_new = !self.replicas.contains_key(replica);
        if is_new {
            self.make_room(replica);
        }
        self.heard += u64::from(is_new);
        let number = self.heard;
        let heard = self
            .replicas
            .entry(Arc::clone(replica))
            .or_insert_with(|| HeardReplica { number, ..HeardReplica::default() });
        let routes = said.route_names.iter().map(|name| {
            let name = RouteName::new(name.as_ref()?.as_bytes())?;
            canary.routes()?.named(name)
        });
        let routes: Vec<Option<RouteNumber>> = routes.collect();
        let is_news = !is_new || first == FirstHeard::Anew;
        // What was told before is told again until it is acknowledged.
        let mut known_already = if is_new { 0 } else { heard.told.saturating_sub(said.told_before) };
        heard.told = heard.told.max(said.told());
        for SightingRun { shares, arm, told } in said.sightings.iter().filter(|_| is_news) {
            for sighting in told {
                if known_already > 0 {
                    known_already -= 1;
                } else if let Some(testimony) = known(*sighting, &routes, canary) {
                    let twice = CountedTwice { shares: *shares, arm: *arm, testimony };
                    *self.twice.entry(twice).or_default() += 1;
                }
            }
        }
        let new = heard.counts.new_since(said.epochs);
        let new_on_routes = heard.counts.new_on_routes_since(said.routes);
        let pairs = heard.pairs.zip(said.pairs).map(|(before, now)| now.since(&before));
        heard.latencies = said.latencies.unwrap_or_else(|| std::mem::take(&mut heard.latencies));
        heard.endpoints = said.endpoints.unwrap_or_else(|| std::mem::take(&mut heard.endpoints));
        (heard.pairs, heard.users) = (said.pairs, said.users);
        if !is_news {
            return;
        }
        self.new_pairs.add(&pairs.unwrap_or_default());
        for EpochTotals { shares, arms } in new {
            self.new.entry(shares).or_default().add(&arms);
        }
        for RouteEpochTotals { shares, routes: counted } in new_on_routes {
            let sums = self.new_on_routes.entry(shares).or_default();
            for (arms, number) in counted.iter().zip(&routes) {
                let Some(number) = number.map(RouteNumber::index) else { continue };
                sums.resize(sums.len().max(number + 1), Default::default());
                sums[number].add(arms);
            }
        }
    }

    /// A counting begins: those of before it of the same replica say no more of users, and the oldest of very many is
    /// let go.
    fn make_room(&mut self, replica: &str) {
        let name = |counting: &str| counting.split(' ').next().map(ToOwned::to_owned);
        let own = name(replica);
        let same = self.replicas.iter_mut().filter(|(counting, _)| name(counting) == own);
        same.for_each(|(_, heard)| heard.users = None);
        if self.replicas.len() >= COUNTINGS_MAX {
            let oldest = self.replicas.iter().min_by_key(|(_, heard)| heard.number).map(|(name, _)| Arc::clone(name));
            oldest.and_then(|oldest| self.replicas.remove(&oldest));
        }
    }

    /// What came since this was asked last, by share.
    pub(crate) fn take_new(&mut self) -> Vec<EpochCounts> {
        for (CountedTwice { shares, arm, testimony }, count) in &mut self.twice {
            let counted = self.new.get_mut(shares).and_then(|arms| arms.get_mut(*arm));
            if let Some(counted) = counted.and_then(|arm| of_arm(arm, *testimony)) {
                take_away(counted, count);
            }
        }
        let new = std::mem::take(&mut self.new);
        new.into_iter().filter_map(|(shares, arms)| epoch_counts(&EpochTotals { shares, arms })).collect()
    }

    /// The same by route.
    pub(crate) fn take_new_on_routes(&mut self) -> Vec<RouteCounts> {
        for (CountedTwice { shares, arm, testimony }, count) in &mut self.twice {
            if let Some(counted) = self.new_on_routes.get_mut(shares).and_then(|of| of_route(of, *arm, *testimony)) {
                take_away(counted, count);
            }
        }
        self.twice.retain(|_, count| *count > 0);
        let new = std::mem::take(&mut self.new_on_routes);
        new.into_iter().flat_map(|(shares, routes)| route_counts(&RouteEpochTotals { shares, routes })).collect()
    }

    /// What came of copies since this was asked last.
    pub(crate) fn take_new_pairs(&mut self) -> PairCounts {
        std::mem::take(&mut self.new_pairs)
    }

    /// The users of a minute on the other replicas, one by one.
    pub(crate) fn users(&self) -> impl Iterator<Item = &ActiveUsers> {
        self.replicas.values().filter_map(|heard| heard.users.as_ref())
    }

    /// Adds how long requests took on the other replicas.
    pub(crate) fn add_latencies(&self, totals: &mut PerVersion<LatencyTotals>) {
        for heard in self.replicas.values() {
            let [candidate, baseline] = &heard.latencies;
            candidate.add_to(&mut totals.candidate);
            baseline.add_to(&mut totals.baseline);
        }
    }

    /// Adds what endpoints have done for the other replicas.
    pub(crate) fn add_endpoints(&self, all: &mut Vec<EndpointCounts>) {
        let mut sums: BTreeMap<SocketAddr, EndpointTotals> = BTreeMap::new();
        for EndpointCounts { address, totals } in self.replicas.values().flat_map(|heard| &heard.endpoints) {
            sums.entry(*address).or_default().add(totals);
        }
        for EndpointCounts { address, totals } in &mut *all {
            totals.add(&sums.remove(address).unwrap_or_default());
        }
        all.extend(sums.into_iter().map(|(address, totals)| EndpointCounts { address, totals }));
    }
}

/// What is said, by the leader's route numbers, if it was known of the user already.
fn known(sighting: Sighting, routes: &[Option<RouteNumber>], canary: &CanaryStats) -> Option<Testimony> {
    let own = |route: RouteNumber| routes.get(route.index()).copied().flatten();
    let testimony = sighting.testimony()?.on_route(own)?;
    (!canary.testify(testimony, sighting.slot())).then_some(testimony)
}

fn take_away(counted: &mut u64, count: &mut u64) {
    let taken = (*counted).min(*count);
    *counted -= taken;
    *count -= taken;
}

/// Where a testimony is counted; none: by route.
fn of_arm(totals: &mut ArmTotals, testimony: Testimony) -> Option<&mut u64> {
    match testimony {
        Testimony::Came => Some(&mut totals.draws),
        Testimony::Failed => Some(&mut totals.counted_failures),
        Testimony::Lost => Some(&mut totals.lost),
        Testimony::Above(threshold) => totals.first_above.get_mut(threshold),
        Testimony::Slow => Some(&mut totals.first_slow),
        Testimony::Class(class) => totals.classes.counted.get_mut(class),
        Testimony::FailedOnRoute(_) | Testimony::AboveOnRoute(..) => None,
    }
}

fn of_route(routes: &mut [[RouteTotals; 2]], arm: usize, testimony: Testimony) -> Option<&mut u64> {
    match testimony {
        Testimony::FailedOnRoute(route) => Some(&mut routes.get_mut(route.index())?.get_mut(arm)?.counted_failures),
        Testimony::AboveOnRoute(route, threshold) => {
            routes.get_mut(route.index())?.get_mut(arm)?.first_above.get_mut(threshold)
        }
        Testimony::Came
        | Testimony::Failed
        | Testimony::Lost
        | Testimony::Above(_)
        | Testimony::Slow
        | Testimony::Class(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::rollout::judge::OutcomeCounts;
    use crate::rollout::judge::quantiles::LatencyCounts;
    use crate::shared::canary_stats::{Arm, CanaryOutcome, CanaryTerms, ResponseSeen};
    use crate::shared::flights::Told;
    use crate::shared::response_counters::ResponseOutcome;

    const SHARES: [u32; 2] = [30_000, 70_000];

    fn canary(tells: bool) -> CanaryStats {
        let mut canary = CanaryStats::new(
            CanaryTerms {
                candidate: "v2".into(),
                baseline: "v1".into(),
                per_key: true,
                slow_us: Some(500),
                failed_calls: 0,
                burst_ticks: 0,
                responses: false,
                except: [].into(),
                routes: true,
                flag: None,
                flags: [].into(),
            },
            1,
        );
        if tells {
            canary.tell();
        }
        canary.compare_with([[100, 200, 300]; 2]);
        canary
    }

    /// Has a page told apart.
    fn know(canary: &CanaryStats, page: &str) {
        for _ in 0..100 {
            let _counted = canary.epoch(SHARES).route(0, page.as_bytes());
        }
        canary.refresh(true, true);
    }

    /// A request of a user to one of two pages.
    fn ask(canary: &CanaryStats, slot: u32, page: &str, failed: bool, micros: u64) {
        let epoch = canary.epoch(SHARES);
        let outcome = CanaryOutcome {
            arm: if slot < SHARES[0] { Arm::Candidate } else { Arm::Baseline },
            slot: Some(slot),
            client: None,
            failed,
            seen: ResponseSeen::Whole,
            timed: true,
            micros,
            response: ResponseOutcome::NONE,
            route: epoch.route(0, page.as_bytes()),
            endpoint: None,
        };
        epoch.count(0, &outcome, Told::default());
    }

    fn counts(canary: &CanaryStats, told: &mut u64) -> ReplicaCounts {
        let sightings = canary.take_sightings();
        let name = |name: RouteName| std::str::from_utf8(name.as_bytes()).ok().map(ToOwned::to_owned);
        let counts = ReplicaCounts {
            epochs: canary.totals(),
            routes: canary.route_totals(),
            route_names: canary.routes().unwrap().names().map(name).collect(),
            told_before: *told,
            sightings,
            ..ReplicaCounts::default()
        };
        *told = counts.told();
        counts
    }

    /// What a judge has been told in all.
    #[derive(Debug, Default, PartialEq)]
    struct ToldInAll {
        outcomes: PerVersion<OutcomeCounts>,
        latencies: PerVersion<LatencyCounts>,
        failed_by_page: BTreeMap<String, PerVersion<u64>>,
    }

    impl ToldInAll {
        fn tell(&mut self, epochs: &[EpochCounts], routes: &[RouteCounts], canary: &CanaryStats) {
            for epoch in epochs {
                // Whether a user had nothing but failures, each replica knows of its own requests.
                self.outcomes.add(&epoch.outcomes.map(|counts| OutcomeCounts { lost: 0, ..counts }));
                self.latencies.add(&epoch.latencies);
            }
            let names: Vec<_> = canary.routes().unwrap().names().map(|name| name.text()).collect();
            for route in routes {
                let sums = self.failed_by_page.entry(names[route.number].clone()).or_default();
                sums.add(&route.outcomes.map(|counts| counts.counted_failures));
            }
        }
    }

    #[test]
    fn what_three_replicas_have_counted_is_what_one_would_have() {
        for seed in 0..30 {
            let random = &mut StdRng::seed_from_u64(seed);
            let (alone, leader) = (canary(false), canary(false));
            let others = [canary(true), canary(true)];
            // Replicas tell pages apart by what they see, in different orders.
            for (canary, pages) in [(&alone, ["/a", "/b"]), (&others[0], ["/b", "/a"]), (&others[1], ["/a", "/b"])] {
                for page in pages {
                    know(canary, page);
                }
            }
            know(&leader, "/a");
            assert!(leader.routes().unwrap().named(RouteName::new(b"/b").unwrap()).is_some());
            let (mut reader, mut one_reader) = (CountsReader::default(), CountsReader::default());
            let (mut fleet, mut told) = (FleetCounts::default(), [0; 2]);
            let (mut all, mut one) = (ToldInAll::default(), ToldInAll::default());
            let names: [Arc<str>; 2] = ["edge-2".into(), "edge-3".into()];
            for _ in 0..40 {
                for _ in 0..random.random_range(0..40) {
                    // Few users, so that most come to several replicas.
                    let slot = random.random_range(0..50) * 2_000;
                    let (failed, micros) = (random.random_bool(0.3), random.random_range(1..1_000));
                    let page = if random.random_bool(0.5) { "/a" } else { "/b" };
                    ask(&alone, slot, page, failed, micros);
                    let replica = [&leader, &others[0], &others[1]][random.random_range(0..3)];
                    ask(replica, slot, page, failed, micros);
                }
                for number in 0..2 {
                    if random.random_bool(0.5) {
                        let said = counts(&others[number], &mut told[number]);
                        fleet.take(&names[number], said, FirstHeard::Anew, &leader);
                    }
                }
                all.tell(&reader.read(&leader), &reader.read_routes(&leader), &leader);
                all.tell(&fleet.take_new(), &fleet.take_new_on_routes(), &leader);
            }
            for number in 0..2 {
                fleet.take(&names[number], counts(&others[number], &mut told[number]), FirstHeard::Anew, &leader);
            }
            all.tell(&fleet.take_new(), &fleet.take_new_on_routes(), &leader);
            all.tell(&reader.read(&leader), &reader.read_routes(&leader), &leader);
            one.tell(&one_reader.read(&alone), &one_reader.read_routes(&alone), &alone);
            assert!(fleet.twice.is_empty(), "seed {seed}: {:?}", fleet.twice);
            assert_eq!(all, one, "seed {seed}");
        }
    }

    #[test]
    fn an_answer_that_is_lost_loses_nothing_and_one_that_comes_twice_adds_nothing() {
        let (leader, other) = (canary(false), canary(true));
        let (mut fleet, name) = (FleetCounts::default(), Arc::<str>::from("edge-2"));
        ask(&other, 7, "/", true, 10);
        let lost = counts(&other, &mut 0);
        ask(&other, 8, "/", true, 10);
        let mut next = counts(&other, &mut 0);
        // Who was new is told again until it is known.
        next.sightings = lost.sightings.into_iter().chain(next.sightings).collect();
        fleet.take(&name, next.clone(), FirstHeard::Anew, &leader);
        fleet.take(&name, next, FirstHeard::Anew, &leader);
        let new = fleet.take_new();
        let found = new[0].outcomes.candidate;
        assert_eq!((found.requests, found.draws, found.counted_failures), (2, 2, 2), "{new:?}");
        assert_eq!(fleet.take_new(), []);
    }

    #[test]
    fn what_was_counted_for_another_leader_is_no_news() {
        let (leader, other) = (canary(false), canary(true));
        let (mut fleet, name, mut told) = (FleetCounts::default(), Arc::<str>::from("edge-2"), 0);
        ask(&other, 7, "/", true, 10);
        fleet.take(&name, counts(&other, &mut told), FirstHeard::Before, &leader);
        assert_eq!(fleet.take_new(), []);
        ask(&other, 8, "/", true, 10);
        fleet.take(&name, counts(&other, &mut told), FirstHeard::Before, &leader);
        let found = fleet.take_new()[0].outcomes.candidate;
        assert_eq!((found.requests, found.counted_failures), (1, 1));
        // The leader's own workers know of the one that its judge was told of.
        ask(&leader, 7, "/", true, 10);
        ask(&leader, 8, "/", true, 10);
        assert_eq!(CountsReader::default().read(&leader)[0].outcomes.candidate.counted_failures, 1);
    }

    #[test]
    fn a_replica_that_is_asked_anew_and_one_that_has_nothing_to_say_for_a_while_count_once() {
        let (leader, other) = (canary(false), canary(true));
        let (mut fleet, name) = (FleetCounts::default(), Arc::<str>::from("edge-2"));
        ask(&leader, 7, "/", true, 10);
        ask(&other, 7, "/", true, 10);
        let first = counts(&other, &mut 0);
        fleet.take(&name, first.clone(), FirstHeard::Anew, &leader);
        assert_eq!(fleet.take_new()[0].outcomes.candidate.counted_failures, 0);
        // What is known was not acknowledged, and comes again before what is new.
        ask(&leader, 8, "/", true, 10);
        ask(&other, 8, "/", true, 10);
        let mut next = counts(&other, &mut 0);
        next.sightings = first.sightings.into_iter().chain(next.sightings).collect();
        fleet.take(&name, ReplicaCounts::default(), FirstHeard::Anew, &leader);
        fleet.take(&name, next, FirstHeard::Anew, &leader);
        let found = fleet.take_new()[0].outcomes.candidate;
        assert_eq!((found.requests, found.draws, found.counted_failures), (1, 0, 0));
    }
}
