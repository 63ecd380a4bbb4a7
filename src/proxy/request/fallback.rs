//! The stable fallback ("shield"): a failed attempt on a version under rollout is replayed once on the stable one.
//!
//! The user gets the stable version's response; the failed version keeps the failure on its account, and the request's
//! first attempt is counted there, so that nothing is hidden from the judge of the release. Only what may be sent twice
//! is: idempotent methods (RFC 9110, 9.2.2), no body or one that was kept whole. Before anything is sent, a copy of the
//! head is made, which only services with a shield pay for, and of them only requests to other versions than the stable
//! one.

use std::rc::Rc;

use http::Method;
use tokio::time::Instant;

use super::context::RequestContext;
use super::destination::Destination;
use super::dial::dial;
use super::edge_request::EdgeRequest;
use super::flag_headers;
use super::forward::{Attempt, UpstreamResponse, forward};
use super::local_reply::{FaultParty, LocalReply};
use super::send::OutboundRequest;
use crate::message::RequestHead;
use crate::proxy::body::request_body::{BodyState, Recording, RequestBody};
use crate::proxy::worker::Worker;
use crate::stats::UpstreamFailure;
use crate::table::spec::{On500, Shield};

/// What a replay needs.
#[derive(Debug)]
pub(crate) struct ReplayState {
    head: RequestHead,
    /// None: the request has no body.
    recording: Option<Rc<Recording>>,
    stable: Destination,
}

impl ReplayState {
    /// Keeps what a replay of this request on the stable version needs, and its interim responses until it is known
    /// whose response the client gets. `None`: it is not to be replayed.
    #[must_use]
    pub(crate) fn keep(
        shield: &Shield,
        destination: &Destination,
        head: &RequestHead,
        body: &mut RequestBody,
        context: &mut RequestContext,
    ) -> Option<Self> {
        let stable = destination.service().stable().filter(|stable| *stable != destination.version_index())?;
        if !head.method.is_idempotent() {
            return None;
        }
        let recording =
            if matches!(body, RequestBody::Empty) { None } else { Some(body.record(shield.body_bytes_max)?) };
        context.interim.keep();
        let (mut head, stable) = (head.clone(), destination.to(stable));
        flag_headers::follow(&mut head.headers, &stable);
        Some(Self { head, recording, stable })
    }

    /// The same with the edits of the service and the stable version; `None` if the path does not allow them.
    #[must_use]
    pub(crate) fn edited(mut self, edge: Option<&EdgeRequest>) -> Option<Self> {
        match edge.map(|edge| edge.edit_request(&mut self.head, &self.stable)) {
            None | Some(Ok(())) => Some(self),
            Some(Err(_unclear)) => None,
        }
    }

    /// The body once more, if all of it was kept.
    fn body(&self, state: &BodyState, bytes_max: usize) -> Option<RequestBody> {
        match &self.recording {
            None => Some(RequestBody::Empty),
            Some(recording) => recording.whole(state, bytes_max),
        }
    }
}

/// Passes the first attempt on, or replays the request on the stable version if it failed. Failures of the upstream
/// have been counted.
pub(crate) async fn replay_if_failed(
    worker: &Worker,
    replay: ReplayState,
    first: Attempt,
    context: &mut RequestContext,
) -> Attempt {
    let shield = first.destination.service().spec.policy.shield.as_ref();
    let Some(shield) = shield.filter(|shield| has_failed(&first.result, &replay.head.method, shield.on_500)) else {
        context.interim.release();
        return first;
    };
    let now = Instant::now();
    let ready = replay.stable.version().usable(worker.clock_ms(now));
    let body = replay.body(&first.request_body, shield.body_bytes_max);
    let Some(body) = body.filter(|_| ready && context.allow_replay()) else {
        context.interim.release();
        return first;
    };
    context.interim.discard();
    if first.result.is_ok() {
        context.note_failure(UpstreamFailure::Status);
    }
    // The response that no client gets, with its connection: reading it to its end would cost more than a new
    // connection.
    drop(first);
    context.fall_back(replay.stable.clone());
    let request_body = Rc::new(BodyState::of_no_body(now));
    let result = replay_on_stable(worker, &replay, body, &request_body, context).await;
    Attempt { result, destination: replay.stable, request_body }
}

/// The second attempt.
async fn replay_on_stable(
    worker: &Worker,
    replay: &ReplayState,
    mut body: RequestBody,
    state: &Rc<BodyState>,
    context: &mut RequestContext,
) -> Result<UpstreamResponse, LocalReply> {
    let dialed = dial(worker, &replay.stable, false, Instant::now(), context).await;
    let connection = dialed.map_err(|none| none.reply("neither version takes a connection"))?;
    let request = OutboundRequest { head: &replay.head, body: &mut body, state };
    forward(worker, &replay.stable, connection, request, context).await
}

/// Whether an attempt failed as the shield understands it.
fn has_failed(attempt: &Result<UpstreamResponse, LocalReply>, method: &Method, on_500: On500) -> bool {
    match attempt {
        Err(reply) => reply.fault() == FaultParty::Upstream,
        Ok(response) => match response.response.status.as_u16() {
            502..=504 => true,
            500 => match on_500 {
                On500::Never => false,
                On500::Safe => method.is_safe(),
                On500::Idempotent => method.is_idempotent(),
            },
            _ => false,
        },
    }
}
