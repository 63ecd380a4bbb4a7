//! The shield: a failed attempt on a version under rollout is replayed once on the stable one.
//!
//! The user gets the stable version's answer; the failed version keeps the failure on its account, and the request's
//! first attempt is counted there, so that nothing is hidden from whoever judges the release. Only what may be sent twice
//! is: idempotent methods (RFC 9110, 9.2.2), no body or one that was kept whole. Before anything is sent, a copy of the
//! head is made, which only shielded services pay for, and of them only requests to other versions than the stable one.

use std::rc::Rc;

use http::Method;
use http_body::Body;
use tokio::time::Instant;

use super::connect::dial;
use super::context::RequestContext;
use super::forward::{UpstreamResponse, forward};
use super::local_reply::{FaultParty, LocalReply};
use super::route::Destination;
use crate::message::RequestHead;
use crate::proxy::body::transfer::{BodyState, Recording, RequestBody};
use crate::proxy::worker::Worker;
use crate::stats::UpstreamFailure;
use crate::table::spec::On500;

/// What a replay needs.
#[derive(Debug)]
pub(crate) struct ReplayState {
    head: RequestHead,
    recording: Option<Rc<Recording>>,
    stable: Destination,
}

/// An exchange whose head has come.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// The answer.
    pub answer: UpstreamResponse,
    /// Whose it is.
    pub routed: Destination,
    /// What became of the body that was sent for it.
    pub request_body: Rc<BodyState>,
}

impl ReplayState {
    /// Keeps what a replay of this request on the stable version needs. `None`: it is not to be replayed.
    #[must_use]
    pub(crate) fn keep(routed: &Destination, head: &RequestHead, body: &mut RequestBody) -> Option<Self> {
        let service = routed.service();
        let shield = service.spec.policy.shield.as_ref()?;
        let stable = service.stable().filter(|stable| *stable != routed.version_index())?;
        if !head.method.is_idempotent() {
            return None;
        }
        let recording = match body {
            RequestBody::Empty => None,
            RequestBody::Kept(_) | RequestBody::Rewindable(_) => return None,
            RequestBody::Stream { incoming, copy, .. } => {
                let most = shield.body_bytes_max;
                if incoming.size_hint().lower() > most as u64 {
                    return None;
                }
                Some(Rc::clone(copy.insert(Rc::new(Recording::up_to(most)))))
            }
        };
        Some(Self { head: head.clone(), recording, stable: routed.to(stable) })
    }
}

/// Passes the first attempt's result on, or replays the request if it failed.
///
/// # Errors
/// The [`LocalReply`] to answer with; failures of the upstream have been counted.
pub(crate) async fn replay_if_failed(
    worker: &Worker,
    spare: ReplayState,
    (first, routed, request_body): (Result<UpstreamResponse, LocalReply>, Destination, Rc<BodyState>),
    observer: &mut RequestContext,
) -> Result<Attempt, LocalReply> {
    let shield = routed.service().spec.policy.shield.as_ref();
    if !shield.is_some_and(|shield| has_failed(&first, &spare.head.method, shield.on_500)) {
        observer.interim.release();
        return Ok(Attempt { answer: first?, routed, request_body });
    }
    let ReplayState { head, recording, stable } = spare;
    let body = match recording {
        None => Some(RequestBody::Empty),
        Some(recording) => recording.whole(&request_body),
    };
    let now = Instant::now();
    let ready = stable.version().usable(worker.clock_ms(now));
    let Some(mut body) = body.filter(|_| ready && observer.allow_shield()) else {
        observer.interim.release();
        return Ok(Attempt { answer: first?, routed, request_body });
    };
    observer.interim.discard();
    if first.is_ok() {
        observer.failed(UpstreamFailure::Status);
    }
    // The answer that nobody wants, with its connection: reading it to its end would cost more than a new one.
    drop(first);
    observer.shielded(stable.clone());
    let connect_timeout = stable.service().spec.policy.connect_timeout;
    let dialed = dial(worker, stable.version(), (connect_timeout, false), now, observer).await;
    let lease = dialed.map_err(|none| none.refusal("neither version takes a connection"))?;
    let request_body = Rc::new(BodyState::of_no_body(now));
    let answer = forward(worker, &stable, lease, (&head, &mut body), (&request_body, observer)).await?;
    Ok(Attempt { answer, routed: stable, request_body })
}

/// Whether an attempt failed as the shield understands it.
fn has_failed(attempt: &Result<UpstreamResponse, LocalReply>, method: &Method, on_500: On500) -> bool {
    match attempt {
        Err(refusal) => refusal.fault() == FaultParty::Upstream,
        Ok(answer) => match answer.response.status.as_u16() {
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
