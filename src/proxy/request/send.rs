//! Sends a request on a connection, whatever it speaks, and waits for the head of the response within the time that it
//! may take.
//!
//! On HTTP/1.1 the connection is polled here, and the request's head is only borrowed. On HTTP/2 the stream is polled
//! here, the codec wants a head of its own, and a task of its own polls the connection.

use std::error::Error;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use h2::ext::Protocol;
use http::uri::{self, Authority, Scheme};
use http::{Method, Request, Uri, Version};
use tokio::time::{Instant, sleep_until};

use super::upstream_connection::UpstreamConnection;
use crate::http1::{ResponseHead, coop};
use crate::message::known_headers::{CONNECTION, HOST, SEC_WEBSOCKET_KEY, TRANSFER_ENCODING, UPGRADE};
use crate::message::{RequestHead, Response};
use crate::proxy::body::request_body::{BodyState, RequestBody};
use crate::upstream::http1::{Http1, Http1SendError, RequestLines};
use crate::upstream::http2::upstream_stream::{StreamError, StreamResponse, UpstreamStream};
use crate::upstream::{Incoming, RequestSender};

/// A request as it goes to an endpoint.
#[derive(Debug)]
pub(crate) struct OutboundRequest<'r> {
    /// The head, edited.
    pub head: &'r RequestHead,
    /// The body. What was not sent of it is still there after a failed attempt.
    pub body: &'r mut RequestBody,
    /// What becomes of the body.
    pub state: &'r Rc<BodyState>,
}

/// How a request is sent.
#[derive(Clone, Debug)]
pub(crate) struct SendTerms {
    /// The scheme of the connection.
    pub scheme: Scheme,
    /// How long the response may take.
    pub response_timeout: Duration,
}

/// Why there is no response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SendError {
    /// Not a byte was written.
    Unsent,
    /// It was written, and the endpoint has not looked at it (RFC 9113, 8.7).
    Unprocessed,
    /// The connection broke after the request was written, at least in part.
    Broken,
    /// A stream of HTTP/2 was reset, on a connection that goes on.
    Reset,
    /// What came was not HTTP.
    Malformed,
    /// It switched protocols on a stream of HTTP/2.
    Switched,
    /// The head of the response has too many bytes.
    TooLarge,
    /// The head of the response has too many lines.
    TooManyLines,
    /// Nothing came in time.
    Timeout,
}

impl From<Http1SendError> for SendError {
    fn from(error: Http1SendError) -> Self {
        match error {
            Http1SendError::Unsent => Self::Unsent,
            Http1SendError::Broken => Self::Broken,
            Http1SendError::Malformed => Self::Malformed,
            Http1SendError::TooLarge => Self::TooLarge,
            Http1SendError::TooManyLines => Self::TooManyLines,
        }
    }
}

impl From<StreamError> for SendError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Unsent(_) => Self::Unsent,
            StreamError::Unprocessed(_) => Self::Unprocessed,
            StreamError::Broken(_) => Self::Broken,
            StreamError::Reset(_) => Self::Reset,
            StreamError::Malformed(_) => Self::Malformed,
            StreamError::Switched => Self::Switched,
            StreamError::TooLarge => Self::TooLarge,
            StreamError::TooManyLines => Self::TooManyLines,
        }
    }
}

/// Sends a request over `connection`, which goes with the response or is gone. Interim responses are handed over as
/// they come.
///
/// One function for requests and for copies of them, whatever `interim` is: what it calls has no other caller, and is
/// worked into it.
pub(crate) async fn send(
    connection: &mut UpstreamConnection,
    request: &mut OutboundRequest<'_>,
    terms: &SendTerms,
    interim: &mut dyn FnMut(Response<()>),
) -> Result<Box<Response<Incoming>>, SendError> {
    let wait = ResponseWait { state: request.state, limit: terms.response_timeout, since: connection.since };
    match std::mem::replace(&mut connection.sender, RequestSender::Spent) {
        RequestSender::Http1(http1) => on_http1(http1, request.head, request.body, wait, interim).await,
        RequestSender::Http2(mut stream) => {
            // On the heap: requests over HTTP/1.1 have no room for it.
            let head = || as_http2(request.head, &terms.scheme);
            let sent = Box::pin(on_http2(&mut stream, head, request.body, wait, interim)).await;
            // It counts as open until the connection is dropped.
            connection.sender = RequestSender::Http2(stream);
            sent
        }
        RequestSender::Spent => Err(SendError::Unsent),
    }
}

