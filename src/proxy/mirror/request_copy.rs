//! The copy of a request, from the moment in which it is about to be forwarded until it is known what its user got.

use std::rc::Rc;
use std::sync::Arc;

use http::{Method, StatusCode};
use http_body::Body;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::mirror_job::{MirrorJob, micros_since};
use super::mirror_task::run;
use super::response_facts;
use super::user_watch::{UserResponse, UserWatch};
use crate::message::RequestHead;
use crate::message::known_headers::{UPGRADE, X_MIRROR};
use crate::mirror::MirrorResponse;
use crate::proxy::body::body_fault::BodyFault;
use crate::proxy::body::request_body::{BodyState, Recording, RequestBody};
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::destination::Destination;
use crate::proxy::request::edge_request::EdgeRequest;
use crate::proxy::request::flag_headers;
use crate::proxy::request::forward::{Attempt, UpstreamResponse};
use crate::proxy::request::local_reply::FaultParty;
use crate::proxy::request::send::OutboundRequest;
use crate::shared::mirror_difference::MirrorDrop;
use crate::shared::mirror_stats::MirrorStats;
use crate::table::spec::mirror::MirrorSpec;
use crate::table::{ActiveMirror, SLOTS};
use crate::upstream::Incoming;
use crate::upstream::incoming::BodyWatch;

/// A request that has a copy.
#[derive(Debug)]
pub(crate) struct RequestCopy {
    spec: Arc<MirrorSpec>,
    /// Index of the version that gets the copy.
    to: u16,
    is_head: bool,
    /// When the request was sent.
    sent: Instant,
    /// Where the task of the copy is told what the user got.
    told: oneshot::Sender<UserResponse>,
    /// The copy, until the body of the request has passed.
    waiting: Option<WaitingCopy>,
}

/// A copy that has no body yet.
#[derive(Debug)]
struct WaitingCopy {
    job: MirrorJob,
    recording: Rc<Recording>,
    state: Rc<BodyState>,
}

/// Makes a copy of a request that is about to be forwarded, of a service with this mirror, if the lot falls on it. One
/// without a body is on its way from here on.
#[cold]
pub(crate) fn begin(
    mirror: &ActiveMirror,
    destination: &Destination,
    request: &mut OutboundRequest<'_>,
    edge: Option<&EdgeRequest>,
    context: &RequestContext,
) -> Option<Box<RequestCopy>> {
    let worker = &context.worker;
    if mirror.to == destination.version_index() || !may_be_copied(request.head, context) || !draws(mirror, context) {
        return None;
    }
    let (spec, stats) = (&mirror.spec, &mirror.stats);
    let dropped = |why| stats.drop_one(worker.index, why);
    if !spec.copies(&request.head.method) {
        dropped(MirrorDrop::Method);
        return None;
    }
    let Some(permit) = MirrorStats::enter(stats, spec.in_flight_max) else {
        dropped(MirrorDrop::InFlight);
        return None;
    };
    let recording = if matches!(request.body, RequestBody::Empty) {
        None
    } else {
        let recording = request.body.record(spec.body_bytes_max);
        if recording.is_none() {
            dropped(MirrorDrop::Bytes);
            return None;
        }
        recording
    };
    let to = destination.to(mirror.to);
    let mut head = request.head.clone();
    flag_headers::follow(&mut head.headers, &to);
    if edge.is_some_and(|edge| edge.edit_request(&mut head, &to).is_err()) {
        return None;
    }
    head.headers.insert(X_MIRROR, "1");
    let is_head = head.method == Method::HEAD;
    let (told, user) = oneshot::channel();
    let job = MirrorJob { worker: Rc::clone(worker), to, spec: Arc::clone(spec), head, permit, user };
    let waiting = match recording {
        None => {
            drop(spawn_local(run(job, RequestBody::Empty)));
            None
        }
        Some(recording) => Some(WaitingCopy { job, recording, state: Rc::clone(request.state) }),
    };
    let (spec, to, sent) = (Arc::clone(spec), mirror.to, Instant::now());
    Some(Box::new(RequestCopy { spec, to, is_head, sent, told, waiting }))
}

/// Whether a request is one that is copied at all: no WebSocket, none in the name of a connection, and no copy itself,
/// as far as a proxy says so that is trusted.
fn may_be_copied(head: &RequestHead, context: &RequestContext) -> bool {
    !context.worker.draining()
        && context.private.is_none()
        && !head.headers.contains(UPGRADE)
        && !head.headers.contains(X_MIRROR)
}

/// Draws for the share of the mirror.
fn draws(mirror: &ActiveMirror, context: &RequestContext) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "any 32 of the 128 random bits will do")]
    let chance = context.worker.random() as u32;
    (u64::from(chance) * u64::from(SLOTS)) >> 32 < u64::from(mirror.share.slots())
}

impl RequestCopy {
    /// Notes what the request came to; the rest of its response is watched as it passes.
    #[cold]
    pub(crate) fn responded(self: Box<Self>, attempt: &mut Attempt, context: &RequestContext) {
        // What was done to it on purpose says nothing of the two versions.
        if context.is_kept_apart() {
            return;
        }
        let Self { spec, to, is_head, sent, told, waiting } = *self;
        // From when the endpoint had all of it: a client that sends slowly is slow for both.
        let since = waiting.as_ref().and_then(|waiting| waiting.state.ended()).map_or(sent, |ended| ended.max(sent));
        let micros = micros_since(since);
        if let Some(waiting) = waiting {
            waiting.begin();
        }
        if attempt.destination.version_index() == to {
            return;
        }
        let version = attempt.destination.version().name.clone();
        match &mut attempt.result {
            Ok(UpstreamResponse { response, .. }) => {
                let seen = response_facts::of_head(&spec, response, micros);
                let bodiless = is_head
                    || response.status == StatusCode::NO_CONTENT
                    || response.status == StatusCode::NOT_MODIFIED
                    || response.body.is_end_stream();
                let watch = Box::new(UserWatch::new(told, version, seen));
                if bodiless || watch.is_over() {
                    watch.over(true);
                } else {
                    response.body = std::mem::replace(&mut response.body, Incoming::Over).watched(watch);
                }
            }
            Err(reply) if reply.fault() == FaultParty::Upstream => {
                let response = MirrorResponse::failed(Some(reply.status().as_u16()), micros);
                told.send(UserResponse { version, response }).ok();
            }
            // By the client's doing, or ours: that says nothing of a version.
            Err(_) => {}
        }
    }
}

impl WaitingCopy {
    /// Sends the copy, if all of its body has passed.
    fn begin(self) {
        let Self { job, recording, state } = self;
        match recording.whole(&state, job.spec.body_bytes_max) {
            Some(body) => drop(spawn_local(run(job, body))),
            // Its user gave it up, or sent nonsense: that says nothing of a version, and there is nothing to be copied.
            None if state.fault().is_some_and(|fault| fault != BodyFault::Over) => {}
            None if state.ended().is_some() => job.dropped(MirrorDrop::Bytes),
            // Its endpoint responded before all of it had come.
            None => job.dropped(MirrorDrop::Behind),
        }
    }
}
