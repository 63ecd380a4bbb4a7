//! `/v1/rollouts`: releases that are judged on their own traffic.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::config::ReleaseOverrides;
use crate::config::reader::config_path::ConfigPath;
use crate::config::release::rollout::RawRollout;
use crate::control::handle::OntoDead;
use crate::control::unusable::Unusable;
use crate::problem::{Mismatch, Problem};
use crate::release::controller::KEPT;
use crate::release::evidence_over_time::EvidenceOverTime;
use crate::release::forecast_view::ForecastView;
use crate::release::rollout_handle::{Order, OrderedBy, RolloutError, RolloutTarget, StartRequest};
use crate::release::view::RolloutView;
use crate::rollout::command::{RolloutCommand, Unfit};

use super::AdminApi;
use super::call::{ApiCall, FORCE, NoParameters, PathSegments, query};
use super::flag_warnings::drawn_anew_by_rollout;
use super::openapi_terms::{Refusals, WriteTerms};
use super::problem::ProblemDetails;

/// What is rolled out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(expecting = "an object")]
pub(crate) struct StartBody {
    /// The service; or `group` or `flag`.
    pub service: Option<String>,
    /// The group of services and flags.
    pub group: Option<String>,
    /// The flag, whose last rule is moved; judged by the requests of the services that list it.
    pub flag: Option<String>,
    /// The version, or the variant of the flag, that is to have everything; by default the only other one.
    pub to: Option<String>,
    /// The variants of the flags of a group that are to have everything, by flag; by default of each the only other one.
    pub variants: Option<BTreeMap<String, String>>,
    /// Keys of the plan that are other than in the config.
    #[schema(value_type = Option<RawRollout>)]
    pub plan: Option<Value>,
    /// Also if the version is known to have no usable endpoint; 409 otherwise. Not asked of a rolling release, which upgrades
    /// its endpoints first.
    pub force: Option<bool>,
    /// Why.
    pub reason: Option<String>,
}

/// Why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(expecting = "an object")]
pub(crate) struct OrderBody {
    /// Why.
    pub reason: Option<String>,
    /// Of `promote` and `resume`: also if the version that gets more is known to have no usable endpoint; 409 otherwise.
    pub force: Option<bool>,
}

/// A rollout that has begun; with a dry run, that would.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StartAnswer)]
pub(crate) struct StartResponse {
    /// The rollout.
    rollout: RolloutView,
    /// Whether this only tells what would happen.
    dry_run: bool,
    /// How long it will take with the traffic of this moment, and which plan fits it.
    forecast: ForecastView,
    /// What its operator will want to know, such as bakes that cannot collect enough requests.
    warnings: Vec<String>,
}

/// The rollouts that are known, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RolloutList {
    /// Up to the last hundred.
    rollouts: Vec<RolloutView>,
}

/// Starts a rollout.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "rollout_start",
    path = "/v1/rollouts",
    tag = "rollouts",
    params(WriteTerms),
    request_body(content = StartBody, content_type = "application/json", example = r#"{"service": "shop", "to": "v2", "plan": {"steps": [1, 10, 50, 100], "bake": "10m"}}"#),
    responses((status = 200, description = "Its first step is durable and in force", body = StartResponse), Refusals)
)]
pub(crate) async fn start(
    State(admin): State<Arc<AdminApi>>,
    mut call: ApiCall,
) -> Result<Json<StartResponse>, ProblemDetails> {
    let body: StartBody = call.read();
    let reason = call.reason(body.reason);
    let target = match (body.service, body.group, body.flag) {
        (Some(service), None, None) => Some(RolloutTarget::Service(service)),
        (None, Some(group), None) => Some(RolloutTarget::Group(group)),
        (None, None, Some(flag)) => Some(RolloutTarget::Flag(flag)),
        named => {
            let found = match named {
                (None, None, None) => "neither a service nor a group nor a flag",
                _ => "more than one of service, group and flag",
            };
            let mismatch = Mismatch::new(found, "one of them", "write {\"service\": \"shop\"}");
            call.report.missing(&ConfigPath::Root.key("service"), mismatch);
            None
        }
    };
    let force = body.force.unwrap_or_default();
    let (plan, refused) = ReleaseOverrides::read(body.plan.as_ref().unwrap_or(&Value::Null));
    call.report.extend(refused);
    let dry_run = call.is_dry();
    let (author, problems) = call.author();
    let Some(target) = target else { return Err(ProblemDetails::of_problems(problems)) };
    let by = OrderedBy { author: author.to_string(), reason, onto_dead: OntoDead::forced(force) };
    let before = admin.table();
    let (to, variants) = (body.to, body.variants.unwrap_or_default());
    let started = admin.rollouts.start(StartRequest { target, to, variants, plan, problems, by, dry_run }).await?;
    let mut warnings = started.warnings;
    warnings.extend(drawn_anew_by_rollout(&started.rollout, &before));
    Ok(Json(StartResponse { rollout: started.rollout, dry_run, forecast: started.forecast, warnings }))
}

