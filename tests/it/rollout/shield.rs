//! The shield: users do not see that a version under rollout fails, and its counters do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::fault::Fault;
use crate::support::{Origin, Proxy, Reply, Setup, get, post};

const TEXT_503: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nnope";
const TEXT_500: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\nnope";

/// A proxy that sends everything to `v2`, with `v1` as the stable version.
fn all_on(v1: &Origin, v2: &Origin, more: &str) -> Proxy {
    // For the one that hangs; the stable one may be slow on a busy machine.
    let service = format!("shield = {{ stable = \"v1\", {more} }}\nresponse_timeout = \"5s\"");
    Setup::to(&[v1, v2]).service(&service).split(&[0, 100]).start()
}

fn v2(proxy: &Proxy, name: &str, label: &str, count: f64) {
    proxy.await_metric(name, &["version=\"v2\"", label], count);
}

#[test]
fn a_canary_that_fails_half_of_its_requests_costs_no_user_anything() {
    let calls = Arc::new(AtomicUsize::new(0));
    let failed = Arc::new(AtomicUsize::new(0));
    let counts = (Arc::clone(&calls), Arc::clone(&failed));
    let (v1, v2_origin) = (
        Origin::saying("v1"),
        Origin::with(move |_| match counts.0.fetch_add(1, Ordering::SeqCst) % 2 {
            0 => Reply::ok("v2"),
            _ => {
                counts.1.fetch_add(1, Ordering::SeqCst);
                Reply::raw(TEXT_503)
            }
        }),
    );
    let proxy = Setup::to(&[&v1, &v2_origin]).service("shield = true").split(&[90, 10]).start();
    let mut client = proxy.client();
    for _ in 0..1_000 {
        assert_eq!(client.ask(get("/")).status, 200);
    }
    let (calls, failed) = (calls.load(Ordering::SeqCst), failed.load(Ordering::SeqCst));
    assert!((50..200).contains(&calls), "{calls} calls of v2");
    let float = |count: usize| f64::from(u32::try_from(count).unwrap());
    v2(&proxy, "pointsman_upstream_failures_total", "reason=\"status_5xx\"", float(failed));
    v2(&proxy, "pointsman_first_attempts_total", "outcome=\"failed\"", float(failed));
    v2(&proxy, "pointsman_first_attempts_total", "outcome=\"ok\"", float(calls - failed));
    v2(&proxy, "pointsman_retries_total", "reason=\"shield\"", float(failed));
    v2(&proxy, "pointsman_hidden_failures_total", "by=\"shield\"", float(failed));
    assert_eq!(proxy.metric("pointsman_hidden_failures_total", &["by=\"retry\""]), 0.0);
    proxy.await_metric("pointsman_first_attempts_total", &["version=\"v1\""], float(1_000 - calls));
    proxy.await_metric("pointsman_requests_total", &["code=\"2xx\""], 1_000.0);
}

#[test]
fn every_way_to_fail_is_replayed() {
    let v1 = Origin::saying("v1");
    for (reply, more) in [
        (Reply::raw(TEXT_503), ""),
        (Reply::raw("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"), ""),
        (Reply::raw("").reset(), ""),
        (Reply::raw("").close(), ""),
        (Reply::raw("").hang(), ""),
        (Reply::raw("nonsense\r\n\r\n"), ""),
        (Reply::raw(TEXT_500), ""),
        (Reply::raw(TEXT_500), "on_500 = true"),
    ] {
        let what = format!("{reply:?}");
        let bad = Origin::with(move |_| reply.clone());
        let proxy = all_on(&v1, &bad, more);
        let answer = proxy.client().ask(get("/"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "v1"), "{what}");
        v2(&proxy, "pointsman_first_attempts_total", "outcome=\"failed\"", 1.0);
    }
    let dead = Fault::refusing();
    let proxy =
        Setup::endpoints(&[&[v1.address()], &[dead.address()]]).service("shield = true").split(&[60, 40]).start();
    assert!((0..20).all(|_| proxy.client().ask(get("/")).status == 200));
}

#[test]
fn what_may_have_had_an_effect_or_is_no_failure_is_passed_on() {
    let v1 = Origin::saying("v1");
    let bad = Origin::with(|_| Reply::raw(TEXT_503));
    let proxy = all_on(&v1, &bad, "");
    assert_eq!(proxy.client().ask(post("/", "body")).status, 503, "not idempotent");
    let odd = Origin::with(|_| Reply::raw(TEXT_500));
    assert_eq!(all_on(&v1, &odd, "on_500 = false").client().ask(get("/")).status, 500, "on_500 is off");
    assert!(v1.seen().is_empty());
    let also_bad = Origin::with(|_| Reply::raw(TEXT_500));
    assert_eq!(all_on(&also_bad, &bad, "").client().ask(get("/")).status, 500, "the stable version has the last word");
    v1.stop();
    assert_eq!(all_on(&v1, &bad, "").client().ask(get("/")).status, 502);
}

#[test]
fn a_500_is_replayed_for_the_methods_that_were_asked_for() {
    let odd = Origin::with(|_| Reply::raw(TEXT_500));
    let (safe, idempotent, other) = (["GET", "HEAD", "OPTIONS"], ["PUT", "DELETE"], ["POST", "PATCH"]);
    for (more, replayed) in [
        ("", &safe[..]),
        ("on_500 = \"safe\"", &safe),
        ("on_500 = true", &["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]),
        ("on_500 = false", &[]),
    ] {
        let v1 = Origin::saying("v1");
        let proxy = all_on(&v1, &odd, more);
        for method in safe.iter().chain(&idempotent).chain(&other) {
            let mut client = proxy.client();
            let answer = client.write(get("/").replacen("GET", method, 1)).read(*method == "HEAD").unwrap();
            let wanted = if replayed.contains(method) { 200 } else { 500 };
            assert_eq!(answer.status, wanted, "{more:?}: {method}");
        }
        assert_eq!(v1.seen().len(), replayed.len());
    }
    // What the quick start says.
    let v1 = Origin::saying("v1");
    let proxy = Setup::to(&[&v1, &odd]).service("shield = true").split(&[60, 40]).start();
    assert!((0..40).all(|_| proxy.client().ask(get("/")).status == 200));
    assert!(v1.seen().len() == 40 && odd.seen().len() > 8, "v2 was asked");
}

#[test]
fn a_body_that_was_kept_whole_is_sent_again() {
    let (v1, bad) = (Origin::saying("v1"), Origin::with(|_| Reply::raw(TEXT_503)));
    let proxy = all_on(&v1, &bad, "body_bytes_max = \"1KiB\"");
    let put = |body: &str| post("/", body).replacen("POST", "PUT", 1);
    let small = "s".repeat(1_000);
    assert_eq!(proxy.client().ask(put(&small)).text(), "v1");
    assert_eq!(v1.only().text(), small);
    let chunked = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_eq!(proxy.client().ask(chunked).text(), "v1");
    assert_eq!(v1.last().text(), "abcde");
    assert_eq!(proxy.client().ask(put(&"l".repeat(1_100))).status, 503);
    let long = "x".repeat(1_100);
    let chunked = format!("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n44c\r\n{long}\r\n0\r\n\r\n");
    assert_eq!(proxy.client().ask(chunked).status, 503);
    assert_eq!(v1.seen().len(), 2);
}
