//! What the judge had found over time: kept while a rollout is under way, over restarts and upgrades, and at its end.

use std::sync::atomic::Ordering::SeqCst;

use http::Method;
use pointsman::cli::client::Call;
use serde_json::{Value, json};

use crate::support::load::Load;
use crate::support::process::{Process, config, is_running};
use crate::support::release::{Operator, id, version, visitors};

fn points(operator: &Operator, rollout: u64) -> Vec<Value> {
    let found = operator.0.call(Call::get(&format!("/v1/rollouts/{rollout}/evidence"))).unwrap();
    assert_eq!((&found["rollout"], &found["services"][0]["service"]), (&json!(rollout), &json!("shop")));
    assert_eq!((&found["services"][0]["from"], &found["services"][0]["to"]), (&json!("v1"), &json!("v2")));
    found["services"][0]["points"].as_array().unwrap().clone()
}

/// The first points are the same as before.
#[track_caller]
fn begins_with(all: &[Value], before: &[Value]) {
    assert!(all.len() >= before.len(), "{} of {}", all.len(), before.len());
    for (now, then) in all.iter().zip(before) {
        assert_eq!(now, then);
    }
}

#[test]
fn the_way_to_a_rollback_can_be_seen_after_its_end_and_after_restarts_and_an_upgrade() {
    let ((v1, _old), (v2, new)) = (version("v1"), version("v2"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    let state = format!("[state]\npath = \"{}\"\n", folder.path().join("pointsman.db").display());
    std::fs::write(&path, config(v1.address(), v2.address(), &state)).unwrap();
    let mut process = Process::start(&path);
    let operator = Operator(process.admin.clone());
    let load = Load::start(visitors(process.listener, &["/"], 100, false));
    let plan = json!({"steps": [20, 50, 100], "bake": "20m", "judge": {"warm_up": "0s", "slower": false}});
    let rollout = id(&operator.start(json!({"service": "shop", "to": "v2", "plan": plan})));
    let seen = |operator: &Operator, wanted: usize| {
        operator.until(rollout, "seen for some seconds", |_| points(operator, rollout).len() >= wanted);
        points(operator, rollout)
    };
    let first = seen(&operator, 4);
    // Nothing moves meanwhile: what is on disk is what the end of the process has written.
    process.end();
    load.end();

    let mut process = Process::start(&path);
    let operator = Operator(process.admin.clone());
    let load = Load::start(visitors(process.listener, &["/"], 100, false));
    let again = points(&operator, rollout);
    begins_with(&again, &first);
    let second = seen(&operator, again.len() + 3);
    let next = process.upgrade().unwrap();
    process.succeed(next);
    let operator = Operator(process.admin.clone());
    begins_with(&points(&operator, rollout), &second);
    operator.order(rollout, "promote").unwrap();
    new.failing.store(400, SeqCst);
    operator.until_ended(rollout, "rolled_back");
    load.end();

    let all = points(&operator, rollout);
    begins_with(&all, &second);
    let at = |point: &Value| point["at_ms"].as_i64().unwrap();
    assert!(all.windows(2).all(|two| at(&two[0]) <= at(&two[1])), "{all:#?}");
    let number = |point: &Value, member: &str| point[member].as_f64().unwrap();
    assert!(all.iter().all(|point| number(point, "log10_alarm") == number(&all[0], "log10_alarm")));
    // The first one is from before anything was judged, the last one what it was turned back by.
    assert_eq!(
        (&all[0]["moves"], &all[0]["weight"], &all[0]["candidate"]["requests"]),
        (&json!(true), &json!(0.0), &json!(0))
    );
    let last = &all[all.len() - 1];
    assert!(last["moves"] == true && last["weight"] == 50.0 && last["stage"] == 1, "{last:#}");
    assert!(number(last, "log10_e_highest") >= number(last, "log10_alarm"), "{last:#}");
    assert!(last["candidate"]["failures"].as_u64() > last["baseline"]["failures"].as_u64(), "{last:#}");
    assert!(last["failure_ratio"][0].as_f64() > Some(1.0), "{last:#}");
    let weights: Vec<f64> = all.iter().map(|point| number(point, "weight")).collect();
    assert!(weights.contains(&20.0) && weights.is_sorted(), "{weights:?}");

    // The end of it is on disk.
    process.signal("KILL");
    // Its threads hold the store for as long as any of them is there.
    let threads = || std::fs::read_dir(format!("/proc/{}/task", process.id())).map_or(0, Iterator::count);
    crate::support::eventually("it is gone", || !is_running(process.id()) && threads() <= 1);
    let process = Process::start(&path);
    let operator = Operator(process.admin.clone());
    assert_eq!(points(&operator, rollout), all);
    // What its plan was is known too.
    let over = operator.rollout(rollout);
    assert_eq!((over["stages"].as_array().unwrap().len(), &over["stages"][1]["weight"]), (3, &json!(50.0)));
}

#[test]
fn a_rollout_that_is_not_there_has_no_evidence_and_a_short_list_has_no_events() {
    let ((v1, _), (v2, _)) = (version("v1"), version("v2"));
    let proxy = crate::support::Setup::to(&[&v1, &v2]).start();
    let operator = Operator::at(proxy.admin);
    let error = operator.0.call(Call::get("/v1/rollouts/7/evidence")).unwrap_err().to_string();
    assert!(error.contains("there is no rollout \"7\""), "{error}");
    let revision = || operator.0.call(Call::get("/v1/status")).unwrap()["revision"].clone();
    let plan = json!({"steps": [20, 100], "bake": "20m"});
    let rollout = id(&operator.start(json!({"service": "site", "to": "v2", "plan": plan})));
    let begun = revision();
    let list =
        |query: &str| operator.0.call(Call::get(&format!("/v1/rollouts{query}"))).unwrap()["rollouts"][0].clone();
    assert_eq!(list("?brief=false")["events"], list("")["events"]);
    let (long, short) = (list(""), list("?brief=true"));
    assert!(!long["events"].as_array().unwrap().is_empty() && short["events"] == json!([]), "{short:#}");
    assert_eq!((&short["id"], &short["evidence"][0]["service"]), (&json!(rollout), &json!("site")));
    let call = Call { method: Method::GET, path: "/v1/rollouts?brief=perhaps", body: None, if_match: None };
    let error = operator.0.call(call).unwrap_err().to_string();
    assert!(error.contains("want true or false"), "{error}");
    assert_eq!(revision(), begun);
}
