//! `pointsman status`: the proxy in one look, or followed as it changes ([`watch`]), on a terminal as a
//! [board](status_board).

mod event_reader;
mod status_board;
mod version_table;
mod watch;

use clap::Args;
use serde_json::Value;

use super::change::segment;
use super::client::Call;
use super::experiment::shown;
use super::flag_show;
use super::fleet;
use super::hold;
use super::layout;
use super::rollout::show;
use super::sync::status_lines;
use super::text::{TextTone, list, member, number, toned};
use super::{CommandError, Remote};

/// Show splits, endpoints, rates and what differs from the config file
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  pointsman status\n  pointsman status shop --json\n  pointsman status --watch")]
pub struct StatusArgs {
    /// Only this service
    service: Option<String>,
    /// Go on showing what changes, until Ctrl-C: on a terminal as a live view, elsewhere as text; with --json a line of
    /// JSON for each change
    #[arg(long, short)]
    watch: bool,
}

/// Shows the state.
///
/// # Errors
/// [`CommandError`] when the call fails.
pub fn run(remote: &Remote, args: &StatusArgs) -> Result<(), CommandError> {
    if args.watch {
        return watch::until_interrupted(remote, args.service.as_deref());
    }
    match &args.service {
        Some(service) => remote.call(Call::get(&format!("/v1/services/{}", segment(service)?)), service_text),
        None => remote.call(Call::get("/v1/status"), status_text),
    }
}

fn status_text(status: &Value) -> String {
    let ready =
        if status["ready"] == true { toned("ready", TextTone::Good) } else { toned("not ready", TextTone::Warn) };
    // What follows the state is told the moment of the start, which does not change with every look.
    let age = match status["started_at"].as_str() {
        Some(_) => format!("up since {}", member(status, "started_at")),
        None => format!("up {} s", member(status, "uptime_seconds")),
    };
    let mut text = format!(
        "pointsman {} {ready}, revision {}, {age}, {} workers, {} connections\n",
        member(status, "version"),
        member(status, "revision"),
        member(status, "workers"),
        member(status, "connections"),
    );
    text.push_str(&notes(status));
    let text = list(status, "services").fold(text, |text, service| text + "\n" + &service_text(service));
    let flags: String = list(status, "flags").map(flag_show::line).collect();
    let text = if flags.is_empty() { text } else { format!("{text}\nflags\n{flags}") };
    let experiments: String = list(status, "experiments").map(shown::line).collect();
    if experiments.is_empty() { text } else { format!("{text}\nexperiments\n{experiments}") }
}

