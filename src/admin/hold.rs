//! `/v1/hold`: new requests of some services wait, until nothing of them runs.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::units::{ByteSize, Quantity, Setting, TimeSpan};
use crate::control::hold_registry::HoldError;
use crate::problem::Mismatch;
use crate::shared::hold::Hold;

use super::AdminApi;
use super::call::{ApiCall, NoParameters, PathSegments};
use super::hold_body::HoldLimits;
use super::openapi_terms::Refusals;
use super::problem::ProblemDetails;
use super::revisions::timestamp;
use super::rollback::services;

/// A hold by itself.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(expecting = "an object")]
pub(crate) struct HoldCall {
    /// The services.
    #[schema(value_type = Vec<String>)]
    pub services: Option<List<String>>,
    /// How long it lasts, with the wait for requests in flight, up to 30s; default 2s.
    #[schema(value_type = Option<String>, example = "2s")]
    pub max: Option<Setting<TimeSpan>>,
    /// How many requests may be held at a time; default 1000.
    #[schema(value_type = Option<u64>)]
    pub requests: Option<Setting<Quantity>>,
    /// How large their heads may be together; default 16MiB.
    #[schema(value_type = Option<String>)]
    pub bytes: Option<Setting<ByteSize>>,
}

/// A hold that is open.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct HoldView {
    /// Its number.
    id: u64,
    /// The services whose requests wait.
    services: Vec<String>,
    /// Whether all workers hold new requests. It takes a moment after the beginning, in which some still go on.
    in_force: bool,
    /// Requests that wait now.
    requests: u64,
    /// Requests that have waited so far.
    held: u64,
    /// When it began.
    #[schema(format = DateTime)]
    since: String,
    /// When it ends by itself at the latest.
    #[schema(format = DateTime)]
    until: String,
    /// How long that is from now.
    ends_in_ms: u64,
}

impl HoldView {
    fn of(hold: &Hold, now_ms: u64) -> Self {
        let now = jiff::Timestamp::now().as_millisecond();
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        // Both dates by one look at the clock, so that they are as far apart as the moments are.
        let date = |at_ms: u64| timestamp(now.saturating_add(signed(at_ms) - signed(now_ms)));
        Self {
            id: hold.id,
            services: hold.services.iter().map(ToString::to_string).collect(),
            in_force: hold.is_signed(),
            requests: hold.requests(),
            held: hold.total(),
            since: date(hold.bounds.since_ms),
            until: date(hold.bounds.until_ms),
            ends_in_ms: hold.bounds.until_ms.saturating_sub(now_ms),
        }
    }

    /// Those that are open.
    pub(crate) fn all(admin: &AdminApi) -> Vec<Self> {
        let now_ms = admin.holds.now_ms();
        let open = admin.holds.open();
        let open = open.iter().filter(|hold| hold.bounds.until_ms > now_ms);
        open.map(|hold| Self::of(hold, now_ms)).collect()
    }
}

/// Begins a hold and waits until nothing of its services is in flight.
///
/// From the answer until the hold ends (`max` after its beginning, or when it is released) no request of the services
/// runs; new ones wait. Changes of traffic may be made meanwhile; who waits is routed by what is in force at the end. If
/// requests in flight do not end in time, or more come than may be held, everybody is let go and the answer is 409.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "begin_hold",
    path = "/v1/hold",
    tag = "traffic",
    request_body(content = HoldCall, content_type = "application/json", example = r#"{"services": ["shop", "cart"], "max": "2s", "requests": 1000}"#),
    responses((status = 200, description = "Nothing of the services runs, new requests wait", body = HoldView), Refusals)
)]
pub(crate) async fn post(
    State(admin): State<Arc<AdminApi>>,
    mut call: ApiCall,
) -> Result<Json<HoldView>, ProblemDetails> {
    let table = admin.table();
    let body: HoldCall = call.read();
    let at = ConfigPath::Root;
    let terms = HoldLimits { max: body.max, requests: body.requests, bytes: body.bytes }.terms(&at, &mut call.report);
    let mut services =
        body.services.map_or_else(Vec::new, |list| services(&list, "write [\"shop\"]", &table, &mut call.report));
    if services.is_empty() {
        let mismatch = Mismatch::new("nothing", "a list of at least one name", "write [\"shop\"]");
        call.report.missing(&at.key("services"), mismatch);
    }
    services.sort_unstable();
    services.dedup();
    call.unconditional()?;
    let open = admin.holds.begin(services, &terms, terms.max).map_err(HoldError::from)?;
    open.drained(terms.max).await.map_err(HoldError::from)?;
    let view = HoldView::of(open.hold(), admin.holds.now_ms());
    open.stay();
    Ok(Json(view))
}

/// Shows the holds that are open.
#[utoipa::path(
    get,
    operation_id = "list_holds",
    path = "/v1/hold",
    tag = "traffic",
    responses((status = 200, description = "The holds that are open", body = Vec<HoldView>), Refusals)
)]
pub(crate) async fn list(State(admin): State<Arc<AdminApi>>, _: NoParameters) -> Json<Vec<HoldView>> {
    Json(HoldView::all(&admin))
}

/// Lets the requests of a hold go.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    delete,
    operation_id = "release_hold",
    path = "/v1/hold/{id}",
    tag = "traffic",
    params(("id" = u64, Path, description = "The number of the hold")),
    responses((status = 200, description = "What was let go", body = HoldView), Refusals)
)]
pub(crate) async fn delete(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(text): PathSegments<String>,
    _: NoParameters,
) -> Result<Json<HoldView>, ProblemDetails> {
    let now_ms = admin.holds.now_ms();
    let released = text.parse().ok().and_then(|id| admin.holds.release(id));
    released.map(|hold| Json(HoldView::of(&hold, now_ms))).ok_or_else(|| {
        let detail = format!("there is no hold {text:?}, perhaps not any more; GET /v1/hold lists those that are open");
        ProblemDetails::new(StatusCode::NOT_FOUND, "unknown", detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::hold::HoldBounds;

    #[test]
    fn a_hold_is_in_force_once_all_workers_hold() {
        let bounds = HoldBounds { requests_max: 1, bytes_max: 1, since_ms: 0, until_ms: 1000 };
        let hold = Hold::new(1, Box::default(), bounds, 2);
        let in_force = || serde_json::to_value(HoldView::of(&hold, 0)).unwrap()["in_force"].clone();
        assert_eq!(in_force(), false, "listed, and no worker knows of it");
        hold.sign(1);
        assert_eq!(in_force(), false, "one does not");
        hold.sign(0);
        assert_eq!(in_force(), true);
    }
}
