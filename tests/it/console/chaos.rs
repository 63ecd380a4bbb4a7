//! Chaos experiments in the console: begun there, watched there, and ended there.

use serde_json::{Value, json};

use super::Stand;
use super::actions::confirm;
use crate::support::browser::Tab;
use crate::support::load::Load;
use crate::support::release::visitors;
use crate::support::{Setup, eventually};

/// An experiment that no user notices, and that lasts until it is ended.
pub(super) const CHAOS: &str = r#"
[chaos]
enabled = true
share_max = 50
[chaos.experiments.slow]
target = { service = "site", version = "v1", share = 50 }
fault = { latency = { fixed = "2ms" } }
baseline = "1s"
duration = "20m"
hypothesis = { errors = { ratio_max = 2 } }
"#;

fn set(untested: &str) -> Option<(Stand, Load)> {
    let stand = Stand::new(untested, |setup: Setup| setup.bottom(CHAOS))?;
    let load = Load::start(visitors(stand.proxy.address, &["/"], 100, false));
    Some((stand, load))
}

fn run(stand: &Stand) -> Value {
    stand.get("/v1/chaos/1")
}

/// Waits until the frame tells of a fault.
#[track_caller]
fn alarm(tab: &Tab) {
    tab.reads("header", "Fault in site: slow");
    tab.shows("button", "End all faults");
}

#[test]
fn a_run_is_begun_and_watched_and_every_room_has_the_button_that_ends_all() {
    let Some((stand, load)) = set("chaos in the console") else { return };
    let tab = stand.console("#/chaos");
    tab.reads("main", "latency fixed 2ms.*site v1, 50 % of its users");
    assert_eq!(tab.count("button", "End all faults"), 0);
    tab.click("button", "Start slow");
    let shown = tab.reads("dialog", "50 % of the users in each of two slices");
    assert!(shown.contains("pointsman chaos start slow"), "{shown}");
    assert_eq!(stand.get("/v1/chaos")["runs"], json!([]), "looking begins nothing");
    confirm(&tab, "Start", "is it noticed");
    tab.reads("main h1", "Run 1 of slow");
    alarm(&tab);
    tab.reads("main", "injecting.*With the fault.*Without it");
    tab.is_accessible("a run under way");
    assert_eq!(tab.ask("wide", json!({})), json!([]));
    assert_eq!(run(&stand)["reason"], "is it noticed");
    // It is seen from everywhere, by others as well.
    let other = stand.console("#/service/site");
    alarm(&other);
    other.is_accessible("a service under a fault");
    other.click("button", "End all faults");
    eventually("it is ended", || run(&stand)["state"] == "ended");
    assert_eq!(run(&stand)["ended_by"], "operator");
    tab.reads("main", "Ended .* by an operator.*All was as before");
    tab.ask("await", json!({ "css": ".chaos-alarm", "state": "hidden" }));
    other.ask("await", json!({ "css": ".chaos-alarm", "state": "hidden" }));
    tab.go("#/chaos");
    tab.reads("main", "Run 1.*not enough data");
    tab.is_accessible("all runs");
    tab.end();
    other.end();
    load.end();
}

#[test]
fn one_run_is_stopped_with_a_reason_and_a_refusal_is_shown() {
    let Some((stand, load)) = set("a run that is stopped in the console") else { return };
    stand.proxy.call("POST", "/v1/chaos", &json!({ "experiment": "slow" }).to_string());
    let tab = stand.console("#/chaos");
    // One at a time on a service.
    tab.click("button", "Start slow");
    tab.reads("dialog [role=alert]", "\\w");
    tab.press("Escape");
    tab.go("#/chaos/1");
    tab.click("button", "Stop");
    tab.reads("dialog", "pointsman chaos stop 1");
    confirm(&tab, "Stop", "enough seen");
    eventually("it is ended", || run(&stand)["state"] == "ended");
    tab.reads("main", "Ended .* by an operator");
    tab.go("#/chaos/99");
    tab.reads("main [role=alert]", "99");
    tab.end();
    load.end();
}
