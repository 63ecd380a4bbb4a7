//! `GET /v1/fleet` and `POST /v1/fleet/restore`: the replicas that share the traffic.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::AdminApi;
use super::call::{ApiCall, NoParameters};
use super::fleet_view::FleetView;
use super::openapi_terms::Refusals;
use super::problem::ProblemDetails;
use crate::fleet::fleet_handle::FleetHandle;

/// Nothing is asked beside the call itself.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(expecting = "an object")]
pub(crate) struct FleetRestoreBody {}

/// The replicas, and where this one stands with them.
///
/// # Errors
/// That there is no fleet.
#[utoipa::path(
    get,
    operation_id = "fleet",
    path = "/v1/fleet",
    tag = "state",
    responses((status = 200, description = "The fleet, as this replica knows it", body = FleetView), Refusals)
)]
pub(crate) async fn get(
    State(admin): State<Arc<AdminApi>>,
    _: NoParameters,
) -> Result<Json<FleetView>, ProblemDetails> {
    Ok(Json(FleetView::of(fleet(&admin)?, &admin.table())))
}

/// Puts the state of this replica where the shared one was lost, or is older than what was acknowledged. The other
/// replicas follow it then.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "restoreFleet",
    path = "/v1/fleet/restore",
    tag = "traffic",
    request_body(content = FleetRestoreBody, content_type = "application/json", example = r#"{}"#),
    responses((status = 200, description = "The state of this replica is the fleet's", body = FleetView), Refusals)
)]
pub(crate) async fn restore(
    State(admin): State<Arc<AdminApi>>,
    mut call: ApiCall,
) -> Result<Json<FleetView>, ProblemDetails> {
    let _nothing: FleetRestoreBody = call.read();
    let author = call.unconditional()?;
    let fleet = fleet(&admin)?;
    tracing::warn!(author = %author, "the state of this replica is to be the fleet's");
    fleet.restore().await?;
    Ok(Json(FleetView::of(fleet, &admin.table())))
}

/// How the fleet is asked.
fn fleet(admin: &AdminApi) -> Result<&FleetHandle, ProblemDetails> {
    admin.exporter.sources().fleet.as_ref().ok_or_else(|| {
        let detail = "this proxy is in no fleet, want [fleet] in the config file";
        ProblemDetails::new(StatusCode::NOT_FOUND, "no_fleet", detail.to_owned())
    })
}
