//! Runs as text: all of them as a list, or one with both slices, the evidence, and what has become of it.

use serde_json::{Map, Value};

use crate::cli::layout;
use crate::cli::rollout::show::time;
use crate::cli::text::{Columns, TextTone, list, member, number, thousands, toned};

/// How wide the scale of E is drawn.
const SCALE_CHARS: usize = 24;

/// How wide a fault is in the list; a command may be longer than any line.
const FAULT_CELLS: usize = 40;

/// What a start answers.
pub(super) fn started(answer: &Value) -> String {
    if answer["dry_run"] != true {
        let id = member(answer, "id");
        let head = format!("run {id} of {} has begun, and ends by itself\n", member(answer, "name"));
        return format!("{head}{}  to look at it: pointsman chaos status {id} --follow\n", plan(answer));
    }
    let tone = if answer["open"] == false { TextTone::Warn } else { TextTone::Plain };
    let sentence = toned(&member(answer, "sentence"), tone);
    format!("dry run, nothing was begun: {}\n{}  {sentence}\n", member(answer, "name"), plan(answer))
}

/// What a stop of all answers.
pub(super) fn stopped(answer: &Value) -> String {
    let ids: Vec<String> = list(answer, "stopped").map(|id| id.to_string()).collect();
    match ids.as_slice() {
        [] => "nothing was running\n".to_owned(),
        [id] => format!("run {id} is ended, and its fault is taken back\n"),
        ids => format!("runs {} are ended, and their faults are taken back\n", ids.join(", ")),
    }
}

/// All experiments, and all runs.
pub(super) fn all(answer: &Value) -> String {
    if answer["enabled"] == false {
        return "chaos experiments are off: set `enabled = true` in [chaos] (see docs/chaos.md)\n".to_owned();
    }
    let mut experiments = Columns::with_heading(&["experiment", "target", "fault", "lasts"]);
    let mut runs = Columns::with_heading(&["run", "of", "service", "state", "began", "by"]);
    for one in list(answer, "experiments") {
        let lasts = one["duration"].as_str().map_or_else(|| seconds(&one["duration_s"]), str::to_owned);
        let cells =
            [target(one), layout::cut(&fault(&one["fault"]), FAULT_CELLS), lasts].map(|text| (text, TextTone::Plain));
        experiments.row([(member(one, "name"), TextTone::Strong)].into_iter().chain(cells).collect());
    }
    for run in list(answer, "runs") {
        let plain = |key: &str| (member(run, key), TextTone::Plain);
        let state = (state(run), tone(run));
        runs.row(vec![
            plain("id"),
            (member(run, "name"), TextTone::Strong),
            plain("service"),
            state,
            plain("started_at"),
            plain("author"),
        ]);
    }
    let any = |name: &str| list(answer, name).next().is_some();
    let first = match any("experiments") {
        true => experiments.render(),
        false => "the config has no experiments; docs/chaos.md says how one is written\n".to_owned(),
    };
    if any("runs") { format!("{first}\n{}", runs.render()) } else { format!("{first}\nthere was no run yet\n") }
}

/// One run, with all that is known of it.
pub(super) fn one(run: &Value) -> String {
    format!("{}{}{}{}{}{}", head(run), plan(run), verdict(run), slices(run), evidence(run), undo(run))
}

/// Where it is, in a line.
pub(super) fn summary(run: &Value) -> String {
    let sentence = run["sentence"].as_str().map_or_else(String::new, |sentence| format!(": {sentence}"));
    format!("run {} of {}, {}{sentence}", member(run, "id"), member(run, "name"), state(run))
}

/// What ended a run, for people.
pub(super) fn ended_by(word: &str) -> &str {
    match word {
        "time" => "its time",
        "verdict" => "the verdict",
        "failed_requests" => "the number of failed requests",
        "budget" => "the error budget",
        "webhook" => "its webhook",
        "steady" => "the steady state, which was left",
        "operator" => "an operator",
        "restart" => "a restart of the proxy",
        "config" => "a change of the config",
        "command" => "its command, which failed",
        other => other,
    }
}