/// The rollouts that are known.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    get,
    operation_id = "rollouts",
    path = "/v1/rollouts",
    tag = "rollouts",
    params(("brief" = Option<bool>, Query, description = "Without their events and changes of mind, which are most of what is said")),
    responses((status = 200, description = "Newest first", body = RolloutList), Refusals)
)]
pub(crate) async fn list(State(admin): State<Arc<AdminApi>>, uri: Uri) -> Result<Json<RolloutList>, ProblemDetails> {
    let mut problems = Vec::new();
    let brief = query(&uri, &["brief"], &mut problems).first().map_or(Ok(false), |(_, text)| text.parse::<bool>());
    if brief.is_err() {
        problems.push(Problem::invalid("?brief", "another word", "true or false", "leave it out or mend it"));
    }
    if !problems.is_empty() {
        return Err(ProblemDetails::of_problems(problems));
    }
    let mut rollouts = admin.rollouts.list(KEPT as usize).await?;
    if brief == Ok(true) {
        rollouts.iter_mut().for_each(|rollout| (rollout.events, rollout.verdicts) = (Vec::new(), Vec::new()));
    }
    Ok(Json(RolloutList { rollouts }))
}

/// One rollout, with its evidence.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    get,
    operation_id = "rollout",
    path = "/v1/rollouts/{id}",
    tag = "rollouts",
    params(("id" = u64, Path, description = "Its number")),
    responses((status = 200, description = "The rollout", body = RolloutView), Refusals)
)]
pub(crate) async fn one(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(id): PathSegments<String>,
    _: NoParameters,
) -> Result<Json<RolloutView>, ProblemDetails> {
    let number = id.parse().unwrap_or(0);
    let view = admin.rollouts.one(number).await?;
    view.map(Json).ok_or_else(|| unknown(&id))
}

/// What the judge of a rollout had found over time, also of one that is over.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    get,
    operation_id = "rollout_evidence",
    path = "/v1/rollouts/{id}/evidence",
    tag = "rollouts",
    params(("id" = u64, Path, description = "Its number")),
    responses((status = 200, description = "Up to 300 points of each service", body = EvidenceOverTime), Refusals)
)]
pub(crate) async fn over_time(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(id): PathSegments<String>,
    _: NoParameters,
) -> Result<Json<EvidenceOverTime>, ProblemDetails> {
    let found = admin.rollouts.over_time(id.parse().unwrap_or(0)).await?;
    found.map(Json).ok_or_else(|| unknown(&id))
}

/// Says something to a rollout.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "rollout_order",
    path = "/v1/rollouts/{id}/{order}",
    tag = "rollouts",
    params(
        ("id" = u64, Path, description = "Its number"),
        ("order" = String, Path, description = "pause, resume, promote, abort or acknowledge")
    ),
    request_body(content = OrderBody, content_type = "application/json", example = r#"{"reason": "seen enough"}"#),
    responses((status = 200, description = "The rollout after it, durable and in force", body = RolloutView), Refusals)
)]
pub(crate) async fn order(
    State(admin): State<Arc<AdminApi>>,
    PathSegments((id, word)): PathSegments<(String, String)>,
    mut call: ApiCall,
) -> Result<Json<RolloutView>, ProblemDetails> {
    let order = match word.as_str() {
        "acknowledge" => Some(Order::Acknowledge),
        word => RolloutCommand::from_word(word).map(Order::Command),
    };
    let Some(order) = order else {
        let detail = format!("found {word:?}, want pause, resume, promote, abort or acknowledge");
        return Err(ProblemDetails::new(StatusCode::NOT_FOUND, "no_resource", detail));
    };
    let body: OrderBody = call.read();
    let reason = call.reason(body.reason);
    let force = body.force.unwrap_or_default();
    if body.force.is_some() && !matches!(order, Order::Command(RolloutCommand::Promote | RolloutCommand::Resume)) {
        let mismatch = Mismatch::new(format!("it with {word}"), "it with promote or resume only", "leave it out");
        call.report.problem(&ConfigPath::Root.key(FORCE), mismatch);
    }
    let author = call.unconditional()?;
    let number = id.parse().map_err(|_no_number| unknown(&id))?;
    let by = OrderedBy { author: author.to_string(), reason, onto_dead: OntoDead::forced(force) };
    Ok(Json(admin.rollouts.order(number, order, by).await?))
}

fn unknown(id: &str) -> ProblemDetails {
    let detail = format!("there is no rollout {id:?}; GET /v1/rollouts lists them");
    ProblemDetails::new(StatusCode::NOT_FOUND, "unknown", detail)
}

impl From<RolloutError> for ProblemDetails {
    fn from(error: RolloutError) -> Self {
        match error {
            RolloutError::Problems(problems) => Self::of_problems(problems),
            RolloutError::Unusable(versions) => Self::of_problems(versions.iter().map(Unusable::problem).collect()),
            RolloutError::Unknown(id) => unknown(&id.to_string()),
            RolloutError::Unfit(unfit) => {
                let word = match unfit {
                    Unfit::Over(_) => "rollout_over",
                    Unfit::OnItsWayBack => "rollout_on_its_way_back",
                    Unfit::PausedAlready => "rollout_paused",
                    Unfit::NotPaused => "rollout_not_paused",
                    Unfit::Busy(_) => "rollout_busy",
                };
                Self::new(StatusCode::CONFLICT, word, unfit.to_string())
            }
            RolloutError::NothingToAcknowledge => {
                Self::new(StatusCode::CONFLICT, "nothing_to_acknowledge", error.to_string())
            }
            RolloutError::Apply(error) => error.into(),
            RolloutError::Elsewhere(_) => Self::new(StatusCode::MISDIRECTED_REQUEST, "not_leader", error.to_string()),
            RolloutError::Gone(gone) => gone.into(),
        }
    }
}
