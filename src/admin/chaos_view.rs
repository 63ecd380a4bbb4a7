//! How chaos is shown besides a run, which is shown as it is kept: the list, and what a run would be.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::chaos::chaos_definition::ChaosDefinition;
use crate::chaos::chaos_ending::{ChaosEndedBy, ChaosEnding, ChaosState};
use crate::chaos::chaos_record::ChaosRecord;
use crate::chaos_runner::chaos_preview::ChaosPreview;
use crate::chaos_runner::chaos_shown::ChaosShown;
use crate::config::reader::units::TimeSpan;

/// What may be made to fail, and what was.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChaosList {
    /// Whether anything can be started.
    enabled: bool,
    /// Per cent of a service's users whom a fault may reach.
    share_max: f64,
    /// How long a fault may be there, such as `30m`.
    duration_max: String,
    /// Those of the config.
    experiments: Vec<ChaosExperimentView>,
    /// Up to the last hundred, youngest first.
    runs: Vec<ChaosBriefView>,
}

/// An experiment of the config.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChaosExperimentView {
    /// Its name.
    name: String,
    /// The service.
    service: String,
    /// What the fault is aimed at, in the words of the config.
    target: Value,
    /// What is done, in the words of the config.
    fault: Value,
    /// How long it is done at the longest, in seconds.
    duration_s: f64,
    /// How long both slices are only counted before, in seconds.
    baseline_s: f64,
    /// What is believed to stay true, in the words of the config.
    hypothesis: Value,
    /// What ends it before its time, in the words of the config.
    stop_when: Value,
    /// When it may run, in the words of the config.
    only: Value,
}

/// A run in short.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChaosBriefView {
    /// Its number.
    id: u64,
    /// The experiment.
    name: String,
    /// The service.
    service: String,
    /// Where it is.
    state: ChaosState,
    /// What became of the hypothesis.
    ending: Option<ChaosEnding>,
    /// What ended it.
    ended_by: Option<ChaosEndedBy>,
    /// When it began.
    started_at: String,
    /// When it ends at the latest.
    ends_at: String,
    /// When it ended.
    ended_at: Option<String>,
    /// When everything was as before.
    restored_at: Option<String>,
    /// Who began it.
    author: Option<String>,
    /// All of it in a sentence.
    sentence: String,
}

/// What a run would be.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChaosPreviewView {
    /// That nothing was begun.
    dry_run: bool,
    /// That a run would begin.
    changed: bool,
    /// What would be executed.
    #[serde(flatten)]
    experiment: ChaosExperimentView,
    /// Per cent of the users in each slice.
    share: f64,
    /// Requests per second in each slice, by those of the last seconds.
    requests_per_second: Option<f64>,
    /// Whether the windows of `only` let it begin now.
    open: bool,
    /// When they open, if they are closed and that is known.
    opens_at: Option<String>,
    /// All of it in a sentence.
    sentence: String,
}

impl ChaosList {
    /// All of it.
    pub(crate) fn of(shown: &ChaosShown) -> Self {
        let ChaosShown { config, runs, .. } = shown;
        Self {
            enabled: config.enabled,
            share_max: config.share_max.percent(),
            duration_max: TimeSpan(config.duration_max).to_string(),
            experiments: config.experiments.values().map(|definition| ChaosExperimentView::of(definition)).collect(),
            runs: runs.iter().map(|saved| ChaosBriefView::of(&saved.record)).collect(),
        }
    }
}

impl ChaosExperimentView {
    fn of(definition: &ChaosDefinition) -> Self {
        let written = &definition.written;
        Self {
            name: definition.name.to_string(),
            service: definition.target.service.to_string(),
            target: written.target.clone(),
            fault: written.fault.clone(),
            duration_s: definition.duration.as_secs_f64(),
            baseline_s: definition.baseline.as_secs_f64(),
            hypothesis: written.hypothesis.clone(),
            stop_when: written.stop_when.clone(),
            only: written.only.clone(),
        }
    }
}

impl ChaosBriefView {
    fn of(record: &ChaosRecord) -> Self {
        Self {
            id: record.id,
            name: record.name.clone(),
            service: record.service.clone(),
            state: record.state,
            ending: record.ending,
            ended_by: record.ended_by,
            started_at: record.started_at.clone(),
            ends_at: record.ends_at.clone(),
            ended_at: record.ended_at.clone(),
            restored_at: record.restored_at.clone(),
            author: record.author.clone(),
            sentence: record.sentence.clone(),
        }
    }
}

impl ChaosPreviewView {
    /// What it would be.
    pub(crate) fn of(preview: &ChaosPreview) -> Self {
        Self {
            dry_run: true,
            changed: true,
            experiment: ChaosExperimentView::of(&preview.definition),
            share: preview.share,
            requests_per_second: preview.requests_per_second,
            open: preview.closed.is_none(),
            opens_at: preview.opens_at(),
            sentence: preview.sentence(),
        }
    }
}
