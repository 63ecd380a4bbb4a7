//! The life of a request, as a list of steps on one [`RequestContext`].
//!
//! A step that cannot go on ends the list with an [`EarlyResponse`]. A chain of layers, as in tower, would let steps be
//! combined at run time, which no configuration asks for, and would hide their order.
//!
//! Whatever happens, the client gets one response, and the context is [finished](super::finish) once.

use std::pin::pin;
use std::rc::Rc;

use h2::ext::Protocol;
use http::{HeaderValue, Method};
use http_body::Body;
use http_body_util::Full;
use tokio::time::Instant;

use super::acquire::{TableView, acquire};
use super::admit::resolved_target::ClientView;
use super::admit::{Admitted, BodyFraming, WireFacts, admit};
use super::bearer;
use super::configured_reply::ConfiguredReply;
use super::context::RequestContext;
use super::deliver::{ForwardedRequest, deliver, switch_protocols};
use super::early_response;
use super::early_response::{EarlyReply, EarlyResponse};
use super::edge_reply;
use super::edge_request::EdgeRequest;
use super::error_reply;
use super::error_reply::FailedRequest;
use super::fallback::{ReplayState, replay_if_failed};
use super::finish::RequestOutcome;
use super::flag_headers;
use super::forward::{Attempt, UpstreamResponse, forward};
use super::header_edits;
use super::header_edits::RequestId;
use super::interim::Interim;
use super::local_reply::{ErrorFormat, LocalReply, grpc_response};
use super::own_call;
use super::own_request::OwnRequest;
use super::private;
use super::route::{Route, route};
use super::route_query::RouteQuery;
use super::send::OutboundRequest;
use crate::message::known_headers::{CONNECTION, HOST};
use crate::message::{HeaderSet, RequestHead, Response};
use crate::proxy::body::inbound::Inbound;
use crate::proxy::body::request_body::RequestBody;
use crate::proxy::body::response_body::ResponseBody;
use crate::proxy::connection::client_connection::ClientConnection;
use crate::proxy::connection::stream_permit::StreamPermit;
use crate::proxy::mirror::request_copy::{self, RequestCopy};
use crate::proxy::report::panic::catch_panic;
use crate::proxy::streams::websocket;
use crate::proxy::streams::websocket::WebSocketHandshake;
use crate::proxy::worker::Worker;
use crate::stats::{EndpointStats, RejectReason, UpstreamFailure};
use crate::table::spec::Policy;

/// A request as a connection hands it over.
#[derive(Debug)]
pub(crate) struct ReceivedRequest {
    pub head: Box<RequestHead>,
    /// What is known of the head besides.
    pub facts: WireFacts,
    pub body: Inbound,
    /// Where interim responses go.
    pub interim: Interim,
}

/// Responds to one request; every failure has a response as well.
pub(crate) async fn proxy_request(
    worker: Rc<Worker>,
    client: Rc<ClientConnection>,
    received: ReceivedRequest,
) -> Response<ResponseBody> {
    let ReceivedRequest { mut head, facts, body, interim } = received;
    let framing = framing_of(&body);
    let handshake = requested_websocket(&mut head, facts, framing);
    let mut context = RequestContext::begin(&worker, &head, client.address.ip(), interim);
    enter_client(&worker, &client, &head, facts, &mut context);
    let id = identify(&worker, &client, &head, &mut context);
    let mut request = ClientRequest { head, facts, framing, body, handshake, id };
    let forwarded = {
        let steps = pin!(forward_request(&worker, &client, &mut request, &mut context));
        catch_panic(steps).await
    };
    match forwarded {
        Ok(forwarded) => {
            let response = &forwarded.upstream.response;
            if private::is_asked_for(response.status, &response.headers) {
                context.private = Some(client.own_pools(&worker));
            }
            let id = request.id.text(&request.head.headers);
            match forwarded.handshake {
                Some(_) => switch_protocols(&client, forwarded, id, context),
                None => deliver(forwarded, id, context),
            }
        }
        Err(EarlyResponse::Local(early)) => {
            // What the client accepts is not changed on the way.
            let format = ErrorFormat::of(&request.head.headers);
            let (admit, peer) = (&client.listener.admit, client.address.ip());
            let failed = FailedRequest { head: &request.head, id: &request.id, admit, peer, format };
            respond_early(early, &failed, facts, context)
        }
        Err(EarlyResponse::Configured(reply)) => {
            respond_as_configured(*reply, ErrorFormat::of(&request.head.headers), context)
        }
        Err(EarlyResponse::Own(response)) => respond_by_ourselves(*response, context),
    }
}

