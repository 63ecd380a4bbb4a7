//! Rollouts as text: all of them as a list, or one with its state, its evidence and what an operator can do next.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::layout;
use crate::cli::text::{Columns, TextTone, list, member, number, thousands, toned};
use crate::rollout::judge::summary::about;

/// Changes of the judge's mind that are shown.
const VERDICTS_SHOWN: usize = 10;

/// The same in a live picture.
const VERDICTS_LIVE: usize = 4;

/// How wide the scale of E is drawn at the most, and at the least on a narrow terminal.
const SCALE_CHARS: [usize; 2] = [24, 6];

/// What stands beside the scale: its indent, and the numbers.
const BESIDE_SCALE: usize = 42;

/// What a start answers.
pub(crate) fn started(answer: &Value) -> String {
    let what = if answer["dry_run"] == true { "would begin" } else { "has begun" };
    let rollout = &answer["rollout"];
    let head = format!("rollout {} of {} to {} {what}\n", member(rollout, "id"), title(rollout), targets(rollout));
    format!("{head}{}{}{}", stages(rollout), forecast(answer), warnings(answer))
}

/// How long it will take, and what to write for the plan that fits.
pub(crate) fn forecast(answer: &Value) -> String {
    let forecast = &answer["forecast"];
    let Some(text) = forecast["text"].as_str() else { return String::new() };
    let suggestion = &forecast["suggestion"];
    let steps: Vec<_> = list(suggestion, "steps").map(|step| number(step, 3)).collect();
    let steps = (!steps.is_empty()).then(|| format!("--steps {}", steps.join(",")));
    let catches = suggestion["catches"].as_f64().map(|catches| format!("--set judge.catches={catches}"));
    let flags: Vec<_> = steps.into_iter().chain(catches).collect();
    let flags = if flags.is_empty() { String::new() } else { format!(" ({})", flags.join(" ")) };
    format!("  {text}{flags}\n")
}

/// What its operator will want to know.
pub(crate) fn warnings(answer: &Value) -> String {
    let line =
        |warning: &Value| format!("{}: {}\n", toned("warning", TextTone::Warn), warning.as_str().unwrap_or_default());
    list(answer, "warnings").map(line).collect()
}

/// All rollouts, a line each.
pub(crate) fn all(answer: &Value) -> String {
    let mut columns = Columns::with_heading(&["id", "of", "versions", "strategy", "phase", "weight"]);
    for rollout in list(answer, "rollouts") {
        let tone = tone(rollout);
        let versions = moves(rollout);
        columns.row(vec![
            (member(rollout, "id"), TextTone::Plain),
            (title(rollout), TextTone::Strong),
            (versions, TextTone::Plain),
            (member(rollout, "strategy"), TextTone::Plain),
            (phase(rollout), tone),
            (format!("{} %", number(&rollout["weight"], 3)), TextTone::Plain),
        ]);
    }
    if list(answer, "rollouts").next().is_none() { "there was no rollout yet\n".to_owned() } else { columns.render() }
}

/// One rollout with its evidence and what happened.
pub(crate) fn one(rollout: &Value) -> String {
    let events = list(rollout, "events").map(|event| format!("  {}  {}\n", at(event), member(event, "text")));
    format!("{}\n{}\n{}{}", state(rollout), evidence(rollout), events.collect::<String>(), verdicts(rollout))
}

/// How the judge's mind changed, at the last few times.
pub(crate) fn verdicts(rollout: &Value) -> String {
    let all: Vec<_> = list(rollout, "verdicts").collect();
    let last = all.get(all.len().saturating_sub(VERDICTS_SHOWN)..).unwrap_or_default();
    let lines: String =
        last.iter().map(|verdict| format!("  {}  {}\n", at(verdict), member(verdict, "text"))).collect();
    if lines.is_empty() { lines } else { format!("\nwhat the judge has thought:\n{lines}") }
}

/// The same in a live picture: the last few, each on one line of this width.
pub(crate) fn recent_verdicts(rollout: &Value, width: usize) -> String {
    let all: Vec<_> = list(rollout, "verdicts").collect();
    // One that has not changed is what the picture shows anyway.
    let last = all.get(all.len().saturating_sub(VERDICTS_LIVE)..).filter(|last| last.len() > 1).unwrap_or_default();
    let line = |verdict: &&Value| {
        let (weight, text) = (number(&verdict["weight"], 3), member(verdict, "text"));
        layout::cut(&format!("    {}  {weight} %  {text}", clock(verdict)), width) + "\n"
    };
    let lines: String = last.iter().map(line).collect();
    if lines.is_empty() { lines } else { format!("  what the judge has thought:\n{lines}") }
}

