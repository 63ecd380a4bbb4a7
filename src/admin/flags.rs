//! `GET /v1/flags`, `GET /v1/flags/{flag}`, `PUT /v1/flags/{flag}` and `POST /v1/flags/{flag}/evaluate`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::flag::flag_rule::RawServe;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::Report;
use crate::config::reader::units::{Setting, TimeSpan};
use crate::control::change::Change;
use crate::control::flag_change::{FlagChange, find_rule, last_rule};
use crate::problem::{Mismatch, Problem};
use crate::table::compiled_flag::Flag;
use crate::table::{Name, Table};

use super::AdminApi;
use super::call::{ApiCall, NoParameters, PathSegments};
use super::change_response::{ChangeResponse, Tagged};
use super::flag_evaluate::{EvaluateBody, FlagEvaluation};
use super::flag_view::FlagView;
use super::openapi_terms::{Refusals, WriteTerms};
use super::problem::ProblemDetails;

/// All flags.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct FlagList {
    /// The revision in force.
    revision: u64,
    /// In the order of their names.
    flags: Vec<FlagView>,
}

/// What becomes of a flag.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(expecting = "an object")]
pub(crate) struct FlagBody {
    /// Whether it is enabled: false gives its default to all users at once.
    enabled: Option<bool>,
    /// The rule that serves others; the last one if left out.
    rule: Option<String>,
    /// What the rule serves: a variant, or weights of several in per cent; those that are not named get nothing.
    #[schema(value_type = Option<ServeSchema>)]
    serve: Option<RawServe>,
    /// Why.
    reason: Option<String>,
    /// After this time the flag goes back to what the config says, from 1s to 720h; default: it stays.
    #[schema(value_type = Option<String>, example = "30m")]
    ttl: Option<Setting<TimeSpan>>,
}

/// What a rule serves.
#[derive(ToSchema, Serialize)]
#[serde(untagged)]
#[schema(as = Serve)]
#[expect(dead_code, reason = "only its description is used: the reader is the one of the config")]
enum ServeSchema {
    /// One variant.
    Variant(String),
    /// Per cent of the users, by variant.
    Weights(BTreeMap<String, f64>),
}

/// Shows all flags.
#[utoipa::path(
    get,
    operation_id = "list_flags",
    path = "/v1/flags",
    tag = "flags",
    responses((status = 200, description = "All flags", body = FlagList), Refusals)
)]
pub(crate) async fn list(State(admin): State<Arc<AdminApi>>, _: NoParameters) -> Tagged<FlagList> {
    let table = admin.table();
    Tagged(table.revision, FlagList { revision: table.revision, flags: FlagView::all(&table) })
}

/// Shows one flag.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    get,
    operation_id = "get_flag",
    path = "/v1/flags/{flag}",
    tag = "flags",
    params(("flag" = String, Path, description = "The flag")),
    responses((status = 200, description = "The flag", body = FlagView), Refusals)
)]
pub(crate) async fn one(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(text): PathSegments<String>,
    _: NoParameters,
) -> Result<Tagged<FlagView>, ProblemDetails> {
    let table = admin.table();
    let flag = flag(&table, "flag", &text)?;
    Ok(Tagged(table.revision, FlagView::of(flag, &table)))
}

/// Enables or disables a flag, or has a rule of it serve others.
///
/// With `dry_run` the answer says how many users would get another variant. `enabled` and `serve` may come together.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    put,
    operation_id = "set_flag",
    path = "/v1/flags/{flag}",
    tag = "flags",
    params(("flag" = String, Path, description = "The flag"), WriteTerms),
    request_body(content = FlagBody, content_type = "application/json", example = r#"{"rule": "launch", "serve": {"on": 50, "off": 50}}"#),
    responses((status = 200, description = "Durable and in force", body = ChangeResponse), Refusals)
)]
pub(crate) async fn put(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(text): PathSegments<String>,
    mut call: ApiCall,
) -> Result<Tagged<ChangeResponse>, ProblemDetails> {
    let table = admin.table();
    let mut body: FlagBody = call.read();
    let reason = call.reason(body.reason.take());
    call.lasts(body.ttl.take());
    let found = flag(&table, "flag", &text).map_err(|problem| call.report.add(problem)).ok();
    let change = found.map(|flag| (flag.spec.name.clone(), body.change(flag, &mut call.report)));
    call.apply(&admin, change.map(|change| Change::Flags([change].into())), reason).await
}

