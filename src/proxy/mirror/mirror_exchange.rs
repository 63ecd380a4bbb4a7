//! Sends a copy, and reads its response as far as it is compared.

use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;
use http::uri::Scheme;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::mirror_dial::{NoCopyConnection, connect};
use super::mirror_job::{MirrorJob, micros_since};
use super::response_facts;
use crate::message::Response;
use crate::message::known_headers::GRPC_STATUS;
use crate::mirror::MirrorResponse;
use crate::proxy::body::request_body::{BodyState, RequestBody};
use crate::proxy::request::private;
use crate::proxy::request::send::{OutboundRequest, SendError, SendTerms, send};
use crate::proxy::request::upstream_connection::UpstreamConnection;
use crate::shared::mirror_difference::MirrorDrop;
use crate::upstream::Incoming;

/// Sends a copy with this body. Over a pooled connection that has gone it is sent once more on a new one, as a user's
/// request would be: that an endpoint closes what is idle says nothing of it.
///
/// # Errors
/// The reason for which it is not compared.
pub(crate) async fn exchange(job: &MirrorJob, body: RequestBody) -> Result<MirrorResponse, MirrorDrop> {
    let (version, policy) = (job.to.version(), &job.to.service().spec.policy);
    let scheme = if version.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
    let terms = SendTerms { scheme, response_timeout: policy.response_timeout };
    let parts = match body {
        RequestBody::Kept(parts) => Some(parts),
        RequestBody::Empty | RequestBody::Stream { .. } | RequestBody::Rewindable(_) => None,
    };
    let (began, mut fresh) = (Instant::now(), false);
    loop {
        let mut connection = match connect(&job.worker, version, policy.connect_timeout, fresh).await {
            Ok(connection) => connection,
            Err(NoCopyConnection::Own) => return Err(MirrorDrop::Behind),
            Err(NoCopyConnection::Endpoints) => return Ok(MirrorResponse::failed(None, micros_since(began))),
        };
        let (reused, sent) = (connection.reused, connection.since);
        let state = Rc::new(BodyState::of_no_body(sent));
        let mut body = parts.clone().map_or(RequestBody::Empty, RequestBody::Kept);
        let mut request = OutboundRequest { head: &job.head, body: &mut body, state: &state };
        match send(&mut connection, &mut request, &terms, &mut |_interim| {}).await {
            Ok(response) => return read(job, *response, connection, micros_since(sent)).await,
            Err(SendError::Unsent | SendError::Unprocessed) if !fresh => fresh = true,
            Err(SendError::Broken) if reused && job.head.method.is_idempotent() => fresh = true,
            Err(SendError::Broken) if reused => return Err(MirrorDrop::Behind),
            Err(_failed) => return Ok(MirrorResponse::failed(None, micros_since(sent))),
        }
    }
}

/// Reads a response to its end, or until what comes makes no difference. Its head took this many microseconds.
async fn read(
    job: &MirrorJob,
    mut response: Response<Incoming>,
    connection: UpstreamConnection,
    micros: u64,
) -> Result<MirrorResponse, MirrorDrop> {
    let mut seen = response_facts::of_head(&job.spec, &response, micros);
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(MirrorResponse::failed(None, micros));
    }
    if seen.body.is_none() {
        return Ok(seen);
    }
    let policy = &job.to.service().spec.policy;
    let deadline = Instant::now() + policy.response_timeout;
    while !response.body.is_end_stream() {
        let next = timeout_at(deadline, timeout(policy.body_idle_timeout, response.body.frame())).await;
        match next.map_err(|_elapsed| MirrorDrop::Behind)? {
            Ok(Some(Ok(frame))) => note(&mut seen, &frame),
            Ok(None) => break,
            // It broke, or fell silent.
            Ok(Some(Err(_))) | Err(_) => return Ok(MirrorResponse::failed(None, micros)),
        }
        if seen.body.as_ref().is_some_and(crate::mirror::SeenBody::is_full) {
            return Ok(seen);
        }
    }
    if let Some(body) = &mut seen.body {
        body.end();
    }
    if !private::is_asked_for(response.status, &response.headers) {
        give_back(job, &mut response.body, &connection);
    }
    Ok(seen)
}

fn note(seen: &mut MirrorResponse, frame: &Frame<Bytes>) {
    if let (Some(part), Some(body)) = (frame.data_ref(), &mut seen.body) {
        body.add(part);
    } else if let Some(status) = frame.trailers_ref().and_then(|trailers| trailers.get(GRPC_STATUS.as_str())) {
        seen.grpc_status = Some(status.as_bytes().into());
    }
}

/// Puts the connection back, or notes that its endpoint does not keep it.
fn give_back(job: &MirrorJob, incoming: &mut Incoming, connection: &UpstreamConnection) {
    match incoming.take_idle() {
        Some(idle) => connection.give_back(&job.worker, None, idle, Instant::now()),
        None if matches!(incoming, Incoming::Over) => job.worker.pools.closed(connection.endpoint()),
        None => {}
    }
}
