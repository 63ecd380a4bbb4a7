//! The request: admit, decide, dial, forward, observe, with one side exit.

use std::pin::pin;
use std::rc::Rc;

use h2::ext::Protocol;
use http::StatusCode;
use http_body::Body;
use http_body_util::Full;
use tokio::time::Instant;

use super::acquire::acquire;
use super::admit::{BodyFraming, WireFacts, admit};
use super::connect::{NoConnection, UpstreamConnection, dial};
use super::context::RequestContext;
use super::fallback::{Attempt, ReplayState, replay_if_failed};
use super::forward::{UpstreamResponse, forward};
use super::headers;
use super::headers::RequestId;
use super::interim::Interim;
use super::local_reply::{ErrorFormat, LocalReply};
use super::private;
use super::redirect;
use super::redirect::EarlyResponse;
use super::route::Destination;
use crate::message::names::{CONNECTION, GRPC_STATUS, HOST};
use crate::message::{HeaderSet, RequestHead, Response};
use crate::proxy::body::limits;
use crate::proxy::body::limits::BodyLimit;
use crate::proxy::body::response_body::{ResponseBody, ResponseInProgress};
use crate::proxy::body::transfer::{BodyState, IdleTimeout, Inbound, RequestBody};
pub(crate) use crate::proxy::connection::peer::ClientConnection;
use crate::proxy::connection::stream_permit::StreamPermit;
use crate::proxy::report::panic::catch_panic;
use crate::proxy::streams::long_lived::{StreamGuard, StreamKind};
use crate::proxy::streams::tunnel::{Tunnel, TunnelUpstream};
use crate::proxy::streams::websocket;
use crate::proxy::streams::websocket::WebSocketHandshake;
use crate::proxy::worker::{Snapshot, Worker};
use crate::stats::{RejectReason, UpstreamFailure};
use crate::table::key::OwnKey;
use crate::table::{Candidate, RequestView, RouteError, Version, decide_at};

/// A request as a connection hands it over.
#[derive(Debug)]
pub(crate) struct ReceivedRequest {
    /// Its head.
    pub head: Box<RequestHead>,
    /// What is known of the head besides.
    pub seen: WireFacts,
    /// Its body.
    pub body: Inbound,
    /// Where interim answers go.
    pub interim: Interim,
}

/// Answers one request; a failure is an answer.
pub(crate) async fn proxy_request(
    worker: Rc<Worker>,
    peer: Rc<ClientConnection>,
    received: ReceivedRequest,
) -> Response<ResponseBody> {
    let ReceivedRequest { mut head, seen, body, interim } = received;
    let handshake = match seen {
        WireFacts::Http1 { .. } if !head.headers.has(HeaderSet::UPGRADE) => None,
        WireFacts::Http1 { .. } => websocket::from_http1(&head, body_framing(&body)),
        WireFacts::Http2 { .. } => {
            headers::join_cookies(&mut head.headers);
            websocket::from_http2(&mut head)
        }
    };
    let mut observer = RequestContext::begin(&worker, &head, peer.address.ip());
    observer.interim = interim;
    if matches!(seen, WireFacts::Http2 { .. }) {
        observer.permits.stream = Some(StreamPermit::enter(&peer));
    }
    observer.private = peer.private.get().cloned();
    if private::is_brought(&head.headers) {
        observer.private = Some(peer.own_pools(&worker));
    }
    let manner = ErrorFormat::of(&head.headers);
    let exchanged = {
        let exchange = pin!(exchange(&worker, &peer, (seen, handshake), (&mut *head, body), &mut observer));
        catch_panic(exchange).await
    };
    match exchanged {
        Ok((forwarded, request_body, new_key)) => {
            let response = &forwarded.answer.response;
            if private::is_asked_for(response.status, &response.headers) {
                observer.private = Some(peer.own_pools(&worker));
            }
            let outcome = Outcome { observer, request_body, new_key };
            match forwarded.handshake {
                Some(_) => switch(&worker, &peer, forwarded, outcome),
                None => finish(worker, forwarded, outcome),
            }
        }
        Err(exit) => {
            let refusal = exit.refusal;
            let mut answer = exit.answer(manner);
            observer.end_refused(&refusal, answer.body.size_hint().exact());
            if matches!(seen, WireFacts::Http2 { .. }) {
                // A stream ends with its answer anyway; the connection has others.
                answer.headers.remove(CONNECTION);
            }
            answer.map(ResponseBody::Own)
        }
    }
}