/// A line on where it is.
pub(crate) fn state(rollout: &Value) -> String {
    let mut line = format!(
        "rollout {} of {}: {}, {} at {} %",
        member(rollout, "id"),
        toned(&title(rollout), TextTone::Strong),
        moves(rollout),
        toned(&phase(rollout), tone(rollout)),
        number(&rollout["weight"], 3),
    );
    if let Some(stage) = rollout["stage"].as_u64() {
        let _ = write!(line, ", stage {} of {}", stage + 1, list(rollout, "stages").count());
    }
    if let Some(task) = rollout["task"].as_str() {
        let places: Vec<&str> = list(rollout, "endpoints").filter_map(Value::as_str).collect();
        let of = if places.is_empty() { String::new() } else { format!(" of {}", places.join(", ")) };
        let _ = write!(line, ", waiting for: {task}{of}");
    }
    if let Some(left) = rollout["task_left_seconds"].as_f64() {
        let _ = write!(line, ", for {} at the most", time(left));
    }
    match (rollout["bake_left_seconds"].as_f64(), rollout["hold_left_seconds"].as_f64()) {
        (_, Some(left)) => {
            let then = if rollout["on_hold"] == "roll_back" { "goes back" } else { "pauses" };
            let _ = write!(line, ", held, {then} in {}", time(left));
        }
        (Some(left), None) if left > 0.0 => {
            let _ = write!(line, ", {} left", time(left));
        }
        (Some(_) | None, None) => {}
    }
    if let Some(why) = rollout["paused_because"].as_str() {
        let _ = write!(line, " ({why})");
    }
    line.push('\n');
    if let Some(how) = how_to_go_on(rollout) {
        let _ = writeln!(line, "  {how}");
    }
    line
}

/// What has to be done so that it goes on, with the command.
pub(crate) fn how_to_go_on(rollout: &Value) -> Option<String> {
    let what = match rollout["waits_for"].as_str()? {
        "approval" => "it waits for an approval; to say yes",
        "acknowledgement" => "it waits for somebody; when it is done",
        "repair" => "it is stuck; when that is mended",
        _ => "it is paused; to go on",
    };
    Some(format!("{}: {}", toned(what, TextTone::Warn), rollout["command"].as_str()?))
}

/// What the judge has found of each service.
pub(crate) fn evidence(rollout: &Value) -> String {
    let mut text = String::new();
    for found in list(rollout, "evidence") {
        let counts = |side: &str| {
            let counts = &found[side];
            let number = |key: &str| counts[key].as_u64().map_or("-".to_owned(), thousands);
            format!("{} of {} failed", number("failures"), number("requests"))
        };
        let users = users(found);
        let service = toned(&member(found, "service"), TextTone::Strong);
        let judged = ["candidate", "baseline"].iter().any(|side| found[side]["requests"] != 0);
        if let Some(left) = warm_up_left(found) {
            let _ = writeln!(text, "  {service}: warming up, {left} s left");
            if !judged {
                continue;
            }
        }
        let (to, from) = compared(rollout, &found["service"]);
        let _ = writeln!(text, "  {service}: {to} {}{users}, {from} {}", counts("candidate"), counts("baseline"));
        if let Some([low, high]) = found["failure_ratio"].as_array().map(Vec::as_slice) {
            let high = if high.is_null() { "any number of".to_owned() } else { number(high, 2) };
            let _ = writeln!(text, "    it fails {} to {high} times as often (95 %, at all times)", number(low, 2));
        }
        if let (Some(new), Some(old)) = (ms(&found["candidate_ms"]), ms(&found["baseline_ms"])) {
            let _ = writeln!(text, "    latency p50/p90/p99: {new} ms against {old} ms");
        }
        text.push_str(&ceilings(found));
        text.push_str(&own_metrics(found));
        text.push_str(&guardrails(found));
        let _ = writeln!(text, "    E {}", scale(found));
        text.push_str(&missing(found, &to));
        let _ = writeln!(text, "    {}", member(found, "sentence"));
    }
    text
}

/// How many users of the new version this step has had, where each of them counts once.
fn users(found: &Value) -> String {
    match (found["step_users"].as_u64(), found["needed_users"].as_u64()) {
        (Some(users), Some(needed)) => format!(" ({users} of {needed} users in this step)"),
        (Some(users), None) => format!(" ({users} users in this step)"),
        (None, _) => String::new(),
    }
}

