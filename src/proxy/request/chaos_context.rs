//! What the context of a request has to do with a chaos run, if there is one on its service.
//!
//! A request of the fault slice is kept apart from all that learns from requests: it is no sample for the judge of a
//! release, no exposure and no conversion of an experiment. An attempt that the fault is done to has no endpoint in the
//! context, so that no step reports anything of one. What is counted of versions and services is what users get, and
//! stays.

use tokio::time::Instant;

use super::chaos_attempt;
use super::chaos_request::ChaosRequest;
use super::context::RequestContext;
use crate::proxy::body::spoiler::BodySpoiler;
use crate::stats::UpstreamFailure;
use crate::table::Endpoint;

impl RequestContext {
    /// Whether a fault of our own was done to the request.
    #[must_use]
    pub(crate) fn is_faulted(&self) -> bool {
        self.chaos.as_ref().is_some_and(|chaos| chaos.injected)
    }

    /// Notes that a fault was done to it.
    pub(crate) fn note_faulted(&mut self) {
        if let Some(chaos) = &mut self.chaos {
            chaos.injected = true;
        }
    }

    /// Whether it says nothing of versions, flags and experiments, because a fault is done to its user.
    pub(crate) fn is_kept_apart(&self) -> bool {
        self.chaos.as_ref().is_some_and(|chaos| chaos.is_kept_apart())
    }

    /// Puts it into a slice.
    pub(super) fn enter_slice(&mut self, chaos: Box<ChaosRequest>) {
        if chaos.is_kept_apart() {
            self.sample = None;
        }
        self.chaos = Some(chaos);
    }

    /// When the request came, as far as its time counts.
    pub(super) fn begun(&self) -> Instant {
        self.started + self.held
    }

    /// What is done to the body of its response.
    pub(crate) fn take_spoiler(&mut self) -> Option<BodySpoiler> {
        self.chaos.as_mut()?.attempt.spoiler.take()
    }

    /// Whether what is done to it is still in force at `now`.
    pub(crate) fn is_fault_in_force(&self, now: Instant) -> bool {
        self.chaos.as_ref().is_some_and(|chaos| chaos_attempt::is_in_force(&self.worker, &chaos.fault, now))
    }

    /// Counts a failed attempt apart, if a fault is what it met.
    pub(super) fn note_fault_caused(&self, failure: UpstreamFailure) {
        let met = self.chaos.as_ref().is_some_and(|chaos| chaos.attempt.endpoint.is_some());
        if let (true, Some(destination)) = (met, &self.destination) {
            destination.version().stats.faulted_cell(self.worker.index).failed(failure);
        }
    }

    /// The endpoint of an attempt that a fault is done to.
    #[cold]
    pub(super) fn faulted_endpoint(&self) -> Option<&Endpoint> {
        let index = self.chaos.as_ref()?.attempt.endpoint?;
        self.destination.as_ref()?.version().endpoints.get(index)
    }
}
