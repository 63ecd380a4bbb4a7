//! Idle connections to an endpoint that is taken out for failing: closed, and not used again when it is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::support::h2::H2Origin;
use crate::support::{Origin, Proxy, Reply, Seen, Setup, eventually, get};

/// Users at a time.
const USERS: usize = 8;

fn is_check(seen: &Seen) -> bool {
    seen.header("user-agent").is_some_and(|agent| agent.starts_with("pointsman-health/"))
}

/// An origin that takes its time, so that users at the same time have connections of their own, and answers 500 while
/// the flag is up.
fn moody(sick: &Arc<AtomicBool>) -> Origin {
    let sick = Arc::clone(sick);
    Origin::with(move |seen| match sick.load(SeqCst) {
        true => Reply::raw("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"),
        false if is_check(seen) => Reply::ok("").close(),
        false => Reply::default().pause(30).then("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    })
}

/// One answer for each of the users, who ask at the same time.
fn ask_at_once(proxy: &Proxy) {
    std::thread::scope(|scope| {
        (0..USERS).for_each(|_| drop(scope.spawn(|| proxy.client().ask(get("/")))));
    });
}

fn state(proxy: &Proxy, endpoint: usize) -> String {
    proxy.status()["versions"][0]["endpoints"][endpoint]["state"].as_str().unwrap().to_owned()
}

/// Two endpoints, of which the second one is moody, on one worker, with further lines of the service and the version;
/// both have idle connections.
fn warm(good: &Origin, bad: &Origin, service: &str, version: &str) -> Proxy {
    let setup = Setup::endpoints(&[&[good.address(), bad.address()]]).top("[proxy]\nworkers = 1");
    let proxy = setup.service(service).version(version).start();
    eventually("it has several connections", || {
        ask_at_once(&proxy);
        bad.open() >= 3 && good.open() >= 3
    });
    proxy
}

#[test]
fn idle_connections_to_an_endpoint_that_was_ejected_are_closed() {
    let sick = Arc::default();
    let (good, bad) = (moody(&Arc::default()), moody(&sick));
    let proxy = warm(&good, &bad, "outlier = { consecutive_failures = 3, ejection = \"1m\" }", "");
    sick.store(true, SeqCst);
    eventually("it is ejected", || {
        proxy.client().ask(get("/"));
        state(&proxy, 1) == "ejected"
    });
    eventually("its connections are closed", || bad.open() == 0);
    assert!(good.open() >= 3, "others keep theirs");
}

#[test]
fn an_endpoint_comes_back_on_new_connections() {
    let outlier = "outlier = { consecutive_failures = 3, ejection = \"200ms\" }";
    let health = "health = { path = \"/\", interval = \"300ms\", timeout = \"290ms\", rise = 1, fall = 4 }";
    for (service, version, out) in [(outlier, "", "ejected"), ("", health, "unhealthy")] {
        let sick = Arc::default();
        let (good, bad) = (moody(&Arc::default()), moody(&sick));
        let proxy = warm(&good, &bad, service, version);
        sick.store(true, SeqCst);
        eventually(out, || {
            proxy.client().ask(get("/"));
            state(&proxy, 1) == out
        });
        let (before, connections) = (bad.seen().len(), bad.connections());
        sick.store(false, SeqCst);
        eventually("it is back", || {
            ask_at_once(&proxy);
            state(&proxy, 1) == "ready" && bad.seen().iter().skip(before).filter(|seen| !is_check(seen)).count() > USERS
        });
        let seen = bad.seen();
        let new: Vec<_> = seen.iter().skip(before).filter(|seen| !is_check(seen)).map(|seen| seen.connection).collect();
        assert!(new.iter().all(|connection| *connection >= connections), "{out} at {connections}, then {new:?}");
    }
}

#[test]
fn a_shared_connection_is_not_used_again_either() {
    let (good, bad) = (H2Origin::saying("good"), H2Origin::saying("bad"));
    let lines = "outlier = { consecutive_failures = 3, ejection = \"200ms\" }";
    let setup = Setup::endpoints(&[&[good.address(), bad.address()]]).top("[proxy]\nworkers = 1");
    let proxy = setup.service(lines).version("protocol = \"h2\"").start();
    let ask = || proxy.client().ask(get("/")).text();
    eventually("both are used", || ask() == "bad" && ask() == "good");
    assert_eq!((good.connections(), bad.connections()), (1, 1));
    bad.set_sick(true);
    eventually("it is ejected", || {
        ask();
        state(&proxy, 1) == "ejected"
    });
    bad.set_sick(false);
    eventually("it is back", || {
        ask();
        state(&proxy, 1) == "ready"
    });
    eventually("it is used", || ask() == "bad");
    assert!(bad.connections() >= 2, "by another connection");
    assert_eq!(good.connections(), 1);
}
