//! The step that sends the request and waits for the head of the response.
//!
//! A request of which nothing was written goes out again on another connection whatever its method, and so does one
//! that an HTTP/2 endpoint has certainly not looked at: it refused the stream, or its GOAWAY ends before it (RFC 9113,
//! 8.7). Neither is a failure of the version. A request that was written to a connection that had been used before is
//! sent once more if its method is idempotent, within the budget: the origin most likely closed the idle connection at
//! the same moment (RFC 9110, 9.2.2; RFC 9112, 9.3.1). A stream that was reset proves that its connection is open, and
//! is not sent again. [`Tries`] decides this, and knows nothing of connections and bodies.
//!
//! What there is of a body has to be [still there](crate::proxy::body::rewind), and a request is never sent again after
//! the head of a response.

use std::rc::Rc;

use http::StatusCode;
use http::uri::Scheme;
use tokio::time::Instant;

use super::chaos_attempt;
use super::context::RequestContext;
use super::destination::Destination;
use super::dial::dial;
use super::local_reply::LocalReply;
use super::send::{OutboundRequest, SendError, SendTerms, send};
use super::upstream_connection::UpstreamConnection;
use crate::http1::HeadLimits;
use crate::message::Response;
use crate::message::known_headers::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use crate::proxy::body::body_fault::BodyFault;
use crate::proxy::body::body_limit;
use crate::proxy::body::request_body::{BodyState, RequestBody};
use crate::proxy::body::rewind::Rewindable;
use crate::proxy::worker::Worker;
use crate::stats::{RejectReason, Retry, UpstreamFailure};
use crate::upstream::Incoming;

/// How often a request that was not written, or not looked at, may look for another connection: the pools can hold
/// several that the origin has closed by now, and a fresh one follows.
const UNSENT_TRIES_MAX: usize = 3;

/// What no endpoint may do unasked, and none of HTTP/2 at all.
const SWITCHED: &str = "the upstream switched protocols without being asked";

/// Which limit the head of a response has exceeded.
const TOO_LARGE: &str = "the head of the upstream's answer has more bytes than proxy.response_head_bytes_max";

/// See [`TOO_LARGE`].
const TOO_MANY_LINES: &str = "the head of the upstream's answer has more header lines than proxy.response_headers_max";

/// The head of a response, with the connection that its body comes on.
#[derive(Debug)]
pub(crate) struct UpstreamResponse {
    pub response: Box<Response<Incoming>>,
    pub connection: UpstreamConnection,
}

/// What came of a request on one version.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// The head of the response, or what the client is told instead.
    pub result: Result<UpstreamResponse, LocalReply>,
    /// The version.
    pub destination: Destination,
    /// What became of the body that was sent.
    pub request_body: Rc<BodyState>,
}

/// What matters of one try for whether there is another.
#[derive(Clone, Copy, Debug)]
struct SendTry {
    /// Whether the connection was used before.
    reused: bool,
    /// Whether the connection speaks HTTP/2.
    http2: bool,
    /// Whether the method may be sent twice.
    idempotent: bool,
    /// Whether the request asks for a WebSocket.
    upgrade: bool,
}

/// What follows a try that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NextStep {
    /// Another try, if the body can be put back to its beginning and, after [`Retry::Reused`], the budget allows it.
    Retry(Retry),
    /// The end. An endpoint need not take WebSockets over HTTP/2, and many end the stream to say so (RFC 8441, 3): that
    /// is a refusal and no failure. Otherwise clients could have healthy endpoints ejected.
    NoWebSocket,
    /// The end, by the upstream's fault or that of the request's body.
    GiveUp,
}

/// The tries before.
#[derive(Clone, Copy, Default, Debug)]
struct Tries {
    /// Those that the endpoint has not looked at.
    unsent: usize,
    /// Whether a connection that was used before broke.
    retried: bool,
}

impl Tries {
    /// Whether a request that was written to a connection may be sent again when that breaks.
    fn may_repeat(self, this: SendTry) -> bool {
        !self.retried && this.reused && this.idempotent
    }

    /// Whether the body has to be kept. On HTTP/1.1 no endpoint says what it has not looked at. A WebSocket has no
    /// body.
    fn keeps_body(self, this: SendTry) -> bool {
        self.may_repeat(this) || this.http2 && !this.upgrade
    }

    /// What follows a try that failed with `error`.
    fn after(self, this: SendTry, error: SendError) -> NextStep {
        match error {
            SendError::Unsent if self.unsent < UNSENT_TRIES_MAX => NextStep::Retry(Retry::Unsent),
            SendError::Unprocessed if self.unsent < UNSENT_TRIES_MAX => NextStep::Retry(Retry::Unprocessed),
            SendError::Broken if self.may_repeat(this) => NextStep::Retry(Retry::Reused),
            SendError::Unsent
            | SendError::Unprocessed
            | SendError::Broken
            | SendError::Reset
            | SendError::Malformed
            | SendError::Switched
            | SendError::TooLarge
            | SendError::TooManyLines
            | SendError::Timeout => Self::end(this, error),
        }
    }

