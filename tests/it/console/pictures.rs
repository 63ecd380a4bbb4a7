//! The pictures of the documents, by `make screenshots`: every room in light and dark, on a desktop and a phone, into
//! `target/console`, to be looked at; and those that `docs/console.md` shows into `docs/console`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use http::Method;
use pointsman::cli::client::Call;
use serde_json::{Value, json};

use super::every_room::enter;
use super::game::{Demo, GAME};
use crate::support::browser::{Browser, Tab};
use crate::support::load::Load;
use crate::support::process::Process;
use crate::support::release::{Mood, Operator, id, version, visitors};
use crate::support::{Origin, eventually};

/// How large a picture of the documents may be, so that the repository stays small.
const PICTURE_BYTES_MAX: u64 = 170_000;

/// The services of a shop: the one in the middle of a release, and others around it.
const SERVICES: [(&str, &str, u32); 5] = [
    ("shop", "split = { v1 = 100, v2 = 0 }", 120),
    ("checkout", "split = { v1 = 100, v2 = 0 }", 60),
    ("search", "split = { v1 = 100, v2 = 0 }", 90),
    ("images", "split = { v1 = 50, v2 = 50 }", 40),
    ("accounts", "split = { v1 = 0, v2 = 100 }", 30),
];

/// Its flags and an experiment.
const REST: &str = r#"
[flags.new-basket]
variants = { on = true, off = false }
default = "off"
rules = [{ name = "launch", serve = { on = 25, off = 75 } }]
[experiments.button]
flag = "new-basket"
arms = { control = "off", treatment = "on" }
share = 60
metrics = [{ name = "purchase", kind = "conversion", when = { method = "POST", path = "/shop/orders" } }]
[services.search.slo]
availability = 99.9
latency = { under = "300ms", share = 99 }
[services.search.mirror]
to = "v2"
share = 20
compare = { body = "exact" }
[chaos]
enabled = true
[chaos.experiments.slow-images]
target = { service = "images", share = 5 }
fault = { latency = { fixed = "80ms", jitter = "20ms" } }
baseline = "5s"
duration = "20m"
hypothesis = { errors = { ratio_max = 1.5 }, latency = { slower_max = 1.5 } }
[chaos.experiments.dead-account]
target = { service = "accounts", share = 5 }
fault = { latency = { fixed = "0ms" } }
baseline = "5s"
duration = "20m"
hypothesis = { errors = { ratio_max = 1.5 } }
"#;

struct Town {
    process: Process,
    operator: Operator,
    moods: [Arc<Mood>; 2],
    loads: Vec<Load>,
    _origins: [Origin; 2],
    _folder: tempfile::TempDir,
}

impl Town {
    fn new() -> Self {
        let ((v1, old), (v2, new)) = (version("v1"), version("v2"));
        old.delay_ms.store(12, SeqCst);
        new.delay_ms.store(11, SeqCst);
        let folder = tempfile::tempdir().unwrap();
        let services = SERVICES.iter().map(|(name, split, _)| {
            let flags = if *name == "shop" { "flags = [\"new-basket\"]\n" } else { "" };
            format!(
                "[services.{name}]\npaths = [\"/{name}\"]\nsticky = [\"header:x-user-id\"]\n{split}\n{flags}\
                 versions.v1.endpoints = [\"{}\"]\nversions.v2.endpoints = [\"{}\"]\n",
                v1.address(),
                v2.address()
            )
        });
        let text = format!(
            "[listeners.public]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[state]\npath = \"{}\"\n{}{REST}",
            folder.path().join("state.db").display(),
            services.collect::<String>()
        );
        let path = folder.path().join("pointsman.toml");
        fs::write(&path, text).unwrap();
        let process = Process::start(&path);
        let operator = Operator::at(process.admin_address);
        let load = |(name, _, rate): &(&str, &str, u32)| {
            let paths = [format!("/{name}"), format!("/{name}/basket"), format!("/{name}/orders")];
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            Load::start(visitors(process.listener, &paths, *rate, false))
        };
        let loads = SERVICES.iter().map(load).collect();
        Self { process, operator, moods: [old, new], loads, _origins: [v1, v2], _folder: folder }
    }

