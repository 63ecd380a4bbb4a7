//! Canaries on real sockets: judged on the requests of users who come at a steady pace, while something goes wrong or
//! nothing does.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::load::Load;
use crate::support::release::{Mood, Operator, id, last_words, version, visitors};
use crate::support::{Origin, Proxy, Reply, Setup};

/// Requests a second, as a busy service has them.
const BUSY: u32 = 1_000;

/// A service with two versions under users at a pace.
struct Stage {
    proxy: Proxy,
    operator: Operator,
    moods: [Arc<Mood>; 2],
    _origins: [Origin; 2],
    load: Load,
}

impl Stage {
    /// With these lines for the service, and this many requests a second.
    fn set(service: &str, per_second: u32, strict: bool) -> Self {
        let ((v1, old), (v2, new)) = (version("v1"), version("v2"));
        let proxy = Setup::to(&[&v1, &v2]).service(service).start();
        let operator = Operator::at(proxy.admin);
        let load = Load::start(visitors(proxy.address, &["/"], per_second, strict));
        // Latencies are compared with those of a while ago.
        load.await_more(300);
        Self { proxy, operator, moods: [old, new], _origins: [v1, v2], load }
    }

    fn start(&self, plan: &Value) -> u64 {
        id(&self.operator.start(json!({"service": "site", "to": "v2", "plan": plan})))
    }

    /// Waits until the judge has seen this many requests of the candidate.
    #[track_caller]
    fn judged(&self, id: u64, requests: u64) -> Value {
        let seen = |rollout: &Value| rollout["evidence"][0]["candidate"]["requests"].as_u64().unwrap_or(0);
        self.operator.until(id, "judged", |rollout| seen(rollout) >= requests)
    }
}

/// Ten per cent for a long time, judged by failures: without a warm-up first connections are slower.
fn at_ten() -> Value {
    json!({"steps": [10, 100], "bake": "10m", "judge": {"warm_up": "0s", "slower": false}})
}

#[test]
fn a_version_that_begins_to_fail_is_turned_back_before_users_notice() {
    let stage = Stage::set("sticky = [\"header:x-user-id\"]\nshield = true", BUSY, true);
    let rollout = stage.start(&at_ten());
    stage.judged(rollout, 50);
    stage.moods[1].failing.store(200, SeqCst);
    let over = stage.operator.until_ended(rollout, "rolled_back");
    let took = stage.moods[1].first_failed().expect("it failed").elapsed();
    println!("turned back {took:?} after the first failure: {}", last_words(&over));
    // Three seconds is what is wanted; a busy machine may be slow, and the bake is of minutes.
    assert!(took < Duration::from_secs(30), "{took:?}");
    let evidence = &over["evidence"][0];
    assert_eq!((&evidence["ruling"], &evidence["why"]), (&json!("roll_back"), &json!("errors")), "{over:#}");
    assert!(evidence["log10_e"].as_f64() >= evidence["log10_alarm"].as_f64(), "{over:#}");
    assert!(last_words(&over).contains("odds of chance below 1 in 1,000"), "{over:#}");
    assert_eq!(stage.proxy.status()["versions"][0]["weight"], 100.0);
    let users = stage.load.end_well();
    println!("{users} requests of users, none failed; v2 failed {}", stage.moods[1].failed.load(SeqCst));
}

#[test]
fn the_shield_answers_from_the_old_version_however_small_its_share() {
    // Nothing is judged, so that the rollout stays where it is.
    let canary = json!({"steps": [90, 100], "bake": "10m", "judge": {"warm_up": "1h"}});
    let blue_green = json!({"strategy": "blue_green", "watch": "10m", "judge": {"warm_up": "1h"}});
    for (plan, weight) in [(canary, 90.0), (blue_green, 100.0)] {
        let stage = Stage::set("shield = true", 400, true);
        let rollout = stage.start(&plan);
        stage.operator.until(rollout, "at its step", |rollout| rollout["weight"] == weight);
        stage.moods[1].failing.store(1_000, SeqCst);
        crate::support::eventually("v2 fails", || stage.moods[1].failed.load(SeqCst) >= 200);
        stage.load.end_well();
    }
}

#[test]
fn a_version_that_turns_slow_is_turned_back_with_its_quantiles() {
    let stage = Stage::set("", 400, true);
    stage.moods.iter().for_each(|mood| mood.delay_ms.store(8, SeqCst));
    stage.load.await_more(1_000);
    let mut plan = at_ten();
    plan["judge"]["slower"] = json!(1.2);
    let rollout = stage.start(&plan);
    stage.judged(rollout, 30);
    // Slow beside what a busy machine is late by.
    stage.moods[1].delay_ms.store(150, SeqCst);
    let over = stage.operator.until_ended(rollout, "rolled_back");
    let evidence = &over["evidence"][0];
    println!("{}", last_words(&over));
    assert_eq!(evidence["why"], "latency", "{over:#}");
    for side in ["baseline_ms", "candidate_ms"] {
        assert!(evidence[side][0].as_f64().is_some_and(|median| median >= 7.0), "{over:#}");
    }
    stage.load.end_well();
}

