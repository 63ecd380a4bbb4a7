//! What people see of a rollout: how long it will take, what a step lacks, and what is waited for.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::load::Load;
use crate::support::release::{Operator, id, last_words, version, visitors};
use crate::support::{Origin, Reply, Seen, Setup, eventually, eventually_within};

#[test]
fn thin_traffic_is_told_at_the_start_with_the_plan_that_fits_and_a_hold_counts_down() {
    let ((v1, _), (v2, _)) = (version("v1"), version("v2"));
    let proxy = Setup::to(&[&v1, &v2]).start();
    let operator = Operator::at(proxy.admin);
    let load = Load::start(visitors(proxy.address, &["/"], 20, true));
    let dry = || {
        let call = json!({"service": "site", "plan": {"judge": {"slower": false}}});
        operator.dry_run(call)["forecast"].clone()
    };
    let mut forecast = Value::Null;
    eventually_within(Duration::from_secs(60), "the rate is known", || {
        forecast = dry();
        forecast["requests_per_second"].as_f64().is_some_and(|rate| (15.0..25.0).contains(&rate))
    });
    let text = forecast["text"].as_str().unwrap();
    assert!(text.contains("requests/s this plan takes about ") && text.contains("; with "), "{forecast:#}");
    // One per cent of it takes the hour, and not the bakes of 40 minutes.
    assert!(forecast["seconds"].as_f64() > Some(3_000.0), "{forecast:#}");
    assert!(forecast["suggestion"]["seconds"].as_f64() <= Some(3_000.0), "{forecast:#}");
    let plan = json!({
        "steps": [50, 100], "bake": "1s", "hold_max": "3s",
        "judge": {"warm_up": "0s", "requests_min": 60, "slower": false},
    });
    let started = operator.start(json!({"service": "site", "plan": plan}));
    assert!(started["forecast"]["seconds"].as_f64() >= Some(5.0), "{started:#}");
    // Sixty requests at ten a second take longer than it may be held for anything else.
    let missing = |rollout: &Value| {
        let found = &rollout["evidence"][0];
        found["why"] == "not_enough_data" && found["needed_in_seconds"].as_f64() > Some(0.0)
    };
    let held = operator.until(id(&started), "missing", missing);
    assert!(held["hold_left_seconds"].as_f64().is_some_and(|left| left > 0.0 && left <= 3.0), "{held:#}");
    assert_eq!((&held["on_hold"], &held["evidence"][0]["needed_requests"]), (&json!("pause"), &json!(60)), "{held:#}");
    eventually("it is said beside the service", || {
        let brief = &proxy.status()["rollout"];
        brief["missing"].as_u64().is_some_and(|missing| missing < 60)
    });
    proxy.await_metric("pointsman_rollout_hold", &["why=\"not_enough_data\""], 1.0);
    let over = operator.until_ended(id(&started), "completed");
    assert_eq!(over["weight"], 100.0);
    let thought: Vec<_> = over["verdicts"].as_array().unwrap().iter().map(|verdict| &verdict["why"]).collect();
    assert!(thought.starts_with(&[&json!("baking"), &json!("not_enough_data")]), "{over:#}");
    assert_eq!(over["verdicts"][1]["weight"], 50.0, "{over:#}");
    load.end_well();
}

/// A receiver of messages.
struct Receiver {
    origin: Origin,
    messages: Arc<Mutex<Vec<Seen>>>,
}

impl Receiver {
    fn new() -> Self {
        let messages = Arc::<Mutex<Vec<Seen>>>::default();
        let noted = Arc::clone(&messages);
        let origin = Origin::forgetful(move |seen| {
            noted.lock().unwrap().push(seen.clone());
            Reply::ok("")
        });
        Self { origin, messages }
    }

    fn seen(&self) -> Vec<Seen> {
        self.messages.lock().unwrap().clone()
    }
}

#[test]
fn changes_of_the_judges_mind_are_told_to_who_asks_for_them_and_not_as_fast_as_they_come() {
    let ((v1, _), (v2, _)) = (version("v1"), version("v2"));
    let [told, usual] = [Receiver::new(), Receiver::new()];
    let notify = format!(
        "[notify.minds]\nurl = \"http://{}/\"\nevents = [\"verdict\"]\n[notify.usual]\nurl = \"http://{}/\"\n",
        told.origin.address(),
        usual.origin.address()
    );
    let proxy = Setup::to(&[&v1, &v2]).bottom(&notify).start();
    let operator = Operator::at(proxy.admin);
    let load = Load::start(visitors(proxy.address, &["/"], 50, true));
    let judge = json!({"warm_up": "0s", "requests_min": 1_000_000, "slower": false});
    let plan = json!({"steps": [50, 100], "bake": "1s", "judge": judge});
    // Before the first of them is sent, however late it is read.
    let began = Instant::now();
    let rollout = id(&operator.start(json!({"service": "site", "plan": plan})));
    eventually("the first mind is told", || told.seen().len() == 1);
    operator.until(rollout, "held", |rollout| rollout["evidence"][0]["why"] == "not_enough_data");
    eventually_within(Duration::from_secs(20), "the second one is told", || told.seen().len() == 2);
    assert!(began.elapsed() > Duration::from_secs(9), "{:?}", began.elapsed());
    let said: Vec<Value> = told.seen().iter().map(|seen| serde_json::from_str(&seen.text()).unwrap()).collect();
    let whys: Vec<_> = said.iter().map(|message| message["verdicts"][0]["why"].clone()).collect();
    assert_eq!(whys, ["baking", "not_enough_data"]);
    assert_eq!((&said[1]["event"], &said[1]["rollout"]["id"]), (&json!("verdict"), &json!(rollout)));
    assert_eq!(said[1]["evidence"][0]["why"], "not_enough_data", "{:#}", said[1]);
    let text = said[1]["text"].as_str().unwrap();
    assert!(text.starts_with("holding site v2: not enough data: "), "{text}");
    let numbers: Vec<_> =
        told.seen().iter().map(|seen| seen.header("x-pointsman-delivery").unwrap().to_owned()).collect();
    assert!(numbers[0] != numbers[1] && numbers[0].contains("-verdict-"), "{numbers:?}");
    // The others are not bothered.
    let events: Vec<_> = usual.seen().iter().map(|seen| seen.header("x-pointsman-event").unwrap().to_owned()).collect();
    assert_eq!(events, ["started"]);
    load.end_well();
}

#[test]
fn a_verdict_names_the_endpoint_that_makes_nearly_all_of_what_is_bad() {
    let ((v1, _), (good, _), (bad, mood)) = (version("v1"), version("v2"), version("v2"));
    let proxy = Setup::endpoints(&[&[v1.address()], &[good.address(), bad.address()]]).start();
    let operator = Operator::at(proxy.admin);
    let _load = Load::start(visitors(proxy.address, &["/"], 400, false));
    let plan = json!({"steps": [50, 100], "bake": "10m", "judge": {"warm_up": "0s", "slower": false}});
    let rollout = id(&operator.start(json!({"service": "site", "to": "v2", "plan": plan})));
    operator.until_judged(rollout, 100);
    mood.failing.store(400, SeqCst);
    let over = operator.until_ended(rollout, "rolled_back");
    let on = format!(", all on {}, against ", bad.address());
    assert!(last_words(&over).contains(&on), "{over:#}");
    assert_eq!(over["evidence"][0]["endpoint"], bad.address().to_string(), "{over:#}");
}
