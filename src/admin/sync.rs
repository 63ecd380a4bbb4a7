//! `GET /v1/gitops` and `POST /v1/gitops/sync`: the repository that the config is in.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AdminApi;
use super::call::{ApiCall, NoParameters};
use super::change_response::ChangeResponse;
use super::openapi_terms::Refusals;
use super::problem::ProblemDetails;
use super::repository_view::{CommitView, RepositoryView};
use crate::gitops::commit_word::{CommitWord, CommitWordError};
use crate::gitops::gitops_handle::{GitopsHandle, SyncDone, SyncError, SyncTerms};
use crate::problem::Problem;

/// How the repository is looked at.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(expecting = "an object")]
pub(crate) struct SyncBody {
    /// Take the newest commit also when the history of the branch was rewritten.
    pub rewritten: Option<bool>,
    /// Put the weights of the newest commit in force also where they were taken back.
    pub rejected: Option<bool>,
    /// With `dry_run`: another commit than the newest one, by its hash, its branch, or a name below `refs/`.
    pub commit: Option<String>,
}

/// The newest commit, and what came of it; with a dry run, what would.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SyncAnswer)]
pub(crate) struct SyncResponse {
    /// The newest commit.
    commit: CommitView,
    /// What changes by it.
    change: ChangeResponse,
    /// What of it takes a restart.
    needs_restart: Vec<String>,
}

/// Where the config is, and which commit is in force.
///
/// # Errors
/// That the config is in no repository.
#[utoipa::path(
    get,
    operation_id = "gitops",
    path = "/v1/gitops",
    tag = "state",
    responses((status = 200, description = "The repository, the commit in force and the state", body = RepositoryView), Refusals)
)]
pub(crate) async fn get(
    State(admin): State<Arc<AdminApi>>,
    _: NoParameters,
) -> Result<Json<RepositoryView>, ProblemDetails> {
    Ok(Json(RepositoryView::of(gitops(&admin)?, &admin.table())))
}

/// Fetches the newest commit and puts it in force.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "sync",
    path = "/v1/gitops/sync",
    tag = "traffic",
    params(("dry_run" = Option<bool>, Query, description = "Only tell what would happen")),
    request_body(content = SyncBody, content_type = "application/json", example = r#"{}"#),
    responses((status = 200, description = "The newest commit is in force. 422 with each problem when it is refused, 409 when its \
        weights were taken back, 502 when the repository does not answer", body = SyncResponse), Refusals)
)]
pub(crate) async fn post(
    State(admin): State<Arc<AdminApi>>,
    mut call: ApiCall,
) -> Result<Json<SyncResponse>, ProblemDetails> {
    let body: SyncBody = call.read();
    let dry_run = call.is_dry();
    let (author, problems) = call.author();
    if !problems.is_empty() {
        return Err(ProblemDetails::of_problems(problems));
    }
    let gitops = gitops(&admin)?;
    let (rewritten, rejected) = (body.rewritten.unwrap_or_default(), body.rejected.unwrap_or_default());
    tracing::info!(author = %author, dry_run, rewritten, rejected, "a look at the repository is asked for");
    let SyncDone { commit, applied, needs_restart } = match body.commit {
        None => gitops.sync(SyncTerms { dry_run, rewritten, rejected }).await?,
        Some(_) if !dry_run => return Err(ProblemDetails::of_problems(vec![only_dry()])),
        Some(word) => gitops.preview(CommitWord::parse(&word).map_err(SyncError::Unknown)?).await?,
    };
    let change = ChangeResponse::new(applied, dry_run, &admin.table(), admin.exporter.sources().now_ms());
    let change = change.with_rollouts(&admin.exporter.sources().rollouts.borrow());
    Ok(Json(SyncResponse { commit: CommitView::of(&commit), change, needs_restart }))
}

/// A commit that is not the newest one can only be looked at.
fn only_dry() -> Problem {
    let remedy = "add ?dry_run=true; to put it in force, make it the newest commit of the branch";
    Problem::invalid("commit", "a commit", "one with ?dry_run=true only: what is in force is the newest commit", remedy)
}

/// How the repository is asked.
pub(super) fn gitops(admin: &AdminApi) -> Result<&GitopsHandle, ProblemDetails> {
    admin.exporter.sources().gitops.as_ref().ok_or_else(|| {
        let detail = "the config is in no repository, want [gitops] in the config file or `pointsman run --gitops URL`";
        ProblemDetails::new(StatusCode::NOT_FOUND, "no_gitops", detail.to_owned())
    })
}

impl From<SyncError> for ProblemDetails {
    fn from(error: SyncError) -> Self {
        let (status, word) = match &error {
            SyncError::Unreachable(_) => (StatusCode::BAD_GATEWAY, "repository_unreachable"),
            SyncError::Refused(_) => (StatusCode::UNPROCESSABLE_ENTITY, "commit_refused"),
            SyncError::Unknown(CommitWordError::Word(_)) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_commit"),
            SyncError::Unknown(_) => (StatusCode::NOT_FOUND, "unknown_commit"),
            SyncError::Rejected(_) => (StatusCode::CONFLICT, "commit_rejected"),
            SyncError::Waits(_) => (StatusCode::SERVICE_UNAVAILABLE, "upgrading"),
            SyncError::Gone => (StatusCode::SERVICE_UNAVAILABLE, "keeper_gone"),
        };
        Self::new(status, word, error.to_string())
    }
}
