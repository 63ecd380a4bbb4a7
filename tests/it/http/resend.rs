//! Rule 25: when a request is sent again, and when it must not be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::upstream::{FAILURES, at_once, at_rest, ok, one_worker};
use crate::support::{Origin, Reply, client, get, post};

/// Answers every request, but from the moment that the flag is up resets instead.
fn turning(flag: &Arc<AtomicBool>) -> Origin {
    let flag = Arc::clone(flag);
    Origin::with(move |seen| match flag.load(Ordering::SeqCst) {
        // As long as it takes for all of them to be in flight.
        true if seen.target() == "/at-once" => Reply::default().pause(150).reset(),
        true => Reply::default().reset(),
        false if seen.target() == "/at-once" => Reply::default().pause(60).then(ok()),
        false => Reply::raw(ok()),
    })
}

#[test]
fn an_idempotent_request_is_sent_again_once_when_a_used_connection_breaks() {
    let flag = Arc::new(AtomicBool::new(false));
    let count = AtomicUsize::new(0);
    let up = Arc::clone(&flag);
    let other = Origin::saying("other version");
    let origin = Origin::with(move |_| {
        if up.load(Ordering::SeqCst) && count.fetch_add(1, Ordering::SeqCst) == 0 {
            return Reply::default().reset();
        }
        Reply::raw(ok())
    });
    let proxy = one_worker(&[&origin, &other], "");
    let mut client = proxy.client();
    client.ask(get("/"));
    flag.store(true, Ordering::SeqCst);
    assert_eq!(client.ask(get("/again")).text(), "ok");
    assert_eq!(origin.seen().iter().filter(|seen| seen.target() == "/again").count(), 2);
    assert!(other.seen().is_empty(), "a request is sent again in its own version");
}

#[test]
fn what_may_have_had_an_effect_is_not_sent_again() {
    let large = post("/again", &"l".repeat(100_000)).replacen("POST", "PUT", 1);
    for request in [post("/again", "x"), post("/again", ""), get("/again").replace("GET", "PATCH"), large] {
        let flag = Arc::new(AtomicBool::new(false));
        let origin = turning(&flag);
        let proxy = one_worker(&[&origin], "");
        let mut client = proxy.client();
        client.ask(get("/"));
        flag.store(true, Ordering::SeqCst);
        client.ask(&request).assert_refused(502, "upstream_reset");
        assert_eq!(origin.seen().iter().filter(|seen| seen.target() == "/again").count(), 1, "{request:?}");
        proxy.await_metric(FAILURES, &["version=\"v1\"", "reason=\"reset\""], 1.0);
    }
}

#[test]
fn an_idempotent_request_is_sent_again_with_its_body() {
    let chunked = "PUT /again HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    let with_length = |method: &str| post("/again", "hi").replacen("POST", method, 1);
    for request in [with_length("PUT"), with_length("DELETE"), chunked.to_owned()] {
        let broken = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&broken);
        let origin = Origin::with(move |_| match flag.swap(false, Ordering::SeqCst) {
            true => Reply::default().reset(),
            false => Reply::raw(ok()),
        });
        let proxy = one_worker(&[&origin], "");
        let mut client = proxy.client();
        client.ask(get("/"));
        broken.store(true, Ordering::SeqCst);
        assert_eq!(client.ask(&request).status, 200, "{request:?}");
        let again: Vec<_> = origin.seen().iter().skip(1).map(|seen| (seen.connection, seen.text())).collect();
        assert_eq!(again, [(0, "hi".to_owned()), (1, "hi".to_owned())], "{request:?}");
    }
}

#[test]
fn a_request_on_a_new_connection_is_not_sent_again() {
    let flag = Arc::new(AtomicBool::new(true));
    let origin = turning(&flag);
    let proxy = one_worker(&[&origin], "");
    client::send(proxy.address, get("/again")).assert_refused(502, "upstream_reset");
    assert_eq!(origin.seen().len(), 1);
}

#[test]
fn a_request_is_sent_twice_at_the_most() {
    let flag = Arc::new(AtomicBool::new(false));
    let origin = turning(&flag);
    let proxy = one_worker(&[&origin], "");
    at_once(proxy.address, 5);
    at_rest(&proxy);
    flag.store(true, Ordering::SeqCst);
    client::send(proxy.address, get("/again")).assert_refused(502, "upstream_reset");
    let sent = origin.seen().iter().filter(|seen| seen.target() == "/again").count();
    assert!(sent <= 2, "sent {sent} times");
}

#[test]
fn nothing_is_sent_again_after_the_head_of_an_answer() {
    let replies = vec![
        Reply::raw(ok()),
        Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").pause(20).reset(),
        Reply::raw(ok()),
    ];
    let origin = Origin::playing(replies);
    let proxy = one_worker(&[&origin], "");
    let mut client = proxy.client();
    client.ask(get("/"));
    let answer = client.write(get("/again")).read(false);
    assert!(answer.is_err() || answer.is_ok_and(|answer| !answer.is_whole()));
    assert_eq!(origin.seen().len(), 2);
}

#[test]
fn retries_have_a_budget() {
    let flag = Arc::new(AtomicBool::new(false));
    let origin = turning(&flag);
    let proxy = one_worker(&[&origin], "");
    let count = 30;
    assert_eq!(at_once(proxy.address, count), vec![200; count]);
    at_rest(&proxy);
    origin.forget();
    flag.store(true, Ordering::SeqCst);
    assert_eq!(at_once(proxy.address, count), vec![502; count]);
    let sent = origin.seen().len();
    // A fifth of the live requests, and the few that are always allowed.
    assert!(sent <= count + count / 5 + 3, "{count} requests were sent {sent} times");
}