fn head(run: &Value) -> String {
    let of = toned(&member(run, "name"), TextTone::Strong);
    let mut text = format!("run {} of {of}: {}", member(run, "id"), toned(&state(run), tone(run)));
    let at = |key: &str| run[key].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
    if let Some(ends) = at("ends_at").filter(|_| run["state"] != "ended") {
        let left = ends.duration_since(jiff::Timestamp::now()).as_secs_f64();
        text += &format!(", ends in {} at the latest", time(left));
    }
    if let Some(by) = run["ended_by"].as_str() {
        text += &format!(", ended by {} at {}", ended_by(by), member(run, "ended_at"));
    }
    let reason = run["reason"].as_str().map_or_else(String::new, |reason| format!(" ({reason})"));
    let restored = run["restored_at"].as_str().map_or_else(String::new, |at| format!(", restored at {at}"));
    text + &format!("{restored}\n  begun at {} by {}{reason}\n", member(run, "started_at"), member(run, "author"))
}

/// What is done to whom, and what is expected.
fn plan(run: &Value) -> String {
    let (baseline, lasts) = (seconds(&run["baseline_s"]), seconds(&run["duration_s"]));
    let mut text = format!("  {} for {}: {baseline} of baseline, then {lasts}\n", fault(&run["fault"]), target(run));
    let expected = expected(&run["hypothesis"]);
    if !expected.is_empty() {
        text += &format!("  expected of them, against as many others: {expected}\n");
    }
    let stops = stops_when(&run["stop_when"]);
    if !stops.is_empty() {
        text += &format!("  ends early when {stops}\n");
    }
    text
}

/// What is expected of those with the fault, against those without it.
fn expected(hypothesis: &Value) -> String {
    let (errors, latency) = (&hypothesis["errors"], &hypothesis["latency"]);
    let mut parts = Vec::new();
    if errors.is_object() {
        let more = errors["increase_max"].as_f64().filter(|more| *more > 0.0);
        let more = more.map_or_else(String::new, |_| format!(" and {} % more", number(&errors["increase_max"], 3)));
        parts.push(format!("they fail {}{more}", at_most(&errors["ratio_max"], "often")));
    }
    if latency.is_object() {
        parts.push(format!("they wait {}", at_most(&latency["slower_max"], "long")));
    }
    parts.extend(rest(hypothesis, &["errors", "latency"]));
    parts.join(", ")
}

/// `at most 1.5 times as often`, `at most as often`.
fn at_most(ratio: &Value, as_what: &str) -> String {
    match ratio.as_f64() {
        Some(times) if times > 1.0 => format!("at most {} times as {as_what}", number(ratio, 3)),
        _ => format!("at most as {as_what}"),
    }
}

/// What ends it before its time.
fn stops_when(stop: &Value) -> String {
    let mut parts = Vec::new();
    parts.extend(stop["failed_requests"].as_u64().map(|failed| format!("{} requests have failed", thousands(failed))));
    let left = stop["budget_left_below"].as_f64().map(|_| number(&stop["budget_left_below"], 3));
    parts.extend(left.map(|left| format!("less than {left} % of the error budget is left")));
    parts.extend((!stop["webhook"].is_null()).then(|| "its webhook says so".to_owned()));
    parts.extend((stop["steady"] == true).then(|| "the service is not steady".to_owned()));
    parts.extend(rest(stop, &["failed_requests", "budget_left_below", "webhook", "steady"]));
    parts.join(", or ")
}

/// What a table has beside keys that are told of already.
fn rest(table: &Value, known: &[&str]) -> Option<String> {
    let others = table.as_object()?.iter().filter(|(key, _)| !known.contains(&key.as_str()));
    let others: Map<String, Value> = others.map(|(key, value)| (key.clone(), value.clone())).collect();
    (!others.is_empty()).then(|| words(&Value::Object(others)))
}

