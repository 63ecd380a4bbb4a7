//! Rollouts that ask for what is left of an error budget.

use pointsman::cli::client::CallError;
use serde_json::json;

use crate::support::release::{Operator, id};
use crate::support::{Origin, Proxy, Reply, Setup, client, eventually, get};

/// Two versions that are alike, and too slow for the objective: it is spent by traffic alone, and nothing speaks
/// against the new one.
fn site() -> (Proxy, [Origin; 2]) {
    let origin = || {
        Origin::forgetful(|_| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            Reply::ok("late")
        })
    };
    let origins = [origin(), origin()];
    let plan = "rollout = { steps = [50, 100], bake = \"4s\", budget_left_min = 20, \
                judge = { requests_min = 20, slower = false } }";
    let slo = "slo = { latency = { under = \"1ms\", share = 99 } }";
    let proxy = Setup::to(&[&origins[0], &origins[1]]).service(slo).service(plan).start();
    (proxy, origins)
}

#[test]
fn a_spent_budget_holds_the_step_and_refuses_the_next_start() {
    let (proxy, _origins) = site();
    let operator = Operator::at(proxy.admin);
    // Of a service without requests everything is left, once the store has been read.
    let mut started = None;
    eventually("it may start", || {
        started = operator.try_start(json!({ "service": "site", "to": "v2" })).ok();
        started.is_some()
    });
    let rollout = id(&started.unwrap());
    let asking = || {
        for _ in 0..20 {
            client::send(proxy.address, get("/"));
        }
    };
    let held = operator.until(rollout, "a hold", |rollout| {
        asking();
        rollout["evidence"][0]["why"] == "budget"
    });
    let sentence = held["evidence"][0]["sentence"].as_str().unwrap();
    assert!(
        sentence.starts_with("holding site v2: ") && sentence.contains("of the error budget overspent"),
        "{held:#}"
    );
    assert!((proxy.metric("pointsman_rollout_hold", &["why=\"budget\""]) - 1.0).abs() < 1e-9, "{}", proxy.metrics());
    operator.order(rollout, "abort").unwrap();
    operator.until_ended(rollout, "aborted");
    let CallError::Refused { problem, .. } =
        operator.try_start(json!({ "service": "site", "to": "v2" })).expect_err("it is spent")
    else {
        panic!("want problems")
    };
    let problem = problem.to_string();
    for words in ["services.site", "of the error budget overspent", "want 20 %", "budget_left_min=null"] {
        assert!(problem.contains(words), "{words} in {problem}");
    }
    let plan = json!({ "budget_left_min": null });
    operator.start(json!({ "service": "site", "to": "v2", "plan": plan }));
}
