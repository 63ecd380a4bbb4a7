//! Canaries while some endpoints are cold, drained or dead: only their requests are left out of the evidence.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::fault::Fault;
use crate::support::load::Load;
use crate::support::release::{Operator, id, last_words, version, visitors};
use crate::support::{Origin, Proxy, Reply, Seen, Setup, Turnstile, eventually};

/// Requests a second.
const RATE: u32 = 400;

/// Checks of which the first decides alone; later ones need company to take an endpoint out.
const CHECKS: &str = "health = { path = \"/up\", interval = \"1s\", timeout = \"990ms\", rise = 1, fall = 8 }";

/// Ten per cent, judged by failures.
fn plan(warm_up: &str) -> Value {
    json!({"steps": [10, 100], "bake": "10m", "judge": {"warm_up": warm_up, "slower": false}})
}

fn start(operator: &Operator, plan: &Value) -> u64 {
    // A version that is known to be dead is only begun with by those who insist.
    id(&operator.start(json!({"service": "site", "to": "v2", "plan": plan, "force": true})))
}

fn judged(rollout: &Value) -> u64 {
    rollout["evidence"][0]["candidate"]["requests"].as_u64().unwrap_or(0)
}

fn put_endpoint(proxy: &Proxy, address: SocketAddr, state: &str) {
    let path = format!("/v1/services/site/versions/v1/endpoints/{address}");
    proxy.put(&path, &format!("{{\"state\": \"{state}\"}}"));
}

#[test]
fn a_version_that_is_dead_on_arrival_is_turned_back_as_soon_with_health_checks_as_without() {
    for health in ["", CHECKS] {
        let (v1, _) = version("v1");
        let (old, dead) = ([v1.address()], Fault::refusing());
        let proxy = Setup::endpoints(&[&old, &[dead.address()]]).version(health).start();
        let operator = Operator::at(proxy.admin);
        let load = Load::start(visitors(proxy.address, &["/"], RATE, true));
        if !health.is_empty() {
            eventually("v2 is unhealthy", || proxy.status()["versions"][1]["endpoints"][0]["state"] == "unhealthy");
        }
        let begun = Instant::now();
        let rollout = start(&operator, &plan("1s"));
        let over = operator.until_ended(rollout, "rolled_back");
        let took = begun.elapsed();
        println!("{health:?}: {took:?}, {}", last_words(&over));
        // The warm-up, a look and a few requests; a busy machine may be slow, and the bake is of minutes.
        assert!(took < Duration::from_secs(30), "{took:?}");
        assert_eq!(over["evidence"][0]["why"], "errors", "{over:#}");
        load.end_well();
    }
}

/// A version that is well until it is told to fail: then it fails this often, and holds what comes after.
fn failing_then_holding(times: u64, turnstile: &Turnstile) -> (Origin, Arc<AtomicBool>) {
    let (turnstile, fails, failed) = (turnstile.clone(), Arc::<AtomicBool>::default(), AtomicU64::new(0));
    let told = Arc::clone(&fails);
    let reply = move |_: &Seen| match fails.load(SeqCst) {
        false => Reply::ok("v2"),
        true if failed.fetch_add(1, SeqCst) < times => {
            Reply::raw("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nnope")
        }
        true => Reply::default().wait(&turnstile).then("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nv2"),
    };
    (Origin::forgetful(reply), told)
}

#[test]
fn endpoints_that_are_added_to_the_old_version_do_not_blind_the_judge() {
    let all: Vec<_> = (0..3).map(|_| version("v1")).collect();
    let turnstile = Turnstile::shut();
    // A third of the requests is judged while two of three endpoints are cold, and each of these counts for itself.
    let (v2, fails) = failing_then_holding(60, &turnstile);
    let old: Vec<SocketAddr> = all.iter().map(|(origin, _)| origin.address()).collect();
    let proxy = Setup::endpoints(&[&old, &[v2.address()]]).start();
    let operator = Operator::at(proxy.admin);
    old[1..].iter().for_each(|address| put_endpoint(&proxy, *address, "drain"));
    let load = Load::start(visitors(proxy.address, &["/"], RATE, false));
    let mut plan = plan("3s");
    plan["judge"]["tolerate_burst"] = json!("0s");
    let rollout = start(&operator, &plan);
    operator.until(rollout, "judged", |rollout| judged(rollout) >= 20);
    for address in &old[1..] {
        put_endpoint(&proxy, *address, "ready");
        // The judge knows of it before anything is wrong.
        load.await_more(u64::from(RATE));
    }
    fails.store(true, SeqCst);
    // No endpoint more is added and no request more fails, however long it takes: these failures are enough. Where an
    // endpoint that is cold blinds it, it has seen none of them.
    let over = operator.until_ended(rollout, "rolled_back");
    println!("turned back by 60 failures: {}", last_words(&over));
    turnstile.open();
    load.end();
}

