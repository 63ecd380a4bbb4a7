//! `POST /v1/gitops/hook`: a forge says that there is something new, and the repository is looked at.
//!
//! It needs no token of the admin API, but a signature with the secret of `gitops.hook_secret_file`. Nothing of its
//! body is read, so that one that was sent again cannot do more than have a fetch come sooner, once a second at the
//! most.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::AdminApi;
use super::call::{NoParameters, RawBody};
use super::openapi_terms::Refusals;
use super::problem::ProblemDetails;
use super::sync::gitops;
use super::visit::Visit;
use crate::gitops::hook_receiver::HookRefusal;
use crate::gitops::hook_signature::HookHeaders;
use crate::stats::AdminRefused;

/// The largest hook: forges list the commits of a push in it, up to some thousand.
const BODY_BYTES_MAX: usize = 1 << 20;

/// That the repository is looked at.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = HookAnswer)]
pub(crate) struct HookResponse {
    /// Always true: a look begins within a second, if none has begun since the hook came.
    woken: bool,
}

/// Has the repository looked at, for a hook of GitHub, Gitea, Forgejo, GitLab or of the form of Standard Webhooks.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "gitops_hook",
    path = "/v1/gitops/hook",
    tag = "traffic",
    request_body(content = serde_json::Value, content_type = "application/json", description = "Not looked at"),
    responses((status = 202, description = "The repository is looked at. 401 when the signature is wrong", body = HookResponse), Refusals)
)]
pub(crate) async fn post(
    State(admin): State<Arc<AdminApi>>,
    _: NoParameters,
    visit: Option<Extension<Arc<Visit>>>,
    headers: HeaderMap,
    RawBody(body): RawBody<BODY_BYTES_MAX>,
) -> Result<(StatusCode, Json<HookResponse>), ProblemDetails> {
    let gitops = gitops(&admin)?;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signed = HookHeaders {
        github: text("x-hub-signature-256"),
        gitea: text("x-forgejo-signature").or_else(|| text("x-gitea-signature")),
        gitlab: text("x-gitlab-token"),
        id: text("webhook-id"),
        timestamp: text("webhook-timestamp"),
        signature: text("webhook-signature"),
    };
    let taken = gitops.hooks.take(signed, &body).await;
    if let Err(refusal) = &taken {
        let from = visit.as_ref().map_or("unknown", |Extension(visit)| &visit.from);
        told(&admin, refusal, from);
    }
    taken?;
    Ok((StatusCode::ACCEPTED, Json(HookResponse { woken: true })))
}

/// Counts a hook that is not believed like a login that failed, and says so in the log as often as those.
fn told(admin: &AdminApi, refusal: &HookRefusal, from: &str) {
    if let HookRefusal::Signature(_) = refusal {
        admin.refused(AdminRefused::BadToken);
    }
    let Some(left_out) = admin.access.logins().line(Instant::now()) else { return };
    let why = match refusal {
        HookRefusal::Secret(why) => why.clone(),
        HookRefusal::Off | HookRefusal::Signature(_) => refusal.to_string(),
    };
    tracing::warn!(from, why, left_out, "a hook of a forge is refused");
}

impl From<HookRefusal> for ProblemDetails {
    fn from(refusal: HookRefusal) -> Self {
        let (status, word) = match &refusal {
            HookRefusal::Off => (StatusCode::NOT_FOUND, "no_hook"),
            HookRefusal::Signature(_) => (StatusCode::UNAUTHORIZED, "bad_signature"),
            HookRefusal::Secret(_) => (StatusCode::SERVICE_UNAVAILABLE, "no_hook_secret"),
        };
        Self::new(status, word, refusal.to_string())
    }
}
