//! The counters of the requests of one version.

use std::sync::OnceLock;

use super::labels::{CodeClass, FirstAttempt, HiddenBy, Retry, UpstreamFailure};
use super::latency_histogram::{Latency, LatencyTotals};
use crate::shared::additive::{Additive, Counters};
use crate::shared::count::Count;

/// The counters of one version: a cell for each worker, made when the worker first needs it, because most of ten
/// thousand services never see most workers.
#[derive(Debug)]
pub struct VersionStats {
    cells: Box<[OnceLock<Box<VersionCell>>]>,
    /// What of it faults of our own have caused.
    faulted: Box<[OnceLock<Box<VersionCell>>]>,
}

/// One worker's counters of one version.
#[derive(Debug)]
// Two cache lines: the next one is prefetched in pairs, and a neighbour's writes would take both away.
#[repr(align(128))]
#[derive(Default)]
pub struct VersionCell {
    codes: [Count; CodeClass::ALL.len()],
    failures: [Count; UpstreamFailure::ALL.len()],
    firsts: [Count; FirstAttempt::ALL.len()],
    hidden: [Count; HiddenBy::ALL.len()],
    retries: [Count; Retry::ALL.len()],
    passed_on: Count,
    long_open: Count,
    latency: Latency,
}

impl VersionCell {
    /// Counts a request that ended: the class of its answer, and the time it took.
    pub fn answered(&self, class: CodeClass, micros: u64) {
        self.codes[class as usize].add(1);
        self.latency.record(micros);
    }

    /// Counts a failed attempt.
    pub fn failed(&self, failure: UpstreamFailure) {
        self.failures[failure as usize].add(1);
    }

    /// Counts the first attempt of a request, when the request has ended.
    pub fn first(&self, ended: FirstAttempt) {
        self.firsts[ended as usize].add(1);
    }

    /// Counts a first attempt that failed here and whose user got a good response all the same.
    pub fn hidden(&self, by: HiddenBy) {
        self.hidden[by as usize].add(1);
    }

    /// Counts a request that is sent once more after an attempt here.
    pub fn retried(&self, why: Retry) {
        self.retries[why as usize].add(1);
    }

    /// Counts a request that was assigned to this version and answered by another.
    pub fn passed_on(&self) {
        self.passed_on.add(1);
    }

    /// Counts a WebSocket or a stream in.
    pub fn long_began(&self) {
        self.long_open.add(1);
    }

    /// Counts it out.
    pub fn long_ended(&self) {
        self.long_open.sub(1);
    }
}

/// The sums of all workers at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionTotals {
    /// Requests by class of the answer, in the order of [`CodeClass::ALL`].
    pub codes: [u64; CodeClass::ALL.len()],
    /// Failed attempts, in the order of [`UpstreamFailure::ALL`].
    pub failures: [u64; UpstreamFailure::ALL.len()],
    /// First attempts, in the order of [`FirstAttempt::ALL`].
    pub firsts: [u64; FirstAttempt::ALL.len()],
    /// First attempts that failed and whose users got a good response all the same, in the order of [`HiddenBy::ALL`].
    pub hidden: [u64; HiddenBy::ALL.len()],
    /// Requests that were sent once more after an attempt here, in the order of [`Retry::ALL`].
    pub retries: [u64; Retry::ALL.len()],
    /// Requests that were assigned here and answered by another version.
    pub passed_on: u64,
    /// WebSockets and streams that are open.
    pub long_open: u64,
    /// Latencies.
    pub latency: LatencyTotals,
}

impl VersionTotals {
    /// Requests that ended.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.codes.iter().sum()
    }

    /// Attempts that failed by the upstream's fault.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.iter().sum()
    }

    /// What was counted since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            codes: Additive::since(&self.codes, &earlier.codes),
            failures: Additive::since(&self.failures, &earlier.failures),
            firsts: Additive::since(&self.firsts, &earlier.firsts),
            hidden: Additive::since(&self.hidden, &earlier.hidden),
            retries: Additive::since(&self.retries, &earlier.retries),
            passed_on: Additive::since(&self.passed_on, &earlier.passed_on),
            long_open: self.long_open,
            latency: self.latency.since(&earlier.latency),
        }
    }
}

impl VersionStats {
    /// Counters for this many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        let cells = || (0..workers).map(|_| OnceLock::new()).collect();
        Self { cells: cells(), faulted: cells() }
    }

    /// The counters of one worker, which is below the number given to [`VersionStats::new`].
    #[must_use]
    pub fn cell(&self, worker: usize) -> &VersionCell {
        self.cells[worker].get_or_init(Box::default)
    }

    /// Where a worker counts once more what faults of our own were done to.
    #[must_use]
    pub fn faulted_cell(&self, worker: usize) -> &VersionCell {
        self.faulted[worker].get_or_init(Box::default)
    }

    /// Whether any worker has counted anything.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.cells.iter().any(|cell| cell.get().is_some())
    }

    /// The sums of all workers.
    #[must_use]
    pub fn totals(&self) -> VersionTotals {
        sum(&self.cells)
    }

    /// The same without requests and attempts that faults of our own were done to: what the version does by itself.
    #[must_use]
    pub fn undisturbed_totals(&self) -> VersionTotals {
        // Those that are counted last are read first, so that none is taken off that is not in the sum.
        let faulted = sum(&self.faulted);
        self.totals().since(&faulted)
    }
}

fn sum(cells: &[OnceLock<Box<VersionCell>>]) -> VersionTotals {
    let mut totals = VersionTotals::default();
    for cell in cells.iter().filter_map(OnceLock::get) {
        cell.codes.add_to(&mut totals.codes);
        cell.failures.add_to(&mut totals.failures);
        cell.firsts.add_to(&mut totals.firsts);
        cell.hidden.add_to(&mut totals.hidden);
        cell.retries.add_to(&mut totals.retries);
        totals.passed_on += cell.passed_on.value();
        totals.long_open = totals.long_open.wrapping_add(cell.long_open.value());
        cell.latency.add_to(&mut totals.latency);
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_sum_the_workers() {
        let stats = VersionStats::new(3);
        assert!(!stats.is_used());
        stats.cell(0).answered(CodeClass::Success, 1_000);
        stats.cell(2).answered(CodeClass::ServerError, 2_000);
        stats.cell(2).failed(UpstreamFailure::Status);
        stats.cell(2).passed_on();
        let totals = stats.totals();
        assert_eq!((totals.requests(), totals.failures(), totals.passed_on), (2, 1, 1));
        assert_eq!(totals.codes[CodeClass::ServerError as usize], 1);
        assert_eq!(totals.latency.sum_us, 3_000);
        let later = {
            stats.cell(1).answered(CodeClass::Success, 5);
            stats.totals()
        };
        assert_eq!(later.since(&totals).requests(), 1);
        stats.faulted_cell(1).answered(CodeClass::Success, 5);
        assert_eq!((stats.totals().requests(), stats.undisturbed_totals()), (3, totals));
    }
}
