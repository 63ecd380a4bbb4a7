//! What a mirror has found so far: counts by worker, and the last differences.
//!
//! A pair is one request, the user's response to it and the candidate's. Pairs are counted by their worker, without
//! locks; only a pair that differs takes one, for the list that people read.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::additive::{Counters, additive};
use super::count::Count;
use super::mirror_difference::{MirrorDifference, MirrorDrop, MirrorKind, MirrorPlace};
use super::octaves;

/// Differences of a kind that are kept.
const LAST_MAX: usize = 16;

/// Places that are told apart; pairs that differ in another one are counted, and listed among the last.
const PLACES_MAX: usize = 64;

/// Latencies up to 2^36 microseconds, which is a day.
const LATENCIES: usize = octaves::buckets_to(36);

/// A response that takes more than this part longer than the other one is the slower one.
const SLOWER_PART: u64 = 10;

/// The same in microseconds: less is the noise of two threads that share a core.
const SLOWER_US_MIN: u64 = 1_000;

/// What became of a request and its copy.
#[derive(Debug)]
pub(crate) struct MirrorPair {
    /// Whether the user's response failed by the upstream's fault.
    pub user_failed: bool,
    /// Whether the copy's did.
    pub mirror_failed: bool,
    /// In what they differ; empty if either failed, but for their statuses.
    pub differences: Vec<MirrorDifference>,
    /// Whether their bodies were to be compared and could not be: too long, or in a coding that is not known.
    pub body_left_out: bool,
    /// How long they took to the head of the response, if neither failed and that is compared.
    pub times: Option<MirrorTimes>,
}

/// How long two responses took, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MirrorTimes {
    /// The user's.
    pub user_us: u64,
    /// The copy's.
    pub mirror_us: u64,
}

/// What all pairs came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MirrorTotals {
    /// Requests with both responses.
    pub pairs: u64,
    /// Pairs in which the copy's response failed and the user's did not.
    pub candidate_failed_alone: u64,
    /// The reverse.
    pub baseline_failed_alone: u64,
    /// Pairs in which both failed.
    pub both_failed: u64,
    /// Pairs whose responses differ in anything but their times.
    pub differing: u64,
    /// Pairs with a difference of each kind of [`MirrorKind`].
    pub differences: [u64; MirrorKind::COUNT],
    /// Requests that were drawn and not compared, for each reason of [`MirrorDrop`].
    pub dropped: [u64; MirrorDrop::COUNT],
    /// Pairs whose bodies were to be compared and could not be.
    pub bodies_left_out: u64,
    /// Pairs whose times were compared.
    pub timed: u64,
    /// Those of them in which the copy took a tenth and a millisecond longer, or more.
    pub candidate_slower: u64,
    /// The reverse.
    pub baseline_slower: u64,
    /// The sum of the users' times, in microseconds.
    pub user_us_sum: u64,
    /// The sum of the copies' times, in microseconds.
    pub mirror_us_sum: u64,
}

/// One worker's counters.
#[derive(Debug, Default)]
struct MirrorCounters {
    pairs: Count,
    candidate_failed_alone: Count,
    baseline_failed_alone: Count,
    both_failed: Count,
    differing: Count,
    differences: [Count; MirrorKind::COUNT],
    dropped: [Count; MirrorDrop::COUNT],
    bodies_left_out: Count,
    timed: Count,
    candidate_slower: Count,
    baseline_slower: Count,
    user_us_sum: Count,
    mirror_us_sum: Count,
}

additive!(MirrorTotals, of MirrorCounters {
    pairs,
    candidate_failed_alone,
    baseline_failed_alone,
    both_failed,
    differing,
    differences,
    dropped,
    bodies_left_out,
    timed,
    candidate_slower,
    baseline_slower,
    user_us_sum,
    mirror_us_sum,
});

/// What one worker has counted.
#[derive(Debug)]
struct MirrorCell {
    counters: MirrorCounters,
    user_us: [Count; LATENCIES],
    mirror_us: [Count; LATENCIES],
}

impl Default for MirrorCell {
    fn default() -> Self {
        let latencies = || std::array::from_fn(|_| Count::default());
        Self { counters: MirrorCounters::default(), user_us: latencies(), mirror_us: latencies() }
    }
}

/// Which of the two responses of a pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MirrorSide {
    /// The user's.
    User,
    /// The copy's.
    Mirror,
}

/// What a mirror to one version has found.
#[derive(Debug)]
pub struct MirrorStats {
    cells: Box<[OnceLock<Box<MirrorCell>>]>,
    in_flight: AtomicU32,
    salt: OnceLock<u64>,
    found: Mutex<FoundDifferences>,
}

#[derive(Debug, Default)]
struct FoundDifferences {
    last: [VecDeque<MirrorDifference>; MirrorKind::COUNT],
    places: Vec<MirrorPlace>,
}

