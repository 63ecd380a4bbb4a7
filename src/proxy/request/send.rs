//! Sending a request on a connection, whatever it speaks, within the time that an answer may take.
//!
//! On HTTP/1.1 the connection is polled here, and the request's head is only looked at. On HTTP/2 hyper wants a request of
//! its own, with a copy of the head, and a task of its own polls the connection.

use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::Duration;

use http::uri::{self, Authority, Scheme};
use http::{Extensions, Method, Request, Uri, Version};
use hyper::ext::Protocol;
use tokio::time::{Instant, sleep_until};

use super::connect::UpstreamConnection;
use crate::http1::ResponseHead;
use crate::message::names::{CONNECTION, HOST, SEC_WEBSOCKET_KEY, TRANSFER_ENCODING, UPGRADE};
use crate::message::{RequestHead, Response};
use crate::proxy::body::transfer::{BodyState, RequestBody};
use crate::upstream::http1::{self, Http1, RequestLines};
use crate::upstream::sender::{StreamError, UpstreamStream};
use crate::upstream::{Incoming, RequestSender};

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SendError {
    /// Not a byte was written.
    Unsent,
    /// It was written, and the endpoint has not looked at it (RFC 9113, 8.7).
    Unprocessed,
    /// The connection broke after the request was written, at least in part.
    Broken,
    /// What came was not HTTP.
    Malformed,
    /// The head of the answer has too many bytes.
    TooLarge,
    /// The head of the answer has too many lines.
    TooManyLines,
    /// Nothing came in time.
    Timeout,
}

impl From<http1::Http1SendError> for SendError {
    fn from(error: http1::Http1SendError) -> Self {
        match error {
            http1::Http1SendError::Unsent => Self::Unsent,
            http1::Http1SendError::Broken => Self::Broken,
            http1::Http1SendError::Malformed => Self::Malformed,
            http1::Http1SendError::TooLarge => Self::TooLarge,
            http1::Http1SendError::TooManyLines => Self::TooManyLines,
        }
    }
}

/// Sends a request over `lease`, whose connection goes with the answer or is gone; a `body` that was not sent is still
/// there then. Interim answers are handed over as they come.
pub(crate) async fn send(
    lease: &mut UpstreamConnection,
    (head, body, scheme): (&RequestHead, &mut RequestBody, &Scheme),
    state: &BodyState,
    limit: Duration,
    interim: impl FnMut(Response<()>),
) -> Result<Box<Response<Incoming>>, SendError> {
    let wait = Wait { state, limit, since: lease.since };
    match std::mem::replace(&mut lease.sender, RequestSender::Spent) {
        RequestSender::Http1(connection) => on_http1(connection, (head, body), wait, interim).await,
        RequestSender::Http2(mut stream) => {
            // On the heap: the exchanges of HTTP/1.1 have no room for it.
            let sent = Box::pin(on_http2(&mut stream, (head, body, scheme), wait)).await;
            // It counts as open until the lease ends.
            lease.sender = RequestSender::Http2(stream);
            sent
        }
        RequestSender::Spent => Err(SendError::Unsent),
    }
}

async fn on_http1(
    mut connection: Box<Http1>,
    (head, body): (&RequestHead, &mut RequestBody),
    wait: Wait<'_>,
    mut interim: impl FnMut(Response<()>),
) -> Result<Box<Response<Incoming>>, SendError> {
    let lines = RequestLines { method: &head.method, target: head.target.path_and_query(), headers: &head.headers };
    let mut sending = connection.begin(lines, body)?;
    let mut deadline = wait.since + wait.limit;
    let answer = poll_fn(|cx| {
        while let Poll::Ready(answer) = connection.poll_answer(&mut sending, body, cx) {
            match answer {
                Ok(head) if head.is_interim() => interim(of_head(head, ())),
                answer => return Poll::Ready(answer.map_err(SendError::from)),
            }
        }
        loop {
            ready!(connection.poll_until(deadline, cx));
            deadline = match wait.again() {
                Ok(later) => later,
                Err(timeout) => return Poll::Ready(Err(timeout)),
            };
        }
    });
    let answer = answer.await?;
    let connection = connection.answered(&answer, sending, body);
    Ok(Box::new(of_head(answer, Incoming::Http1(connection))))
}

fn of_head<B>(head: ResponseHead, body: B) -> Response<B> {
    let ResponseHead { status, version, headers, .. } = head;
    Response { status, version, headers, extensions: Extensions::new(), body }
}

async fn on_http2(
    stream: &mut UpstreamStream<RequestBody>,
    (head, body, scheme): (&RequestHead, &mut RequestBody, &Scheme),
    wait: Wait<'_>,
) -> Result<Box<Response<Incoming>>, SendError> {
    let sending = stream.try_send(as_http2(head, std::mem::take(body), scheme));
    let mut sending = std::pin::pin!(sending);
    let mut deadline = wait.since + wait.limit;
    let sent = loop {
        tokio::select! {
            biased;
            sent = &mut sending => break sent,
            () = sleep_until(deadline) => deadline = wait.again()?,
        }
    };
    sent.map(|response| Box::new(Response::from(response.map(Incoming::Http2)))).map_err(|error| match error {
        StreamError::Unsent(request) => {
            *body = request.into_body();
            SendError::Unsent
        }
        StreamError::Unprocessed => SendError::Unprocessed,
        StreamError::Malformed => SendError::Malformed,
        StreamError::Broken => SendError::Broken,
    })
}

/// How long an answer may take.
struct Wait<'s> {
    state: &'s BodyState,
    limit: Duration,
    /// When it began, as far as is known without a look at the request's body: when there was a connection for it.
    since: Instant,
}

impl Wait<'_> {
    /// When to look again, at a deadline.
    ///
    /// The wait for the answer begins when the request is complete. Until then the body's own limit rules when it is the
    /// client's turn; an upstream that stops reading is one that does not answer.
    fn again(&self) -> Result<Instant, SendError> {
        let now = Instant::now();
        let begins = self.state.ended().or_else(|| self.state.untouched_since()).unwrap_or(now);
        if begins + self.limit <= now { Err(SendError::Timeout) } else { Ok(begins + self.limit) }
    }
}

/// A request as HTTP/2 wants it: the host in the target, and the body framed by the stream (RFC 9113, 8.2.2 and 8.3.1). The
/// scheme is that of the connection: origins refuse others, and what the client used is told by `X-Forwarded-Proto`.
fn as_http2(head: &RequestHead, body: RequestBody, scheme: &Scheme) -> Request<RequestBody> {
    let mut request = Request::new(body);
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
