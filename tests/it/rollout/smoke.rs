//! Smoke requests in a canary: before the first step, again before each other one, and what becomes of a bad answer.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use http::Method;
use pointsman::cli::client::Call;
use serde_json::{Value, json};

use crate::support::load::Load;
use crate::support::release::{Operator, id, last_words, version, visitors};
use crate::support::{Origin, Proxy, Reply, Setup};

/// A page that no user asks for.
const READY: &str = "/ready";

/// What is sent before each step.
const SMOKE: &str = "smoke = [{ path = \"/\", body = \"^v2$\" }, { path = \"/ready\", method = \"HEAD\" }]";

/// Two steps that are short and judged all the same, and the last one.
const JUDGE: &str = "judge = { warm_up = \"0s\", requests_min = 10, slower = false }";

/// A v2 that is asked whether it is ready: how often it was, how often it says yes, and how often users came.
#[derive(Debug, Default)]
struct Readiness {
    asked: AtomicU64,
    says_yes: AtomicU64,
    users: AtomicU64,
}

/// A v2 that is ready this many times, and always well for users.
fn ready(times: u64) -> (Origin, Arc<Readiness>) {
    let readiness = Arc::new(Readiness { says_yes: times.into(), ..Readiness::default() });
    let its = Arc::clone(&readiness);
    let origin = Origin::forgetful(move |seen| {
        let ours = seen.header("user-agent").is_some_and(|agent| agent.starts_with("pointsman-smoke/"));
        if seen.target() == READY {
            assert!(ours && seen.line().starts_with("HEAD "), "{seen:?}");
            if its.asked.fetch_add(1, SeqCst) >= its.says_yes.load(SeqCst) {
                return Reply::raw("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\n");
            }
            return Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
        }
        its.users.fetch_add(u64::from(!ours), SeqCst);
        Reply::ok("v2")
    });
    (origin, readiness)
}

fn site(v1: &Origin, v2: &Origin) -> (Proxy, Operator) {
    let plan = format!("rollout = {{ steps = [20, 50], bake = \"300ms\", {SMOKE}, {JUDGE} }}");
    let proxy = Setup::to(&[v1, v2]).service(&plan).start();
    let operator = Operator::at(proxy.admin);
    (proxy, operator)
}

fn words(rollout: &Value) -> Vec<&str> {
    rollout["events"].as_array().unwrap().iter().map(|event| event["word"].as_str().unwrap()).collect()
}

/// What was not ready, in the words of the event.
fn told(v2: &Origin) -> String {
    let endpoint = v2.address();
    format!("(site v2: smoke request 2 (HEAD /ready) to {endpoint}: status 503, want 200-299")
}

#[test]
fn a_canary_that_answers_badly_before_the_first_step_gets_no_user() {
    let ((v1, _), (v2, readiness)) = (version("v1"), ready(0));
    let (proxy, operator) = site(&v1, &v2);
    let load = Load::start(visitors(proxy.address, &["/"], 400, true));
    load.await_more(50);
    let dry = operator.dry_run(json!({ "service": "site", "to": "v2" }));
    let stages: Vec<_> =
        dry["rollout"]["stages"].as_array().unwrap().iter().map(|stage| stage["what"].clone()).collect();
    let smoke = "smoke requests";
    assert_eq!(stages, [smoke, "bake", smoke, "bake", smoke, "bake"], "{dry:#}");
    let forecast = dry["forecast"]["text"].as_str().unwrap();
    assert!(forecast.contains("and what the smoke requests before each step take"), "{forecast}");
    assert_eq!(readiness.asked.load(SeqCst), 0, "a dry run asks nothing");
    let over = operator.until_ended(id(&operator.start(json!({ "service": "site", "to": "v2" }))), "task_failed");
    assert_eq!(words(&over), ["started", "rolled_back"], "{over:#}");
    assert!(last_words(&over).starts_with("site v2: rolled back, failed: smoke requests"), "{over:#}");
    assert!(last_words(&over).contains(&told(&v2)), "{over:#}");
    assert_eq!((readiness.asked.load(SeqCst), readiness.users.load(SeqCst)), (1, 0));
    assert_eq!(proxy.status()["versions"][0]["weight"], 100.0);
    proxy.await_metric("pointsman_rollout_phase", &["phase=\"finished\""], 1.0);
    load.end_well();
}