/// A request while its steps work on it.
struct ClientRequest {
    head: Box<RequestHead>,
    facts: WireFacts,
    framing: BodyFraming,
    body: Inbound,
    /// The WebSocket that the client asks for.
    handshake: Option<WebSocketHandshake>,
    id: RequestId,
}

/// The steps, from the head of a request to the head of its response.
async fn forward_request(
    worker: &Worker,
    client: &ClientConnection,
    request: &mut ClientRequest,
    context: &mut RequestContext,
) -> Result<ForwardedRequest, EarlyResponse> {
    context.permits.process = worker.settings.concurrency.enter(worker.live())?;
    let admitted = admit_request(worker, client, request, context)?;
    if let Some(call) = client.listener.own.as_ref().and_then(|own| own.call(request.head.target.path())) {
        let own = OwnRequest { head: &request.head, body: std::mem::take(&mut request.body), admitted: &admitted };
        // On the heap: other requests have no room for it.
        return Err(EarlyResponse::Own(Box::new(Box::pin(own_call::respond(call, own, context)).await?)));
    }
    let host = admitted.host_name(&request.head.headers);
    let acquired = acquire(worker, &request.head, host, context).await?;
    edge_reply::check_url(&acquired, &admitted, &request.head, &request.id)?;
    // In a block, and the rest taken apart after it: a request under way keeps nothing that it needs no more.
    let (Route { destination, connection, new_key, rule, slot, .. }, flags) = {
        let TableView { table, target } = &acquired;
        let token = bearer::verified(worker, table, target.service, &request.head.headers);
        let claims = bearer::claims(worker, token.as_ref());
        let view = target.view(&request.head, ClientView { host, client: admitted.client, claims });
        let query = RouteQuery { acquired: &acquired, admitted: &admitted, view, id: &request.id };
        let routed = route(worker, &query, context).await?;
        let flags = flag_headers::decide(table, &query.view, &routed, context);
        (routed, flags)
    };
    let edge = EdgeRequest::of(&destination, rule, slot, admitted.client);
    let service = destination.service();
    let policy = &service.spec.policy;
    let handshake = allowed_websocket(request, policy)?;
    let incoming = std::mem::take(&mut request.body);
    let (mut body, request_body) = RequestBody::new(admitted.body, incoming, policy, context.started());
    let routed = RoutedRequest { admitted: &admitted, endpoint: connection.endpoint() };
    let TableView { table, target } = acquired;
    let revision = worker.settings.edit.revision.then(|| worker.revision_value(table.revision));
    edit_head(worker, client, request, &routed, revision);
    let head = &mut *request.head;
    if let Some(flags) = flags {
        flag_headers::write(&mut head.headers, &destination, flags);
    }
    let proof = handshake.as_ref().and_then(|handshake| handshake.ask(&mut head.headers, worker.random()));
    target.rewrite(&mut head.target);
    edge.as_deref().map_or(Ok(()), |edge| edge.check_path(&head.target, &destination))?;
    let shield = policy.shield.as_ref();
    let replay = shield.and_then(|shield| ReplayState::keep(shield, &destination, head, &mut body, context));
    let replay = replay.and_then(|replay| replay.edited(edge.as_deref()));
    let copy = service.mirror.as_deref().and_then(|mirror| {
        let mut outbound = OutboundRequest { head, body: &mut body, state: &request_body };
        request_copy::begin(mirror, &destination, &mut outbound, edge.as_deref(), context)
    });
    edge.as_deref().map_or(Ok(()), |edge| edge.edit_request(head, &destination))?;
    let outbound = OutboundRequest { head, body: &mut body, state: &request_body };
    let mut result = forward(worker, &destination, connection, outbound, context).await;
    let (mut destination, mut request_body) = (destination, request_body);
    if replay.is_some() || copy.is_some() {
        let attempt = Attempt { result, destination, request_body };
        // On the heap, and assigned: the requests that have nothing to replay and no copy should not pay for it.
        let attempt = Box::pin(look_after(worker, attempt, replay, copy, context)).await;
        Attempt { result, destination, request_body } = attempt;
    }
    let upstream = result?;
    let handshake = consented_websocket(handshake, &upstream, proof.as_deref(), context)?;
    let (is_head, secure, trusted) = (request.head.method == Method::HEAD, admitted.secure, admitted.trusted);
    Ok(ForwardedRequest { upstream, destination, request_body, is_head, secure, trusted, edge, new_key, handshake })
}

