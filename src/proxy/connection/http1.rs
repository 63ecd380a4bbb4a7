//! HTTP/1.1 from a client: heads, one exchange after the other, and an end that does not take the last answer away.
//!
//! One task, one request at a time: the next head is read when the answer is written, and what a client sends before that
//! stays where it is. The request's stages run inside this task; a body is read by whoever forwards it ([`wire`](super::transport)). While the
//! exchange waits for its upstream, the connection looks whether the client is still there.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, StatusCode, Version};
use tokio::time::{Instant, Sleep, sleep_until};

use super::super::access_log::Line;
use super::super::worker::Worker;
use super::park::{self, Left, Look, Rest};
use super::respond::{Asked, Ended, respond};
use super::transport::{SharedWire, Wire};
use super::write_timeout::Stalling;
use super::{PREFACE, last_word, linger};
use crate::http1::{BodyLength, HeadError, HeadLimits, Request};
use crate::proxy::accept::client_stream::ClientStream;
use crate::proxy::accept::waiting::WaitingConnection as Listed;
use crate::proxy::body::transfer::Inbound;
use crate::proxy::drain;
use crate::proxy::request::admit::WireFacts;
use crate::proxy::request::interim::Interim;
use crate::proxy::request::local_reply::LocalReply;
use crate::proxy::request::proxy_request::{ClientConnection, ReceivedRequest, proxy_request};
use crate::stats::RejectReason;

/// Serves `stream`, which is `listed` among those that wait, until it ends.
pub(crate) async fn serve(worker: Rc<Worker>, mut stream: ClientStream, peer: Rc<ClientConnection>, listed: Listed) {
    let mut due = Instant::now() + peer.listener.idle_timeout;
    let mut listed = Some(listed);
    // What is in a box is there while it runs only: a parked connection's task has no room for it.
    while let Some(rested) = Box::pin(serve_until_idle((&worker, &peer), stream, due, listed.take())).await {
        match park::wait(&worker, &peer, (&rested.stream, rested.due)).await {
            Left::Readable => (stream, due) = (rested.stream, rested.due),
            Left::Over => return Box::pin(linger(rested.stream)).await,
            Left::Displaced => {
                worker.stats.refused(RejectReason::Displaced);
                return rested.stream.close();
            }
        }
    }
}

/// A connection without its buffers.
struct Rested {
    stream: ClientStream,
    /// When its next head is due.
    due: Instant,
}

/// Serves `stream`, whose first head is due then, until it ends, or until it can be parked.
async fn serve_until_idle(
    (worker, peer): (&Rc<Worker>, &Rc<ClientConnection>),
    stream: ClientStream,
    mut due: Instant,
    mut listed: Option<Listed>,
) -> Option<Rested> {
    let idle_timeout = peer.listener.idle_timeout;
    let wire = SharedWire::new(Stalling::new(stream, idle_timeout));
    let mut drain = pin!(drain::last_call(worker));
    let now = Instant::now();
    let mut timer = pin!(sleep_until(due.min(now + worker.settings.park_after)));
    let mut idle_since = now;
    loop {
        let rest = Rest { due, idle_since, park_after: worker.settings.park_after };
        let (drain, timer) = (drain.as_mut(), timer.as_mut());
        let mut waiting = Waiting { worker, peer, listed: &mut listed, wire: &wire, rest, drain, timer };
        let next = poll_fn(|cx| waiting.poll(cx)).await;
        listed = None;
        let ended = match next {
            Next::Head(request) => exchange(worker, peer, &wire, request).await,
            Next::Idle => return wire.take().map(|(stream, _empty)| Rested { stream, due }),
            Next::Displaced => {
                worker.stats.refused(RejectReason::Displaced);
                wire.take()?.0.close();
                return None;
            }
            Next::Refused(refusal, to_head) => {
                let (stream, begun) = wire.take()?;
                let last = refuse(worker, peer, &begun, &refusal, to_head);
                Box::pin(last_word(stream, &last, idle_timeout)).await;
                return None;
            }
            Next::Over => After::Close,
        };
        match ended {
            After::Next => {
                idle_since = Instant::now();
                due = idle_since + idle_timeout;
            }
            After::Close => {
                let (stream, _) = wire.take()?;
                Box::pin(linger(stream)).await;
                return None;
            }
            After::Cut => {
                let (stream, _) = wire.take()?;
                stream.cut();
                return None;
            }
            After::Tunnel => {
                let (stream, first) = wire.take()?;
                // On the heap: connections that never become one should not pay for it.
                Box::pin(tunnel(peer, stream, first)).await;
                return None;
            }
        }
    }
}

