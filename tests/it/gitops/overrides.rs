//! Weights that are set by hand over a commit: who has set them is seen, and for a time they go back by themselves.

use http::Method;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::git_place::{GitPlace, gitops, is, on_v2, pointsman};
use crate::support::process::Process;

/// The one override there is.
fn found(process: &Process) -> Value {
    let overrides = gitops(process)["overrides"].clone();
    assert_eq!(overrides.as_array().map(Vec::len), Some(1), "{overrides}");
    overrides[0].clone()
}

#[test]
fn a_shift_by_hand_shows_its_owner_and_ends_when_its_time_is_over_also_after_a_crash() {
    let place = GitPlace::new();
    let commit = place.commit(40, "Give v2 a part");
    let mut process = place.start("1h");
    eventually("the commit is in force", || is(&process, "synced", &commit));
    let admin = process.admin_address.to_string();
    let shift = |arguments: &[&str]| {
        let all = [&["--admin", &admin, "shift", "shop", "v2=100"], arguments].concat();
        let (code, text) = pointsman(place.folder(), &all);
        assert_eq!(code, 0, "{text}");
    };

    shift(&["--for", "1h", "--reason", "a load test"]);
    let shown = found(&process);
    assert_eq!(
        (&shown["of"], &shown["revision"], &shown["reason"]),
        (&json!("shop"), &json!(2), &json!("a load test"))
    );
    assert!(shown["author"].is_string() && shown["at"].is_string() && shown["ends_at"].is_string(), "{shown}");
    let status = pointsman(place.folder(), &["--admin", &admin, "status"]).1;
    assert!(status.contains(" in revision 2, until ") && status.contains(": a load test"), "{status}");

    // Another one without an end takes its place, and one with an end that of it.
    shift(&[]);
    assert!(found(&process)["ends_at"].is_string(), "nothing has changed by it");
    process.send(Method::PUT, "/v1/services/shop/split", json!({"v1": 10, "v2": 90})).unwrap();
    assert_eq!(found(&process)["ends_at"], Value::Null);
    process.send(Method::POST, "/v1/services/shop/flip", json!({"to": "v2", "ttl": "1s"})).unwrap();
    eventually("its time is over", || is(&process, "synced", &commit));
    let revision = &process.get("/v1/revisions?limit=1")["revisions"][0];
    assert_eq!((&revision["author"], &revision["action"]), (&json!("expiry"), &json!("expire")), "{revision}");
    assert!(revision["reason"].as_str().unwrap().starts_with("the time is over that "), "{revision}");

    let refused = process.send(Method::POST, "/v1/services/shop/flip", json!({"to": "v2", "ttl": "721h"})).unwrap_err();
    assert!(refused.to_string().contains("ttl: found") && refused.to_string().contains("720h"), "{refused}");
    let before = on_v2(&process);
    process.send(Method::POST, "/v1/services/shop/flip", json!({"to": "v1", "ttl": "2s"})).unwrap();
    process.signal("KILL");
    process.end();
    let process = place.start("1h");
    eventually("its time is over", || is(&process, "synced", &commit));
    assert_eq!(on_v2(&process), before, "the same users");
}

#[test]
fn what_a_rollout_has_in_its_hands_waits_and_says_so() {
    let place = GitPlace::new();
    let plan = "rollout.steps = [{ mirror = 10, bake = \"10m\" }, 50, 100]\n";
    let commit = place.commit_text(&(place.config(40) + plan), "Give v2 a part");
    let process = place.start("1s");
    eventually("the commit is in force", || is(&process, "synced", &commit));
    process.send(Method::POST, "/v1/services/shop/flip", json!({"to": "v1", "ttl": "1s"})).unwrap();
    process.send(Method::POST, "/v1/rollouts", json!({"service": "shop", "to": "v2"})).unwrap();
    eventually("it waits", || found(&process)["waits"] == "a rollout is under way");
    let revision = process.get("/v1/status")["revision"].clone();
    process.send(Method::POST, "/v1/rollouts/1/abort", json!({})).unwrap();
    eventually("it has ended", || is(&process, "synced", &commit));
    assert_ne!(process.get("/v1/status")["revision"], revision);
}
