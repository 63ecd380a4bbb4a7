//! What a request says of its endpoint: [`note_failure`](crate::proxy::request::context::RequestContext::note_failure)
//! counts an attempt for the version, this for the endpoint, which is ejected after too many failures in a row.
//!
//! A request that ends well only reads the endpoint's state; nothing is written to the shared cache line but the count
//! in flight that the balancer needs anyway.

use crate::stats::UpstreamFailure;
use crate::table::ejection::{self, Ejection};
use crate::table::{Endpoint, Service, Version};

/// The endpoint that a request was sent to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReportedEndpoint<'r> {
    pub(crate) service: &'r Service,
    pub(crate) version: &'r Version,
    /// Its index in the version.
    pub(crate) index: usize,
}

impl<'r> ReportedEndpoint<'r> {
    pub(crate) fn endpoint(&self) -> Option<&'r Endpoint> {
        self.version.endpoints.get(self.index)
    }

    /// Notes an attempt that failed.
    pub(crate) fn failed(self, failure: UpstreamFailure, now_ms: u64) {
        // A refused connection has paused the endpoint already.
        if failure == UpstreamFailure::Connect {
            return;
        }
        let (Some(endpoint), Some(spec)) = (self.endpoint(), &self.service.spec.policy.outlier) else { return };
        let in_a_row = endpoint.stats.health.fault();
        // Again at each multiple, for a floor that may have gone.
        let many = in_a_row.is_multiple_of(spec.consecutive_failures);
        if !many && !endpoint.stats.health.is_ejected() {
            return;
        }
        let (service, version, address) =
            (self.service.spec.name.as_str(), self.version.name.as_str(), endpoint.address);
        let last = failure.word();
        match ejection::eject(self.version, self.index, spec, now_ms) {
            Ejection::Ejected(for_ms) => {
                tracing::warn!(service, version, endpoint = %address, in_a_row, last, for_ms, "the endpoint is ejected");
            }
            Ejection::Floor if in_a_row == spec.consecutive_failures => {
                tracing::warn!(service, version, endpoint = %address, in_a_row, last, "not ejected: too few others are left");
            }
            Ejection::Floor | Ejection::Already => {}
        }
    }

    /// Notes the head of a response that is no failure; the clock is asked only if that is news.
    pub(crate) fn responded(self, now_ms: impl FnOnce() -> u64) {
        let Some(endpoint) = self.endpoint() else { return };
        if endpoint.stats.health.is_out() && endpoint.stats.health.answered(now_ms()) {
            let (service, version) = (self.service.spec.name.as_str(), self.version.name.as_str());
            tracing::info!(service, version, endpoint = %endpoint.address, "the endpoint answers and is back");
        }
    }

    /// Notes a request that came to a good end.
    pub(crate) fn completed(self) {
        if let Some(endpoint) = self.endpoint() {
            endpoint.stats.health.completed();
        }
    }
}
