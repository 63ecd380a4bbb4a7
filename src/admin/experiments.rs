//! `GET /v1/experiments`, `GET /v1/experiments/{experiment}` and `GET /v1/experiments/{experiment}/export`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderValue, Uri};
use axum::response::Response;
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::control::Writer;
use crate::control::experiment_states::ExperimentStates;
use crate::events::event_names::EventNames;
use crate::events::event_recorder::EventRecorder;
use crate::events::event_refusal::EventRefusal;
use crate::experiment::definition::ExperimentSpec;
use crate::experiment::experiment_result::ExperimentResult;
use crate::ledger::ledger_handle::{LedgerError, LedgerHandle, TrialCounts};
use crate::ledger::seen::SeenSender;
use crate::stats::Registry;

use super::AdminApi;
use super::call::{NoParameters, PathSegments};
use super::change_response::Tagged;
use super::experiment_export::{ExportBody, ExportCall, NEXT};
use super::experiment_view::{ExperimentPageView, ExperimentView, arm_names};
use super::openapi_terms::Refusals;
use super::problem::ProblemDetails;

/// Where experiments are known and counted.
#[derive(Clone, Debug)]
pub struct ExperimentSources {
    /// Those of the config, and their runs.
    pub(crate) states: watch::Receiver<Arc<ExperimentStates>>,
    /// What takes events, and knows the ledger.
    pub(crate) recorder: EventRecorder,
}

/// All experiments.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ExperimentList {
    /// The revision in force.
    revision: u64,
    /// In the order of their names.
    experiments: Vec<ExperimentView>,
}

impl ExperimentSources {
    /// The experiments that `writer` puts in force, counted by `ledger`; events may be of guardrails too, also while no
    /// rollout that names them is under way.
    pub(crate) fn new(writer: &Writer, ledger: LedgerHandle, registry: &Registry) -> Self {
        let (states, known, running) = (writer.experiments(), writer.experiments(), writer.running_trials().follow());
        let names = move || {
            let (known, running) = (known.borrow(), running.borrow());
            let of_specs = known.specs.iter().chain(running.values()).flat_map(|spec| &spec.metrics);
            EventNames::of(of_specs.chain(known.guardrails.iter().map(|metric| &**metric)))
        };
        let recorder = EventRecorder { ledger, names: Arc::new(names), stats: registry.events() };
        Self { states, recorder }
    }

    /// The same where nothing is counted: for tests of other parts.
    #[must_use]
    pub fn without_ledger(writer: &Writer, registry: &Registry) -> Self {
        Self::new(writer, LedgerHandle::new(SeenSender::nowhere()).0, registry)
    }

    /// Those of the config, and their runs, at this moment.
    pub(crate) fn now(&self) -> Arc<ExperimentStates> {
        Arc::clone(&self.states.borrow())
    }

    /// What the last run of an experiment has counted, and what that comes to.
    async fn latest(
        &self,
        spec: &ExperimentSpec,
        states: &ExperimentStates,
    ) -> Result<Option<(TrialCounts, ExperimentResult)>, LedgerError> {
        let counts = self.recorder.ledger.counts(spec.name()).await?;
        let names = arm_names(spec, states.runs.get(spec.name()).map(|run| &**run));
        Ok(counts.map(|counts| {
            let result = ExperimentResult::of(names, &counts.counts, spec.alpha);
            (counts, result)
        }))
    }
}

impl From<LedgerError> for ProblemDetails {
    fn from(error: LedgerError) -> Self {
        EventRefusal::of_ledger(&error).into()
    }
}

/// Shows all experiments.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    get,
    operation_id = "list_experiments",
    path = "/v1/experiments",
    tag = "experiments",
    responses((status = 200, description = "All experiments", body = ExperimentList), Refusals)
)]
pub(crate) async fn list(
    State(admin): State<Arc<AdminApi>>,
    _: NoParameters,
) -> Result<Tagged<ExperimentList>, ProblemDetails> {
    let states = admin.experiments.now();
    let revision = admin.table().revision;
    let mut experiments = Vec::with_capacity(states.specs.len());
    for spec in states.specs.iter() {
        let latest = admin.experiments.latest(spec, &states).await?;
        experiments.push(ExperimentView::of(spec, &states).with_counts(latest.as_ref().map(|(_, result)| result)));
    }
    Ok(Tagged(revision, ExperimentList { revision, experiments }))
}

/// Shows one experiment with its result, which is valid whenever one looks.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    get,
    operation_id = "get_experiment",
    path = "/v1/experiments/{experiment}",
    tag = "experiments",
    params(("experiment" = String, Path, description = "The experiment")),
    responses((status = 200, description = "The experiment", body = ExperimentPageView), Refusals)
)]
pub(crate) async fn one(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(text): PathSegments<String>,
    _: NoParameters,
) -> Result<Tagged<ExperimentPageView>, ProblemDetails> {
    let states = admin.experiments.now();
    let revision = admin.table().revision;
    let spec = named(&states, &text)?;
    let latest = admin.experiments.latest(spec, &states).await?;
    let runs = admin.experiments.recorder.ledger.runs(spec.name()).await?;
    let latest = latest.as_ref().map(|(counts, result)| (counts, result));
    let silent = admin.experiments.recorder.ledger.exchange().silent();
    Ok(Tagged(revision, ExperimentPageView::of(ExperimentView::of(spec, &states), latest, &runs, &silent)))
}

/// Tells who was seen in which arm of the last run, and did what, a line each.
///
/// Users are told by a hash of their keys: the first 16 hexadecimal digits of SHA-256.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    get,
    operation_id = "export_experiment",
    path = "/v1/experiments/{experiment}/export",
    tag = "experiments",
    params(
        ("experiment" = String, Path, description = "The experiment"),
        ("format" = Option<String>, Query, description = "`ndjson` (the default) or `csv`"),
        ("after" = Option<String>, Query, description = "Only users behind this one, in the order of their hashes"),
        ("limit" = Option<u32>, Query, description = "At most so many users, up to 10000; the header `x-pointsman-next` has \
            what to ask `after` for the next ones, if there are any. All users without it"),
    ),
    responses((status = 200, description = "A line for each user", body = String), Refusals)
)]
pub(crate) async fn export(
    State(admin): State<Arc<AdminApi>>,
    PathSegments(text): PathSegments<String>,
    uri: Uri,
) -> Result<Response, ProblemDetails> {
    let call = ExportCall::read(&uri)?;
    let states = admin.experiments.now();
    let spec = named(&states, &text)?;
    let names = arm_names(spec, states.runs.get(spec.name()).map(|run| &**run));
    let format = call.format;
    let body = ExportBody::begin(admin.experiments.recorder.ledger.clone(), Arc::clone(spec), names, call).await?;
    let next = body.next_page();
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    let file = format!("attachment; filename=\"{}.{}\"", spec.name(), format.word());
    headers.extend(HeaderValue::from_str(&file).ok().map(|file| (CONTENT_DISPOSITION, file)));
    headers.extend(next.and_then(|next| HeaderValue::from_str(&next).ok()).map(|next| (NEXT, next)));
    Ok(response)
}

/// The experiment that a call names.
fn named<'s>(states: &'s ExperimentStates, text: &str) -> Result<&'s Arc<ExperimentSpec>, ProblemDetails> {
    states.named("experiment", text).map_err(ProblemDetails::from)
}
