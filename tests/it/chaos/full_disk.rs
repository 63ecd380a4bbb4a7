//! Nothing can be stored any more: no run begins, since what it is could not be told after a power cut; and one that is
//! under way ends as ever, its fault gone before anything is stored.

use pointsman::testing::stats::FaultSlice;
use serde_json::json;

use super::bench::{Bench, FAILING, begin, post, until};
use super::injected::users;
use crate::support::process::Process;
use crate::support::small_disk::{inside, on_small_disk};
use crate::support::{client, eventually};

/// Whether the first users of the fault slice of run 1 get this status.
fn all_get(process: &Process, status: u16) -> bool {
    let mut asked = users(FaultSlice::Fault).take(10);
    asked.all(|user| {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nx-user-id: {user}\r\nConnection: close\r\n\r\n");
        client::send(process.listener, request).status == status
    })
}

#[test]
fn a_full_disk_refuses_a_start_and_holds_up_no_end() {
    let bench = Bench::kept_in("state", FAILING);
    let state = bench.file("state");
    let process = on_small_disk(&bench.path(), &state, 1024);
    begin(&process, "failing");
    assert!(all_get(&process, 503));
    let fill = state.join("fill");
    inside(&process, &format!("cat /dev/zero > {} 2>&1 || true", fill.display()));
    let run = post(&process, "/v1/chaos/1/stop", json!({ "reason": "enough" })).unwrap();
    assert_eq!((&run["state"], &run["ended_by"]), (&json!("ended"), &json!("operator")), "{run:#}");
    assert!(run["restored_at"].is_string(), "{run:#}");
    assert!(all_get(&process, 200), "the fault is gone");
    // What the store has left of its files may be enough for some more records.
    let refused = (0..200).find_map(|_| match post(&process, "/v1/chaos", json!({ "experiment": "failing" })) {
        Ok(_begun) => post(&process, "/v1/chaos/stop", json!({})).map(|_| None).unwrap(),
        Err(error) => Some(error.to_string()),
    });
    let refused = refused.expect("the disk is full");
    assert!(refused.contains("full"), "{refused}");
    let live = |run: &serde_json::Value| run["state"] != "ended";
    let list = process.get("/v1/chaos");
    assert!(!list["runs"].as_array().unwrap().iter().any(live), "nothing has begun: {list:#}");
    assert!(all_get(&process, 200));
    process.tells(&["the record of a chaos run cannot be stored, it is tried again"]);
    // With room again, what was not stored is, and there is another one.
    inside(&process, &format!("rm {}", fill.display()));
    let mut begun = None;
    eventually("it may begin again", || {
        begun = post(&process, "/v1/chaos", json!({ "experiment": "failing" })).ok();
        begun.is_some()
    });
    let id = begun.and_then(|run| run["id"].as_u64()).expect("a number");
    until(&process, id, "under way", |run| run["state"] == "injecting");
}