#[test]
fn calls_of_grpc_fail_in_answers_of_200() {
    let says = |status: u8| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n";
        Origin::forgetful(move |_| Reply::raw(format!("{head}grpc-status: {status}\r\n\r\n")))
    };
    // NOT_FOUND is an answer, INTERNAL is not; and which is which can be chosen.
    for (statuses, [old, new], why) in [(json!(null), [5, 13], "errors"), (json!([5]), [13, 5], "errors")] {
        let (v1, v2) = (says(old), says(new));
        let proxy = Setup::to(&[&v1, &v2]).start();
        let operator = Operator::at(proxy.admin);
        let load = Load::start(visitors(proxy.address, &["/"], 400, true));
        let mut plan = at_ten();
        if !statuses.is_null() {
            plan["judge"]["grpc_failures"] = statuses;
        }
        let rollout = id(&operator.start(json!({"service": "site", "plan": plan})));
        let over = operator.until_ended(rollout, "rolled_back");
        assert_eq!(over["evidence"][0]["why"], why, "{over:#}");
        assert_eq!(over["evidence"][0]["baseline"]["failures"], 0, "{over:#}");
        load.end_well();
    }
}

#[test]
fn requests_that_a_rule_sent_are_not_judged() {
    let v1 = Origin::forgetful(|_| Reply::ok("v1"));
    let v2 = Origin::forgetful(|seen| match seen.has("x-canary") {
        true => Reply::raw("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
        false => Reply::ok("v2"),
    });
    let rule =
        "[[services.site.rules]]\nname = \"testers\"\nwhen = { header = { \"x-canary\" = \"1\" } }\nuse = \"v2\"\n";
    let proxy = Setup::to(&[&v1, &v2]).bottom(rule).start();
    let operator = Operator::at(proxy.admin);
    let load = Load::start(visitors(proxy.address, &["/"], 400, true));
    let rollout = id(&operator.start(json!({"service": "site", "plan": at_ten()})));
    let mut tester = proxy.client();
    for _ in 0..100 {
        assert_eq!(tester.ask("GET / HTTP/1.1\r\nHost: a\r\nx-canary: 1\r\n\r\n").status, 503);
    }
    let found = operator
        .until(rollout, "judged", |rollout| rollout["evidence"][0]["candidate"]["requests"].as_u64() >= Some(50));
    assert_eq!(found["evidence"][0]["candidate"]["failures"], 0, "{found:#}");
    load.end_well();
}

#[test]
fn a_request_that_hangs_has_failed_at_its_timeout() {
    let (v1, v2) = (Origin::forgetful(|_| Reply::ok("v1")), Origin::forgetful(|_| Reply::default().hang()));
    let proxy = Setup::to(&[&v1, &v2]).service("response_timeout = \"300ms\"").start();
    let operator = Operator::at(proxy.admin);
    let load = Load::start(visitors(proxy.address, &["/"], 200, false));
    let rollout = id(&operator.start(json!({"service": "site", "plan": at_ten()})));
    let over = operator.until_ended(rollout, "rolled_back");
    assert_eq!(over["evidence"][0]["why"], "errors", "{over:#}");
    load.end();
}

#[test]
fn a_cold_start_is_no_regression() {
    let stage = Stage::set("", 400, false);
    stage.moods[1].failing.store(1_000, SeqCst);
    let mut plan = at_ten();
    plan["judge"]["warm_up"] = json!("5s");
    let rollout = stage.start(&plan);
    crate::support::eventually("it fails at first", || stage.moods[1].failed.load(SeqCst) >= 5);
    stage.moods[1].failing.store(0, SeqCst);
    let found = stage.judged(rollout, 20);
    assert_eq!(found["evidence"][0]["candidate"]["failures"], 0, "{found:#}");
    assert_eq!(found["phase"], "going", "{found:#}");
    stage.load.end();
}

#[test]
fn both_versions_ill_hold_a_release_and_turn_nothing_back() {
    let stage = Stage::set("", 400, false);
    let plan =
        json!({"steps": [50, 100], "bake": "1s", "judge": {"warm_up": "0s", "requests_min": 100, "slower": false}});
    stage.moods.iter().for_each(|mood| mood.failing.store(300, SeqCst));
    stage.load.await_more(200);
    let rollout = stage.start(&plan);
    let held = stage.operator.until(rollout, "held", |rollout| rollout["evidence"][0]["why"] == "baseline_ill");
    assert!(held["evidence"][0]["sentence"].as_str().unwrap().contains("baseline"), "{held:#}");
    let much = stage.judged(rollout, 600);
    assert_eq!((&much["phase"], &much["weight"]), (&json!("going"), &json!(50.0)), "{much:#}");
    stage.operator.order(rollout, "abort").unwrap();
    assert_eq!(stage.operator.rollout(rollout)["ending"], "aborted");
    stage.load.end();
}

#[test]
fn without_traffic_a_release_waits_for_data() {
    let ((v1, _), (v2, _)) = (version("v1"), version("v2"));
    let proxy = Setup::to(&[&v1, &v2]).start();
    let operator = Operator::at(proxy.admin);
    let plan = json!({"steps": [10, 100], "bake": "1s", "hold_max": "1s", "judge": {"warm_up": "0s"}});
    let started = operator.start(json!({"service": "site", "plan": plan}));
    let warning = started["warnings"][0].as_str().unwrap();
    assert!(warning.contains("0.0 requests/s") && warning.contains("no traffic"), "{warning}");
    let rollout = id(&started);
    operator.until(rollout, "held", |rollout| rollout["evidence"][0]["why"] == "not_enough_data");
    let paused = operator.until(rollout, "paused", |rollout| rollout["phase"] == "paused");
    assert!(last_words(&paused).contains("held for as long as the plan allows"), "{paused:#}");
    assert_eq!(paused["weight"], 10.0, "and nothing was turned back");
    assert_eq!(operator.order(rollout, "promote").unwrap()["weight"], 100.0);
}

#[test]
fn a_client_that_sends_garbage_says_nothing_about_a_version() {
    let stage = Stage::set("sticky = [\"header:x-user-id\"]", 400, true);
    let rollout = stage.start(&at_ten());
    let address = stage.proxy.address;
    let garbage = move || {
        let user = |number: usize| format!("POST / HTTP/1.1\r\nHost: a\r\nx-user-id: {number}\r\n");
        for number in 0..400 {
            // A body that breaks its framing, one that never comes whole, a bad head, and no patience for an answer.
            let bytes = match number % 4 {
                0 => user(number) + "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
                1 => user(number) + "Content-Length: 10\r\n\r\nhalf",
                2 => "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
                _ => user(number) + "Content-Length: 0\r\n\r\n",
            };
            let mut client = crate::support::Client::to(address);
            client.write(bytes);
            drop(client);
        }
    };
    std::thread::spawn(garbage).join().unwrap();
    let found = stage.judged(rollout, 200);
    let evidence = &found["evidence"][0];
    assert_eq!(evidence["candidate"]["failures"], 0, "{found:#}");
    assert_eq!(evidence["baseline"]["failures"], 0, "{found:#}");
    assert!(evidence["log10_e"].as_f64() < Some(1.0) && found["phase"] == "going", "{found:#}");
    stage.load.end_well();
}

/// How many rollouts of a good version there are: a hundred with `make soak`.
fn rounds() -> usize {
    std::env::var("ROLLOUTS").map_or(2, |rounds| rounds.parse::<usize>().expect("ROLLOUTS is a number").div_ceil(10))
}

#[test]
fn soak_a_version_that_is_as_good_always_comes_through() {
    let origins: Vec<_> = (0..2).map(|number| version(if number == 0 { "v1" } else { "v2" })).collect();
    let mut text = "[listeners.public]\naddress = \"127.0.0.1:0\"\n".to_owned();
    for number in 0..10 {
        text += &format!(
            "[services.s{number}]\npaths = [\"/s{number}\"]\nsticky = [\"header:x-user-id\"]\nsplit = {{ v1 = 100, v2 = 0 }}\n\
             versions.v1.endpoints = [\"{}\"]\nversions.v2.endpoints = [\"{}\"]\n\
             rollout = {{ steps = [20, 50, 100], bake = \"300ms\", judge = {{ warm_up = \"500ms\", requests_min = 20 }} }}\n",
            origins[0].0.address(),
            origins[1].0.address()
        );
    }
    let proxy = Proxy::start(&text);
    let operator = Operator::at(proxy.admin);
    let paths: Vec<String> = (0..10).map(|number| format!("/s{number}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let load = Load::start(visitors(proxy.address, &paths, BUSY, true));
    let mut done = 0;
    for round in 0..rounds() {
        // There and back: what was new is the old one next time.
        let to = if round.is_multiple_of(2) { "v2" } else { "v1" };
        let start = |number: usize| id(&operator.start(json!({"service": format!("s{number}"), "to": to})));
        let rollouts: Vec<u64> = (0..10).map(start).collect();
        for rollout in rollouts {
            operator.until_ended(rollout, "completed");
            done += 1;
        }
    }
    println!("{done} rollouts of a good version, all completed; {} requests, none failed", load.end_well());
}