impl MirrorStats {
    /// Nothing yet; this many workers will count.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            cells: (0..workers).map(|_| OnceLock::new()).collect(),
            in_flight: AtomicU32::new(0),
            salt: OnceLock::new(),
            found: Mutex::default(),
        }
    }

    /// The sums of all workers.
    #[must_use]
    pub fn totals(&self) -> MirrorTotals {
        let mut totals = MirrorTotals::default();
        self.used().for_each(|cell| cell.counters.add_to(&mut totals));
        totals
    }

    /// Copies under way.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// The last differences, the youngest first.
    #[must_use]
    pub(crate) fn last(&self) -> Vec<MirrorDifference> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last: Vec<_> = found.last.iter().flatten().cloned().collect();
        last.sort_by_key(|difference| std::cmp::Reverse(difference.at_ms));
        last
    }

    /// What differed in how many pairs, the most frequent first.
    #[must_use]
    pub(crate) fn places(&self) -> Vec<MirrorPlace> {
        let mut places = self.found.lock().unwrap_or_else(PoisonError::into_inner).places.clone();
        places.sort_by_key(|place| std::cmp::Reverse(place.pairs));
        places
    }

    /// The time that a `part` of the responses of one side took at the most, in microseconds, rounded down by an
    /// eighth; `None` without any.
    #[must_use]
    pub fn quantile_us(&self, side: MirrorSide, part: f64) -> Option<u64> {
        let mut counts = vec![0_u64; LATENCIES];
        for cell in self.used() {
            let buckets = match side {
                MirrorSide::User => &cell.user_us,
                MirrorSide::Mirror => &cell.mirror_us,
            };
            counts.iter_mut().zip(buckets).for_each(|(sum, count)| *sum += count.value());
        }
        let all: u64 = counts.iter().sum();
        let mut passed = 0;
        let bucket = counts.iter().position(|count| {
            passed += count;
            passed > 0 && passed as f64 >= part * all as f64
        });
        bucket.map(octaves::least_of)
    }

    fn used(&self) -> impl Iterator<Item = &MirrorCell> {
        self.cells.iter().filter_map(OnceLock::get).map(|cell| &**cell)
    }

    fn cell(&self, worker: usize) -> &MirrorCell {
        self.cells[worker].get_or_init(Box::default)
    }

    /// What hashes of values are salted with: drawn by the first who asks, so that a hash says nothing of its value.
    pub(crate) fn salt(&self, draw: impl FnOnce() -> u64) -> u64 {
        *self.salt.get_or_init(draw)
    }

    /// A place among the copies under way, of which there may be `max`.
    #[must_use]
    pub(crate) fn enter(stats: &Arc<Self>, max: u32) -> Option<MirrorPermit> {
        let entered =
            stats.in_flight.fetch_update(Relaxed, Relaxed, |under_way| (under_way < max).then_some(under_way + 1));
        entered.is_ok().then(|| MirrorPermit(Arc::clone(stats)))
    }

    /// Counts a request that `worker` did not compare.
    pub(crate) fn drop_one(&self, worker: usize, why: MirrorDrop) {
        self.cell(worker).counters.dropped[why as usize].add(1);
    }

    /// Counts a pair of `worker`.
    pub(crate) fn record(&self, worker: usize, pair: MirrorPair) {
        let MirrorPair { user_failed, mirror_failed, differences, body_left_out, times } = pair;
        let cell = self.cell(worker);
        let counters = &cell.counters;
        counters.pairs.add(1);
        match (user_failed, mirror_failed) {
            (false, true) => counters.candidate_failed_alone.add(1),
            (true, false) => counters.baseline_failed_alone.add(1),
            (true, true) => counters.both_failed.add(1),
            (false, false) => {}
        }
        counters.bodies_left_out.add(u64::from(body_left_out));
        if let Some(times) = times {
            cell.time(times);
        }
        if differences.is_empty() {
            return;
        }
        let in_time_only = differences.iter().all(|found| found.kind == MirrorKind::Latency);
        counters.differing.add(u64::from(!in_time_only));
        for kind in MirrorKind::ALL.into_iter().filter(|kind| differences.iter().any(|found| found.kind == *kind)) {
            counters.differences[kind as usize].add(1);
        }
        self.found.lock().unwrap_or_else(PoisonError::into_inner).add(differences);
    }
}

impl MirrorCell {
    fn time(&self, MirrorTimes { user_us, mirror_us }: MirrorTimes) {
        let slower = |one: u64, other: u64| one > other.saturating_add(SLOWER_US_MIN.max(other / SLOWER_PART));
        self.counters.timed.add(1);
        self.counters.candidate_slower.add(u64::from(slower(mirror_us, user_us)));
        self.counters.baseline_slower.add(u64::from(slower(user_us, mirror_us)));
        self.counters.user_us_sum.add(user_us);
        self.counters.mirror_us_sum.add(mirror_us);
        self.user_us[octaves::bucket_of(user_us, LATENCIES)].add(1);
        self.mirror_us[octaves::bucket_of(mirror_us, LATENCIES)].add(1);
    }
}