/// What the step lacks, in requests and in time.
fn missing(found: &Value, to: &str) -> String {
    let of = |what: &str| {
        Some((found[format!("needed_{what}")].as_u64()?, found[format!("step_{what}")].as_u64()?, what.to_owned()))
    };
    let Some((needed, judged, what)) = of("users").or_else(|| of("requests")) else { return String::new() };
    let takes = found["needed_in_seconds"].as_f64();
    let takes = takes.map_or_else(|| "none has come yet".to_owned(), |takes| format!("about {}", time(takes)));
    format!("    this step wants {} more {what} of {to}: {takes}\n", needed.saturating_sub(judged))
}

/// What a metrics server says of it, a line for each question.
pub(crate) fn own_metrics(found: &Value) -> String {
    let line = |metric: &Value| {
        let text = member(metric, "text");
        match metric["answer"].as_str() {
            Some("good") => format!("    {}: {text}\n", toned("good", TextTone::Good)),
            Some("bad") => format!("    {}: {text}\n", toned("bad", TextTone::Bad)),
            // The text says itself that there is nothing.
            _ => format!("    {}\n", toned(&text, TextTone::Warn)),
        }
    };
    list(found, "metrics").map(line).collect()
}

/// What its users do, a line for each guardrail.
pub(crate) fn guardrails(found: &Value) -> String {
    let line = |guardrail: &Value| {
        let (text, standing) = (member(guardrail, "text"), member(guardrail, "standing").replace('_', " "));
        let (word, tone) = match guardrail["standing"].as_str() {
            Some("unharmed") => ("no harm proved".to_owned(), TextTone::Good),
            Some("worse") => (standing, TextTone::Bad),
            _ => (standing, TextTone::Warn),
        };
        let times = guardrail["times"].as_array().map(Vec::as_slice);
        let times =
            times.and_then(|times| Some((times.first()?, times.get(1)?))).map_or_else(String::new, |(low, high)| {
                let high = if high.is_null() { "any number of".to_owned() } else { number(high, 2) };
                format!(", {} to {high} times (95 %, at all times)", number(low, 2))
            });
        format!("    {}: {text}{times}\n", toned(&word, tone))
    };
    list(found, "guardrails").map(line).collect()
}

/// What it is held to without another version beside it.
fn ceilings(found: &Value) -> String {
    let percent = |ceiling: &Value| Some(format!("{} %", number(&json!(ceiling["at_most"].as_f64()? * 100.0), 2)));
    let (errors, slow) = (&found["errors_max"], &found["slow_max"]);
    let whose = |ceiling: &Value| match ceiling["from"].as_str() {
        Some("plan") | None => " by the plan".to_owned(),
        Some(version) => format!(" by what {version} did"),
    };
    let failing = percent(errors).map(|most| format!("at most {most} may fail{}", whose(errors)));
    let slow = percent(slow)
        .map(|most| format!("{most} may take longer than {} ms{}", number(&slow["longer_than_ms"], 1), whose(slow)));
    let all: Vec<_> = failing.into_iter().chain(slow).collect();
    if all.is_empty() { String::new() } else { format!("    {}\n", all.join(", ")) }
}

pub(crate) fn time(seconds: f64) -> String {
    about(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default())
}

/// How many seconds nothing will be judged, because all endpoints of a version are cold.
fn warm_up_left(found: &Value) -> Option<f64> {
    found["warm_up_left_seconds"].as_f64().map(f64::ceil)
}

