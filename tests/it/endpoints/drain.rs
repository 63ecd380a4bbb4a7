//! How a process and an endpoint leave: each request is answered.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use pointsman::testing::proxy::drain::LAST_REQUEST_GRACE;
use serde_json::json;
use tokio::time::Instant;

use crate::support::load::{self, Load, Tunnels};
use crate::support::process::{Process, config};
use crate::support::{Answer, Client, Origin, Reply, apart, client, eventually, get};

/// How often an endpoint is drained under load.
const DRAINS: u32 = 1_000;

fn start(origin: SocketAddr, proxy: &str) -> (tempfile::TempDir, Process) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("pointsman.toml");
    let text = config(origin, origin, "").replace("workers = 2", &format!("workers = 2\n{proxy}"));
    std::fs::write(&path, text).unwrap();
    let process = Process::start(&path);
    (folder, process)
}

/// An origin that answers after this many milliseconds.
fn slow(ms: u64) -> Origin {
    Origin::with(move |_| Reply::raw("").pause(ms).then("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate"))
}

fn readiness(process: &Process) -> u16 {
    let admin = process.admin_address;
    client::send(admin, format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")).status
}

/// Tells a process to leave and asks it then, at once unless the machine stands still; the answers, if it was at once.
fn asked_right_after_the_signal() -> Option<Vec<Answer>> {
    let origin = Origin::saying("hello");
    let (_folder, mut process) = start(origin.address(), "");
    // One connection on which nothing was read yet, one that was idle after a request.
    let mut clients = [Client::to(process.listener), Client::to(process.listener)];
    assert_eq!(clients[1].ask(get("/")).status, 200);
    let told = Instant::now();
    process.signal("TERM");
    eventually("it leaves", || readiness(&process) == 503);
    for client in &mut clients {
        client.write(get("/"));
    }
    if told.elapsed() >= LAST_REQUEST_GRACE {
        return None;
    }
    let answers = clients.iter_mut().map(Client::answer).collect();
    clients.iter_mut().for_each(|client| drop(client.end()));
    assert!(process.wait().success());
    Some(answers)
}

#[test]
fn a_request_that_comes_right_after_the_signal_is_answered() {
    let answers =
        (0..20).find_map(|_| asked_right_after_the_signal()).expect("a machine that does half a second's work");
    for answer in answers {
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    }
}

#[test]
fn a_head_that_has_begun_may_end() {
    let origin = Origin::saying("hello");
    let (_folder, mut process) = start(origin.address(), "");
    let mut client = Client::to(process.listener);
    client.write("GET / HTTP/1.1\r\nHo");
    // It is not known from outside when that was read.
    apart();
    process.signal("TERM");
    eventually("it leaves", || readiness(&process) == 503);
    // Longer than idle connections are kept, and read once more after that.
    std::thread::sleep(LAST_REQUEST_GRACE + Duration::from_millis(200));
    client.write("st: a");
    apart();
    let answer = client.ask("\r\n\r\n");
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    client.end();
    assert!(process.wait().success());
}

#[test]
fn who_waits_to_be_accepted_is_answered() {
    let origin = Origin::saying("hello");
    let (_folder, mut process) = start(origin.address(), "");
    process.signal("STOP");
    // The kernel makes the connections; the process does not know of them when it is told to end.
    let mut waiting: Vec<_> = (0..50).map(|_| Client::to(process.listener)).collect();
    for client in &mut waiting {
        client.write(get("/"));
    }
    process.signal("TERM");
    process.signal("CONT");
    for mut client in waiting {
        assert_eq!(client.answer().status, 200);
    }
    assert!(process.wait().success());
}

#[test]
fn load_balancers_are_told_before_the_door_closes() {
    let origin = Origin::saying("hello");
    let (_folder, mut process) = start(origin.address(), "shutdown_delay = \"2s\"");
    assert_eq!(readiness(&process), 200);
    let told = Instant::now();
    process.signal("TERM");
    eventually("it is not ready", || readiness(&process) == 503);
    let answer = client::send(process.listener, get("/"));
    assert_eq!((answer.status, answer.header("connection")), (200, None), "as if nothing was");
    assert!(process.wait().success());
    assert!(told.elapsed() >= Duration::from_secs(2));
}

#[test]
fn the_second_signal_ends_now() {
    let origin = slow(60_000);
    for second in ["TERM", "INT"] {
        let (_folder, mut process) = start(origin.address(), "shutdown_timeout = \"50s\"");
        let before = origin.connections();
        let mut client = Client::to(process.listener);
        client.write(get("/"));
        eventually("the request is in flight", || origin.connections() > before);
        process.signal("INT");
        eventually("it leaves", || readiness(&process) == 503);
        process.signal(second);
        assert_eq!(process.wait().code(), Some(1));
    }
}

#[test]
fn the_deadline_cuts_and_is_an_orderly_end() {
    let origin = slow(60_000);
    let (_folder, mut process) = start(origin.address(), "shutdown_timeout = \"700ms\"");
    let mut client = Client::to(process.listener);
    client.write(get("/"));
    eventually("the request is in flight", || origin.connections() == 1);
    assert!(process.end().success());
    assert!(client.read(false).is_err(), "nobody answered");
}

#[test]
fn a_thousand_drains_under_load_fail_nothing() {
    let (first, second) = (load::origin(), load::origin());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    let endpoints = format!("[\"{}\", \"{}\"]", first.address(), second.address());
    let text = load::with_http2(&config(first.address(), second.address(), ""));
    std::fs::write(
        &path,
        text.replace(&format!("v1.endpoints = [\"{}\"]", first.address()), &format!("v1.endpoints = {endpoints}")),
    )
    .unwrap();
    let process = Process::start(&path);
    // Draining an endpoint is no shift: what it has it keeps.
    let tunnels = Tunnels::kept();
    let load = Load::start(load::users(process.listener, 3, &tunnels));
    load.await_more(100);
    let started = Instant::now();
    let set = |origin: &Origin, state: &str| {
        let path = format!("/v1/services/shop/versions/v1/endpoints/{}", origin.address());
        assert_eq!(process.send(Method::PUT, &path, json!({ "state": state })).unwrap()["changed"], true);
    };
    for drain in 0..DRAINS {
        // Never both: a version without an endpoint refuses, as it must.
        let origin = if drain % 2 == 0 { &first } else { &second };
        set(origin, "drain");
        set(origin, "ready");
    }
    let passed = started.elapsed();
    let asked = load.end_well();
    println!("{DRAINS} drains in {passed:?}, {asked} exchanges, none failed");
    assert_eq!((tunnels.opened(), tunnels.ended()), (3, 0), "WebSockets, opened and ended");
    assert!(asked > u64::from(DRAINS), "only {asked} requests");
}
