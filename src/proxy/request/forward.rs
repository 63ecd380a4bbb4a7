//! The stage that sends the request and waits for the head of the answer.
//!
//! A request of which nothing was written goes out again on another connection whatever its method, and so does one
//! that an HTTP/2 endpoint has certainly not looked at: it refused the stream, or its GOAWAY ends before it (RFC 9113, 8.7).
//! Neither is a failure of the version. One that was written to a connection that had been used before is sent once more
//! if its method is idempotent, within the budget: the origin most likely closed the idle connection at the same moment
//! (RFC 9110, 9.2.2; RFC 9112, 9.3.1). What there is of a body has to be [still there](crate::proxy::body::rewind), and never is a request
//! sent again after the head of an answer.

use std::rc::Rc;

use http::StatusCode;
use http::uri::Scheme;
use tokio::time::Instant;

use super::connect::{UpstreamConnection, dial};
use super::context::RequestContext;
use super::local_reply::LocalReply;
use super::route::Destination;
use super::send::{SendError, send};
use crate::http1::HeadLimits;
use crate::message::names::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use crate::message::{RequestHead, Response};
use crate::proxy::body::limits;
use crate::proxy::body::rewind::Rewindable;
use crate::proxy::body::transfer::{BodyFault, BodyState, RequestBody};
use crate::proxy::worker::Worker;
use crate::stats::{RejectReason, Retry, UpstreamFailure};
use crate::upstream::Incoming;

/// How often a request that was not written, or not looked at, may look for another connection: the pools can hold several
/// that the origin has closed by now, and a fresh one follows.
const UNSENT_TRIES_MAX: usize = 3;

/// Which limit the head of an answer has exceeded.
const TOO_LARGE: &str = "the head of the upstream's answer has more bytes than proxy.response_head_bytes_max";

/// See [`TOO_LARGE`].
const TOO_MANY_LINES: &str = "the head of the upstream's answer has more header lines than proxy.response_headers_max";

/// An answer's head, with what its body still needs.
#[derive(Debug)]
pub(crate) struct UpstreamResponse {
    /// The answer.
    pub response: Box<Response<Incoming>>,
    /// The connection it comes on.
    pub lease: UpstreamConnection,
}

/// Sends the request over `lease` and waits for the head of the answer.
///
/// # Errors
/// The [`LocalReply`] to answer with; failures of the upstream have been counted.
pub(crate) async fn forward(
    worker: &Worker,
    routed: &Destination,
    lease: UpstreamConnection,
    (head, body): (&RequestHead, &mut RequestBody),
    (state, observer): (&Rc<BodyState>, &mut RequestContext),
) -> Result<UpstreamResponse, LocalReply> {
    let policy = &routed.service().spec.policy;
    let mut lease = lease;
    let scheme = if routed.version().tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
    let may_switch = head.headers.contains(UPGRADE);
    let mut unsent = 0;
    let mut retried = false;
    let mut lent = None;
    loop {
        let repeatable = !retried && lease.reused && head.method.is_idempotent();
        // On HTTP/1.1 no endpoint says what it has not looked at. A WebSocket has no body.
        if lent.is_none() && (repeatable || lease.sender.is_http2() && !may_switch) {
            lent = Rewindable::lend(body);
        }
        let http2 = lease.sender.is_http2();
        let interim = |head| observer.interim.came(head, &worker.settings.edit);
        let sent = send(&mut lease, (head, body, &scheme), state, policy.response_timeout, interim).await;
        let fresh = match sent {
            Ok(response) => {
                lent.iter().for_each(Rewindable::finish);
                check(&response, may_switch, worker.settings.response_heads)
                    .inspect_err(|_| observer.failed(UpstreamFailure::BadAnswer))?;
                return Ok(UpstreamResponse { response, lease });
            }
            Err(SendError::Unsent) if unsent < UNSENT_TRIES_MAX => {
                observer.retried(Retry::Unsent);
                unsent += 1;
                unsent == UNSENT_TRIES_MAX
            }
            Err(SendError::Unprocessed) if unsent < UNSENT_TRIES_MAX && rewound(body, lent.as_ref()) => {
                observer.retried(Retry::Unprocessed);
                unsent += 1;
                unsent == UNSENT_TRIES_MAX
            }
            Err(SendError::Broken) if repeatable && rewound(body, lent.as_ref()) && observer.allow_retry() => {
                observer.retried(Retry::Reused);
                retried = true;
                true
            }
            // An endpoint need not take WebSockets over HTTP/2, and many end the stream to say so (RFC 8441, 3): that is a
            // refusal, and nobody's failure. Otherwise clients could have healthy endpoints ejected.
            Err(SendError::Broken | SendError::Unprocessed) if may_switch && http2 => {
                let detail = "the upstream does not take WebSockets over HTTP/2";
                return Err(LocalReply::new(RejectReason::UpstreamBadAnswer, detail));
            }
            Err(error) => return Err(refusal(&error, state, observer)),
        };
        drop(lease);
        let terms = (policy.connect_timeout, fresh);
        lease = match dial(worker, routed.version(), terms, Instant::now(), observer).await {
            Ok(lease) => lease,
            Err(none) => return Err(none.refusal("no endpoint of the version takes a connection")),
        };
    }
}

