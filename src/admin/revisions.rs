//! `GET /v1/revisions` and `GET /v1/revisions/{revision}`: the audit trail.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;
use utoipa::ToSchema;

use crate::control::store::Revision;
use crate::problem::{Problem, ProblemKind};

use super::AdminApi;
use super::call::{NoParameters, PathSegments, query};
use super::change_response::DifferenceView;
use super::flag_view::FlagDifferenceView;
use super::openapi_terms::Refusals;
use super::problem::ProblemDetails;
use super::run_difference::RunDifferenceView;

/// Revisions of a page, if the call does not say.
const PAGE: u32 = 50;

/// The most revisions of a page.
const PAGE_MAX: u32 = 500;

/// A page of the audit trail.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct RevisionPage {
    /// Newest first.
    revisions: Vec<RevisionView>,
    /// What to pass as `before` for the next page; none on the last one.
    next_before: Option<u64>,
}

/// A revision.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct RevisionView {
    /// Its number.
    revision: u64,
    /// When it was made.
    #[schema(format = DateTime)]
    at: String,
    /// Who made it.
    author: String,
    /// Why.
    reason: Option<String>,
    /// What it did: `shift`, `flip`, `rollback`, `drain`, `ready`, `file`, `rollout`, `flag`, `start`, `stop` or
    /// `ship`.
    action: String,
    /// The revision that it restored.
    restores: Option<u64>,
    /// What was known of the versions that nobody answers for and that it gave users, if its caller insisted (`force`);
    /// none if nothing spoke against it.
    forced: Option<String>,
    /// What it changed, per service.
    difference: Vec<DifferenceView>,
    /// What it changed, per flag.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<FlagDifferenceView>,
    /// What it changed, per experiment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    experiments: Vec<RunDifferenceView>,
}

/// Lists revisions, newest first.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    get,
    operation_id = "list_revisions",
    path = "/v1/revisions",
    tag = "audit",
    params(
        ("limit" = Option<u32>, Query, description = "Revisions of a page, at most 500; 50 if left out"),
        ("before" = Option<u64>, Query, description = "Only revisions below this one")
    ),
    responses((status = 200, description = "A page", body = RevisionPage), Refusals)
)]
pub(crate) async fn list(State(admin): State<Arc<AdminApi>>, uri: Uri) -> Result<Json<RevisionPage>, ProblemDetails> {
    let mut problems = Vec::new();
    let parameters = query(&uri, &["limit", "before"], &mut problems);
    let mut number = |key: &str, most: u64| {
        let (_, text) = parameters.iter().find(|(name, _)| *name == key)?;
        let number = text.parse().ok().filter(|number| (1..=most).contains(number));
        if number.is_none() {
            let wanted = format!("a whole number from 1 to {most}");
            problems.push(Problem::invalid(format!("?{key}"), format!("{text:?}"), wanted, "leave it out or mend it"));
        }
        number
    };
    let limit = number("limit", u64::from(PAGE_MAX)).and_then(|limit| u32::try_from(limit).ok()).unwrap_or(PAGE);
    let before = number("before", i64::MAX.unsigned_abs());
    if !problems.is_empty() {
        return Err(ProblemDetails::of_problems(problems));
    }
    let revisions = admin.handle.revisions(before, limit).await?;
    let last = revisions.last().map(|revision| revision.number);
    let next_before = last.filter(|last| *last > 1 && revisions.len() == limit as usize);
    Ok(Json(RevisionPage { revisions: revisions.iter().map(RevisionView::of).collect(), next_before }))
}

/// Shows one revision.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    get,
    operation_id = "get_revision",
    path = "/v1/revisions/{revision}",
    tag = "audit",
    params(("revision" = u64, Path, description = "The number of the revision")),
    responses((status = 200, description = "The revision", body = RevisionView), Refusals)
)]
pub(crate) async fn one(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(text): PathSegments<String>,
    _: NoParameters,
) -> Result<Json<RevisionView>, ProblemDetails> {
    let found = match text.parse() {
        Ok(number) => admin.handle.revision(number).await?,
        Err(_) => None,
    };
    found.map(|revision| Json(RevisionView::of(&revision))).ok_or_else(|| {
        let wanted = format!("a number from 1 to {}", admin.table().revision);
        let mut problem =
            Problem::invalid("revision", format!("{text:?}"), wanted, "take it from the list of revisions");
        problem.kind = ProblemKind::Unknown;
        problem.into()
    })
}

impl RevisionView {
    fn of(revision: &Revision) -> Self {
        Self {
            revision: revision.number,
            at: timestamp(revision.at_ms),
            author: revision.author.clone(),
            reason: revision.reason.clone(),
            action: revision.action.clone(),
            restores: revision.restores,
            forced: revision.forced.clone(),
            difference: revision.difference.iter().map(DifferenceView::of).collect(),
            flags: revision.flags.iter().map(FlagDifferenceView::of).collect(),
            experiments: revision.experiments.iter().map(RunDifferenceView::of).collect(),
        }
    }
}

/// `2025-01-31T12:00:00.25Z`
pub(crate) fn timestamp(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|at| at.to_string()).unwrap_or_default()
}
