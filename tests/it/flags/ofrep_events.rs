//! Word of changes of flags: who is told what, and when.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::support::event_stream::EventStream;
use crate::support::{Origin, Proxy, Setup, eventually};

const FLAGS: &str =
    "[flags.theme]\nfollows = { service = \"site\", v2 = \"on\" }\n[ofrep]\naddress = \"127.0.0.1:0\"\n";

fn start(v1: &Origin, v2: &Origin, more: &str) -> Proxy {
    let other = format!(
        "[services.other]\nhosts = [\"other\"]\nsplit = {{ v1 = 100, v2 = 0 }}\n[services.other.versions.v1]\n\
         endpoints = [\"{}\"]\n[services.other.versions.v2]\nendpoints = [\"{}\"]\n",
        v1.address(),
        v2.address()
    );
    Setup::to(&[v1, v2]).split(&[60, 40]).listener("ofrep = true").bottom(&format!("{other}{FLAGS}{more}")).start()
}

/// The events for a client that knows the one with this id.
fn subscribe(address: SocketAddr, last_id: Option<&str>) -> EventStream {
    let lines: Vec<_> = last_id.iter().map(|id| format!("Last-Event-ID: {id}")).collect();
    EventStream::open(address, "/ofrep/v1/events", &lines)
}

fn id_of(part: &str) -> String {
    part.lines().find_map(|line| line.strip_prefix("id: ")).expect(part).to_owned()
}

/// The next event, after the greeting if that has not been read.
fn event(events: &mut EventStream) -> (String, Value) {
    let event = events.event().expect("an event");
    assert_eq!(event.name, "message");
    (event.id, event.data)
}

#[test]
fn those_who_wait_are_told_of_changes_of_flags_and_of_nothing_else() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = start(&v1, &v2, "");
    let mut known = None;
    for address in [proxy.ofrep(), proxy.address] {
        let mut events = subscribe(address, known.as_deref());
        assert_eq!(events.status, 200);
        for line in ["content-type: text/event-stream", "cache-control: no-store", "transfer-encoding: chunked"] {
            assert!(events.head.contains(line), "{}", events.head);
        }
        let greeting = events.part().unwrap();
        assert!(greeting.starts_with("retry: ") && !greeting.contains("data:"), "{greeting}");
        // No flag follows that service. What comes next is word of the other change.
        proxy.put("/v1/services/other/split", "{\"v1\":50,\"v2\":50}");
        let asked = Instant::now();
        proxy.put("/v1/services/site/split", "{\"v1\":50,\"v2\":50}");
        let (id, data) = event(&mut events);
        println!("told after {:?}", asked.elapsed());
        assert_eq!((&data["type"], data["etag"].as_str()), (&"refetchEvaluation".into(), Some(&*id)), "{data}");
        assert!(data["lastModified"].as_i64().is_some_and(|seconds| seconds > 1_700_000_000), "{data}");
        let revision = |id: &str| id.split('-').next().unwrap().parse::<u64>().unwrap();
        assert!(revision(&id) >= revision(&id_of(&greeting)) + 2, "{greeting} {id}");
        proxy.put("/v1/services/site/split", "{\"v1\":60,\"v2\":40}");
        let back = event(&mut events).0;
        assert_ne!(back, id);
        known = Some(back);
        proxy.put("/v1/services/other/split", "{\"v1\":100,\"v2\":0}");
    }
}

#[test]
fn a_client_that_comes_back_is_told_at_once_if_it_has_missed_something() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = start(&v1, &v2, "");
    let known = id_of(&subscribe(proxy.ofrep(), None).part().unwrap());
    let resumed = subscribe(proxy.address, Some(&known)).part().unwrap();
    assert!(resumed.starts_with("retry: "), "nothing was missed: {resumed}");
    proxy.put("/v1/services/site/split", "{\"v1\":50,\"v2\":50}");
    let missed = || subscribe(proxy.ofrep(), Some(&known)).part().unwrap();
    eventually("what was missed is told", || missed().contains("refetchEvaluation"));
    // One that does not say what it knows may have asked for its flags before the change. Clients are told in turns, so
    // this one may be greeted before it is told.
    assert_eq!(event(&mut subscribe(proxy.ofrep(), None)).1["type"], "refetchEvaluation");
    // Flags are as they were then, which does not say that it has them: it may have asked in between.
    let back = proxy.put("/v1/services/site/split", "{\"v1\":60,\"v2\":40}");
    let revision = format!("id: {}-", back["revision"]);
    eventually("it is told that they are as they were", || missed().starts_with(&revision));
    let knows = id_of(&missed());
    assert!(subscribe(proxy.ofrep(), Some(&knows)).part().unwrap().starts_with("retry: "), "nothing was missed");
}

#[test]
fn streams_are_counted_bounded_and_end_with_the_process() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = start(&v1, &v2, "event_streams_max = 20\n");
    let open: Vec<_> = (0..20).map(|_| subscribe(proxy.ofrep(), None)).collect();
    assert!(open.iter().all(|events| events.status == 200));
    proxy.await_metric("pointsman_ofrep_event_streams", &[], 20.0);
    let refused = subscribe(proxy.address, None);
    assert!(refused.status == 503 && refused.head.contains("retry-after: "), "{}", refused.head);
    proxy.await_metric("pointsman_ofrep_calls_total", &["too_many_streams"], 1.0);
    let mut open = open;
    drop(open.split_off(10));
    proxy.await_metric("pointsman_ofrep_event_streams", &[], 10.0);
    let mut last = subscribe(proxy.address, None);
    last.part().unwrap();
    assert!(proxy.metric("pointsman_requests_in_flight", &[]) < 0.5, "they are no requests in flight");
    let ended = Instant::now();
    let ending = std::thread::spawn(move || proxy.end());
    assert_eq!(last.part(), None, "its end is an end of the body");
    ending.join().unwrap();
    assert!(ended.elapsed() < Duration::from_secs(8), "{:?}", ended.elapsed());
}

#[test]
fn a_client_that_reads_nothing_keeps_nobody_waiting() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let proxy = start(&v1, &v2, "");
    let stuck: Vec<_> = (0..10).map(|_| subscribe(proxy.ofrep(), None)).collect();
    let mut events = subscribe(proxy.ofrep(), None);
    events.part().unwrap();
    let mut revision = Value::Null;
    for percent in (1..=20).chain((1..=20).rev()).chain([30]) {
        let split = format!("{{\"v1\":{},\"v2\":{percent}}}", 100 - percent);
        let shifted = proxy.put("/v1/services/site/split", &split);
        assert!(shifted["revision"].is_u64(), "{shifted}");
        revision = shifted["revision"].clone();
    }
    let last = format!("{revision}-");
    let mut seen = Vec::new();
    // Each is a change, and some may have been passed over; the last one is not.
    while !seen.last().is_some_and(|id: &String| id.starts_with(&last)) {
        seen.push(event(&mut events).0);
    }
    println!("{} events of 41 changes", seen.len());
    assert!(seen.len() <= 41, "{}", seen.len());
    for mut stuck in stuck {
        let parts = std::iter::from_fn(|| stuck.part());
        let parts: Vec<_> = parts.take_while(|part| !id_of(part).starts_with(&last)).collect();
        assert!(parts.len() <= 41, "{}", parts.len());
    }
}
