//! What a baseline's responses usually are: their statuses, lengths and types, as the workers have seen them.
//!
//! Classes such as "longer than usual" need a measure, and the measure is learned from the baseline's own responses
//! while the rollout runs. Workers count into tables of a fixed size; now and then the control plane makes a measure of
//! them, by which later responses are told. So no response is told by itself, and a measure that is rough or old costs
//! power and never validity: both versions are told by the same one.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::count::Count;
use super::octaves;
use super::response_class::{ClassSet, ObservedResponse, ResponseClass};

/// Fewer responses than this say nothing of what is usual.
const LEARNED_MIN: u64 = 200;

/// What fewer than one in this many of the baseline's responses have, it hardly has.
const HARDLY: u64 = 100;

/// Types that a worker tells apart; those that come later are "hardly".
const TYPES: usize = 32;

/// Statuses that are told apart: 2xx and 4xx.
const STATUSES: usize = 200;

/// Lengths up to 2^40 bytes.
const LENGTHS: usize = octaves::buckets_to(40);

/// What is usual for a baseline.
#[derive(Debug)]
pub(crate) struct UsualResponses {
    cells: Box<[OnceLock<Box<SeenResponses>>]>,
    is_known: AtomicBool,
    /// Shorter than this is short.
    shortest: AtomicU64,
    /// Longer than this is long.
    longest: AtomicU64,
    /// A bit for each status that is usual.
    statuses: [AtomicU64; STATUSES.div_ceil(64)],
    /// The types that are usual; 0 where there are no more.
    types: [AtomicU64; TYPES],
}

/// What one worker has seen.
#[derive(Debug)]
struct SeenResponses {
    responses: Count,
    statuses: [Count; STATUSES],
    types: [(AtomicU64, Count); TYPES],
    lengths: [Count; LENGTHS],
}

impl Default for SeenResponses {
    fn default() -> Self {
        Self {
            responses: Count::default(),
            statuses: std::array::from_fn(|_| Count::default()),
            types: std::array::from_fn(|_| (AtomicU64::new(0), Count::default())),
            lengths: std::array::from_fn(|_| Count::default()),
        }
    }
}

impl UsualResponses {
    /// Nothing is known yet; this number of workers will count.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            cells: (0..workers).map(|_| OnceLock::new()).collect(),
            is_known: AtomicBool::new(false),
            shortest: AtomicU64::new(0),
            longest: AtomicU64::new(u64::MAX),
            statuses: Default::default(),
            types: Default::default(),
        }
    }

    /// Whether the classes that need it can be told.
    pub(crate) fn is_known(&self) -> bool {
        self.is_known.load(Acquire)
    }

    /// The classes of a response; those that need to know what is usual only if `by_usual`.
    pub(crate) fn classes(&self, response: &ObservedResponse, by_usual: bool) -> ClassSet {
        let ObservedResponse { status, media_type, length } = *response;
        let classes = ClassSet::of_status(status);
        if !by_usual {
            return classes;
        }
        let classes = classes.with(ResponseClass::UnusualStatus, self.is_unusual(status));
        if !(200..300).contains(&status) {
            return classes;
        }
        let (shortest, longest) = (self.shortest.load(Relaxed), self.longest.load(Relaxed));
        classes
            .with(ResponseClass::Empty, length == Some(0))
            .with(ResponseClass::Short, length.is_some_and(|length| length > 0 && length < shortest))
            .with(ResponseClass::Long, length.is_some_and(|length| length > longest))
            .with(ResponseClass::OtherType, length != Some(0) && !self.has_type(media_type))
    }

    fn is_unusual(&self, status: u16) -> bool {
        match status {
            // They have classes of their own.
            300..=399 | 401 | 403 | 404 | 410 | 429 | 500..=599 => false,
            _ => status_index(status)
                .is_none_or(|index| self.statuses[index / 64].load(Relaxed) & 1 << (index % 64) == 0),
        }
    }

    fn has_type(&self, media_type: u64) -> bool {
        let types = self.types.iter().map(|usual| usual.load(Relaxed));
        types.take_while(|usual| *usual != 0).any(|usual| usual == media_type)
    }

    /// Counts a response of the baseline.
    pub(crate) fn learn(&self, worker: usize, response: &ObservedResponse) {
        let seen = self.cells[worker].get_or_init(Box::default);
        seen.responses.add(1);
        if let Some(index) = status_index(response.status) {
            seen.statuses[index].add(1);
        }
        if !(200..300).contains(&response.status) || response.length == Some(0) {
            return;
        }
        if let Some(length) = response.length {
            seen.lengths[octaves::bucket_of(length, LENGTHS)].add(1);
        }
        let media_type = response.media_type;
        let place = seen.types.iter().find(|(of, _)| matches!(of.load(Relaxed), 0) || of.load(Relaxed) == media_type);
        if let Some((of, count)) = place {
            of.store(media_type, Relaxed);
            count.add(1);
        }
    }

    /// Makes a measure of what was counted so far, if that is enough.
    pub(crate) fn refresh(&self) {
        let cells = || self.cells.iter().filter_map(OnceLock::get);
        let responses: u64 = cells().map(|seen| seen.responses.value()).sum();
        if responses < LEARNED_MIN {
            return;
        }
        for (word, bits) in self.statuses.iter().enumerate() {
            let is_usual = |bit: &usize| {
                let index = word * 64 + bit;
                let count: u64 = cells().filter_map(|seen| seen.statuses.get(index)).map(Count::value).sum();
                count * HARDLY >= responses
            };
            bits.store((0..64).filter(is_usual).fold(0, |bits, bit| bits | 1 << bit), Relaxed);
        }
        self.refresh_lengths();
        self.refresh_types();
        self.is_known.store(true, Release);
    }

    fn refresh_lengths(&self) {
        let mut totals = [0; LENGTHS];
        for seen in self.cells.iter().filter_map(OnceLock::get) {
            totals.iter_mut().zip(&seen.lengths).for_each(|(total, count)| *total += count.value());
        }
        let all: u64 = totals.iter().sum();
        // The bucket that the response with this rank is in.
        let bucket_of = |rank: u64| {
            let mut below = 0;
            totals.iter().position(|count| {
                below += count;
                below > rank
            })
        };
        // All of them are empty: no length is usual, and a body has the type of none.
        let first = bucket_of(all / 100).map_or(0, |bucket| octaves::least_of(bucket) / 2);
        let last =
            bucket_of(all.saturating_sub(all / 100 + 1)).map(|bucket| octaves::least_of(bucket + 1).saturating_sub(1));
        self.shortest.store(first, Relaxed);
        self.longest.store(last.map_or(u64::MAX, |last| last.saturating_mul(2)), Relaxed);
    }

    fn refresh_types(&self) {
        let mut totals = [(0, 0_u64); TYPES];
        let seen = self.cells.iter().filter_map(OnceLock::get).flat_map(|seen| &seen.types);
        for (of, count) in seen.map(|(of, count)| (of.load(Relaxed), count.value())).filter(|(of, _)| *of != 0) {
            if let Some(total) = totals.iter_mut().find(|(known, _)| *known == of || *known == 0) {
                *total = (of, total.1 + count);
            }
        }
        let all: u64 = totals.iter().map(|(_, count)| count).sum();
        let usual = totals.into_iter().filter(|(of, count)| *of != 0 && count * HARDLY >= all).map(|(of, _)| of);
        for (place, of) in self.types.iter().zip(usual.chain(std::iter::repeat(0))) {
            place.store(of, Relaxed);
        }
    }
}

