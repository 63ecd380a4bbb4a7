//! `/v1/hold`: new requests of some services wait, until nothing of them runs; and the `hold` of a change.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::config;
use crate::control::hold::{HoldError, HoldReport, HoldTerms};
use crate::problem::Problem;
use crate::shared::hold::Hold;
use crate::table::Name;

use super::AdminApi;
use super::call::{ApiCall, PathSegments, service};
use super::fields::{BodyFields, show};
use super::openapi::Refusals;
use super::problem::ProblemDetails;
use super::revisions::timestamp;

/// Nobody waits longer for a page.
const MAX_MAX: Duration = Duration::from_secs(30);

/// More connections than a listener has by default, several times.
const REQUESTS_MAX_MAX: u64 = 100_000;

/// What a machine that serves so many has to spare.
const BYTES_MAX_MAX: u64 = 1 << 30;

/// The terms of a hold; each may be left out.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the body for OpenAPI; `Fields` reads it")]
pub(crate) struct HoldBody {
    /// The longest wait for requests in flight, up to 30s; default 2s.
    #[schema(example = "2s")]
    pub max: Option<String>,
    /// How many requests may be held at a time; default 1000.
    #[schema(example = 1000)]
    pub requests: Option<u64>,
    /// How large their heads may be together; default 16MiB. Bodies are not read while a request is held.
    #[schema(example = "16MiB")]
    pub bytes: Option<String>,
    /// What happens when requests in flight do not end in time, or more come than may be held. Nobody is refused: those
    /// that are held are let go. `abort` (the default) changes nothing and answers 409; `go_on` changes the traffic all
    /// the same.
    #[schema(example = "abort")]
    pub otherwise: Option<String>,
}

/// A hold by itself.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the body for OpenAPI; `Fields` reads it")]
pub(crate) struct HoldCall {
    /// The services.
    pub services: Vec<String>,
    /// How long it lasts, with the wait for requests in flight, up to 30s; default 2s.
    #[schema(example = "2s")]
    pub max: Option<String>,
    /// How many requests may be held at a time; default 1000.
    pub requests: Option<u64>,
    /// How large their heads may be together; default 16MiB.
    pub bytes: Option<String>,
}

/// A hold that is open.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct HoldView {
    /// Its number.
    id: u64,
    /// The services whose requests wait.
    services: Vec<String>,
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

/// How a hold went.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct HoldOutcome {
    /// Whether nothing of the services ran when the traffic changed.
    kept: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// Requests that were held.
    held: u64,
    /// How long it took until nothing was in flight.
    waited_ms: u64,
    /// How long requests were held at the most.
    lasted_ms: u64,
}

impl HoldOutcome {
    /// The outcome of a hold.
    #[must_use]
    pub(crate) fn of(report: HoldReport) -> Self {
        let HoldReport { not_kept, held, waited, lasted } = report;
        let why = not_kept.map(|why| why.to_string());
        Self { kept: why.is_none(), why, held, waited_ms: millis(waited), lasted_ms: millis(lasted) }
    }
}

impl HoldView {
    fn of(hold: &Hold, now_ms: u64) -> Self {
        Self {
            id: hold.id,
            services: hold.services.iter().map(ToString::to_string).collect(),
            requests: hold.requests(),
            held: hold.total(),
            since: date(hold.bounds.since_ms, now_ms),
            until: date(hold.bounds.until_ms, now_ms),
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

/// The date of a moment of the process's clock, which is at `now_ms`.
fn date(at_ms: u64, now_ms: u64) -> String {
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    timestamp(jiff::Timestamp::now().as_millisecond().saturating_add(signed(at_ms) - signed(now_ms)))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The terms at `place`, or every problem of them.
pub(crate) fn terms(place: &str, value: &Value, problems: &mut Vec<Problem>) -> Option<HoldTerms> {
    let Some(body) = value.as_object() else {
        problems.push(Problem::invalid(
            place,
            show(value),
            "an object",
            "write {\"max\": \"2s\"}, or {} for the defaults",
        ));
        return None;
    };
    let mut fields = BodyFields::of(body, Some(&["max", "requests", "bytes", "otherwise"]), Vec::new());
    let mut terms = bounds(&mut fields);
    match fields.optional_text("otherwise") {
        None | Some("abort") => {}
        Some("go_on") => terms.go_on = true,
        Some(other) => fields.wrong("otherwise", format!("{other:?}"), "abort or go_on", "write one of the two"),
    }
    let good = fields.problems.is_empty();
    problems.extend(
        fields.problems.into_iter().map(|problem| Problem { path: format!("{place}.{}", problem.path), ..problem }),
    );
    good.then_some(terms)
}

/// How much and how long; what is wrong with it is in the fields.
fn bounds(fields: &mut BodyFields<'_>) -> HoldTerms {
    let mut terms = HoldTerms::default();
    if let Some(text) = fields.optional_text("max") {
        match config::duration(text).filter(|max| (Duration::from_millis(1)..=MAX_MAX).contains(max)) {
            Some(max) => terms.max = max,
            None => fields.wrong("max", format!("{text:?}"), "a duration from \"1ms\" to \"30s\"", "write \"2s\""),
        }
    }
    if let Some(requests) = fields.optional_number("requests") {
        if !(1..=REQUESTS_MAX_MAX).contains(&requests) {
            fields.wrong("requests", requests.to_string(), format!("1 to {REQUESTS_MAX_MAX}"), "write 1000");
        }
        terms.requests_max = requests;
    }
    if let Some(text) = fields.optional_text("bytes") {
        match config::size(text).filter(|bytes| (1..=BYTES_MAX_MAX).contains(bytes)) {
            Some(bytes) => terms.bytes_max = bytes,
            None => fields.wrong("bytes", format!("{text:?}"), "a size from \"1B\" to \"1GiB\"", "write \"16MiB\""),
        }
    }
    terms
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
    let body = std::mem::take(&mut call.body);
    let mut fields = call.fields(&body, Some(&["services", "max", "requests", "bytes"]));
    let listed = fields.optional_list("services");
    if !body.contains_key("services") {
        fields.wrong("services", "nothing", "a list of at least one name", "write [\"shop\"]");
    }
    let terms = bounds(&mut fields);
    let mut problems = fields.problems;
    let named = listed.into_iter().flatten().filter_map(|text| service(&table, "services", text, &mut problems));
    let mut services: Vec<Name> = named.collect();
    services.sort_unstable();
    services.dedup();
    if !problems.is_empty() {
        return Err(ProblemDetails::of_problems(problems));
    }
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
pub(crate) async fn list(State(admin): State<Arc<AdminApi>>) -> Json<Vec<HoldView>> {
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
) -> Result<Json<HoldView>, ProblemDetails> {
    let now_ms = admin.holds.now_ms();
    let released = text.parse().ok().and_then(|id| admin.holds.release(id));
    released.map(|hold| Json(HoldView::of(&hold, now_ms))).ok_or_else(|| {
        let detail = format!("there is no hold {text:?}, perhaps not any more; GET /v1/hold lists those that are open");
        ProblemDetails::new(StatusCode::NOT_FOUND, "unknown", detail)
    })
}
