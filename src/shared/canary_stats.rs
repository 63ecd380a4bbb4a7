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
//! Requests to an endpoint that is cold are left out. Which endpoints are judged is therefore a list of those that are
//! known to be warm: one that appears between two looks of the control plane is on no list, and left out.

use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use super::canary_clients::{ClientNumber, ClientWatch};
use super::count::Count;
use super::response_counters::{Asker, ClassCounters, ClassTotals, ResponseOutcome, ResponseStats};
use super::slot_set::SlotSet;
use super::user_sets::{UserSets, UserTestimony};

/// Thresholds that latencies are compared with.
pub(crate) const THRESHOLDS: usize = 3;

/// No request takes so long.
const NOTHING_SLOW: u64 = u64::MAX;

/// One of the two versions that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    /// The version under rollout.
    Candidate,
    /// The version that it would replace.
    Baseline,
}

/// What is counted of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryTerms {
    /// The version under rollout.
    pub candidate: Box<str>,
    /// The version that it would replace.
    pub baseline: Box<str>,
    /// Whether users stay on their version, so that one is counted once.
    pub per_key: bool,
    /// Longer than this is slow at first, in microseconds; none: nothing is.
    pub slow_us: Option<u64>,
    /// Statuses of gRPC that are failures, a bit for each.
    pub failed_calls: u32,
    /// How many ticks a tolerated burst can touch: a user who has had nothing but failures for as long is lost.
    pub burst_ticks: u16,
    /// Whether responses are judged besides failing.
    pub responses: bool,
    /// Beginnings of paths whose responses are not asked for.
    pub except: Arc<[Box<str>]>,
}

/// One rollout of one service.
#[derive(Debug)]
pub struct CanaryStats {
    rules: Arc<CanaryRules>,
    workers: usize,
    epochs: Mutex<Vec<Arc<SplitEpoch>>>,
}

/// What all epochs of a rollout have in common.
#[derive(Debug)]
struct CanaryRules {
    terms: CanaryTerms,
    /// By arm; all zero while there are none.
    thresholds: [[AtomicU64; THRESHOLDS]; 2],
    compares: AtomicBool,
    /// Longer than this is slow; [`NOTHING_SLOW`]: nothing is.
    slow_us: AtomicU64,
    /// Numbers of the endpoints whose requests are judged, ascending. Asked only while some are not.
    judged: RwLock<Box<[u32]>>,
    users: UserSets,
    clients: ClientWatch,
    /// Clients whose failure was counted.
    failed_clients: SlotSet,
    /// Clients of which a user was counted as lost.
    lost_clients: SlotSet,
    responses: ResponseStats,
}

/// The counters of one share.
#[derive(Debug)]
pub struct SplitEpoch {
    rules: Arc<CanaryRules>,
    /// Slots of the candidate and of the baseline.
    shares: [u32; 2],
    cells: Box<[OnceLock<Box<EpochCounters>>]>,
}

/// One worker's counters.
#[derive(Debug, Default)]
// Two cache lines: the next one is prefetched in pairs, and a neighbour's writes would take both away.
#[repr(align(128))]
struct EpochCounters([ArmCounters; 2]);

#[derive(Debug, Default)]
struct ArmCounters {
    requests: Count,
    draws: Count,
    failures: Count,
    counted_failures: Count,
    lost: Count,
    by_exceeded: [Count; THRESHOLDS + 1],
    timed: Count,
    slow: Count,
    classes: ClassCounters,
}

/// What became of the judged requests of one version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArmTotals {
    /// All of them.
    pub requests: u64,
    /// What the lot fell on: each user who came for the first time in a step, and each request without a key.
    pub draws: u64,
    /// Those that failed by the upstream's fault.
    pub failures: u64,
    /// Those of the failures that are evidence: the first of each slot in a window.
    pub counted_failures: u64,
    /// Users who were lost, each once in a window.
    pub lost: u64,
    /// Those that are compared, by how many thresholds they exceeded.
    pub by_exceeded: [u64; THRESHOLDS + 1],
    /// Those that were timed.
    pub timed: u64,
    /// Those of them that were slow.
    pub slow: u64,
    /// By what their responses are.
    pub classes: ClassTotals,
}

/// A request whose outcome is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanaryOutcome {
    /// The version that it was assigned to.
    pub arm: Arm,
    /// Its slot of the key space; without one it is a draw of its own.
    pub slot: Option<u32>,
    /// Who sent it, where the lot falls on keys.
    pub client: Option<ClientNumber>,
    /// Whether it failed by the upstream's fault.
    pub failed: bool,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// What the response was besides.
    pub response: ResponseOutcome,
}

