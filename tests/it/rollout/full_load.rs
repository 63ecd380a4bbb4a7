//! The last step: what breaks under all the traffic is turned back by what the old version did; what does not stays.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tokio::time::Instant;

use serde_json::{Value, json};

use super::judge_live::{judge_times, runs};
use crate::support::client::send;
use crate::support::load::Load;
use crate::support::process::{Process, config};
use crate::support::release::{Mood, Operator, id, last_words, version, visitors};
use crate::support::{Origin, Proxy, Setup};

/// Requests a second.
const RATE: u32 = 500;

/// Half of the traffic until enough is known of both, then all of it for as long as `watch` says.
fn plan(watch: &str) -> Value {
    json!({
        "steps": [50], "bake": "3s", "watch": watch,
        "judge": {"warm_up": "500ms", "requests_min": 600, "slower": false},
    })
}

/// Two versions under a shielded service whose users see no error, or the load does not end well.
struct Shielded {
    proxy: Proxy,
    operator: Operator,
    new: Arc<Mood>,
    load: Load,
    _origins: [Origin; 2],
}

impl Shielded {
    fn new() -> Self {
        let ((v1, old), (v2, new)) = (version("v1"), version("v2"));
        new.beside.set(old).unwrap();
        let proxy = Setup::to(&[&v1, &v2]).service("shield = true").start();
        let operator = Operator::at(proxy.admin);
        let load = Load::start(visitors(proxy.address, &["/"], RATE, true));
        load.await_more(300);
        Self { proxy, operator, new, load, _origins: [v1, v2] }
    }

    fn start(&self, plan: &Value) -> u64 {
        id(&self.operator.start(json!({"service": "site", "to": "v2", "plan": plan})))
    }

    fn at_full(&self, rollout: u64) -> Value {
        self.operator.until(rollout, "all of it", |rollout| rollout["weight"] == 100.0)
    }
}

#[test]
fn a_version_that_collapses_above_half_load_is_turned_back_and_no_user_sees_it() {
    let stage = Shielded::new();
    stage.new.capacity.store(60, SeqCst);
    let rollout = stage.start(&plan("5m"));
    let full = stage.at_full(rollout);
    let (began, before) = (Instant::now(), stage.new.calls.load(SeqCst));
    let most = &full["evidence"][0]["errors_max"];
    assert!(most["at_most"].as_f64().is_some_and(|most| most < 0.02), "{full:#}");
    assert_eq!(most["from"], "v1", "{full:#}");
    let over = stage.operator.until_ended(rollout, "rolled_back");
    let (took, asked) = (began.elapsed(), stage.new.calls.load(SeqCst) - before);
    println!("turned back after {took:?} and {asked} requests of all the traffic: {}", last_words(&over));
    // What comes in five seconds.
    assert!(asked <= u64::from(RATE) * 5, "{asked} requests: {over:#}");
    assert_eq!(over["evidence"][0]["why"], "errors_max", "{over:#}");
    assert!(last_words(&over).contains("by what v1 did"), "{over:#}");
    assert_eq!(stage.proxy.status()["versions"][0]["weight"], 100.0);
    let users = stage.load.end_well();
    println!("{users} requests of users, none failed; v2 failed {}", stage.new.failed.load(SeqCst));
}

#[test]
fn judge_live_versions_that_collapse_under_all_of_the_load_are_turned_back_in_seconds() {
    let Some(runs) = runs() else { return };
    let took = (0..runs.div_ceil(2)).map(|_| {
        let stage = Shielded::new();
        stage.new.capacity.store(60, SeqCst);
        let rollout = stage.start(&plan("5m"));
        stage.at_full(rollout);
        let began = Instant::now();
        let over = stage.operator.until_ended(rollout, "rolled_back");
        let took = began.elapsed();
        println!("    {took:.2?}: {}", last_words(&over));
        stage.load.end_well();
        took
    });
    judge_times("collapses under all of the load", Duration::from_secs(5), took.collect());
}

#[test]
fn a_version_that_serves_it_all_completes_after_its_watch_and_v1_is_kept_warm() {
    let stage = Shielded::new();
    let mut plan = plan("2s");
    plan["keep"] = json!("2s");
    let rollout = stage.start(&plan);
    stage.at_full(rollout);
    let began = Instant::now();
    let over = stage.operator.until_ended(rollout, "completed");
    assert!(began.elapsed() >= Duration::from_millis(3_500), "{over:#}");
    stage.load.end_well();
}

#[test]
fn a_version_that_breaks_while_v1_is_kept_warm_goes_back_also_after_a_restart() {
    let ((v1, _), (v2, new)) = (version("v1"), version("v2"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    let state = format!("shield = true\n[state]\npath = \"{}\"\n", folder.path().join("pointsman.db").display());
    std::fs::write(&path, config(v1.address(), v2.address(), &state)).unwrap();
    let kept = |rollout: &Value| rollout["stage"] == 2 && rollout["phase"] == "going";
    let mut plan = plan("1s");
    plan["keep"] = json!("10m");
    let process = Process::start(&path);
    let operator = Operator(process.admin.clone());
    let load = Load::start(visitors(process.listener, &["/"], RATE, true));
    load.await_more(300);
    let rollout = id(&operator.start(json!({"service": "shop", "to": "v2", "plan": plan})));
    let before = operator.until(rollout, "kept", kept)["evidence"][0]["errors_max"].clone();
    load.end_well();
    process.kill();
    let process = Process::start(&path);
    let operator = Operator(process.admin.clone());
    let after = operator.until(rollout, "kept", kept)["evidence"][0]["errors_max"].clone();
    assert_eq!((&before, &before["from"]), (&after, &json!("v1")));
    let load = Load::start(visitors(process.listener, &["/"], RATE, true));
    new.failing.store(300, SeqCst);
    let over = operator.until_ended(rollout, "rolled_back");
    assert_eq!(over["evidence"][0]["why"], "errors_max", "{over:#}");
    load.end_well();
}

/// The first request after a crash is one of the trial as well, also if nothing goes on with the rollout yet.
#[test]
fn users_are_shielded_from_the_first_request_after_a_restart() {
    let ((v1, _), (v2, new)) = (version("v1"), version("v2"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    let state = format!("shield = true\n[state]\npath = \"{}\"\n", folder.path().join("pointsman.db").display());
    std::fs::write(&path, config(v1.address(), v2.address(), &state)).unwrap();
    let process = Process::start(&path);
    let plan = json!({"steps": [100], "bake": "10m"});
    let operator = Operator(process.admin.clone());
    let rollout = id(&operator.start(json!({"service": "shop", "to": "v2", "plan": plan})));
    operator.until(rollout, "all of it", |rollout| rollout["weight"] == 100.0);
    process.kill();
    new.failing.store(1_000, SeqCst);
    for restart in 0..5 {
        let process = Process::start(&path);
        for number in 0..20 {
            let answer = send(process.listener, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            assert_eq!((answer.status, answer.text().as_str()), (200, "v1"), "request {number}, restart {restart}");
        }
        process.kill();
    }
}
