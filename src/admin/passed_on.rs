//! Calls that are for the leader of a fleet: another replica passes them on, with the token of their caller, and says
//! who has answered.
//!
//! The guard has let the caller in here before, and that of the leader does there. A call that was passed on once is
//! passed on no further. If the leader is not reached, the call is answered here: 421, with who leads. One that was
//! sent and not answered may have been done, and that is said.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, LOCATION, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::AdminApi;
use super::call::read_body;
use super::problem::ProblemDetails;
use crate::fleet::fleet_handle::FleetHandle;
use crate::fleet::passed_call::{LeaderPlace, PASSED_BY, PassedAnswer, PassedCall, PassedFault};

/// Says which replica has answered.
const ANSWERED_BY: HeaderName = HeaderName::from_static("pointsman-replica");

/// What of the head of a call the leader gets.
const ASKED: [HeaderName; 4] = [ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_MATCH];

/// What of the head of its answer the caller gets.
const TOLD: [HeaderName; 4] = [CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER];

/// The middleware of calls that are for the leader.
pub(crate) async fn pass_on(State(admin): State<Arc<AdminApi>>, request: Request, next: Next) -> Response {
    let fleet = admin.exporter.sources().fleet.as_ref();
    let leader = fleet.and_then(|fleet| Some((fleet, fleet.other_leader()?)));
    let is_new = request.method() == Method::POST && !request.headers().contains_key(PASSED_BY);
    let Some((fleet, leader)) = leader.filter(|_| is_new) else { return next.run(request).await };
    let (parts, body) = request.into_parts();
    let body = match read_body(Request::from_parts(parts.clone(), body)).await {
        Ok(body) => Bytes::from(body.to_string()),
        Err(problem) => return problem.into_response(),
    };
    match answer_of(fleet, &leader, &parts, body.clone()).await {
        Some(response) => response,
        None => next.run(Request::from_parts(parts, Body::from(body))).await,
    }
}

/// What the leader answers; none: it is answered here that the call is for it.
async fn answer_of(fleet: &FleetHandle, leader: &LeaderPlace, parts: &Parts, body: Bytes) -> Option<Response> {
    let path = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let headers = chosen(&parts.headers, &ASKED);
    let has_token = headers.contains_key(AUTHORIZATION);
    let call = PassedCall { method: parts.method.clone(), path: path.clone(), headers, body };
    match fleet.pass_on(leader, call).await {
        // It cannot know who is known here by other means than a token.
        Ok(answer) if is_not_let_in(&answer) && !has_token => None,
        Ok(answer) => {
            tracing::info!(leader = leader.name, path, status = answer.status.as_u16(), "a call was passed on");
            Some(told(leader, answer))
        }
        Err(PassedFault::NotSent(why)) => {
            tracing::warn!(leader = leader.name, path, problem = why, "a call could not be passed on to the leader");
            None
        }
        Err(PassedFault::Lost(why)) => {
            let name = &leader.name;
            let detail = format!(
                "the call was passed on to {name}, the leader of the fleet, and no answer came ({why}): it may have been \
                 done; look at the state before you repeat it"
            );
            Some(ProblemDetails::new(StatusCode::SERVICE_UNAVAILABLE, "fleet_unknown", detail).into_response())
        }
    }
}

fn is_not_let_in(answer: &PassedAnswer) -> bool {
    matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

fn told(leader: &LeaderPlace, PassedAnswer { status, headers, body }: PassedAnswer) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = chosen(&headers, &TOLD);
    let name = HeaderValue::from_str(&leader.name).ok();
    response.headers_mut().extend(name.map(|name| (ANSWERED_BY, name)));
    response
}

/// Those of a head.
fn chosen(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    names.iter().filter_map(|name| Some((name.clone(), headers.get(name)?.clone()))).collect()
}
