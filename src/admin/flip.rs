//! `POST /v1/services/{service}/flip`: everything to one version, in one swap.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::units::{Setting, TimeSpan};
use crate::control::change::Change;
use crate::problem::{Mismatch, ProblemKind};

use super::AdminApi;
use super::call::{ApiCall, PathSegments, service, version};
use super::change_response::{ChangeResponse, Tagged};
use super::openapi_terms::{Refusals, WriteTerms};
use super::problem::ProblemDetails;

/// Where to flip to.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(expecting = "an object")]
pub(crate) struct FlipBody {
    /// The version that gets everything.
    #[schema(value_type = String)]
    pub to: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Whether new requests wait until those in flight have ended and the change is in force.
    pub hold: Option<super::hold_body::HoldBody>,
    /// Also if a version that gets more is known to have no usable endpoint; 409 otherwise.
    pub force: Option<bool>,
    /// After this time the weights go back to what the config says, from 1s to 720h; default: they stay.
    #[schema(value_type = Option<String>, example = "30m")]
    pub ttl: Option<Setting<TimeSpan>>,
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
    responses((status = 200, description = "Durable and in force", body = ChangeResponse), Refusals)
)]
pub(crate) async fn post(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(text): PathSegments<String>,
    mut call: ApiCall,
) -> Result<Tagged<ChangeResponse>, ProblemDetails> {
    let table = admin.table();
    let body: FlipBody = call.read();
    let reason = call.reason(body.reason);
    call.moves(body.hold.as_ref(), body.force);
    call.lasts(body.ttl);
    let found = service(&table, "service", &text).map_err(|problem| call.report.add(problem)).ok();
    let to = match body.to {
        Some(to) => found.and_then(|service| {
            version(service, ProblemKind::Invalid, "to", &to).map_err(|problem| call.report.add(problem)).ok()
        }),
        None => {
            let mismatch = Mismatch::new("nothing", "a version", "add it");
            call.report.missing(&ConfigPath::Root.key("to"), mismatch);
            None
        }
    };
    let change = found.zip(to).map(|(service, to)| Change::Flip { service: service.spec.name.clone(), to });
    call.apply(&admin, change, reason).await
}