fn verdict(run: &Value) -> String {
    let sentence = run["sentence"].as_str().map(|sentence| toned(sentence, tone(run)));
    sentence.map_or_else(String::new, |sentence| format!("\n{sentence}\n"))
}

/// What the two slices, and all users before, have got.
fn slices(run: &Value) -> String {
    let heading = ["", "requests", "failed", "users", "injected", "p50 ms", "p90 ms", "p99 ms"];
    let mut columns = Columns::with_heading(&heading);
    let (mut any, rows) = (false, [("before", "before"), ("fault", "fault_slice"), ("control", "control_slice")]);
    for (name, key) in rows {
        let slice = &run[key];
        if !slice.is_object() {
            continue;
        }
        any = true;
        let count = |key: &str| slice[key].as_u64().map_or("-".to_owned(), thousands);
        let failed = match (slice["failed"].as_f64(), slice["requests"].as_f64().filter(|requests| *requests > 0.0)) {
            (Some(failed), Some(requests)) => format!("{} ({:.2} %)", count("failed"), 100.0 * failed / requests),
            _ => count("failed"),
        };
        let ms = |key: &str| number(&slice[key], 1);
        let cells =
            [count("requests"), failed, count("users"), count("injected"), ms("p50_ms"), ms("p90_ms"), ms("p99_ms")];
        columns.row([name.to_owned()].into_iter().chain(cells).map(|text| (text, TextTone::Plain)).collect());
    }
    if any { format!("\n{}", columns.render()) } else { String::new() }
}

