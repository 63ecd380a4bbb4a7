//! `POST /v1/experiments/{experiment}/start`, `/stop` and `/ship`.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::units::Setting;
use crate::control::change::Change;
use crate::control::experiment_change::ExperimentChange;
use crate::problem::Mismatch;
use crate::table::Weight;

use super::AdminApi;
use super::call::{ApiCall, PathSegments};
use super::change_response::{ChangeResponse, Tagged};
use super::openapi_terms::{Refusals, WriteTerms};
use super::problem::ProblemDetails;

/// How a run begins, or grows.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(expecting = "an object")]
pub(crate) struct StartRunBody {
    /// Per cent of all users whom it takes in, a half in each arm; what the config says if left out, or what it has if
    /// that is more.
    #[schema(value_type = Option<f64>)]
    share: Option<Setting<Weight>>,
    /// Why.
    reason: Option<String>,
    /// Also if a version of an arm is known to have no usable endpoint; 409 otherwise.
    force: Option<bool>,
}

/// How a run ends.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(expecting = "an object")]
pub(crate) struct StopRunBody {
    /// Why.
    reason: Option<String>,
}

/// Which arm all users get.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(expecting = "an object")]
pub(crate) struct ShipBody {
    /// `control` or `treatment`, or the version or variant of the arm.
    #[schema(value_type = String)]
    arm: Option<String>,
    /// Why.
    reason: Option<String>,
    /// Whether new requests wait until those in flight have ended and the change is in force.
    hold: Option<super::hold_body::HoldBody>,
    /// Also if the version is known to have no usable endpoint; 409 otherwise.
    force: Option<bool>,
}

/// Begins a run of an experiment, or has the one that runs take more users in.
///
/// Users are taken in by slots of the experiment's layer that no other run has, and none who is in a run is moved. A
/// smaller share than it has is refused: a run does not let go of users whom it counts.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "start_experiment",
    path = "/v1/experiments/{experiment}/start",
    tag = "experiments",
    params(("experiment" = String, Path, description = "The experiment"), WriteTerms),
    request_body(content = StartRunBody, content_type = "application/json", example = r#"{"share": 40}"#),
    responses((status = 200, description = "Durable and in force", body = ChangeResponse), Refusals)
)]
pub(crate) async fn start(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(name): PathSegments<String>,
    mut call: ApiCall,
) -> Result<Tagged<ChangeResponse>, ProblemDetails> {
    let body: StartRunBody = call.read();
    let reason = call.reason(body.reason);
    call.moves(None, body.force);
    let share = body.share.map(|share| share.0);
    call.apply(&admin, Some(Change::Experiment(ExperimentChange::Start { name, share })), reason).await
}

/// Ends the run of an experiment; its users get what all others do. Its result stays until the next run begins.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "stop_experiment",
    path = "/v1/experiments/{experiment}/stop",
    tag = "experiments",
    params(("experiment" = String, Path, description = "The experiment"), WriteTerms),
    request_body(content = StopRunBody, content_type = "application/json", example = r#"{"reason": "enough users"}"#),
    responses((status = 200, description = "Durable and in force", body = ChangeResponse), Refusals)
)]
pub(crate) async fn stop(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(name): PathSegments<String>,
    mut call: ApiCall,
) -> Result<Tagged<ChangeResponse>, ProblemDetails> {
    let body: StopRunBody = call.read();
    let reason = call.reason(body.reason);
    call.apply(&admin, Some(Change::Experiment(ExperimentChange::Stop { name })), reason).await
}

/// Gives all users what one arm has, and ends the run, in one revision and one swap: the split goes wholly to its
/// version, or the last rule of the flag to its variant.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "ship_experiment",
    path = "/v1/experiments/{experiment}/ship",
    tag = "experiments",
    params(("experiment" = String, Path, description = "The experiment"), WriteTerms),
    request_body(content = ShipBody, content_type = "application/json", example = r#"{"arm": "treatment"}"#),
    responses((status = 200, description = "Durable and in force", body = ChangeResponse), Refusals)
)]
pub(crate) async fn ship(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(name): PathSegments<String>,
    mut call: ApiCall,
) -> Result<Tagged<ChangeResponse>, ProblemDetails> {
    let body: ShipBody = call.read();
    let reason = call.reason(body.reason);
    call.moves(body.hold.as_ref(), body.force);
    if body.arm.is_none() {
        let mismatch = Mismatch::new("nothing", "an arm", "add control or treatment");
        call.report.missing(&ConfigPath::Root.key("arm"), mismatch);
    }
    let change = body.arm.map(|arm| Change::Experiment(ExperimentChange::Ship { name, arm }));
    call.apply(&admin, change, reason).await
}
