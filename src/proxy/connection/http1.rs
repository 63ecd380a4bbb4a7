//! HTTP/1.1 from a client: heads, one exchange after the other, and an end that does not take the last response away.
//!
//! One task, one request at a time: the next head is read when the response is written, and what a client sends before
//! that stays where it is. The request's steps run inside this task; a body is read by the task that forwards it
//! ([`transport`](super::transport)). While the exchange waits for its upstream, the connection looks whether the
//! client is still there.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, StatusCode, Version};
use tokio::time::{Instant, Sleep, sleep_until};

use super::super::access_log::AccessLine;
use super::super::worker::Worker;
use super::park::{IdleTimer, ParkDecision, ParkedConnection, Wakeup};
use super::respond::{RequestTraits, ResponseEnd, respond};
use super::transport::{Http1Transport, SharedTransport};
use super::write_timeout::WriteTimeout;
use super::{PREFACE, close_lingering, write_error_and_close};
use crate::http1::{BodyLength, HeadError, HeadLimits, Request};
use crate::proxy::accept::client_stream::ClientStream;
use crate::proxy::accept::waiting::WaitingConnection;
use crate::proxy::body::inbound::Inbound;
use crate::proxy::connection::client_connection::ClientConnection;
use crate::proxy::drain;
use crate::proxy::request::admit::WireFacts;
use crate::proxy::request::interim::Interim;
use crate::proxy::request::local_reply::LocalReply;
use crate::proxy::request::proxy_request::{ReceivedRequest, proxy_request};
use crate::stats::RejectReason;

/// Serves `stream`, which is `listed` among those that wait, until it ends.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    mut stream: ClientStream,
    peer: Rc<ClientConnection>,
    listed: WaitingConnection,
) {
    let mut due = Instant::now() + peer.listener.idle_timeout;
    let mut listed = Some(listed);
    // What is in a box is there while it runs only: a parked connection's task has no room for it.
    while let Some(parked) = Box::pin(serve_until_idle(&worker, &peer, stream, due, listed.take())).await {
        match parked.wait(&worker, &peer).await {
            Wakeup::Readable => (stream, due) = (parked.stream, parked.due),
            Wakeup::Over => return Box::pin(close_lingering(parked.stream)).await,
            Wakeup::Displaced => {
                worker.stats.refused(RejectReason::Displaced);
                return parked.stream.close();
            }
        }
    }
}

/// Serves `stream`, whose first head is due then, until it ends, or until it can be parked.
async fn serve_until_idle(
    worker: &Rc<Worker>,
    peer: &Rc<ClientConnection>,
    stream: ClientStream,
    mut due: Instant,
    mut listed: Option<WaitingConnection>,
) -> Option<ParkedConnection> {
    let idle_timeout = peer.listener.idle_timeout;
    let transport = SharedTransport::new(WriteTimeout::new(stream, idle_timeout));
    let mut drain = pin!(drain::until_drained(worker));
    let now = Instant::now();
    let mut timer = pin!(sleep_until(due.min(now + worker.settings.park_after)));
    let mut idle_since = now;
    loop {
        let rest = IdleTimer { due, idle_since, park_after: worker.settings.park_after };
        let (drain, timer) = (drain.as_mut(), timer.as_mut());
        let mut waiting = HeadWait { worker, peer, listed: &mut listed, transport: &transport, rest, drain, timer };
        let next = poll_fn(|cx| waiting.poll(cx)).await;
        listed = None;
        let ended = match next {
            NextEvent::Head(request) => serve_request(worker, peer, &transport, request).await,
            NextEvent::Idle => {
                let (stream, _empty) = transport.take()?;
                return Some(ParkedConnection { stream, due, idle_since });
            }
            NextEvent::Displaced => {
                worker.stats.refused(RejectReason::Displaced);
                transport.take()?.0.close();
                return None;
            }
            NextEvent::Refused(reply, to_head) => {
                let (stream, begun) = transport.take()?;
                let last = refuse(worker, peer, &begun, &reply, to_head);
                Box::pin(write_error_and_close(stream, &last, idle_timeout)).await;
                return None;
            }
            NextEvent::Over => ConnectionAction::Close,
        };
        match ended {
            ConnectionAction::Next => {
                idle_since = Instant::now();
                due = idle_since + idle_timeout;
            }
            ConnectionAction::Close => {
                let (stream, _) = transport.take()?;
                Box::pin(close_lingering(stream)).await;
                return None;
            }
            ConnectionAction::Cut => {
                let (stream, _) = transport.take()?;
                stream.cut();
                return None;
            }
            ConnectionAction::Tunnel => {
                let (stream, first) = transport.take()?;
                // On the heap: connections that never become one should not pay for it.
                Box::pin(tunnel(peer, stream, first)).await;
                return None;
            }
        }
    }
}

