//! `PUT /v1/services/{service}/versions/{version}/endpoints/{address}`: take an endpoint, or all that a
//! name stands for, out, or back in.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::config::check::setting;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::Report;
use crate::config::reader::units::{Setting, TimeSpan};
use crate::control::change::Change;
use crate::control::drain_wait;
use crate::problem::{Mismatch, ProblemKind};
use crate::stats::EndpointStats;
use crate::table::{Endpoint, EndpointAddress, Name, Table};

use super::AdminApi;
use super::call::{ApiCall, FORCE, PathSegments, service, version};
use super::change_response::{ChangeResponse, Tagged};
use super::openapi_terms::{Refusals, WriteTerms};
use super::problem::ProblemDetails;

/// The longest wait for a drained endpoint.
const WAIT_MAX: TimeSpan = TimeSpan::secs(3600);

/// What an endpoint is to be.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(expecting = "an object")]
pub(crate) struct EndpointBody {
    /// `drain`: it finishes what it has and gets nothing new. `ready`: it gets requests again.
    #[schema(value_type = String, example = "drain")]
    pub state: Option<String>,
    /// With `drain`: answer when nothing is in flight any more, or after this time, such as `30s`, at the latest.
    #[schema(value_type = Option<String>)]
    pub wait: Option<Setting<TimeSpan>>,
    /// With `drain`: also if it leaves a version with a weight without a usable endpoint; 409 otherwise.
    pub force: Option<bool>,
    /// Why.
    pub reason: Option<String>,
}

/// Drains an endpoint, or makes it ready.
///
/// By its name, all addresses that the name stands for, now and later. An address that is drained with its name comes
/// back with it only; one that is drained by itself stays so.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    put,
    operation_id = "set_endpoint_state",
    path = "/v1/services/{service}/versions/{version}/endpoints/{address}",
    tag = "traffic",
    params(
        ("service" = String, Path, description = "The service"),
        ("version" = String, Path, description = "The version"),
        ("address" = String, Path, description = "The endpoint, such as 10.0.0.1:8080, or a name of the config, such as backend.internal:8080"),
        WriteTerms
    ),
    request_body(content = EndpointBody, content_type = "application/json", example = r#"{"state": "drain", "wait": "30s"}"#),
    responses((status = 200, description = "Durable and in force", body = ChangeResponse), Refusals)
)]
pub(crate) async fn put(
    State(admin): State<Arc<AdminApi>>,
    PathSegments((service_text, version_text, address)): PathSegments<(String, String, String)>,
    mut call: ApiCall,
) -> Result<Tagged<ChangeResponse>, ProblemDetails> {
    let table = admin.table();
    let body: EndpointBody = call.read();
    let reason = call.reason(body.reason);
    let report = &mut call.report;
    let drained = drained(body.state.as_deref(), report);
    let wait = wait(body.wait, drained, report);
    call.force = body.force.unwrap_or_default();
    if call.force && drained == Some(false) {
        report.problem(&ConfigPath::Root.key(FORCE), Mismatch::new("true", "nothing with \"ready\"", "leave it out"));
    }
    let found = service(&table, "service", &service_text).map_err(|problem| report.add(problem)).ok();
    let version = found.and_then(|service| {
        version(service, ProblemKind::Unknown, "version", &version_text).map_err(|problem| report.add(problem)).ok()
    });
    let address = EndpointAddress::new(&address).or_else(|| {
        let wanted = "an address or a name with a port, such as 10.0.0.1:8080 or backend.internal:8080";
        let mismatch = Mismatch::new(format!("{address:?}"), wanted, "take it from status");
        report.add(mismatch.at("address", ProblemKind::Unknown));
        None
    });
    let endpoint = found.map(|service| service.spec.name.clone()).zip(version).zip(address);
    let endpoint = endpoint.map(|((service, version), address)| NamedEndpoint { service, version, address });
    let (change, is_dry) = (change(endpoint.clone(), drained), call.is_dry());
    let Tagged(revision, mut response) = call.apply(&admin, change, reason).await?;
    if let Some(place) = endpoint.filter(|_| drained == Some(true) && !is_dry) {
        // Those of both tables: what the name stands for may have changed at this very moment.
        let mut endpoints = endpoints(&table, &place);
        endpoints.extend(self::endpoints(&admin.table(), &place));
        endpoints.sort_unstable_by_key(Arc::as_ptr);
        endpoints.dedup_by_key(|endpoint| Arc::as_ptr(endpoint));
        response.in_flight = Some(drain_wait::wait(&endpoints, wait).await);
    }
    Ok(Tagged(revision, response))
}

/// Which endpoints are meant.
#[derive(Clone, Debug)]
struct NamedEndpoint {
    service: Name,
    version: Name,
    address: EndpointAddress,
}

/// The endpoints that a place stands for.
fn endpoints(table: &Table, place: &NamedEndpoint) -> Vec<Arc<EndpointStats>> {
    let Some(service) = table.service_named(&place.service) else { return Vec::new() };
    let is_meant = |endpoint: &&Endpoint| match &place.address {
        EndpointAddress::Ip(address) => endpoint.address == *address,
        EndpointAddress::Name(name) => service.addresses.stands(name, endpoint.address),
    };
    let endpoints = service.version_named(&place.version).into_iter().flat_map(|version| &version.endpoints);
    endpoints.filter(is_meant).map(|endpoint| Arc::clone(&endpoint.stats)).collect()
}

/// How long to wait for a drained endpoint.
fn wait(written: Option<Setting<TimeSpan>>, drained: Option<bool>, report: &mut Report<'_>) -> Duration {
    let at = ConfigPath::Root.key("wait");
    if let (Some(Setting(wait)), Some(false)) = (written, drained) {
        report.problem(&at, Mismatch::new(wait.to_string(), "nothing with \"ready\"", "leave it out"));
    }
    setting(written, TimeSpan::millis(0), TimeSpan::millis(0)..=WAIT_MAX, &at, report)
        .map_or(Duration::ZERO, |wait| wait.0)
}

fn change(place: Option<NamedEndpoint>, drained: Option<bool>) -> Option<Change> {
    let NamedEndpoint { service, version, address } = place?;
    Some(Change::Endpoint { service, version, address, drained: drained? })
}

fn drained(state: Option<&str>, report: &mut Report<'_>) -> Option<bool> {
    let at = ConfigPath::Root.key("state");
    let found = match state {
        Some("drain" | "drained") => return Some(true),
        Some("ready") => return Some(false),
        Some(other) => format!("{other:?}"),
        None => "nothing".to_owned(),
    };
    report.missing(&at, Mismatch::new(found, "drain or ready", "write one of the two"));
    None
}