    /// What follows when there is no other try.
    fn end(this: SendTry, error: SendError) -> NextStep {
        let refused = matches!(error, SendError::Broken | SendError::Reset | SendError::Unprocessed);
        if refused && this.upgrade && this.http2 { NextStep::NoWebSocket } else { NextStep::GiveUp }
    }

    /// Counts a try that is followed by another. Returns whether that one needs a new connection.
    fn count(&mut self, why: Retry) -> bool {
        match why {
            Retry::Unsent | Retry::Unprocessed => {
                self.unsent += 1;
                self.unsent == UNSENT_TRIES_MAX
            }
            Retry::Reused | Retry::Shield => {
                self.retried = true;
                true
            }
        }
    }
}

/// Sends the request over `connection`, and again over others where that is safe, and waits for the head of the
/// response.
///
/// # Errors
/// The [`LocalReply`]; failures of the upstream have been counted.
pub(crate) async fn forward(
    worker: &Worker,
    destination: &Destination,
    mut connection: UpstreamConnection,
    mut request: OutboundRequest<'_>,
    context: &mut RequestContext,
) -> Result<UpstreamResponse, LocalReply> {
    let (service, version) = destination.both();
    let response_timeout = service.spec.policy.response_timeout;
    let scheme = if version.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
    let terms = SendTerms { scheme, response_timeout };
    let upgrade = request.head.headers.contains(UPGRADE);
    let mut tries = Tries::default();
    let mut lent = None;
    loop {
        let (reused, http2) = (connection.reused, connection.sender.is_http2());
        let this = SendTry { reused, http2, idempotent: request.head.method.is_idempotent(), upgrade };
        if lent.is_none() && tries.keeps_body(this) {
            lent = request.body.lend();
        }
        // Until it asks the client for more: one that takes no more of what was kept never does.
        request.state.give(connection.since);
        // On the heap: what is not part of a chaos run has no room for it.
        let injected = match context.chaos.is_some() {
            true => Box::pin(chaos_attempt::inject(worker, destination, &mut connection, context)).await,
            false => None,
        };
        let mut interim = |head| context.interim.came(head, &worker.settings.edit);
        let sent = match injected {
            Some(instead) => instead,
            None => send(&mut connection, &mut request, &terms, &mut interim).await,
        };
        let error = match sent {
            Ok(response) => {
                lent.iter().for_each(Rewindable::finish);
                check(&response, upgrade, worker.settings.response_heads)
                    .inspect_err(|_| context.note_failure(UpstreamFailure::BadAnswer))?;
                return Ok(UpstreamResponse { response, connection });
            }
            Err(error) => error,
        };
        let why = match tries.after(this, error) {
            NextStep::Retry(why) if may_retry(why, &mut request, lent.as_ref(), context) => why,
            NextStep::Retry(_) => return Err(failed(Tries::end(this, error), error, request.state, context)),
            end @ (NextStep::NoWebSocket | NextStep::GiveUp) => return Err(failed(end, error, request.state, context)),
        };
        context.note_retry(why);
        context.interim.again();
        let fresh = tries.count(why);
        drop(connection);
        connection = match dial(worker, destination, fresh, Instant::now(), context).await {
            Ok(connection) => connection,
            Err(none) => return Err(none.reply("no endpoint of the version takes a connection")),
        };
    }
}

/// Whether there can be another try: of a request that was written, the body is put back to its beginning first.
fn may_retry(
    why: Retry,
    request: &mut OutboundRequest<'_>,
    lent: Option<&Rewindable<RequestBody>>,
    context: &mut RequestContext,
) -> bool {
    match why {
        Retry::Unsent => true,
        Retry::Unprocessed => request.body.rewind(lent),
        Retry::Reused | Retry::Shield => request.body.rewind(lent) && context.allow_retry(),
    }
}

