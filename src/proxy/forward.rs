//! The stage that sends the request and waits for the head of the answer.
//!
//! A request that hyper gives back was not written, and goes out again on another connection whatever its method. One
//! that was written to a connection that had been used before is sent once more if its method is idempotent and it has no
//! body, within the budget: the origin most likely closed the idle connection at the same moment (RFC 9110, 9.2.2;
//! RFC 9112, 9.3.1). Never after the head of an answer.

use std::rc::Rc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, SEC_WEBSOCKET_KEY, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use tokio::time::{Instant, sleep_until};

use super::body::{BodyFault, BodyState, RequestBody};
use super::dial::{Lease, dial};
use super::meter;
use super::observe::{Observer, Routed};
use super::refuse::Refusal;
use super::worker::Worker;
use crate::stats::{Refused, Retry, UpstreamFailure};

/// How often a request that was not written may look for another connection: the pools can hold several that the origin
/// has closed by now, and a fresh one follows.
const UNSENT_TRIES_MAX: usize = 3;

/// The head of a request to the upstream.
#[derive(Clone, Debug)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The target, in origin form.
    pub uri: Uri,
    /// The headers, edited.
    pub headers: HeaderMap,
}

impl Head {
    fn into_request(self, body: RequestBody) -> Request<RequestBody> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        request
    }

    fn of(request: &Request<RequestBody>) -> Self {
        Self { method: request.method().clone(), uri: request.uri().clone(), headers: request.headers().clone() }
    }
}

/// An answer's head, with what its body still needs.
#[derive(Debug)]
pub struct Answer {
    /// The answer.
    pub response: Response<Incoming>,
    /// The connection it comes on.
    pub lease: Lease,
}

/// Sends the request over `lease` and waits for the head of the answer.
///
/// # Errors
/// The [`Refusal`] to answer with; failures of the upstream have been counted.
pub async fn forward(
    worker: &Worker,
    routed: &Routed,
    lease: Lease,
    (head, body): (Head, RequestBody),
    (state, observer): (&Rc<BodyState>, &mut Observer),
) -> Result<Answer, Refusal> {
    let policy = &routed.service().spec.policy;
    let mut lease = lease;
    let mut request = head.into_request(body);
    let scheme = if routed.version().tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
    let may_switch = request.headers().contains_key(UPGRADE);
    let mut unsent = 0;
    let mut retried = false;
    loop {
        let repeatable = !retried && lease.reused && is_repeatable(&request);
        let spare = repeatable.then(|| Head::of(&request));
        let fresh = match send(&mut lease, (request, scheme.clone()), state, policy.response_timeout).await {
            Ok(response) => {
                check(&response, may_switch).inspect_err(|_| observer.failed(UpstreamFailure::BadAnswer))?;
                return Ok(Answer { response, lease });
            }
            Err(SendError::Unsent(given_back)) if unsent < UNSENT_TRIES_MAX => {
                observer.retried(Retry::Unsent);
                request = *given_back;
                unsent += 1;
                unsent == UNSENT_TRIES_MAX
            }
            Err(SendError::Broken) if spare.is_some() && observer.allow_retry() => {
                observer.retried(Retry::Reused);
                retried = true;
                request = spare.map(|head| head.into_request(RequestBody::Empty)).unwrap_or_default();
                true
            }
            // An endpoint need not take WebSockets over HTTP/2, and many end the stream to say so (RFC 8441, 3): that is a
            // refusal, and nobody's failure. Otherwise clients could have healthy endpoints ejected.
            Err(SendError::Broken) if may_switch && lease.sender.is_http2() => {
                let detail = "the upstream does not take WebSockets over HTTP/2";
                return Err(Refusal::new(Refused::UpstreamBadAnswer, detail));
            }
            Err(error) => return Err(refusal(&error, state, observer)),
        };
        drop(lease);
        lease = match dial(worker, routed.version(), policy.connect_timeout, fresh, observer).await {
            Ok(lease) => lease,
            Err(_no_connection) => {
                return Err(Refusal::new(Refused::ConnectFailed, "no endpoint of the version takes a connection"));
            }
        };
    }
}

