//! How judged requests of a version under rollout went on each of its endpoints, so that a verdict can say where to
//! look.
//!
//! Of a fixed size, whatever comes and goes while the rollout runs: what an endpoint beyond that does is in the counts
//! of its version only. It costs a judged request of that version a few plain adds, in its worker's own counters.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::additive::{Counters, additive};
use super::count::Count;
use super::threshold_count::THRESHOLDS;

/// Endpoints that are told apart.
const ENDPOINTS: usize = 64;

/// The counters of all endpoints, by worker.
#[derive(Debug)]
pub(crate) struct EndpointTallies(Box<[OnceLock<Box<EndpointPlaces>>]>);

#[derive(Debug)]
struct EndpointPlaces([TallyPlace; ENDPOINTS]);

#[derive(Debug, Default)]
struct TallyPlace {
    /// The number of the endpoint and one; 0 where none is.
    taken_by: AtomicU64,
    counters: EndpointCounters,
}

#[derive(Debug, Default)]
struct EndpointCounters {
    requests: Count,
    failures: Count,
    compared: Count,
    above: [Count; THRESHOLDS],
}

/// Judged requests of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EndpointTotals {
    /// Those whose outcome is known.
    pub requests: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Those whose time was compared.
    pub compared: u64,
    /// By threshold, those of them that took longer.
    pub above: [u64; THRESHOLDS],
}

additive!(EndpointTotals, of EndpointCounters { requests, failures, compared, above });

/// What became of a request on its endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndpointOutcome {
    /// Whether it failed; none: it is not known.
    pub failed: Option<bool>,
    /// How many thresholds its time has exceeded; none: it was not compared.
    pub exceeded: Option<usize>,
}

impl Default for EndpointPlaces {
    fn default() -> Self {
        Self(std::array::from_fn(|_| TallyPlace::default()))
    }
}

impl EndpointTallies {
    /// For this number of workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| OnceLock::new()).collect())
    }

    /// Counts a request of the endpoint with this number; for the worker that had it.
    pub(crate) fn count(&self, worker: usize, endpoint: u32, outcome: &EndpointOutcome) {
        let places = self.0[worker].get_or_init(Box::default);
        let Some(counters) = places.counters(endpoint) else { return };
        if let Some(failed) = outcome.failed {
            counters.requests.add(1);
            counters.failures.add(u64::from(failed));
        }
        if let Some(exceeded) = outcome.exceeded {
            counters.compared.add(1);
            counters.above.iter().take(exceeded).for_each(|count| count.add(1));
        }
    }

    /// What all workers have counted of the endpoint with this number.
    pub(crate) fn totals(&self, endpoint: u32) -> EndpointTotals {
        let mut totals = EndpointTotals::default();
        let places = self.0.iter().filter_map(OnceLock::get).flat_map(|places| places.of(endpoint));
        let taken = places.filter(|place| place.taken_by.load(Relaxed) == mark(endpoint));
        taken.for_each(|place| place.counters.add_to(&mut totals));
        totals
    }
}

fn mark(endpoint: u32) -> u64 {
    u64::from(endpoint) + 1
}

impl EndpointPlaces {
    /// Its own place, where it is or will be: that of its number, or the next one that is free.
    fn of(&self, endpoint: u32) -> Option<&TallyPlace> {
        let first = usize::try_from(endpoint).unwrap_or(0) % ENDPOINTS;
        let (before, from) = self.0.split_at(first);
        let is_its = |place: &&TallyPlace| matches!(place.taken_by.load(Relaxed), taken if taken == 0 || taken == mark(endpoint));
        from.iter().chain(before).find(is_its)
    }

    fn counters(&self, endpoint: u32) -> Option<&EndpointCounters> {
        let place = self.of(endpoint)?;
        place.taken_by.store(mark(endpoint), Relaxed);
        Some(&place.counters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_told_apart_until_there_are_too_many() {
        let tallies = EndpointTallies::new(2);
        let outcome = EndpointOutcome { failed: Some(true), exceeded: Some(2) };
        for number in 0..100 {
            tallies.count(number % 2, 7 + 64 * u32::try_from(number).unwrap(), &outcome);
            tallies.count(0, 7, &EndpointOutcome { failed: Some(false), exceeded: None });
        }
        let first = EndpointTotals { requests: 101, failures: 1, compared: 1, above: [1, 1, 0] };
        assert_eq!(tallies.totals(7), first);
        assert_eq!(tallies.totals(7 + 64).requests, 1);
        assert_eq!(tallies.totals(7 + 64 * 99).requests, 1, "the other worker has room");
        assert_eq!(tallies.totals(8), EndpointTotals::default());
        let all = (0..200).map(|number| tallies.totals(7 + 64 * number).failures).sum::<u64>();
        assert!((64..=128).contains(&all), "{all}");
    }
}
