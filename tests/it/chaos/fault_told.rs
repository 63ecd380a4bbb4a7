//! What is told of a request that a fault was done to.

use pointsman::testing::stats::FaultSlice;
use serde_json::{Value, json};

use super::injected::{abort, put, setup, user, visit};
use crate::support::{Origin, Setup, eventually};

#[test]
fn explain_and_the_access_log_say_what_was_done() {
    let origin = Origin::saying("hello");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let section = format!("[access_log]\nformat = \"json\"\npath = \"{}\"\n", path.display());
    let proxy = setup(Setup::to(&[&origin])).top(&section).start();
    let explain = |headers: Value| {
        let asked = json!({ "host": "a", "headers": headers }).to_string();
        proxy.call("POST", "/v1/explain", &asked)["chaos"].clone()
    };
    assert_eq!(explain(json!({})), Value::Null);
    put(&proxy, abort(503));
    for (slice, word) in [(FaultSlice::Fault, "fault"), (FaultSlice::Control, "control")] {
        let said = explain(json!({ "x-user": user(slice) }));
        assert_eq!((&said["experiment"], &said["run"], &said["fault"]), (&json!("try"), &json!(1), &json!("abort")));
        assert_eq!((&said["slice"], &said["injecting"]), (&json!(word), &json!(true)), "{said}");
    }
    assert_eq!(explain(json!({}))["slice"], Value::Null, "chance decides");
    for slice in [FaultSlice::Fault, FaultSlice::Control] {
        visit(&proxy, &user(slice), "/");
    }
    let mut lines = Vec::new();
    eventually("both lines are there", || {
        let text = std::fs::read_to_string(&path).unwrap();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines = whole.map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
        lines.sort_by_key(|line| line["status"] == 200);
        lines.len() == 2
    });
    assert_eq!((&lines[0]["fault"], &lines[0]["status"]), (&json!("try/abort"), &json!(503)));
    assert_eq!(lines[0]["endpoint"], json!(origin.address()), "the one that seems to have answered");
    assert!(lines[1].get("fault").is_none() && lines[1]["status"] == 200, "{}", lines[1]);
}
