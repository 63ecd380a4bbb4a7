//! The counters on which a release is judged: first attempts by version, stamped with the split that assigned them.
//!
//! A request holds on to the table that routed it, and the table to an [`SplitEpoch`]: the counters of one share of
//! the two versions. So a request that ends long after a shift is still counted under the odds that its lot was drawn
//! with, and nothing has to be stamped on it. What all epochs of a rollout have in common is in the [`CanaryStats`].
//!
//! The lot falls on slots of the key space, not on requests: all users of a slot, however often they come, are one
//! draw. Who was counted already is therefore a bit for each slot; it is never full, and a user cannot choose whom he
//! is taken for. Reading such a bit is what most requests do; the shared cache line is written once for each slot.
//!
//! What is overdue has exceeded a threshold already, and is counted when a [sweep](CanaryStats::sweep) finds it in
//! flight, not when it ends.
//!
//! Requests to an endpoint that is cold are left out. Which endpoints are judged is therefore a list of those that are
//! known to be warm: one that appears between two looks of the control plane is on no list, and left out.

use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use super::additive::Counters;
pub(crate) use super::arm_counters::ArmTotals;
use super::arm_counters::EpochCounters;
use super::arm_latencies::ArmLatencies;
use super::canary_clients::{ClientNumber, ClientWatch};
pub(crate) use super::canary_outcome::{Arm, CanaryBegun, CanaryOutcome, ResponseSeen};
pub(crate) use super::canary_terms::{CanaryTerms, FlagTerms};
use super::endpoint_tallies::EndpointTallies;
use super::flights::{Flight, Flights, Requester, Told};
use super::latency_thresholds::LatencyThresholds;
use super::response_counters::{Asker, ResponseStats};
use super::route_stats::{RouteCounters, RouteOutcome, RouteStats, RouteTally};
use super::threshold_count::THRESHOLDS;
use super::trial::{RolloutTrials, Trial};
use super::user_sets::{ClientSets, UserSets};

/// One rollout of one service.
#[derive(Debug)]
pub struct CanaryStats {
    pub(super) rules: Arc<CanaryRules>,
    workers: usize,
    pub(super) epochs: Mutex<Vec<Arc<SplitEpoch>>>,
    /// What users are counted for, if the rollout has guardrails.
    trials: Option<RolloutTrials>,
}

/// What all epochs of a rollout have in common.
#[derive(Debug)]
pub(super) struct CanaryRules {
    pub(super) terms: CanaryTerms,
    pub(super) thresholds: LatencyThresholds,
    /// Numbers of the endpoints whose requests are judged, ascending. Asked only while some are not.
    judged: RwLock<Box<[u32]>>,
    pub(super) users: UserSets,
    pub(super) clients: ClientSets,
    pub(super) busiest: ClientWatch,
    pub(super) responses: ResponseStats,
    pub(super) endpoints: EndpointTallies,
    pub(super) routes: Option<RouteStats>,
    /// Of variants of a flag, which have no counters of their own as versions have.
    latencies: Option<ArmLatencies>,
    /// Whether the rollout has ended: tables that were made before still have it.
    pub(super) over: AtomicBool,
    /// Whether it has ended with everything on the candidate.
    pub(super) replaced: AtomicBool,
    /// Whether another replica is told who has testified here.
    pub(super) tells: bool,
}

/// The counters of one share.
#[derive(Debug)]
pub struct SplitEpoch {
    pub(super) rules: Arc<CanaryRules>,
    /// What its users are counted for, if they are.
    pub(crate) trial: Option<Arc<Trial>>,
    /// Slots of the candidate and of the baseline.
    pub(super) shares: [u32; 2],
    pub(super) cells: Box<[OnceLock<Box<EpochCounters>>]>,
    /// By worker.
    flights: Box<[OnceLock<Flights>]>,
    /// What sweeps have counted.
    pub(super) swept: EpochCounters,
    /// By route, where those are judged: by worker, and the last of sweeps.
    pub(super) routes: Box<[OnceLock<Box<[RouteCounters; 2]>>]>,
}

/// The sums of all workers under one share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EpochTotals {
    /// Slots of the candidate and of the baseline.
    pub shares: [u32; 2],
    /// The candidate's and the baseline's requests.
    pub arms: [ArmTotals; 2],
}