#[test]
fn a_dead_endpoint_of_the_old_version_does_not_blind_the_judge() {
    for health in ["", CHECKS] {
        let ((v1, _), (v2, new)) = (version("v1"), version("v2"));
        let dead = Fault::refusing();
        let old = [v1.address(), dead.address()];
        let proxy = Setup::endpoints(&[&old, &[v2.address()]]).version(health).start();
        let operator = Operator::at(proxy.admin);
        let load = Load::start(visitors(proxy.address, &["/"], RATE, false));
        load.await_more(100);
        let begun = Instant::now();
        let rollout = start(&operator, &plan("1s"));
        new.failing.store(1_000, SeqCst);
        let over = operator.until_ended(rollout, "rolled_back");
        let took = begun.elapsed();
        println!("{health:?}: {took:?}, {}", last_words(&over));
        assert!(took < Duration::from_secs(30), "{took:?}");
        load.end();
    }
}

#[test]
fn equal_versions_stay_while_endpoints_are_cold() {
    let all: Vec<_> = (0..3).map(|_| version("v1")).collect();
    let (v2, new) = version("v2");
    let old: Vec<SocketAddr> = all.iter().map(|(origin, _)| origin.address()).collect();
    let proxy = Setup::endpoints(&[&old, &[v2.address()]]).start();
    let operator = Operator::at(proxy.admin);
    old[1..].iter().for_each(|address| put_endpoint(&proxy, *address, "drain"));
    // Both fail alike.
    all.iter().map(|(_, mood)| mood).chain([&new]).for_each(|mood| mood.failing.store(300, SeqCst));
    let load = Load::start(visitors(proxy.address, &["/"], RATE, false));
    let mut plan = plan("2s");
    plan["steps"] = json!([50, 100]);
    let rollout = start(&operator, &plan);
    let first = judged(&operator.until(rollout, "judged", |rollout| judged(rollout) >= 100));
    // Two thirds of v1 are cold.
    old[1..].iter().for_each(|address| put_endpoint(&proxy, *address, "ready"));
    let found = operator.until(rollout, "judged", |rollout| judged(rollout) >= first + 400);
    assert_eq!(found["phase"], "going", "{found:#}");
    let requests = |side: &str| found["evidence"][0][side]["requests"].as_f64().unwrap();
    let share = requests("candidate") / (requests("candidate") + requests("baseline"));
    assert!((share - 0.5).abs() < 0.08, "the candidate has {share} of what is judged: {found:#}");
    load.end();
}

#[test]
fn warming_up_is_said_with_the_time_that_is_left() {
    let ((v1, _), (v2, _)) = (version("v1"), version("v2"));
    let proxy = Setup::to(&[&v1, &v2]).start();
    let operator = Operator::at(proxy.admin);
    let load = Load::start(visitors(proxy.address, &["/"], 100, true));
    let rollout = start(&operator, &plan("6s"));
    let cold = operator.until(rollout, "warming up", |rollout| rollout["evidence"][0]["why"] == "warming_up");
    let left = cold["evidence"][0]["warm_up_left_seconds"].as_f64().unwrap();
    assert!(left > 0.0 && left <= 6.0, "{cold:#}");
    let sentence = cold["evidence"][0]["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("holding site v2: warming up, ") && sentence.ends_with(" s left"), "{sentence}");
    let warm = operator.until(rollout, "judged", |rollout| judged(rollout) > 0);
    assert_eq!(warm["evidence"][0]["why"], "baking", "{warm:#}");
    assert!(warm["evidence"][0]["warm_up_left_seconds"].is_null(), "{warm:#}");
    load.end_well();
}
