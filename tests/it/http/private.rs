//! Connections to endpoints that a handshake of NTLM or Negotiate has authenticated.

use std::collections::HashSet;
use std::sync::{Barrier, Mutex};

use crate::support::h2::{H2Client, request};
use crate::support::{Origin, Reply, Setup, get, with};

/// An origin that takes each request on a connection for one of the client that went through the handshake on it.
fn origin(scheme: &'static str) -> Origin {
    let known = Mutex::new(HashSet::new());
    Origin::with(move |seen| {
        let challenge = |more: &str| {
            Reply::raw(format!(
                "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {scheme}{more}\r\nContent-Length: 2\r\n\r\nno"
            ))
        };
        match seen.header("authorization").and_then(|line| line.split_once(' ')) {
            Some((_, "hello")) => challenge(" challenge"),
            Some((_, _proof)) => {
                known.lock().unwrap().insert(seen.connection);
                Reply::ok("known")
            }
            None if known.lock().unwrap().contains(&seen.connection) => Reply::ok("known"),
            None if seen.target() == "/open" => Reply::ok("open"),
            None => challenge(""),
        }
    })
}

#[test]
fn nobody_speaks_in_the_name_of_somebody_else() {
    for scheme in ["NTLM", "Negotiate"] {
        let origins = [origin(scheme), origin(scheme), origin(scheme)];
        let addresses = origins.each_ref().map(Origin::address);
        let proxy = Setup::endpoints(&[&addresses]).top("[proxy]\nworkers = 1").start();
        let mut ann = proxy.client();
        assert_eq!(ann.ask(get("/")).status, 401);
        for (part, status) in [("hello", 401), ("proof", 200)] {
            let line = format!("Authorization: {scheme} {part}");
            assert_eq!(ann.ask(with(&[&line])).status, status, "all steps meet on one connection");
        }
        for _ in 0..10 {
            let mut bob = proxy.client();
            assert_eq!(bob.ask(get("/open")).text(), "open");
            assert_eq!(bob.ask(get("/")).status, 401, "{scheme}");
            assert_eq!(ann.ask(get("/")).text(), "known");
        }
    }
}

#[test]
fn a_proof_that_nobody_asked_for_makes_a_connection_private_as_well() {
    let origin = origin("Negotiate");
    let proxy = Setup::to(&[&origin]).top("[proxy]\nworkers = 1").start();
    assert_eq!(proxy.client().ask(get("/open")).text(), "open");
    let mut ann = proxy.client();
    assert_eq!(ann.ask(with(&["Authorization: Negotiate proof"])).text(), "known");
    assert_eq!(proxy.client().ask(get("/open")).text(), "open");
    assert_eq!(ann.ask(get("/")).text(), "known");
    drop(ann);
    proxy.await_metric("pointsman_connections", &["upstream"], 1.0);
}

#[test]
fn a_client_keeps_one_connection_to_itself_however_many_it_had() {
    const AT_ONCE: usize = 10;
    let together = Barrier::new(AT_ONCE);
    let origin = Origin::with(move |_| {
        together.wait();
        Reply::ok("known")
    });
    let proxy = Setup::to(&[&origin]).top("[proxy]\nworkers = 1").listener("h2c = true").start();
    let mut client = H2Client::to(proxy.address);
    let lines = [("authorization", "NTLM proof")];
    let begun: Vec<_> = (0..AT_ONCE).map(|_| client.begin(request("GET", "http://a/", &lines))).collect();
    for answer in begun {
        assert_eq!(client.finish(answer).text(), "known");
    }
    assert_eq!(origin.connections(), AT_ONCE);
    // Each idle one has a place that others wait for, and no other client may use it.
    proxy.await_metric("pointsman_connections", &["upstream"], 1.0);
}

#[test]
fn other_schemes_share_connections() {
    let origin = Origin::raw("HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"ntlm\"\r\nContent-Length: 0\r\n\r\n");
    let proxy = Setup::to(&[&origin]).top("[proxy]\nworkers = 1").start();
    for _ in 0..5 {
        let line = "Authorization: Basic bnRsbQ==";
        assert_eq!(proxy.client().ask(with(&[line])).status, 401);
    }
    assert_eq!(origin.connections(), 1);
}