impl CanaryStats {
    /// Counters that begin now, for this number of workers. No endpoint is judged yet, and nothing is timed before it
    /// has thresholds.
    #[must_use]
    pub fn new(terms: CanaryTerms, workers: usize) -> Self {
        let rules = CanaryRules {
            thresholds: LatencyThresholds::new(terms.slow_us),
            judged: RwLock::default(),
            users: UserSets::default(),
            clients: ClientSets::default(),
            busiest: ClientWatch::new(workers),
            responses: ResponseStats::new(workers, terms.per_key),
            endpoints: EndpointTallies::new(workers),
            routes: terms.routes.then(|| RouteStats::new(workers, terms.per_key)),
            latencies: terms.flag.as_ref().map(|_| ArmLatencies::new(workers)),
            over: AtomicBool::new(false),
            replaced: AtomicBool::new(false),
            tells: false,
            terms,
        };
        Self { rules: Arc::new(rules), workers, epochs: Mutex::default(), trials: None }
    }

    /// Has users counted too, a trial for each share.
    pub(crate) fn count_users(&mut self, trials: Option<RolloutTrials>) {
        self.trials = trials;
    }

    /// What it counts.
    #[must_use]
    pub fn terms(&self) -> &CanaryTerms {
        &self.rules.terms
    }

    /// The latencies of both sides, where they are counted here.
    #[must_use]
    pub(crate) fn latencies(&self) -> Option<&ArmLatencies> {
        self.rules.latencies.as_ref()
    }

    /// The counters for a share, in slots of the candidate and of the baseline: the same ones for the same share.
    #[must_use]
    pub fn epoch(&self, shares: [u32; 2]) -> Arc<SplitEpoch> {
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(epoch) = epochs.iter().find(|epoch| epoch.shares == shares) {
            return Arc::clone(epoch);
        }
        let cells = (0..self.workers).map(|_| OnceLock::new()).collect();
        let flights = (0..self.workers).map(|_| OnceLock::new()).collect();
        let (rules, swept) = (Arc::clone(&self.rules), EpochCounters::default());
        let routes = self.rules.routes.iter().flat_map(|_| (0..=self.workers).map(|_| OnceLock::new())).collect();
        let trial = self.trials.as_ref().and_then(|trials| trials.at(shares)).map(Arc::new);
        let epoch = Arc::new(SplitEpoch { rules, trial, shares, cells, flights, swept, routes });
        epochs.push(Arc::clone(&epoch));
        epoch
    }

    /// What was counted so far, by share.
    #[must_use]
    pub fn totals(&self) -> Vec<EpochTotals> {
        let epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        epochs.iter().map(|epoch| epoch.totals()).collect()
    }

    /// Compares latencies with these from now on, in microseconds, ascending: the candidate's and the baseline's.
    pub fn compare_with(&self, thresholds: [[u64; THRESHOLDS]; 2]) {
        self.rules.thresholds.compare_with(thresholds);
    }

    /// Takes what is longer than this for slow from now on, in microseconds.
    pub fn slow_above(&self, micros: u64) {
        self.rules.thresholds.slow_above(micros);
    }

    /// Counts what is in flight and has exceeded a threshold by now, on the clock of the process. For one caller at a
    /// time.
    pub(crate) fn sweep(&self, now_ms: u64) {
        let epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        epochs.iter().for_each(|epoch| epoch.sweep(now_ms));
    }

    /// Who has said what.
    pub(crate) fn users(&self) -> &UserSets {
        &self.rules.users
    }

    /// What clients have said.
    pub(crate) fn clients(&self) -> &ClientSets {
        &self.rules.clients
    }

    /// Looks again which addresses are fronts, where versions are `compared` or not, and, if that is not known or
    /// `again`, what the baseline usually sends; if `again`, which routes are busy.
    pub fn refresh(&self, again: bool, compared: bool) {
        let usual = &self.rules.responses.usual;
        if self.rules.terms.responses && (again || !usual.is_known()) {
            usual.refresh();
        }
        if self.rules.terms.per_key {
            self.rules.busiest.refresh(compared);
        }
        if let Some(routes) = self.rules.routes.as_ref().filter(|_| again) {
            routes.refresh();
        }
    }

