//! Releases that begin with a mirror: judged by pairs, while the new version has no users.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use serde_json::{Value, json};

use crate::support::load::Load;
use crate::support::release::{Operator, id, last_words, visitors};
use crate::support::{Origin, Proxy, Reply, Setup};

/// A service whose v2 is asked by copies.
struct Copied {
    proxy: Proxy,
    operator: Operator,
    /// Requests that v2 got, and those of them that were no copies.
    asked: Arc<[AtomicU64; 2]>,
    _origins: [Origin; 2],
    load: Load,
}

fn document(body: &str) -> Reply {
    let length = body.len();
    Reply::default()
        .then(format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"))
}

impl Copied {
    /// v2 answers as `v2` says by path; v1 has no `at`. These lines are the service's.
    fn start(service: &str, v2: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let old = Origin::forgetful(|_| document("{\"items\": [1, 2], \"at\": 1}"));
        let asked = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let counted = Arc::clone(&asked);
        let new = Origin::forgetful(move |seen| {
            counted[0].fetch_add(1, SeqCst);
            counted[1].fetch_add(u64::from(seen.header("x-pointsman-mirror") != Some("1")), SeqCst);
            v2(seen.target())
        });
        let proxy = Setup::to(&[&old, &new]).service(service).start();
        let operator = Operator::at(proxy.admin);
        let load = Load::start(visitors(proxy.address, &["/", "/bad"], 400, true));
        Self { proxy, operator, asked, _origins: [old, new], load }
    }

    /// Begins with copies of all requests.
    fn release(&self, bake: &str) -> u64 {
        let responses = json!({"status": "off", "length": "off", "type": "off"});
        let judge =
            json!({"warm_up": "0s", "slower": false, "requests_min": 200, "responses": responses, "routes": false});
        let steps = json!([{"mirror": 100, "bake": bake}, 50, 100]);
        let plan = json!({"steps": steps, "bake": "10m", "judge": judge});
        id(&self.operator.start(json!({"service": "site", "to": "v2", "plan": plan})))
    }

    fn mirror(&self) -> Value {
        let text = self.operator.0.call(pointsman::cli::client::Call::get("/v1/services/site/mirror"));
        text.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Everything went well for users, and v2 has seen copies only.
    fn ends_untouched(self) -> u64 {
        let users = self.load.end_well();
        let [asked, by_users] = [0, 1].map(|index: usize| self.asked[index].load(SeqCst));
        assert!(asked > 0 && by_users == 0, "{by_users} of {asked} requests of v2 were no copies");
        users
    }
}

#[test]
fn a_version_that_fails_one_page_is_turned_back_with_no_user_touched() {
    let stage = Copied::start("", |path| match path {
        "/bad" => Reply::default().then("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
        _ => document("{\"items\": [1, 2], \"at\": 1}"),
    });
    let rollout = stage.release("10m");
    let over = stage.operator.until_ended(rollout, "rolled_back");
    println!("{}", last_words(&over));
    assert!(last_words(&over).contains("copies failed where v1 did not"), "{over:#}");
    assert!(last_words(&over).contains("no user was touched"), "{over:#}");
    let evidence = &over["evidence"][0];
    assert_eq!((&evidence["ruling"], &evidence["why"]), (&json!("roll_back"), &json!("errors")), "{over:#}");
    assert!(evidence["pairs"]["candidate_failed_alone"].as_u64() >= Some(3), "{over:#}");
    assert_eq!(over["stages"][0]["mirror"], 100.0, "{over:#}");
    let service = stage.proxy.status();
    assert_eq!((&service["versions"][1]["weight"], &service["mirror"]), (&json!(0.0), &Value::Null), "{service:#}");
    let found = stage.mirror();
    assert_eq!((&found["to"], &found["found_of"]), (&Value::Null, &json!("v2")), "{found:#}");
    let mut last = found["last"].as_array().unwrap().iter();
    assert!(
        last.any(|found| found["kind"] == "status" && found["path"] == "/bad"),
        "why is seen afterwards: {found:#}"
    );
    println!("{} requests of users, none of them on v2", stage.ends_untouched());
}

#[test]
fn what_differs_in_an_ignored_field_only_goes_on() {
    let at = AtomicU64::new(0);
    let stage = Copied::start("mirror = { compare = { ignore = [\"/at\"] } }", move |_| {
        document(&format!("{{\"at\": {}, \"items\": [1, 2]}}", at.fetch_add(1, SeqCst)))
    });
    let rollout = stage.release("500ms");
    let there = stage.operator.until(rollout, "at its first step", |rollout| rollout["weight"] == 50.0);
    let advanced = there["events"].as_array().unwrap().iter().find(|event| event["word"] == "advanced");
    let text = advanced.expect("it went on")["text"].as_str().unwrap().to_owned();
    println!("{text}");
    assert!(text.contains("0 of") && text.contains("pairs differ"), "{text}");
    assert_eq!(stage.mirror()["to"], Value::Null, "the copies have ended");
    stage.load.end_well();
}

#[test]
fn what_differs_is_held_until_an_operator_says_yes() {
    let stage = Copied::start("", |_| document("{\"items\": [1, 3], \"at\": 1}"));
    let rollout = stage.release("0s");
    let held = stage.operator.until(rollout, "held", |rollout| rollout["evidence"][0]["why"] == "differences");
    let sentence = held["evidence"][0]["sentence"].as_str().unwrap();
    println!("{sentence}");
    assert!(sentence.contains("pairs differ (100 %), more than the allowed 1 %: promote or abort"), "{held:#}");
    let mirror = stage.mirror();
    assert_eq!((&mirror["to"], &mirror["places"][0]["place"]), (&json!("v2"), &json!("/items/1")), "{mirror:#}");
    stage.operator.order(rollout, "promote").unwrap();
    stage.operator.until(rollout, "promoted", |rollout| rollout["weight"] == 50.0);
    stage.load.end_well();
}

#[test]
fn a_hand_on_the_mirror_wins() {
    let stage = Copied::start("", |_| document("{\"items\": [1, 2], \"at\": 1}"));
    let rollout = stage.release("10m");
    stage
        .operator
        .until(rollout, "judging pairs", |rollout| rollout["evidence"][0]["pairs"]["pairs"].as_u64() >= Some(10));
    stage.proxy.put("/v1/services/site/mirror", "{\"to\": \"v2\", \"share\": 1}");
    let paused = stage.operator.until(rollout, "paused", |rollout| rollout["phase"] == "paused");
    assert_eq!(paused["paused_because"], "the split or the mirror was changed by hand", "{paused:#}");
    assert_eq!(stage.mirror()["share"], 1.0, "it is the operator's");
    let other = stage.operator.try_start(json!({"service": "site", "to": "v2"})).expect_err("one at a time");
    assert!(format!("{other}").contains("not over"), "{other}");
    stage.operator.order(rollout, "abort").unwrap();
    stage.operator.until_ended(rollout, "aborted");
    assert_eq!(stage.mirror()["share"], 1.0, "and stays so");
    // While one is in force a plan cannot have its own.
    let plan = json!({"steps": [{"mirror": 10}, 100]});
    let refused = stage.operator.try_start(json!({"service": "site", "to": "v2", "plan": plan}));
    let refused = format!("{:?}", refused.expect_err("there is one"));
    assert!(refused.contains("pointsman mirror site --off"), "{refused}");
    stage.ends_untouched();
}
