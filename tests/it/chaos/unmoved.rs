//! What faults do is nothing that outlier ejection or a release learns from: the same failures of an endpoint would be.

use pointsman::testing::stats::FaultSlice;
use pointsman::testing::table::spec::fault::FaultKind;
use serde_json::json;

use super::bench::{Bench, begin, post, slow};
use super::injected::{abort, counted, put, setup, user, visit};
use crate::support::{Origin, Proxy, Reply, Setup, eventually, with};

/// Three failures in a row, or most of some, take an endpoint out.
const OUTLIER: &str = "outlier = { consecutive_failures = 3, failure_ratio = 0.4, min_requests = 10, window = \"10s\", \
    ejection = \"1m\" }\nresponse_timeout = \"2s\"";

/// A service with two endpoints; `spoil` says what the first of them answers.
fn site(spoil: fn() -> Reply) -> (Proxy, [Origin; 2]) {
    let origins = [Origin::with(move |_| spoil()), Origin::saying("well")];
    let setup = setup(Setup::endpoints(&[&[origins[0].address(), origins[1].address()]]));
    (setup.top("[proxy]\nworkers = 1").service(OUTLIER).start(), origins)
}

/// What is known of both endpoints.
fn states(proxy: &Proxy) -> Vec<String> {
    let status = proxy.status();
    let endpoints = status["versions"][0]["endpoints"].as_array().unwrap();
    endpoints.iter().map(|endpoint| endpoint["state"].as_str().unwrap().to_owned()).collect()
}

/// Asks so often as this user, on one connection after the other.
fn ask(proxy: &Proxy, user: &str, times: usize) {
    for _ in 0..times {
        let mut client = proxy.client();
        // What it gets may break off.
        client.write(with(&[&format!("X-User: {user}")])).read(false).ok();
    }
}

#[test]
fn no_endpoint_is_ejected_for_what_a_fault_did() {
    let (proxy, origins) = site(|| Reply::ok("well"));
    let (fault, control) = (user(FaultSlice::Fault), user(FaultSlice::Control));
    let kinds = [
        abort(503),
        FaultKind::Reset,
        FaultKind::Refuse,
        FaultKind::Cut { after_bytes: 1 },
        FaultKind::Exhaust { places: 0 },
    ];
    for kind in kinds {
        put(&proxy, kind.clone());
        let before = counted(&proxy, "fault", "failed");
        ask(&proxy, &fault, 20);
        eventually(&format!("all of them failed: {kind:?}"), || counted(&proxy, "fault", "failed") > before + 19.5);
        assert_eq!(states(&proxy), ["ready", "ready"], "{kind:?}");
    }
    put(&proxy, FaultKind::Hang);
    ask(&proxy, &fault, 4);
    assert_eq!(states(&proxy), ["ready", "ready"], "what hangs");
    // All of it together is nothing either, and a real failure is still the first in a row.
    proxy.put_faults(&[]);
    assert!((0..4).all(|_| visit(&proxy, &fault, "/") == 200 && visit(&proxy, &control, "/") == 200));
    assert!(origins.iter().all(|origin| !origin.seen().is_empty()), "both have requests");
    assert_eq!(states(&proxy), ["ready", "ready"]);
    assert!(proxy.metric("pointsman_endpoint_healthy", &[]) > 1.5);
}

#[test]
fn the_same_from_an_endpoint_itself_has_it_ejected() {
    let spoiled: [fn() -> Reply; 3] = [
        || Reply::raw("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
        || Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nw").close(),
        || Reply::default().pause(8_000).then("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ];
    for (number, spoil) in spoiled.into_iter().enumerate() {
        let (proxy, _origins) = site(spoil);
        ask(&proxy, &user(FaultSlice::Control), 16);
        eventually(&format!("it is out, number {number}"), || states(&proxy) == ["ejected", "ready"]);
    }
}

#[test]
fn a_release_of_a_flag_and_a_fault_keep_out_of_each_others_way() {
    let flag = "[flags.fresh]\nrules = [{ name = \"launch\", serve = \"off\" }]\n";
    let chaos = slow(&format!("baseline = \"0s\"\nduration = \"10m\"\n{flag}"));
    let bench = Bench::with("flags = [\"fresh\"]\n", &chaos);
    let process = bench.start();
    let rollout = || post(&process, "/v1/rollouts", json!({ "flag": "fresh" }));
    begin(&process, "slow");
    let refused = rollout().unwrap_err().to_string();
    assert!(refused.contains("pointsman chaos stop 1"), "{refused}");
    post(&process, "/v1/chaos/stop", json!({})).unwrap();
    rollout().unwrap();
    let refused = post(&process, "/v1/chaos", json!({ "experiment": "slow" })).unwrap_err().to_string();
    assert!(refused.contains("being rolled out"), "{refused}");
}
