//! Who may do what, and what people see when something is between them and the proxy, or when they are two.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::Stand;
use super::actions::confirm;
use crate::support::browser::{Browser, Tab};
use crate::support::control::token_file;
use crate::support::process::{Process, config};
use crate::support::relay::Relay;
use crate::support::{Origin, eventually};

/// Another proxy may call the API by the name that people call it by.
const HOSTS: &str = "hosts = [\"127.0.0.1\"]";

const OPERATOR: &str = "the-token-of-anna-1";
const READER: &str = "the-token-of-ben-22";

fn with_tokens(untested: &str) -> Option<(Stand, TempDir)> {
    let folder = tempfile::tempdir().unwrap();
    let token = |name, secret, role| {
        let file = token_file(&folder, name, secret);
        format!("[admin.tokens.{name}]\nfile = \"{}\"\nrole = \"{role}\"\n", file.display())
    };
    let tokens = token("anna", OPERATOR, "operate") + &token("ben", READER, "read");
    Some((Stand::new(untested, |setup| setup.bottom(&tokens))?, folder))
}

#[track_caller]
pub(super) fn log_in(tab: &Tab, token: &str) {
    tab.ask("fill", json!({ "css": "input[type=password]", "value": token }));
    tab.click("button", "Log in");
}

#[test]
fn a_token_lets_in_a_wrong_one_does_not_and_one_that_has_ended_is_asked_for_again() {
    let Some((stand, folder)) = with_tokens("logging in") else { return };
    let tab = stand.console("#/service/site");
    let asked = tab.reads("main", "Who are you");
    assert!(!asked.contains("v1"), "{asked}");
    for wrong in ["guessed", "not a token \u{fc}\u{1f4a3}"] {
        log_in(&tab, wrong);
        tab.reads("main [role=alert]", "\\w");
    }
    tab.is_accessible("a wrong token");
    log_in(&tab, OPERATOR);
    tab.reads("main", "v1");
    tab.reads("header", "anna");
    assert!(tab.count("button", "Shift") > 0);
    // A token is of this tab: it is in no address and no cookie, and another tab asks for its own.
    assert_eq!(
        tab.js("document.cookie + location.href + JSON.stringify(localStorage)")
            .as_str()
            .map(|text| text.contains(OPERATOR)),
        Some(false)
    );
    // The file has another token: what this tab has is worth nothing any more.
    token_file(&folder, "anna", "another-token-of-anna");
    tab.reads("main", "Who are you");
    log_in(&tab, OPERATOR);
    tab.reads("main [role=alert]", "\\w");
    log_in(&tab, "another-token-of-anna");
    tab.reads("main", "v1");
    tab.end();
}

#[test]
fn a_reader_sees_everything_and_no_button_that_changes_it() {
    let Some((stand, _folder)) = with_tokens("the console of a reader") else { return };
    let tab = stand.console("");
    log_in(&tab, READER);
    tab.reads("main", "site");
    tab.reads("header", "ben");
    for room in ["#/service/site", "#/history", "#/rollouts", "#/start"] {
        tab.go(room);
        tab.reads("main", "\\w");
        for action in ["Shift", "Flip", "Roll back", "Hold", "Start", "Pause", "Abort"] {
            assert_eq!(tab.count("button", action), 0, "{room} has a button {action}");
        }
        let others = tab.ask("count", json!({ "role": "button", "like": "^(Restore|Drain|Make ready)" }));
        assert_eq!(others, 0, "{room}");
    }
    tab.end();
}

#[test]
fn a_lost_connection_is_told_at_once_and_what_happened_meanwhile_is_shown_when_it_is_back() {
    let Some(stand) = Stand::new("a lost connection", |setup| setup.admin(HOSTS)) else { return };
    let relay = Relay::start(stand.proxy.admin, "");
    let tab = stand.browser.console(relay.address(), "#/service/site");
    tab.shows("button", "Flip");
    tab.reads("header", "live");
    relay.cut();
    tab.reads("body > .lost", "connection to the proxy is lost");
    assert_eq!(tab.js("document.querySelector('main').classList.contains('stale')"), true);
    // Nothing can be done now.
    tab.click("button", "Flip");
    tab.reads("dialog", "connection to the proxy is lost");
    assert_eq!(tab.js("document.querySelector('dialog [type=submit]').disabled"), true);
    tab.press("Escape");
    tab.ask("await", json!({ "css": "dialog[open]", "state": "hidden" }));
    stand.proxy.put("/v1/services/site/split", &json!({ "v1": 65, "v2": 35 }).to_string());
    relay.mend(stand.proxy.admin);
    tab.reads("header", "live");
    tab.reads("main", "35 %");
    assert_eq!(tab.js("document.querySelector('main').classList.contains('stale')"), false);
    tab.end();
}

#[test]
fn a_console_survives_a_restart_of_the_proxy() {
    let Some(browser) = Browser::shared("a restart under an open console") else { return };
    let origins = [Origin::saying("v1"), Origin::saying("v2")];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    let state = format!("[state]\npath = \"{}\"\n", folder.path().join("state.db").display());
    let text = config(origins[0].address(), origins[1].address(), &state);
    fs::write(&path, text.replace("[admin]\n", &format!("[admin]\n{HOSTS}\n"))).unwrap();
    let mut process = Process::start(&path);
    let relay = Relay::start(process.admin_address, "");
    let tab = browser.console(relay.address(), "#/service/shop");
    tab.fill("slider", "Share of v2", "20");
    tab.click("button", "Shift");
    confirm(&tab, "Shift", "before");
    relay.cut();
    assert!(process.end().success());
    tab.reads("body > .lost", "lost");
    let process = Process::start(&path);
    relay.mend(process.admin_address);
    tab.reads("header", "live");
    tab.reads("main", "20 %");
    tab.fill("slider", "Share of v2", "45");
    tab.click("button", "Shift");
    confirm(&tab, "Shift", "after");
    assert_eq!(process.get("/v1/services/shop")["versions"][1]["weight"], 45.0);
    tab.end();
}

