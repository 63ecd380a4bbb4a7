//! A connection to an endpoint, in the hands of one request.

use std::sync::Arc;

use tokio::time::Instant;

use crate::proxy::report::in_flight::InFlightGuard;
use crate::proxy::worker::Worker;
use crate::stats::EndpointStats;
use crate::upstream::http1::Http1;
use crate::upstream::{Opened, Pools, RequestSender};

/// What sends one request to an endpoint, and what is known of it.
#[derive(Debug)]
pub(crate) struct UpstreamConnection {
    /// Sends the request.
    pub sender: RequestSender,
    /// The endpoint, with the request counted in.
    pub in_flight: InFlightGuard,
    /// Whether it was used before: an origin may have closed it since.
    pub reused: bool,
    /// When it was there: the moment that it was asked for, or the one in which a new one was connected.
    pub since: Instant,
    /// When it was opened.
    pub opened: Opened,
}

impl UpstreamConnection {
    #[must_use]
    pub(crate) fn endpoint(&self) -> &Arc<EndpointStats> {
        self.in_flight.endpoint()
    }

    /// Gives the connection, which came with the response, back to its pool: both bodies came to their end. That pool
    /// is the `private` one of the client connection, if it has one. A shared connection never left its pool.
    #[inline(always)]
    pub(crate) fn give_back(&self, worker: &Worker, private: Option<&Pools>, connection: Box<Http1>, now: Instant) {
        if private.is_none() && worker.settings.budget.is_waited_for() {
            // Another request, perhaps of another worker, has more use for its permit.
            connection.close();
        } else if !worker.draining() {
            // One is enough for the steps of a handshake, and no other client can use what a private pool keeps.
            private.map(Pools::close_idle);
            private.unwrap_or(&worker.pools).put(self.endpoint(), connection, self.opened, now);
        }
    }
}