    /// Judges the requests that go to these endpoints from now on, by their
    /// [numbers](crate::stats::EndpointStats::id), and no others.
    pub fn judge(&self, endpoints: impl IntoIterator<Item = u32>) {
        let mut judged: Box<[u32]> = endpoints.into_iter().collect();
        judged.sort_unstable();
        *self.rules.judged.write().unwrap_or_else(PoisonError::into_inner) = judged;
    }
}

impl SplitEpoch {
    /// Whether both versions get requests.
    pub(crate) fn compares(&self) -> bool {
        self.shares.iter().all(|slots| *slots > 0)
    }

    /// Whether requests that go to the endpoint with this number now are judged.
    #[must_use]
    pub fn judges(&self, endpoint: u32) -> bool {
        self.rules.judged.read().unwrap_or_else(PoisonError::into_inner).binary_search(&endpoint).is_ok()
    }

    /// Whether a status of gRPC is a failure.
    #[must_use]
    pub fn is_failed_call(&self, status: u32) -> bool {
        status < u32::BITS && self.rules.terms.failed_calls & (1 << status) != 0
    }

    /// What stands for a client that came with a key, if the lot falls on those.
    #[must_use]
    pub(crate) fn client(&self, address: IpAddr) -> Option<ClientNumber> {
        self.rules.terms.per_key.then(|| self.rules.busiest.number(address))
    }

    /// Whether the responses to requests for `path` are judged.
    #[must_use]
    pub(crate) fn asks_for(&self, path: &[u8]) -> bool {
        let CanaryTerms { responses, except, .. } = &self.rules.terms;
        *responses && !except.iter().any(|prefix| path.starts_with(prefix.as_bytes()))
    }

    /// Notes that a request is in flight, so that it is known when it is overdue. Returns its place.
    pub(crate) fn begin(&self, worker: usize, begun: &CanaryBegun) -> Option<u16> {
        let CanaryBegun { arm, asker, route, begun_ms } = *begun;
        let rules = &*self.rules;
        if !rules.thresholds.compares() && !rules.thresholds.asks_for_slow() {
            return None;
        }
        let from = Requester::of(rules.draw(asker));
        let flight = Flight { begun_ms, arm: arm as usize, from, route, told: Told::default() };
        self.flights[worker].get_or_init(Flights::default).begin(&flight)
    }

    /// Strikes out the request at a place.
    pub(crate) fn end(&self, worker: usize, place: u16) -> Told {
        self.flights[worker].get().map_or_else(Told::default, |flights| flights.end(place))
    }

    /// Counts a request whose outcome is known, and of which this was counted while it was in flight.
    pub(crate) fn count(&self, worker: usize, sample: &CanaryOutcome, told: Told) {
        let CanaryOutcome { arm, slot, client, failed, seen, timed, micros, response, route, .. } = *sample;
        let rules = &*self.rules;
        let asker = rules.draw(slot.map(|slot| Asker { slot, client }));
        if let Some(client) = client.filter(|_| asker.is_some()) {
            rules.busiest.count(worker, client, arm as usize);
        }
        let tally = self.cells[worker].get_or_init(Box::default).tally(arm as usize, rules.tells);
        let cell = tally.counters;
        let from = Requester::of(asker);
        if failed || seen != ResponseSeen::Nothing {
            rules.count_outcome(tally, from, failed);
            rules.responses.count(&cell.classes, &response, asker, tally.teller);
            if arm == Arm::Baseline {
                rules.responses.learn(worker, &response);
            }
        }
        let whole = timed && (failed || seen == ResponseSeen::Whole);
        rules.count_endpoint(worker, sample, whole);
        if let (Some(routes), Some(route)) = (&rules.routes, route) {
            let counters = self.routes[worker].get_or_init(Box::default);
            let outcome = RouteOutcome {
                route,
                arm: arm as usize,
                is_baseline: arm == Arm::Baseline,
                failed,
                is_known: failed || seen != ResponseSeen::Nothing,
                is_whole: whole,
                // Above nothing.
                micros: if timed { micros } else { 0 },
                told: told.exceeded_of_route,
            };
            let counted = RouteTally { counters: &counters[arm as usize], teller: tally.teller };
            routes.count(worker, counted, &outcome, from);
        }
        if !timed {
            return;
        }
        if let Some(latencies) = rules.latencies.as_ref().filter(|_| whole) {
            latencies.record(worker, arm, micros);
        }
        let found = rules.thresholds.exceeded(arm as usize, micros);
        if rules.thresholds.compares() && told.exceeded == 0 && whole {
            cell.by_exceeded[found.exceeded].add(1);
            rules.count_above(tally, from, 0..found.exceeded);
        } else {
            // One that was found above a threshold before its end says nothing of those that it stays below: what is
            // left out so was left out on both sides.
            rules.count_overdue(tally, from, told.exceeded..found.exceeded);
        }
        if !rules.thresholds.asks_for_slow() || told.slow {
            return;
        }
        if found.slow {
            rules.count_slow(tally, from);
        } else if whole {
            cell.timed.add(1);
        }
    }