/// What is done with an attempt besides: a failed one is replayed where that is kept for, and a copy is told what its
/// user gets.
async fn look_after(
    worker: &Worker,
    mut attempt: Attempt,
    replay: Option<ReplayState>,
    copy: Option<Box<RequestCopy>>,
    context: &mut RequestContext,
) -> Attempt {
    if let Some(replay) = replay {
        attempt = replay_if_failed(worker, replay, attempt, context).await;
    }
    if let Some(copy) = copy {
        copy.responded(&mut attempt, context);
    }
    attempt
}

/// The WebSocket that a request asks for, if it does. A request of HTTP/2 is in the form of HTTP/1.1 from here on.
fn requested_websocket(head: &mut RequestHead, facts: WireFacts, framing: BodyFraming) -> Option<WebSocketHandshake> {
    match facts {
        WireFacts::Http1 { .. } if !head.headers.has(HeaderSet::UPGRADE) => None,
        WireFacts::Http1 { .. } => websocket::from_http1(head, framing),
        WireFacts::Http2 { .. } => {
            header_edits::join_cookies(&mut head.headers);
            websocket::from_http2(head)
        }
    }
}

/// Notes what the request shares with others of its client: the count of its streams, and connections of its own.
fn enter_client(
    worker: &Worker,
    client: &ClientConnection,
    head: &RequestHead,
    facts: WireFacts,
    context: &mut RequestContext,
) {
    if matches!(facts, WireFacts::Http2 { .. }) {
        context.permits.stream = Some(StreamPermit::enter(&client.streams));
    }
    context.private = client.private.get().cloned();
    if private::is_brought(&head.headers) {
        context.private = Some(client.own_pools(worker));
    }
}

/// Gives the request its id, that of a trusted proxy or a new one.
fn identify(worker: &Worker, client: &ClientConnection, head: &RequestHead, context: &mut RequestContext) -> RequestId {
    let trusted = client.listener.admit.trusts(client.address.ip());
    let id = RequestId::of(&head.headers, trusted, || worker.random());
    context.note_id(id.text(&head.headers));
    id
}

/// Whether the request may be forwarded at all: its head, its way, how often its client asks, its scheme and its host.
fn admit_request(
    worker: &Worker,
    client: &ClientConnection,
    request: &mut ClientRequest,
    context: &mut RequestContext,
) -> Result<Admitted, EarlyResponse> {
    let ClientRequest { head, facts, framing, .. } = request;
    let listener = &client.listener;
    let admitted = admit(head, *facts, *framing, client.address.ip(), &listener.admit)?;
    header_edits::check_loop(&head.headers, &worker.settings.edit)?;
    context.note_client(admitted.client);
    listener.policy.take(worker, admitted.client, context.started())?;
    let host = admitted.host_name(&head.headers);
    if let Some(port) = listener.admit.redirect_https.filter(|_| !admitted.secure) {
        return Err(early_response::to_https(host, &head.target, port));
    }
    client.check(host, admitted.trusted)?;
    Ok(admitted)
}

/// The WebSocket that the client asks for, if its service has them. Without, a `CONNECT` has no other meaning.
fn allowed_websocket(request: &mut ClientRequest, policy: &Policy) -> Result<Option<WebSocketHandshake>, LocalReply> {
    let handshake = request.handshake.take().filter(|_| policy.websockets);
    if handshake.is_none() && request.head.extensions.get::<Protocol>().is_some() {
        return Err(LocalReply::new(RejectReason::MethodNotAllowed, "this service has no WebSockets"));
    }
    Ok(handshake)
}