/// E on a logarithmic scale from 1/1000 to the alarm: that of the test that speaks loudest, as the sentence has it.
pub(crate) fn scale(found: &Value) -> String {
    let highest = found["log10_e_highest"].as_f64().or(found["log10_e"].as_f64());
    let (e, alarm) = (highest.unwrap_or(0.0), found["log10_alarm"].as_f64().unwrap_or(3.0));
    let test = match found["leading"].as_str() {
        Some(test @ ("errors_max" | "slow_max" | "responses" | "route")) => format!(" for {test}"),
        _ => String::new(),
    };
    let [most, least] = SCALE_CHARS;
    let cells = layout::width().map_or(most, |width| width.saturating_sub(BESIDE_SCALE).clamp(least, most));
    let part = ((e + 3.0) / (alarm + 3.0)).clamp(0.0, 1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the width")]
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let full = (part * cells as f64).round() as usize;
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
    format!("[{bar}{}] 10^{e:.1}{test}, turned back at 10^{alarm:.1}", ".".repeat(cells - full))
}

fn ms(quantiles: &Value) -> Option<String> {
    let quantiles = quantiles.as_array()?;
    Some(quantiles.iter().map(|quantile| number(quantile, 1)).collect::<Vec<_>>().join("/"))
}

fn stages(rollout: &Value) -> String {
    let copies = |stage: &Value| match stage["mirror"].as_f64() {
        Some(_) => format!("mirror {} %", number(&stage["mirror"], 3)),
        None => member(stage, "what"),
    };
    let stage = |stage: &Value| match (stage["weight"].as_f64(), stage["seconds"].as_f64()) {
        (Some(_), Some(seconds)) => format!("{} % for {}", number(&stage["weight"], 3), time(seconds)),
        (None, Some(seconds)) => format!("{} for {}", copies(stage), time(seconds)),
        _ => member(stage, "what"),
    };
    let all: Vec<String> = list(rollout, "stages").map(stage).collect();
    format!("  {}\n", all.join(", "))
}

/// Whether it moves versions, and not flags only.
pub(crate) fn moves_versions(rollout: &Value) -> bool {
    let of_flag = |service: &Value| list(rollout, "flags").any(|flag| list(flag, "services").any(|of| of == service));
    !list(rollout, "services").all(of_flag)
}

/// What goes where: `v1 -> v2`, of a flag `off -> on`, of a group `v1 -> v2, new-checkout off -> on`.
fn moves(rollout: &Value) -> String {
    let of = |of: &Value| format!("{} -> {}", member(of, "from"), member(of, "to"));
    if rollout["group"].is_null() {
        return of(rollout);
    }
    let versions = moves_versions(rollout).then(|| of(rollout));
    let flags = list(rollout, "flags").map(|flag| format!("{} {}", member(flag, "flag"), of(flag)));
    versions.into_iter().chain(flags).collect::<Vec<_>>().join(", ")
}

/// What is to have everything.
fn targets(rollout: &Value) -> String {
    if rollout["group"].is_null() {
        return member(rollout, "to");
    }
    let version = moves_versions(rollout).then(|| member(rollout, "to"));
    let flags = list(rollout, "flags").map(|flag| format!("{}={}", member(flag, "flag"), member(flag, "to")));
    version.into_iter().chain(flags).collect::<Vec<_>>().join(", ")
}

/// The candidate and the baseline of a service, as they are called beside others.
fn compared(rollout: &Value, service: &Value) -> (String, String) {
    let own = list(rollout, "flags").find(|flag| list(flag, "services").any(|of| of == service));
    match own.filter(|_| !rollout["group"].is_null()) {
        Some(flag) => {
            let side = |side: &str| format!("{}={}", member(flag, "flag"), member(flag, side));
            (side("to"), side("from"))
        }
        None => (member(rollout, "to"), member(rollout, "from")),
    }
}

fn title(rollout: &Value) -> String {
    match (rollout["group"].as_str(), rollout["flag"].as_str()) {
        (Some(group), _) => format!("group {group}"),
        (None, Some(flag)) => format!("flag {flag}"),
        (None, None) => list(rollout, "services").filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
    }
}

fn phase(rollout: &Value) -> String {
    let phase = rollout["phase"].as_str().unwrap_or("-");
    if phase == "finished" { member(rollout, "ending") } else { phase.replace('_', " ") }
}

fn tone(rollout: &Value) -> TextTone {
    match (rollout["phase"].as_str(), rollout["ending"].as_str()) {
        (Some("finished"), Some("completed")) => TextTone::Good,
        (Some("finished" | "rolling_back"), _) => TextTone::Bad,
        (Some("paused" | "waiting"), _) => TextTone::Warn,
        _ => TextTone::Plain,
    }
}

/// The time of day of an event, as the whole time is elsewhere.
fn clock(event: &Value) -> String {
    let at = event["at_ms"].as_i64().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| "-".to_owned(), |at| at.strftime("%H:%M:%SZ").to_string())
}