    fn sweep(&self, now_ms: u64) {
        let rules = &*self.rules;
        let by_route = rules.routes.as_ref().zip(self.routes.last());
        let told = |flight: &Flight| {
            let micros = flight.age_ms(now_ms) * 1_000;
            let exceeded_of_route = by_route.map_or(0, |(routes, _)| routes.exceeded(flight, micros));
            Told { exceeded_of_route, ..rules.thresholds.exceeded(flight.arm, micros) }
        };
        for flights in self.flights.iter().filter_map(OnceLock::get) {
            flights.sweep(told, |flight, now| {
                let tally = self.swept.tally(flight.arm, rules.tells);
                rules.count_overdue(tally, flight.from, flight.told.exceeded..now.exceeded);
                if let Some((routes, swept)) = by_route.filter(|_| now.exceeded_of_route > 0) {
                    let counters = &swept.get_or_init(Box::default)[flight.arm];
                    let counted = RouteTally { counters, teller: tally.teller };
                    routes.count_overdue(counted, flight, flight.told.exceeded_of_route..now.exceeded_of_route);
                }
                if now.slow && !flight.told.slow {
                    rules.count_slow(tally, flight.from);
                }
            });
        }
    }

    fn totals(&self) -> EpochTotals {
        let mut arms = [ArmTotals::default(); 2];
        let cells = self.cells.iter().filter_map(OnceLock::get).map(|cell| &**cell);
        for cell in cells.chain([&self.swept]) {
            for (totals, counts) in arms.iter_mut().zip(&cell.arms) {
                counts.add_to(totals);
            }
        }
        EpochTotals { shares: self.shares, arms }
    }
}

#[cfg(test)]
mod tests {
    use super::Arm::{Baseline, Candidate};
    use super::*;
    use crate::shared::additive::Additive;
    use crate::shared::response_class::ObservedResponse;
    use crate::shared::response_counters::ResponseOutcome;
    use crate::shared::slot_set::SlotSet;

    fn canary(per_key: bool, slow_us: Option<u64>) -> CanaryStats {
        CanaryStats::new(
            CanaryTerms {
                candidate: "v2".into(),
                baseline: "v1".into(),
                per_key,
                slow_us,
                failed_calls: 1 << 13,
                burst_ticks: 0,
                responses: true,
                except: ["/beta".into()].into(),
                routes: false,
                flag: None,
                flags: [].into(),
            },
            2,
        )
    }

    fn sample(arm: Arm, slot: Option<u32>, failed: bool, micros: u64) -> CanaryOutcome {
        let seen = ResponseSeen::Whole;
        let (client, response) = (None, ResponseOutcome::NONE);
        CanaryOutcome { arm, slot, client, failed, seen, timed: true, micros, response, route: None, endpoint: None }
    }

    #[test]
    fn outcomes_count_under_the_share_that_assigned_them() {
        let canary = canary(false, None);
        let (first, second) = (canary.epoch([1_000, 99_000]), canary.epoch([10_000, 90_000]));
        second.count(0, &sample(Baseline, None, false, 5), Told::default());
        first.count(0, &sample(Candidate, None, true, 5), Told::default());
        first.count(1, &sample(Candidate, Some(7), true, 5), Told::default());
        canary.epoch([1_000, 99_000]).count(1, &sample(Candidate, Some(7), true, 5), Told::default());
        let totals = canary.totals();
        assert_eq!(totals.len(), 2, "{totals:?}");
        let ArmTotals { requests, failures, counted_failures, timed, .. } = totals[0].arms[0];
        assert_eq!((requests, failures, counted_failures, timed), (3, 3, 3, 0), "no key counts by itself");
        assert_eq!((totals[1].shares, totals[1].arms[1].requests), ([10_000, 90_000], 1));
    }

