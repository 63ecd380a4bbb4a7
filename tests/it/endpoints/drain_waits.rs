//! Draining an endpoint: who asks for it can wait for its requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use crate::support::{Origin, Reply, Setup, Turnstile, eventually, get};

#[test]
fn a_drain_waits_for_what_is_in_flight() {
    let turnstile = Turnstile::shut();
    let waits = turnstile.clone();
    let (stay, slow) = (
        Origin::saying("stay"),
        Origin::with(move |_| Reply::default().wait(&waits).then("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")),
    );
    let proxy = Setup::endpoints(&[&[slow.address()], &[stay.address()]]).start();
    let mut client = proxy.client();
    client.write(get("/"));
    eventually("it is in flight", || !slow.seen().is_empty());
    let endpoint = format!("/v1/services/site/versions/v1/endpoints/{}", slow.address());
    let at_once = proxy.put(&endpoint, r#"{"state": "drain", "force": true}"#);
    assert_eq!((&at_once["in_flight"], &at_once["changed"]), (&1.into(), &true.into()), "{at_once}");
    let view = &proxy.status()["versions"][0]["endpoints"][0];
    assert_eq!((&view["state"], &view["reason"]), (&"drained".into(), &"draining, 1 in flight".into()));
    let impatient = proxy.put(&endpoint, r#"{"state": "drain", "wait": "20ms", "force": true}"#);
    assert_eq!((&impatient["in_flight"], &impatient["changed"]), (&1.into(), &false.into()), "{impatient}");
    let answered = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&answered);
    let reader = std::thread::spawn(move || {
        // The drain is mostly asked for by now; it is good as well if not.
        std::thread::sleep(Duration::from_millis(300));
        turnstile.turn();
        let text = client.answer().text();
        flag.store(true, SeqCst);
        text
    });
    let waited = proxy.put(&endpoint, r#"{"state": "drain", "wait": "30s"}"#);
    assert_eq!(waited["in_flight"], 0, "{waited}");
    assert_eq!(reader.join().unwrap(), "slow", "it was not cut");
    assert!(answered.load(SeqCst));
    let ready = proxy.put(&endpoint, r#"{"state": "ready"}"#);
    assert_eq!((&ready["in_flight"], &ready["changed"]), (&serde_json::Value::Null, &true.into()));
}

#[test]
fn a_wait_that_makes_no_sense_is_refused() {
    let origin = Origin::saying("ok");
    let proxy = Setup::to(&[&origin]).start();
    let endpoint = format!("/v1/services/site/versions/v1/endpoints/{}", origin.address());
    for (body, found) in [
        (r#"{"state": "drain", "wait": "30"}"#, "\"30\""),
        (r#"{"state": "drain", "wait": "2h"}"#, "2h"),
        (r#"{"state": "drain", "wait": 30}"#, "30"),
        (r#"{"state": "ready", "wait": "1s"}"#, "1s"),
    ] {
        let refused = proxy.put(&endpoint, body);
        assert_eq!(
            (&refused["problems"][0]["where"], &refused["problems"][0]["found"]),
            (&"wait".into(), &found.into())
        );
    }
    let dry = proxy.put(&format!("{endpoint}?dry_run=true"), r#"{"state": "drain", "wait": "1h", "force": true}"#);
    assert_eq!((&dry["dry_run"], &dry["in_flight"]), (&true.into(), &serde_json::Value::Null));
}
