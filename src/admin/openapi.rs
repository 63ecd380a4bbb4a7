//! `GET /v1/openapi.json`: the API's description, derived from the types that it answers with.

use axum::Json;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::call::NoParameters;
use super::openapi_terms::Refusals;
use super::problem::ProblemDetails;

/// The document.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Pointsman admin API",
        description = "Shows and changes how traffic is split between the versions of services."
    ),
    paths(
        super::status::get,
        super::services::list,
        super::services::one,
        super::splits::put_one,
        super::splits::put_many,
        super::flip::post,
        super::rollback::post,
        super::hold::post,
        super::hold::list,
        super::hold::delete,
        super::revisions::list,
        super::revisions::one,
        super::explain::post,
        super::rollouts::start,
        super::rollouts::list,
        super::rollouts::one,
        super::rollouts::order,
        super::endpoints::put,
        super::upgrade::post,
        get,
        super::probes::healthz,
        super::probes::readyz,
        super::probes::metrics
    ),
    components(schemas(ProblemDetails, super::problem::Item)),
    modifiers(&Bearer),
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

/// The methods that the document has for a path.
pub(crate) fn methods(path: &str) -> Vec<&'static str> {
    let document = Document::openapi();
    let Some(item) = document.paths.paths.get(path) else { return Vec::new() };
    let there = [("GET", &item.get), ("PUT", &item.put), ("POST", &item.post), ("DELETE", &item.delete)];
    let mut methods: Vec<_> =
        there.iter().filter(|(_, operation)| operation.is_some()).map(|(name, _)| *name).collect();
    // Who can ask for an answer can ask for its head.
    methods.extend(item.get.iter().map(|_| "HEAD"));
    methods
}
