//! What a request says of the objectives of its service, when it has ended.
//!
//! What counts is what the client got, whichever endpoint or version it came from in the end: attempts that failed on
//! the way are the business of versions and endpoints.

use super::context::RequestContext;
use super::finish::RequestOutcome;
use super::local_reply::FaultParty;
use crate::proxy::report::objective_notes::ObjectiveNotes;
use crate::stats::{RejectReason, SloOutcome};
use crate::table::ActiveSlo;

impl RequestContext {
    /// Notes that the response is a stream of events, which ends when its client has enough of it.
    pub(super) fn note_endless(&mut self) {
        self.objectives.is_endless = true;
    }

    /// Notes how a call of gRPC ended, also for a chaos run.
    pub(super) fn note_call(&mut self, grpc_status: &[u8]) {
        if let Some(chaos) = &mut self.chaos {
            chaos.note_call(grpc_status);
        }
        let slo = self.destination.as_ref().and_then(|destination| destination.service().slo.as_ref());
        if let Some(slo) = slo {
            self.objectives.call_failed = slo.spec.is_failed_call(grpc_status);
        }
    }

    /// Counts what the client got, by the objectives of its service.
    #[inline(never)]
    pub(super) fn count_by_objectives(&self, slo: &ActiveSlo, outcome: RequestOutcome, micros: u64) {
        let ObjectiveNotes { call_failed, is_endless } = self.objectives;
        let failed = match outcome {
            RequestOutcome::Complete(_) => call_failed || self.status.is_none_or(|status| status.is_server_error()),
            RequestOutcome::UpstreamBroke(_) | RequestOutcome::Panicked => true,
            RequestOutcome::Rejected(reply, _) => reply.fault() != FaultParty::Client,
            RequestOutcome::ClientBroke(_) | RequestOutcome::ClientLeft | RequestOutcome::Configured(..) => false,
        };
        // A client that leaves has waited for us; one whose request is at fault has kept us waiting.
        let by_client = match outcome {
            RequestOutcome::ClientBroke(_) => true,
            RequestOutcome::Rejected(reply, _) => !failed && reply.reason != RejectReason::ClientGone,
            RequestOutcome::Complete(_)
            | RequestOutcome::UpstreamBroke(_)
            | RequestOutcome::ClientLeft
            | RequestOutcome::Configured(..)
            | RequestOutcome::Panicked => false,
        };
        let slow = micros > slo.under_us && !is_endless && !by_client;
        slo.stats.count(self.worker.index, SloOutcome { failed, slow, by_fault: self.is_faulted() });
    }
}
