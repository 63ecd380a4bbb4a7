//! A run as the store keeps it and as scripts read it: one shape for both, so that what was shown is what is kept.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use utoipa::ToSchema;

use super::chaos_ending::{ChaosEndedBy, ChaosEnding, ChaosState};
use super::chaos_evidence::ChaosEvidence;
use super::chaos_run::{ChaosRun, PerSlice};
use super::chaos_sentence;
use super::chaos_time::written;
use super::judged_slices::{all_latencies, latencies};
use crate::shared::fault_stats::{FaultSlice, SliceTotals};
use crate::stats::latency_histogram::LatencyTotals;

/// A run of a chaos experiment. Times are RFC 3339.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ChaosRun)]
pub(crate) struct ChaosRecord {
    /// Its number.
    pub id: u64,
    /// The experiment.
    pub name: String,
    /// Where it is.
    pub state: ChaosState,
    /// What became of the hypothesis; `null` until it has ended.
    pub ending: Option<ChaosEnding>,
    /// What ended it.
    pub ended_by: Option<ChaosEndedBy>,
    /// All of it in a sentence.
    pub sentence: String,
    /// The service whose users it is about.
    pub service: String,
    /// What the fault is aimed at, in the words of the config.
    pub target: Value,
    /// What is done, in the words of the config.
    pub fault: Value,
    /// How long it is done at the longest.
    #[schema(value_type = f64)]
    pub duration_s: Number,
    /// How long both slices are only counted before.
    #[schema(value_type = f64)]
    pub baseline_s: Number,
    /// When it began, with its baseline.
    pub started_at: String,
    /// Since when the fault is done.
    pub injecting_since: Option<String>,
    /// When it ends at the latest.
    pub ends_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// When everything was as before: the fault out of the table, a command undone.
    pub restored_at: Option<String>,
    /// Who began it.
    pub author: Option<String>,
    /// Why, in the words of who began it.
    pub reason: Option<String>,
    /// What is believed to stay true, in the words of the config.
    pub hypothesis: Value,
    /// What ends it before its time, in the words of the config.
    pub stop_when: Value,
    /// What both slices did before the fault.
    pub before: ChaosBefore,
    /// The users to whom the fault is done, since it is; in the baseline those to whom it will be.
    pub fault_slice: ChaosSlice,
    /// As many users to whom nothing is done; `null` where a command reaches everyone.
    pub control_slice: Option<ChaosSlice>,
    /// What the judge has found; `null` before there is a fault.
    pub evidence: Option<ChaosEvidence>,
    /// What became of the command that undoes; `null` where no command ran.
    pub undo: Option<ChaosUndo>,
}

/// What both slices did before the fault.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct ChaosBefore {
    /// Requests of both slices.
    pub requests: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Their median latency.
    pub p50_ms: Option<f64>,
    /// The 99th percentile.
    pub p99_ms: Option<f64>,
}

/// A slice, and what its users got.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct ChaosSlice {
    /// Requests whose outcome is known.
    pub requests: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Those that the fault was done to.
    pub injected: u64,
    /// Users who came, where they have keys.
    pub users: u64,
    /// The median latency.
    pub p50_ms: Option<f64>,
    /// The 90th percentile.
    pub p90_ms: Option<f64>,
    /// The 99th percentile.
    pub p99_ms: Option<f64>,
}

/// The command that undoes what another one did.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ChaosUndo {
    /// Where it is.
    pub state: ChaosUndoState,
    /// How often it was tried.
    pub tries: u32,
    /// Why it failed last.
    pub error: Option<String>,
}

/// Where the undoing of a command is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChaosUndoState {
    /// It has to run yet: the command still works, or the last try failed and there is another one.
    Waiting,
    /// It has run.
    Done,
    /// It has failed as often as it is tried.
    Failed,
}