/// The sums of all workers under one share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        let (responses, clients) = (ResponseStats::new(workers, terms.per_key), ClientWatch::new(workers));
        let rules = CanaryRules {
            slow_us: AtomicU64::new(terms.slow_us.unwrap_or(NOTHING_SLOW)),
            terms,
            thresholds: Default::default(),
            compares: AtomicBool::new(false),
            judged: RwLock::default(),
            users: UserSets::default(),
            clients,
            failed_clients: SlotSet::default(),
            lost_clients: SlotSet::default(),
            responses,
        };
        Self { rules: Arc::new(rules), workers, epochs: Mutex::default() }
    }

    /// What it counts.
    #[must_use]
    pub fn terms(&self) -> &CanaryTerms {
        &self.rules.terms
    }

    /// The counters for a share, in slots of the candidate and of the baseline: the same ones for the same share.
    #[must_use]
    pub fn epoch(&self, shares: [u32; 2]) -> Arc<SplitEpoch> {
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(epoch) = epochs.iter().find(|epoch| epoch.shares == shares) {
            return Arc::clone(epoch);
        }
        let cells = (0..self.workers).map(|_| OnceLock::new()).collect();
        let epoch = Arc::new(SplitEpoch { rules: Arc::clone(&self.rules), shares, cells });
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
        for (places, values) in self.rules.thresholds.iter().zip(thresholds) {
            for (place, value) in places.iter().zip(values) {
                place.store(value, Relaxed);
            }
        }
        self.rules.compares.store(true, Relaxed);
    }

    /// Takes what is longer than this for slow from now on, in microseconds.
    pub fn slow_above(&self, micros: u64) {
        self.rules.slow_us.store(micros, Relaxed);
    }

    /// Who has said what.
    pub(crate) fn users(&self) -> &UserSets {
        &self.rules.users
    }

    /// Clients whose failure was counted, and those of which a user was counted as lost.
    pub(crate) fn counted_clients(&self) -> [&SlotSet; 2] {
        [&self.rules.failed_clients, &self.rules.lost_clients]
    }

    /// Looks again which addresses are fronts, where versions are `compared` or not, and, if that is not known or
    /// `again`, what the baseline usually sends.
    pub fn refresh(&self, again: bool, compared: bool) {
        let usual = &self.rules.responses.usual;
        if self.rules.terms.responses && (again || !usual.is_known()) {
            usual.refresh();
        }
        if self.rules.terms.per_key {
            self.rules.clients.refresh(compared);
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
        self.rules.terms.per_key.then(|| self.rules.clients.number(address))
    }

    /// Whether the responses to requests for `path` are judged.
    #[must_use]
    pub(crate) fn asks_for(&self, path: &[u8]) -> bool {
        let CanaryTerms { responses, except, .. } = &self.rules.terms;
        *responses && !except.iter().any(|prefix| path.starts_with(prefix.as_bytes()))
    }

    /// Counts a request whose outcome is known.
    pub fn count(&self, worker: usize, sample: &CanaryOutcome) {
        let CanaryOutcome { arm, slot, client, failed, micros, response } = *sample;
        let rules = &*self.rules;
        let slot = slot.filter(|_| rules.terms.per_key);
        let asker = slot.map(|slot| {
            let client = client.inspect(|client| rules.clients.count(worker, *client, arm as usize));
            Asker { slot, client: client.filter(|client| !rules.clients.is_front(*client)) }
        });
        let cell = &self.cells[worker].get_or_init(Box::default).0[arm as usize];
        let by_itself = UserTestimony { came: true, failed, lost: false };
        let said = slot.map_or(by_itself, |slot| rules.users.note(slot, failed, rules.terms.burst_ticks));
        cell.requests.add(1);
        cell.draws.add(u64::from(said.came));
        if failed {
            cell.failures.add(1);
            let client = asker.and_then(|asker| asker.client);
            let is_first = |set: &SlotSet| client.is_none_or(|client| set.first(client.place(0)));
            cell.counted_failures.add(u64::from(said.failed && is_first(&rules.failed_clients)));
            cell.lost.add(u64::from(said.lost && is_first(&rules.lost_clients)));
        }
        rules.responses.count(&cell.classes, &response, asker);
        if arm == Arm::Baseline {
            rules.responses.learn(worker, &response);
        }
        let compares = rules.compares.load(Relaxed);
        let slow_us = rules.slow_us.load(Relaxed);
        if !compares && slow_us == NOTHING_SLOW || slot.is_some_and(|slot| !rules.users.timed.first(slot)) {
            return;
        }
        if compares {
            let thresholds = &rules.thresholds[arm as usize];
            let exceeded = thresholds.iter().filter(|threshold| micros > threshold.load(Relaxed)).count();
            cell.by_exceeded[exceeded].add(1);
        }
        cell.timed.add(1);
        if micros > slow_us {
            cell.slow.add(1);
        }
    }

    fn totals(&self) -> EpochTotals {
        let mut arms = [ArmTotals::default(); 2];
        for cell in self.cells.iter().filter_map(OnceLock::get) {
            for (totals, counts) in arms.iter_mut().zip(&cell.0) {
                totals.add(counts);
            }
        }
        EpochTotals { shares: self.shares, arms }
    }
}