/// Puts the body back to its beginning, if there is one. Returns whether that could be done.
fn rewound(body: &mut RequestBody, lent: Option<&Rewindable>) -> bool {
    match lent {
        Some(lent) => lent.again().map(|again| *body = again).is_some(),
        None => matches!(body, RequestBody::Empty),
    }
}

/// Rule 6: what an answer must not have, whatever can be made of it. The connection is not used again.
fn check(response: &Response<Incoming>, may_switch: bool, heads: HeadLimits) -> Result<(), LocalReply> {
    let bad = |detail| Err(LocalReply::new(RejectReason::UpstreamBadAnswer, detail));
    if response.status == StatusCode::SWITCHING_PROTOCOLS && !may_switch {
        return bad("the upstream switched protocols without being asked");
    }
    let headers = &response.headers;
    if headers.len() > heads.headers_max {
        return bad(TOO_MANY_LINES);
    }
    if headers.contains(TRANSFER_ENCODING) {
        if headers.contains(CONTENT_LENGTH) {
            return bad("the upstream sent Content-Length and Transfer-Encoding");
        }
        let mut codings = headers.get_all(TRANSFER_ENCODING);
        let chunked = codings.next().is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
        if !chunked || codings.next().is_some() {
            return bad("the upstream sent a transfer coding other than chunked");
        }
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH);
    if let Some(first) = lengths.next() {
        // The codec looks at lengths of bodies only; answers to HEAD and 304 have one as well, and clients believe it.
        if first.is_empty() || !first.iter().all(u8::is_ascii_digit) {
            return bad("the upstream sent a length that is no number");
        }
        if lengths.any(|length| length != first) {
            return bad("the upstream sent two lengths");
        }
    }
    Ok(())
}

/// What a request's body did wrong, if it was the body.
#[must_use]
pub(crate) fn refusal_of_body(fault: BodyFault) -> Option<LocalReply> {
    match fault {
        BodyFault::Malformed => Some(LocalReply::new(RejectReason::BadBody, "the request's body breaks its framing")),
        BodyFault::Silent => Some(LocalReply::new(RejectReason::BodyTimeout, "the request's body did not go on")),
        BodyFault::Gone => Some(LocalReply::new(RejectReason::ClientGone, "the client left")),
        BodyFault::TooLarge => Some(limits::too_large()),
        BodyFault::Slow => Some(LocalReply::new(RejectReason::BodyTooSlow, "the request's body came too slowly")),
        BodyFault::Over => None,
    }
}

/// Whose fault a failed exchange was, counted and told.
fn refusal(error: &SendError, state: &BodyState, observer: &RequestContext) -> LocalReply {
    // An upstream that hangs up because the client's body broke is not to blame.
    if let Some(refusal) = state.fault().and_then(refusal_of_body) {
        return refusal;
    }
    let (failure, reason, detail) = match error {
        SendError::Timeout => {
            (UpstreamFailure::Timeout, RejectReason::UpstreamTimeout, "the upstream did not answer in time")
        }
        SendError::Malformed => {
            (UpstreamFailure::BadAnswer, RejectReason::UpstreamBadAnswer, "the upstream's answer is not HTTP/1.1")
        }
        SendError::TooLarge => (UpstreamFailure::BadAnswer, RejectReason::UpstreamBadAnswer, TOO_LARGE),
        SendError::TooManyLines => (UpstreamFailure::BadAnswer, RejectReason::UpstreamBadAnswer, TOO_MANY_LINES),
        SendError::Broken | SendError::Unsent | SendError::Unprocessed => {
            (UpstreamFailure::Reset, RejectReason::UpstreamReset, "the upstream hung up before it answered")
        }
    };
    observer.failed(failure);
    LocalReply::new(reason, detail)
}
