//! What one phase of a chaos run counts: the requests of its two slices, and what their users got.
//!
//! Both slices are judged as two versions are, so they are counted where those are ([`CanaryStats`]): the fault slice
//! is its candidate and the control slice its baseline, at equal shares for the whole phase. Beside that are numbers
//! for people: latencies, users, and how many requests the fault was done to.
//!
//! A request keeps the counters of the table that it began with. So what began before the fault is counted in the
//! baseline's counters however late it ends, and nothing has to be stamped on it.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use super::arm_latencies::ArmLatencies;
use super::canary_clients::ClientNumber;
use super::canary_outcome::{Arm, CanaryBegun, CanaryOutcome, ResponseSeen};
use super::canary_stats::{CanaryStats, SplitEpoch};
use super::canary_terms::CanaryTerms;
use super::count::Count;
use super::flights::Told;
use super::response_counters::{Asker, ResponseOutcome};
use super::slot_set::{SLOTS, SlotSet};

/// One of the two equal sets of users of a chaos run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultSlice {
    /// Those to whom the fault is done.
    Fault,
    /// Those to whom nothing is done.
    Control,
}

impl FaultSlice {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Fault, Self::Control];

    /// The word of metrics and views.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Control => "control",
        }
    }

    fn arm(self) -> Arm {
        match self {
            Self::Fault => Arm::Candidate,
            Self::Control => Arm::Baseline,
        }
    }
}

/// A request of a slice that begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FaultAsked {
    /// Its slice.
    pub slice: FaultSlice,
    /// The slot of its key in the draw of this run; without a key it is a draw of its own.
    pub slot: Option<u32>,
    /// Who sent it.
    pub client: Option<IpAddr>,
    /// When it began, in milliseconds on the clock of the process.
    pub begun_ms: u64,
}

/// What is kept of a request of a slice until its end. It has a place among those in flight, so it has to be
/// [recorded](FaultStats::record).
#[derive(Debug)]
pub(crate) struct FaultSample {
    slice: FaultSlice,
    slot: Option<u32>,
    client: Option<ClientNumber>,
    place: Option<u16>,
}

/// What became of a request of a slice, as its user saw it: after retries, failover and the shield.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FaultOutcome {
    /// Whether it failed by our side's fault.
    pub failed: bool,
    /// How much of the response its client has waited for.
    pub seen: ResponseSeen,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// Whether the fault was done to it.
    pub injected: bool,
}

/// The counters of one phase of a chaos run.
#[derive(Debug)]
pub struct FaultStats {
    canary: CanaryStats,
    epoch: Arc<SplitEpoch>,
    latencies: ArmLatencies,
    users: [SlotSet; 2],
    cells: Box<[OnceLock<Box<FaultCounters>>]>,
}

/// One worker's counters that only people read.
#[derive(Debug, Default)]
// As those of a rollout: no neighbour's writes on the same pair of cache lines.
#[repr(align(128))]
struct FaultCounters {
    injected: [Count; 2],
}

/// What was counted of a slice, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SliceTotals {
    /// Requests that ended, or whose outcome is known.
    pub requests: u64,
    /// Those of them that failed by our side's fault.
    pub failed: u64,
    /// Those that the fault was done to.
    pub injected: u64,
    /// Users who came, as far as their slots tell them apart; requests without a key have none.
    pub users: u64,
}