/// A request as HTTP/2 wants it: the host in the target, and the body framed by the stream (RFC 9113, 8.2.2 and 8.3.1). The
/// scheme is that of the connection: origins refuse others, and what the client used is told by `X-Forwarded-Proto`.
fn as_http2(mut request: Request<RequestBody>, scheme: Scheme) -> Request<RequestBody> {
    let headers = request.headers_mut();
    headers.remove(TRANSFER_ENCODING);
    headers.remove(CONNECTION);
    let websocket = headers.remove(UPGRADE).is_some();
    headers.remove(SEC_WEBSOCKET_KEY);
    // Given back by a connection before, it has its target already.
    let host = headers.remove(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    if let Some(authority) = host {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        (parts.scheme, parts.authority) = (Some(scheme), Some(authority));
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    }
    *request.version_mut() = Version::HTTP_2;
    if websocket {
        // RFC 8441, 4.
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(Protocol::from_static("websocket"));
    }
    request
}

/// Whether a request may be sent twice without anybody noticing: idempotent (RFC 9110, 9.2.2) and without a body.
fn is_repeatable(request: &Request<RequestBody>) -> bool {
    request.method().is_idempotent() && matches!(request.body(), RequestBody::Empty)
}

/// Why there is no answer.
enum SendError {
    /// Not a byte was written; here is the request again.
    Unsent(Box<Request<RequestBody>>),
    /// The connection broke after the request was written, at least in part.
    Broken,
    /// What came was not HTTP.
    Malformed,
    /// Nothing came in time.
    Timeout,
}

async fn send(
    lease: &mut Lease,
    (request, scheme): (Request<RequestBody>, Scheme),
    state: &BodyState,
    limit: Duration,
) -> Result<Response<Incoming>, SendError> {
    let request = if lease.sender.is_http2() { as_http2(request, scheme) } else { request };
    let sending = lease.sender.try_send(request);
    let mut sending = std::pin::pin!(sending);
    let mut deadline = Instant::now() + limit;
    loop {
        tokio::select! {
            biased;
            sent = &mut sending => return sent.map_err(|mut error| match error.take_message() {
                Some(request) => SendError::Unsent(Box::new(request)),
                None if error.error().is_parse() => SendError::Malformed,
                None => SendError::Broken,
            }),
            () = sleep_until(deadline) => {
                // The wait for the answer begins when the request is complete. Until then the body's own limit rules
                // when it is the client's turn; an upstream that stops reading is one that does not answer.
                let begins = state.ended().or_else(|| state.untouched_since()).unwrap_or_else(Instant::now);
                if begins + limit <= Instant::now() {
                    return Err(SendError::Timeout);
                }
                deadline = begins + limit;
            }
        }
    }
}

/// Rule 6: what an answer must not have, whatever hyper makes of it. The connection is not used again.
fn check(response: &Response<Incoming>, may_switch: bool) -> Result<(), Refusal> {
    let bad = |detail| Err(Refusal::new(Refused::UpstreamBadAnswer, detail));
    if response.status() == StatusCode::SWITCHING_PROTOCOLS && !may_switch {
        return bad("the upstream switched protocols without being asked");
    }
    let headers = response.headers();
    if headers.contains_key(TRANSFER_ENCODING) {
        if headers.contains_key(CONTENT_LENGTH) {
            return bad("the upstream sent Content-Length and Transfer-Encoding");
        }
        let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
        let chunked = codings.next().is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
        if !chunked || codings.next().is_some() {
            return bad("the upstream sent a transfer coding other than chunked");
        }
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(first) = lengths.next() {
        // hyper looks at lengths of bodies only; answers to HEAD and 304 have one as well, and clients believe it.
        if first.is_empty() || !first.as_bytes().iter().all(u8::is_ascii_digit) {
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
pub fn refusal_of_body(fault: BodyFault) -> Option<Refusal> {
    match fault {
        BodyFault::Malformed => Some(Refusal::new(Refused::BadBody, "the request's body breaks its framing")),
        BodyFault::Silent => Some(Refusal::new(Refused::BodyTimeout, "the request's body did not go on")),
        BodyFault::Gone => Some(Refusal::new(Refused::ClientGone, "the client left")),
        BodyFault::TooLarge => Some(meter::too_large()),
        BodyFault::Slow => Some(Refusal::new(Refused::BodyTooSlow, "the request's body came too slowly")),
        BodyFault::Over => None,
    }
}

/// Whose fault a failed exchange was, counted and told.
fn refusal(error: &SendError, state: &BodyState, observer: &Observer) -> Refusal {
    // An upstream that hangs up because the client's body broke is not to blame.
    if let Some(refusal) = state.fault().and_then(refusal_of_body) {
        return refusal;
    }
    let (failure, reason, detail) = match error {
        SendError::Timeout => {
            (UpstreamFailure::Timeout, Refused::UpstreamTimeout, "the upstream did not answer in time")
        }
        SendError::Malformed => {
            (UpstreamFailure::BadAnswer, Refused::UpstreamBadAnswer, "the upstream's answer is not HTTP/1.1")
        }
        SendError::Broken | SendError::Unsent(_) => {
            (UpstreamFailure::Reset, Refused::UpstreamReset, "the upstream hung up before it answered")
        }
    };
    observer.failed(failure);
    Refusal::new(reason, detail)
}