/// From the head of a request to the head of its answer.
async fn exchange(
    worker: &Rc<Worker>,
    peer: &ClientConnection,
    (seen, handshake): (WireFacts, Option<WebSocketHandshake>),
    (head, body): (&mut RequestHead, Inbound),
    observer: &mut RequestContext,
) -> Result<(Forwarded, Rc<BodyState>, Option<OwnKey>), EarlyResponse> {
    let trusted = peer.listener.admit.trusts(peer.address.ip());
    let id = RequestId::of(&head.headers, trusted, || worker.random());
    observer.identified(id.text(&head.headers));
    observer.permits.process = worker.settings.concurrency.enter(worker.live())?;
    let admitted = admit(head, seen, body_framing(&body), peer.address.ip(), &peer.listener.admit)?;
    headers::check_loop(&head.headers, &worker.settings.edit)?;
    observer.client(admitted.client);
    peer.listener.policy.take(worker, admitted.client, observer.started())?;
    if let Some(port) = peer.listener.admit.redirect_https.filter(|_| !admitted.secure) {
        return Err(redirect::to_https(admitted.host_name(&head.headers), &head.target, port));
    }
    let host = admitted.host_name(&head.headers);
    peer.check(host, admitted.trusted)?;
    let (table, target) = acquire(worker, (head, host), observer).await?;
    let view = target.view(head, host, admitted.client);
    let route = route(worker, (&table, target.service), (&view, admitted.body), observer).await?;
    let policy = &route.routed.service().spec.policy;
    let handshake = handshake.filter(|_| policy.websockets);
    if head.extensions.get::<Protocol>().is_some() && handshake.is_none() {
        return Err(LocalReply::new(RejectReason::MethodNotAllowed, "this service has no WebSockets").into());
    }
    let state = Rc::new(match admitted.body {
        BodyFraming::None => BodyState::of_no_body(observer.started()),
        BodyFraming::Length(_) | BodyFraming::Chunked => BodyState::default(),
    });
    let body = match admitted.body {
        BodyFraming::None => RequestBody::Empty,
        BodyFraming::Length(_) | BodyFraming::Chunked => {
            let (idle, meter) = (IdleTimeout::new(policy.body_idle_timeout), BodyLimit::of(&policy.limits));
            RequestBody::Stream { incoming: body, idle, meter, state: Rc::clone(&state), copy: None }
        }
    };
    let facts = headers::RequestFacts {
        admitted: &admitted,
        peer: &peer.address,
        method: &head.method,
        version: head.version,
        id,
        revision: worker.settings.edit.revision.then(|| worker.revision_value(table.revision)),
    };
    headers::request(&mut head.headers, &facts, &worker.settings.edit);
    let proof = handshake.as_ref().and_then(|handshake| handshake.ask(&mut head.headers, worker.random()));
    if admitted.host.is_none() {
        // Only HTTP/1.0 lets a client leave it out; HTTP/1.1 to the upstream does not.
        head.headers.append(HOST, route.lease.endpoint().address.to_string());
    }
    let is_head = head.method == http::Method::HEAD;
    target.rewrite(&mut head.target);
    let mut body = body;
    let spare = ReplayState::keep(&route.routed, head, &mut body);
    if spare.is_some() {
        observer.interim.keep();
    }
    let first = forward(worker, &route.routed, route.lease, (head, &mut body), (&state, observer)).await;
    let Attempt { answer, routed, request_body } = match spare {
        None => Attempt { answer: first?, routed: route.routed, request_body: state },
        // On the heap: the requests that have nothing to replay should not pay for it.
        Some(spare) => Box::pin(replay_if_failed(worker, spare, (first, route.routed, state), observer)).await?,
    };
    let handshake = consented(handshake, &answer, proof.as_deref(), observer)?;
    let secure = admitted.secure;
    Ok((Forwarded { answer, is_head, secure, routed, handshake }, request_body, route.new_key))
}

/// The WebSocket that the client asked for, if the endpoint has consented to it.
fn consented(
    handshake: Option<WebSocketHandshake>,
    answer: &UpstreamResponse,
    proof: Option<&str>,
    observer: &RequestContext,
) -> Result<Option<WebSocketHandshake>, LocalReply> {
    let Some(handshake) = handshake else { return Ok(None) };
    handshake.answered(&answer.response, proof).map_err(|detail| {
        observer.failed(UpstreamFailure::BadAnswer);
        LocalReply::new(RejectReason::UpstreamBadAnswer, detail)
    })
}

/// The head of an answer and what its last edits need.
struct Forwarded {
    answer: UpstreamResponse,
    is_head: bool,
    secure: bool,
    routed: Destination,
    /// The WebSocket that the endpoint has consented to.
    handshake: Option<WebSocketHandshake>,
}

/// What goes on with the body of an answer.
struct Outcome {
    observer: RequestContext,
    request_body: Rc<BodyState>,
    new_key: Option<OwnKey>,
}

/// Where a request goes, and the connection for it.
struct Route {
    routed: Destination,
    lease: UpstreamConnection,
    new_key: Option<OwnKey>,
}

