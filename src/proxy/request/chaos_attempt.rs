//! What a fault does to one attempt: instead of sending it, before it is sent, or instead of a connection for it.
//!
//! An attempt and not the request, so that retries, failover and the shield can save the user: whether they do is what
//! an experiment asks. Nothing is done to connections, which other requests use: one that was found for an attempt that
//! is not sent goes back to its pool. And nothing that becomes of such an attempt is told of its endpoint.
//!
//! A wait looks now and then whether its fault is still in force. An experiment that is stopped lets its requests go on
//! at once, not when the longest of them would have.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep_until};

use super::chaos_request::FaultyAttempt;
use super::context::RequestContext;
use super::destination::Destination;
use super::send::SendError;
use super::upstream_connection::UpstreamConnection;
use crate::message::known_headers::{CONTENT_TYPE, GRPC_MESSAGE, GRPC_STATUS};
use crate::message::{Headers, Response};
use crate::proxy::body::spoiler::BodySpoiler;
use crate::proxy::worker::Worker;
use crate::stats::UpstreamFailure;
use crate::table::fault_table::PlacedFault;
use crate::table::spec::fault::{FaultAbort, FaultKind};
use crate::upstream::{Incoming, RequestSender, balance};

/// How often a wait looks whether its fault is still in force.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What comes of an attempt that is not sent.
type Injected = Result<Box<Response<Incoming>>, SendError>;

/// The endpoints of `destination` that take no connection of this request, by their indices. If the balancer would
/// have chosen one of them, that is a failed attempt.
#[cold]
pub(crate) fn refused(
    worker: &Worker,
    destination: &Destination,
    now: Instant,
    context: &mut RequestContext,
) -> Vec<usize> {
    let now_ms = worker.clock_ms(now);
    let Some(chaos) = context.chaos.as_deref_mut() else { return Vec::new() };
    // The attempt before is over.
    chaos.attempt.endpoint = None;
    if !matches!(chaos.acting(now_ms), Some(FaultKind::Refuse)) || !is_in_force(worker, &chaos.fault, now) {
        return Vec::new();
    }
    let (service, version) = (destination.service(), destination.version());
    let endpoints = version.endpoints.iter().enumerate();
    let aimed = endpoints.filter(|(_, endpoint)| chaos.fault.is_aimed_at(service, version, endpoint));
    let refused: Vec<usize> = aimed.map(|(index, _)| index).collect();
    #[expect(clippy::cast_possible_truncation, reason = "any 64 of the 128 random bits will do")]
    let chance = worker.random() as u64;
    // Not claimed: an endpoint that comes back waits for one request, which must not be one that does not ask it.
    let picked = balance::preview(version, now_ms, chance).filter(|picked| refused.contains(picked));
    if let Some(picked) = picked {
        chaos.injected = true;
        chaos.attempt.endpoint = Some(picked);
        context.endpoint = None;
        context.note_failure(UpstreamFailure::Connect);
    }
    refused
}

/// Does to an attempt what the fault of its request does. `None`: it is to be sent.
#[cold]
pub(crate) async fn inject(
    worker: &Worker,
    destination: &Destination,
    connection: &mut UpstreamConnection,
    context: &mut RequestContext,
) -> Option<Injected> {
    let now = Instant::now();
    let chaos = context.chaos.as_deref_mut()?;
    let before = std::mem::take(&mut chaos.attempt);
    let kind = chaos.acting(worker.clock_ms(now))?.clone();
    let index = context.endpoint?;
    let (service, version) = (destination.service(), destination.version());
    let aimed = version.endpoints.get(index).is_some_and(|one| chaos.fault.is_aimed_at(service, version, one));
    if !aimed || matches!(kind, FaultKind::Nothing | FaultKind::Refuse | FaultKind::Exhaust { .. }) {
        return None;
    }
    if !is_in_force(worker, &chaos.fault, now) {
        return None;
    }
    let (endpoint, spoiler) = (Some(index), BodySpoiler::of(&kind));
    // A body is spoilt when it comes.
    chaos.injected |= spoiler.is_none();
    chaos.attempt = FaultyAttempt { endpoint, spoiler, has_waited: false };
    let fault = Arc::clone(&chaos.fault);
    context.endpoint = None;
    let timeout = connection.since + service.spec.policy.response_timeout;
    match kind {
        FaultKind::Latency { .. } if before.has_waited => None,
        FaultKind::Latency { fixed, jitter } => {
            let until = now + fixed + jitter.mul_f64(fraction(worker.random()));
            delay(worker, &fault, connection, [until, timeout]).await.map(|error| {
                note_wait(context, error);
                release(worker, connection, context);
                Err(error)
            })
        }
        FaultKind::Abort(abort) => {
            release(worker, connection, context);
            Some(Ok(Box::new(aborted(abort))))
        }
        FaultKind::Reset => {
            release(worker, connection, context);
            Some(Err(SendError::Broken))
        }
        FaultKind::Hang => {
            release(worker, connection, context);
            let hung = wait_until(worker, &fault, timeout).await;
            // Over before its time: the attempt is sent after all, on another connection.
            Some(Err(if hung { SendError::Timeout } else { SendError::Unsent }))
        }
        FaultKind::Bandwidth { .. }
        | FaultKind::Cut { .. }
        | FaultKind::Nothing
        | FaultKind::Refuse
        | FaultKind::Exhaust { .. } => None,
    }
}

