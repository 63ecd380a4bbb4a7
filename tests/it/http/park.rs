//! Idle connections give their buffers back, and no client can tell.

use std::time::Duration;

use pointsman::testing::proxy::drain::LAST_REQUEST_GRACE;
use tokio::time::Instant;

use crate::support::{Client, End, Origin, Proxy, Reply, Setup, apart, client, eventually, get, post, with};

/// Soon, so that tests need not wait; no test depends on how soon.
const PARK_AFTER: Duration = Duration::from_millis(30);

fn parking(origin: &Origin) -> Setup {
    Setup::to(&[origin]).top("[proxy]\nworkers = 1").park_after(PARK_AFTER)
}

fn parked(proxy: &Proxy, count: u32) {
    proxy.await_metric("pointsman_parked_connections", &[], f64::from(count));
}

/// A connection that has had one answer and is parked.
fn parked_client(proxy: &Proxy) -> Client {
    let mut client = proxy.client();
    assert_eq!(client.ask(get("/")).status, 200);
    parked(proxy, 1);
    client
}

/// Asserts that a connection, the only one, is not parked. One that begins to rest later is parked later; so when that
/// one is, this one would be as well.
#[track_caller]
fn assert_awake(proxy: &Proxy, why: &str) {
    eventually(why, || proxy.metric("pointsman_parked_connections", &[]) < 0.5);
    drop(parked_client(proxy));
    eventually(why, || proxy.metric("pointsman_parked_connections", &[]) < 0.5);
}

#[test]
fn a_parked_connection_answers_again_and_again() {
    let origin = Origin::with(|seen| Reply::ok(seen.text()));
    let proxy = parking(&origin).start();
    let mut client = parked_client(&proxy);
    for round in 0..5 {
        let body = format!("round {round}");
        assert_eq!(client.ask(post("/", &body)).text(), body);
        assert_eq!(client.ask(get("/")).status, 200);
        let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        assert_eq!(client.ask(chunked).text(), "hi");
        parked(&proxy, 1);
    }
    // It is the same connection.
    proxy.await_metric("pointsman_connections", &["side=\"client\""], 1.0);
    drop(client);
    parked(&proxy, 0);
}

#[test]
fn a_connection_that_never_asked_is_parked_too() {
    let origin = Origin::saying("ok");
    let proxy = parking(&origin).start();
    let mut client = proxy.client();
    parked(&proxy, 1);
    assert_eq!(client.ask(get("/")).text(), "ok");
    parked(&proxy, 1);
}

#[test]
fn a_request_in_pieces_wakes_it_and_pieces_keep_it_awake() {
    let origin = Origin::with(|seen| Reply::ok(seen.text()));
    let proxy = parking(&origin).start();
    let mut client = parked_client(&proxy);
    let request = post("/", "hello");
    // Among them: a part of the request line, the line, a header, a head without its last byte, half of the body.
    let cuts = [1, 4, 17, 27, request.len() - 6, request.len() - 3, request.len()];
    let mut from = 0;
    for cut in cuts {
        client.write(&request[from..cut]);
        from = cut;
        if cut < request.len() {
            assert_awake(&proxy, &format!("not parked inside a request, after {cut} bytes"));
        }
    }
    assert_eq!(client.answer().text(), "hello");
    parked(&proxy, 1);
}

#[test]
fn pipelined_requests_are_all_answered() {
    let origin = Origin::with(|seen| Reply::ok(seen.target()).pause(50));
    let proxy = parking(&origin).start();
    let mut client = parked_client(&proxy);
    client.write(format!("{}{}{}", get("/1"), get("/2"), &get("/3")[..9]));
    assert_eq!(client.answer().text(), "/1");
    assert_eq!(client.answer().text(), "/2");
    assert_awake(&proxy, "it has a part of the third");
    client.write(&get("/3")[9..]);
    assert_eq!(client.answer().text(), "/3");
    parked(&proxy, 1);
}

#[test]
fn an_answer_that_is_waited_for_or_not_taken_keeps_it() {
    let large = "x".repeat(8 << 20);
    let origin = Origin::with(move |seen| match seen.target() {
        "/slow" => Reply::raw("").pause(400).then("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate"),
        "/large" => Reply::ok(&large),
        _ => Reply::ok("ok"),
    });
    let proxy = parking(&origin).start();
    let mut client = parked_client(&proxy);
    assert_eq!(client.ask(get("/slow")).text(), "late");
    parked(&proxy, 1);
    client.write(get("/large"));
    assert_awake(&proxy, "bytes of the answer wait for the client");
    assert_eq!(client.answer().body.bytes.len(), 8 << 20);
    parked(&proxy, 1);
}