/// Counts and logs what is refused without having been a request, of which this has come. Returns what its client is
/// told.
fn refuse(worker: &Worker, peer: &ClientConnection, begun: &[u8], reply: &LocalReply, to_head: bool) -> Vec<u8> {
    worker.stats.refused(reply.reason);
    let last = reply.to_http1_bytes(to_head);
    if let Some(log) = worker.settings.log.as_ref().filter(|log| worker.draws(log.sample))
        && let Some(mut line) = AccessLine::of_first_line(begun, peer.address.ip())
    {
        let head = last.windows(4).position(|end| end == b"\r\n\r\n").map_or(last.len(), |at| at + 4);
        line.bytes = (last.len() - head) as u64;
        (line.status, line.reason) = (Some(reply.status().as_u16()), Some(reply.reason.word()));
        if !log.send(line) {
            worker.stats.log_dropped();
        }
    }
    last
}

async fn tunnel(peer: &ClientConnection, stream: ClientStream, first: Bytes) {
    match peer.take_tunnel() {
        Some(tunnel) => tunnel.run(stream, first).await,
        None => close_lingering(stream).await,
    }
}

/// What a connection that waits for a head gets.
enum NextEvent {
    Head(Request),
    /// What came is refused without having been a request; to a `HEAD`, if that much is known.
    Refused(LocalReply, bool),
    /// Nothing for so long that it can be parked.
    Idle,
    /// Part of a head for so long that another connection gets its room.
    Displaced,
    /// The client has left, has nothing to say, or the worker drains.
    Over,
}

/// The wait for a head.
struct HeadWait<'w, D> {
    worker: &'w Worker,
    peer: &'w ClientConnection,
    /// Its entry among the connections that wait, once it has one.
    listed: &'w mut Option<WaitingConnection>,
    transport: &'w SharedTransport,
    rest: IdleTimer,
    drain: Pin<&'w mut D>,
    timer: Pin<&'w mut Sleep>,
}

impl<D: Future<Output = ()>> HeadWait<'_, D> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<NextEvent> {
        let settings = &self.worker.settings;
        let limits = HeadLimits { bytes_max: settings.head_bytes_max, headers_max: settings.headers_max };
        // First, so that a request that is there already is taken before anything else is looked at.
        let read = self.transport.with(|transport| read_head(transport, limits, cx));
        if let Poll::Ready(next) = read.unwrap_or(Poll::Ready(NextEvent::Over)) {
            return Poll::Ready(next);
        }
        let begun = self.transport.with(has_begun).unwrap_or(false);
        if self.listed.as_ref().is_some_and(|listed| listed.poll_displaced(cx).is_ready()) {
            return Poll::Ready(NextEvent::Displaced);
        }
        // In this order: a drain that has been seen once must not be looked at again.
        if !begun && self.drain.as_mut().poll(cx).is_ready() {
            return Poll::Ready(NextEvent::Over);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let at_rest = self.transport.with(|transport| transport.is_at_rest()).unwrap_or(false);
            match self.rest.decide(now, at_rest) {
                ParkDecision::Park => return Poll::Ready(NextEvent::Idle),
                ParkDecision::Again(at) => {
                    self.timer.as_mut().reset(at);
                    // It has begun a head, or it could be parked.
                    if !at_rest && now >= self.rest.idle_since + self.rest.park_after {
                        let listed = self.listed.get_or_insert_with(|| self.peer.waits(self.rest.idle_since));
                        // It is the one that is told from now on.
                        let _not_yet = listed.poll_displaced(cx);
                    }
                }
                ParkDecision::Overdue if begun => {
                    let reply = LocalReply::new(RejectReason::HeadTimeout, "the request's head did not come in time");
                    let to_head = self.transport.with(is_to_head).unwrap_or(false);
                    return Poll::Ready(NextEvent::Refused(reply, to_head));
                }
                ParkDecision::Overdue => return Poll::Ready(NextEvent::Over),
            }
        }
        Poll::Pending
    }
}

/// Reads until there is a head, or none can come.
fn read_head(transport: &mut Http1Transport, limits: HeadLimits, cx: &mut Context<'_>) -> Poll<NextEvent> {
    loop {
        let to_head = is_to_head(transport);
        let http2 = transport.read_buf.bytes().starts_with(&PREFACE[..14]);
        match transport.read_buf.request(limits) {
            Ok(Some(head)) => return Poll::Ready(NextEvent::Head(head)),
            Ok(None) => {}
            Err(error) => return Poll::Ready(NextEvent::Refused(reply(error, http2), to_head)),
        }
        match transport.poll_fill(cx) {
            Poll::Ready(Ok(1..)) => {}
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(NextEvent::Over),
            Poll::Pending => return Poll::Pending,
        }
    }
}

