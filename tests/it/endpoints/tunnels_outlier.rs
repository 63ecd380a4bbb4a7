//! WebSockets and the ejection of endpoints: a handshake counts as any exchange does, good or bad, and when it is over,
//! not when its tunnel is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crate::support::{Client, Origin, Proxy, Reply, Seen, Setup, eventually, get};

const FAILURE: &str = "HTTP/1.1 503 Oh\r\nContent-Length: 0\r\n\r\n";

fn handshake() -> &'static str {
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
}

fn consent() -> Reply {
    Reply::raw(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    )
    .echo()
}

fn is_handshake(seen: &Seen) -> bool {
    seen.has("upgrade")
}

/// Two endpoints of one version on one worker.
fn proxy(origins: [&Origin; 2], outlier: &str) -> Proxy {
    let addresses = origins.map(Origin::address);
    Setup::endpoints(&[&addresses]).top("[proxy]\nworkers = 1").service(outlier).start()
}

/// Asks for a WebSocket; the status, and the connection if there is one.
fn open(proxy: &Proxy) -> (u16, Client) {
    let mut client = proxy.client();
    client.write(handshake());
    (client.answer().status, client)
}

fn states(proxy: &Proxy) -> Vec<String> {
    let status = proxy.status();
    let endpoints = status["versions"][0]["endpoints"].as_array().unwrap();
    endpoints.iter().map(|endpoint| endpoint["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn handshakes_that_fail_eject() {
    for (name, reply, status) in [
        ("refused", Reply::raw(FAILURE), 503),
        ("reset", Reply::default().reset(), 502),
        (
            "another protocol",
            Reply::raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
            502,
        ),
    ] {
        let (good, bad) = (Origin::with(|_| consent()), Origin::with(move |_| reply.clone()));
        let proxy = proxy([&good, &bad], "outlier = { consecutive_failures = 3, ejection = \"1m\" }");
        let answers: Vec<_> = (0..40).map(|_| open(&proxy).0).collect();
        let failed: Vec<_> = answers.iter().filter(|status| **status != 101).collect();
        assert_eq!(failed, [&status; 3], "{name}: {answers:?}");
        assert_eq!(states(&proxy), ["ready", "ejected"], "{name}");
    }
    // A refusal that is the client's fault.
    let (good, strict) =
        (Origin::with(|_| consent()), Origin::with(|_| Reply::raw("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")));
    let proxy = proxy([&good, &strict], "outlier = { consecutive_failures = 3, ejection = \"1m\" }");
    assert!((0..40).filter(|_| open(&proxy).0 == 403).count() > 5);
    assert_eq!(states(&proxy), ["ready", "ready"]);
}

#[test]
fn a_handshake_that_succeeds_is_a_good_exchange() {
    // Two failures, then a success: never three failures in a row.
    let turn = AtomicUsize::new(0);
    let sick = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&sick);
    let bad = Origin::with(move |_| match flag.load(SeqCst) || turn.fetch_add(1, SeqCst) % 3 < 2 {
        true => Reply::raw(FAILURE),
        false => consent(),
    });
    let good = Origin::with(|_| consent());
    // Two of three are beyond the share that ejects by default, which is not looked at here.
    let outlier =
        "outlier = { consecutive_failures = 3, min_requests = 1000, ejection = \"200ms\", ejection_max = \"400ms\" }";
    let proxy = proxy([&good, &bad], outlier);
    let failed = (0..60).filter(|_| open(&proxy).0 != 101).count();
    assert!(failed > 10, "it was asked: {failed}");
    assert_eq!(states(&proxy), ["ready", "ready"]);
    sick.store(true, SeqCst);
    eventually("it is ejected", || {
        open(&proxy);
        states(&proxy)[1] == "ejected"
    });
    drop(bad.forget());
    // The probe is a handshake as well. Two of three fail still.
    sick.store(false, SeqCst);
    eventually("it is back", || {
        open(&proxy);
        states(&proxy)[1] == "ready"
    });
    assert!(bad.seen().iter().all(is_handshake));
}

/// Thirty tunnels that are open are thirty good exchanges beside twenty bad ones.
#[test]
fn tunnels_count_in_the_share_of_failures_while_they_are_open() {
    let both = Origin::with(|seen| if is_handshake(seen) { consent() } else { Reply::raw(FAILURE) });
    let good = Origin::with(|seen| if is_handshake(seen) { consent() } else { Reply::ok("good") });
    let outlier = "outlier = { consecutive_failures = 1000, failure_ratio = 0.5, min_requests = 20, window = \"1m\" }";
    let proxy = proxy([&good, &both], outlier);
    let tunnels: Vec<_> = (0..60).map(|_| open(&proxy)).collect();
    assert!(tunnels.iter().all(|(status, _)| *status == 101));
    let opened = both.seen().len();
    assert!(opened >= 25, "{opened} of 60 are here");
    let fail_until = |failures: usize| {
        eventually("requests failed", || {
            proxy.client().ask(get("/"));
            both.seen().len() - opened >= failures || states(&proxy)[1] == "ejected"
        });
    };
    fail_until(20);
    // Several looks of the part that ejects.
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(states(&proxy), ["ready", "ready"], "20 of {} have failed", opened + 20);
    fail_until(2 * opened + 10);
    eventually("it is ejected", || states(&proxy)[1] == "ejected");
    drop(tunnels);
}
