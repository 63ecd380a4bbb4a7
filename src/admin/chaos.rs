//! `/v1/chaos`: things that are made to fail on purpose, and what users notice of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::AdminApi;
use super::call::{ApiCall, NoParameters, PathSegments, query};
use super::chaos_view::{ChaosList, ChaosPreviewView};
use super::openapi_terms::Refusals;
use super::problem::ProblemDetails;
use crate::chaos::chaos_record::ChaosRecord;
use crate::chaos::chaos_report;
use crate::chaos_runner::chaos_handle::{ChaosAsked, ChaosBy, ChaosError, ChaosStart, ChaosStarted};
use crate::config::reader::config_path::ConfigPath;
use crate::problem::{Mismatch, Problem};

/// What is to be made to fail: an experiment of the config, or one that is defined here.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(expecting = "an object")]
pub(crate) struct ChaosStartBody {
    /// The name of one of the config; or `name` and `definition`.
    pub experiment: Option<String>,
    /// The name of one that is defined here.
    pub name: Option<String>,
    /// What `[chaos.experiments.NAME]` would say, in the same words and units; no commands, and no webhooks.
    pub definition: Option<Value>,
    /// Why.
    pub reason: Option<String>,
}

/// Why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(expecting = "an object")]
pub(crate) struct ChaosStopBody {
    /// Why.
    pub reason: Option<String>,
}

/// The runs that a call has ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChaosStopped {
    /// Their numbers.
    stopped: Vec<u64>,
}

/// Starts a chaos run: its baseline begins, or its fault if it has none.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "chaos_start",
    path = "/v1/chaos",
    tag = "chaos",
    params(("dry_run" = Option<bool>, Query, description = "Only tell what would happen")),
    request_body(content = ChaosStartBody, content_type = "application/json", example = r#"{"experiment": "slow-payments"}"#),
    responses(
        (status = 200, description = "What it would be, with `?dry_run`", body = ChaosPreviewView),
        (status = 201, description = "Its record is durable, and it has begun", body = ChaosRecord),
        Refusals
    )
)]
pub(crate) async fn start(State(admin): State<Arc<AdminApi>>, mut call: ApiCall) -> Result<Response, ProblemDetails> {
    let body: ChaosStartBody = call.read();
    let reason = call.reason(body.reason);
    let asked = match (body.experiment, body.name, body.definition) {
        (Some(name), None, None) => ChaosAsked::Named(name),
        (None, Some(name), Some(definition)) => ChaosAsked::Sent { name, definition },
        (experiment, name, definition) => {
            let found = match (experiment, name, definition) {
                (None, None, None) => "nothing",
                (None, Some(_), None) => "a name without its definition",
                (None, None, Some(_)) => "a definition without a name",
                (Some(_), ..) | (None, Some(_), Some(_)) => "an experiment of the config and a definition",
            };
            let wanted = "the name of an experiment of the config, or a name and a definition";
            let mismatch = Mismatch::new(found, wanted, "write {\"experiment\": \"slow-payments\"}");
            call.report.missing(&ConfigPath::Root.key("experiment"), mismatch);
            ChaosAsked::Unreadable
        }
    };
    let dry_run = call.is_dry();
    let (author, problems) = call.author();
    let by = ChaosBy { author: author.to_string(), reason };
    Ok(match admin.chaos.start(ChaosStart { asked, problems, by, dry_run }).await? {
        ChaosStarted::Dry(preview) => Json(ChaosPreviewView::of(&preview)).into_response(),
        ChaosStarted::Begun(saved) => {
            let mut response = (StatusCode::CREATED, Json(&saved.record)).into_response();
            let location = HeaderValue::from_str(&format!("/v1/chaos/{}", saved.record.id));
            response.headers_mut().extend(location.ok().map(|location| (LOCATION, location)));
            response
        }
    })
}

/// The bounds, the experiments of the config, and the last hundred runs.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    get,
    operation_id = "chaos_runs",
    path = "/v1/chaos",
    tag = "chaos",
    responses((status = 200, description = "Youngest run first", body = ChaosList), Refusals)
)]
pub(crate) async fn list(
    State(admin): State<Arc<AdminApi>>,
    _: NoParameters,
) -> Result<Json<ChaosList>, ProblemDetails> {
    Ok(Json(ChaosList::of(&*admin.chaos.shown_with_those_of_before().await)))
}

/// One run.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    get,
    operation_id = "chaos_run",
    path = "/v1/chaos/{id}",
    tag = "chaos",
    params(("id" = u64, Path, description = "Its number")),
    responses((status = 200, description = "The run", body = ChaosRecord), Refusals)
)]
pub(crate) async fn one(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(id): PathSegments<String>,
    _: NoParameters,
) -> Result<Json<ChaosRecord>, ProblemDetails> {
    record(&admin, &id).await.map(Json)
}