fn status_index(status: u16) -> Option<usize> {
    match status {
        200..=299 => Some(usize::from(status - 200)),
        400..=499 => Some(usize::from(status - 300)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::response_class::media_type;
    use super::*;

    fn response(status: u16, of: &str, length: u64) -> ObservedResponse {
        ObservedResponse { status, media_type: media_type(Some(of.as_bytes())), length: Some(length) }
    }

    fn words(usual: &UsualResponses, response: ObservedResponse) -> Vec<&'static str> {
        usual.classes(&response, usual.is_known()).iter().map(ResponseClass::word).collect()
    }

    #[test]
    fn what_the_baseline_hardly_sends_is_a_class_when_it_is_known() {
        let usual = UsualResponses::new(2);
        for number in 0..1_000 {
            usual.learn(number % 2, &response(200, "text/html", 1_000 + number as u64));
            usual.refresh();
            assert_eq!(usual.is_known(), number >= 199, "{number}");
        }
        for _ in 0..20 {
            usual.learn(0, &response(422, "text/html", 3));
            usual.learn(1, &response(200, "application/json", 1_500));
        }
        usual.learn(1, &response(200, "image/png", 90_000));
        usual.refresh();
        for (seen, want) in [
            (response(200, "text/html", 1_200), vec![]),
            (response(200, "text/html", 4_000), vec![]),
            (response(200, "application/json", 1_000), vec![]),
            (response(200, "text/html", 4_100), vec!["long"]),
            (response(200, "text/html", 400), vec!["short"]),
            (response(200, "text/plain", 2_000), vec!["other_type"]),
            (response(200, "image/png", 2_000), vec!["other_type"]),
            (response(200, "", 0), vec!["empty"]),
            (response(204, "", 0), vec!["unusual_status", "empty"]),
            (response(422, "", 0), vec!["client_error"]),
            (response(400, "", 0), vec!["client_error", "unusual_status"]),
            (response(404, "text/html", 5), vec!["not_found"]),
            (response(302, "text/html", 5), vec!["redirect"]),
            (response(103, "", 0), vec!["unusual_status"]),
            (response(600, "", 0), vec!["unusual_status"]),
            (response(503, "", 0), vec![]),
            (ObservedResponse { length: None, ..response(200, "text/html", 0) }, vec![]),
        ] {
            assert_eq!(words(&usual, seen), want, "{seen:?}");
        }
    }

    #[test]
    fn more_types_than_there_is_room_for_are_hardly_there() {
        let usual = UsualResponses::new(1);
        for number in 0..4_000 {
            usual.learn(0, &response(200, &format!("x/{}", number % 40), 10));
        }
        usual.refresh();
        let known = (0..40).filter(|number| words(&usual, response(200, &format!("x/{number}"), 10)).is_empty());
        assert_eq!(known.count(), TYPES);
    }
}
