//! `POST /v1/rollback`: the splits and the flags of an earlier revision, as a new one.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::read_fault::A_REVISION;
use crate::config::reader::report::Report;
use crate::control::change::Change;
use crate::control::rollback::RollbackScope;
use crate::problem::Mismatch;
use crate::table::{Name, Table};

use super::AdminApi;
use super::call::{ApiCall, service};
use super::change_response::{ChangeResponse, Tagged};
use super::flags::flags;
use super::openapi_terms::{Refusals, WriteTerms};
use super::problem::ProblemDetails;

/// A revision as a call names it. Whether there is such a one, the writer knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RevisionNumber(u64);

impl<'de> Deserialize<'de> for RevisionNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RevisionVisitor).map(Self)
    }
}

struct RevisionVisitor;

impl Visitor<'_> for RevisionVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{A_REVISION}, a whole number above 0")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        u64::try_from(number).map_err(|_negative| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }
}

/// What to go back to.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(expecting = "an object")]
pub(crate) struct RollbackBody {
    /// The revision; without it, the last change is undone.
    #[schema(value_type = Option<u64>)]
    pub to: Option<RevisionNumber>,
    /// Only these services, and the `flags` and `experiments` that are named; without any of them, everything.
    #[schema(value_type = Option<Vec<String>>)]
    pub services: Option<List<String>>,
    /// Only these flags, and what else is named.
    #[schema(value_type = Option<Vec<String>>)]
    pub flags: Option<List<String>>,
    /// Only these experiments, and what else is named.
    #[schema(value_type = Option<Vec<String>>)]
    pub experiments: Option<List<String>>,
    /// Why.
    pub reason: Option<String>,
    /// Whether new requests wait until those in flight have ended and the change is in force.
    pub hold: Option<super::hold_body::HoldBody>,
    /// Also if a version that gets more is known to have no usable endpoint; 409 otherwise.
    pub force: Option<bool>,
}

/// Restores the exact splits, flags and runs of experiments of an earlier revision.
///
/// Without `to` it undoes the last change; called again, the one before it. Drained endpoints stay drained, and rules
/// of flags that have come since stay as they are. What gives more users to versions without a usable endpoint is
/// refused with 409, unless it is forced; a way from one such version to another is not.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    post,
    operation_id = "rollback",
    path = "/v1/rollback",
    tag = "traffic",
    params(WriteTerms),
    request_body(content = RollbackBody, content_type = "application/json", example = r#"{"to": 41, "services": ["shop"]}"#),
    responses((status = 200, description = "Durable and in force", body = ChangeResponse), Refusals)
)]
pub(crate) async fn post(
    State(admin): State<Arc<AdminApi>>,
    mut call: ApiCall,
) -> Result<Tagged<ChangeResponse>, ProblemDetails> {
    let table = admin.table();
    let body: RollbackBody = call.read();
    let reason = call.reason(body.reason);
    call.moves(body.hold.as_ref(), body.force);
    let to = body.to.map(|RevisionNumber(to)| to);
    let remedy = "name one, or leave it out for all";
    let services = body.services.map(|list| services(&list, remedy, &table, &mut call.report).into_iter().collect());
    let flags = body.flags.map(|list| flags(&list, &table, &mut call.report).into_iter().collect());
    let experiments = body.experiments.map(|list| experiments(&list, &mut call.report));
    let scope = (services.is_some() || flags.is_some() || experiments.is_some()).then(|| RollbackScope {
        services: services.unwrap_or_default(),
        flags: flags.unwrap_or_default(),
        experiments: experiments.unwrap_or_default(),
    });
    call.apply(&admin, Some(Change::Rollback { to, scope }), reason).await
}

/// The experiments of a list, which names at least one. Which there are, the plan knows.
fn experiments(list: &List<String>, report: &mut Report<'_>) -> BTreeSet<Name> {
    let at = ConfigPath::Root.key("experiments");
    if list.is_empty() {
        report.missing(&at, Mismatch::new("an empty list", "at least one name", "name one, or leave it out for all"));
    }
    let mut named = BTreeSet::new();
    for (index, text) in list.iter() {
        match Name::new(text) {
            Ok(name) => drop(named.insert(name)),
            Err(bad) => drop(report.problem(&at.item(index), bad.mismatch())),
        }
    }
    named
}

/// The services of a list, which names at least one; `remedy` is for one that does not.
pub(crate) fn services(list: &List<String>, remedy: &str, table: &Table, report: &mut Report<'_>) -> Vec<Name> {
    let at = ConfigPath::Root.key("services");
    if list.is_empty() {
        report.missing(&at, Mismatch::new("an empty list", "at least one name", remedy));
    }
    let mut named = Vec::new();
    for (index, text) in list.iter() {
        match service(table, &at.item(index).to_string(), text) {
            Ok(service) => named.push(service.spec.name.clone()),
            Err(problem) => report.extend([problem]),
        }
    }
    named
}
