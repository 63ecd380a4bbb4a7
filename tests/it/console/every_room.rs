//! What holds in every room: for those who see little, for those who have no mouse, on a phone, and at 200 %.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::chaos::CHAOS;
use super::{FLAGS, Stand};
use crate::support::browser::{Browser, Tab};
use crate::support::load::Load;
use crate::support::release::{id, visitors};

/// A proxy where every room has something to show: users, revisions with reasons, a rollout that was turned back and
/// one that waits for a person, a flag, an experiment under way, a chaos run, an error budget, and a mirror.
pub(super) fn furnished(untested: &str) -> Option<(Stand, Load)> {
    let service = "flags = [\"theme\"]\nslo = { availability = 99, latency = { under = \"300ms\", share = 99 } }\n\
                   mirror = { to = \"v2\", share = 20, compare = { body = \"exact\" } }";
    let stand = Stand::new(untested, |setup| setup.service(service).bottom(FLAGS).bottom(CHAOS))?;
    let load = Load::start(visitors(stand.proxy.address, &["/", "/orders", "/basket"], 100, false));
    for (v2, reason) in [(10, "a first look"), (40, "more of it"), (0, "")] {
        stand.proxy.put("/v1/services/site/split", &json!({ "v1": 100 - v2, "v2": v2, "reason": reason }).to_string());
    }
    // Before the rollouts: there is no fault on a service that has one.
    stand.proxy.call("POST", "/v1/chaos", &json!({ "experiment": "slow", "reason": "a first try" }).to_string());
    stand.proxy.call("POST", "/v1/chaos/stop", "{}");
    let plan = json!({ "steps": [20, 100], "bake": "10m", "judge": { "warm_up": "0s", "slower": false } });
    let first =
        id(&stand.operator.start(json!({ "service": "site", "to": "v2", "plan": plan, "reason": "the new basket" })));
    stand.operator.until_judged(first, 30);
    stand.operator.order(first, "abort").expect("it can be aborted");
    stand.operator.until_ended(first, "aborted");
    stand.proxy.call("POST", "/v1/experiments/color/start", "{}");
    let second = id(&stand.operator.start(json!({ "service": "site", "to": "v2", "plan": plan })));
    stand.operator.until_judged(second, 30);
    stand.operator.order(second, "pause").expect("it can be paused");
    Some((stand, load))
}

/// The rooms as the console itself lists them, each with what is there to be shown.
pub(super) fn rooms(tab: &Tab) -> Vec<String> {
    let list =
        "import(new URL('console/rooms.js', document.baseURI)).then(({ ROOMS }) => ROOMS.map((room) => room.path))";
    let paths = tab.js(list);
    let paths = paths.as_array().expect("a list").iter().map(|path| path.as_str().expect("a path"));
    let filled = paths.filter(|path| *path != "game").map(|path| {
        let path = path
            .replace(":service", "site")
            .replace(":flag", "theme")
            .replace(":experiment", "color")
            .replace(":run", "1");
        format!("#/{}", path.replace(":id", "2"))
    });
    filled.collect()
}

/// Enters a room, and waits until it shows something: the one before is there until its file has come.
#[track_caller]
pub(super) fn enter(tab: &Tab, room: &str) {
    tab.go(room);
    let element =
        "import(new URL('console/rooms.js', document.baseURI)).then(({ roomOf }) => roomOf(location.hash).room.tag)";
    let element = tab.js(element);
    tab.reads(&format!("main > {} h1", element.as_str().expect("a name")), "\\w");
    tab.ask("settled", json!({}));
}

#[test]
fn every_room_is_accessible_in_light_and_dark() {
    let Some((stand, load)) = furnished("the accessibility of the console") else { return };
    let tab = stand.console("");
    for room in rooms(&tab) {
        enter(&tab, &room);
        for scheme in ["light", "dark"] {
            tab.ask("media", json!({ "scheme": scheme, "motion": "reduce" }));
            tab.is_accessible(&format!("{room} in {scheme}"));
        }
        let document = tab.js("`<!DOCTYPE html>\\n${document.documentElement.outerHTML}`");
        stand.browser.is_valid(document.as_str().expect("a text"), &room);
        let small = tab.ask("small", json!({}));
        assert_eq!(small, json!([]), "{room} has targets of less than 24 pixels");
    }
    tab.end();
    load.end();
}

