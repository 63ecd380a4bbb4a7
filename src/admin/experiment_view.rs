//! An experiment as the API shows it: what it is, whether it runs, and what has come out.

use serde::Serialize;
use utoipa::ToSchema;

use crate::control::experiment_states::{ExperimentStates, is_of};
use crate::experiment::definition::{ExperimentSpec, MetricSource, MetricSpec};
use crate::experiment::experiment_result::ExperimentResult;
use crate::experiment::result_view::ResultView;
use crate::experiment::tally_view::TallyView;
use crate::ledger::ledger_handle::TrialCounts;
use crate::shared::per_arm::PerArm;
use crate::shared::trial_key::TrialKey;
use crate::table::experiment_run::ExperimentRun;
use crate::table::spec::experiment::ExperimentSubject;

use super::revisions::timestamp;

/// The state of one that runs.
const RUNNING: &str = "running";

/// An experiment: what it is, and whether it runs.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Experiment)]
pub(crate) struct ExperimentView {
    /// Its name.
    name: String,
    /// The service whose versions are compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    /// The flag whose variants are compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    flag: Option<String>,
    /// The version or variant that is as it was.
    control: String,
    /// The version or variant that is tried.
    treatment: String,
    /// `never_started`, `running` or `ended`.
    state: &'static str,
    /// The revision that started the last run.
    since: Option<u64>,
    /// Per cent of the users that are in the run, in both arms together; of one that does not run, what the config says.
    share: f64,
    /// The layer, whose experiments share no users.
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<String>,
    /// Whether only users of a segment are in it.
    segment: bool,
    /// How many users it admits.
    users_max: usize,
    /// What is measured.
    metrics: Vec<MetricDefinitionView>,
    /// Whether the last run compared something else than the config says by now.
    compared_something_else: bool,
    /// What the last run has come to so far, in a sentence; none before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    sentence: Option<String>,
    /// Users of the last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<u64>,
}

/// What is measured of users.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = MetricDefinition)]
pub(crate) struct MetricDefinitionView {
    /// Its name.
    name: String,
    /// The event that is sent; none if it is requests that count.
    event: Option<String>,
    /// The event that a ratio divides by.
    #[serde(skip_serializing_if = "Option::is_none")]
    denominator: Option<String>,
    /// Seconds after the first exposure in which a user is measured.
    window_seconds: u64,
    /// Whether it must not get worse.
    guardrail: bool,
}

/// An experiment with its result.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ExperimentPage)]
pub(crate) struct ExperimentPageView {
    /// What it is.
    #[serde(flatten)]
    experiment: ExperimentView,
    /// What the last run has come to so far; none before the first.
    result: Option<ResultView>,
    /// What became of the events and requests that were told to it.
    events: Option<TallyView>,
    /// Its runs, the latest first.
    runs: Vec<RunView>,
}

/// A run of an experiment.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ExperimentRun)]
pub(crate) struct RunView {
    /// The revision that started it.
    since: u64,
    /// When it began.
    #[schema(format = DateTime)]
    began_at: String,
    /// When it ended; none while it runs.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// Users that were seen.
    users: u64,
}

impl ExperimentView {
    /// What is known without the ledger.
    pub(crate) fn of(spec: &ExperimentSpec, states: &ExperimentStates) -> Self {
        let assignment = &*spec.assignment;
        let (service, flag) = match &assignment.subject {
            ExperimentSubject::Service(name) => (Some(name.to_string()), None),
            ExperimentSubject::Flag(name) => (None, Some(name.to_string())),
        };
        let run = states.runs.get(spec.name());
        let running = run.filter(|run| run.running);
        Self {
            name: spec.name().to_string(),
            service,
            flag,
            control: assignment.arms.control.to_string(),
            treatment: assignment.arms.treatment.to_string(),
            state: match run {
                None => "never_started",
                Some(run) if run.running => RUNNING,
                Some(_) => "ended",
            },
            since: run.map(|run| run.since),
            share: running.map_or(assignment.share, |run| run.share).percent(),
            layer: assignment.layer.as_ref().map(ToString::to_string),
            segment: assignment.segment.is_some(),
            users_max: spec.users_max,
            metrics: spec.metrics.iter().map(MetricDefinitionView::of).collect(),
            compared_something_else: run.is_some_and(|run| !is_of(run, spec)),
            sentence: None,
            users: None,
        }
    }

    /// The same with what was counted.
    pub(crate) fn with_counts(self, result: Option<&ExperimentResult>) -> Self {
        let Some(result) = result else { return self };
        Self { sentence: Some(crate::experiment::sentence::headline(result)), users: Some(result.seen), ..self }
    }
}

impl MetricDefinitionView {
    fn of(metric: &MetricSpec) -> Self {
        let event = match &metric.source {
            MetricSource::Event(name) => Some(name.to_string()),
            MetricSource::Request(_) => None,
        };
        Self {
            name: metric.plan.name.clone(),
            event,
            denominator: metric.denominator.as_ref().map(ToString::to_string),
            window_seconds: metric.window_ms / 1000,
            guardrail: metric.plan.guardrail,
        }
    }
}

impl ExperimentPageView {
    /// All that is known.
    pub(crate) fn of(
        experiment: ExperimentView,
        latest: Option<(&TrialCounts, &ExperimentResult)>,
        runs: &[TrialCounts],
        silent: &[String],
    ) -> Self {
        // What is over does not change any more.
        let silent = if experiment.state == RUNNING { silent } else { &[] };
        Self {
            experiment: experiment.with_counts(latest.map(|(_, result)| result)),
            result: latest.map(|(_, result)| ResultView::of(result).with_silent(silent)),
            events: latest.map(|(counts, _)| TallyView::of(&counts.tally)),
            runs: runs.iter().filter_map(RunView::of).collect(),
        }
    }
}

impl RunView {
    fn of(counts: &TrialCounts) -> Option<Self> {
        let TrialKey::Experiment { since, .. } = counts.trial else { return None };
        let at = |ms: u64| timestamp(i64::try_from(ms).unwrap_or(i64::MAX));
        let (began_at, ended_at) = (at(counts.began_ms), counts.ended_ms.map(at));
        Some(Self { since, began_at, ended_at, users: counts.counts.seen })
    }
}

/// The names of the arms of what was counted: a run that compared something else than the config says by now had others.
pub(crate) fn arm_names(spec: &ExperimentSpec, run: Option<&ExperimentRun>) -> PerArm<String> {
    match run {
        Some(run) if !is_of(run, spec) => PerArm { control: "control".to_owned(), treatment: "treatment".to_owned() },
        Some(_) | None => spec.assignment.arms.map(ToString::to_string),
    }
}
