//! Faults that take time or places: how long they may, and that what waits is let go when they end.

use std::time::Duration;

use pointsman::testing::stats::FaultSlice;
use pointsman::testing::table::spec::fault::FaultKind;

use super::injected::{Speaks, counted, put, setup, user, visit, whole};
use crate::support::h2::{H2Client, request};
use crate::support::{Origin, Reply, Setup, Turnstile, client, eventually, with};

#[test]
fn what_takes_longer_than_a_response_may_is_a_timeout() {
    let origin = Origin::saying("hello");
    let proxy = setup(Setup::to(&[&origin])).service("response_timeout = \"300ms\"").start();
    for kind in [FaultKind::Hang, FaultKind::Latency { fixed: Duration::from_secs(3_600), jitter: Duration::ZERO }] {
        put(&proxy, kind.clone());
        for speaks in [Speaks::Http1, Speaks::Http2] {
            let (got, took) = speaks.ask(&proxy, &user(FaultSlice::Fault));
            assert_eq!(got, whole(504), "{kind:?}");
            assert!(took >= Duration::from_millis(300), "{took:?}");
        }
    }
    assert!(origin.seen().is_empty());
}

#[test]
fn what_waits_goes_on_when_the_fault_is_taken_away() {
    for kind in [FaultKind::Hang, FaultKind::Latency { fixed: Duration::from_secs(50), jitter: Duration::ZERO }] {
        let origin = Origin::saying("hello");
        let proxy = setup(Setup::to(&[&origin])).start();
        put(&proxy, kind);
        let mut waiting = H2Client::to(proxy.address);
        let answer = waiting.begin(request("GET", "http://a/", &[("x-user", &*user(FaultSlice::Fault))]));
        proxy.await_metric("pointsman_requests_in_flight", &[], 1.0);
        assert_eq!(visit(&proxy, &user(FaultSlice::Control), "/"), 200);
        assert_eq!(origin.seen().len(), 1, "the one of the control slice");
        proxy.put_faults(&[]);
        assert_eq!(waiting.finish(answer).status, 200);
        assert_eq!(origin.seen().len(), 2);
        eventually("it is known that a fault was done to it", || counted(&proxy, "fault", "ok") > 0.5);
    }
}

#[test]
fn places_are_shared_by_the_slice_and_come_back() {
    let turnstile = Turnstile::shut();
    let waits = turnstile.clone();
    let origin = Origin::with(move |seen| match seen.target() {
        "/slow" => Reply::default().wait(&waits).then("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        _ => Reply::ok("quick"),
    });
    let proxy = setup(Setup::to(&[&origin])).start();
    put(&proxy, FaultKind::Exhaust { places: 1 });
    let (fault, control) = (user(FaultSlice::Fault), user(FaultSlice::Control));
    let mut slow = H2Client::to(proxy.address);
    let answer = slow.begin(request("GET", "http://a/slow", &[("x-user", &fault)]));
    eventually("it has the place", || origin.seen().len() == 1);
    let refused = client::send(proxy.address, with(&[&format!("X-User: {fault}")]));
    refused.assert_refused(503, "service_overloaded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(visit(&proxy, &control, "/"), 200);
    turnstile.open();
    assert_eq!(slow.finish(answer).status, 200);
    eventually("the place is free again", || visit(&proxy, &fault, "/") == 200);
}
