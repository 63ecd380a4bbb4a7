//! What faults never reach, and what they never move: checks of endpoints, the admin API, other services, marked
//! requests, tunnels, releases, experiments and flags.

use std::sync::Arc;

use pointsman::testing::stats::FaultSlice;
use pointsman::testing::table::spec::fault::FaultKind;
use serde_json::{Value, json};

use super::injected::{abort, counted, fault, put, setup, target, user, users, visit};
use crate::support::{Origin, Proxy, Reply, Setup, client, eventually, with};

#[test]
fn checks_the_admin_api_and_other_services_see_nothing() {
    let (origin, other) = (Origin::saying("hello"), Origin::saying("other"));
    let section = format!(
        "[services.other]\npaths = [\"/other\"]\nsticky = [\"header:x-user\"]\n[services.other.versions.v1]\n\
         endpoints = [\"{}\"]",
        other.address()
    );
    // Two that fail take it out, and one that is well brings it back: a busy machine may be late with one.
    let health =
        "health = { path = \"/healthz\", interval = \"500ms\", timeout = \"490ms\", jitter = 0, rise = 1, fall = 2 }";
    let proxy = setup(Setup::to(&[&origin])).version(health).bottom(&section).start();
    let checks = || origin.seen().iter().filter(|seen| seen.target() == "/healthz").count();
    let fault_user = user(FaultSlice::Fault);
    for kind in [abort(503), FaultKind::Reset, FaultKind::Refuse, FaultKind::Cut { after_bytes: 0 }] {
        put(&proxy, kind);
        let before = checks();
        // What the fault did to the first two would be known by the fourth.
        eventually("checks go on", || checks() > before + 3);
        eventually("they pass", || proxy.status()["versions"][0]["endpoints"][0]["state"] == "ready");
        assert_eq!(visit(&proxy, &fault_user, "/other"), 200);
    }
    put(&proxy, abort(503));
    assert_eq!(visit(&proxy, &fault_user, "/.well-known/acme-challenge/token"), 200);
    assert_eq!(visit(&proxy, &fault_user, "/"), 503);
    eventually("one of them was in a slice and met the fault", || counted(&proxy, "fault", "failed") > 0.5);
}

#[test]
fn what_a_trusted_proxy_marks_is_spared_and_what_a_client_says_is_not_heard() {
    let origin = Origin::saying("hello");
    let lines = [&*format!("X-User: {}", user(FaultSlice::Fault)), "X-Pointsman-No-Fault: 1"];
    for (trusted, status) in [("[\"127.0.0.1/32\"]", 200), ("[]", 503)] {
        let proxy = setup(Setup::to(&[&origin])).listener(&format!("trusted_proxies = {trusted}")).start();
        put(&proxy, abort(503));
        assert_eq!(client::send(proxy.address, with(&lines)).status, status);
        assert_eq!(client::send(proxy.address, with(&lines[..1])).status, 503);
    }
}

#[test]
fn a_service_that_is_released_is_left_alone_whatever_a_table_says() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = setup(Setup::to(&[&v1, &v2])).start();
    put(&proxy, abort(503));
    assert_eq!(visit(&proxy, &user(FaultSlice::Fault), "/"), 503);
    let plan = json!({ "service": "site", "to": "v2", "plan": { "steps": [10, 100], "bake": "10m" } });
    let started = proxy.call("POST", "/v1/rollouts", &plan.to_string());
    assert!(started["rollout"]["id"].is_u64(), "{started}");
    proxy.put_faults(&[Arc::new(fault(abort(503), target()))]);
    let mut asked = users(FaultSlice::Fault).take(20);
    assert!(asked.all(|user| visit(&proxy, &user, "/") == 200));
    assert!(counted(&proxy, "fault", "failed") < 1.5, "the one from before");
}

/// What an endpoint that takes a WebSocket says to its key (RFC 6455, 4.2.2).
fn accept_of(key: &str) -> String {
    use base64::Engine as _;
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(digest)
}

#[test]
fn a_websocket_that_is_open_is_left_alone() {
    let origin = Origin::with(|seen| {
        let accept = accept_of(seen.header("sec-websocket-key").unwrap_or(""));
        let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
        Reply::raw(format!("{head}Sec-WebSocket-Accept: {accept}\r\n\r\n")).echo()
    });
    let proxy = setup(Setup::to(&[&origin])).start();
    // At this rate it would take hours.
    put(&proxy, FaultKind::Bandwidth { bytes_per_s: 1 });
    let lines = [
        &*format!("X-User: {}", user(FaultSlice::Fault)),
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let mut client = proxy.client();
    assert_eq!(client.write(with(&lines)).next_status(), 101);
    put(&proxy, FaultKind::Cut { after_bytes: 0 });
    let (_end, came) = client.write([b'x'; 10_000]).finish().end();
    assert_eq!(came.len(), 10_000);
}

/// Experiments on versions and on a flag, of different users.
const EXPERIMENTS: &str = r#"
[flags.theme]
variants = { classic = "classic", new = "new" }
default = "classic"
[experiments.button]
service = "site"
arms = { control = "v1", treatment = "v2" }
share = 100
metrics = [{ name = "purchase", kind = "conversion", when = { path = "/orders" } }]
[experiments.theme]
flag = "theme"
arms = { control = "classic", treatment = "new" }
share = 100
metrics = [{ name = "purchase", kind = "conversion", when = { path = "/orders" } }]
"#;

/// What experiments say when these users have visited and bought.
fn results(with_fault: Option<FaultKind>, users: &[String], seen: usize) -> Vec<Value> {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy: Proxy = setup(Setup::to(&[&v1, &v2])).service("flags = [\"theme\"]").bottom(EXPERIMENTS).start();
    for experiment in ["button", "theme"] {
        let started = proxy.call("POST", &format!("/v1/experiments/{experiment}/start"), "{}");
        assert!(started["revision"].is_u64(), "{started}");
    }
    if let Some(kind) = with_fault {
        put(&proxy, kind);
    }
    for user in users {
        visit(&proxy, user, "/");
        visit(&proxy, user, "/orders");
    }
    let result = |experiment: &str| {
        let mut found = Value::Null;
        eventually("all of them are counted", || {
            found = proxy.call("GET", &format!("/v1/experiments/{experiment}"), "")["result"].clone();
            let of = |arm: &str| found["metrics"][0][arm]["sum"].as_f64().unwrap_or(0.0);
            let bought = of("control") + of("treatment");
            bought > f64::from(u32::try_from(seen).unwrap()) - 0.5
        });
        found
    };
    ["button", "theme"].map(result).into()
}

#[test]
fn experiments_on_versions_and_flags_count_what_they_would_without_the_fault() {
    let others: Vec<_> = users(FaultSlice::Control).take(25).collect();
    let all: Vec<_> = others.iter().cloned().chain(users(FaultSlice::Fault).take(25)).collect();
    let without = results(None, &others, others.len());
    // It neither fails nor is slow: what decides is the slice, not what became of the request.
    let nothing = FaultKind::Latency { fixed: std::time::Duration::ZERO, jitter: std::time::Duration::ZERO };
    for kind in [abort(503), nothing] {
        assert_eq!(results(Some(kind.clone()), &all, others.len()), without, "{kind:?}");
    }
}
