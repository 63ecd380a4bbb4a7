//! What others wrote: reasons, header values, and what endpoints say. It may look like markup, or like what
//! moves the cursor of a terminal; it appears as text, in the console and in the terminal.

use std::process::Command;

use http::Method;
use pointsman::cli::client::{AdminClient, Call};
use serde_json::{Value, json};

use super::every_room::{enter, rooms};
use crate::support::browser::{Browser, Tab};
use crate::support::release::version;
use crate::support::{Origin, Reply, Setup, eventually};

const MARKUP: &str = "<img src=x onerror=\"document.title='owned'\"><b>bold</b><script>document.title='owned'</script>";

/// A colour, a title, a line that is turned round, and a line of its own.
const CODES: &str = "\u{1b}[31mred\u{1b}]0;owned\u{7}\u{202e}gnp.exe\u{2066}\u{9b}2J\nrevision 99";

fn acts(c: char) -> bool {
    c.is_control() && c != '\n'
        || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Nothing of it became an element, and nothing of it ran.
#[track_caller]
fn is_text(tab: &Tab, room: &str) {
    let elements = "[...document.querySelectorAll('b, main img, header img[src=x], body script, [onerror]')]
        .filter((one) => one.tagName !== 'B' || one.innerText === 'bold').length";
    assert_eq!(tab.js(elements), 0, "{room}");
    assert_eq!(tab.js("document.title").as_str().map(|title| title.contains("owned")), Some(false), "{room}");
}

#[test]
fn what_others_wrote_appears_as_text() {
    let Some(browser) = Browser::shared("markup in what others wrote") else { return };
    let (v1, _) = version("v1");
    let body = MARKUP.to_owned() + CODES;
    let v2 = Origin::forgetful(move |_| Reply::ok(&body));
    let plan = "rollout = { steps = [20], bake = \"10m\", smoke = [{ path = \"/\", body = \"^fine$\" }] }";
    let setup = Setup::to(&[&v1, &v2]).service("sticky = [\"header:x-user-id\"]").service(plan);
    let proxy = setup.start();
    let client = AdminClient::new(&proxy.admin.to_string(), None).expect("an address");
    let call = |method, path: &str, body: Value| {
        client.call(Call { method, path, body: Some(body), if_match: None }).unwrap_or_else(|error| panic!("{error}"))
    };
    let reason = MARKUP.to_owned() + CODES;
    call(Method::PUT, "/v1/services/site/split", json!({ "v1": 60, "v2": 40, "reason": reason }));
    call(Method::POST, "/v1/rollback", json!({ "reason": reason }));
    call(Method::POST, "/v1/rollouts", json!({ "service": "site", "to": "v2", "reason": reason }));
    let rollout = || client.call(Call::get("/v1/rollouts/1")).expect("a rollout");
    eventually("the rollout is over: what v2 says is not what is wanted", || rollout()["phase"] == "finished");
    assert!(rollout().to_string().contains("<img src=x"), "{:#}", rollout());

    let tab = browser.console(proxy.admin, "");
    for room in rooms(&tab).into_iter().filter(|room| !room.contains("flag") && !room.contains("experiment")) {
        let room = room.replace("rollout/2", "rollout/1");
        enter(&tab, &room);
        is_text(&tab, &room);
        if ["#/history", "#/rollout/1"].contains(&&*room) {
            tab.reads("main", "<img src=x onerror");
        }
    }
    enter(&tab, "#/service/site");
    tab.fill("textbox", "Headers", &format!("x-user-id: {MARKUP}"));
    tab.click("button", "Explain");
    tab.reads(".explained", "v1");
    is_text(&tab, "the form of explain");
    tab.ask("go", json!({ "url": format!("http://{}/#/service/{MARKUP}", proxy.admin) }));
    tab.reads("main", "no such|There is no");
    is_text(&tab, "an address of nothing");
    tab.end();

    for arguments in [
        &["status"][..],
        &["history"],
        &["rollout", "status"],
        &["rollout", "status", "site"],
        &["explain", "http://a/", "--header", &format!("x-user-id: {MARKUP}")],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args(["--admin", &format!("http://{}", proxy.admin)]).args(arguments);
        let output = command.output().expect("the binary runs");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!text.chars().any(acts), "{arguments:?}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("revision 99")), "{arguments:?}: {text}");
    }
}