/// Rule 6: what a response must not have, whatever can be made of it. The connection is not used again.
fn check(response: &Response<Incoming>, upgrade: bool, heads: HeadLimits) -> Result<(), LocalReply> {
    let bad = |detail| Err(LocalReply::new(RejectReason::UpstreamBadAnswer, detail));
    if response.status == StatusCode::SWITCHING_PROTOCOLS && !upgrade {
        return bad(SWITCHED);
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
        // The codec looks at lengths of bodies only; responses to HEAD and 304 have one as well, and clients believe
        // it.
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
pub(crate) fn reply_to_fault(fault: BodyFault) -> Option<LocalReply> {
    match fault {
        BodyFault::Malformed => Some(LocalReply::new(RejectReason::BadBody, "the request's body breaks its framing")),
        BodyFault::Silent => Some(LocalReply::new(RejectReason::BodyTimeout, "the request's body did not go on")),
        BodyFault::Gone => Some(LocalReply::new(RejectReason::ClientGone, "the client left")),
        BodyFault::TooLarge => Some(body_limit::too_large()),
        BodyFault::Slow => Some(LocalReply::new(RejectReason::BodyTooSlow, "the request's body came too slowly")),
        BodyFault::Over => None,
    }
}

/// Counts the end of all tries on the account of the one whose fault it is. Returns what the client is told.
fn failed(end: NextStep, error: SendError, state: &BodyState, context: &mut RequestContext) -> LocalReply {
    if end == NextStep::NoWebSocket {
        let detail = "the upstream does not take WebSockets over HTTP/2";
        return LocalReply::new(RejectReason::UpstreamBadAnswer, detail);
    }
    // An upstream that hangs up because the client's body broke is not to blame.
    if let Some(reply) = state.fault().and_then(reply_to_fault) {
        return reply;
    }
    let (failure, reply) = match error {
        SendError::Timeout => {
            let reply = LocalReply::new(RejectReason::UpstreamTimeout, "the upstream did not answer in time");
            (UpstreamFailure::Timeout, reply)
        }
        SendError::Malformed => (UpstreamFailure::BadAnswer, bad_response("the upstream's answer is not HTTP")),
        SendError::Switched => (UpstreamFailure::BadAnswer, bad_response(SWITCHED)),
        SendError::TooLarge => (UpstreamFailure::BadAnswer, bad_response(TOO_LARGE)),
        SendError::TooManyLines => (UpstreamFailure::BadAnswer, bad_response(TOO_MANY_LINES)),
        SendError::Reset => {
            let detail = "the upstream reset the stream before it answered";
            (UpstreamFailure::Reset, LocalReply::new(RejectReason::UpstreamReset, detail))
        }
        SendError::Broken | SendError::Unsent | SendError::Unprocessed => {
            let reply = LocalReply::new(RejectReason::UpstreamReset, "the upstream hung up before it answered");
            (UpstreamFailure::Reset, reply)
        }
    };
    context.note_failure(failure);
    reply
}

fn bad_response(detail: &'static str) -> LocalReply {
    LocalReply::new(RejectReason::UpstreamBadAnswer, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REUSED_GET: SendTry = SendTry { reused: true, http2: false, idempotent: true, upgrade: false };

    #[test]
    fn what_was_not_looked_at_goes_out_again_a_few_times_whatever_its_method() {
        let post = SendTry { idempotent: false, reused: false, ..REUSED_GET };
        for (error, why) in [(SendError::Unsent, Retry::Unsent), (SendError::Unprocessed, Retry::Unprocessed)] {
            let mut tries = Tries::default();
            let mut fresh = Vec::new();
            while tries.after(post, error) == NextStep::Retry(why) {
                fresh.push(tries.count(why));
            }
            assert_eq!(fresh, [false, false, true], "the last one on a new connection");
            assert_eq!(tries.after(post, error), NextStep::GiveUp);
        }
    }

    #[test]
    fn what_was_written_is_sent_once_more_if_it_may_be_and_the_connection_was_used_before() {
        let mut tries = Tries::default();
        assert_eq!(tries.after(REUSED_GET, SendError::Broken), NextStep::Retry(Retry::Reused));
        for other in [SendTry { reused: false, ..REUSED_GET }, SendTry { idempotent: false, ..REUSED_GET }] {
            assert_eq!(tries.after(other, SendError::Broken), NextStep::GiveUp, "{other:?}");
        }
        assert!(tries.count(Retry::Reused), "a new connection was not closed while it was idle");
        assert_eq!(tries.after(REUSED_GET, SendError::Broken), NextStep::GiveUp, "once");
    }

    #[test]
    fn what_was_answered_badly_or_late_is_not_sent_again() {
        use SendError::{Malformed, Reset, Switched, Timeout, TooLarge, TooManyLines};
        for error in [Reset, Malformed, Switched, TooLarge, TooManyLines, Timeout] {
            assert_eq!(Tries::default().after(REUSED_GET, error), NextStep::GiveUp, "{error:?}");
        }
    }

    #[test]
    fn an_endpoint_that_takes_no_websocket_over_http2_has_not_failed() {
        let upgrade = SendTry { reused: false, http2: true, upgrade: true, ..REUSED_GET };
        assert_eq!(Tries::default().after(upgrade, SendError::Broken), NextStep::NoWebSocket);
        assert_eq!(Tries::end(upgrade, SendError::Unprocessed), NextStep::NoWebSocket);
        assert_eq!(
            Tries::default().after(SendTry { reused: true, ..upgrade }, SendError::Reset),
            NextStep::NoWebSocket
        );
        assert_eq!(Tries::default().after(upgrade, SendError::Timeout), NextStep::GiveUp);
        let http1 = SendTry { http2: false, ..upgrade };
        assert_eq!(Tries::default().after(http1, SendError::Broken), NextStep::GiveUp);
    }

    #[test]
    fn bodies_are_kept_where_a_try_may_be_followed_by_another() {
        let fresh = SendTry { reused: false, ..REUSED_GET };
        assert!(Tries::default().keeps_body(REUSED_GET) && !Tries::default().keeps_body(fresh));
        assert!(Tries::default().keeps_body(SendTry { http2: true, ..fresh }));
        assert!(!Tries::default().keeps_body(SendTry { http2: true, upgrade: true, ..fresh }));
    }
}