impl ChaosRun {
    /// The run as it is now; what its command's undoing has come to is added by who undoes.
    #[must_use]
    pub(crate) fn record(&self) -> ChaosRecord {
        let definition = &self.begun.definition;
        let (stats, ends) = match &self.injection {
            Some(injection) => (&injection.stats, injection.until),
            None => (&self.before, self.started.later(definition.took())),
        };
        let end = self.end.as_ref();
        // Read once: the sentence and the slices say the same.
        let totals = PerSlice { fault: stats.totals(FaultSlice::Fault), control: stats.totals(FaultSlice::Control) };
        let control = || ChaosSlice::of(&totals.control, &latencies(stats, FaultSlice::Control));
        ChaosRecord {
            id: self.begun.id,
            name: definition.name.to_string(),
            state: self.state(),
            ending: end.map(|end| end.ending),
            ended_by: end.map(|end| end.by),
            sentence: chaos_sentence::of(self, &totals),
            service: definition.target.service.to_string(),
            target: definition.written.target.clone(),
            fault: definition.written.fault.clone(),
            duration_s: seconds(definition.duration.as_millis()),
            baseline_s: seconds(definition.baseline.as_millis()),
            started_at: written(self.started.at),
            injecting_since: self.injection.as_ref().map(|injection| written(injection.since.at)),
            ends_at: written(ends.at),
            ended_at: end.map(|end| written(end.at.at)),
            restored_at: None,
            author: self.begun.author.clone(),
            reason: self.begun.reason.clone(),
            hypothesis: definition.written.hypothesis.clone(),
            stop_when: definition.written.stop_when.clone(),
            before: ChaosBefore::of(&self.before(), &all_latencies(&self.before)),
            fault_slice: ChaosSlice::of(&totals.fault, &latencies(stats, FaultSlice::Fault)),
            control_slice: definition.command().is_none().then(control),
            evidence: self.injection.as_ref().map(|injection| ChaosEvidence::of(&injection.slices)),
            undo: None,
        }
    }
}

impl ChaosRecord {
    /// Ends a run that was under way when the process ended: its fault has gone with the process.
    pub(crate) fn end_by_restart(&mut self, at: Timestamp) {
        if self.state == ChaosState::Ended {
            return;
        }
        let (before, by) = (self.state, ChaosEndedBy::Restart);
        let ending = by.ending(before);
        self.state = ChaosState::Ended;
        (self.ending, self.ended_by, self.ended_at) = (Some(ending), Some(by), Some(written(at)));
        self.sentence = chaos_sentence::of_restart(&self.name, before);
        // A command has to be undone yet.
        if self.undo.is_none() {
            self.restored_at = self.ended_at.clone();
        }
    }
}

impl ChaosBefore {
    fn of(totals: &SliceTotals, latency: &LatencyTotals) -> Self {
        let SliceTotals { requests, failed, .. } = *totals;
        Self { requests, failed, p50_ms: millis(latency, 0.5), p99_ms: millis(latency, 0.99) }
    }
}

impl ChaosSlice {
    fn of(totals: &SliceTotals, latency: &LatencyTotals) -> Self {
        let SliceTotals { requests, failed, injected, users } = *totals;
        let [p50_ms, p90_ms, p99_ms] = [0.5, 0.9, 0.99].map(|q| millis(latency, q));
        Self { requests, failed, injected, users, p50_ms, p90_ms, p99_ms }
    }
}

/// A quantile in milliseconds.
fn millis(latency: &LatencyTotals, q: f64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a request are far below 2^52")]
    latency.quantile(q).map(|micros| micros as f64 / 1_000.0)
}

/// Milliseconds as seconds; a whole number where it is one.
fn seconds(millis: u128) -> Number {
    let whole = u64::try_from(millis / 1_000).unwrap_or(u64::MAX);
    if millis.is_multiple_of(1_000) {
        return whole.into();
    }
    #[expect(clippy::cast_precision_loss, reason = "a run is far shorter than 2^52 ms")]
    Number::from_f64(millis as f64 / 1_000.0).unwrap_or_else(|| whole.into())
}
