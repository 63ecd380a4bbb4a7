//! The gauges of one service: its requests at this moment, whatever their version.

use std::sync::OnceLock;

use crate::shared::count::Count;

/// The gauges of a service: a cell for each worker, made when the worker first needs it. A request writes to its own
/// worker's cell only; a reader that wants to know the sum reads them all.
#[derive(Debug)]
pub struct ServiceStats {
    /// Number of the service in the process; workers keep what is theirs by it. Never used again.
    pub id: u32,
    cells: Box<[OnceLock<Box<ServiceCell>>]>,
}

/// One worker's gauges of one service.
#[derive(Debug, Default)]
// Two cache lines: the next one is prefetched in pairs, and a neighbour's writes would take both away.
#[repr(align(128))]
pub struct ServiceCell {
    /// Requests that were decided and have not ended.
    pub in_flight: Count,
    /// Requests that wait for a place among those in flight.
    pub queued: Count,
    /// Requests that wait for the end of a hold.
    pub held: Count,
}

/// The sums of all workers at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceTotals {
    /// Requests in flight.
    pub in_flight: u64,
    /// Requests that wait for a place.
    pub queued: u64,
    /// Requests that are held.
    pub held: u64,
}

impl ServiceStats {
    /// Gauges for this many workers.
    #[must_use]
    pub fn new(id: u32, workers: usize) -> Self {
        Self { id, cells: (0..workers).map(|_| OnceLock::new()).collect() }
    }

    /// The gauges of one worker, which is below the number given to [`ServiceStats::new`].
    #[must_use]
    pub fn cell(&self, worker: usize) -> &ServiceCell {
        self.cells[worker].get_or_init(Box::default)
    }

    /// Whether any worker has counted anything.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.cells.iter().any(|cell| cell.get().is_some())
    }

    /// The sums of all workers.
    #[must_use]
    pub fn totals(&self) -> ServiceTotals {
        let mut totals = ServiceTotals::default();
        for cell in self.cells.iter().filter_map(OnceLock::get) {
            totals.in_flight += cell.in_flight.value();
            totals.queued += cell.queued.value();
            totals.held += cell.held.value();
        }
        totals
    }
}
