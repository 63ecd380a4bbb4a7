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
    counted: InFlightAs,
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum InFlightAs {
    Request,
    Tunnel,
    /// Nothing: no user waits for it.
    Copy,
}

impl InFlightGuard {
    /// Counts a request in.
    #[must_use]
    pub(crate) fn enter(endpoint: &Arc<EndpointStats>) -> Self {
        endpoint.enter();
        Self { endpoint: Arc::clone(endpoint), counted: InFlightAs::Request }
    }

    /// Counts nothing: for the copy of a request, which no choice between endpoints and no judgement of them looks at.
    #[must_use]
    pub(crate) fn of_copy(endpoint: &Arc<EndpointStats>) -> Self {
        Self { endpoint: Arc::clone(endpoint), counted: InFlightAs::Copy }
    }

    #[must_use]
    pub(crate) fn endpoint(&self) -> &Arc<EndpointStats> {
        &self.endpoint
    }

    /// The request has become a tunnel: it has ended well, and goes on.
    pub(crate) fn become_tunnel(&mut self) {
        if self.counted == InFlightAs::Request {
            self.counted = InFlightAs::Tunnel;
            self.endpoint.become_tunnel();
        }
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        match self.counted {
            InFlightAs::Request => self.endpoint.leave(),
            InFlightAs::Tunnel => self.endpoint.leave_tunnel(),
            InFlightAs::Copy => {}
        }
    }
}
