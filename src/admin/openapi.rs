//! `GET /v1/openapi.json`: the API's description, derived from the types that it answers with.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{RefOr, Required, Response, ResponseBuilder, Schema};
use utoipa::{IntoParams, IntoResponses, Modify, OpenApi, PartialSchema};

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

/// On what terms a change is made: `?dry_run` and `If-Match`.
#[derive(Debug)]
pub(crate) struct WriteTerms;

impl IntoParams for WriteTerms {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let parameter = |name, place, description, schema: RefOr<Schema>| {
            let parameter = ParameterBuilder::new().name(name).parameter_in(place).description(Some(description));
            parameter.required(Required::False).schema(Some(schema)).build()
        };
        let if_match = "Only if this revision is in force (the ETag of an answer); 412 otherwise";
        vec![
            parameter("dry_run", ParameterIn::Query, "Only tell what would happen", bool::schema()),
            parameter("If-Match", ParameterIn::Header, if_match, String::schema()),
        ]
    }
}

/// How calls are refused.
#[derive(Debug)]
pub(crate) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let refusal = |(status, description): (StatusCode, &str)| {
            let content = ContentBuilder::new().schema(Some(utoipa::openapi::Ref::from_schema_name("Problem"))).build();
            let response = ResponseBuilder::new().description(description).content("application/problem+json", content);
            (status.as_str().to_owned(), RefOr::T(response.build()))
        };
        [
            (StatusCode::BAD_REQUEST, "The body is not JSON"),
            (StatusCode::UNAUTHORIZED, "No good token"),
            (StatusCode::FORBIDDEN, "The token's role, the Host or the Origin does not allow it"),
            (StatusCode::NOT_FOUND, "There is no such thing; the problem lists what there is"),
            (StatusCode::CONFLICT, "The state does not allow it now"),
            (StatusCode::PRECONDITION_FAILED, "Another revision is in force than If-Match says"),
            (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is not declared as application/json"),
            (StatusCode::UNPROCESSABLE_ENTITY, "Wrong values, each with where, found, wanted and remedy"),
            (StatusCode::INTERNAL_SERVER_ERROR, "The change could not be written"),
            (StatusCode::SERVICE_UNAVAILABLE, "An upgrade in place is going on; repeat the call in a moment"),
            (StatusCode::INSUFFICIENT_STORAGE, "The disk is full"),
        ]
        .map(refusal)
        .into()
    }
}

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
pub(crate) async fn get() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}