/// What is left of a run for people who were not there, or for other programs.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    get,
    operation_id = "chaos_report",
    path = "/v1/chaos/{id}/report",
    tag = "chaos",
    params(
        ("id" = u64, Path, description = "Its number"),
        ("format" = Option<String>, Query, description = "`markdown` (the default), `json`, or `journal` for the words of \
            Chaos Toolkit's journal")
    ),
    responses((status = 200, description = "The report", body = String), Refusals)
)]
pub(crate) async fn report(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(id): PathSegments<String>,
    uri: Uri,
) -> Result<Response, ProblemDetails> {
    let mut problems = Vec::new();
    let format = query(&uri, &["format"], &mut problems).first().map(|(_, text)| text.to_string());
    let format = format.as_deref().unwrap_or("markdown");
    if !matches!(format, "markdown" | "json" | "journal") {
        let wanted = "markdown, json or journal";
        problems.push(Problem::invalid("?format", format!("{format:?}"), wanted, "leave it out or mend it"));
    }
    if !problems.is_empty() {
        return Err(ProblemDetails::of_problems(problems));
    }
    let record = record(&admin, &id).await?;
    Ok(match format {
        "json" => Json(chaos_report::json(&record)).into_response(),
        "journal" => Json(chaos_report::journal(&record)).into_response(),
        _ => ([(CONTENT_TYPE, "text/markdown; charset=utf-8")], chaos_report::markdown(&record)).into_response(),
    })
}

/// Ends a run: when this is answered, its fault is gone. One that has ended stays as it is; if what undoes its command
/// has failed, it is tried again.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "chaos_stop",
    path = "/v1/chaos/{id}/stop",
    tag = "chaos",
    params(("id" = u64, Path, description = "Its number")),
    request_body(content = ChaosStopBody, content_type = "application/json", example = r#"{"reason": "seen enough"}"#),
    responses((status = 200, description = "The run after it", body = ChaosRecord), Refusals)
)]
pub(crate) async fn stop(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(id): PathSegments<String>,
    mut call: ApiCall,
) -> Result<Json<ChaosRecord>, ProblemDetails> {
    let by = stopped_by(&mut call);
    let author = call.unconditional()?.to_string();
    let number = id.parse().map_err(|_no_number| unknown(&id))?;
    let saved = admin.chaos.stop(number, ChaosBy { author, reason: by }).await?;
    Ok(Json(saved.record.clone()))
}

/// Ends all runs.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "chaos_stop_all",
    path = "/v1/chaos/stop",
    tag = "chaos",
    request_body(content = ChaosStopBody, content_type = "application/json", example = r#"{"reason": "an incident"}"#),
    responses((status = 200, description = "All faults are gone", body = ChaosStopped), Refusals)
)]
pub(crate) async fn stop_all(
    State(admin): State<Arc<AdminApi>>,
    mut call: ApiCall,
) -> Result<Json<ChaosStopped>, ProblemDetails> {
    let reason = stopped_by(&mut call);
    let author = call.unconditional()?.to_string();
    let stopped = admin.chaos.stop_all(ChaosBy { author, reason }).await?;
    Ok(Json(ChaosStopped { stopped }))
}

/// Why a run is ended.
fn stopped_by(call: &mut ApiCall) -> Option<String> {
    let body: ChaosStopBody = call.read();
    call.reason(body.reason)
}

async fn record(admin: &AdminApi, id: &str) -> Result<ChaosRecord, ProblemDetails> {
    let shown = admin.chaos.shown_with_those_of_before().await;
    let found = id.parse().ok().and_then(|number| shown.run(number)).cloned();
    found.ok_or_else(|| if shown.is_read { unknown(id) } else { unread() })
}

/// Whether there is such a run is not known.
fn unread() -> ProblemDetails {
    let detail =
        "the chaos runs of before could not be read from the store yet; look at the log, repeat the call".to_owned();
    ProblemDetails::new(StatusCode::SERVICE_UNAVAILABLE, "unread", detail)
}

fn unknown(id: &str) -> ProblemDetails {
    let detail = format!("there is no chaos run {id:?}; GET /v1/chaos lists them");
    ProblemDetails::new(StatusCode::NOT_FOUND, "unknown", detail)
}

impl From<ChaosError> for ProblemDetails {
    fn from(error: ChaosError) -> Self {
        match error {
            ChaosError::Problems(problems) => Self::of_problems(problems),
            ChaosError::Unknown(id) => unknown(&id.to_string()),
            ChaosError::Apply(error) => error.into(),
            ChaosError::Elsewhere(_) => Self::new(StatusCode::MISDIRECTED_REQUEST, "not_leader", error.to_string()),
            ChaosError::Gone(gone) => gone.into(),
        }
    }
}
