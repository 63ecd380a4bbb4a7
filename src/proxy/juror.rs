//! What a request says about a version under rollout.
//!
//! A request testifies once, on the version that the lot sent it to, whatever becomes of it afterwards: a replay on another
//! version, a retry or a second endpoint cannot mend what the first attempt met. The lot has to be one whose odds are
//! known, so a request that a rule sent does not testify.
//!
//! A version that has no endpoint for its requests has failed them, although others answer: left out, a version that is
//! dead would look untried. Only where operators drained all of it nobody is to blame, and nothing is said for either
//! version.
//!
//! A call of gRPC fails in an answer of 200: its status is in the headers of an answer without a body, else in the trailers.

use crate::stats::Contender;
use crate::table::{Cause, Decision, OnTrial, Service};

/// A request that has not testified yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Juror {
    contender: Contender,
    /// The slot that the lot fell on; none: on the request itself.
    slot: Option<u32>,
}

impl Juror {
    /// The request that `decision` is about, if it testifies.
    pub(super) fn called(decision: &Decision<'_>) -> Option<Self> {
        let trial = decision.service.trial.as_ref()?;
        let slot = match decision.cause {
            Cause::Rule(_) => return None,
            Cause::Key(_) => decision.slot,
            Cause::Chance => None,
        };
        if decision.passed_on() && is_drained(decision.service, decision.assigned) {
            trial.epoch.suspend();
            return None;
        }
        let contender = trial.contender(decision.assigned).filter(|_| trial.epoch.judges())?;
        Some(Self { contender, slot })
    }

    /// The one of a request that no version can answer: its own has failed it.
    pub(super) fn turned_away(service: &Service, assigned: u16, (cause, slot): (Cause, Option<u32>)) -> Option<Self> {
        let trial = service.trial.as_ref()?;
        if matches!(cause, Cause::Rule(_)) || is_drained(service, assigned) {
            return None;
        }
        let contender = trial.contender(assigned).filter(|_| trial.epoch.judges())?;
        Some(Self { contender, slot: slot.filter(|_| matches!(cause, Cause::Key(_))) })
    }

    /// Says how it went.
    pub(super) fn testify(self, service: &Service, worker: usize, failed: bool, micros: u64) {
        if let Some(trial) = &service.trial {
            trial.epoch.count(worker, (self.contender, self.slot), failed, micros);
        }
    }
}

/// Whether operators have taken all of a version out.
fn is_drained(service: &Service, version: u16) -> bool {
    let endpoints = &service.versions[usize::from(version)].endpoints;
    !endpoints.is_empty() && endpoints.iter().all(|endpoint| endpoint.drained)
}

/// Whether a call of gRPC that ended with this status failed by the server's fault.
pub(super) fn is_failed_call(status: &[u8], trial: &OnTrial) -> bool {
    let status = std::str::from_utf8(status).ok().and_then(|status| status.parse().ok());
    status.is_some_and(|status| trial.epoch.is_failed_call(status))
}
