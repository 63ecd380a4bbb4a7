//! The real binary is killed, upgraded in place and started again while a rollout mirrors: the rollout and its mirror
//! are there together, or both have ended.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use http::Method;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::support::process::{Process, config, is_running};
use crate::support::release::{Operator, id, last_words};
use crate::support::{Client, Origin, Reply, eventually, get};

/// How often it is killed while a rollout ends.
const KILLS: u64 = 6;

/// A service whose v2 fails when it is told to.
struct Bench {
    folder: tempfile::TempDir,
    file: PathBuf,
    is_bad: Arc<AtomicBool>,
    origins: [Origin; 2],
}

impl Bench {
    fn new() -> Self {
        let is_bad = Arc::<AtomicBool>::default();
        let bad = Arc::clone(&is_bad);
        let old = Origin::forgetful(|_| Reply::ok("well"));
        let new = Origin::forgetful(move |_| match bad.load(SeqCst) {
            true => Reply::raw("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
            false => Reply::ok("well"),
        });
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pointsman.toml");
        let bench = Self { folder, file, is_bad, origins: [old, new] };
        bench.write("");
        bench
    }

    /// Writes the file, with more lines for the service.
    fn write(&self, more: &str) {
        let [old, new] = self.origins.each_ref().map(Origin::address);
        let state = self.folder.path().join("state.db");
        let more = format!("{more}\n[state]\npath = \"{}\"\n", state.display());
        std::fs::write(&self.file, config(old, new, &more)).unwrap();
    }

    fn start(&self) -> (Process, Operator) {
        let process = Process::start(&self.file);
        let operator = Operator(process.admin.clone());
        (process, operator)
    }
}

/// Ends it as a power cut would, whichever process serves.
fn kill(process: Process) {
    let serving = process.id();
    drop(process);
    eventually("it is gone", || !is_running(serving));
}

fn release(operator: &Operator) -> u64 {
    let responses = json!({"status": "off", "length": "off", "type": "off"});
    let judge = json!({"warm_up": "0s", "slower": false, "requests_min": 50, "responses": responses, "routes": false});
    let steps = json!([{"mirror": 100, "bake": "10m"}, 50, 100]);
    let plan = json!({"steps": steps, "bake": "10m", "judge": judge});
    id(&operator.start(json!({"service": "shop", "to": "v2", "plan": plan})))
}

fn ask(process: &Process, times: u32) {
    let mut client = Client::to(process.listener);
    (0..times).for_each(|_| assert_eq!(client.ask(get("/")).status, 200));
}

fn mirror(process: &Process) -> Value {
    process.get("/v1/services/shop")["mirror"].clone()
}

/// Pairs that the judge of the step knows.
fn judged(rollout: &Value) -> Option<u64> {
    rollout["evidence"][0]["pairs"]["pairs"].as_u64()
}

/// The copies of a rollout that mirrors, and its stage, which has begun anew: what was judged before is not counted.
#[track_caller]
fn mirrors_anew(process: &Process, operator: &Operator, rollout: u64) {
    let view = operator.until(rollout, "going on", |view| view["phase"] == "going");
    assert_eq!(mirror(process), json!({"to": "v2", "share": 100.0}), "{view:#}");
    assert!(last_words(&view).contains("goes on after a restart, the stage begins again"), "{view:#}");
    assert_eq!((&view["weight"], judged(&view).unwrap_or(0)), (&json!(0.0), 0), "{view:#}");
    ask(process, 20);
    let view = operator.until(rollout, "judging", |view| judged(view) >= Some(20));
    assert_eq!(judged(&view), Some(20), "{view:#}");
}

#[test]
fn a_mirror_step_goes_on_after_a_kill_and_an_upgrade_and_its_pairs_are_counted_anew() {
    let bench = Bench::new();
    let (process, operator) = bench.start();
    let rollout = release(&operator);
    ask(&process, 30);
    operator.until(rollout, "judging", |view| judged(view) >= Some(30));
    kill(process);
    let (mut process, operator) = bench.start();
    mirrors_anew(&process, &operator, rollout);
    process.upgrade().unwrap();
    mirrors_anew(&process, &operator, rollout);
    // What it found after the restarts is what it is judged by.
    bench.is_bad.store(true, SeqCst);
    let turned_back = || {
        ask(&process, 10);
        mirror(&process).is_null()
    };
    eventually("it is turned back", turned_back);
    let over = operator.until_ended(rollout, "rolled_back");
    assert!(last_words(&over).contains("no user was touched"), "{over:#}");
    assert_eq!(mirror(&process), Value::Null);
}

#[test]
fn killed_while_it_ends_a_rollout_and_its_mirror_are_both_there_or_both_over() {
    let bench = Bench::new();
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut over = 0;
    for kills in 1..=KILLS {
        let (process, operator) = bench.start();
        let rollout = release(&operator);
        let pause = Duration::from_micros(random.random_range(0..20_000));
        // By the judge, and by hand.
        let by_judge = kills % 2 == 0;
        bench.is_bad.store(by_judge, SeqCst);
        if by_judge {
            ask(&process, 20);
            operator.until(rollout, "judging", |view| judged(view) > Some(0) || view["phase"] == "finished");
        } else {
            let hand = Operator(process.admin.clone());
            // It may be killed before it answers.
            std::thread::spawn(move || hand.order(rollout, "abort").ok());
        }
        std::thread::sleep(pause);
        kill(process);
        let (process, operator) = bench.start();
        let view = operator.until(rollout, "read", |view| view["phase"] == "going" || view["phase"] == "finished");
        let is_over = view["phase"] == "finished";
        let wanted = if is_over { Value::Null } else { json!({"to": "v2", "share": 100.0}) };
        assert_eq!(mirror(&process), wanted, "kill {kills}: {view:#}");
        over += u64::from(is_over);
        if !is_over {
            operator.order(rollout, "abort").unwrap();
        }
        operator.until(rollout, "over", |view| view["phase"] == "finished");
        assert_eq!(mirror(&process), Value::Null);
        kill(process);
    }
    println!("{over} of {KILLS} had ended when they were killed");
}

#[test]
fn a_hand_and_a_file_of_while_it_was_away_win() {
    let bench = Bench::new();
    let (process, operator) = bench.start();
    let rollout = release(&operator);
    ask(&process, 5);
    let shifted = process.send(Method::PUT, "/v1/services/shop/mirror", json!({"to": "v2", "share": 5}));
    assert_eq!(shifted.unwrap()["changed"], true);
    kill(process);
    let (process, operator) = bench.start();
    let paused = operator.until(rollout, "paused", |view| view["phase"] == "paused");
    assert!(paused["paused_because"].as_str().unwrap().contains("changed by hand"), "{paused:#}");
    assert_eq!(mirror(&process), json!({"to": "v2", "share": 5.0}), "it is the operator's");
    operator.order(rollout, "resume").unwrap();
    assert_eq!(mirror(&process), json!({"to": "v2", "share": 100.0}), "the stage begins again");
    kill(process);
    // The file says something of the mirror for the first time: as with a split, that counts.
    bench.write("mirror = { to = \"v2\", share = 1 }");
    let (process, operator) = bench.start();
    operator.until(rollout, "paused", |view| view["phase"] == "paused");
    assert_eq!(mirror(&process), json!({"to": "v2", "share": 1.0}));
    operator.order(rollout, "abort").unwrap();
    assert_eq!(mirror(&process), json!({"to": "v2", "share": 1.0}), "and it stays");
}

#[test]
fn a_shift_of_the_split_ends_the_copies_of_the_rollout_that_it_pauses() {
    let bench = Bench::new();
    let (process, operator) = bench.start();
    let rollout = release(&operator);
    process.send(Method::PUT, "/v1/services/shop/split", json!({"v1": 90, "v2": 10})).unwrap();
    operator.until(rollout, "paused", |view| view["phase"] == "paused");
    assert_eq!(mirror(&process), Value::Null);
    kill(process);
    let (process, operator) = bench.start();
    operator.until(rollout, "paused", |view| view["phase"] == "paused");
    assert_eq!(mirror(&process), Value::Null);
    operator.order(rollout, "abort").unwrap();
    let service = process.get("/v1/services/shop");
    assert_eq!((&service["mirror"], &service["versions"][1]["weight"]), (&Value::Null, &json!(0.0)), "{service:#}");
}
