//! Canaries whose versions are slow on new connections: what a growing share costs is no latency of the version.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::load::Load;
use crate::support::release::{Operator, id, last_words, visitors};
use crate::support::{Origin, Proxy, Reply, Setup};

/// Requests a second.
const RATE: u32 = 400;

/// How long a response takes, in milliseconds.
const USUAL: u64 = 20;

/// A version that takes this many milliseconds longer for the first response on a connection, and as long as it is told
/// for all.
fn version(first_ms: u64) -> (Origin, Arc<AtomicU64>) {
    let (delay, known) = (Arc::new(AtomicU64::new(USUAL)), Mutex::new(BTreeSet::new()));
    let its = Arc::clone(&delay);
    let origin = Origin::forgetful(move |seen| {
        let first = known.lock().unwrap().insert(seen.connection);
        let pause = its.load(SeqCst) + if first { first_ms } else { 0 };
        Reply::default().pause(pause).then("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    (origin, delay)
}

/// Two equal versions under load, all of it on v1, whose pools are full.
struct Stage {
    operator: Operator,
    load: Load,
    new: Arc<AtomicU64>,
    _proxy: Proxy,
    _origins: [Origin; 2],
}

impl Stage {
    fn new(first_ms: u64) -> Self {
        let ((v1, _), (v2, new)) = (version(first_ms), version(first_ms));
        let proxy = Setup::to(&[&v1, &v2]).start();
        let users = (0..3).flat_map(|_| visitors(proxy.address, &["/"], RATE / 3, true)).collect();
        let load = Load::start(users);
        load.await_more(u64::from(RATE) * 2);
        Self { operator: Operator::at(proxy.admin), load, new, _proxy: proxy, _origins: [v1, v2] }
    }

    /// What is three times as slow, for longer than a burst, is no accident of a busy machine.
    fn start(&self, warm_up: &str, burst: &str) -> u64 {
        let judge = json!({"warm_up": warm_up, "slower": 3.0, "tolerate_burst": burst, "requests_min": 40});
        let plan = json!({"steps": [10, 60, 100], "bake": "4s", "judge": judge});
        id(&self.operator.start(json!({"service": "site", "to": "v2", "plan": plan})))
    }

    fn at(&self, rollout: u64, weight: f64) -> Value {
        self.operator.until(rollout, "there", |rollout| rollout["weight"] == weight)
    }
}

#[test]
fn a_share_that_grows_turns_nothing_back_by_its_new_connections() {
    for first_ms in [150, 600] {
        let stage = Stage::new(first_ms);
        let rollout = stage.start("2s", "1s");
        let over = stage.operator.until_ended(rollout, "completed");
        println!("{first_ms} ms: {}", last_words(&over));
        stage.load.end_well();
    }
}

/// Each request counts for itself here. A new table is careful until it is looked at, a quarter of a second later, so
/// connections are slower.
#[test]
fn without_warm_up_new_connections_are_taken_for_the_version() {
    let stage = Stage::new(1_500);
    let rollout = stage.start("0s", "0s");
    let over = stage.operator.until_ended(rollout, "rolled_back");
    println!("{}", last_words(&over));
    stage.load.end_well();
}

#[test]
fn a_version_that_is_slow_on_all_its_connections_is_found_while_its_share_grows() {
    let stage = Stage::new(150);
    let rollout = stage.start("2s", "1s");
    stage.at(rollout, 60.0);
    // Slow beside what a busy machine is late by.
    stage.new.store(40 * USUAL, SeqCst);
    let over = stage.operator.until_ended(rollout, "rolled_back");
    println!("{}", last_words(&over));
    assert_eq!(over["evidence"][0]["why"], "latency", "{over:#}");
    assert_eq!(over["evidence"][0]["weight"].as_f64().unwrap_or(60.0), 60.0, "{over:#}");
    stage.load.end_well();
}