/// Counts and logs what is refused without having been a request, of which this has come. Returns what its client is told.
fn refuse(worker: &Worker, peer: &ClientConnection, begun: &[u8], refusal: &LocalReply, to_head: bool) -> Vec<u8> {
    worker.stats.refused(refusal.reason);
    let last = refusal.to_http1_bytes(to_head);
    if let Some(log) = worker.settings.log.as_ref().filter(|log| worker.draws(log.sample))
        && let Some(mut line) = Line::of_first_line(begun, peer.address.ip())
    {
        let head = last.windows(4).position(|end| end == b"\r\n\r\n").map_or(last.len(), |at| at + 4);
        line.bytes = (last.len() - head) as u64;
        (line.status, line.reason) = (Some(refusal.status().as_u16()), Some(refusal.reason.word()));
        if !log.send(line) {
            worker.stats.log_dropped();
        }
    }
    last
}

async fn tunnel(peer: &ClientConnection, stream: ClientStream, first: Bytes) {
    match peer.take_tunnel() {
        Some(tunnel) => tunnel.run(stream, first).await,
        None => linger(stream).await,
    }
}

/// What a connection that waits for a head gets.
enum Next {
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
struct Waiting<'w, D> {
    worker: &'w Worker,
    peer: &'w ClientConnection,
    /// Its entry among the connections that wait, once it has one.
    listed: &'w mut Option<Listed>,
    wire: &'w SharedWire,
    rest: Rest,
    drain: Pin<&'w mut D>,
    timer: Pin<&'w mut Sleep>,
}

impl<D: Future<Output = ()>> Waiting<'_, D> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let settings = &self.worker.settings;
        let limits = HeadLimits { bytes_max: settings.head_bytes_max, headers_max: settings.headers_max };
        // First, so that a request that is there already is taken before anything else is looked at.
        let read = self.wire.with(|wire| read_head(wire, limits, cx));
        if let Poll::Ready(next) = read.unwrap_or(Poll::Ready(Next::Over)) {
            return Poll::Ready(next);
        }
        let begun = self.wire.with(has_begun).unwrap_or(false);
        if self.listed.as_ref().is_some_and(|listed| listed.poll_displaced(cx).is_ready()) {
            return Poll::Ready(Next::Displaced);
        }
        // In this order: a drain that has been seen once must not be looked at again.
        if !begun && self.drain.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Next::Over);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let at_rest = self.wire.with(|wire| wire.is_at_rest()).unwrap_or(false);
            match self.rest.look(now, at_rest) {
                Look::Park => return Poll::Ready(Next::Idle),
                Look::Again(at) => {
                    self.timer.as_mut().reset(at);
                    // It has begun a head, or it could be parked.
                    if !at_rest && now >= self.rest.idle_since + self.rest.park_after {
                        let listed = self.listed.get_or_insert_with(|| self.peer.waits(self.rest.idle_since));
                        // It is the one that is told from now on.
                        let _not_yet = listed.poll_displaced(cx);
                    }
                }
                Look::Overdue if begun => {
                    let refusal = LocalReply::new(RejectReason::HeadTimeout, "the request's head did not come in time");
                    let to_head = self.wire.with(is_to_head).unwrap_or(false);
                    return Poll::Ready(Next::Refused(refusal, to_head));
                }
                Look::Overdue => return Poll::Ready(Next::Over),
            }
        }
        Poll::Pending
    }
}

