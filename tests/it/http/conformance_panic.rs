//! Rule 24: a panic in one request ends that request. No input is known that makes one, so the log does: a subscriber
//! of this process panics when it is told of a version with a certain name, in the middle of the request that tells it.

use std::fmt::Debug;
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::support::fault::Fault;
use crate::support::h2::{H2Client, request};
use crate::support::{End, Origin, Proxy, Reply, Section, eventually, get};

/// The version whose requests panic: its endpoint refuses connections, which is told as a warning the first time.
const PANICS: &str = "panics";

struct Tripwire;

impl Subscriber for Tripwire {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.target().starts_with("pointsman::proxy")
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Fields);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Fields;

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        let told = field.name() == "version" && text.trim_matches('"') == PANICS;
        assert!(!told, "a request panics, as it was told to");
    }
}

/// A proxy with one worker, whose requests for `/panic` panic; all others go to `origin`.
fn proxy(origin: &Origin, fault: &Fault) -> Proxy {
    static TRIPWIRE: Once = Once::new();
    TRIPWIRE.call_once(|| tracing::subscriber::set_global_default(Tripwire).unwrap());
    Proxy::start(&format!(
        "[listeners.public]\naddress = \"127.0.0.1:0\"\nh2c = true\n[proxy]\nworkers = 1\n\
         [services.site]\nsplit = {{ v1 = 100 }}\n\
         [services.site.versions.v1]\nendpoints = [\"{}\"]\n\
         [services.site.versions.{PANICS}]\nendpoints = [\"{}\"]\n\
         [[services.site.rules]]\nuse = \"{PANICS}\"\nwhen = {{ path = \"/panic\" }}\n",
        origin.address(),
        fault.address(),
    ))
}

/// An origin that takes its time.
fn slow() -> Origin {
    Origin::with(|_| Reply::default().pause(300).then("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
}

/// What is left of a request that panicked: its count, and nothing else.
fn assert_over(proxy: &Proxy) {
    proxy.await_metric("pointsman_refusals_total", &["reason=\"internal\""], 1.0);
    proxy.await_metric("pointsman_requests_in_flight", &[], 0.0);
    proxy.await_metric("pointsman_endpoint_in_flight", &[], 0.0);
    proxy.await_metric("pointsman_upstream_failures_total", &[], 0.0);
    proxy.await_metric("pointsman_first_attempts_total", &["version=\"panics\""], 0.0);
}

#[test]
fn a_panic_ends_its_request_and_no_other() {
    let mut section = Section::of_this_test();
    let (origin, fault) = (slow(), Fault::refusing());
    let proxy = proxy(&origin, &fault);
    let (mut other, mut client) = (proxy.client(), proxy.client());
    assert_eq!(client.ask(get("/before")).text(), "ok");
    other.write(get("/meanwhile"));
    eventually("another request is in flight", || origin.seen().len() == 2);
    client.write(get("/panic"));
    let answer = client.answer();
    assert_eq!((answer.status, answer.head.all("connection")), (500, vec!["close"]));
    assert!(answer.text().starts_with("500 internal: "), "{}", answer.text());
    assert_eq!(client.end(), (End::Clean, Vec::new()));
    section.add(24, "GET whose handling panics, after another one", "500 internal, closed", "nothing");
    assert_eq!(other.answer().text(), "ok");
    section.add(24, "a request in flight on another connection of the worker", "200", "GET /meanwhile");
    assert_eq!(proxy.client().ask(get("/after")).text(), "ok");
    section.add(24, "the next connection", "200", "GET /after");
    assert_over(&proxy);
    section.check();
}

#[test]
fn a_panic_ends_its_stream_and_no_other() {
    let mut section = Section::of_this_test();
    let (origin, fault) = (slow(), Fault::refusing());
    let proxy = proxy(&origin, &fault);
    let mut client = H2Client::to(proxy.address);
    let of = |path: &str| request("GET", &format!("http://a/{path}"), &[]);
    let other = client.begin(of("meanwhile"));
    eventually("another stream is open", || {
        client.turn();
        origin.seen().len() == 1
    });
    let broken = client.ask(of("panic"));
    assert_eq!((broken.status, broken.text().starts_with("500 internal: ")), (500, true), "{}", broken.text());
    section.add(24, "a stream whose handling panics", "500 internal", "nothing");
    assert_eq!(client.finish(other).text(), "ok");
    section.add(24, "a stream in flight on the same connection", "200", "GET /meanwhile");
    assert_eq!(client.ask(of("after")).text(), "ok");
    section.add(24, "the next stream on the same connection", "200", "GET /after");
    assert_over(&proxy);
    section.check();
}
