//! What is counted for as long as something lasts: counted in when it is made, out when it is dropped.

use std::sync::Arc;

use crate::shared::count::Count;
use crate::stats::EndpointStats;

/// A worker's gauge with one counted in; dropping it counts it out.
#[derive(Debug)]
pub(crate) struct GaugeGuard<'c>(&'c Count);

impl<'c> GaugeGuard<'c> {
    /// Counts one in.
    #[must_use]
    pub(crate) fn new(gauge: &'c Count) -> Self {
        gauge.add(1);
        Self(gauge)
    }
}

impl Drop for GaugeGuard<'_> {
    fn drop(&mut self) {
        self.0.sub(1);
    }
}

/// A request in flight to an endpoint; dropping it counts it out.
#[derive(Debug)]
pub(crate) struct InFlightGuard {
    endpoint: Arc<EndpointStats>,
    tunnel: bool,
}

impl InFlightGuard {
    /// Counts a request in.
    #[must_use]
    pub(crate) fn enter(endpoint: &Arc<EndpointStats>) -> Self {
        endpoint.enter();
        Self { endpoint: Arc::clone(endpoint), tunnel: false }
    }

    #[must_use]
    pub(crate) fn endpoint(&self) -> &Arc<EndpointStats> {
        &self.endpoint
    }

    /// The request has become a tunnel: it has ended well, and goes on.
    pub(crate) fn become_tunnel(&mut self) {
        if !std::mem::replace(&mut self.tunnel, true) {
            self.endpoint.become_tunnel();
        }
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if self.tunnel { self.endpoint.leave_tunnel() } else { self.endpoint.leave() }
    }
}
