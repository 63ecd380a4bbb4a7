//! `GET` and `POST /v1/evidence`: what this replica has counted for the rollouts under way; `POST /v1/evidence/users`:
//! whom it has counted in experiments and for guardrails.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::AdminApi;
use super::call::{ApiCall, NoParameters};
use super::openapi_terms::Refusals;
use super::problem::ProblemDetails;
use crate::ledger::told_trials::{TrialsAnswer, TrialsQuestion};
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

/// The users that this replica counts, for another one of its fleet, which says what it knows of them already.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "tellUsers",
    path = "/v1/evidence/users",
    tag = "state",
    request_body(content = TrialsQuestion, content_type = "application/json", example = r#"{"trials": []}"#),
    responses((status = 200, description = "Users that are new or have changed", body = TrialsAnswer), Refusals)
)]
pub(crate) async fn tell_users(
    State(admin): State<Arc<AdminApi>>,
    mut call: ApiCall,
) -> Result<Json<TrialsAnswer>, ProblemDetails> {
    let question: TrialsQuestion = call.read();
    call.unconditional()?;
    let replica = admin.exporter.sources().fleet.as_ref().map_or_else(String::new, |fleet| fleet.replica.to_string());
    let told = admin.experiments.recorder.ledger.tell(question).await?;
    Ok(Json(TrialsAnswer { replica, ..told }))
}
