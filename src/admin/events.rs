//! `POST /v1/events`: what users did that the proxy does not see.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::events::event_batch::BATCH_BYTES_MAX;
use crate::events::event_refusal::EventRefusal;
use crate::events::receipt_view::ReceiptView;

use super::AdminApi;
use super::call::{NoParameters, RawBody};
use super::openapi_terms::Refusals;
use super::problem::ProblemDetails;

/// The body of a batch, of no more bytes than one may have.
pub(crate) type BatchBody = RawBody<BATCH_BYTES_MAX>;

/// What a user did, or what was known of it before.
#[derive(Serialize, ToSchema)]
#[schema(as = UserEvent)]
struct UserEventSchema {
    /// What makes it the same event if it is sent again.
    id: String,
    /// The event, which a metric of the config asks for.
    event: Option<String>,
    /// In place of `event`: the metric (a mean with `covariate = true`) for which `value` was known of the user before.
    covariate: Option<String>,
    /// The key of the user, as the proxy knows it: the value of the cookie or header that the service is sticky by, or the
    /// `targetingKey` of a flag.
    #[serde(rename = "targetingKey")]
    targeting_key: String,
    /// A number; 1 if left out.
    value: Option<f64>,
    /// When: a date of RFC 3339, or milliseconds since 1970; now if left out.
    at: Option<String>,
}

/// Records what users did.
///
/// All of a batch is recorded, and on disk when this answers, or nothing of it. An event counts once by its `id`, however
/// often it is sent.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "record_events",
    path = "/v1/events",
    tag = "experiments",
    request_body(content = Vec<UserEventSchema>, content_type = "application/json",
        example = r#"[{"id": "order-4711", "event": "order_value", "targetingKey": "ann", "value": 49.9}]"#),
    responses((status = 200, description = "Recorded, and what became of the events", body = ReceiptView), Refusals)
)]
pub(crate) async fn post(
    State(admin): State<Arc<AdminApi>>,
    _: NoParameters,
    RawBody(body): BatchBody,
) -> Result<Json<ReceiptView>, ProblemDetails> {
    let recorded = admin.experiments.recorder.record(&body).await;
    recorded.map(|receipt| Json(ReceiptView::of(&receipt))).map_err(ProblemDetails::from)
}

impl From<EventRefusal> for ProblemDetails {
    fn from(refusal: EventRefusal) -> Self {
        Self::new(refusal.status, refusal.outcome.word(), refusal.detail).with_problems(refusal.problems)
    }
}