    #[test]
    fn a_slot_is_one_draw() {
        let canary = canary(true, Some(100));
        let epoch = canary.epoch([50_000, 50_000]);
        for slot in [Some(3), Some(3), Some(99_999), None, None] {
            epoch.count(0, &sample(Candidate, slot, true, 200), Told::default());
        }
        let counted = canary.totals()[0].arms[0];
        assert_eq!((counted.requests, counted.draws, counted.failures, counted.counted_failures), (5, 4, 5, 4));
        assert_eq!((counted.timed, counted.slow, counted.first_slow, counted.by_exceeded), (5, 5, 4, [0; 4]));
        let again = |sets: &[&SlotSet]| {
            sets.iter().for_each(|set| set.clear());
            let before = canary.totals()[0].arms[0];
            epoch.count(0, &sample(Candidate, Some(3), true, 200), Told::default());
            let again = canary.totals()[0].arms[0].since(&before);
            (again.draws, again.counted_failures, again.lost, again.first_slow)
        };
        let users = canary.users();
        assert_eq!(again(&[&users.latency.slow]), (0, 0, 0, 1));
        assert_eq!(again(&[&users.failed, &users.came]), (1, 1, 0, 0));
        assert_eq!([again(&[]), again(&[]), again(&[])], [(0, 0, 0, 0); 3]);
        assert_eq!(again(&[]), (0, 0, 1, 0), "eight failures in a row");
        assert_eq!([again(&[]), again(&[&users.lost])], [(0, 0, 0, 0), (0, 0, 1, 0)]);
    }

    #[test]
    fn latencies_are_compared_with_their_own_side() {
        let canary = canary(false, None);
        let epoch = canary.epoch([50_000, 50_000]);
        epoch.count(0, &sample(Candidate, None, false, 1_000), Told::default());
        canary.compare_with([[12, 24, 36], [10, 20, 30]]);
        for micros in [11, 12, 13, 37] {
            epoch.count(0, &sample(Candidate, None, false, micros), Told::default());
            epoch.count(1, &sample(Baseline, None, false, micros), Told::default());
        }
        let [candidate, baseline] = canary.totals()[0].arms;
        assert_eq!((candidate.by_exceeded, candidate.requests), ([2, 1, 0, 1], 5));
        assert_eq!(baseline.by_exceeded, [0, 3, 0, 1]);
    }

    #[test]
    fn one_whose_time_says_nothing_counts_in_all_other_ways() {
        let canary = canary(false, Some(100));
        let epoch = canary.epoch([50_000, 50_000]);
        canary.compare_with([[10, 20, 30]; 2]);
        epoch.count(0, &CanaryOutcome { timed: false, ..sample(Candidate, None, true, 200) }, Told::default());
        let counted = canary.totals()[0].arms[0];
        assert_eq!((counted.requests, counted.counted_failures), (1, 1));
        assert_eq!((counted.by_exceeded, counted.first_above, counted.timed, counted.slow), ([0; 4], [0; 3], 0, 0));
    }

    #[test]
    fn what_is_slow_may_be_said_later() {
        let canary = canary(false, None);
        let epoch = canary.epoch([100_000, 0]);
        epoch.count(0, &sample(Candidate, None, false, 1_000), Told::default());
        canary.slow_above(999);
        [999, 1_000]
            .into_iter()
            .for_each(|micros| epoch.count(0, &sample(Candidate, None, false, micros), Told::default()));
        let counted = canary.totals()[0].arms[0];
        assert_eq!((counted.requests, counted.timed, counted.slow), (3, 2, 1));
    }