/// Says which variant a user gets, and why.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "evaluate_flag",
    path = "/v1/flags/{flag}/evaluate",
    tag = "flags",
    params(("flag" = String, Path, description = "The flag")),
    request_body(content = EvaluateBody, content_type = "application/json",
        example = r#"{"context": {"targetingKey": "ann", "plan": "pro"}}"#),
    responses((status = 200, description = "The variant", body = FlagEvaluation), Refusals)
)]
pub(crate) async fn evaluate(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(text): PathSegments<String>,
    mut call: ApiCall,
) -> Result<Tagged<FlagEvaluation>, ProblemDetails> {
    let table = admin.table();
    let body: EvaluateBody = call.read();
    let found = flag(&table, "flag", &text).map_err(|problem| call.report.add(problem)).ok();
    let user = body.user(&table, &mut call.report);
    let problems = call.report.into_problems();
    match found.zip(user).filter(|_| problems.is_empty()) {
        Some((flag, user)) => Ok(Tagged(table.revision, FlagEvaluation::of(&table, flag, &user))),
        None => Err(ProblemDetails::of_problems(problems)),
    }
}

/// The flag that a call names at `path`.
///
/// # Errors
/// That there is none.
fn flag<'t>(table: &'t Table, path: &str, text: &str) -> Result<&'t Flag, Problem> {
    let known = table.flags().flags.iter().map(|flag| flag.spec.name.as_str());
    table.flags().named(text).ok_or_else(|| Problem::no_flag(path, text, known))
}

/// The flags of a list, which names at least one.
pub(crate) fn flags(list: &List<String>, table: &Table, report: &mut Report<'_>) -> Vec<Name> {
    let at = ConfigPath::Root.key("flags");
    if list.is_empty() {
        report.missing(&at, Mismatch::new("an empty list", "at least one name", "name one, or leave it out for all"));
    }
    let mut named = Vec::new();
    for (index, text) in list.iter() {
        match flag(table, &at.item(index).to_string(), text) {
            Ok(flag) => named.push(flag.spec.name.clone()),
            Err(problem) => report.extend([problem]),
        }
    }
    named
}

impl FlagBody {
    /// What the body asks for.
    fn change(&self, flag: &Flag, report: &mut Report<'_>) -> FlagChange {
        let at = ConfigPath::Root;
        let mut change = FlagChange { enabled: self.enabled, ..FlagChange::default() };
        let Some(serve) = &self.serve else {
            let untouched = report.touched(&at.key("enabled")).is_none() && report.touched(&at.key("serve")).is_none();
            if self.rule.is_some() {
                let wanted = "what the rule serves";
                report.missing(
                    &at.key("serve"),
                    Mismatch::new("nothing", wanted, "add a variant, or weights of several"),
                );
            } else if self.enabled.is_none() && untouched {
                let remedy = "write {\"enabled\": false}, or {\"serve\": {\"on\": 50, \"off\": 50}}";
                report.add(Problem::invalid("body", "nothing to change", "enabled, or serve", remedy));
            }
            return change;
        };
        let rule = match &self.rule {
            Some(text) => find_rule(&flag.spec, "rule".to_owned(), text).cloned(),
            None => last_rule(&flag.spec, "serve"),
        };
        let rule = rule.map_err(|problem| report.add(problem)).ok();
        let variants: Vec<Name> = flag.spec.variants.iter().map(|variant| variant.name.clone()).collect();
        let (all, at) = (at.key("flags"), at.key("serve"));
        let weights = serve.build(&variants, &all.key(&flag.spec.name), &at, report).ok();
        change.rules.extend(rule.zip(weights));
        change
    }
}