async fn on_http1(
    mut connection: Box<Http1>,
    head: &RequestHead,
    body: &mut RequestBody,
    wait: ResponseWait<'_>,
    interim: &mut dyn FnMut(Response<()>),
) -> Result<Box<Response<Incoming>>, SendError> {
    let lines = RequestLines { method: &head.method, target: head.target.path_and_query(), headers: &head.headers };
    let mut sending = connection.begin(lines, body)?;
    let mut deadline = wait.since + wait.limit;
    let response = poll_fn(|cx| {
        while let Poll::Ready(response) = connection.poll_response(&mut sending, body, cx) {
            match response {
                Ok(head) if head.is_interim() => interim(of_head(head, ())),
                response => return Poll::Ready(response.map_err(SendError::from)),
            }
        }
        loop {
            ready!(connection.poll_until(deadline, cx));
            deadline = match wait.again(None) {
                Ok(later) => later,
                Err(timeout) => return Poll::Ready(Err(timeout)),
            };
        }
    });
    let response = response.await?;
    let connection = connection.into_response(&response, sending, body);
    Ok(Box::new(of_head(response, Incoming::Http1(connection))))
}

fn of_head<B>(head: ResponseHead, body: B) -> Response<B> {
    let ResponseHead { status, version, headers, .. } = head;
    Response { status, version, headers, body }
}

async fn on_http2(
    stream: &mut UpstreamStream,
    head: impl FnOnce() -> Request<()>,
    body: &mut RequestBody,
    wait: ResponseWait<'_>,
    interim: &mut dyn FnMut(Response<()>),
) -> Result<Box<Response<Incoming>>, SendError> {
    let mut sending = stream.begin(head(), std::mem::take(body));
    let mut timer = pin!(sleep_until(wait.since + wait.limit));
    let response = poll_fn(|cx| {
        while let Poll::Ready(response) = sending.poll_response(cx) {
            match response {
                Ok(StreamResponse::Interim(head)) => interim(head.into()),
                Ok(StreamResponse::Final(head)) => return Poll::Ready(Ok(head)),
                Err(error) => return Poll::Ready(Err(failed(error))),
            }
        }
        loop {
            ready!(coop::poll_unbudgeted(timer.as_mut(), cx));
            timer.as_mut().reset(wait.again(sending.went_on())?);
        }
    });
    match response.await {
        Ok(head) => {
            let response = sending.into_response(head).map_err(failed)?;
            Ok(Box::new(Response::from(response.map(Incoming::from))))
        }
        Err(error) => {
            if let Some(untouched) = sending.into_body() {
                *body = untouched;
            }
            Err(error)
        }
    }
}

fn failed(error: StreamError) -> SendError {
    tracing::debug!(error = &error as &dyn Error, "no answer on a stream to an endpoint");
    error.into()
}

/// How long a response may take.
struct ResponseWait<'s> {
    state: &'s BodyState,
    limit: Duration,
    /// When the wait began, as far as is known without a look at the request's body: when there was a connection for
    /// it.
    since: Instant,
}

impl ResponseWait<'_> {
    /// When to look again, at a deadline.
    ///
    /// The wait for the response begins when the request is complete. Until then the body's own limit rules when it is
    /// the client's turn; an upstream that stops reading is one that does not respond. One that reads slowly takes
    /// parts little by little, the last time at `went_on`.
    fn again(&self, went_on: Option<Instant>) -> Result<Instant, SendError> {
        let now = Instant::now();
        let given = self.state.ended().or_else(|| self.state.untouched_since());
        let begins = given.map_or(now, |given| went_on.map_or(given, |went_on| given.max(went_on)));
        if begins + self.limit <= now { Err(SendError::Timeout) } else { Ok(begins + self.limit) }
    }
}

/// A request as HTTP/2 wants it: the host in the target, and the body framed by the stream (RFC 9113, 8.2.2 and 8.3.1).
/// The scheme is that of the connection: origins refuse others, and what the client used is told by
/// `X-Forwarded-Proto`.
fn as_http2(head: &RequestHead, scheme: &Scheme) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = head.method.clone();
    *request.version_mut() = Version::HTTP_2;
    let mut parts = uri::Parts::default();
    parts.path_and_query = Some(head.target.to_http2());
    let mut headers = head.headers.clone();
    headers.remove(TRANSFER_ENCODING);
    headers.remove(CONNECTION);
    let websocket = headers.remove(UPGRADE);
    headers.remove(SEC_WEBSOCKET_KEY);
    if let Some(authority) = headers.get(HOST).and_then(|host| Authority::try_from(host).ok()) {
        (parts.scheme, parts.authority) = (Some(scheme.clone()), Some(authority));
    }
    headers.remove(HOST);
    *request.headers_mut() = headers.into_map();
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    if websocket {
        // RFC 8441, 4.
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(Protocol::from_static("websocket"));
    }
    request
}