    #[test]
    fn a_user_exceeds_each_threshold_once_in_a_window_and_so_does_a_client() {
        let canary = canary(true, None);
        let epoch = canary.epoch([50_000, 50_000]);
        canary.compare_with([[10, 20, 30]; 2]);
        for micros in [5, 15, 15, 35, 5] {
            epoch.count(0, &sample(Candidate, Some(3), false, micros), Told::default());
        }
        let counted = canary.totals()[0].arms[0];
        assert_eq!((counted.by_exceeded, counted.first_above), ([2, 2, 0, 1], [1, 1, 1]), "not the first request");
        canary.users().latency.exceeded[0].clear();
        epoch.count(0, &sample(Candidate, Some(3), false, 25), Told::default());
        assert_eq!(canary.totals()[0].arms[0].first_above, [2, 1, 1]);
        let client = epoch.client([10, 0, 0, 1].into());
        for slot in 100..200 {
            epoch.count(0, &CanaryOutcome { client, ..sample(Candidate, Some(slot), false, 25) }, Told::default());
        }
        assert_eq!(canary.totals()[0].arms[0].first_above, [3, 2, 1], "one address with many keys");
        epoch.count(0, &sample(Candidate, Some(150), false, 25), Told::default());
        assert_eq!(canary.totals()[0].arms[0].first_above, [4, 3, 1], "it has used up no other user");
    }

    #[test]
    fn what_is_overdue_has_exceeded_and_counts_once() {
        let canary = canary(false, Some(700_000));
        let epoch = canary.epoch([50_000, 50_000]);
        canary.compare_with([[10_000, 300_000, 1_000_000]; 2]);
        let begun_ms = 77_000;
        let begun = CanaryBegun { arm: Candidate, asker: None, route: None, begun_ms };
        let place = epoch.begin(1, &begun).unwrap();
        let sweep = |ms| canary.sweep(begun_ms + ms);
        sweep(9);
        let found = || {
            let counts = canary.totals()[0].arms[0];
            (counts.overdue, counts.first_above, [counts.requests, counts.slow, counts.timed])
        };
        assert_eq!(found(), ([0; 3], [0; 3], [0; 3]));
        [250, 500, 700].into_iter().for_each(sweep);
        assert_eq!(found(), ([1, 1, 0], [1, 1, 0], [0; 3]), "before it has ended");
        sweep(702);
        assert_eq!(found(), ([1, 1, 0], [1, 1, 0], [0, 1, 1]), "it is slow");
        let told = epoch.end(1, place);
        epoch.count(1, &sample(Candidate, None, false, 720_000), told);
        let counts = canary.totals()[0].arms[0];
        assert_eq!((found(), counts.by_exceeded), (([1, 1, 0], [1, 1, 0], [1, 1, 1]), [0; 4]), "it says no more");
        sweep(9_000);
        assert_eq!(canary.totals()[0].arms[0], counts, "nor after its end");
    }

    #[test]
    fn what_is_overdue_counts_under_the_share_that_assigned_it_and_for_its_user_and_client() {
        let canary = canary(true, None);
        let (first, second) = (canary.epoch([1_000, 99_000]), canary.epoch([50_000, 50_000]));
        canary.compare_with([[10_000; 3]; 2]);
        let (begun_ms, client) = (77_000, first.client([10, 0, 0, 1].into()));
        let begun = |slot| CanaryBegun { arm: Baseline, asker: Some(Asker { slot, client }), route: None, begun_ms };
        let places = [first.begin(0, &begun(5)), first.begin(1, &begun(7))];
        assert_eq!(places, [Some(0), Some(0)], "a list for each worker");
        canary.sweep(begun_ms + 1_000);
        let [first, second] = [first.totals().arms[1], second.totals().arms[1]];
        assert_eq!((first.overdue, first.first_above, second), ([2; 3], [1; 3], ArmTotals::default()));
    }

