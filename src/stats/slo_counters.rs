//! The counters behind the objectives of one service: what its users got, whatever its versions.

use std::sync::OnceLock;

use crate::shared::additive::{Counters, additive};
use crate::shared::count::Count;

/// The counters of a service with objectives: a cell for each worker, made when the worker first needs it.
#[derive(Debug)]
pub struct SloStats {
    cells: Box<[OnceLock<Box<SloCell>>]>,
}

/// One worker's counters.
#[derive(Debug, Default)]
// Two cache lines: the next one is prefetched in pairs, and a neighbour's writes would take both away.
#[repr(align(128))]
struct SloCell {
    requests: Count,
    failed: Count,
    slow: Count,
    fault_requests: Count,
    fault_failed: Count,
    fault_slow: Count,
}

/// Requests of a while. Those that a fault of our own met are counted apart: no request is in both halves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SloTotals {
    /// Requests that have ended.
    pub requests: u64,
    /// Those that failed by our side's fault.
    pub failed: u64,
    /// Those that took too long.
    pub slow: u64,
    /// Requests that a fault of our own met.
    pub fault_requests: u64,
    /// Those of them that failed.
    pub fault_failed: u64,
    /// Those of them that took too long.
    pub fault_slow: u64,
}

additive!(SloTotals, of SloCell { requests, failed, slow, fault_requests, fault_failed, fault_slow });

/// How a request went, by the objectives of its service.
#[derive(Clone, Copy, Debug, Default)]
pub struct SloOutcome {
    /// Whether it failed by our side's fault.
    pub failed: bool,
    /// Whether it took too long.
    pub slow: bool,
    /// Whether a fault of our own met it.
    pub by_fault: bool,
}

impl SloTotals {
    /// Whether nothing is counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests == 0 && self.fault_requests == 0
    }
}

impl SloStats {
    /// Counters for this many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self { cells: (0..workers).map(|_| OnceLock::new()).collect() }
    }

    /// Counts a request of one worker, which is below the number given to [`SloStats::new`].
    pub fn count(&self, worker: usize, outcome: SloOutcome) {
        let cell = self.cells[worker].get_or_init(Box::default);
        let (requests, failed, slow) = match outcome.by_fault {
            false => (&cell.requests, &cell.failed, &cell.slow),
            true => (&cell.fault_requests, &cell.fault_failed, &cell.fault_slow),
        };
        requests.add(1);
        failed.add(u64::from(outcome.failed));
        slow.add(u64::from(outcome.slow));
    }

    /// The sums of all workers.
    #[must_use]
    pub fn totals(&self) -> SloTotals {
        let mut totals = SloTotals::default();
        self.cells.iter().filter_map(OnceLock::get).for_each(|cell| cell.add_to(&mut totals));
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_faults_met_is_counted_apart() {
        let stats = SloStats::new(2);
        stats.count(0, SloOutcome { failed: true, slow: false, by_fault: false });
        stats.count(1, SloOutcome { failed: false, slow: true, by_fault: false });
        stats.count(1, SloOutcome { failed: true, slow: true, by_fault: true });
        let found = stats.totals();
        assert_eq!((found.requests, found.failed, found.slow), (2, 1, 1));
        assert_eq!((found.fault_requests, found.fault_failed, found.fault_slow), (1, 1, 1));
    }
}
