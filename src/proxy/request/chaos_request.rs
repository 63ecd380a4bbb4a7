//! What a chaos run has to do with one request: its slice, and what was done to it.
//!
//! It is a part of the context that most requests do not have, on the heap. It knows nothing of connections: what is
//! done is done by [`chaos_attempt`](super::chaos_attempt).

use std::sync::Arc;

use crate::proxy::body::spoiler::BodySpoiler;
use crate::shared::canary_stats::ResponseSeen;
use crate::shared::fault_stats::{FaultOutcome, FaultSample, FaultSlice};
use crate::stats::{ChaosCounters, ChaosResult};
use crate::table::fault_table::PlacedFault;
use crate::table::spec::fault::FaultKind;

/// The statuses of gRPC with which a call fails by the server's fault, a bit each: UNKNOWN, DEADLINE_EXCEEDED,
/// RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE and DATA_LOSS, as the judge of releases has them.
const FAILED_CALLS: u32 = 1 << 2 | 1 << 4 | 1 << 8 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 15;

/// A request of a slice.
#[derive(Debug)]
pub(crate) struct ChaosRequest {
    /// The fault, as the table of the request has it.
    pub fault: Arc<PlacedFault>,
    slice: FaultSlice,
    /// Until it is recorded.
    sample: Option<FaultSample>,
    /// The place that it has among those that the fault leaves.
    place: Option<ChaosPlace>,
    /// Whether the fault was done to it.
    pub injected: bool,
    /// Whether its call of gRPC has failed.
    failed_call: bool,
    /// What the fault is done to at present.
    pub attempt: FaultyAttempt,
}

/// An attempt that a fault is done to.
#[derive(Debug, Default)]
pub(crate) struct FaultyAttempt {
    /// Index of its endpoint in its version. The context has none then: nothing that becomes of the attempt says
    /// anything about the endpoint.
    pub endpoint: Option<usize>,
    /// What is done to the body of its response.
    pub spoiler: Option<BodySpoiler>,
    /// Whether it has waited, and goes out on another connection only because the one that it had was closed meanwhile.
    pub has_waited: bool,
}

/// One of the places that a fault leaves.
#[derive(Debug)]
struct ChaosPlace(Arc<ChaosCounters>);

impl Drop for ChaosPlace {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl ChaosRequest {
    /// A request of `slice` that begins.
    pub(crate) fn new(fault: Arc<PlacedFault>, slice: FaultSlice, sample: FaultSample) -> Self {
        let (place, attempt) = (None, FaultyAttempt::default());
        Self { fault, slice, sample: Some(sample), place, injected: false, failed_call: false, attempt }
    }

    /// Whether it is in the slice that the fault is done to, and the fault is in force: whatever becomes of it, it says
    /// nothing about versions, flags and experiments.
    pub(crate) fn is_kept_apart(&self) -> bool {
        self.slice == FaultSlice::Fault && self.fault.injecting
    }

    /// The fault, if it is done to this request at `now_ms`.
    pub(crate) fn acting(&self, now_ms: u64) -> Option<&FaultKind> {
        (self.is_kept_apart() && !self.fault.is_over(now_ms)).then_some(&self.fault.kind)
    }

    /// Takes one of `places`. Returns whether there was one.
    pub(crate) fn enter(&mut self, places: u32) -> bool {
        let counters = &self.fault.counters;
        self.place = counters.enter(places).then(|| ChaosPlace(Arc::clone(counters)));
        self.place.is_some()
    }

    /// Notes the status of a call of gRPC, as it stands in the response.
    pub(crate) fn note_call(&mut self, status: &[u8]) {
        let status: Option<u32> = std::str::from_utf8(status).ok().and_then(|status| status.parse().ok());
        let failed = status.is_some_and(|status| status < u32::BITS && FAILED_CALLS & 1 << status != 0);
        self.failed_call |= failed;
    }

    /// Counts what its user got, on the worker that has it.
    pub(crate) fn record(&mut self, worker: usize, failed: bool, seen: ResponseSeen, micros: u64) {
        let Some(sample) = self.sample.take() else { return };
        let failed = failed || self.failed_call;
        let result = match seen {
            _ if failed => ChaosResult::Failed,
            ResponseSeen::Whole => ChaosResult::Ok,
            ResponseSeen::Head | ResponseSeen::Nothing => ChaosResult::Gone,
        };
        self.fault.counters.count(worker, self.slice, result);
        let outcome = FaultOutcome { failed, seen, micros, injected: self.injected };
        self.fault.stats.record(worker, sample, outcome);
    }

    /// What the access log says of it: `slow-payments/latency`, if the fault was done to it.
    pub(crate) fn told(&self) -> Option<String> {
        self.injected.then(|| format!("{}/{}", self.fault.experiment, self.fault.kind.word()))
    }
}
