//! `PUT /v1/services/{service}/split` and `PUT /v1/splits`: shift traffic.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::State;
use serde_json::Value;

use crate::config::RESERVED_NAMES;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::read;
use crate::config::reader::report::Report;
use crate::config::reader::tree::Tree;
use crate::config::reader::units::Setting;
use crate::control::change::Change;
use crate::problem::{Problem, ProblemKind, suggest};
use crate::table::{Name, Service, Weight, Weights};

use super::AdminApi;
use super::call::{ApiCall, PathSegments, service, version};
use super::change_response::{ChangeResponse, Tagged};
use super::openapi_terms::{Refusals, WriteTerms};
use super::problem::ProblemDetails;

/// Shifts one service.
///
/// The body maps versions to per cent with up to three decimals; versions that are not named get nothing. It may also
/// have a `reason`, a text, and a `hold`, a `force` and a `ttl` as a flip has them.
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
    responses((status = 200, description = "Durable and in force", body = ChangeResponse), Refusals)
)]
pub(crate) async fn put_one(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(text): PathSegments<String>,
    mut call: ApiCall,
) -> Result<Tagged<ChangeResponse>, ProblemDetails> {
    let table = admin.table();
    let (terms, versions) = call.split();
    let reason = call.reason(terms.reason);
    call.moves(terms.hold.as_ref(), terms.force);
    call.lasts(terms.ttl);
    let service = service(&table, "service", &text).map_err(|problem| call.report.add(problem)).ok();
    let split = split(service, &text, Value::Object(versions), &mut call.report);
    let change = split.map(|split| Change::Splits([split].into()));
    call.apply(&admin, change, reason).await
}

/// Shifts several services in one revision and one swap.
///
/// The body maps services to splits. It may also have a `reason`, a text, and a `hold`, a `force` and a `ttl` as a flip has them.
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
    responses((status = 200, description = "Durable and in force", body = ChangeResponse), Refusals)
)]
pub(crate) async fn put_many(
    State(admin): State<Arc<AdminApi>>,
    mut call: ApiCall,
) -> Result<Tagged<ChangeResponse>, ProblemDetails> {
    let table = admin.table();
    let (terms, services) = call.split();
    let reason = call.reason(terms.reason);
    call.moves(terms.hold.as_ref(), terms.force);
    call.lasts(terms.ttl);
    if services.is_empty() {
        call.report.add(Problem::invalid("body", "no service", "at least one service with its split", "add one"));
    }
    let mut splits = BTreeMap::new();
    for (text, mut versions) in services {
        if let Some(problem) = misspelt_term(&text, &text).filter(|_| table.service_named(&text).is_none()) {
            call.report.add(problem);
            continue;
        }
        // A reason in there is not kept, and no version.
        versions.as_object_mut().and_then(|versions| versions.remove("reason"));
        let path = ConfigPath::Root.key("services").key(&text).to_string();
        let service = service(&table, &path, &text).map_err(|problem| call.report.add(problem)).ok();
        splits.extend(split(service, &text, versions, &mut call.report));
    }
    call.apply(&admin, Some(Change::Splits(splits)), reason).await
}

/// The problem with a key that is nearly that of a term, such as `resaon`.
fn misspelt_term(key: &str, path: &str) -> Option<Problem> {
    let meant = suggest(key, RESERVED_NAMES)?;
    let remedy = format!("did you mean {meant:?}?");
    Some(Problem::invalid(path, format!("the unknown key {key:?}"), "a known one", remedy))
}

/// The split of the service that is called `name`, unless there is a problem with it. Without the service there are no
/// versions to name; that it is not there is reported by the caller.
fn split(
    service: Option<&Service>,
    name: &str,
    mut versions: Value,
    report: &mut Report<'_>,
) -> Option<(Name, Weights)> {
    let services = ConfigPath::Root.key("services");
    let of_service = services.key(name);
    let at = of_service.key("split");
    let mut named = HashMap::new();
    if let (Some(service), Some(versions)) = (service, versions.as_object_mut()) {
        // What is no version has no weight that could be wrong.
        versions.retain(|text, _| {
            let path = at.key(text).to_string();
            match version(service, ProblemKind::Invalid, &path, text) {
                Ok(name) => drop(named.insert(text.clone(), name)),
                Err(unknown) => drop(report.add(misspelt_term(text, &path).unwrap_or(unknown))),
            }
            named.contains_key(text)
        });
    }
    let written: BTreeMap<String, Setting<Weight>> = read::all(Tree::Json(&versions), at, report)?;
    let service = service?;
    let weights = written.into_iter().filter_map(|(text, weight)| Some((named.remove(&text)?, weight.0))).collect();
    if report.touched(&at).is_some() {
        return None;
    }
    let weights = Weights::new(weights).map_err(|bad| report.problem(&at, bad.mismatch())).ok()?;
    Some((service.spec.name.clone(), weights))
}