/// E on a logarithmic scale from 1/1000 to where the hypothesis is broken.
fn evidence(run: &Value) -> String {
    let found = &run["evidence"];
    let Some((e, alarm)) = found["e"].as_f64().zip(found["alarm"].as_f64()) else { return String::new() };
    let (e, alarm) = (e.max(1e-300).log10(), alarm.max(1.0).log10());
    let part = ((e + 3.0) / (alarm + 3.0)).clamp(0.0, 1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the width")]
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let full = (part * SCALE_CHARS as f64).round() as usize;
    let tone = if e >= alarm {
        TextTone::Bad
    } else if e >= 1.0 {
        TextTone::Warn
    } else {
        TextTone::Good
    };
    let bar = toned(&"#".repeat(full), tone);
    // Not "-0.0".
    let e = (e * 10.0).round() / 10.0 + 0.0;
    let text = format!("  E [{bar}{}] 10^{e:.1}, broken at 10^{alarm:.1}\n", ".".repeat(SCALE_CHARS - full));
    let errors = &found["errors"];
    if errors["ratio_low"].is_null() {
        return text;
    }
    let high =
        if errors["ratio_high"].is_null() { "any number of".to_owned() } else { number(&errors["ratio_high"], 2) };
    let low = number(&errors["ratio_low"], 2);
    text + &format!("  they fail {low} to {high} times as often (95 %, at all times)\n")
}

/// How the undo of a command went.
fn undo(run: &Value) -> String {
    let undo = &run["undo"];
    let tries = undo["tries"].as_u64().unwrap_or(0);
    let times = if tries == 1 { "1 try".to_owned() } else { format!("{tries} tries") };
    let error = undo["error"].as_str().map_or_else(String::new, |error| format!(": {}", layout::cut(error, 300)));
    match undo["state"].as_str() {
        None => String::new(),
        Some("done") => format!("  {} after {times}\n", toned("undone", TextTone::Good)),
        Some("waiting") if tries == 0 => "  undo: waits for the end of the fault\n".to_owned(),
        Some("waiting") => format!("  undo: {} after {times}{error}\n", toned("tried again", TextTone::Warn)),
        Some(_) => format!("  undo: {} after {times}{error}; do it by hand\n", toned("failed", TextTone::Bad)),
    }
}

fn state(run: &Value) -> String {
    match run["ending"].as_str() {
        Some(ending) => ending.replace('_', " "),
        None => member(run, "state"),
    }
}

fn tone(run: &Value) -> TextTone {
    match (run["state"].as_str(), run["ending"].as_str()) {
        (_, Some("held")) => TextTone::Good,
        (_, Some("broken")) => TextTone::Bad,
        (_, Some(_)) | (Some("injecting"), None) => TextTone::Warn,
        (_, None) => TextTone::Plain,
    }
}

/// `pay v1, zone b, 2 % of its users`
pub(super) fn target(run: &Value) -> String {
    let target = &run["target"];
    let service = target["service"].as_str().or(run["service"].as_str()).unwrap_or("-");
    let mut parts =
        vec![target["version"].as_str().map_or(service.to_owned(), |version| format!("{service} {version}"))];
    for (key, word) in [("endpoint", "endpoint"), ("zone", "zone"), ("segment", "segment")] {
        parts.extend(target[key].as_str().map(|name| format!("{word} {name}")));
    }
    let share = target["share"].as_f64().map(|_| format!("{} % of its users", number(&target["share"], 3)));
    parts.into_iter().chain(share).collect::<Vec<_>>().join(", ")
}

/// `latency fixed 300ms jitter 100ms`, `reset`
pub(super) fn fault(fault: &Value) -> String {
    match fault {
        Value::String(kind) => kind.clone(),
        Value::Object(fault) => fault.iter().next().map_or_else(
            || "-".to_owned(),
            |(kind, value)| match value {
                Value::Bool(true) | Value::Null => kind.clone(),
                Value::Bool(false) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                    format!("{kind} {}", words(value)).trim_end().to_owned()
                }
            },
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => "-".to_owned(),
    }
}

/// A table of the config in a line: `errors ratio_max 1.5, latency slower_max 1.2`.
fn words(value: &Value) -> String {
    let entry = |(key, value): (&String, &Value)| match value {
        Value::Null => None,
        Value::Bool(true) => Some(key.clone()),
        Value::Bool(false) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            Some(format!("{key} {}", words(value)))
        }
    };
    match value {
        Value::Object(table) => {
            let separator = if flat(table) { " " } else { ", " };
            table.iter().filter_map(entry).collect::<Vec<_>>().join(separator)
        }
        Value::Array(values) => values.iter().map(words).collect::<Vec<_>>().join(" "),
        Value::String(text) => text.clone(),
        Value::Number(_) => number(value, 3),
        Value::Null | Value::Bool(_) => value.to_string(),
    }
}

/// Whether the settings of a fault are meant, which read as one.
fn flat(table: &Map<String, Value>) -> bool {
    ["fixed", "jitter"].iter().any(|key| table.contains_key(*key))
}