#[test]
fn of_two_people_the_second_one_learns_what_the_first_one_did() {
    let Some(stand) = Stand::new("two people at once", |setup| setup) else { return };
    let [first, second] = [stand.console("#/service/site"), stand.console("#/service/site")];
    for (tab, share) in [(&first, "10"), (&second, "80")] {
        tab.fill("slider", "Share of v2", share);
        tab.click("button", "Shift");
        tab.reads("dialog", "minimum");
    }
    confirm(&first, "Shift", "I was here first");
    assert_eq!(stand.weights(), [90.0, 10.0]);
    second.click_in("dialog", "button", "Shift");
    second.reads("dialog [role=alert]", "changed while you were looking.*I was here first");
    assert_eq!(stand.weights(), [90.0, 10.0]);
    second.is_accessible("a conflict");
    second.click_in("dialog", "button", "Look again");
    second.reads("dialog .preview", "70 %");
    confirm(&second, "Shift", "then more");
    eventually("the second change is done", || stand.weights() == [20.0, 80.0]);
    first.reads("main", "80 %");
    first.end();
    second.end();
}

/// Presses the tabulator until what has the focus has this text.
#[track_caller]
fn tab_to(tab: &Tab, text: &str) {
    for _ in 0..60 {
        tab.press("Tab");
        if tab.ask("focus", json!({}))["text"] == text {
            return;
        }
    }
    panic!("the tabulator does not come to {text}");
}

#[test]
fn a_shift_is_made_by_keyboard_alone() {
    let Some(stand) = Stand::new("a shift by keyboard", |setup| setup) else { return };
    let tab = stand.console("#/service/site");
    tab.shows("slider", "Share of v2");
    tab_to(&tab, "Share of v2");
    // A large step of the slider, and small ones; the number beside it takes any.
    tab.press("PageUp");
    tab.press("ArrowRight");
    let wanted = tab.ask("value", json!({ "role": "slider", "name": "Share of v2" }));
    let wanted: f64 = wanted.as_str().expect("a text").parse().expect("a number");
    assert!(wanted > 0.0 && wanted < 100.0, "{wanted}");
    tab_to(&tab, "Shift");
    tab.press("Enter");
    tab.reads("dialog", "minimum");
    // The focus stays in the dialog.
    for _ in 0..8 {
        tab.press("Tab");
        let inside = "document.activeElement === document.body || !!document.activeElement.closest('dialog')";
        assert_eq!(tab.js(inside), true);
    }
    tab_to(&tab, "Reason");
    tab.ask("type", json!({ "text": "no mouse" }));
    tab.press("Enter");
    tab.ask("await", json!({ "css": "dialog[open]", "state": "hidden" }));
    assert_eq!((stand.weights()[1], &stand.newest()["reason"]), (wanted, &json!("no mouse")));
    // And another one is thought better of.
    tab_to(&tab, "Flip");
    tab.press("Enter");
    tab.reads("dialog", "100 %");
    tab.press("Escape");
    tab.ask("await", json!({ "css": "dialog[open]", "state": "hidden" }));
    assert_eq!(tab.ask("focus", json!({}))["text"], "Flip", "the focus is where it was");
    assert_eq!(stand.weights()[1], wanted);
    tab.end();
}

#[test]
fn the_choice_of_light_or_dark_stays() {
    let Some(stand) = Stand::new("light and dark", |setup| setup) else { return };
    let tab = stand.console("");
    let ground = || tab.js("getComputedStyle(document.body).backgroundColor");
    let light = ground();
    tab.ask("media", json!({ "scheme": "dark" }));
    let dark = ground();
    assert_ne!(light, dark, "it follows the machine");
    tab.ask("click", json!({ "role": "button", "like": "[Ll]ight" }));
    assert_eq!(ground(), light);
    tab.ask("reload", json!({}));
    tab.reads("main h1", "Services");
    assert_eq!(ground(), light);
    tab.end();
}

#[test]
fn it_works_below_a_path_of_another_proxy() {
    let Some(stand) = Stand::new("a path of another proxy", |setup| setup.admin(HOSTS)) else { return };
    let relay = Relay::start(stand.proxy.admin, "/ops/pointsman");
    let tab = stand.browser.open(&format!("http://{}/ops/pointsman/#/service/site", relay.address()), json!({}));
    tab.fill("slider", "Share of v2", "25");
    tab.click("button", "Shift");
    let shown = tab.reads("dialog", "25 % is the minimum");
    // The command is for the same way in.
    assert!(shown.contains(&format!("http://{}/ops/pointsman", relay.address())), "{shown}");
    confirm(&tab, "Shift", "through the front door");
    assert_eq!(stand.weights(), [75.0, 25.0]);
    let requests = tab.ask("facts", json!({}))["requests"].to_string();
    assert!(!requests.contains(&format!("{}/v1", relay.address())), "{requests}");
    tab.end();
}
