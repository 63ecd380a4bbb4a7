//! `PUT /v1/services/{service}/versions/{version}/endpoints/{address}`: take an endpoint, or all that a
//! name stands for, out, or back in.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use utoipa::ToSchema;

use crate::config;
use crate::control::change::Change;
use crate::control::drain;
use crate::problem::{Problem, ProblemKind};
use crate::stats::EndpointStats;
use crate::table::{Endpoint, EndpointAddress, Name, Table};

use super::AdminApi;
use super::answer::{ChangeAnswer, Tagged};
use super::call::{ApiCall, FORCE, PathSegments, service};
use super::fields::BodyFields;
use super::openapi::{Refusals, WriteTerms};
use super::problem::ProblemDetails;

/// The longest wait for a drained endpoint.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// What an endpoint is to be.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the body for OpenAPI; `Fields` reads it")]
pub(crate) struct EndpointBody {
    /// `drain`: it finishes what it has and gets nothing new. `ready`: it gets requests again.
    #[schema(example = "drain")]
    pub state: String,
    /// With `drain`: answer when nothing is in flight any more, or after this time, such as `30s`, at the latest.
    pub wait: Option<String>,
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
    responses((status = 200, description = "Durable and in force", body = ChangeAnswer), Refusals)
)]
pub(crate) async fn put(
    State(admin): State<Arc<AdminApi>>,
    PathSegments((service_text, version, address)): PathSegments<(String, String, String)>,
    mut call: ApiCall,
) -> Result<Tagged<ChangeAnswer>, ProblemDetails> {
    let table = admin.table();
    let body = std::mem::take(&mut call.body);
    let mut fields = call.fields(&body, Some(&["state", "wait", FORCE, "reason"]));
    let reason = fields.reason();
    let drained = drained(&mut fields);
    let wait = wait(&mut fields, drained);
    call.force = fields.flag(FORCE);
    if call.force && drained == Some(false) {
        fields.wrong(FORCE, "true", "nothing with \"ready\"", "leave it out");
    }
    let mut problems = fields.problems;
    let name = service(&table, "service", &service_text, &mut problems);
    let found = name.as_ref().and_then(|name| table.service_named(name));
    let version = found.and_then(|service| {
        let found = service.version_named(&version).map(|version| version.name.clone());
        let known = || service.versions.iter().map(|version| version.name.as_str());
        found.or_else(|| miss(&mut problems, Problem::no_version(ProblemKind::Unknown, "version", &version, known())))
    });
    let address = EndpointAddress::new(&address).or_else(|| {
        let wanted = "an address or a name with a port, such as 10.0.0.1:8080 or backend.internal:8080";
        let mut problem = Problem::invalid("address", format!("{address:?}"), wanted, "take it from status");
        problem.kind = ProblemKind::Unknown;
        miss(&mut problems, problem)
    });
    let place = name.zip(version).zip(address);
    let place = place.map(|((service, version), address)| EndpointPlace { service, version, address });
    let (change, is_dry) = (change(place.clone(), drained), call.is_dry());
    let Tagged(revision, mut answer) = call.apply(&admin, (change, reason), problems).await?;
    if let Some(place) = place.filter(|_| drained == Some(true) && !is_dry) {
        // Those of both tables: what the name stands for may have changed at this very moment.
        let mut endpoints = endpoints(&table, &place);
        endpoints.extend(self::endpoints(&admin.table(), &place));
        endpoints.sort_unstable_by_key(Arc::as_ptr);
        endpoints.dedup_by_key(|endpoint| Arc::as_ptr(endpoint));
        answer.in_flight = Some(drain::wait(&endpoints, wait).await);
    }
    Ok(Tagged(revision, answer))
}

/// Which endpoints are meant.
#[derive(Clone, Debug)]
struct EndpointPlace {
    service: Name,
    version: Name,
    address: EndpointAddress,
}

/// The endpoints that a place stands for.
fn endpoints(table: &Table, place: &EndpointPlace) -> Vec<Arc<EndpointStats>> {
    let Some(service) = table.service_named(&place.service) else { return Vec::new() };
    let is_meant = |endpoint: &&Endpoint| match &place.address {
        EndpointAddress::Ip(address) => endpoint.address == *address,
        EndpointAddress::Name(name) => service.addresses.stands(name, endpoint.address),
    };
    let endpoints = service.version_named(&place.version).into_iter().flat_map(|version| &version.endpoints);
    endpoints.filter(is_meant).map(|endpoint| Arc::clone(&endpoint.stats)).collect()
}

/// How long to wait for a drained endpoint.
fn wait(fields: &mut BodyFields<'_>, drained: Option<bool>) -> Duration {
    let Some(text) = fields.optional_text("wait") else { return Duration::ZERO };
    if drained == Some(false) {
        fields.wrong("wait", format!("{text:?}"), "nothing with \"ready\"", "leave it out");
    }
    let wait = config::duration(text).filter(|wait| *wait <= WAIT_MAX);
    wait.unwrap_or_else(|| {
        fields.wrong("wait", format!("{text:?}"), "a duration up to 1h", "write \"30s\"");
        Duration::ZERO
    })
}

fn change(place: Option<EndpointPlace>, drained: Option<bool>) -> Option<Change> {
    let EndpointPlace { service, version, address } = place?;
    Some(Change::Endpoint { service, version, address, drained: drained? })
}

fn drained(fields: &mut BodyFields<'_>) -> Option<bool> {
    match fields.text("state")? {
        "drain" | "drained" => Some(true),
        "ready" => Some(false),
        other => {
            fields.wrong("state", format!("{other:?}"), "drain or ready", "write one of the two");
            None
        }
    }
}

fn miss<T>(problems: &mut Vec<Problem>, problem: Problem) -> Option<T> {
    problems.push(problem);
    None
}
