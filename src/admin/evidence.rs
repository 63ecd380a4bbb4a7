//! `GET` and `POST /v1/evidence`: what this replica has counted for the rollouts under way.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::AdminApi;
use super::call::{ApiCall, NoParameters};
use super::openapi_terms::Refusals;
use super::problem::ProblemDetails;
use crate::release::replica_evidence::{EvidenceAnswer, EvidenceQuestion};

/// The counts of this replica alone.
///
/// # Errors
/// That the process is ending.
#[utoipa::path(
    get,
    operation_id = "evidence",
    path = "/v1/evidence",
    tag = "state",
    responses((status = 200, description = "Counts since this replica counts for a rollout", body = EvidenceAnswer), Refusals)
)]
pub(crate) async fn get(
    State(admin): State<Arc<AdminApi>>,
    _: NoParameters,
) -> Result<Json<EvidenceAnswer>, ProblemDetails> {
    Ok(Json(admin.rollouts.evidence(None).await?))
}

/// The same for the replica that leads the fleet, which says in which windows users testify. Not for others: what is
/// told as known is not told again.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "tellEvidence",
    path = "/v1/evidence",
    tag = "state",
    request_body(content = EvidenceQuestion, content_type = "application/json", example = r#"{"rollouts": []}"#),
    responses((status = 200, description = "Counts since this replica counts for a rollout", body = EvidenceAnswer), Refusals)
)]
pub(crate) async fn tell(
    State(admin): State<Arc<AdminApi>>,
    mut call: ApiCall,
) -> Result<Json<EvidenceAnswer>, ProblemDetails> {
    let question: EvidenceQuestion = call.read();
    call.unconditional()?;
    Ok(Json(admin.rollouts.evidence(Some(question)).await?))
}
