//! `GET /v1/openapi.json`: the API's description, derived from the types that it answers with.

use axum::Json;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{PathItem, RefOr};
use utoipa::{Modify, OpenApi};

use super::call::NoParameters;
use super::call_query::DryCalls;
use super::openapi_terms::Refusals;
use super::problem::ProblemDetails;

/// The document.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Pointsman admin API",
        description = "Shows and changes how traffic is split between the versions of services, and which users get which variant of a flag."
    ),
    paths(
        super::status::get,
        super::evidence::get,
        super::evidence::tell,
        super::evidence::tell_users,
        super::fleet::get,
        super::fleet::restore,
        super::sync::get,
        super::sync::post,
        super::gitops_hook::post,
        super::whoami::get,
        super::live::live_stream::get,
        super::services::list,
        super::services::one,
        super::service_history::get,
        super::budget::get,
        super::steady::get,
        super::mirrors::get,
        super::mirrors::put,
        super::splits::put_one,
        super::splits::put_many,
        super::flip::post,
        super::rollback::post,
        super::flags::list,
        super::flags::one,
        super::flags::put,
        super::flags::evaluate,
        super::experiment_changes::start,
        super::experiment_changes::stop,
        super::experiment_changes::ship,
        super::events::post,
        super::experiments::list,
        super::experiments::one,
        super::experiments::export,
        super::hold::post,
        super::hold::list,
        super::hold::delete,
        super::revisions::list,
        super::revisions::one,
        super::explain::post,
        super::rollouts::start,
        super::rollouts::list,
        super::rollouts::one,
        super::rollouts::over_time,
        super::rollouts::order,
        super::chaos::start,
        super::chaos::list,
        super::chaos::one,
        super::chaos::report,
        super::chaos::stop,
        super::chaos::stop_all,
        super::simulate::simulation_stream::post,
        super::endpoints::put,
        super::upgrade::post,
        get,
        super::probes::healthz,
        super::probes::readyz,
        super::probes::metrics
    ),
    components(schemas(
        ProblemDetails,
        super::problem::Item,
        super::simulate::simulation_stream::SimulationProgress,
        super::simulate::simulations::SimulationResult
    )),
    modifiers(&Bearer, &Streams),
    security(("token" = []), ())
)]
pub(crate) struct Document;

/// Declares the bearer tokens.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("token", scheme);
    }
}

/// Streams of events have no schema: some readers take it for that of the whole text, and some for that of each event.
struct Streams;

impl Modify for Streams {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let items = document.paths.paths.values_mut();
        let operations = items.flat_map(|item| [&mut item.get, &mut item.post].into_iter().flatten());
        for response in operations.flat_map(|operation| operation.responses.responses.values_mut()) {
            if let RefOr::T(response) = response
                && let Some(RefOr::T(stream)) = response.content.get_mut("text/event-stream")
            {
                stream.schema = None;
            }
        }
    }
}

/// Describes the API.
#[utoipa::path(
    get,
    operation_id = "openapi",
    path = "/v1/openapi.json",
    tag = "probes",
    responses((status = 200, description = "This document", body = serde_json::Value), Refusals)
)]
pub(crate) async fn get(_: NoParameters) -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}

/// The calls of a path by their methods, but for what asks for the head of an answer.
fn operations(item: &PathItem) -> impl Iterator<Item = (&'static str, &Operation)> {
    let there = [("GET", &item.get), ("PUT", &item.put), ("POST", &item.post), ("DELETE", &item.delete)];
    there.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

/// The calls that the document has `?dry_run` for.
pub(crate) fn dry_calls() -> DryCalls {
    let is_dry = |operation: &Operation| {
        let mut parameters = operation.parameters.iter().flatten();
        parameters.any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == "dry_run"))
    };
    let document = Document::openapi();
    let of_path = |(path, item)| {
        let dry = operations(item).filter(|(_, operation)| is_dry(operation));
        dry.map(move |(method, _)| (method, String::clone(path)))
    };
    DryCalls::new(document.paths.paths.iter().flat_map(of_path))
}

/// The methods that the document has for a path.
pub(crate) fn methods(path: &str) -> Vec<&'static str> {
    let document = Document::openapi();
    let Some(item) = document.paths.paths.get(path) else { return Vec::new() };
    let mut methods: Vec<_> = operations(item).map(|(method, _)| method).collect();
    // Who can ask for an answer can ask for its head.
    methods.extend(item.get.iter().map(|_| "HEAD"));
    methods
}
