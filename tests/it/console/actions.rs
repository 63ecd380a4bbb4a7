//! What an operator does by clicking: each time the dry run is shown first, and the API is asked what has become of it.

use serde_json::json;

use super::Stand;
use crate::support::browser::Tab;
use crate::support::eventually;

/// Gives the reason, and confirms.
#[track_caller]
pub(super) fn confirm(tab: &Tab, does: &str, reason: &str) {
    tab.ask("fill", json!({ "role": "textbox", "name": "Reason", "within": "dialog", "value": reason }));
    tab.click_in("dialog", "button", does);
    tab.ask("await", json!({ "css": "dialog[open]", "state": "hidden" }));
}

#[test]
fn the_slider_shows_who_would_move_and_then_shifts() {
    let Some(stand) = Stand::new("a shift by the slider", |setup| setup) else { return };
    let tab = stand.console("#/service/site");
    tab.fill("slider", "Share of v2", "30");
    tab.click("button", "Shift");
    let shown = tab.reads("dialog", "30 % is the minimum");
    assert!(shown.contains("pointsman shift site"), "{shown}");
    // Looking changes nothing.
    assert_eq!(stand.weights(), [100.0, 0.0]);
    confirm(&tab, "Shift", "half time");
    assert_eq!(stand.weights(), [70.0, 30.0]);
    assert_eq!(stand.newest()["reason"], "half time");
    tab.reads("main", "30 %");
    tab.end();
}

#[test]
fn a_flip_and_a_rollback_are_done_and_undone() {
    let Some(stand) = Stand::new("a flip and a rollback by clicking", |setup| setup) else { return };
    let tab = stand.console("#/service/site");
    tab.click("button", "Flip");
    tab.reads("dialog", "100 %");
    confirm(&tab, "Flip", "a big day");
    assert_eq!(stand.weights(), [0.0, 100.0]);
    assert_eq!((&stand.newest()["action"], &stand.newest()["reason"]), (&json!("flip"), &json!("a big day")));
    tab.click("button", "Roll back");
    tab.reads("dialog", "100 %");
    confirm(&tab, "Roll back", "not so big");
    assert_eq!(stand.weights(), [100.0, 0.0]);
    assert_eq!(stand.newest()["action"], "rollback");
    tab.end();
}

#[test]
fn an_endpoint_is_drained_and_made_ready() {
    let Some(stand) = Stand::new("a drain by clicking", |setup| setup) else { return };
    let address = stand.origins[1].address();
    let tab = stand.console("#/service/site");
    let state = || stand.proxy.status()["versions"][1]["endpoints"][0]["state"].clone();
    for (order, drained) in [("Drain", true), ("Make ready", false)] {
        tab.click("button", &format!("{order} {address}"));
        tab.ask("await", json!({ "css": "dialog[open]" }));
        tab.click_in("dialog", "button", order);
        eventually("the endpoint is as it was told", || (state() == "drained") == drained);
    }
    tab.end();
}

#[test]
fn an_older_revision_is_restored() {
    let Some(stand) = Stand::new("a restore by clicking", |setup| setup) else { return };
    stand.proxy.put("/v1/services/site/split", &json!({ "v1": 60, "v2": 40, "reason": "by hand" }).to_string());
    let wanted = stand.newest()["revision"].as_u64().expect("a number");
    stand.proxy.put("/v1/services/site/split", &json!({ "v1": 10, "v2": 90 }).to_string());
    let tab = stand.console("#/history");
    tab.reads("main", "by hand");
    tab.click("button", &format!("Restore revision {wanted}"));
    tab.reads("dialog", "50 %");
    assert_eq!(stand.weights(), [10.0, 90.0]);
    confirm(&tab, "Restore", "as it was");
    assert_eq!(stand.weights(), [60.0, 40.0]);
    assert_eq!(stand.newest()["reason"], "as it was");
    tab.end();
}

#[test]
fn a_user_is_explained_as_the_api_explains_it() {
    let more = "rules = [{ name = \"staff\", when = { header = { x-staff = \"1\" } }, use = \"v2\" }]";
    let Some(stand) = Stand::new("explain by the form", |setup| setup.service(more)) else { return };
    let tab = stand.console("#/service/site");
    for (headers, version) in [("x-user-id: anna", "v1"), ("x-user-id: anna\nx-staff: 1", "v2")] {
        tab.fill("textbox", "Path", "/basket");
        tab.fill("textbox", "Headers", headers);
        tab.click("button", "Explain");
        tab.reads(".explained", version);
    }
    tab.end();
}