    fn put(&self, path: &str, body: Value) {
        self.process.send(Method::PUT, path, body).unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    fn shift(&self, service: &str, v2: u32, reason: &str) {
        let body = json!({ "v1": 100 - v2, "v2": v2, "reason": reason });
        self.put(&format!("/v1/services/{service}/split"), body);
    }

    /// Days of work in some minutes: releases that went well, one that did not, one that waits, and one under way.
    fn live(&self, minutes: f64) {
        let sleep = |share: f64| thread::sleep(Duration::from_secs_f64(minutes * 60.0 * share));
        self.process
            .send(Method::POST, "/v1/experiments/button/start", json!({ "reason": "does it sell more" }))
            .expect("started");
        let chaos = json!({ "experiment": "slow-images", "reason": "before the sale" });
        self.process.send(Method::POST, "/v1/chaos", chaos).expect("begun");
        sleep(0.2);
        for (v2, reason) in [(5, "first look at the new ranking"), (20, "looks good"), (50, "half of everybody")] {
            self.shift("search", v2, reason);
            sleep(0.08);
        }
        let judge = json!({ "warm_up": "0s", "slower": false });
        let plan = json!({ "steps": [10, 50, 100], "bake": "20m", "judge": judge });
        let bad =
            id(&self.operator.start(json!({ "service": "shop", "to": "v2", "plan": plan, "reason": "basket 2.4.0" })));
        self.operator.until_judged(bad, 200);
        sleep(0.1);
        self.moods[1].failing.store(60, SeqCst);
        self.operator.until_ended(bad, "rolled_back");
        self.moods[1].failing.store(0, SeqCst);
        let gate = json!({ "steps": [{ "weight": 10, "bake": "1s", "gate": "manual" }, 100], "judge": { "warm_up": "0s", "requests_min": 20, "slower": false } });
        let waits = id(&self
            .operator
            .start(json!({ "service": "checkout", "to": "v2", "plan": gate, "reason": "payments by wallet" })));
        self.operator.until(waits, "at its gate", |view| view["phase"] == "waiting");
        let again =
            id(&self.operator.start(json!({ "service": "shop", "to": "v2", "plan": plan, "reason": "basket 2.4.1" })));
        self.operator.until_judged(again, 300);
        self.process.send(Method::POST, "/v1/chaos", json!({ "experiment": "dead-account" })).expect("begun");
        sleep(0.3);
    }
}

/// What is shown, and whether the documents show it, under which name.
const ROOMS: [(&str, &str); 13] = [
    ("overview", "#/"),
    ("service", "#/service/search"),
    ("rollouts", "#/rollouts"),
    ("rollout-back", "#/rollout/1"),
    ("rollout", "#/rollout/3"),
    ("start", "#/start?service=accounts"),
    ("history", "#/history"),
    ("flags", "#/flags"),
    ("flag", "#/flag/new-basket"),
    ("experiments", "#/experiments"),
    ("experiment", "#/experiment/button"),
    ("chaos", "#/chaos"),
    ("chaos-run", "#/chaos/1"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn shoot(tab: &Tab, path: &Path, full: bool) {
    tab.ask("shot", json!({ "path": path.display().to_string(), "full": full }));
}

/// The dialog of an action, over its room.
fn open_dialog(tab: &Tab) {
    enter(tab, "#/service/search");
    tab.fill("slider", "Share of v2", "75");
    tab.click("button", "Shift");
    tab.reads("dialog", "minimum");
    tab.ask("fill", json!({ "role": "textbox", "name": "Reason", "within": "dialog", "value": "three quarters" }));
}

#[test]
fn console_pictures_of_every_room() {
    if std::env::var_os("SCREENSHOTS").is_none() {
        println!("skipped: pictures of the console: SCREENSHOTS is not set (make screenshots)");
        return;
    }
    let Some(browser) = Browser::shared("pictures of the console") else { return };
    let minutes = std::env::var("CONSOLE_MINUTES").ok().map_or(3.0, |text| text.parse().expect("minutes"));
    let town = Town::new();
    town.live(minutes);
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("console");
    let few = root().join("docs/console");
    for folder in [&all, &few] {
        fs::create_dir_all(folder).expect("a folder");
    }
    for scheme in ["light", "dark"] {
        for (device, width, height) in [("desktop", 1280, 800), ("phone", 375, 740)] {
            let setting = json!({ "width": width, "height": height, "scheme": scheme, "motion": "reduce" });
            let tab = browser.open(&format!("http://{}/", town.process.admin_address), setting);
            for (name, room) in ROOMS {
                enter(&tab, room);
                thread::sleep(Duration::from_millis(800));
                shoot(&tab, &all.join(format!("{name}-{scheme}-{device}.png")), true);
                if let Some(name) = shown(name, scheme, device) {
                    // What it is about is not always at the top.
                    tab.js("document.querySelector('pm-rollout svg.picture')?.scrollIntoView({ block: 'end' }); 0");
                    shoot(&tab, &few.join(name), false);
                }
            }
            open_dialog(&tab);
            shoot(&tab, &all.join(format!("action-{scheme}-{device}.png")), false);
            if let Some(name) = shown("action", scheme, device) {
                shoot(&tab, &few.join(name), false);
            }
            tab.end();
        }
    }
    println!("all pictures are in {}", all.display());
    let rollout = town.process.admin.call(Call::get("/v1/rollouts/1")).expect("it is known");
    eventually("the rollout of the picture was turned back", || rollout["ending"] == "rolled_back");
    town.loads.into_iter().for_each(|load| drop(load.end()));
}

#[test]
fn console_pictures_of_the_game() {
    if std::env::var_os("SCREENSHOTS").is_none() {
        println!("skipped: pictures of the game: SCREENSHOTS is not set (make screenshots)");
        return;
    }
    let Some(browser) = Browser::shared("pictures of the game") else { return };
    let demo = Demo::start();
    let tab = browser.open(&format!("http://{}/{GAME}", demo.admin), json!({ "motion": "reduce", "height": 800 }));
    tab.reads("main h1", "release engineer");
    tab.ask("click", json!({ "role": "radio", "like": "^By hand" }));
    tab.fill("combobox", "The bug", "errors");
    tab.click("button", "Deploy v2");
    tab.shows("button", "Back to v1, and end");
    tab.fill("slider", "Share of v2", "40");
    thread::sleep(Duration::from_secs(12));
    shoot(&tab, &root().join("docs/console/game.png"), false);
    tab.click("button", "Back to v1, and end");
    tab.end();
}

/// The name of a picture of the documents.
fn shown(name: &str, scheme: &str, device: &str) -> Option<String> {
    match (name, scheme, device) {
        ("overview" | "rollout-back" | "service" | "history" | "action" | "chaos-run", "light", "desktop") => {
            Some(format!("{name}.png"))
        }
        ("overview", "dark", "desktop") => Some("overview-dark.png".to_owned()),
        ("overview", "light", "phone") => Some("phone.png".to_owned()),
        _ => None,
    }
}

/// The pictures that a document shows, by their names.
fn named(document: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join(document)).expect("a document");
    let ends = text.match_indices(".png").map(|(at, word)| &text[..at + word.len()]);
    let pictures =
        ends.filter_map(|text| text.rsplit(['(', '"']).next()?.strip_prefix("docs/").or(text.rsplit('(').next()));
    pictures.filter_map(|path| path.strip_prefix("console/")).map(str::to_owned).collect()
}

#[test]
fn the_documents_show_the_pictures_that_are_there_and_those_are_small() {
    let shown: BTreeSet<String> = ["README.md", "docs/console.md"].into_iter().flat_map(named).collect();
    let mut there = BTreeSet::new();
    for entry in fs::read_dir(root().join("docs/console")).expect("a folder") {
        let entry = entry.expect("an entry");
        let size = entry.metadata().expect("a file").len();
        assert!(size < PICTURE_BYTES_MAX, "{:?} has {size} bytes", entry.file_name());
        there.insert(entry.file_name().into_string().expect("a name"));
    }
    assert_eq!(shown, there);
}