impl ArmTotals {
    fn add(&mut self, counts: &ArmCounters) {
        self.requests += counts.requests.value();
        self.draws += counts.draws.value();
        self.lost += counts.lost.value();
        self.failures += counts.failures.value();
        self.counted_failures += counts.counted_failures.value();
        for (total, count) in self.by_exceeded.iter_mut().zip(&counts.by_exceeded) {
            *total += count.value();
        }
        self.timed += counts.timed.value();
        self.slow += counts.slow.value();
        self.classes.add(&counts.classes);
    }

    /// What was counted since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            draws: self.draws.saturating_sub(earlier.draws),
            lost: self.lost.saturating_sub(earlier.lost),
            failures: self.failures.saturating_sub(earlier.failures),
            counted_failures: self.counted_failures.saturating_sub(earlier.counted_failures),
            by_exceeded: std::array::from_fn(|i| self.by_exceeded[i].saturating_sub(earlier.by_exceeded[i])),
            timed: self.timed.saturating_sub(earlier.timed),
            slow: self.slow.saturating_sub(earlier.slow),
            classes: self.classes.since(&earlier.classes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Arm::{Baseline, Candidate};
    use super::*;
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
            },
            2,
        )
    }

    fn sample(arm: Arm, slot: Option<u32>, failed: bool, micros: u64) -> CanaryOutcome {
        CanaryOutcome { arm, slot, client: None, failed, micros, response: ResponseOutcome::NONE }
    }

    #[test]
    fn outcomes_count_under_the_share_that_assigned_them() {
        let canary = canary(false, None);
        let (first, second) = (canary.epoch([1_000, 99_000]), canary.epoch([10_000, 90_000]));
        second.count(0, &sample(Baseline, None, false, 5));
        first.count(0, &sample(Candidate, None, true, 5));
        first.count(1, &sample(Candidate, Some(7), true, 5));
        canary.epoch([1_000, 99_000]).count(1, &sample(Candidate, Some(7), true, 5));
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
            epoch.count(0, &sample(Candidate, slot, true, 200));
        }
        let counted = canary.totals()[0].arms[0];
        assert_eq!((counted.requests, counted.draws, counted.failures, counted.counted_failures), (5, 4, 5, 4));
        assert_eq!((counted.timed, counted.slow, counted.by_exceeded), (4, 4, [0; 4]));
        let again = |sets: &[&SlotSet]| {
            sets.iter().for_each(|set| set.clear());
            let before = canary.totals()[0].arms[0];
            epoch.count(0, &sample(Candidate, Some(3), true, 200));
            let again = canary.totals()[0].arms[0].since(&before);
            (again.draws, again.counted_failures, again.lost, again.timed)
        };
        let users = canary.users();
        assert_eq!(again(&[&users.timed]), (0, 0, 0, 1));
        assert_eq!(again(&[&users.failed, &users.came]), (1, 1, 0, 0));
        assert_eq!([again(&[]), again(&[]), again(&[])], [(0, 0, 0, 0); 3]);
        assert_eq!(again(&[]), (0, 0, 1, 0), "eight failures in a row");
        assert_eq!([again(&[]), again(&[&users.lost])], [(0, 0, 0, 0), (0, 0, 1, 0)]);
    }

    #[test]
    fn latencies_are_compared_with_their_own_side() {
        let canary = canary(false, None);
        let epoch = canary.epoch([50_000, 50_000]);
        epoch.count(0, &sample(Candidate, None, false, 1_000));
        canary.compare_with([[12, 24, 36], [10, 20, 30]]);
        for micros in [11, 12, 13, 37] {
            epoch.count(0, &sample(Candidate, None, false, micros));
            epoch.count(1, &sample(Baseline, None, false, micros));
        }
        let [candidate, baseline] = canary.totals()[0].arms;
        assert_eq!((candidate.by_exceeded, candidate.requests), ([2, 1, 0, 1], 5));
        assert_eq!(baseline.by_exceeded, [0, 3, 0, 1]);
    }

    #[test]
    fn what_is_slow_may_be_said_later() {
        let canary = canary(false, None);
        let epoch = canary.epoch([100_000, 0]);
        epoch.count(0, &sample(Candidate, None, false, 1_000));
        canary.slow_above(999);
        [999, 1_000].into_iter().for_each(|micros| epoch.count(0, &sample(Candidate, None, false, micros)));
        let counted = canary.totals()[0].arms[0];
        assert_eq!((counted.requests, counted.timed, counted.slow), (3, 2, 1));
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
