//! The stage that finds a connection: an endpoint of the version by two choices, a pooled connection to it or a new one,
//! the next endpoint if that one does not take connections.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::context::RequestContext;
use super::local_reply::LocalReply;
use super::private;
use crate::proxy::body::transfer::RequestBody;
use crate::proxy::connection::stream_permit::StreamPermit;
use crate::proxy::report::in_flight::InFlightGuard;
use crate::proxy::worker::Worker;
use crate::stats::{EndpointStats, RejectReason, UpstreamFailure};
use crate::table::{Endpoint, Version};
use crate::tls::Handshake;
use crate::upstream::budget::{NoPermit, PermitClaim, UpstreamPermit};
use crate::upstream::http1::Http1;
use crate::upstream::{ConnectError, ConnectLimits, Opened, Pools, RequestSender, balance, connect};

/// A connection for one exchange.
#[derive(Debug)]
pub(crate) struct UpstreamConnection {
    /// Sends the request.
    pub sender: RequestSender<RequestBody>,
    /// The endpoint, with the request counted in.
    pub in_flight: InFlightGuard,
    /// Whether it was used before: an origin may have closed it since.
    pub reused: bool,
    /// When it was there: the moment that [`dial`] was called with, or the one in which a new one was connected.
    pub since: Instant,
    opened: Opened,
}

impl UpstreamConnection {
    /// The endpoint.
    #[must_use]
    pub(crate) fn endpoint(&self) -> &Arc<EndpointStats> {
        self.in_flight.endpoint()
    }

    /// Gives the connection, which came with the answer, back to its pool: both bodies came to their end. That pool is the
    /// client connection's own, if it has one. A shared one never left it.
    pub(crate) fn give_back(
        &self,
        worker: &Worker,
        own: Option<&Pools<RequestBody>>,
        connection: Box<Http1>,
        now: Instant,
    ) {
        if own.is_none() && worker.settings.budget.is_waited_for() {
            // Another request, perhaps of another worker, has more use for its place.
            connection.close();
        } else if !worker.draining() {
            // One is enough for the steps of a handshake. Places are for one of each client's, and these are lent to nobody.
            own.map(Pools::let_go);
            own.unwrap_or(&worker.pools).put(self.in_flight.endpoint(), connection, self.opened, now);
        }
    }
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NoConnection {
    /// No endpoint of the version takes one. The failures have been counted.
    Endpoints {
        /// Whether one was asked for. If not, all of them are paused, and others have just tried.
        tried: bool,
    },
    /// We have no room for one, which says nothing of the version: another one would not help.
    Own(LocalReply),
}

impl NoConnection {
    /// The refusal; `endpoints` is what is said if it is for their sake.
    #[must_use]
    pub(crate) fn refusal(self, endpoints: &'static str) -> LocalReply {
        match self {
            Self::Endpoints { .. } => LocalReply::new(RejectReason::ConnectFailed, endpoints),
            Self::Own(refusal) => refusal,
        }
    }

