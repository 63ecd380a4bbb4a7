//! A run in the words of [Chaos Toolkit's journal](https://chaostoolkit.org/reference/api/journal/), so that what reads
//! those can read this.
//!
//! The steady state before is the baseline, and the one after is the verdict; the one activity is the fault. What has
//! no word there, such as both slices, is its output.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::chaos_ending::{ChaosEndedBy, ChaosEnding, ChaosState};
use super::chaos_record::{ChaosRecord, ChaosUndo, ChaosUndoState};

/// The journal.
#[must_use]
pub(super) fn of(record: &ChaosRecord) -> Value {
    let end = record.ended_at.as_deref().unwrap_or(&record.ends_at);
    let fault = record.injecting_since.as_deref();
    let is_broken = record.ending == Some(ChaosEnding::Broken);
    // Nothing says more than that it was begun, where the baseline was refused.
    let was_steady = record.ended_by != Some(ChaosEndedBy::Steady) || fault.is_some();
    let probes = |met: bool, output: Value, start: &str, end: &str| {
        let probe = json!({
            "activity": probe(record),
            "status": "succeeded",
            "output": output,
            "tolerance_met": met,
            "start": start,
            "end": end,
            "duration": duration(start, end),
        });
        json!({ "steady_state_met": met, "probes": [probe] })
    };
    let before = probes(was_steady, json!(record.before), &record.started_at, fault.unwrap_or(end));
    let after = fault.map(|fault| {
        let output = json!({ "fault_slice": record.fault_slice, "control_slice": record.control_slice });
        probes(!is_broken, output, fault, end)
    });
    json!({
        "chaoslib-version": null,
        "platform": "pointsman",
        "node": null,
        "experiment": {
            "title": format!("{} on {}", record.name, record.service),
            "description": record.reason,
            "steady-state-hypothesis": { "title": hypothesis(record), "probes": [probe(record)] },
            "method": [fault_activity(record)],
            "rollbacks": record.undo.as_ref().map(|_| vec![undo_activity(record)]).unwrap_or_default(),
        },
        "start": record.started_at,
        "end": end,
        "duration": duration(&record.started_at, end),
        "status": status(record, was_steady),
        "deviated": is_broken,
        "steady_states": { "before": before, "after": after, "during": [] },
        "run": fault.map(|fault| vec![json!({
            "activity": fault_activity(record),
            "status": "succeeded",
            "output": record.sentence,
            "start": fault,
            "end": end,
            "duration": duration(fault, end),
        })]).unwrap_or_default(),
        "rollbacks": record.undo.as_ref().map(|undo| vec![undone(record, undo, end)]).unwrap_or_default(),
    })
}

/// `completed`, `failed` where the steady state was not there before, `interrupted` where it was ended from outside.
fn status(record: &ChaosRecord, was_steady: bool) -> &'static str {
    match (record.state, record.ended_by) {
        _ if !was_steady => "failed",
        (ChaosState::Baseline | ChaosState::Injecting, _) => "running",
        (_, Some(ChaosEndedBy::Operator | ChaosEndedBy::Restart | ChaosEndedBy::Config)) => "interrupted",
        (_, Some(ChaosEndedBy::Budget | ChaosEndedBy::Webhook)) => "aborted",
        (ChaosState::Ended, _) => "completed",
    }
}

fn hypothesis(record: &ChaosRecord) -> String {
    format!("users of the fault slice get what those of the control slice get: {}", record.hypothesis)
}

fn probe(record: &ChaosRecord) -> Value {
    json!({ "type": "probe", "name": hypothesis(record), "tolerance": record.hypothesis, "provider": provider(record) })
}

fn fault_activity(record: &ChaosRecord) -> Value {
    let name = format!("fault {} at {}", record.fault, record.target);
    json!({ "type": "action", "name": name, "provider": provider(record) })
}

fn undo_activity(record: &ChaosRecord) -> Value {
    json!({ "type": "action", "name": "undo the command", "provider": provider(record) })
}

fn undone(record: &ChaosRecord, undo: &ChaosUndo, end: &str) -> Value {
    let status = match undo.state {
        ChaosUndoState::Done => "succeeded",
        ChaosUndoState::Waiting | ChaosUndoState::Failed => "failed",
    };
    let until = record.restored_at.as_deref().unwrap_or(end);
    json!({
        "activity": undo_activity(record),
        "status": status,
        "output": undo.error,
        "start": end,
        "end": until,
        "duration": duration(end, until),
    })
}

/// Where the run can be read.
fn provider(record: &ChaosRecord) -> Value {
    json!({ "type": "http", "method": "GET", "url": format!("/v1/chaos/{}", record.id) })
}

/// Seconds between two moments as they are written.
fn duration(start: &str, end: &str) -> f64 {
    let at = |text: &str| text.parse::<Timestamp>().ok();
    at(end).zip(at(start)).map_or(0.0, |(end, start)| (end - start).total(jiff::Unit::Second).unwrap_or(0.0))
}