impl FoundDifferences {
    fn add(&mut self, differences: Vec<MirrorDifference>) {
        for difference in differences {
            let same = |known: &MirrorPlace| known.kind == difference.kind && known.place == difference.place;
            match self.places.iter().position(same) {
                Some(index) => self.places[index].pairs += 1,
                None if self.places.len() < PLACES_MAX => {
                    let (kind, place) = (difference.kind, difference.place.clone());
                    self.places.push(MirrorPlace { kind, place, pairs: 1 });
                }
                None => {}
            }
            let last = &mut self.last[difference.kind as usize];
            last.truncate(LAST_MAX - 1);
            last.push_front(difference);
        }
    }
}

/// A place among the copies under way; dropping it frees it.
#[derive(Debug)]
pub(crate) struct MirrorPermit(Arc<MirrorStats>);

impl MirrorPermit {
    /// The mirror that it is of.
    #[must_use]
    pub(crate) fn stats(&self) -> &Arc<MirrorStats> {
        &self.0
    }
}

impl Drop for MirrorPermit {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::additive::Additive;
    use crate::shared::mirror_difference::MirrorValue;
    use crate::shared::name::Name;

    fn difference(kind: MirrorKind, place: &str, at_ms: u64) -> MirrorDifference {
        let value = MirrorValue { hash: at_ms, sample: None };
        MirrorDifference {
            kind,
            at_ms,
            method: "GET".into(),
            path: "/".into(),
            version: Name::new("v1").unwrap(),
            place: place.into(),
            user: value.clone(),
            mirror: value,
        }
    }

    fn pair(user_failed: bool, mirror_failed: bool, differences: Vec<MirrorDifference>) -> MirrorPair {
        MirrorPair { user_failed, mirror_failed, differences, body_left_out: false, times: None }
    }

    #[test]
    fn a_pair_counts_once_for_each_kind_whatever_it_differs_in() {
        let stats = MirrorStats::new(2);
        stats.record(0, pair(false, true, Vec::new()));
        stats.record(1, pair(true, false, Vec::new()));
        stats.record(1, pair(true, true, Vec::new()));
        let before = stats.totals();
        let body = |place, at| difference(MirrorKind::Body, place, at);
        stats.record(0, pair(false, false, vec![body("/a", 1), body("/b", 2), difference(MirrorKind::Header, "x", 3)]));
        stats.drop_one(1, MirrorDrop::Bytes);
        let totals = stats.totals();
        assert_eq!((before.pairs, totals.pairs, totals.since(&before).pairs), (3, 4, 1));
        assert_eq!((totals.candidate_failed_alone, totals.baseline_failed_alone, totals.both_failed), (1, 1, 1));
        assert_eq!((totals.differing, totals.differences, totals.dropped), (1, [0, 1, 1, 0, 0], [0, 1, 0, 0]));
        stats.record(0, pair(false, false, vec![difference(MirrorKind::Latency, "", 4)]));
        let totals = stats.totals();
        assert_eq!((totals.differing, totals.differences), (1, [0, 1, 1, 0, 1]), "slow is another matter than wrong");
    }

    #[test]
    fn lists_are_bounded_and_the_youngest_come_first() {
        let stats = MirrorStats::new(1);
        for n in 0..1_000 {
            let place = format!("/{}", n % 100);
            stats.record(0, pair(false, false, vec![difference(MirrorKind::Body, &place, n)]));
        }
        let last = stats.last();
        assert_eq!((last.len(), last[0].at_ms, last[LAST_MAX - 1].at_ms), (LAST_MAX, 999, 984));
        let places = stats.places();
        assert_eq!((places.len(), places[0].pairs), (PLACES_MAX, 10));
        assert_eq!(stats.totals().differing, 1_000);
    }

    #[test]
    fn the_slower_one_is_slower_by_a_tenth_and_a_millisecond() {
        let stats = MirrorStats::new(1);
        for (user_us, mirror_us) in [(100, 900), (5_000, 6_100), (100_000, 109_000), (100_000, 120_000), (9_000, 7_000)]
        {
            let times = Some(MirrorTimes { user_us, mirror_us });
            stats.record(0, MirrorPair { times, ..pair(false, false, Vec::new()) });
        }
        let totals = stats.totals();
        assert_eq!((totals.timed, totals.candidate_slower, totals.baseline_slower), (5, 2, 1));
        let median = stats.quantile_us(MirrorSide::User, 0.5).unwrap();
        assert!((8_000..=9_000).contains(&median), "{median}");
        assert_eq!(MirrorStats::new(1).quantile_us(MirrorSide::Mirror, 0.5), None);
    }

    #[test]
    fn there_are_places_for_so_many() {
        let stats = Arc::new(MirrorStats::new(1));
        let (first, second) = (MirrorStats::enter(&stats, 2), MirrorStats::enter(&stats, 2));
        assert!(first.is_some() && MirrorStats::enter(&stats, 2).is_none());
        drop(second);
        assert_eq!(stats.in_flight(), 1);
        assert!(MirrorStats::enter(&stats, 2).is_some());
    }
}