    fn out_of_descriptors() -> Self {
        let detail = "the proxy has no room for another connection to an endpoint";
        Self::Own(LocalReply::new(RejectReason::OutOfDescriptors, detail).retry_after(1))
    }
}

/// A place for a new connection. Idle ones that nobody uses give theirs up for it.
async fn place(
    worker: &Worker,
    observer: &RequestContext,
    connect_timeout: Duration,
) -> Result<UpstreamPermit, NoConnection> {
    let budget = &worker.settings.budget;
    let claim = observer.permits.stream.as_ref().map_or(PermitClaim::First, StreamPermit::claim);
    let taken = budget.take(claim).or_else(|none| {
        // Not in vain: others will want them as well.
        if worker.pools.idle() < budget.lacks(claim) {
            return Err(none);
        }
        worker.pools.let_go();
        budget.take(claim)
    });
    match (taken, claim) {
        (Ok(place), _) => Ok(place),
        (Err(NoPermit::OfClient), _) => {
            let detail = "this client has more requests in flight than there is room for";
            Err(NoConnection::Own(LocalReply::new(RejectReason::TooManyOfClient, detail).retry_after(1)))
        }
        (Err(NoPermit::AtAll), PermitClaim::First) => {
            let waited = Box::pin(budget.wait(connect_timeout)).await;
            waited.map_err(|_none| NoConnection::out_of_descriptors())
        }
        (Err(NoPermit::AtAll), PermitClaim::Further { .. }) => Err(NoConnection::out_of_descriptors()),
    }
}

/// Finds a connection to `version`; `now` is this moment, as far as nothing was waited for since the look at the clock that it
/// is from. With `fresh`, pooled ones are left alone.
///
/// # Errors
/// [`NoConnection`] when every endpoint that could be asked refused, or none could be asked, or there is no room.
pub(crate) async fn dial(
    worker: &Worker,
    version: &Version,
    (connect_timeout, fresh): (Duration, bool),
    now: Instant,
    observer: &RequestContext,
) -> Result<UpstreamConnection, NoConnection> {
    if let Some(lease) = (!fresh).then(|| kept(worker, version, now, observer)).flatten() {
        return Ok(lease);
    }
    let (began, mut left_out, mut now, mut made_room) = (now, Vec::new(), now, false);
    let (mut tried, mut own) = (false, false);
    loop {
        let now_ms = worker.clock_ms(now);
        #[expect(clippy::cast_possible_truncation, reason = "any 64 of the 128 random bits will do")]
        let chance = worker.random() as u64;
        let Some((index, endpoint)) = balance::pick(version, now_ms, chance, &left_out) else {
            return Err(if own { NoConnection::out_of_descriptors() } else { NoConnection::Endpoints { tried } });
        };
        let in_flight = InFlightGuard::enter(&endpoint.stats);
        observer.picked(index);
        if !fresh && let Some((sender, opened)) = worker.pools.take(&endpoint.stats, version.protocol, now) {
            return Ok(UpstreamConnection { sender, in_flight, reused: true, since: now, opened });
        }
        // As the last resort, and not one after the other until all of them have kept the request waiting.
        let may_try = !endpoint.stats.health.is_paused() || now.duration_since(began) < connect_timeout;
        if !may_try || !endpoint.stats.health.claim_last_resort(now_ms) {
            left_out.push(index);
            continue;
        }
        // On the heap, as what follows it: a request that finds a connection has no room for what it takes to make one.
        let place = Box::pin(place(worker, observer, connect_timeout)).await?;
        tried = true;
        let opened = Opened::now(&endpoint.stats, now);
        let limits = ConnectLimits { time: connect_timeout, heads: worker.settings.response_heads };
        let tls = version.tls.as_ref().map(|tls| Handshake::with(tls, endpoint.address, &worker.settings.tls));
        let connected = match tls.transpose() {
            Ok(tls) => Box::pin(connect((&endpoint.stats, place), version.protocol, tls, limits)).await,
            Err(failure) => Err(failure.into()),
        };
        match connected.and_then(|connected| connected.begin().ok_or(ConnectError::Closed(endpoint.address))) {
            Ok((sender, shared)) => {
                if let Some(shared) = shared {
                    worker.pools.share(&endpoint.stats, shared, opened);
                }
                let since = Instant::now();
                note_connected(observer, version, endpoint, worker.clock_ms(since));
                return Ok(UpstreamConnection { sender, in_flight, reused: false, since, opened });
            }
            Err(error) if error.is_own() => {
                tracing::warn!(error = &error as &dyn std::error::Error, "out of descriptors or ports of our own");
                // Connections that nobody uses have some: after a flip they may be as many as the clients'. Once: others put
                // theirs back meanwhile, and ports do not come back by closing.
                if std::mem::replace(&mut made_room, true) || worker.pools.let_go() == 0 {
                    left_out.push(index);
                    own = true;
                }
            }
            Err(error) => {
                refused(worker, version, index, &error, observer);
                left_out.push(index);
            }
        }
        now = Instant::now();
    }
}

/// A connection that the client has to itself.
fn kept(worker: &Worker, version: &Version, now: Instant, observer: &RequestContext) -> Option<UpstreamConnection> {
    let (index, sender, opened) = private::take(observer.private.as_deref()?, worker, version, now)?;
    let in_flight = InFlightGuard::enter(&version.endpoints[index].stats);
    observer.picked(index);
    Some(UpstreamConnection { sender, in_flight, reused: true, since: now, opened })
}

/// Ends the pause of an endpoint that has taken a connection, if it was paused.
fn note_connected(observer: &RequestContext, version: &Version, endpoint: &Endpoint, now_ms: u64) {
    let for_ms = endpoint.stats.health.refuses_for(now_ms);
    if endpoint.stats.health.connected(now_ms) {
        let (service, version, endpoint) = (observer.service_name(), version.name.as_str(), endpoint.address);
        tracing::info!(service, version, %endpoint, for_ms, "the endpoint takes connections again");
    }
}

/// An endpoint took no connection.
fn refused(worker: &Worker, version: &Version, index: usize, error: &ConnectError, observer: &RequestContext) {
    let endpoint = &version.endpoints[index];
    let cause = || std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    if endpoint.stats.health.refused(worker.clock_ms(Instant::now()), cause) {
        let (service, version) = (observer.service_name(), version.name.as_str());
        let (endpoint, cause) = (endpoint.address, cause());
        tracing::warn!(service, version, %endpoint, %error, cause, "the endpoint is paused until it takes connections");
    }
    observer.failed(UpstreamFailure::Connect);
}
