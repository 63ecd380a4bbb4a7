//! Bodies of requests on their way: how far they are taken, when they stall, and answers that come before their end.

use crate::support::fault::Fault;
use crate::support::{End, Origin, Reply, Setup, apart, client, eventually, get, post};

const FAILURES: &str = "pointsman_upstream_failures_total";

#[test]
fn a_request_body_that_stalls_is_a_408_and_not_the_origins_fault() {
    for head in ["Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        let origin = Origin::saying("ok");
        let proxy = Setup::to(&[&origin]).service("body_idle_timeout = \"200ms\"").start();
        let mut client = proxy.client();
        client.write(format!("POST / HTTP/1.1\r\nHost: a\r\n{head}"));
        client.answer().assert_refused(408, "request_body_timeout");
        assert_ne!(client.end().0, End::Silent);
        eventually("the upstream request is given up", || origin.open() == 0);
        assert!(origin.seen().iter().all(|seen| !seen.whole));
        assert!(proxy.metric(FAILURES, &[]) < 0.5);
        proxy.await_metric("pointsman_refusals_total", &["reason=\"request_body_timeout\""], 1.0);
    }
}

#[test]
fn the_size_of_a_chunk_has_an_end() {
    let origin = Origin::saying("ok");
    let proxy = Setup::to(&[&origin]).start();
    for size in ["0".repeat(17), format!("1{}", " ".repeat(17 * 1024)), format!("1;{}", "x".repeat(17 * 1024))] {
        let mut client = proxy.client();
        client.write(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{size}"));
        client.answer().assert_refused(400, "bad_body");
    }
    assert!(proxy.metric(FAILURES, &[]) < 0.5, "nobody else's fault");
}

#[test]
fn a_refused_client_with_more_to_send_is_told_that_its_connection_ends() {
    let origin = Origin::saying("ok");
    let proxy = Setup::to(&[&origin]).service("hosts = [\"a\"]").start();
    for rest in ["Content-Length: 1000\r\n\r\nhello", "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"] {
        let mut client = proxy.client();
        let answer = client.ask(format!("POST / HTTP/1.1\r\nHost: unknown\r\n{rest}"));
        answer.assert_refused(404, "no_service");
        assert_eq!(answer.header("connection"), Some("close"), "{rest}");
        assert_ne!(client.end().0, End::Silent);
    }
    let mut client = proxy.client();
    let whole = client.ask("POST / HTTP/1.1\r\nHost: unknown\r\nContent-Length: 5\r\n\r\nhello");
    whole.assert_refused(404, "no_service");
    assert_eq!(whole.header("connection"), None, "all of it has come");
    assert_eq!(client.ask(get("/")).text(), "ok", "on the same connection");
}

#[test]
fn an_early_answer_to_a_large_body_arrives() {
    let origin = Origin::with(|_| Reply::ok("ok"));
    let early = Origin::eager(|_| {
        // It is closed when its answer has long been read: bytes that it has not read make a reset of it.
        Reply::raw("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig").pause(5_000).close()
    });
    let proxy = Setup::to(&[&early, &origin]).start();
    for _ in 0..5 {
        let mut client = proxy.client();
        let answer = client.ask(post("/", &"b".repeat(3_000_000)));
        assert_eq!((answer.status, answer.text().as_str(), answer.is_whole()), (413, "big", true));
    }
}

#[test]
fn the_rest_of_a_body_that_was_answered_early_is_no_request() {
    let origin = Origin::eager(|seen| Reply::ok(seen.target()));
    let proxy = Setup::to(&[&origin]).top("[proxy]\nworkers = 1\n").start();
    let tail = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = proxy.client();
    client.write(format!("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\nhello", tail.len() + 5));
    assert_eq!(client.answer().text(), "/early");
    client.write(tail).finish();
    // All of it was read when the connection ends, and with the proxy end the connections to the origin.
    assert_eq!(client.end(), (End::Clean, vec![]));
    for _ in 0..3 {
        assert_eq!(client::send(proxy.address, get("/victim")).text(), "/victim");
    }
    drop(proxy);
    eventually("the origin has read all", || origin.open() == 0);
    assert!(origin.seen().iter().all(|seen| seen.target() != "/smuggled"), "{:?}", origin.seen());
}

#[test]
fn a_body_is_not_stored_for_an_origin_that_does_not_read() {
    let mute = Fault::mute();
    let proxy = Setup::endpoints(&[&[mute.address()]]).start();
    let mut client = proxy.client();
    let length = 200 << 20;
    client.write(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
    // What is left are the buffers of the kernel on both sides.
    let taken = client.write_until_stuck(length);
    assert!(taken < 60 << 20, "{taken} bytes were taken");
}

#[test]
fn an_origin_that_stops_reading_a_body_is_given_up() {
    let mute = Fault::mute();
    let proxy = Setup::endpoints(&[&[mute.address()]]).service("response_timeout = \"200ms\"").start();
    let mut client = proxy.client();
    let length = 100 << 20;
    client.write(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
    client.write_until_stuck(length);
    client.answer().assert_refused(504, "upstream_timeout");
    proxy.await_metric(FAILURES, &["reason=\"timeout\""], 1.0);
    proxy.await_metric("pointsman_endpoint_in_flight", &[], 0.0);
}

#[test]
fn an_upload_that_goes_on_does_not_stop_its_answer() {
    let large = "a".repeat(8 << 20);
    let whole = large.len();
    let origin = Origin::eager(move |_| Reply::ok(&large));
    let proxy = Setup::to(&[&origin]).start();
    let mut client = proxy.client();
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n1234567890");
    // Meanwhile the answer fills what there is between the origin and here.
    for _ in 0..9 {
        apart();
        client.write("x");
    }
    apart();
    let answer = client.answer();
    assert_eq!((answer.status, answer.body.bytes.len(), answer.is_whole()), (200, whole, true));
}

#[test]
fn a_grpc_client_whose_chunks_break_is_told_in_its_words_and_gets_nothing_more() {
    let origin = Origin::saying("hello");
    let proxy = Setup::to(&[&origin]).start();
    let mut client = proxy.client();
    client.write(
        "POST /shop.Cart/Add HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\nzz\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{answer:?}");
    assert!(answer.header("grpc-status").is_some(), "{answer:?}");
    let (end, rest) = client.end();
    assert!(end != End::Silent && rest.is_empty(), "{end:?} {rest:?}");
    assert!(origin.seen().iter().all(|seen| seen.target() != "/smuggled"));
}
