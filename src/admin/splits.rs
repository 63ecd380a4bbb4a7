//! `PUT /v1/services/{service}/split` and `PUT /v1/splits`: shift traffic.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use serde_json::{Map, Value};

use crate::control::change::Change;
use crate::problem::{Problem, ProblemKind};
use crate::table::{Name, Table, Weight, Weights};

use super::AdminApi;
use super::answer::{ChangeAnswer, Tagged};
use super::call::{ApiCall, PathSegments, service};
use super::fields::show;
use super::openapi::{Refusals, WriteTerms};
use super::problem::ProblemDetails;

/// The key next to versions and services that says why. No version and no service is called so, nor like the terms of a
/// move ([`RESERVED_NAMES`](crate::config::RESERVED_NAMES)).
const REASON: &str = "reason";

/// Shifts one service.
///
/// The body maps versions to per cent with up to three decimals; versions that are not named get nothing. It may also
/// have a `reason`, a text, and a `hold` and a `force` as a flip has them.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    put,
    operation_id = "set_split",
    path = "/v1/services/{service}/split",
    tag = "traffic",
    params(("service" = String, Path, description = "The service"), WriteTerms),
    request_body(content = BTreeMap<String, f64>, content_type = "application/json", example = r#"{"v1": 90, "v2": 10}"#),
    responses((status = 200, description = "Durable and in force", body = ChangeAnswer), Refusals)
)]
pub(crate) async fn put_one(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(text): PathSegments<String>,
    mut call: ApiCall,
) -> Result<Tagged<ChangeAnswer>, ProblemDetails> {
    let table = admin.table();
    let body = call.body_of_a_move();
    let mut fields = call.fields(&body, None);
    let reason = fields.reason();
    let name = service(&table, "service", &text, &mut fields.problems);
    let split = split(&table, &text, &body, &mut fields.problems);
    let change = name.zip(split).map(|(name, split)| Change::Splits([(name, split)].into()));
    let problems = fields.problems;
    call.apply(&admin, (change, reason), problems).await
}

/// Shifts several services in one revision and one swap.
///
/// The body maps services to splits. It may also have a `reason`, a text, and a `hold` and a `force` as a flip has them.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    put,
    operation_id = "set_splits",
    path = "/v1/splits",
    tag = "traffic",
    params(WriteTerms),
    request_body(
        content = BTreeMap<String, BTreeMap<String, f64>>,
        content_type = "application/json",
        example = r#"{"shop": {"v2": 100}, "cart": {"v2": 100}}"#
    ),
    responses((status = 200, description = "Durable and in force", body = ChangeAnswer), Refusals)
)]
pub(crate) async fn put_many(
    State(admin): State<Arc<AdminApi>>,
    mut call: ApiCall,
) -> Result<Tagged<ChangeAnswer>, ProblemDetails> {
    let table = admin.table();
    let body = call.body_of_a_move();
    let mut fields = call.fields(&body, None);
    let reason = fields.reason();
    let mut splits = BTreeMap::new();
    for (text, value) in body.iter().filter(|(key, _)| *key != REASON) {
        let name = service(&table, &format!("services.{text}"), text, &mut fields.problems);
        let split = value.as_object().and_then(|versions| split(&table, text, versions, &mut fields.problems));
        if !value.is_object() {
            let wanted = "an object of versions and weights";
            fields.wrong(&format!("services.{text}"), show(value), wanted, "write {\"v1\": 90, \"v2\": 10}");
        }
        splits.extend(name.zip(split));
    }
    if body.keys().all(|key| key == REASON) {
        fields.wrong("body", "no service", "at least one service with its split", "add one");
    }
    let problems = fields.problems;
    call.apply(&admin, (Some(Change::Splits(splits)), reason), problems).await
}

/// The split of a service, or every problem of it.
fn split(table: &Table, service: &str, body: &Map<String, Value>, problems: &mut Vec<Problem>) -> Option<Weights> {
    let place = format!("services.{service}.split");
    let before = problems.len();
    let mut weights = BTreeMap::new();
    for (text, value) in body.iter().filter(|(key, _)| *key != REASON) {
        let place = format!("{place}.{text}");
        let weight = weight(&place, value, problems);
        let name = version(table, service, (&place, text), problems);
        weights.extend(name.zip(weight));
    }
    // Without the service there are no versions to sum up; that it is not there is reported by the caller.
    if problems.len() > before || table.service_named(service).is_none() {
        return None;
    }
    Weights::new(weights).map_err(|bad| problems.push(bad.mismatch().at(place, ProblemKind::Invalid))).ok()
}

fn weight(place: &str, value: &Value, problems: &mut Vec<Problem>) -> Option<Weight> {
    let weight = value.as_f64().and_then(Weight::from_percent);
    if weight.is_none() {
        let wanted = "a number from 0 to 100 with at most three decimals";
        problems.push(Problem::invalid(place, show(value), wanted, "write per cent, without quotes"));
    }
    weight
}

/// The version of this name.
fn version(table: &Table, service: &str, (place, text): (&str, &str), problems: &mut Vec<Problem>) -> Option<Name> {
    let service = table.service_named(service)?;
    let found = service.version_named(text).map(|version| version.name.clone());
    if found.is_none() {
        let known = service.versions.iter().map(|version| version.name.as_str());
        problems.push(Problem::no_version(ProblemKind::Invalid, place, text, known));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::call::{FORCE, HOLD};
    use crate::config::RESERVED_NAMES;

    #[test]
    fn nobody_is_called_like_a_key_that_stands_beside_names() {
        assert_eq!(RESERVED_NAMES, [REASON, HOLD, FORCE]);
    }
}