#[test]
fn a_canary_is_asked_again_before_each_step_and_turned_back_where_it_answers_badly() {
    let ((v1, _), (v2, readiness)) = (version("v1"), ready(2));
    let (proxy, operator) = site(&v1, &v2);
    let load = Load::start(visitors(proxy.address, &["/"], 400, true));
    load.await_more(50);
    let over = operator.until_ended(id(&operator.start(json!({ "service": "site", "to": "v2" }))), "task_failed");
    let wanted = ["started", "advanced", "progress", "advanced", "progress", "rolled_back"];
    assert_eq!(words(&over), wanted, "{over:#}");
    let weights: Vec<_> = over["events"].as_array().unwrap().iter().map(|event| event["weight"].clone()).collect();
    assert_eq!(weights, [0.0, 20.0, 20.0, 50.0, 50.0, 0.0], "{over:#}");
    assert!(last_words(&over).contains(&told(&v2)), "{over:#}");
    assert_eq!(proxy.status()["versions"][0]["weight"], 100.0);
    readiness.says_yes.store(u64::MAX, SeqCst);
    readiness.asked.store(0, SeqCst);
    operator.until_ended(id(&operator.start(json!({ "service": "site", "to": "v2" }))), "completed");
    assert_eq!(readiness.asked.load(SeqCst), 3, "before 20, 50 and 100 %");
    load.end_well();
}

#[test]
fn smoke_requests_of_the_file_stay_when_a_start_changes_the_steps_or_the_strategy() {
    let ((v1, _), (v2, readiness)) = (version("v1"), ready(0));
    let (_proxy, operator) = site(&v1, &v2);
    for plan in [json!({ "steps": [1, 100] }), json!({ "strategy": "blue_green" })] {
        readiness.asked.store(0, SeqCst);
        let rollout = id(&operator.start(json!({ "service": "site", "to": "v2", "plan": plan })));
        operator.until_ended(rollout, "task_failed");
        assert_eq!(readiness.asked.load(SeqCst), 1, "{plan}");
    }
    let other = json!({ "service": "site", "to": "v2", "plan": { "smoke": [{ "path": "/" }] } });
    assert!(operator.try_start(other).unwrap_err().to_string().contains("plan.smoke"));
}

#[test]
fn a_version_without_an_endpoint_to_ask_is_told_and_holds_nothing_up() {
    let ((v1, _), (v2, _)) = (version("v1"), ready(u64::MAX));
    let mut text = "[listeners.public]\naddress = \"127.0.0.1:0\"\n".to_owned();
    for service in ["web", "pay"] {
        text += &format!(
            "[services.{service}]\npaths = [\"/{service}\"]\nsplit = {{ v1 = 100, v2 = 0 }}\n\
             versions.v1.endpoints = [\"{}\"]\nversions.v2.endpoints = [\"{}\"]\n",
            v1.address(),
            v2.address()
        );
    }
    text += &format!("[groups.both]\nservices = [\"web\", \"pay\"]\nrollout = {{ bake = \"5m\", {SMOKE}, {JUDGE} }}\n");
    let proxy = Proxy::start(&text);
    let operator = Operator::at(proxy.admin);
    let drain = format!("/v1/services/pay/versions/v2/endpoints/{}", v2.address());
    let body = Some(json!({ "state": "drain" }));
    operator.0.call(Call { method: Method::PUT, path: &drain, body, if_match: None }).unwrap();
    let start = |force: bool| operator.try_start(json!({ "group": "both", "to": "v2", "force": force }));
    let refused = start(false).unwrap_err().to_string();
    assert!(refused.contains("pay") && refused.contains("no usable endpoint"), "{refused}");
    let over = operator.until_ended(id(&start(true).unwrap()), "task_failed");
    assert!(last_words(&over).contains("(pay v2 has no endpoint to ask)"), "{over:#}");
}
