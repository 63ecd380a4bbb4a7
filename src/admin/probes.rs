//! Liveness, readiness and metrics: what machines ask every few seconds.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use super::AdminApi;

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "probes", responses((status = 200, description = "It does", body = String)))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the proxy takes requests.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "probes",
    responses(
        (status = 200, description = "It does", body = String),
        (status = 503, description = "It is starting or shutting down, or a part of it is down; the body says which", body = String)
    )
)]
pub(crate) async fn readyz(State(admin): State<Arc<AdminApi>>) -> (StatusCode, String) {
    match admin.unready() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}

/// The metrics as Prometheus text.
#[utoipa::path(get, path = "/metrics", tag = "probes", responses((status = 200, description = "Metrics", body = String)))]
pub(crate) async fn metrics(State(admin): State<Arc<AdminApi>>) -> impl IntoResponse {
    let ledger = admin.experiments.recorder.ledger.facts().await;
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], admin.exporter.render(ledger.as_ref().ok()))
}
