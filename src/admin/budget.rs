//! `GET /v1/services/{service}/budget`: what is left of the budgets of a service, and how fast they go.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::AdminApi;
use super::budget_brief::{burn, thousandths};
use super::call::{NoParameters, PathSegments, service};
use super::openapi_terms::Refusals;
use super::problem::ProblemDetails;
use super::revisions::timestamp;
use crate::slo::slo_budget::{ObjectiveBudget, SloBudget};
use crate::slo_keeper::slo_handle::ServiceBudget;
use crate::table::spec::slo::LatencyObjective;

/// The budgets of a service.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct BudgetView {
    /// The service.
    service: String,
    /// Over how long requests are counted, such as `30d`; by whole hours, the present one among them.
    window: String,
    /// The budget of requests that fail by our side's fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    availability: Option<AvailabilityBudget>,
    /// The budget of requests that take too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency: Option<LatencyBudget>,
    /// Requests that a fault of our own met: they are in neither budget.
    by_faults: FaultedRequests,
    /// What is left, in per cent: of the budget that has less. Below 0 when more is gone than there was.
    left_percent: f64,
    /// From when on requests are counted; none before the first one.
    #[schema(format = DateTime)]
    since: Option<String>,
}

/// The budget of requests that fail by our side's fault.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AvailabilityBudget {
    /// How many requests must not, in per cent.
    objective: f64,
    /// Requests of the window.
    requests: u64,
    /// Those that failed.
    failed: u64,
    /// What is left of the budget, in per cent; below 0 when more is gone.
    left_percent: f64,
    /// How fast it goes, over `5m`, `1h`, `6h` and `3d`: at 1 it lasts exactly as long as the window.
    burn: BTreeMap<&'static str, f64>,
}

/// The budget of requests that take too long.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct LatencyBudget {
    /// What takes longer is slow, such as `300ms`.
    under: String,
    /// How many requests must not be, in per cent.
    objective: f64,
    /// Requests of the window.
    requests: u64,
    /// Those that were slow.
    slow: u64,
    /// What is left of the budget, in per cent; below 0 when more is gone.
    left_percent: f64,
    /// How fast it goes, over `5m`, `1h`, `6h` and `3d`: at 1 it lasts exactly as long as the window.
    burn: BTreeMap<&'static str, f64>,
}

/// Requests that a fault of our own met, in the window.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct FaultedRequests {
    /// All of them.
    requests: u64,
    /// Those that failed.
    failed: u64,
    /// Those that were slow.
    slow: u64,
}

impl BudgetView {
    fn of(service: &str, ServiceBudget { spec, budget }: &ServiceBudget) -> Self {
        let SloBudget { availability, latency, counted, since_s } = budget;
        let latency = spec.latency.zip(*latency);
        Self {
            service: service.to_owned(),
            window: spec.window_text(),
            availability: availability.map(AvailabilityBudget::of),
            latency: latency.map(|(objective, budget)| LatencyBudget::of(objective, budget)),
            by_faults: FaultedRequests {
                requests: counted.fault_requests,
                failed: counted.fault_failed,
                slow: counted.fault_slow,
            },
            left_percent: thousandths(budget.left_percent()),
            since: since_s.map(|second| timestamp(i64::try_from(second).unwrap_or(i64::MAX).saturating_mul(1000))),
        }
    }
}

impl AvailabilityBudget {
    fn of(budget: ObjectiveBudget) -> Self {
        let ObjectiveBudget { objective, requests, bad, left_percent, burn: rates } = budget;
        let (objective, left_percent) = (objective.percent(), thousandths(left_percent));
        Self { objective, requests, failed: bad, left_percent, burn: burn(&rates) }
    }
}

impl LatencyBudget {
    fn of(latency: LatencyObjective, budget: ObjectiveBudget) -> Self {
        let ObjectiveBudget { objective, requests, bad, left_percent, burn: rates } = budget;
        Self {
            under: format!("{:?}", latency.under),
            objective: objective.percent(),
            requests,
            slow: bad,
            left_percent: thousandths(left_percent),
            burn: burn(&rates),
        }
    }
}

/// Shows what is left of the budgets of a service.
///
/// # Errors
/// The refusal: also of a service without objectives.
#[utoipa::path(
    get,
    operation_id = "get_service_budget",
    path = "/v1/services/{service}/budget",
    tag = "state",
    params(("service" = String, Path, description = "The service, which has objectives (`[services.NAME.slo]`)")),
    responses((status = 200, description = "Its budgets", body = BudgetView), Refusals)
)]
pub(crate) async fn get(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(text): PathSegments<String>,
    _: NoParameters,
) -> Result<Json<BudgetView>, ProblemDetails> {
    let table = admin.table();
    let service = service(&table, "service", &text)?;
    if service.slo.is_none() {
        let detail = format!(
            "found no objectives of {text}, want some to have a budget; add [services.{text}.slo] with availability = 99.9"
        );
        return Err(ProblemDetails::new(StatusCode::NOT_FOUND, "no_objectives", detail));
    }
    match admin.exporter.sources().slo.budget(&text) {
        Some(budget) => Ok(Json(BudgetView::of(&text, &budget))),
        None => {
            let detail = "what was counted before is not read yet; repeat the call in a moment".to_owned();
            Err(ProblemDetails::new(StatusCode::SERVICE_UNAVAILABLE, "not_read_yet", detail))
        }
    }
}