#[test]
fn every_room_fits_on_a_phone_and_at_200_per_cent() {
    let Some((stand, load)) = furnished("the console on a phone") else { return };
    for setting in [json!({ "width": 375, "height": 740 }), json!({ "width": 1280, "height": 900, "zoom": 2 })] {
        let tab = stand.browser.open(&format!("http://{}/", stand.proxy.admin), setting.clone());
        for room in rooms(&tab) {
            enter(&tab, &room);
            assert_eq!(tab.ask("wide", json!({})), json!([]), "{room} at {setting} scrolls sideways");
        }
        tab.end();
    }
    load.end();
}

/// Goes through a page with the tabulator: each stop, until it comes round, once past the browser's own.
#[track_caller]
pub(super) fn stops(tab: &Tab, room: &str) -> Vec<Value> {
    let mut stops: Vec<Value> = Vec::new();
    for _ in 0..200 {
        tab.press("Tab");
        let stop = tab.ask("focus", json!({}));
        if stop.is_null() {
            continue;
        }
        if stops.first() == Some(&stop) {
            return stops;
        }
        assert!(stop["seen"] == true && stop["outlined"] == true, "{room}: a stop that is not seen: {stop:#}");
        stops.push(stop);
    }
    panic!("{room}: the tabulator does not come round: {stops:#?}");
}

#[test]
fn every_room_can_be_gone_through_and_left_by_keyboard() {
    let Some((stand, load)) = furnished("the console by keyboard") else { return };
    let tab = stand.console("");
    for room in rooms(&tab) {
        enter(&tab, &room);
        let stops = stops(&tab, &room);
        // All that can be clicked on is a stop.
        let all = tab.js(
            "[...document.querySelectorAll('a[href], button, input, select, textarea, summary')]
                .filter((one) => one.checkVisibility() && !one.disabled && one.tabIndex >= 0 && !one.closest('[inert]')).length",
        );
        let kinds: BTreeSet<_> = stops.iter().map(|stop| stop["html"].to_string()).collect();
        let radios = tab.js("document.querySelectorAll('input[type=radio]:not(:checked)').length");
        let wanted = all.as_u64().expect("a number") - radios.as_u64().expect("a number");
        println!("{room}: {} stops, {} of their own, want {wanted}", stops.len(), kinds.len());
        assert!(stops.len() as u64 >= wanted, "{room}: {} stops, want {wanted}: {stops:#?}", stops.len());
    }
    tab.end();
    load.end();
}

/// Whether a room that shows `what` is for all: in light and dark, as a document, by keyboard, and on a phone.
#[track_caller]
pub(super) fn is_for_all(browser: &'static Browser, tab: &Tab, url: &str, what: &str) {
    let (page, hash) = url.split_once('#').expect("the hash of a room");
    for scheme in ["light", "dark"] {
        tab.ask("media", json!({ "scheme": scheme, "motion": "reduce" }));
        tab.is_accessible(&format!("{hash}, {what}, in {scheme}"));
        if std::env::var_os("SCREENSHOTS").is_some() {
            let name = format!("{}-{}-{scheme}.png", hash.replace('/', ""), what.replace(' ', "-"));
            let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("console").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            tab.ask("shot", json!({ "path": path.display().to_string(), "full": true }));
        }
    }
    let document = tab.js("`<!DOCTYPE html>\\n${document.documentElement.outerHTML}`");
    browser.is_valid(document.as_str().unwrap(), what);
    assert_eq!(tab.ask("small", json!({})), json!([]), "{what}");
    stops(tab, what);
    let phone = browser.open(page, json!({ "width": 375, "height": 740 }));
    enter(&phone, &format!("#{hash}"));
    assert_eq!(phone.ask("wide", json!({})), json!([]), "{what} scrolls sideways on a phone");
    phone.end();
}
