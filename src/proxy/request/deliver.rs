//! The step that gives the client its response: the last edits of the head, and the body or the tunnel behind it.
//!
//! From here on the body carries the request to its end, or the connection becomes a tunnel.

use std::rc::Rc;

use http::StatusCode;
use http_body::Body;
use http_body_util::Full;
use tokio::time::Instant;

use super::cache_headers;
use super::context::RequestContext;
use super::destination::Destination;
use super::edge_request::{EdgeRequest, tell_client};
use super::finish::RequestOutcome;
use super::forward::UpstreamResponse;
use super::header_edits;
use crate::message::Response;
use crate::message::known_headers::GRPC_STATUS;
use crate::proxy::body::idle::IdleTimeout;
use crate::proxy::body::request_body::BodyState;
use crate::proxy::body::response_body::{ResponseBody, ResponseInProgress};
use crate::proxy::connection::client_connection::ClientConnection;
use crate::proxy::streams::long_lived::StreamKind;
use crate::proxy::streams::tunnel::Tunnel;
use crate::proxy::streams::websocket::WebSocketHandshake;
use crate::table::key::OwnKey;

/// A response whose head has come, and what its last edits need.
pub(crate) struct ForwardedRequest {
    /// The head, and the connection that the body comes on.
    pub upstream: UpstreamResponse,
    /// The version that responds.
    pub destination: Destination,
    /// What became of the request's body.
    pub request_body: Rc<BodyState>,
    /// Whether the request was a `HEAD`.
    pub is_head: bool,
    /// Whether the user's connection is inside TLS.
    pub secure: bool,
    /// Whether the peer is a trusted proxy.
    pub trusted: bool,
    /// What the edge of the service has to do with it.
    pub edge: Option<Box<EdgeRequest>>,
    /// The key that the client is given, if it needs one.
    pub new_key: Option<OwnKey>,
    /// The WebSocket that the endpoint has consented to.
    pub handshake: Option<WebSocketHandshake>,
}

/// The response as the client gets it; its body finishes the request.
pub(crate) fn deliver(forwarded: ForwardedRequest, id: &[u8], mut context: RequestContext) -> Response<ResponseBody> {
    let ForwardedRequest { upstream, destination, request_body, is_head, secure, trusted, edge, new_key, .. } =
        forwarded;
    let UpstreamResponse { mut response, connection } = upstream;
    context.note_response(response.status);
    context.note_grpc_status(response.headers.get(GRPC_STATUS));
    let tells_length = is_head || response.status == StatusCode::NOT_MODIFIED;
    let bodiless = tells_length || response.status == StatusCode::NO_CONTENT;
    let length = response.body.size_hint().exact();
    context.note_shape(&response, length);
    header_edits::response(&mut response, length, tells_length, &context.worker.settings.edit);
    let service = destination.service();
    tell_client(&mut response.headers, &destination, trusted, id);
    if let Some(edge) = edge {
        edge.edit_response(&mut response.headers, &destination, id);
    }
    if let Some(key) = new_key {
        let cookie = service.spec.policy.cookie.as_deref();
        header_edits::set_own_cookie(&mut response.headers, &key, cookie, secure);
        if service.spec.policy.cache_headers {
            cache_headers::keep_private(&mut response.headers);
        }
    }
    if let Some(vary) = &service.vary {
        cache_headers::note_vary(&mut response.headers, vary);
    }
    let of_flags = destination.told_flags().and_then(|told| told.vary.as_ref());
    // Nearly always the key decides on both.
    if let Some(vary) = of_flags.filter(|vary| !service.vary.as_ref().is_some_and(|other| other.covers(vary))) {
        cache_headers::note_vary(&mut response.headers, vary);
    }
    let idle = IdleTimeout::new(service.spec.policy.body_idle_timeout);
    let kind = StreamKind::of_response(&response.headers);
    if kind == Some(StreamKind::Events) {
        context.note_endless();
    }
    let long_lived = kind.map(|kind| context.worker.open_stream(service, destination.version(), kind));
    let progress = ResponseInProgress::new(context, connection, request_body, long_lived);
    response.map(|incoming| ResponseBody::upstream(incoming, bodiless, idle, progress))
}

/// The endpoint consented to a WebSocket: the response says so, and what comes after it is bytes.
pub(crate) fn switch_protocols(
    client: &ClientConnection,
    forwarded: ForwardedRequest,
    id: &[u8],
    mut context: RequestContext,
) -> Response<ResponseBody> {
    let ForwardedRequest { upstream, destination, secure, trusted, edge, new_key, handshake, .. } = forwarded;
    let UpstreamResponse { mut response, mut connection } = upstream;
    connection.in_flight.become_tunnel();
    header_edits::response(&mut response, None, false, &context.worker.settings.edit);
    tell_client(&mut response.headers, &destination, trusted, id);
    if let Some(edge) = edge {
        edge.edit_response(&mut response.headers, &destination, id);
    }
    if let Some(handshake) = handshake {
        handshake.consent(&mut response);
    }
    if let Some(key) = &new_key {
        let cookie = destination.service().spec.policy.cookie.as_deref();
        header_edits::set_own_cookie(&mut response.headers, key, cookie, secure);
    }
    let (response, incoming) = response.with_body(ResponseBody::Own(Full::default()));
    let (service, version) = (destination.service(), destination.version());
    let tunnel = Tunnel {
        upstream: incoming.into_tunnel(),
        connection,
        guard: context.worker.open_stream(service, version, StreamKind::Tunnel),
        idle_timeout: service.spec.policy.tunnel_idle_timeout,
        stream: context.permits.stream.take(),
    };
    drop(client.tunnel.replace(Some(tunnel)));
    context.note_response(response.status);
    context.finish(RequestOutcome::Complete(Instant::now()));
    response
}