/// A request whose version and endpoint are known.
struct RoutedRequest<'r> {
    admitted: &'r Admitted,
    endpoint: &'r EndpointStats,
}

/// Turns the head into one for endpoints, with a host where HTTP/1.0 has none, which HTTP/1.1 to the upstream must
/// have.
fn edit_head(
    worker: &Worker,
    client: &ClientConnection,
    request: &mut ClientRequest,
    routed: &RoutedRequest<'_>,
    revision: Option<HeaderValue>,
) {
    let (head, admitted) = (&mut *request.head, routed.admitted);
    let (peer, method, version) = (&client.address, &head.method, head.version);
    let facts = header_edits::RequestFacts { admitted, peer, method, version, id: request.id, revision };
    header_edits::request(&mut head.headers, &facts, &worker.settings.edit);
    if admitted.host.is_none() {
        head.headers.append(HOST, routed.endpoint.address.to_string());
    }
}

/// The WebSocket that the client asked for, if the endpoint has consented to it.
fn consented_websocket(
    handshake: Option<WebSocketHandshake>,
    upstream: &UpstreamResponse,
    proof: Option<&str>,
    context: &mut RequestContext,
) -> Result<Option<WebSocketHandshake>, LocalReply> {
    let Some(handshake) = handshake else { return Ok(None) };
    handshake.consented(&upstream.response, proof).map_err(|error| {
        context.note_failure(UpstreamFailure::BadAnswer);
        LocalReply::new(RejectReason::UpstreamBadAnswer, error.detail())
    })
}

/// How the body is read: that is what the upstream will be told.
fn framing_of(body: &Inbound) -> BodyFraming {
    match body.size_hint().exact() {
        Some(0) => BodyFraming::None,
        Some(length) => BodyFraming::Length(length),
        None => BodyFraming::Chunked,
    }
}

/// Ends a request that is not forwarded.
fn respond_early(
    early: EarlyReply,
    failed: &FailedRequest<'_>,
    facts: WireFacts,
    mut context: RequestContext,
) -> Response<ResponseBody> {
    let reply = early.reply;
    let mut response = early.response(failed.format);
    error_reply::dress(&mut response, reply, failed, &context);
    context.finish(RequestOutcome::Rejected(reply, response.body.size_hint().exact()));
    if matches!(facts, WireFacts::Http2 { .. }) {
        // A stream ends with its response anyway; the connection has others.
        response.headers.remove(CONNECTION);
    }
    response.map(ResponseBody::Own)
}

/// Ends a request as a rule says, or the URL that its service wants to be asked by.
fn respond_as_configured(
    reply: ConfiguredReply,
    format: ErrorFormat,
    mut context: RequestContext,
) -> Response<ResponseBody> {
    let ConfiguredReply { reason, status, headers, body } = reply;
    let response = if format == ErrorFormat::Grpc {
        grpc_response(status, reason.word())
    } else {
        Response { status, headers, body: Full::new(body), ..Response::new(Full::default()) }
    };
    context.status = Some(response.status);
    context.finish(RequestOutcome::Configured(reason, response.body.size_hint().exact().unwrap_or(0)));
    response.map(ResponseBody::Own)
}

/// Ends a request that the proxy itself was asked. A stream of events is counted as ended with its head: it has no end
/// of its own, and is no request in flight.
fn respond_by_ourselves(response: Response<ResponseBody>, mut context: RequestContext) -> Response<ResponseBody> {
    context.note_response(response.status);
    context.note_bytes(response.body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0));
    context.finish(RequestOutcome::Complete(Instant::now()));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a request under way takes of memory, and what is moved when it begins: what is rare has to be on the heap.
    #[test]
    fn a_request_under_way_is_small() {
        fn bytes_of<A, B, C, F>(_: impl FnOnce(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = bytes_of(proxy_request);
        assert!(bytes <= 2320, "{bytes} bytes");
    }
}
