//! One stream: a request on its way in, what goes back on it, and who ends it.
//!
//! The stages of the request run in a task of the stream, because those of others must go on when they wait; the task
//! of the connection reads and writes frames for all of them. A client that takes its request back drops the stages
//! where they are, and with them what they hold at the endpoint.

use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::header::{COOKIE, EXPECT};
use http::{HeaderMap, Method, Request};
use http_body::Body;

use super::super::respond::decimal;
use super::responder::Responder;
use super::stream_body::Http2Body;
use super::streams::Streams;
use crate::http2::{OutgoingBody, TunnelStream};
use crate::message::known_headers::{CONTENT_LENGTH, DATE};
use crate::message::{HeaderSet, Response};
use crate::proxy::body::inbound::Inbound;
use crate::proxy::body::response_body::ResponseBody;
use crate::proxy::connection::client_connection::ClientConnection;
use crate::proxy::connection::date::Date;
use crate::proxy::request::admit::WireFacts;
use crate::proxy::request::interim::{Interim, InterimSink};
use crate::proxy::request::proxy_request::{ReceivedRequest, proxy_request};
use crate::proxy::worker::Worker;

/// The connection that a stream is on.
#[derive(Clone, Debug)]
pub(super) struct ServedConnection {
    pub(super) worker: Rc<Worker>,
    pub(super) peer: Rc<ClientConnection>,
    pub(super) streams: Rc<Streams>,
}

/// Serves the request on a stream until it ends.
pub(super) async fn serve(served: ServedConnection, responder: Rc<Responder>, request: Request<RecvStream>) {
    let ServedConnection { worker, peer, streams } = served;
    let _open = streams.opened();
    let to_head = request.method() == Method::HEAD;
    let (received, incoming) = received(request, &worker, &responder);
    let unanswered = streams.unanswered();
    let answer = {
        // On the heap at once: it has kilobytes, and the stream lives on when it is over.
        let mut handling = Box::pin(proxy_request(Rc::clone(&worker), Rc::clone(&peer), received));
        let answered = poll_fn(|cx| {
            if let Poll::Ready(answer) = handling.as_mut().poll(cx) {
                return Poll::Ready(Some(answer));
            }
            responder.poll_reset(cx).map(|()| None)
        });
        let Some(answer) = answered.await else { return };
        answer
    };
    // It is there when the stages end, and stages of other streams have not run since.
    let tunnel = peer.take_tunnel();
    let Ok(begun) = begin(&responder, answer, to_head, tunnel.is_some(), &worker.date) else { return };
    unanswered.answered();
    let Some((outgoing, body)) = begun else { return };
    match (tunnel, incoming) {
        (Some(tunnel), Some(incoming)) => {
            Box::pin(tunnel.run(TunnelStream::new(incoming, outgoing), Bytes::new())).await;
        }
        (Some(_), None) => {}
        (None, incoming) => {
            drop(incoming);
            let mut sending = OutgoingBody::new(body, outgoing, Reason::INTERNAL_ERROR);
            let sent = poll_fn(|cx| {
                let polled = sending.poll(cx);
                responder.waiting_since.set(sending.waiting_since());
                let (sent, whole) = (sending.take_sent(), sending.is_whole());
                sending.body_mut().note_written(sent);
                if whole {
                    sending.body_mut().finish();
                }
                polled
            });
            sent.await;
        }
    }
}

/// A request as its stages take it, and the client's side of the tunnel that it may ask for (RFC 8441, 4).
fn received(
    request: Request<RecvStream>,
    worker: &Worker,
    responder: &Rc<Responder>,
) -> (ReceivedRequest, Option<RecvStream>) {
    let facts = WireFacts::Http2 { fits: fits(worker, request.headers()) };
    let (head, incoming) = request.into_parts();
    let (body, tunnel) = if head.method == Method::CONNECT {
        (Inbound::None, Some(incoming))
    } else if incoming.is_end_stream() {
        (Inbound::None, None)
    } else {
        let waits = head.headers.get(EXPECT).filter(|wanted| wanted.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        responder.expects_continue.set(waits.is_some());
        let responder = waits.map(|_| Rc::clone(responder));
        (Inbound::Http2(Http2Body::new(incoming, &head.headers, responder)), None)
    };
    let interim = Interim::to(Rc::clone(responder) as Rc<dyn InterimSink>);
    (ReceivedRequest { head: Box::new(head.into()), facts, body, interim }, tunnel)
}

/// Whether a head is no larger than one of HTTP/1.1 may be: its lines as they would be written there.
fn fits(worker: &Worker, headers: &HeaderMap) -> bool {
    const LINE_OVERHEAD_BYTES: usize = ": \r\n".len();
    let lines = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + LINE_OVERHEAD_BYTES);
    // Clients send a cookie in pieces (RFC 9113, 8.2.3); in HTTP/1.1 they are one line.
    let count = if headers.len() <= worker.settings.headers_max {
        headers.len()
    } else {
        headers.len() - headers.get_all(COOKIE).iter().count().saturating_sub(1)
    };
    let settings = &worker.settings;
    count <= settings.headers_max && lines.sum::<usize>() <= settings.head_bytes_max
}

/// The client has taken its request back before its answer could begin. The stages may have seen it first: to them it
/// is a body that broke.
struct TakenBack;

/// Sends the head of an answer. Nothing if that is all of it, or if it cannot be sent by our fault.
fn begin(
    responder: &Responder,
    answer: Response<ResponseBody>,
    to_head: bool,
    tunnel: bool,
    date: &Date,
) -> Result<Option<(SendStream<Bytes>, ResponseBody)>, TakenBack> {
    let Response { status, mut headers, mut body, .. } = answer;
    if !headers.has(HeaderSet::DATE) {
        headers.append(DATE, date.now());
    }
    let empty = body.is_end_stream();
    if let Some(length) = body.size_hint().exact().filter(|_| !empty && !headers.has(HeaderSet::CONTENT_LENGTH)) {
        headers.append(CONTENT_LENGTH, decimal(length, &mut [0; 20]));
    }
    let ends = !tunnel && (empty || to_head);
    let mut head = http::Response::new(());
    *head.status_mut() = status;
    *head.headers_mut() = headers.into_map();
    let Some(mut respond) = responder.respond.take() else { return Ok(None) };
    match respond.send_response(head, ends) {
        Ok(_) if ends => {
            body.finish();
            Ok(None)
        }
        Ok(outgoing) => Ok(Some((outgoing, body))),
        Err(error) => {
            tracing::debug!(%error, "an answer did not go out");
            // Known already, or not at all.
            if respond.poll_reset(&mut Context::from_waker(Waker::noop())).is_ready() {
                return Err(TakenBack);
            }
            respond.send_reset(Reason::INTERNAL_ERROR);
            Ok(None)
        }
    }
}
