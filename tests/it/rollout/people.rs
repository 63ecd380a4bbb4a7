//! What people see of a rollout: how long it will take, what a step lacks, and what is waited for.

use serde_json::{Value, json};

use crate::support::load::Load;
use crate::support::release::{Operator, id, version, visitors};
use crate::support::{Setup, eventually};

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
    eventually("the rate is known", || {
        dry()["requests_per_second"].as_f64().is_some_and(|rate| (15.0..25.0).contains(&rate))
    });
    let forecast = dry();
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
