//! Rollouts in the console: begun there, watched there, and decided there.

use std::sync::atomic::Ordering::SeqCst;

use serde_json::{Value, json};

use super::Stand;
use super::actions::confirm;
use crate::support::load::Load;
use crate::support::release::{Operator, visitors};
use crate::support::{Setup, eventually};

/// A plan that is judged from its first request.
fn plan(steps: &str) -> String {
    format!(
        "rollout = {{ steps = {steps}, bake = \"1s\", judge = {{ warm_up = \"0s\", requests_min = 20, slower = false }} }}"
    )
}

fn set(untested: &str, steps: &str) -> Option<(Stand, Load)> {
    let stand = Stand::new(untested, |setup: Setup| setup.service(&plan(steps)))?;
    let load = Load::start(visitors(stand.proxy.address, &["/"], 300, false));
    load.await_more(200);
    Some((stand, load))
}

fn rollout(operator: &Operator) -> Value {
    operator.rollout(1)
}

#[test]
fn a_canary_is_begun_and_seen_to_turn_back() {
    let Some((stand, load)) = set("a canary in the console", "[{ weight = 20, bake = \"10m\" }, 100]") else { return };
    let tab = stand.console("#/start?service=site");
    tab.fill("combobox", "Service", "site");
    tab.fill("combobox", "To", "v2");
    tab.click("button", "Start");
    tab.reads("dialog", "20 %");
    assert_eq!(stand.get("/v1/rollouts")["rollouts"], json!([]));
    confirm(&tab, "Start", "the new basket");
    tab.go("#/rollout/1");
    tab.reads("main h1", "site");
    eventually("v2 has its share", || stand.weights() == [80.0, 20.0]);
    stand.operator.until_judged(1, 30);
    stand.moods[1].failing.store(400, SeqCst);
    let over = stand.operator.until_ended(1, "rolled_back");
    assert_eq!(
        (&over["reason"], &over["evidence"][0]["why"]),
        (&json!("the new basket"), &json!("errors")),
        "{over:#}"
    );
    tab.reads("main", "[Rr]olled back|[Tt]urned back");
    assert_eq!(stand.weights(), [100.0, 0.0]);
    tab.is_accessible("a rollout that was turned back");
    // It is there afterwards as well, with its picture.
    tab.ask("reload", json!({}));
    tab.reads("main", "[Rr]olled back|[Tt]urned back");
    tab.ask("await", json!({ "css": "main svg.picture" }));
    let curve = "document.querySelector('main svg.picture').getBoundingClientRect().width > 300";
    assert_eq!(tab.js(curve), true);
    tab.end();
    load.end();
}

#[test]
fn a_rollout_that_waits_for_a_person_is_promoted() {
    let Some((stand, load)) = set("a manual gate in the console", "[{ weight = 20, gate = \"manual\" }, 100]") else {
        return;
    };
    stand.operator.start(json!({ "service": "site", "to": "v2" }));
    let overview = stand.console("");
    stand.operator.until(1, "at its gate", |view| view["phase"] == "waiting");
    overview.reads("main", "[Ww]aits for");
    let tab = stand.console("#/rollout/1");
    tab.click("button", "Promote");
    tab.ask("await", json!({ "css": "dialog[open]" }));
    assert_eq!(rollout(&stand.operator)["phase"], "waiting");
    confirm(&tab, "Promote", "looks good to me");
    stand.operator.until_ended(1, "completed");
    assert_eq!(stand.weights(), [0.0, 100.0]);
    let events = rollout(&stand.operator)["events"].to_string();
    assert!(events.contains("looks good to me"), "{events}");
    tab.reads("main", "[Cc]ompleted");
    overview.end();
    tab.end();
    load.end();
}

#[test]
fn a_rollout_is_paused_resumed_and_aborted() {
    let Some((stand, load)) = set("orders to a rollout in the console", "[{ weight = 20, bake = \"10m\" }, 100]")
    else {
        return;
    };
    stand.operator.start(json!({ "service": "site", "to": "v2" }));
    let tab = stand.console("#/rollout/1");
    for (order, phase) in [("Pause", "paused"), ("Resume", "going"), ("Abort", "finished")] {
        tab.click("button", order);
        tab.ask("await", json!({ "css": "dialog[open]" }));
        confirm(&tab, order, "by hand");
        stand.operator.until(1, phase, |view| view["phase"] == phase);
    }
    assert_eq!(rollout(&stand.operator)["ending"], "aborted");
    assert_eq!(stand.weights(), [100.0, 0.0]);
    tab.end();
    load.end();
}