/// What is to be known of the process: nothing, if all is well.
fn notes(status: &Value) -> String {
    let mut text = String::new();
    if let Some(problem) = status["state"]["problem"].as_str() {
        text.push_str(&format!("{}: {problem}\n", toned("changes are refused", TextTone::Bad)));
    }
    if let Some(note) = status["state"]["note"].as_str() {
        text.push_str(&format!("{}: {note}\n", toned("the revision store", TextTone::Warn)));
    }
    // Where the config is in a repository, its problems are told there.
    for problem in
        list(&status["config"], "problems").filter_map(Value::as_str).filter(|_| !status["gitops"].is_object())
    {
        text.push_str(&format!("{}: {problem}\n", toned("the config file is not in force", TextTone::Bad)));
    }
    text.push_str(&status_lines(&status["gitops"]));
    text.push_str(&fleet::status_lines(&status["fleet"]));
    for problem in list(&status["tokens"], "problems").filter_map(Value::as_str) {
        text.push_str(&format!("{}: {problem}\n", toned("new tokens are not in use", TextTone::Bad)));
    }
    for warning in list(&status["tokens"], "warnings").filter_map(Value::as_str) {
        text.push_str(&format!("{}: {warning}\n", toned("token", TextTone::Warn)));
    }
    for problem in list(&status["jwt"], "problems").filter_map(Value::as_str) {
        text.push_str(&format!("{}: {problem}\n", toned("new keys of tokens are not in use", TextTone::Bad)));
    }
    for warning in list(&status["jwt"], "warnings").filter_map(Value::as_str) {
        text.push_str(&format!("{}: {warning}\n", toned("jwt", TextTone::Warn)));
    }
    for key in list(&status["config"], "needs_restart").filter_map(Value::as_str) {
        text.push_str(&format!("{}: {key}\n", toned("changed in the file, needs a restart", TextTone::Warn)));
    }
    list(status, "parts").for_each(|part| text.push_str(&part_line(part)));
    for (log, name) in [("process", "log"), ("access", "access log")] {
        text.push_str(&log_line(&status["logs"][log], name));
    }
    if list(status, "experiments").next().is_some() {
        text.push_str(&ledger_lines(&status["ledger"]));
    }
    list(status, "tls").for_each(|side| text.push_str(&tls_lines(side)));
    let refusals: Vec<String> = status["refusals"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    if !refusals.is_empty() {
        text.push_str(&format!("refusals: {}\n", refusals.join(", ")));
    }
    list(status, "holds").for_each(|hold| text.push_str(&hold::line(hold)));
    text
}

/// What is to be known of where experiments are counted: nothing, if all is well.
fn ledger_lines(ledger: &Value) -> String {
    let mut text = String::new();
    if let Some(problem) = ledger["problem"].as_str() {
        text += &format!("{}: {problem}\n", toned("experiments are not counted", TextTone::Bad));
    }
    if let Some(note) = ledger["note"].as_str() {
        text += &format!("{}: {note}\n", toned("the ledger of experiments", TextTone::Warn));
    }
    for full in list(ledger, "full").filter_map(Value::as_str) {
        let words = toned("full", TextTone::Warn);
        text += &format!("{words}: the experiment {full} admits no more users (users_max)\n");
    }
    if let Some(lost) = ledger["lost"].as_u64().filter(|lost| *lost > 0) {
        text += &format!("{}: {lost}\n", toned("seen in experiments and not counted", TextTone::Warn));
    }
    text
}

/// What is to be known of the certificates and keys of a place: nothing, if all is well.
fn tls_lines(side: &Value) -> String {
    let place = member(side, "place");
    let refused = list(side, "problems").filter_map(Value::as_str);
    let refused = refused
        .map(|problem| format!("{}: {place}: {problem}\n", toned("new TLS files are not in use", TextTone::Bad)));
    let warned = list(side, "certificates").filter_map(|certificate| certificate["warning"].as_str());
    let warned = warned.map(|warning| format!("{}: {place}: {warning}\n", toned("certificate", TextTone::Warn)));
    let exposed = list(side, "warnings").filter_map(Value::as_str);
    let exposed = exposed.map(|warning| format!("{}: {place}: {warning}\n", toned("key", TextTone::Warn)));
    refused.chain(warned).chain(exposed).collect()
}

/// A part that is not as it should be: nothing, if it is.
fn part_line(part: &Value) -> String {
    let reason = part["reason"].as_str().map_or(String::new(), |_| format!(": {}", member(part, "reason")));
    match part["state"].as_str() {
        None | Some("running") => String::new(),
        Some(_) => format!("{} is {}{reason}\n", toned(&member(part, "name"), TextTone::Bad), member(part, "state")),
    }
}

/// What was lost of a log: nothing, if nothing was.
fn log_line(log: &Value, name: &str) -> String {
    let lost = log["lost"].as_u64().unwrap_or(0);
    if lost == 0 && log["problem"].is_null() {
        return String::new();
    }
    let problem = log["problem"].as_str().map_or(String::new(), |_| format!(" ({})", member(log, "problem")));
    format!("{}: {lost}{problem}\n", toned(&format!("lines of the {name} that were lost"), TextTone::Warn))
}

fn service_text(service: &Value) -> String {
    let words = |name: &str| list(service, name).filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
    let hosts = Some(words("hosts")).filter(|hosts| !hosts.is_empty()).unwrap_or_else(|| "any host".to_owned());
    let name = toned(&member(service, "name"), TextTone::Strong);
    let sticky = Some(words("sticky")).filter(|keys| !keys.is_empty());
    let sticky = sticky.map_or_else(|| "not sticky".to_owned(), |keys| format!("sticky by {keys}"));
    let mut text = format!("{name}  {hosts} {}, {sticky}\n", words("paths"));
    if service["differs_from_file"] == true {
        let split = service["file_split"].as_object().into_iter().flatten();
        let split: Vec<String> = split.map(|(version, weight)| format!("{version}={}", number(weight, 3))).collect();
        let note = toned("differs from the config file", TextTone::Warn);
        text.push_str(&format!("  {note}, which says {}\n", split.join(" ")));
    }
    let flags: Vec<String> = list(service, "flags").map(flag_words).collect();
    if !flags.is_empty() {
        text.push_str(&format!("  flags: {}\n", flags.join(", ")));
    }
    text.push_str(&budget_line(&service["budget"]));
    text.push_str(&mirror_line(service));
    text.push_str(&chaos_line(&service["chaos"]));
    text.push_str(&rollout_lines(&service["rollout"]));
    text.push_str(&version_table::of(service, layout::width()));
    text
}

/// A flag that a service's requests carry.
fn flag_words(flag: &Value) -> String {
    let disabled = if flag["enabled"] == false { " (disabled)" } else { "" };
    format!("{}{disabled}", member(flag, "name"))
}

/// What is left of the error budget of a service, and how fast it goes; nothing without objectives.
fn budget_line(budget: &Value) -> String {
    let Some(left) = budget["left_percent"].as_f64() else { return String::new() };
    let tone = if left < 0.0 { TextTone::Bad } else { TextTone::Plain };
    let left = toned(&format!("{} %", number(&budget["left_percent"], 1)), tone);
    let rates = ["5m", "1h", "6h", "3d"].map(|window| format!("{} over {window}", number(&budget["burn"][window], 1)));
    format!("  error budget: {left} of {} left, burns at {}\n", member(budget, "window"), rates.join(", "))
}

/// What of the requests of a service is copied, if anything is.
fn mirror_line(service: &Value) -> String {
    let mirror = &service["mirror"];
    let Some(to) = mirror["to"].as_str() else { return String::new() };
    let (share, name) = (number(&mirror["share"], 3), member(service, "name"));
    format!("  mirror: {share} % copied to {to} (pointsman mirror {name})\n")
}

/// The chaos run on a service, and what ends it; or what it did and could not be undone.
fn chaos_line(run: &Value) -> String {
    let Some(id) = run["id"].as_u64() else { return String::new() };
    let (name, ends) = (member(run, "name"), member(run, "ends_at"));
    let stop = format!("pointsman chaos stop {id}");
    let (tone, what) = match (run["state"].as_str(), run["undo"]["state"].as_str()) {
        (Some("ended"), Some("failed")) => {
            let error = run["undo"]["error"].as_str().map_or_else(String::new, |_| member(&run["undo"], "error"));
            (TextTone::Bad, format!("is not undone: {error}; mend it, then try again: {stop}"))
        }
        (Some("ended"), _) => (TextTone::Warn, "has ended, and is being undone".to_owned()),
        (Some("baseline"), _) => {
            (TextTone::Warn, format!("counts its baseline, and is over at {ends} at the latest; to end it: {stop}"))
        }
        _ => (TextTone::Bad, format!("does its fault until {ends} at the latest; to end it: {stop}")),
    };
    format!("  {} {what}\n", toned(&format!("chaos run {id} of {name}"), tone))
}

/// The rollout of a service that is under way.
fn rollout_lines(rollout: &Value) -> String {
    if !rollout.is_object() {
        return String::new();
    }
    let mut line = format!(
        "  rollout {}{}: {} -> {}, {} at {} %",
        member(rollout, "id"),
        rollout["flag"].as_str().map_or(String::new(), |flag| format!(" of flag {flag}")),
        member(rollout, "from"),
        member(rollout, "to"),
        toned(&member(rollout, "phase").replace('_', " "), TextTone::Warn),
        number(&rollout["weight"], 3),
    );
    if let Some(stage) = rollout["stage"].as_u64() {
        line.push_str(&format!(", stage {} of {}", stage + 1, member(rollout, "stages")));
    }
    if let Some(task) = rollout["task"].as_str() {
        let places: Vec<&str> = list(rollout, "endpoints").filter_map(Value::as_str).collect();
        let of = if places.is_empty() { String::new() } else { format!(" of {}", places.join(", ")) };
        line.push_str(&format!(", {task}{of}"));
    }
    if let Some(left) = rollout["bake_left_seconds"].as_f64() {
        line.push_str(&format!(", {} left", show::time(left)));
    }
    let why = rollout["paused_because"].as_str().map_or(String::new(), |why| format!(" ({why})"));
    let how = show::how_to_go_on(rollout).map_or(String::new(), |how| format!("    {how}\n"));
    format!(
        "{line}{why}\n    {}\n{}{how}",
        member(rollout, "sentence"),
        [show::own_metrics(rollout), show::guardrails(rollout)].concat()
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_store_that_cannot_be_written_is_told() {
        let text = status_text(&json!({ "state": { "path": "p.db", "problem": "p.db: it is read-only" } }));
        assert!(text.contains("changes are refused: p.db: it is read-only\n"), "{text}");
    }

    #[test]
    fn how_long_it_runs_is_told_or_since_when() {
        assert!(status_text(&json!({ "uptime_seconds": 12 })).contains(", up 12 s, "));
        let followed = json!({ "started_at": "2026-11-30T03:34:12Z" });
        assert!(status_text(&followed).contains(", up since 2026-11-30T03:34:12Z, "));
    }

    #[test]
    fn the_flags_of_a_service_are_told() {
        let flags = json!([{ "name": "new-checkout", "enabled": true }, { "name": "theme", "enabled": false }]);
        let text = status_text(&json!({ "services": [{ "name": "shop", "flags": flags }, { "name": "cart" }] }));
        assert_eq!(text.matches("  flags: new-checkout, theme (disabled)\n").count(), 1, "{text}");
        assert_eq!(text.matches("flags").count(), 1, "{text}");
    }

    #[test]
    fn what_is_copied_is_told() {
        let service = json!({ "name": "shop", "mirror": { "to": "v3", "share": 12.5 } });
        assert_eq!(mirror_line(&service), "  mirror: 12.5 % copied to v3 (pointsman mirror shop)\n");
        assert_eq!(mirror_line(&json!({ "name": "shop", "mirror": null })), "");
    }

    #[test]
    fn what_is_left_of_an_error_budget_is_told() {
        let burn = json!({ "5m": 15.26, "1h": 2.0, "6h": 0.5, "3d": 0.3 });
        let budget = json!({ "window": "30d", "left_percent": 71.96, "burn": burn });
        let text = status_text(&json!({ "services": [{ "name": "shop", "budget": budget }, { "name": "cart" }] }));
        let line = "  error budget: 72 % of 30d left, burns at 15.3 over 5m, 2 over 1h, 0.5 over 6h, 0.3 over 3d\n";
        assert_eq!(text.matches(line).count(), 1, "{text}");
        assert_eq!(text.matches("budget").count(), 1, "{text}");
    }

    #[test]
    fn a_fault_is_told_with_what_ends_it() {
        let run = |state: &str, undo: Value| {
            let run =
                json!({ "id": 7, "name": "disk", "state": state, "ends_at": "2026-11-30T08:52:38Z", "undo": undo });
            status_text(&json!({ "services": [{ "name": "shop", "chaos": run }, { "name": "cart" }] }))
        };
        let injecting = "chaos run 7 of disk does its fault until 2026-11-30T08:52:38Z at the latest; to end it: \
                         pointsman chaos stop 7\n";
        let baseline = "chaos run 7 of disk counts its baseline, and is over at 2026-11-30T08:52:38Z at the latest; \
                        to end it: pointsman chaos stop 7\n";
        let failed = json!({ "state": "failed", "tries": 5, "error": "still full" });
        let stuck = "chaos run 7 of disk is not undone: still full; mend it, then try again: pointsman chaos stop 7\n";
        for (state, undo, line) in [
            ("injecting", Value::Null, injecting),
            ("injecting", json!({ "state": "waiting", "tries": 0 }), injecting),
            ("baseline", Value::Null, baseline),
            (
                "ended",
                json!({ "state": "waiting", "tries": 2 }),
                "chaos run 7 of disk has ended, and is being undone\n",
            ),
            ("ended", failed, stuck),
        ] {
            let text = run(state, undo);
            assert_eq!((text.matches(line).count(), text.matches("chaos run").count()), (1, 1), "{text}");
        }
    }

    #[test]
    fn a_part_that_is_down_is_told() {
        let part = |name: &str, state: &str| json!({ "name": name, "state": state, "reason": null, "ends": 1 });
        let down = json!({ "name": "writer", "state": "down", "reason": "it panicked: x", "ends": 1 });
        let text = status_text(&json!({ "parts": [part("health", "running"), down, part("worker-0", "stalled")] }));
        assert!(text.contains("writer is down: it panicked: x\nworker-0 is stalled\n"), "{text}");
        assert!(!text.contains("health"), "{text}");
    }

    #[test]
    fn what_the_logs_lost_is_told() {
        let logs =
            json!({ "process": { "lost": 7, "problem": "Broken pipe" }, "access": { "lost": 0, "problem": null } });
        let text = status_text(&json!({ "logs": logs }));
        assert!(text.contains("lines of the log that were lost: 7 (Broken pipe)\n"), "{text}");
        assert!(!text.contains("access log"), "{text}");
    }

    #[test]
    fn keys_and_tokens_that_others_can_read_are_told() {
        let side =
            json!({ "place": "admin.tls", "problems": [], "certificates": [], "warnings": ["others can read a.key"] });
        let text = status_text(&json!({ "tls": [side], "tokens": { "warnings": ["others can read ops"] } }));
        assert!(text.contains("\nkey: admin.tls: others can read a.key\n"), "{text}");
        assert!(text.contains("\ntoken: others can read ops\n"), "{text}");
    }

    #[test]
    fn a_rollout_under_way_is_told() {
        let mut service = json!({
            "name": "shop", "paths": ["/"],
            "versions": [],
            "rollout": {
                "id": 4, "from": "v1", "to": "v2", "phase": "going", "weight": 10.0, "stage": 0, "stages": 3,
                "bake_left_seconds": 46.2, "sentence": "holding shop v2: warming up, 7 s left",
            },
        });
        let text = service_text(&service);
        let rollout = "  rollout 4: v1 -> v2, going at 10 %, stage 1 of 3, 47 s left\n    holding shop v2: warming up, 7 s left\n";
        assert!(text.contains(rollout), "{text}");
        service["rollout"]["phase"] = json!("waiting");
        service["rollout"]["task"] = json!("approval");
        service["rollout"]["waits_for"] = json!("approval");
        service["rollout"]["command"] = json!("pointsman rollout promote shop");
        let text = service_text(&service);
        assert!(text.contains("waiting at 10 %, stage 1 of 3, approval, "), "{text}");
        assert!(text.contains("    it waits for an approval; to say yes: pointsman rollout promote shop\n"), "{text}");
    }

    #[test]
    fn what_is_not_sticky_says_so() {
        let service = json!({ "name": "shop", "paths": ["/"], "sticky": [], "versions": [] });
        assert!(service_text(&service).starts_with("shop  any host /, not sticky\n"));
        let service = json!({ "name": "shop", "paths": ["/"], "sticky": ["cookie"], "versions": [] });
        assert!(service_text(&service).starts_with("shop  any host /, sticky by cookie\n"));
    }

    #[test]
    fn a_hold_is_told_on_one_line() {
        let mut hold = json!({
            "id": 3, "services": ["cart", "web"], "in_force": true, "requests": 7, "since": "2026-11-21T12:00:00Z",
            "until": "2026-11-21T12:00:03Z",
        });
        let line = "held: cart, web (number 3) since 2026-11-21T12:00:00Z, 7 requests wait, until 2026-11-21T12:00:03Z \
                    at the latest\n";
        assert!(status_text(&json!({ "holds": [hold] })).ends_with(line));
        hold["in_force"] = json!(false);
        assert!(
            status_text(&json!({ "holds": [hold] })).contains("12:00:00Z, not on all workers yet, 7 requests wait")
        );
    }
}