fn at(event: &Value) -> String {
    let at = event["at_ms"].as_i64().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| "-".to_owned(), |at| format!("{at:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_says_how_long_it_takes_and_what_to_write_for_a_plan_that_fits() {
        let text = "at 1.0 requests/s this plan takes about 19 h; with steps 10,50,100 and catches 0.1: 40 min";
        let suggestion = json!({"steps": [10.0, 50.0, 100.0], "catches": 0.1, "seconds": 2_400.0});
        assert_eq!(
            forecast(&json!({"forecast": {"text": text, "suggestion": suggestion}})),
            format!("  {text} (--steps 10,50,100 --set judge.catches=0.1)\n")
        );
        assert_eq!(forecast(&json!({"forecast": {"text": "x", "suggestion": null}})), "  x\n");
        assert_eq!(forecast(&json!({})), "");
    }

    #[test]
    fn the_last_changes_of_mind_have_a_line_each_in_a_live_picture() {
        let mind =
            |second: i64, text: &str| json!({"at_ms": 1_700_000_000_000 + second * 1000, "weight": 10.0, "text": text});
        let long = "holding 店 v2: 10 <= E (39): 3 of 83 requests failed (3.6 %) against 0 of 649 (0 %) on v1";
        let all = [mind(0, "a"), mind(1, "holding shop v2: baking"), mind(2, "b"), mind(3, "c"), mind(4, long)];
        let text = recent_verdicts(&json!({"verdicts": all}), 80);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "  what the judge has thought:");
        assert_eq!(lines[1], "    22:13:21Z  10 %  holding shop v2: baking");
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[4], "    22:13:24Z  10 %  holding 店 v2: 10 <= E (39): 3 of 83 requests failed (3.6…");
        assert!(lines.iter().all(|line| layout::visible_width(line) <= 80), "{text}");
        assert_eq!(recent_verdicts(&json!({"verdicts": [mind(0, "a")]}), 80), "", "what it thinks now is shown anyway");
        assert_eq!(recent_verdicts(&json!({}), 80), "");
    }

    #[test]
    fn what_is_waited_for_is_said_with_its_time() {
        let line = |more: Value| {
            let mut rollout =
                json!({"id": 7, "services": ["shop"], "from": "v1", "to": "v2", "phase": "going", "weight": 1.0});
            rollout.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            state(&rollout)
        };
        let held = line(json!({"bake_left_seconds": 0.0, "hold_left_seconds": 1_320.0, "on_hold": "pause"}));
        assert!(held.ends_with(" at 1 %, held, pauses in 22 min\n"), "{held}");
        let baking = line(json!({"bake_left_seconds": 600.0}));
        assert!(baking.ends_with(", 10 min left\n"), "{baking}");
        let gate =
            line(json!({"task": "approval", "task_left_seconds": 7_200.0, "waits_for": "approval", "command": "C"}));
        assert!(gate.contains("waiting for: approval, for 2.0 h at the most"), "{gate}");
        assert!(gate.ends_with(": C\n"), "{gate}");
    }

    #[test]
    fn what_a_metrics_server_says_has_a_line_each() {
        let metric = |answer: &str, text: &str| json!({"answer": answer, "text": text});
        let found = json!({"metrics": [
            metric("good", "metric orders is 11, want at least 10"),
            metric("bad", "metric queue is 14, want at most 13, 1 of 3 answers in a row"),
            metric("no_data", "no data of metric both: the query answered 2 series, want 1"),
        ]});
        let lines = "    good: metric orders is 11, want at least 10\n    bad: metric queue is 14, want at most 13, 1 of 3 answers \
                     in a row\n    no data of metric both: the query answered 2 series, want 1\n";
        assert_eq!(own_metrics(&found), lines);
        assert_eq!(own_metrics(&json!({})), "");
    }

    #[test]
    fn what_users_do_has_a_line_for_each_guardrail() {
        let found = json!({"guardrails": [
            {"metric": "purchase", "standing": "unharmed", "text": "guardrail purchase: 9 of 90 users (10 %) against 8 of 91 \
             (8.8 %) on v1", "times": [0.31, null]},
            {"metric": "revenue", "standing": "too_few_users", "text": "not enough users for guardrail revenue: 9 of 100 on v2"},
        ]});
        let lines = "    no harm proved: guardrail purchase: 9 of 90 users (10 %) against 8 of 91 (8.8 %) on v1, 0.31 to any \
                     number of times (95 %, at all times)\n    too few users: not enough users for guardrail revenue: 9 of 100 on \
                     v2\n";
        assert_eq!(guardrails(&found), lines);
        assert_eq!(guardrails(&json!({})), "");
    }

    #[test]
    fn what_a_step_lacks_is_said_in_requests_and_time() {
        let found = json!({"needed_requests": 691, "step_requests": 120, "needed_in_seconds": 34_260.0});
        assert_eq!(missing(&found, "v2"), "    this step wants 571 more requests of v2: about 9.5 h\n");
        let none = json!({"needed_requests": 691, "step_requests": 0});
        assert_eq!(missing(&none, "v2"), "    this step wants 691 more requests of v2: none has come yet\n");
        let held_to = json!({
            "errors_max": {"at_most": 0.0031, "from": "v1"},
            "slow_max": {"at_most": 0.02, "longer_than_ms": 24.0, "from": "plan"},
        });
        let text = "    at most 0.31 % may fail by what v1 did, 2 % may take longer than 24 ms by the plan\n";
        assert_eq!(ceilings(&held_to), text);
    }
}
