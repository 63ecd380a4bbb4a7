//! `POST /v1/upgrade`: another binary takes over, with the sockets of this one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::upgrade_calls::{CheckFinding, UpgradeError};
use crate::problem::Problem;

use super::AdminApi;
use super::call::ApiCall;
use super::openapi_terms::Refusals;
use super::problem::ProblemDetails;

/// Why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(expecting = "an object")]
pub(crate) struct UpgradeBody {
    /// Why; for the log.
    pub reason: Option<String>,
}

/// The process that has taken over.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UpgradeAnswer)]
pub(crate) struct UpgradeResponse {
    /// Its id.
    process: u32,
}

/// Upgrades in place.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "upgrade",
    path = "/v1/upgrade",
    tag = "process",
    request_body(content = UpgradeBody, content_type = "application/json", example = r#"{"reason": "1.2.0"}"#),
    responses((status = 200, description = "The new process answers; the old one ends its requests. 409 while the config or another \
        file that the new process reads is being written, 422 with each problem when the new binary does not take the config",
        body = UpgradeResponse), Refusals)
)]
pub(crate) async fn post(
    State(admin): State<Arc<AdminApi>>,
    mut call: ApiCall,
) -> Result<Json<UpgradeResponse>, ProblemDetails> {
    let body: UpgradeBody = call.read();
    let reason = call.reason(body.reason);
    let author = call.unconditional()?;
    tracing::info!(author = %author, reason, "an upgrade is asked for");
    let successor = admin.upgrades.ask().await?;
    Ok(Json(UpgradeResponse { process: successor.process }))
}

impl From<UpgradeError> for ProblemDetails {
    fn from(error: UpgradeError) -> Self {
        let (status, word) = match error {
            UpgradeError::Config { program, findings } => return config_problem(&program, findings),
            UpgradeError::Unavailable(_) => (StatusCode::CONFLICT, "upgrade_unavailable"),
            UpgradeError::Busy => (StatusCode::CONFLICT, "upgrade_going_on"),
            UpgradeError::Unsettled { .. } => (StatusCode::CONFLICT, "files_unsettled"),
            UpgradeError::Failed(_) => (StatusCode::INTERNAL_SERVER_ERROR, "upgrade_failed"),
            UpgradeError::Ending => (StatusCode::SERVICE_UNAVAILABLE, "ending"),
        };
        Self::new(status, word, error.to_string())
    }
}

/// A config that the new binary does not take, with each of its problems.
fn config_problem(program: &str, findings: Vec<CheckFinding>) -> ProblemDetails {
    let count = match findings.len() {
        1 => "a problem".to_owned(),
        several => format!("{several} problems"),
    };
    let detail = format!("{program} has found {count} in the config file; the process that runs goes on");
    let items = findings.into_iter().map(|finding| match finding {
        CheckFinding::Problem(problem) => problem,
        CheckFinding::Remark { path, line, text } => {
            let wanted = format!("what {program} takes");
            let remedy = "mend the file, see `pointsman check`, and upgrade again";
            let path = if path.is_empty() { "config".to_owned() } else { path };
            Problem { line, ..Problem::invalid(path, text, wanted, remedy) }
        }
    });
    let refusal = ProblemDetails::new(StatusCode::UNPROCESSABLE_ENTITY, "config_refused", detail);
    refusal.with_problems(items.collect())
}
