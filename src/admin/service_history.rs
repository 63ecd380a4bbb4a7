//! `GET /v1/services/{service}/history`: the last quarter of an hour of the versions of a service.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::metrics::recent_rates::ServiceRecord;
use crate::metrics::version_history::{HistoryPoint, POINT_INTERVAL};

use super::AdminApi;
use super::call::{NoParameters, PathSegments, service};
use super::change_response::Tagged;
use super::openapi_terms::Refusals;
use super::problem::ProblemDetails;
use super::revisions::timestamp;

/// What the versions of a service did in the last quarter of an hour.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ServiceHistory {
    /// Seconds between two points.
    interval_seconds: u64,
    /// The end of the newest interval.
    until: String,
    /// By version. Each list has 180 points, oldest first, and `null` where there was nothing to see: before the version's first
    /// request, and while the proxy did not look. A version that has had no request in all the time has nothing else.
    versions: BTreeMap<String, VersionCurves>,
}

/// What a version did, point by point.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct VersionCurves {
    /// Requests that ended, a second.
    requests_per_second: Vec<Option<f64>>,
    /// Share of the answers that are 500 or above, 0 to 1; `null` also without requests.
    error_ratio: Vec<Option<f64>>,
    /// Median latency, in milliseconds; `null` also without requests.
    p50_ms: Vec<Option<f64>>,
    /// Nine of ten are faster.
    p90_ms: Vec<Option<f64>>,
    /// Ninety-nine of a hundred are faster.
    p99_ms: Vec<Option<f64>>,
    /// The weight at the end of each interval, in per cent.
    weight: Vec<Option<f64>>,
}

impl VersionCurves {
    fn of(points: &[Option<HistoryPoint>]) -> Self {
        let mut curves = Self::default();
        for point in points {
            let point = point.as_ref();
            let [p50, p90, p99] = point.and_then(|point| point.quantiles_ms).map_or([None; 3], |ms| ms.map(Some));
            curves.requests_per_second.push(point.map(|point| thousandths(point.requests_per_second)));
            curves
                .error_ratio
                .push(point.and_then(|point| point.error_ratio).map(|ratio| thousandths(ratio * 1e3) / 1e3));
            curves.p50_ms.push(p50);
            curves.p90_ms.push(p90);
            curves.p99_ms.push(p99);
            curves.weight.push(point.map(|point| point.weight.percent()));
        }
        curves
    }
}

impl ServiceHistory {
    /// The record as it is told at this moment, on both clocks.
    fn of(record: &ServiceRecord, now: Instant, wall: Timestamp) -> Self {
        let age = record.until.map_or(0, |until| now.saturating_duration_since(until).as_millis());
        let until = wall.as_millisecond().saturating_sub(i64::try_from(age).unwrap_or(i64::MAX));
        let curves = record.versions.iter().map(|(name, points)| (name.to_string(), VersionCurves::of(points)));
        Self { interval_seconds: POINT_INTERVAL.as_secs(), until: timestamp(until), versions: curves.collect() }
    }
}

/// Rounded to three decimals: more would be noise, and 180 points are long enough.
fn thousandths(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

/// Shows the last quarter of an hour of a service.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    get,
    operation_id = "get_service_history",
    path = "/v1/services/{service}/history",
    tag = "state",
    params(("service" = String, Path, description = "The service")),
    responses((status = 200, description = "What its versions did", body = ServiceHistory), Refusals)
)]
pub(crate) async fn get(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(text): PathSegments<String>,
    _: NoParameters,
) -> Result<Tagged<ServiceHistory>, ProblemDetails> {
    let table = admin.table();
    let service = service(&table, "service", &text)?;
    let record = admin.live.history(service);
    Ok(Tagged(table.revision, ServiceHistory::of(&record, Instant::now(), Timestamp::now())))
}