fn seconds(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run() -> Value {
        json!({
            "id": 7, "name": "slow-payments", "state": "ended", "ending": "broken", "ended_by": "verdict",
            "sentence": "the fault slice failed 41 of 205 requests (20 %), control 0 of 198", "service": "pay",
            "target": {"service": "pay", "version": "v1", "zone": "b", "share": 2.0},
            "fault": {"latency": {"fixed": "300ms", "jitter": "100ms"}}, "duration_s": 600, "baseline_s": 60,
            "started_at": "2026-06-01T09:00:00Z", "ends_at": "2026-06-01T09:11:00Z", "ended_at": "2026-06-01T09:01:02Z",
            "restored_at": "2026-06-01T09:01:02.1Z", "author": "ada", "reason": "before the sale",
            "hypothesis": {"errors": {"ratio_max": 1.5}, "latency": {"slower_max": 1.2}},
            "stop_when": {"failed_requests": 50, "budget_left_below": 20.0},
            "before": {"requests": 12_345, "failed": 12, "p50_ms": 4.0, "p99_ms": 21.5},
            "fault_slice": {"requests": 205, "failed": 41, "injected": 205, "users": 40, "p50_ms": 350.0, "p90_ms": 390.25, "p99_ms": 402.0},
            "control_slice": {"requests": 198, "failed": 0, "injected": 0, "users": 39, "p50_ms": 4.0, "p90_ms": 9.0, "p99_ms": 22.0},
            "evidence": {"e": 12_000.0, "alarm": 1_000.0, "errors": {"ratio_low": 4.25, "ratio_high": null}}, "undo": null,
        })
    }

    #[test]
    fn a_run_tells_what_was_done_expected_and_seen() {
        let text = one(&run());
        let wanted = "run 7 of slow-payments: broken, ended by the verdict at 2026-06-01T09:01:02Z, restored at 2026-06-01T09:01:02.1Z
  begun at 2026-06-01T09:00:00Z by ada (before the sale)
  latency fixed 300ms jitter 100ms for pay v1, zone b, 2 % of its users: 60 s of baseline, then 10 min
  expected of them, against as many others: they fail at most 1.5 times as often, they wait at most 1.2 times as long
  ends early when 50 requests have failed, or less than 20 % of the error budget is left

the fault slice failed 41 of 205 requests (20 %), control 0 of 198

           requests        failed  users  injected  p50 ms  p90 ms  p99 ms
  before     12,345   12 (0.10 %)      -         -       4       -    21.5
  fault         205  41 (20.00 %)     40       205     350   390.2     402
  control       198    0 (0.00 %)     39         0       4       9      22
  E [########################] 10^4.1, broken at 10^3.0
  they fail 4.25 to any number of times as often (95 %, at all times)
";
        assert_eq!(text, wanted, "{text}");
    }

    #[test]
    fn an_undo_that_failed_is_not_overlooked() {
        let mut run = run();
        for (undo, wanted) in [
            (json!({"state": "done", "tries": 1, "error": null}), "  undone after 1 try\n"),
            (json!({"state": "waiting", "tries": 0}), "  undo: waits for the end of the fault\n"),
            (
                json!({"state": "waiting", "tries": 2, "error": "exit code 1"}),
                "  undo: tried again after 2 tries: exit code 1\n",
            ),
            (
                json!({"state": "failed", "tries": 9, "error": "gone"}),
                "  undo: failed after 9 tries: gone; do it by hand\n",
            ),
        ] {
            run["undo"] = undo;
            assert!(one(&run).ends_with(wanted), "{}", one(&run));
        }
    }

    #[test]
    fn all_experiments_and_runs_have_a_row_each() {
        let answer = json!({"enabled": true, "experiments": [{"name": "slow-payments", "duration": "10m",
            "target": {"service": "pay", "share": 2}, "fault": {"reset": true}}], "runs": [run()]});
        let text = all(&answer);
        assert!(text.contains("slow-payments  pay, 2 % of its users  reset"), "{text}");
        assert!(text.contains("broken"), "{text}");
        assert!(all(&json!({"enabled": true})).ends_with("there was no run yet\n"));
        assert!(all(&json!({"enabled": false})).contains("enabled = true"));
        assert_eq!(stopped(&json!({"stopped": []})), "nothing was running\n");
        assert!(stopped(&json!({"stopped": [3, 4]})).starts_with("runs 3, 4 are ended"));
    }

    #[test]
    fn a_dry_run_says_whom_it_would_reach_and_whether_it_may() {
        let mut answer = run();
        answer["dry_run"] = true.into();
        answer["sentence"] = "slow-payments: 2 % of the users in each of two slices; it can begin now".into();
        let text = started(&answer);
        assert!(text.starts_with("dry run, nothing was begun: slow-payments\n  latency fixed 300ms"), "{text}");
        assert!(
            text.ends_with("\n  slow-payments: 2 % of the users in each of two slices; it can begin now\n"),
            "{text}"
        );
    }
}
