//! What became of the requests of a chaos experiment, by slice, for the metrics: added up over all of its runs.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::shared::count::Count;
use crate::shared::fault_stats::FaultSlice;

/// What a request of a chaos experiment came to, as its user saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChaosResult {
    /// It was served.
    Ok,
    /// It failed by our side's fault.
    Failed,
    /// Its client left before it was known.
    Gone,
}

impl ChaosResult {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Failed, Self::Gone];

    /// The word of the label.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Gone => "gone",
        }
    }
}

/// The counters of one experiment on one service.
#[derive(Debug)]
pub struct ChaosCounters {
    /// By worker, made when a worker first needs its own.
    cells: Box<[OnceLock<Box<ChaosCell>>]>,
    /// Places that requests have taken of those that a fault leaves them; of all workers.
    places: AtomicU32,
}

/// Those of one worker.
#[derive(Debug, Default)]
#[repr(align(128))]
struct ChaosCell {
    results: [[Count; ChaosResult::ALL.len()]; 2],
}

impl ChaosCounters {
    /// Counters for this many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self { cells: (0..workers).map(|_| OnceLock::new()).collect(), places: AtomicU32::new(0) }
    }

    /// Counts a request, on the worker that had it.
    pub fn count(&self, worker: usize, slice: FaultSlice, result: ChaosResult) {
        self.cells[worker].get_or_init(Box::default).results[index(slice)][result as usize].add(1);
    }

    /// The sum of all workers.
    #[must_use]
    pub fn total(&self, slice: FaultSlice, result: ChaosResult) -> u64 {
        let cells = self.cells.iter().filter_map(OnceLock::get);
        cells.map(|cell| cell.results[index(slice)][result as usize].value()).sum()
    }

    /// Takes one of `places`, if there is one left. It has to be [given back](Self::leave).
    #[must_use]
    pub fn enter(&self, places: u32) -> bool {
        let taken = self.places.fetch_update(Relaxed, Relaxed, |taken| (taken < places).then_some(taken + 1));
        taken.is_ok()
    }

    /// Gives a place back.
    pub fn leave(&self) {
        self.places.fetch_sub(1, Relaxed);
    }
}

fn index(slice: FaultSlice) -> usize {
    match slice {
        FaultSlice::Fault => 0,
        FaultSlice::Control => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slice_and_result_is_counted_apart_and_places_are_limited() {
        let counters = ChaosCounters::new(2);
        counters.count(0, FaultSlice::Fault, ChaosResult::Failed);
        counters.count(1, FaultSlice::Fault, ChaosResult::Failed);
        counters.count(1, FaultSlice::Control, ChaosResult::Ok);
        assert_eq!(counters.total(FaultSlice::Fault, ChaosResult::Failed), 2);
        assert_eq!(counters.total(FaultSlice::Control, ChaosResult::Ok), 1);
        assert_eq!(counters.total(FaultSlice::Fault, ChaosResult::Ok), 0);
        assert!(counters.enter(2) && counters.enter(2) && !counters.enter(2));
        counters.leave();
        assert!(counters.enter(2) && !counters.enter(0));
    }
}