/// Reads until there is a head, or none can come.
fn read_head(wire: &mut Wire, limits: HeadLimits, cx: &mut Context<'_>) -> Poll<Next> {
    loop {
        let to_head = is_to_head(wire);
        let http2 = wire.inbox.bytes().starts_with(&PREFACE[..14]);
        match wire.inbox.request(limits) {
            Ok(Some(head)) => return Poll::Ready(Next::Head(head)),
            Ok(None) => {}
            Err(error) => return Poll::Ready(Next::Refused(refusal(error, http2), to_head)),
        }
        match wire.poll_fill(cx) {
            Poll::Ready(Ok(1..)) => {}
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Next::Over),
            Poll::Pending => return Poll::Pending,
        }
    }
}

fn refusal(error: HeadError, http2: bool) -> LocalReply {
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
fn begun(wire: &mut Wire) -> &[u8] {
    let bytes = wire.inbox.bytes();
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    &bytes[start..]
}

fn has_begun(wire: &mut Wire) -> bool {
    !begun(wire).is_empty()
}

/// Whether what came of a head is that of a `HEAD`, whose answer has no body; methods differ by case (RFC 9110, 9.1).
fn is_to_head(wire: &mut Wire) -> bool {
    begun(wire).starts_with(b"HEAD ")
}

/// What follows an exchange.
enum After {
    /// The next head.
    Next,
    /// The end.
    Close,
    /// An end that nobody takes for that of the answer.
    Cut,
    /// Bytes of another protocol.
    Tunnel,
}

/// One request and its answer.
async fn exchange(worker: &Rc<Worker>, peer: &Rc<ClientConnection>, wire: &SharedWire, request: Request) -> After {
    let asked = Asked {
        to_head: request.head.method == Method::HEAD,
        http10: request.head.version == Version::HTTP_10,
        keep_alive: request.keep_alive,
    };
    wire.with(|wire| wire.begin(request.body, request.expects_continue));
    let answered = {
        let mut answering = pin!(proxy_request(Rc::clone(worker), Rc::clone(peer), received(request, wire)));
        poll_fn(|cx| {
            if let Poll::Ready(answer) = answering.as_mut().poll(cx) {
                return Poll::Ready(Some(answer));
            }
            // Not while the stages are polled: they may read the body.
            wire.with(|wire| wire.poll_unanswered(cx)).unwrap_or(Poll::Ready(())).map(|()| None)
        })
        .await
    };
    let Some(mut answer) = answered else { return After::Close };
    drain::mark(worker, &mut answer);
    let switched = answer.status == StatusCode::SWITCHING_PROTOCOLS;
    let may_go_on = poll_fn(|cx| Poll::Ready(wire.with(|wire| wire.may_go_on(cx)).unwrap_or(false))).await;
    let ended = respond(wire, answer, (asked, may_go_on && !worker.draining()), &worker.date).await;
    if switched && !matches!(ended, Ended::Broken | Ended::Cut) {
        return After::Tunnel;
    }
    if ended == Ended::Cut {
        return After::Cut;
    }
    let readable = poll_fn(|cx| Poll::Ready(wire.with(|wire| wire.end(cx)).unwrap_or(false))).await;
    if ended == Ended::Kept && readable { After::Next } else { After::Close }
}

/// A request as its stages take it.
fn received(request: Request, wire: &SharedWire) -> ReceivedRequest {
    let body = match request.body {
        BodyLength::Exact(0) => Inbound::None,
        BodyLength::Exact(_) | BodyLength::Chunked | BodyLength::UntilClose => Inbound::Http1(wire.body()),
    };
    // HTTP/1.0 has no interim answers (RFC 9110, 15.2).
    let interim = if request.head.version == Version::HTTP_10 { Interim::default() } else { wire.interim() };
    ReceivedRequest { head: request.head, seen: WireFacts::Http1 { fragment: request.fragment }, body, interim }
}
