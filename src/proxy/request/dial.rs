//! The step that finds a connection: an endpoint of the version by two choices, a pooled connection to it or a new one,
//! and the next endpoint if that one takes no connections.
//!
//! Endpoints are tried one after the other and not at the same time: nearly always the first one has a pooled
//! connection, and an attempt on a second one would cost it a handshake that is thrown away.
//!
//! An endpoint that refuses a connection is not asked again by the same request, and a shortage of descriptors or ports
//! of our own is never counted against an endpoint.

use std::error::Error;
use std::time::Duration;

use tokio::time::Instant;

use super::chaos_attempt;
use super::context::RequestContext;
use super::destination::Destination;
use super::local_reply::LocalReply;
use super::private;
use super::upstream_connection::UpstreamConnection;
use crate::proxy::connection::stream_permit::StreamPermit;
use crate::proxy::report::in_flight::InFlightGuard;
use crate::proxy::worker::Worker;
use crate::stats::{RejectReason, UpstreamFailure};
use crate::table::{Endpoint, Version};
use crate::tls::Handshake;
use crate::upstream::budget::{NoPermit, PermitClaim, UpstreamPermit};
use crate::upstream::{ConnectError, ConnectLimits, ConnectTarget, Opened, balance, connect};

/// Why there is no connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NoConnection {
    /// No endpoint of the version takes one. The failures have been counted.
    Endpoints {
        /// Whether one was asked for. If not, all of them are paused, and other requests have just tried.
        tried: bool,
    },
    /// We have no room for one, which says nothing of the version: another one would not help.
    Own(LocalReply),
}

impl NoConnection {
    /// The reply; `endpoints` is its text if the endpoints are the reason.
    #[must_use]
    pub(crate) fn reply(self, endpoints: &'static str) -> LocalReply {
        match self {
            Self::Endpoints { .. } => LocalReply::new(RejectReason::ConnectFailed, endpoints),
            Self::Own(reply) => reply,
        }
    }

    fn out_of_descriptors() -> Self {
        let detail = "the proxy has no room for another connection to an endpoint";
        Self::Own(LocalReply::new(RejectReason::OutOfDescriptors, detail).retry_after(1))
    }
}

/// What the search for a connection has come to so far.
struct Dialing {
    began: Instant,
    /// Endpoints that are not asked again, by their indices.
    left_out: Vec<usize>,
    /// Whether a connection was asked for.
    tried: bool,
    /// Whether idle connections were closed for their descriptors.
    made_room: bool,
    /// Whether an endpoint was left out for want of descriptors or ports of our own.
    short: bool,
}

impl Dialing {
    fn begin(now: Instant) -> Self {
        Self { began: now, left_out: Vec::new(), tried: false, made_room: false, short: false }
    }

    /// Takes endpoints for such that were asked and took no connection.
    #[cold]
    fn leave_out(&mut self, refused: Vec<usize>) {
        self.tried = !refused.is_empty();
        self.left_out = refused;
    }

    /// The end of the search, when no endpoint is left.
    fn failed(&self) -> NoConnection {
        if self.short { NoConnection::out_of_descriptors() } else { NoConnection::Endpoints { tried: self.tried } }
    }

    /// Whether a new connection to `endpoint` may be tried. A paused one is the last resort, and not one after the
    /// other until all of them have kept the request waiting.
    fn may_try(&self, endpoint: &Endpoint, now: Instant, connect_timeout: Duration) -> bool {
        !endpoint.stats.health.is_paused() || now.duration_since(self.began) < connect_timeout
    }

    /// Makes room after a shortage of descriptors or ports of our own, or leaves the endpoint out. After a flip idle
    /// connections may be as many as the clients'. Once: others put theirs back meanwhile, and ports do not come back
    /// by closing.
    fn make_room(&mut self, worker: &Worker, index: usize) {
        if std::mem::replace(&mut self.made_room, true) || worker.pools.close_idle() == 0 {
            self.left_out.push(index);
            self.short = true;
        }
    }
}

/// Finds a connection to `destination`. `now` is this moment, as far as nothing was waited for since the clock was
/// read. With `fresh`, pooled connections are left alone.
///
/// # Errors
/// [`NoConnection`] when every endpoint that could be asked refused, or none could be asked, or there is no room.
pub(crate) async fn dial(
    worker: &Worker,
    destination: &Destination,
    fresh: bool,
    now: Instant,
    context: &mut RequestContext,
) -> Result<UpstreamConnection, NoConnection> {
    let (service, version) = destination.both();
    let connect_timeout = service.spec.policy.connect_timeout;
    let mut dialing = Dialing::begin(now);
    if context.chaos.is_some() {
        dialing.leave_out(chaos_attempt::refused(worker, destination, now, context));
    }
    if !fresh && let Some(connection) = take_private(worker, version, &dialing, context) {
        return Ok(connection);
    }
    let mut now = now;
    loop {
        let now_ms = worker.clock_ms(now);
        #[expect(clippy::cast_possible_truncation, reason = "any 64 of the 128 random bits will do")]
        let chance = worker.random() as u64;
        let Some((index, endpoint)) = balance::pick(version, now_ms, chance, &dialing.left_out) else {
            return Err(dialing.failed());
        };
        let in_flight = InFlightGuard::enter(&endpoint.stats);
        let pooled = if fresh { None } else { worker.pools.take(&endpoint.stats, version.protocol, now) };
        context.note_endpoint(index, pooled.is_some());
        if let Some((sender, opened)) = pooled {
            return Ok(UpstreamConnection { sender, in_flight, reused: true, since: now, opened });
        }
        if !dialing.may_try(endpoint, now, connect_timeout) || !endpoint.stats.health.claim_last_resort(now_ms) {
            dialing.left_out.push(index);
            continue;
        }
        // On the heap: a request that finds a connection has no room for what it takes to make one.
        let permit = Box::pin(take_permit(worker, context, connect_timeout)).await?;
        dialing.tried = true;
        let dialed = Dialed { version, endpoint, now, connect_timeout };
        match Box::pin(open(worker, dialed, permit, in_flight)).await {
            Ok(connection) => {
                note_connected(context, version, endpoint, worker.clock_ms(connection.since));
                return Ok(connection);
            }
            Err(error) if error.is_own() => {
                tracing::warn!(error = &error as &dyn Error, "out of descriptors or ports of our own");
                dialing.make_room(worker, index);
            }
            Err(error) => {
                note_refused(worker, version, endpoint, &error, context);
                dialing.left_out.push(index);
            }
        }
        now = Instant::now();
    }
}

