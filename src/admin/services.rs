//! `GET /v1/services` and `GET /v1/services/{service}`.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::AdminApi;
use super::call::{NoParameters, PathSegments, service};
use super::change_response::Tagged;
use super::openapi_terms::Refusals;
use super::problem::ProblemDetails;
use super::view::{Moment, ServiceView};

/// All services.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ServiceList {
    /// The revision in force.
    revision: u64,
    /// In the order of the config.
    services: Vec<ServiceView>,
}

/// Shows all services.
#[utoipa::path(
    get,
    operation_id = "list_services",
    path = "/v1/services",
    tag = "state",
    responses((status = 200, description = "All services", body = ServiceList), Refusals)
)]
pub(crate) async fn list(State(admin): State<Arc<AdminApi>>, _: NoParameters) -> Tagged<ServiceList> {
    let table = admin.table();
    let at = moment(&admin);
    let briefs = admin.briefs.borrow();
    let (slo, chaos) = (&admin.exporter.sources().slo, admin.chaos.shown());
    let view = |service| {
        let view = ServiceView::of(service, &admin.live, at).with_flags(&table).with_rollout(&briefs);
        view.with_budget(slo).with_chaos(&chaos)
    };
    let services = table.services().map(view).collect();
    Tagged(table.revision, ServiceList { revision: table.revision, services })
}

/// Shows one service.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    get,
    operation_id = "get_service",
    path = "/v1/services/{service}",
    tag = "state",
    params(("service" = String, Path, description = "The service")),
    responses((status = 200, description = "The service", body = ServiceView), Refusals)
)]
pub(crate) async fn one(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(text): PathSegments<String>,
    _: NoParameters,
) -> Result<Tagged<ServiceView>, ProblemDetails> {
    let table = admin.table();
    let service = service(&table, "service", &text)?;
    let view = ServiceView::of(service, &admin.live, moment(&admin));
    let view = view.with_flags(&table).with_rollout(&admin.briefs.borrow());
    Ok(Tagged(table.revision, view.with_budget(&admin.exporter.sources().slo).with_chaos(&admin.chaos.shown())))
}

pub(crate) fn moment(admin: &AdminApi) -> Moment {
    Moment { now: Instant::now(), now_ms: admin.exporter.sources().now_ms() }
}