/// Decides and dials, and decides again without the versions whose endpoints took no connection.
async fn route(
    worker: &Rc<Worker>,
    (table, service): (&Snapshot, Option<u32>),
    (view, body): (&RequestView<'_>, BodyFraming),
    observer: &mut RequestContext,
) -> Result<Route, LocalReply> {
    let chance = worker.random();
    let (mut dead, mut attempted) = (Vec::<&Version>::new(), false);
    let mut now = observer.looked_at();
    loop {
        let now_ms = worker.clock_ms(now);
        let available = |version: &Candidate<'_>| {
            let available = version.availability(now_ms);
            let tried = dead.iter().any(|tried| std::ptr::eq(*tried, &**version));
            if tried { available.after_attempt() } else { available }
        };
        let decision = match decide_at(table, service, view, (chance, available)) {
            Ok(decision) => decision,
            Err(RouteError::NoService) => {
                observer.decided_by(table.revision);
                return Err(LocalReply::new(RejectReason::NoService, "no service answers this host and path"));
            }
            Err(RouteError::NoVersion { service_index, assigned, cause, slot, .. }) => {
                observer.no_healthy_upstream(Destination::at(table, service_index, assigned), (cause, slot));
                return Err(if !attempted {
                    let detail = "no version with a share of this service has a usable endpoint";
                    LocalReply::new(RejectReason::NoEndpoint, detail)
                } else {
                    let detail = "no endpoint of a version with a share of this service takes a connection";
                    LocalReply::new(RejectReason::ConnectFailed, detail)
                });
            }
        };
        let routed = Destination::new(table, &decision);
        observer.routed(routed.clone(), &decision);
        if let BodyFraming::Length(length) = body {
            limits::check_length(length, &decision.service.spec.policy.limits)?;
        }
        let connect_timeout = decision.service.spec.policy.connect_timeout;
        match dial(worker, decision.version(), (connect_timeout, false), now, observer).await {
            Ok(lease) => return Ok(Route { routed, lease, new_key: decision.new_key }),
            Err(NoConnection::Own(refusal)) => return Err(refusal),
            Err(NoConnection::Endpoints { tried }) => {
                attempted |= tried;
                dead.push(decision.version());
            }
        }
        now = observer.look();
    }
}

/// How the body is read: that is what the upstream will be told.
fn body_framing(body: &Inbound) -> BodyFraming {
    match body.size_hint().exact() {
        Some(0) => BodyFraming::None,
        Some(length) => BodyFraming::Length(length),
        None => BodyFraming::Chunked,
    }
}

/// The last edits of an answer; from here on its body carries the exchange.
fn finish(worker: Rc<Worker>, forwarded: Forwarded, outcome: Outcome) -> Response<ResponseBody> {
    let Forwarded { answer: UpstreamResponse { mut response, lease }, is_head, secure, routed, .. } = forwarded;
    let Outcome { mut observer, request_body, new_key } = outcome;
    observer.answered(response.status);
    observer.told(response.headers.get(GRPC_STATUS));
    let tells_length = is_head || response.status == StatusCode::NOT_MODIFIED;
    let bodiless = tells_length || response.status == StatusCode::NO_CONTENT;
    let length = response.body.size_hint().exact();
    headers::answer(&mut response, length, tells_length, &worker.settings.edit);
    if let Some(key) = new_key {
        headers::set_own_cookie(&mut response.headers, &key, secure);
    }
    let idle = IdleTimeout::new(routed.service().spec.policy.body_idle_timeout);
    let long = StreamKind::of_answer(&response.headers).map(|kind| StreamGuard::begin(&worker, &routed, kind));
    let exchange = ResponseInProgress { worker, observer, lease, request_body, long };
    response.map(|incoming| ResponseBody::upstream(incoming, bodiless, idle, exchange))
}

/// The endpoint consented to a WebSocket: the answer says so, and what comes after it is bytes.
fn switch(
    worker: &Rc<Worker>,
    peer: &Rc<ClientConnection>,
    forwarded: Forwarded,
    outcome: Outcome,
) -> Response<ResponseBody> {
    let Forwarded { answer: UpstreamResponse { mut response, mut lease }, secure, routed, handshake, .. } = forwarded;
    lease.in_flight.become_tunnel();
    let upgrade = response.extensions.remove();
    headers::answer(&mut response, None, false, &worker.settings.edit);
    if let Some(handshake) = handshake {
        handshake.consent(&mut response);
    }
    if let Some(key) = &outcome.new_key {
        headers::set_own_cookie(&mut response.headers, key, secure);
    }
    let (answer, incoming) = response.with_body(ResponseBody::Own(Full::default()));
    let upstream = TunnelUpstream::of(incoming, upgrade);
    let open = StreamGuard::begin(worker, &routed, StreamKind::Tunnel);
    let mut observer = outcome.observer;
    let stream = observer.permits.stream.take();
    let idle_timeout = routed.service().spec.policy.tunnel_idle_timeout;
    let tunnel = Tunnel { upstream, lease, open, idle_timeout, stream };
    drop(peer.tunnel.replace(Some(tunnel)));
    observer.answered(answer.status);
    observer.end(Instant::now());
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a request under way takes of memory, and what is moved when it begins: what is rare has to be on the heap.
    #[test]
    fn an_exchange_is_small() {
        fn bytes_of<A, B, C, F>(_: impl FnOnce(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = bytes_of(proxy_request);
        assert!(bytes <= 2304, "{bytes} bytes");
    }
}
