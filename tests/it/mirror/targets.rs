//! Targets that hang, hang up or answer without an end: users feel nothing of it, and it is bounded and counted.

use std::time::Duration;

use tokio::time::Instant;

use super::copies::{await_pairs, found};
use crate::support::fault::Fault;
use crate::support::{Origin, Proxy, Reply, Setup, eventually, get, post};

const ASKED: u64 = 40;

fn to(old: &Origin, new: &Origin, more: &str) -> Proxy {
    let mirror = format!("mirror = {{ to = \"v2\", share = 100, {more} }}\nresponse_timeout = \"1s\"");
    Setup::to(&[old, new]).service(&mirror).start()
}

/// Asks, and looks at what the user gets; the median of the times.
fn ask(proxy: &Proxy, times: u64) -> Duration {
    let mut client = proxy.client();
    let mut took: Vec<_> = (0..times)
        .map(|n| {
            let began = Instant::now();
            let answer = client.ask(get(&format!("/{n}")));
            assert_eq!((answer.status, answer.text().as_str()), (200, "old"));
            began.elapsed()
        })
        .collect();
    took.sort();
    took[took.len() / 2]
}

#[test]
fn a_target_that_hangs_takes_no_more_than_its_places() {
    let (old, new) = (Origin::saying("old"), Origin::with(|_| Reply::raw("").hang()));
    let proxy = to(&old, &new, "in_flight_max = 10");
    let median = ask(&proxy, ASKED);
    println!("median of a user's request beside a target that hangs: {median:?}");
    let pairs = await_all(&proxy, ASKED);
    assert!(pairs["dropped"]["in_flight"].as_u64().unwrap() > 0, "{pairs:#}");
    assert_eq!(pairs["candidate_failed_alone"], pairs["pairs"], "{pairs:#}");
    assert_eq!(pairs["in_flight"], 0);
}

/// Waits until each request is compared or dropped.
fn await_all(proxy: &Proxy, asked: u64) -> serde_json::Value {
    let counted = || {
        let found = found(proxy);
        let dropped = found["dropped"].as_object().unwrap().values().map(|count| count.as_u64().unwrap());
        (found["pairs"].as_u64().unwrap() + dropped.sum::<u64>(), found.clone())
    };
    eventually("each is compared or dropped", || counted().0 == asked);
    counted().1
}

#[test]
fn a_target_that_hangs_up_or_talks_nonsense_has_failed() {
    let old = Origin::saying("old");
    for reply in [Reply::raw("").reset(), Reply::raw("").close(), Reply::raw("nonsense\r\n\r\n")] {
        let what = format!("{reply:?}");
        let new = Origin::with(move |_| reply.clone());
        let proxy = to(&old, &new, "");
        ask(&proxy, 5);
        let pairs = await_pairs(&proxy, 5);
        assert_eq!(pairs["candidate_failed_alone"], 5, "{what}: {pairs:#}");
        assert_eq!(pairs["last"][0]["mirror"]["sample"], "no response", "{pairs:#}");
    }
    let (dead, old) = (Fault::refusing(), Origin::saying("old"));
    let mirror = "mirror = { to = \"v2\", share = 100 }";
    let proxy = Setup::endpoints(&[&[old.address()], &[dead.address()]]).service(mirror).start();
    ask(&proxy, 5);
    assert_eq!(await_pairs(&proxy, 5)["candidate_failed_alone"], 5);
    assert_eq!(proxy.metric("pointsman_upstream_failures_total", &["version=\"v2\""]), 0.0);
}

#[test]
fn an_answer_without_an_end_is_read_no_further_than_it_is_compared() {
    let old = Origin::saying("old");
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n";
    let part = "x".repeat(200_000);
    let new = Origin::with(move |_| Reply::raw(head).then(&part).hang());
    let proxy = to(&old, &new, "compare = { body = \"length\" }");
    println!("median of a user's request beside a target that answers 100 MB: {:?}", ask(&proxy, 10));
    let pairs = await_pairs(&proxy, 10);
    assert_eq!(
        (&pairs["candidate_failed_alone"], &pairs["differences"]["length"]),
        (&0.into(), &10.into()),
        "{pairs:#}"
    );
    assert_eq!(pairs["last"][0]["mirror"]["sample"], "100000000 B");
    eventually("they are closed", || new.open() == 0);
}

#[test]
fn a_stable_version_that_fails_alone_is_counted_the_other_way() {
    let old = Origin::with(|_| Reply::raw("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"));
    let new = Origin::with(|seen| if seen.target() == "/both" { Reply::raw("").close() } else { Reply::ok("new") });
    let proxy = to(&old, &new, "methods = [\"GET\", \"POST\"]");
    let mut client = proxy.client();
    assert_eq!(client.ask(get("/")).status, 500);
    assert_eq!(client.ask(post("/", "a body")).status, 500);
    assert_eq!(client.ask(get("/both")).status, 500);
    let pairs = await_pairs(&proxy, 3);
    assert_eq!((&pairs["baseline_failed_alone"], &pairs["both_failed"]), (&2.into(), &1.into()), "{pairs:#}");
}

#[test]
fn a_pooled_connection_that_the_target_has_closed_is_no_failure() {
    let (old, new) = (Origin::saying("old"), Origin::saying("old"));
    let proxy = to(&old, &new, "");
    for round in 1..=5 {
        ask(&proxy, 1);
        await_pairs(&proxy, round);
        new.hang_up();
    }
    assert_eq!(found(&proxy)["candidate_failed_alone"], 0);
}
