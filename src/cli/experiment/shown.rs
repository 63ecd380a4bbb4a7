//! Experiments of a proxy, as text.

use serde::Deserialize;
use serde_json::Value;

use super::report;
use crate::cli::text::{Columns, TextTone, list, member, number, thousands, toned};
use crate::experiment::result_view::ResultView;
use crate::experiment::tally_view::TallyView;

/// All experiments, a row each.
pub(super) fn table(answer: &Value) -> String {
    let mut columns = Columns::with_heading(&["experiment", "state", "compares", "users", "so far"]);
    let mut any = false;
    for experiment in list(answer, "experiments") {
        any = true;
        let (state, tone) = state(experiment);
        columns.row(vec![
            (member(experiment, "name"), TextTone::Strong),
            (state, tone),
            (compares(experiment), TextTone::Plain),
            (experiment["users"].as_u64().map_or("-".to_owned(), thousands), TextTone::Plain),
            (member(experiment, "sentence"), TextTone::Plain),
        ]);
    }
    match any {
        true => columns.render(),
        false => "no experiments: the config has none (see docs/experiments.md)\n".to_owned(),
    }
}

/// One experiment on a line, for the status.
pub(crate) fn line(experiment: &Value) -> String {
    let (state, tone) = state(experiment);
    let share = number(&experiment["share"], 3);
    let of = if experiment["state"] == "running" { format!(" for {share} % of the users") } else { String::new() };
    format!("  {}: {}{of}, {}\n", member(experiment, "name"), toned(&state, tone), compares(experiment))
}

/// An experiment with its result.
pub(super) fn page(answer: &Value) -> String {
    let (state, tone) = state(answer);
    let mut text = format!("{}  {}\n", toned(&member(answer, "name"), TextTone::Strong), toned(&state, tone));
    let share = number(&answer["share"], 3);
    let segment = if answer["segment"] == true { " of its segment" } else { "" };
    let layer = answer["layer"].as_str().map(|layer| format!(", in the layer {layer}")).unwrap_or_default();
    text += &format!("  {}, for {share} % of the users{segment}{layer}\n", compares(answer));
    if let Some(run) = list(answer, "runs").next() {
        let ended = run["ended_at"].as_str().map(|at| format!(", ended {at}")).unwrap_or_default();
        text += &format!("  revision {} began it {}{ended}\n", member(run, "since"), member(run, "began_at"));
    }
    if answer["compared_something_else"] == true {
        let note = "the run compared something else than the config says by now";
        text += &format!("  {}\n", toned(note, TextTone::Warn));
    }
    let Ok(result) = ResultView::deserialize(&answer["result"]) else {
        let how = format!("pointsman experiment start {}", member(answer, "name"));
        return text + &format!("  nothing was counted yet; `{how}` begins a run\n");
    };
    let tally = TallyView::deserialize(&answer["events"]).unwrap_or_default();
    text + "\n" + &report::to_text(&result) + &report::happened(tally.parts())
}

fn state(experiment: &Value) -> (String, TextTone) {
    match experiment["state"].as_str() {
        Some("running") => (format!("running since revision {}", member(experiment, "since")), TextTone::Good),
        Some("ended") => ("ended".to_owned(), TextTone::Plain),
        Some(_) | None => ("never started".to_owned(), TextTone::Plain),
    }
}

/// `v2 with v1 of the service shop`
fn compares(experiment: &Value) -> String {
    let (kind, subject) = match experiment["service"].as_str() {
        Some(_) => ("service", member(experiment, "service")),
        None => ("flag", member(experiment, "flag")),
    };
    format!("{} with {} of the {kind} {subject}", member(experiment, "treatment"), member(experiment, "control"))
}