/// Waits until the one moment, and no longer than to the other one, at which the response is due. Returns why the
/// attempt cannot be sent after that.
async fn delay(
    worker: &Worker,
    fault: &PlacedFault,
    connection: &mut UpstreamConnection,
    [until, timeout]: [Instant; 2],
) -> Option<SendError> {
    if wait_until(worker, fault, until.min(timeout)).await && until >= timeout {
        return Some(SendError::Timeout);
    }
    match &mut connection.sender {
        // The endpoint may have closed it meanwhile, as it may an idle one.
        RequestSender::Http1(http1) => (!http1.is_quiet()).then_some(SendError::Unsent),
        RequestSender::Http2(_) | RequestSender::Spent => None,
    }
}

/// Notes that the attempt has waited, if it goes out again for that reason only.
fn note_wait(context: &mut RequestContext, error: SendError) {
    if let Some(chaos) = context.chaos.as_deref_mut() {
        chaos.attempt.has_waited = error == SendError::Unsent;
    }
}

/// Gives the connection of an attempt that is not sent back to its pool.
fn release(worker: &Worker, connection: &mut UpstreamConnection, context: &RequestContext) {
    match std::mem::replace(&mut connection.sender, RequestSender::Spent) {
        RequestSender::Http1(http1) => {
            connection.give_back(worker, context.private.as_deref(), http1, Instant::now());
        }
        // Its connection is in the pool all the time.
        RequestSender::Http2(_) | RequestSender::Spent => {}
    }
}

/// What the endpoint would have answered.
fn aborted(abort: FaultAbort) -> Response<Incoming> {
    let mut headers = Headers::default();
    let status = match abort {
        FaultAbort::Http(status) => status,
        FaultAbort::Grpc(status) => {
            headers.append(CONTENT_TYPE, "application/grpc");
            headers.append(GRPC_STATUS, status.to_string());
            headers.append(GRPC_MESSAGE, "fault injected");
            StatusCode::OK
        }
    };
    let mut response = Response::new(Incoming::Nothing);
    (response.status, response.headers) = (status, headers);
    response
}

/// Waits until a moment, as long as the fault is in force. Returns whether it was to the end.
async fn wait_until(worker: &Worker, fault: &PlacedFault, until: Instant) -> bool {
    loop {
        let now = Instant::now();
        if now >= until {
            return true;
        }
        if !is_in_force(worker, fault, now) {
            return false;
        }
        sleep_until(until.min(now + LOOK_EVERY)).await;
    }
}

/// Whether the fault is in force still: a request keeps its table, and a fault may end before the request does.
pub(crate) fn is_in_force(worker: &Worker, fault: &PlacedFault, now: Instant) -> bool {
    let table = worker.snapshot();
    let mut faults = table.faults().all();
    !fault.is_over(worker.clock_ms(now)) && faults.any(|other| other.run == fault.run && other.injecting)
}

/// A number from 0 to below 1.
fn fraction(random: u128) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a double has")]
    let fraction = (random >> 75) as f64 / (1_u64 << 53) as f64;
    fraction
}
