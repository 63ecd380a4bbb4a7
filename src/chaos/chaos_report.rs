//! What is left of a run for people who were not there: Markdown to put into a ticket, and JSON.

use serde_json::{Value, json};

use super::chaos_ending::ChaosState;
use super::chaos_journal;
use super::chaos_record::{ChaosRecord, ChaosSlice, ChaosUndoState};
use super::chaos_sentence::part_of;

/// The report in Markdown.
#[must_use]
pub(crate) fn markdown(record: &ChaosRecord) -> String {
    let ChaosRecord { id, name, service, sentence, .. } = record;
    let mut text = format!("# Chaos run {id}: {name} on {service}\n\n{sentence}.\n\n");
    text.push_str("## What was believed\n\n");
    text.push_str(&format!("- Hypothesis: `{}`\n", inline(&record.hypothesis)));
    text.push_str(&format!("- Ends early when: `{}`\n", inline(&record.stop_when)));
    let reason = record.reason.as_deref().unwrap_or("no reason was given");
    let author = record.author.as_deref().unwrap_or("no name was given");
    text.push_str(&format!("- By: {author} ({reason})\n\n"));
    text.push_str("## What was done\n\n");
    text.push_str(&format!("- Fault: `{}`\n- Target: `{}`\n", inline(&record.fault), inline(&record.target)));
    text.push_str(&format!(
        "- Baseline for {} s, the fault for {} s at the longest\n",
        record.baseline_s, record.duration_s
    ));
    text.push_str(&moments(record));
    text.push_str("\n## What was seen\n\n");
    text.push_str(&table(record));
    text.push_str(&evidence(record));
    text
}

/// The report in JSON: the run, and which form this is.
#[must_use]
pub(crate) fn json(record: &ChaosRecord) -> Value {
    json!({ "report": "pointsman chaos 1", "run": record })
}

/// The report in the words of Chaos Toolkit's journal.
#[must_use]
pub(crate) fn journal(record: &ChaosRecord) -> Value {
    chaos_journal::of(record)
}

/// JSON in one line, that stands between backticks.
fn inline(value: &Value) -> String {
    if value.is_null() { "nothing".to_owned() } else { value.to_string().replace('`', "'") }
}

/// When what happened.
fn moments(record: &ChaosRecord) -> String {
    let ended = match record.state {
        ChaosState::Ended => "never",
        ChaosState::Baseline | ChaosState::Injecting => "not yet",
    };
    let lines = [
        ("Begun", Some(&record.started_at)),
        ("Fault from", record.injecting_since.as_ref()),
        ("Ended", record.ended_at.as_ref()),
        ("Restored", record.restored_at.as_ref()),
    ];
    let mut text: String =
        lines.iter().map(|(what, at)| format!("- {what}: {}\n", at.map_or(ended, |at| at.as_str()))).collect();
    if let Some(undo) = &record.undo {
        let state = match undo.state {
            ChaosUndoState::Waiting => "waiting",
            ChaosUndoState::Done => "done",
            ChaosUndoState::Failed => "**failed: undo it by hand**",
        };
        let error = undo.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
        let times = if undo.tries == 1 { "once".to_owned() } else { format!("{} times", undo.tries) };
        text.push_str(&format!("- Undo: {state}, tried {times}{error}\n"));
    }
    text
}

/// The slices side by side, and what was before.
fn table(record: &ChaosRecord) -> String {
    let before = &record.before;
    let mut text = String::from("| | requests | failed | injected | users | p50 | p90 | p99 |\n");
    text.push_str("|---|---:|---:|---:|---:|---:|---:|---:|\n");
    let failed = failed(before.failed, before.requests);
    let (p50, p99) = (millis(before.p50_ms), millis(before.p99_ms));
    text.push_str(&format!("| before | {} | {failed} | | | {p50} | | {p99} |\n", before.requests));
    let mut row = |name: &str, slice: &ChaosSlice| {
        let ChaosSlice { requests, injected, users, .. } = slice;
        let failed = self::failed(slice.failed, slice.requests);
        let [p50, p90, p99] = [slice.p50_ms, slice.p90_ms, slice.p99_ms].map(millis);
        text.push_str(&format!("| {name} | {requests} | {failed} | {injected} | {users} | {p50} | {p90} | {p99} |\n"));
    };
    row(if record.control_slice.is_some() { "fault slice" } else { "everyone" }, &record.fault_slice);
    if let Some(control) = &record.control_slice {
        row("control slice", control);
    }
    text
}

/// How sure that is.
fn evidence(record: &ChaosRecord) -> String {
    let Some(evidence) = &record.evidence else { return String::new() };
    let mut text = format!("\nEvidence against the hypothesis: {} of {}", evidence.e, evidence.alarm);
    text.push_str(&format!(" (failures {}", evidence.errors.e));
    if let Some(latency) = &evidence.latency {
        text.push_str(&format!(", latency {}", latency.e));
    }
    text.push_str("); at the second number it is broken, which happens by chance in one of as many runs.\n");
    if let Some(low) = evidence.errors.ratio_low {
        let max = evidence.errors.ratio_max;
        let ratio = match evidence.errors.ratio_high {
            Some(high) => format!("{low:.1} to {high:.1}"),
            None => format!("at least {low:.1}"),
        };
        text.push_str(&format!("Failures were {ratio} times those of the control slice; {max} was allowed.\n"));
    }
    text
}

/// `9 (4.2 %)`
fn failed(failed: u64, requests: u64) -> String {
    format!("{failed} ({})", part_of(failed, requests))
}

fn millis(latency: Option<f64>) -> String {
    latency.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"))
}

#[cfg(test)]
mod tests;
