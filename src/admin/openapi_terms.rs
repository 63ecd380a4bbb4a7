//! The shared parts of the descriptions of calls: the terms of a change, and how calls are refused.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{RefOr, Required, Response, ResponseBuilder, Schema};
use utoipa::{IntoParams, IntoResponses, PartialSchema};

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
            (StatusCode::MISDIRECTED_REQUEST, "The leader of the fleet has to be asked"),
            (StatusCode::UNPROCESSABLE_ENTITY, "Wrong values, each with where, found, wanted and remedy"),
            (StatusCode::INTERNAL_SERVER_ERROR, "The change could not be written"),
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "An upgrade in place is going on, or the fleet cannot be told; repeat the call in a moment",
            ),
            (StatusCode::INSUFFICIENT_STORAGE, "The disk is full"),
        ]
        .map(refusal)
        .into()
    }
}