impl FaultStats {
    /// Counters that begin now, for slices of this many slots each and this number of workers; `per_key` says whether
    /// users are known by keys, so that one is counted once. A `share` of all slots leaves no control slice.
    #[must_use]
    pub fn new(share: u32, per_key: bool, workers: usize) -> Self {
        let terms = CanaryTerms {
            candidate: FaultSlice::Fault.word().into(),
            baseline: FaultSlice::Control.word().into(),
            per_key,
            slow_us: None,
            failed_calls: 0,
            burst_ticks: 0,
            responses: false,
            except: [].into(),
            routes: false,
            flag: None,
            flags: [].into(),
        };
        let canary = CanaryStats::new(terms, workers);
        let all = u32::try_from(SLOTS).unwrap_or(u32::MAX);
        let epoch = canary.epoch([share, share.min(all.saturating_sub(share))]);
        Self {
            canary,
            epoch,
            latencies: ArmLatencies::new(workers),
            users: [SlotSet::default(), SlotSet::default()],
            cells: (0..workers).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Notes a request that begins, on the worker that has it.
    pub(crate) fn begin(&self, worker: usize, asked: FaultAsked) -> FaultSample {
        let FaultAsked { slice, slot, client, begun_ms } = asked;
        let client = slot.and(client).and_then(|client| self.epoch.client(client));
        let asker = slot.map(|slot| Asker { slot, client });
        let place = self.epoch.begin(worker, &CanaryBegun { arm: slice.arm(), asker, route: None, begun_ms });
        FaultSample { slice, slot, client, place }
    }

    /// Counts what became of it.
    #[expect(clippy::needless_pass_by_value, reason = "a sample is counted once")]
    pub(crate) fn record(&self, worker: usize, sample: FaultSample, outcome: FaultOutcome) {
        let FaultSample { slice, slot, client, place } = sample;
        let FaultOutcome { failed, seen, micros, injected } = outcome;
        let told = place.map_or_else(Told::default, |place| self.epoch.end(worker, place));
        if let Some(slot) = slot {
            self.users[slice as usize].first(slot);
        }
        if injected {
            self.cells[worker].get_or_init(Box::default).injected[slice as usize].add(1);
        }
        if failed || seen == ResponseSeen::Whole {
            self.latencies.record(worker, slice.arm(), micros);
        }
        let counted = CanaryOutcome {
            arm: slice.arm(),
            slot,
            client,
            failed,
            seen,
            timed: true,
            micros,
            response: ResponseOutcome::NONE,
            route: None,
            endpoint: None,
        };
        self.epoch.count(worker, &counted, told);
    }

    /// Where the judge reads.
    #[must_use]
    pub(crate) fn canary(&self) -> &CanaryStats {
        &self.canary
    }

    /// The latencies of a slice: the middle of each bucket that has some, in microseconds, and how many.
    pub(crate) fn latencies(&self, slice: FaultSlice) -> impl Iterator<Item = (u64, u64)> {
        self.latencies.counted(slice.arm())
    }

    /// What was counted of a slice so far.
    #[must_use]
    pub(crate) fn totals(&self, slice: FaultSlice) -> SliceTotals {
        let number = slice as usize;
        let arms = self.canary.totals().into_iter().filter_map(|epoch| epoch.arms.get(slice.arm() as usize).copied());
        let (requests, failed) =
            arms.fold((0, 0), |(requests, failed), arm| (requests + arm.requests, failed + arm.failures));
        let cells = self.cells.iter().filter_map(OnceLock::get);
        SliceTotals {
            requests,
            failed,
            injected: cells.map(|cell| cell.injected[number].value()).sum(),
            users: u64::from(self.users[number].count()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn ended(stats: &FaultStats, slice: FaultSlice, slot: Option<u32>, failed: bool) {
        let sample = stats.begin(0, FaultAsked { slice, slot, client: Some(HERE), begun_ms: 0 });
        let injected = slice == FaultSlice::Fault;
        stats.record(0, sample, FaultOutcome { failed, seen: ResponseSeen::Whole, micros: 2_000, injected });
    }

    #[test]
    fn both_slices_are_counted_by_themselves() {
        let stats = FaultStats::new(2_000, true, 2);
        for slot in [1, 1, 2] {
            ended(&stats, FaultSlice::Fault, Some(slot), slot == 1);
        }
        ended(&stats, FaultSlice::Control, None, false);
        let fault = SliceTotals { requests: 3, failed: 2, injected: 3, users: 2 };
        assert_eq!(stats.totals(FaultSlice::Fault), fault);
        let control = SliceTotals { requests: 1, ..SliceTotals::default() };
        assert_eq!(stats.totals(FaultSlice::Control), control);
        assert_eq!(stats.latencies(FaultSlice::Fault).map(|(_, count)| count).sum::<u64>(), 3);
        // The user of slot 1 is one draw.
        let epochs = stats.canary().totals();
        assert_eq!((epochs[0].shares, epochs[0].arms[0].counted_failures), ([2_000, 2_000], 1));
    }

    #[test]
    fn what_hangs_is_counted_as_overdue_before_it_ends_and_once() {
        let stats = FaultStats::new(2_000, false, 1);
        stats.canary().compare_with([[1_000, 2_000, 3_000]; 2]);
        let asked = FaultAsked { slice: FaultSlice::Fault, slot: None, client: Some(HERE), begun_ms: 0 };
        let sample = stats.begin(0, asked);
        stats.canary().sweep(500);
        let overdue = || stats.canary().totals()[0].arms[0].overdue;
        assert_eq!(overdue(), [1; 3]);
        // A client that leaves says nothing of whether it would have failed.
        let left = FaultOutcome { failed: false, seen: ResponseSeen::Nothing, micros: 900_000, injected: true };
        stats.record(0, sample, left);
        assert_eq!((overdue(), stats.totals(FaultSlice::Fault).requests), ([1; 3], 0));
    }

    #[test]
    fn a_slice_of_all_users_leaves_no_control_slice() {
        let stats = FaultStats::new(100_000, true, 1);
        ended(&stats, FaultSlice::Fault, Some(7), false);
        assert_eq!(stats.canary().totals()[0].shares, [100_000, 0]);
    }
}
