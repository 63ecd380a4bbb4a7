//! The stage that finds a connection: an endpoint of the version by two choices, a pooled connection to it or a new one,
//! the next endpoint if that one does not take connections.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::body::RequestBody;
use super::gauge::InFlight;
use super::observe::Observer;
use super::worker::Worker;
use crate::stats::{EndpointStats, UpstreamFailure};
use crate::table::Version;
use crate::tls::Handshake;
use crate::upstream::http1::Http1;
use crate::upstream::{ConnectError, Opened, Sender, balance, connect};

/// A connection for one exchange.
#[derive(Debug)]
pub struct Lease {
    /// Sends the request.
    pub sender: Sender<RequestBody>,
    /// The endpoint, with the request counted in.
    pub in_flight: InFlight,
    /// Whether it was used before: an origin may have closed it since.
    pub reused: bool,
    /// When it was there: the moment that [`dial`] was called with, or the one in which a new one was connected.
    pub since: Instant,
    opened: Opened,
}

impl Lease {
    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<EndpointStats> {
        self.in_flight.endpoint()
    }

    /// Gives the connection, which came with the answer, back to its pool: both bodies came to their end. A shared one
    /// never left it.
    pub fn give_back(&self, worker: &Worker, connection: Box<Http1>, now: Instant) {
        if !worker.draining() {
            worker.pools.put(self.in_flight.endpoint(), connection, self.opened, now);
        }
    }
}

/// No endpoint of the version takes a connection. The failures have been counted.
#[derive(Clone, Copy, Debug)]
pub struct NoConnection {
    /// Whether one was asked for. If not, all of them are paused, and others have just tried.
    pub tried: bool,
}

/// Finds a connection to `version`; `now` is this moment, as far as nothing was waited for since the look at the clock that it
/// is from. With `fresh`, pooled ones are left alone.
///
/// # Errors
/// [`NoConnection`] when every endpoint that could be asked refused, or none could be asked.
pub async fn dial(
    worker: &Worker,
    version: &Version,
    (connect_timeout, fresh): (Duration, bool),
    now: Instant,
    observer: &Observer,
) -> Result<Lease, NoConnection> {
    let (mut left_out, mut now, mut made_room, mut tried) = (Vec::new(), now, false, false);
    loop {
        let now_ms = worker.clock_ms(now);
        #[expect(clippy::cast_possible_truncation, reason = "any 64 of the 128 random bits will do")]
        let chance = worker.random() as u64;
        let (index, endpoint) = balance::pick(version, now_ms, chance, &left_out).ok_or(NoConnection { tried })?;
        let in_flight = InFlight::enter(&endpoint.stats);
        observer.picked(index);
        if !fresh && let Some((sender, opened)) = worker.pools.take(&endpoint.stats, version.protocol, now) {
            return Ok(Lease { sender, in_flight, reused: true, since: now, opened });
        }
        if !endpoint.stats.rotation.claim_trial(now_ms) {
            left_out.push(index);
            continue;
        }
        tried = true;
        let opened = Opened::now(&endpoint.stats, now);
        let tls = version.tls.as_ref().map(|tls| Handshake::with(tls, endpoint.address, &worker.settings.tls));
        let connected = match tls.transpose() {
            // On the heap: a request that finds a connection has no room for what it takes to make one.
            Ok(tls) => Box::pin(connect(&endpoint.stats, version.protocol, tls, connect_timeout)).await,
            Err(failure) => Err(failure.into()),
        };
        match connected.and_then(|connected| connected.begin().ok_or(ConnectError::Closed(endpoint.address))) {
            Ok((sender, shared)) => {
                if let Some(shared) = shared {
                    worker.pools.share(&endpoint.stats, shared, opened);
                }
                let since = Instant::now();
                if endpoint.stats.rotation.connected(worker.clock_ms(since)) {
                    let (service, version) = (observer.service_name(), version.name.as_str());
                    tracing::info!(service, version, endpoint = %endpoint.address, "the endpoint takes connections again");
                }
                return Ok(Lease { sender, in_flight, reused: false, since, opened });
            }
            Err(error) if error.is_own() => {
                tracing::warn!(error = &error as &dyn std::error::Error, "out of descriptors or ports of our own");
                // Connections that nobody uses have some: after a flip they may be as many as the clients'. Once: others put
                // theirs back meanwhile, and ports do not come back by closing.
                if std::mem::replace(&mut made_room, true) || worker.pools.let_go() == 0 {
                    left_out.push(index);
                }
            }
            Err(error) => {
                let cause = || std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                if endpoint.stats.rotation.refused(worker.clock_ms(Instant::now()), cause) {
                    let (service, version) = (observer.service_name(), version.name.as_str());
                    let (endpoint, cause) = (endpoint.address, cause());
                    tracing::warn!(service, version, %endpoint, %error, cause, "the endpoint is paused until it takes connections");
                }
                observer.failed(UpstreamFailure::Connect);
                left_out.push(index);
            }
        }
        now = Instant::now();
    }
}
