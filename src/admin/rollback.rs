//! `POST /v1/rollback`: the split of an earlier revision, as a new one.

use std::sync::Arc;

use axum::extract::State;
use utoipa::ToSchema;

use crate::control::change::Change;

use super::AdminApi;
use super::answer::{ChangeAnswer, Tagged};
use super::call::{ApiCall, service};
use super::openapi::{Refusals, WriteTerms};
use super::problem::ProblemDetails;

/// What to go back to.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the body for OpenAPI; `Fields` reads it")]
pub(crate) struct RollbackBody {
    /// The revision; without it, the last change of traffic is undone.
    pub to: Option<u64>,
    /// The services; without them, all.
    pub services: Option<Vec<String>>,
    /// Why.
    pub reason: Option<String>,
    /// Whether new requests wait until those in flight have ended and the change is in force.
    pub hold: Option<super::hold::HoldBody>,
    /// Also if a version that gets more is known to have no usable endpoint; 409 otherwise.
    pub force: Option<bool>,
}

/// Restores the exact split of an earlier revision.
///
/// Without `to` it undoes the last change of traffic; called again, the one before it. Drained endpoints stay drained.
/// What gives more users to versions without a usable endpoint is refused with 409, unless it is forced; a way from one
/// such version to another is not.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "rollback",
    path = "/v1/rollback",
    tag = "traffic",
    params(WriteTerms),
    request_body(content = RollbackBody, content_type = "application/json", example = r#"{"to": 41, "services": ["shop"]}"#),
    responses((status = 200, description = "Durable and in force", body = ChangeAnswer), Refusals)
)]
pub(crate) async fn post(
    State(admin): State<Arc<AdminApi>>,
    mut call: ApiCall,
) -> Result<Tagged<ChangeAnswer>, ProblemDetails> {
    let table = admin.table();
    let body = call.body_of_a_move();
    let mut fields = call.fields(&body, Some(&["to", "services", "reason"]));
    let reason = fields.reason();
    let to = fields.optional_number("to");
    let listed = fields.optional_list("services");
    let mut problems = fields.problems;
    let services = listed.map(|list| {
        let named = list.into_iter().filter_map(|text| service(&table, "services", text, &mut problems));
        named.collect()
    });
    call.apply(&admin, (Some(Change::Rollback { to, services }), reason), problems).await
}