/// A connection that the client has to itself.
fn take_private(
    worker: &Worker,
    version: &Version,
    dialing: &Dialing,
    context: &mut RequestContext,
) -> Option<UpstreamConnection> {
    let (pools, now) = (context.private.as_deref()?, dialing.began);
    let search = private::PrivateSearch { version, left_out: &dialing.left_out, now };
    let private::PrivateConnection { index, sender, opened } = private::take(pools, worker, &search)?;
    let in_flight = InFlightGuard::enter(&version.endpoints[index].stats);
    context.note_endpoint(index, true);
    Some(UpstreamConnection { sender, in_flight, reused: true, since: now, opened })
}

/// A permit for a new connection. Idle connections give theirs up for it.
async fn take_permit(
    worker: &Worker,
    context: &RequestContext,
    connect_timeout: Duration,
) -> Result<UpstreamPermit, NoConnection> {
    let budget = &worker.settings.budget;
    let claim = context.permits.stream.as_ref().map_or(PermitClaim::First, StreamPermit::claim);
    let taken = budget.take(claim).or_else(|none| {
        // Not in vain: others will want them as well.
        if worker.pools.idle() < budget.lacks(claim) {
            return Err(none);
        }
        worker.pools.close_idle();
        budget.take(claim)
    });
    match (taken, claim) {
        (Ok(permit), _) => Ok(permit),
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

/// The endpoint that a new connection goes to.
#[derive(Clone, Copy)]
pub(crate) struct Dialed<'v> {
    /// Its version.
    pub version: &'v Version,
    /// The endpoint.
    pub endpoint: &'v Endpoint,
    /// This moment.
    pub now: Instant,
    /// The longest wait for the connection.
    pub connect_timeout: Duration,
}

/// Opens a connection. One that can be shared is there for other requests as well from here on.
///
/// # Errors
/// When there is none; nothing has been counted.
pub(crate) async fn open(
    worker: &Worker,
    dialed: Dialed<'_>,
    permit: UpstreamPermit,
    in_flight: InFlightGuard,
) -> Result<UpstreamConnection, ConnectError> {
    let Dialed { version, endpoint, now, connect_timeout } = dialed;
    let opened = Opened::now(&endpoint.stats, now);
    worker.pools.opens(&endpoint.stats);
    let limits = ConnectLimits { time: connect_timeout, heads: worker.settings.response_heads };
    let tls = version.tls.as_ref().map(|tls| Handshake::with(tls, endpoint.address, &worker.settings.tls));
    let target = ConnectTarget { endpoint: &endpoint.stats, permit, protocol: version.protocol };
    let connected = connect(target, tls.transpose()?, limits).await?;
    let (sender, shared) = connected.begin().ok_or(ConnectError::Closed(endpoint.address))?;
    if let Some(shared) = shared {
        worker.pools.share(&endpoint.stats, shared, opened);
    }
    Ok(UpstreamConnection { sender, in_flight, reused: false, since: Instant::now(), opened })
}

/// Ends the pause of an endpoint that has taken a connection, if it was paused.
fn note_connected(context: &RequestContext, version: &Version, endpoint: &Endpoint, now_ms: u64) {
    let for_ms = endpoint.stats.health.refuses_for(now_ms);
    if endpoint.stats.health.connected(now_ms) {
        let (service, version, endpoint) = (context.service_name(), version.name.as_str(), endpoint.address);
        tracing::info!(service, version, %endpoint, for_ms, "the endpoint takes connections again");
    }
}

/// Pauses an endpoint that took no connection, and counts the failure.
fn note_refused(
    worker: &Worker,
    version: &Version,
    endpoint: &Endpoint,
    error: &ConnectError,
    context: &mut RequestContext,
) {
    let cause = || error.source().map_or_else(|| error.to_string(), ToString::to_string);
    if endpoint.stats.health.refused(worker.clock_ms(Instant::now()), cause) {
        let (service, version) = (context.service_name(), version.name.as_str());
        let (endpoint, cause) = (endpoint.address, cause());
        tracing::warn!(service, version, %endpoint, %error, cause, "the endpoint is paused until it takes connections");
    }
    context.note_failure(UpstreamFailure::Connect);
}
