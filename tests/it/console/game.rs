//! The page of the demo, where a person releases a version that may have a bug.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use pointsman::cli::client::{AdminClient, Call};
use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::eventually;

/// The page.
pub(super) const GAME: &str = "#/game";

/// A running demo with few users of its own.
pub(super) struct Demo {
    child: Child,
    pub(super) admin: SocketAddr,
}

impl Demo {
    pub(super) fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args(["demo", "--seed", "1", "--users", "100", "--rate", "50"]).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary runs");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let game = lines.find_map(|line| line.trim().strip_suffix(&format!("/{GAME}")).map(str::to_owned));
        let admin = game.expect("it says where the game is").replace("http://", "").parse().expect("an address");
        // It goes on to print, and must not be stopped by a pipe that is full.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, admin }
    }

    fn get(&self, path: &str) -> Value {
        let client = AdminClient::new(&self.admin.to_string(), None).expect("an address");
        client.call(Call::get(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // As Ctrl+C does, so that it takes its files with it.
        let _asked = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let _ended = self.child.wait();
    }
}

#[test]
fn a_release_is_played_on_a_page_that_all_can_use() {
    let Some(browser) = Browser::shared("the game of the demo") else { return };
    let demo = Demo::start();
    let tab = browser.console(demo.admin, GAME);
    tab.reads("main h1", "You are the release engineer");
    tab.ask("settled", json!({}));
    for scheme in ["light", "dark"] {
        tab.ask("media", json!({ "scheme": scheme, "motion": "reduce" }));
        tab.is_accessible(&format!("the beginning of the game in {scheme}"));
    }
    tab.ask("click", json!({ "role": "radio", "like": "^By hand" }));
    tab.click("button", "Deploy v2");
    tab.shows("button", "Back to v1, and end");
    eventually("v2 is deployed", || demo.get("/v1/demo/game")["phase"].is_string());
    tab.fill("slider", "Share of v2", "30");
    let share = || demo.get("/v1/services/game")["versions"][1]["weight"].as_f64();
    eventually("the slider moves the real split", || share() == Some(30.0));
    for scheme in ["light", "dark"] {
        tab.ask("media", json!({ "scheme": scheme, "motion": "reduce" }));
        tab.is_accessible(&format!("the game in {scheme}"));
    }
    for (width, height) in [(375, 740), (640, 450), (1280, 900)] {
        tab.ask("size", json!({ "width": width, "height": height }));
        assert_eq!(tab.ask("wide", json!({})), json!([]), "the game scrolls sideways at {width}");
    }
    tab.click("button", "Back to v1, and end");
    eventually("v1 has all of them again", || share() == Some(0.0));
    tab.end();
}
