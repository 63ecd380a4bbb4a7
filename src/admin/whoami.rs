//! `GET /v1/whoami`: as whom the proxy knows a caller, so that a console offers no more than it would be let do.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::tokens::AccessRole;

use super::AdminApi;
use super::call::NoParameters;
use super::guard::Caller;
use super::openapi_terms::Refusals;

/// Who calls.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Whoami)]
pub(crate) struct WhoamiView {
    /// The name of the token or of the client certificate in the config, which is the author of revisions; `local` when
    /// there are none.
    name: String,
    /// `read` or `operate`.
    role: &'static str,
    /// Whether neither tokens nor client certificates are configured: everybody who can connect may operate.
    open: bool,
}

/// As whom the proxy knows the caller, and what that one may do.
#[utoipa::path(
    get,
    operation_id = "whoami",
    path = "/v1/whoami",
    tag = "state",
    responses((status = 200, description = "Who calls", body = WhoamiView), Refusals)
)]
pub(crate) async fn get(
    State(admin): State<Arc<AdminApi>>,
    Extension(caller): Extension<Caller>,
    _: NoParameters,
) -> Json<WhoamiView> {
    let role = match caller.role {
        AccessRole::Read => "read",
        AccessRole::Operate => "operate",
    };
    Json(WhoamiView { name: caller.name.to_string(), role, open: admin.access.is_open() })
}