fn reply(error: HeadError, http2: bool) -> LocalReply {
    match error {
        HeadError::TooLarge => {
            LocalReply::new(RejectReason::HeadTooLarge, "the head has more bytes than proxy.head_bytes_max")
        }
        HeadError::TooManyLines => {
            LocalReply::new(RejectReason::HeadTooLarge, "the head has more header lines than proxy.headers_max")
        }
        HeadError::Version if http2 => {
            LocalReply::new(RejectReason::BadHead, "this listener speaks HTTP/1.1 on plain connections")
        }
        HeadError::Length => {
            LocalReply::new(RejectReason::BadFraming, "found a length that is no number, or two lengths")
        }
        HeadError::Coding => LocalReply::new(
            RejectReason::UnknownCoding,
            "found a transfer coding other than chunked, want chunked alone",
        ),
        HeadError::Method | HeadError::Target | HeadError::Version | HeadError::Header | HeadError::Status => {
            LocalReply::new(RejectReason::BadHead, "this is not the head of an HTTP/1.1 request")
        }
    }
}

/// The bytes of a head as far as it has come. Empty lines before it are none of it (RFC 9112, 2.2).
fn begun(transport: &mut Http1Transport) -> &[u8] {
    let bytes = transport.read_buf.bytes();
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    &bytes[start..]
}

fn has_begun(transport: &mut Http1Transport) -> bool {
    !begun(transport).is_empty()
}

/// Whether what came of a head is that of a `HEAD`, whose response has no body; methods differ by case (RFC 9110, 9.1).
fn is_to_head(transport: &mut Http1Transport) -> bool {
    begun(transport).starts_with(b"HEAD ")
}

/// What follows an exchange.
enum ConnectionAction {
    /// The next head.
    Next,
    /// The end.
    Close,
    /// An end that cannot be taken for that of the response.
    Cut,
    /// Bytes of another protocol.
    Tunnel,
}

/// One request and its response.
async fn serve_request(
    worker: &Rc<Worker>,
    peer: &Rc<ClientConnection>,
    transport: &SharedTransport,
    request: Request,
) -> ConnectionAction {
    let asked = RequestTraits {
        to_head: request.head.method == Method::HEAD,
        http10: request.head.version == Version::HTTP_10,
        keep_alive: request.keep_alive,
    };
    transport.with(|transport| transport.begin(request.body, request.expects_continue));
    let responded = {
        let mut responding = pin!(proxy_request(Rc::clone(worker), Rc::clone(peer), received(request, transport)));
        poll_fn(|cx| {
            if let Poll::Ready(response) = responding.as_mut().poll(cx) {
                return Poll::Ready(Some(response));
            }
            // Not while the steps are polled: they may read the body.
            transport.with(|transport| transport.poll_before_response(cx)).unwrap_or(Poll::Ready(())).map(|()| None)
        })
        .await
    };
    let Some(mut response) = responded else { return ConnectionAction::Close };
    drain::mark(worker, &mut response);
    let switched = response.status == StatusCode::SWITCHING_PROTOCOLS;
    let may_go_on =
        poll_fn(|cx| Poll::Ready(transport.with(|transport| transport.may_go_on(cx)).unwrap_or(false))).await;
    let ended = respond(transport, response, asked, may_go_on && !worker.draining(), &worker.date).await;
    if switched && !matches!(ended, ResponseEnd::Broken | ResponseEnd::Cut) {
        return ConnectionAction::Tunnel;
    }
    if ended == ResponseEnd::Cut {
        return ConnectionAction::Cut;
    }
    let readable = poll_fn(|cx| Poll::Ready(transport.with(|transport| transport.end(cx)).unwrap_or(false))).await;
    if ended == ResponseEnd::Kept && readable { ConnectionAction::Next } else { ConnectionAction::Close }
}

/// A request as its steps take it.
fn received(request: Request, transport: &SharedTransport) -> ReceivedRequest {
    let body = match request.body {
        BodyLength::Exact(0) => Inbound::None,
        BodyLength::Exact(_) | BodyLength::Chunked | BodyLength::UntilClose => Inbound::Http1(transport.body()),
    };
    // HTTP/1.0 has no interim responses (RFC 9110, 15.2).
    let interim = if request.head.version == Version::HTTP_10 { Interim::default() } else { transport.interim() };
    ReceivedRequest { head: request.head, facts: WireFacts::Http1 { fragment: request.fragment }, body, interim }
}