#[test]
fn clients_may_leave_a_parked_connection_in_every_way() {
    let origin = Origin::saying("ok");
    let proxy = parking(&origin).start();
    drop(parked_client(&proxy));
    parked(&proxy, 0);
    parked_client(&proxy).reset();
    parked(&proxy, 0);
    let mut half = parked_client(&proxy);
    assert_eq!(half.finish().end(), (End::Clean, vec![]));
    eventually("all are gone", || proxy.metric("pointsman_connections", &["side=\"client\""]) < 0.5);
    assert!(proxy.metric("pointsman_refusals_total", &[]) < 0.5, "that is nobody's fault");
}

/// Ends a proxy with two parked connections; whether one asked again in the moment for that, and was answered.
fn asks_while_it_ends() -> bool {
    let origin = Origin::saying("ok");
    let mut proxy = parking(&origin).start();
    let (mut idle, mut asks) = (parked_client(&proxy), proxy.client());
    parked(&proxy, 2);
    let told = Instant::now();
    proxy.stop();
    eventually("it drains", || {
        let ready = format!("GET /readyz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", proxy.admin);
        client::send(proxy.admin, ready).status == 503
    });
    asks.write(get("/"));
    if told.elapsed() >= LAST_REQUEST_GRACE {
        // The machine has stood still.
        return false;
    }
    let answer = asks.answer();
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close")),
        "there is a moment for a last request"
    );
    assert_eq!(idle.end(), (End::Clean, vec![]));
    assert_eq!(asks.end(), (End::Clean, vec![]));
    true
}

#[test]
fn the_end_of_the_process_closes_it_in_order() {
    assert!((0..20).any(|_| asks_while_it_ends()), "the machine stands still");
}

#[test]
fn the_idle_time_goes_on_in_the_park() {
    let origin = Origin::saying("ok");
    let idle_timeout = Duration::from_secs(3);
    let proxy = parking(&origin).listener("idle_timeout = \"3s\"").start();
    let since = Instant::now();
    let mut idle = parked_client(&proxy);
    assert_eq!(idle.end(), (End::Clean, vec![]));
    assert!(since.elapsed() >= idle_timeout, "{:?}", since.elapsed());
    // What begins in the park has the rest of the time, and no more.
    let mut slow = parked_client(&proxy);
    slow.write("GET / HTTP/1.1\r\nHost: a\r\n").answer().assert_refused(408, "head_timeout");
    // An empty line is none of a request: it neither prolongs the time nor is it lost.
    let mut blank = parked_client(&proxy);
    blank.write("\r\n");
    apart();
    assert_eq!(blank.ask(get("/")).status, 200);
    blank.write("\r\n");
    assert_ne!(blank.end().0, End::Silent);
    eventually("all are gone", || proxy.metric("pointsman_connections", &["side=\"client\""]) < 0.5);
}

#[test]
fn refusals_leave_it_as_they_would() {
    let origin = Origin::saying("ok");
    let proxy = parking(&origin).start();
    let mut client = parked_client(&proxy);
    client.ask("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n").assert_refused(405, "method_not_allowed");
    parked(&proxy, 1);
    assert_eq!(client.ask(get("/")).status, 200);
    parked(&proxy, 1);
    client.ask(with(&["Content-Length: 5", "Transfer-Encoding: chunked"])).assert_refused(400, "bad_framing");
    assert_eq!(client.end().0, End::Clean);
    let mut client = parked_client(&proxy);
    client.ask("this is no head\r\n\r\n").assert_refused(400, "bad_head");
    assert_eq!(client.end().0, End::Clean);
    let mut client = parked_client(&proxy);
    let last = client.ask(with(&["Connection: close"]));
    assert_eq!((last.status, client.end().0), (200, End::Clean));
}

#[test]
fn smuggled_bytes_are_no_request_after_the_park() {
    // The endpoint answers at once and leaves the upload where it is; the client goes on with what looks like a
    // request.
    let origin = Origin::eager(|_| Reply::ok("early"));
    let proxy = parking(&origin).start();
    for _ in 0..5 {
        let mut client = proxy.client();
        client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        // As long as a connection rests before it is parked, and the body that is missing may have been given up.
        drop(parked_client(&proxy));
        client.write(get("/smuggled")).finish();
        // All of it was read when the connection ends, and with the proxy end the connections to the origin.
        assert_ne!(client.end().0, End::Silent);
    }
    drop(proxy);
    eventually("the origin has read all", || origin.open() == 0);
    assert!(origin.seen().iter().all(|seen| seen.target() == "/"), "{:?}", origin.seen());
}
