//! The stream of one client.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::live_board::{LiveReader, READERS_MAX};
use crate::admin::AdminApi;
use crate::admin::call::NoParameters;
use crate::admin::event_stream::{EventSource, StreamCall};
use crate::admin::openapi_terms::Refusals;
use crate::admin::problem::ProblemDetails;

/// What a reader knows already (HTML, 9.2.4).
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Streams the state of the proxy: all of it (`snapshot`), then what changes (`change`, a merge patch of RFC 7396), at most twice a second.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    get,
    operation_id = "get_events",
    path = "/v1/events",
    tag = "state",
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was read; the stream goes on from there if it can")),
    responses((status = 200, description = "Events, until the client or the process ends, or the token is no good any more", content_type = "text/event-stream", body = String), Refusals)
)]
pub(crate) async fn get(
    State(admin): State<Arc<AdminApi>>,
    call: StreamCall,
    headers: HeaderMap,
    _: NoParameters,
) -> Response {
    let last_id = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let Some(reader) = admin.board.read(last_id) else {
        let detail = format!("found {READERS_MAX} open streams, want fewer; close one, or try again");
        let mut refused =
            ProblemDetails::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", detail).into_response();
        refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        return refused;
    };
    call.respond(reader)
}

impl EventSource for LiveReader {
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send {
        self.next()
    }
}
