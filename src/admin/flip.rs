//! `POST /v1/services/{service}/flip`: everything to one version, in one swap.

use std::sync::Arc;

use axum::extract::State;
use utoipa::ToSchema;

use crate::control::change::Change;
use crate::problem::{Problem, ProblemKind};

use super::AdminApi;
use super::answer::{ChangeAnswer, Tagged};
use super::call::{ApiCall, PathSegments, service};
use super::openapi::{Refusals, WriteTerms};
use super::problem::ProblemDetails;

/// Where to flip to.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the body for OpenAPI; `Fields` reads it")]
pub(crate) struct FlipBody {
    /// The version that gets everything.
    pub to: String,
    /// Why.
    pub reason: Option<String>,
    /// Whether new requests wait until those in flight have ended and the change is in force.
    pub hold: Option<super::hold::HoldBody>,
    /// Also if a version that gets more is known to have no usable endpoint; 409 otherwise.
    pub force: Option<bool>,
}

/// Sends everything to one version.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "flip",
    path = "/v1/services/{service}/flip",
    tag = "traffic",
    params(("service" = String, Path, description = "The service"), WriteTerms),
    request_body(content = FlipBody, content_type = "application/json", example = r#"{"to": "v2", "hold": {"max": "2s", "requests": 1000}}"#),
    responses((status = 200, description = "Durable and in force", body = ChangeAnswer), Refusals)
)]
pub(crate) async fn post(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(text): PathSegments<String>,
    mut call: ApiCall,
) -> Result<Tagged<ChangeAnswer>, ProblemDetails> {
    let table = admin.table();
    let body = call.body_of_a_move();
    let mut fields = call.fields(&body, Some(&["to", "reason"]));
    let reason = fields.reason();
    let to = fields.text("to");
    let mut problems = fields.problems;
    let name = service(&table, "service", &text, &mut problems);
    let versions = name.as_ref().and_then(|name| table.service_named(name)).map(|service| &service.versions);
    let to = versions.zip(to).and_then(|(versions, to)| {
        let found = versions.iter().find(|version| version.name.as_str() == to).map(|version| version.name.clone());
        if found.is_none() {
            let known = versions.iter().map(|version| version.name.as_str());
            problems.push(Problem::no_version(ProblemKind::Invalid, "to", to, known));
        }
        found
    });
    let change = name.zip(to).map(|(service, to)| Change::Flip { service, to });
    call.apply(&admin, (change, reason), problems).await
}