    #[test]
    fn what_is_overdue_on_a_route_has_exceeded_its_thresholds_and_counts_once() {
        let terms = CanaryTerms { routes: true, ..canary(false, None).terms().clone() };
        let canary = CanaryStats::new(terms, 2);
        let epoch = canary.epoch([50_000, 50_000]);
        (0..100).for_each(|_| assert_eq!(epoch.route(0, b"/hangs"), None));
        canary.refresh(true, true);
        let route = epoch.route(0, b"/hangs");
        assert!(route.is_some());
        canary.compare_with([[10_000, 5_000_000, 6_000_000]; 2]);
        canary.routes().unwrap().compare_with(0, [[300_000, 400_000, 2_000_000]; 2]);
        let begun = CanaryBegun { arm: Candidate, asker: None, route, begun_ms: 77_000 };
        let place = epoch.begin(1, &begun).unwrap();
        let found = || {
            let totals = canary.route_totals()[0].routes[0][0];
            (totals.overdue, totals.first_above, totals.requests)
        };
        canary.sweep(77_250);
        assert_eq!(found(), ([0; 3], [0; 3], 0));
        [77_500, 77_750].into_iter().for_each(|ms| canary.sweep(ms));
        assert_eq!(found(), ([1, 1, 0], [1, 1, 0], 0), "before it has ended");
        let told = epoch.end(1, place);
        epoch.count(1, &CanaryOutcome { route, ..sample(Candidate, None, false, 2_500_000) }, told);
        assert_eq!(found(), ([1, 1, 1], [1, 1, 1], 1), "it ended above the last one");
        assert_eq!(canary.route_totals()[0].routes[0][0].by_exceeded, [0; 4], "it says no more");
    }

    #[test]
    fn a_client_that_leaves_says_what_it_has_waited_for() {
        let canary = canary(false, None);
        let epoch = canary.epoch([50_000, 50_000]);
        canary.compare_with([[10, 20, 30]; 2]);
        let left = |seen, micros| {
            epoch.count(0, &CanaryOutcome { seen, ..sample(Baseline, None, false, micros) }, Told::default());
            let counts = canary.totals()[0].arms[1];
            (counts.requests, counts.by_exceeded, counts.overdue)
        };
        assert_eq!(left(ResponseSeen::Nothing, 5), (0, [0; 4], [0; 3]), "nothing is known");
        assert_eq!(left(ResponseSeen::Nothing, 40), (0, [0; 4], [1; 3]), "overdue, and no success");
        assert_eq!(left(ResponseSeen::Head, 15), (1, [0; 4], [2, 1, 1]));
    }

    #[test]
    fn an_address_with_ten_thousand_keys_says_as_much_as_one_user_and_silences_no_other() {
        let canary = canary(true, Some(30));
        let epoch = canary.epoch([50_000, 50_000]);
        canary.compare_with([[10, 20, 30]; 2]);
        let client = epoch.client([10, 0, 0, 1].into());
        for slot in 0..10_000 {
            let failed = slot % 2 == 0;
            let observed = (!failed).then_some(ObservedResponse { status: 404, media_type: 0, length: Some(0) });
            let response = ResponseOutcome { is_asked: true, has_body: true, observed };
            let outcome = CanaryOutcome { client, response, ..sample(Candidate, Some(slot), failed, 40) };
            epoch.count(0, &outcome, Told::default());
        }
        let found = canary.totals()[0].arms[0];
        let said = [found.draws, found.counted_failures, found.lost, found.first_slow];
        assert_eq!((said, found.first_above), ([1, 1, 0, 1], [1; 3]), "{found:?}");
        assert!(found.classes.counted.iter().all(|counted| *counted <= 1), "{:?}", found.classes);
        assert_eq!((found.requests, found.failures), (10_000, 5_000), "what is printed is all of them");
        for slot in 1_000..1_100 {
            let client = epoch.client([192, 168, 0, u8::try_from(slot - 1_000).unwrap()].into());
            epoch.count(0, &CanaryOutcome { client, ..sample(Candidate, Some(slot), true, 40) }, Told::default());
        }
        let honest = canary.totals()[0].arms[0].since(&found);
        // Some places of addresses are shared.
        let said = [honest.draws, honest.counted_failures, honest.first_slow, honest.first_above[2]];
        assert!(said.iter().all(|count| *count > 95), "{honest:?}");
    }

    #[test]
    fn only_listed_endpoints_are_judged() {
        let canary = canary(false, None);
        let epoch = canary.epoch([1, 99_999]);
        assert!(epoch.is_failed_call(13) && !epoch.is_failed_call(0) && !epoch.is_failed_call(99));
        assert!(!epoch.judges(7), "nothing is known yet");
        canary.judge([9, 7]);
        assert_eq!([7, 8, 9].map(|endpoint| epoch.judges(endpoint)), [true, false, true]);
        canary.judge([8]);
        assert_eq!([7, 8, 9].map(|endpoint| epoch.judges(endpoint)), [false, true, false]);
    }
}
