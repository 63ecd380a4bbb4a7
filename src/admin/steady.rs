//! `GET /v1/steady?service=shop`: whether the users of a service are well at this moment, by the status alone, for
//! programs that ask before and while they break something.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use super::AdminApi;
use super::call::{query, service};
use super::openapi_terms::Refusals;
use super::problem::ProblemDetails;
use crate::problem::Problem;
use crate::slo_keeper::SteadyAnswer;

/// Whether the users of a service are well.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct SteadyView {
    /// The service.
    service: String,
    /// Whether they are.
    steady: bool,
    /// Why not.
    reason: Option<String>,
    /// Whether the service has objectives that its requests of the last seconds are held against; without any, only its
    /// endpoints are looked at.
    objectives: bool,
}

/// Says whether the users of a service are well.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    get,
    operation_id = "get_steady",
    path = "/v1/steady",
    tag = "state",
    params(("service" = String, Query, description = "The service")),
    responses(
        (status = 200, description = "They are", body = SteadyView),
        (status = 503, description = "They are not: a version has no endpoint, or budgets go too fast", body = SteadyView),
        Refusals
    )
)]
pub(crate) async fn get(
    State(admin): State<Arc<AdminApi>>,
    uri: Uri,
) -> Result<(StatusCode, Json<SteadyView>), ProblemDetails> {
    let mut problems = Vec::new();
    let parameters = query(&uri, &["service"], &mut problems);
    let name = parameters.first().map(|(_, name)| *name).filter(|name| !name.is_empty());
    let Some(name) = name else {
        problems.push(Problem::invalid("?service", "none", "the name of a service", "add ?service=NAME"));
        return Err(ProblemDetails::of_problems(problems));
    };
    if !problems.is_empty() {
        return Err(ProblemDetails::of_problems(problems));
    }
    let table = admin.table();
    let objectives = service(&table, "?service", name)?.slo.is_some();
    let reason = match admin.exporter.sources().slo.steady(name) {
        SteadyAnswer::Steady => None,
        SteadyAnswer::Unsteady { reason } => Some(reason),
        // It has gone in between.
        SteadyAnswer::Unknown => Some("the service is not known any more".to_owned()),
    };
    let status = if reason.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let view = SteadyView { service: name.to_owned(), steady: reason.is_none(), reason, objectives };
    Ok((status, Json(view)))
}
