//! Holds: nothing of the old version runs beside the new one, and no request fails for it.

use std::fmt::{Display, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use pointsman::cli::client::{AdminClient, Call, CallError};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::h2::{self, H2Client};
use crate::support::{Client, Origin, Proxy, Reply, Turnstile, client, eventually};

const SERVICES: [&str; 3] = ["web", "cart", "pay"];

/// How long a request takes that waits for its turn.
const STUCK: &str = "stuck";

/// When requests ran that took a time, by version (1 or 2).
type Log = Arc<Mutex<Vec<(u8, Instant, Instant)>>>;

/// An origin whose requests take as long as `x-milliseconds` says, three if it does not, or until their turn comes.
fn origin(version: u8, log: &Log, turnstile: &Turnstile) -> Origin {
    let (log, turnstile) = (Arc::clone(log), turnstile.clone());
    Origin::with(move |seen| {
        if seen.header("x-milliseconds") == Some(STUCK) {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nv{version}");
            return Reply::default().wait(&turnstile).then(answer);
        }
        let milliseconds = seen.header("x-milliseconds").map_or(3, |text| text.parse().unwrap());
        let begin = Instant::now();
        std::thread::sleep(Duration::from_millis(milliseconds));
        log.lock().unwrap().push((version, begin, Instant::now()));
        Reply::ok(format!("v{version}"))
    })
}

struct Site {
    proxy: Proxy,
    admin: AdminClient,
    log: Log,
    /// Where the requests wait that are stuck.
    turnstile: Turnstile,
    _origins: Vec<Origin>,
}

impl Site {
    /// Three services with two versions each on two workers; everything is on v1.
    fn start() -> Self {
        let (log, turnstile) = (Log::default(), Turnstile::shut());
        let origins = vec![origin(1, &log, &turnstile), origin(2, &log, &turnstile)];
        let (v1, v2): (SocketAddr, SocketAddr) = (origins[0].address(), origins[1].address());
        let mut text = "[listeners.public]\naddress = \"127.0.0.1:0\"\nh2c = true\n[proxy]\nworkers = 2\n".to_owned();
        for name in SERVICES {
            writeln!(
                text,
                "[services.{name}]\nhosts = [\"{name}\"]\nsplit = {{ v1 = 100, v2 = 0 }}\n\
                 versions.v1.endpoints = [\"{v1}\"]\nversions.v2.endpoints = [\"{v2}\"]"
            )
            .unwrap();
        }
        let proxy = Proxy::start(&text);
        let admin = AdminClient::new(&proxy.admin.to_string(), None).unwrap();
        Self { proxy, admin, log, turnstile, _origins: origins }
    }

    fn call(&self, method: Method, path: &str, body: Value) -> Result<Value, CallError> {
        self.admin.call(Call { method, path, body: Some(body), if_match: None })
    }

    /// Everything of all services to a version.
    fn flip_all(&self, version: u8, hold: &Value) -> Result<Value, CallError> {
        let split = json!({ "v1": if version == 1 { 100 } else { 0 }, "v2": if version == 2 { 100 } else { 0 } });
        self.call(Method::PUT, "/v1/splits", json!({ "web": split, "cart": split, "pay": split, "hold": hold }))
    }

    /// Waits until all workers hold what this hold is for: before, a request may still go on.
    fn await_hold(&self, id: u64) {
        let held = |list: Value| list[0]["id"] == id && list[0]["in_force"] == true;
        eventually("it holds", || self.call(Method::GET, "/v1/hold", json!({})).is_ok_and(held));
    }

    fn held(&self) -> f64 {
        self.proxy.metric("pointsman_held_requests", &[])
    }

    fn in_flight(&self) -> f64 {
        self.proxy.metric("pointsman_requests_in_flight", &[])
    }

    /// A connection with a request in flight that takes until its turn comes.
    fn stuck(&self, service: &str) -> Client {
        let before = self.in_flight();
        let mut client = self.proxy.client();
        client.write(request(service, STUCK));
        eventually("the request is in flight", || self.in_flight() > before + 0.5);
        client
    }

    /// Holds these services, one of whose requests is in flight at first.
    fn hold(&self, services: &[&str]) -> Value {
        let mut slow = self.stuck(services[0]);
        std::thread::scope(|scope| {
            let body = json!({ "services": services, "max": "20s" });
            let begin = scope.spawn(|| self.call(Method::POST, "/v1/hold", body).unwrap());
            self.await_hold(1);
            assert!(!begin.is_finished(), "a request is in flight");
            self.turnstile.turn();
            let hold = begin.join().unwrap();
            assert!(self.in_flight() < 0.5, "what was in flight has ended");
            assert_eq!(slow.answer().text(), "v1");
            hold
        })
    }
}

fn request(service: &str, milliseconds: impl Display) -> String {
    format!("GET / HTTP/1.1\r\nHost: {service}\r\nX-Milliseconds: {milliseconds}\r\n\r\n")
}

/// The status and the word of a refused call.
fn refused(answer: Result<Value, CallError>) -> String {
    answer.expect_err("the call is refused").to_string()
}

#[test]
fn no_request_of_a_group_runs_beside_one_of_the_other_version() {
    let site = Site::start();
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let flips = 12_u8;
    std::thread::scope(|scope| {
        for number in 0..24 {
            let (site, stop, asked) = (&site, &stop, &asked);
            scope.spawn(move || {
                let mut client = site.proxy.client();
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.ask(request(SERVICES[number % 3], 1 + number as u64 % 7));
                    assert_eq!(answer.status, 200, "{answer:?}");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut held = 0;
        for flip in 0..flips {
            let before = asked.load(Ordering::Relaxed);
            eventually("there is load", || asked.load(Ordering::Relaxed) > before + 50);
            let answer = site.flip_all(2 - flip % 2, &json!({ "max": "5s", "requests": 1000 })).unwrap();
            assert_eq!((&answer["hold"]["kept"], &answer["changed"]), (&json!(true), &json!(true)), "{answer}");
            held += answer["hold"]["held"].as_u64().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        assert!(held > 0, "somebody had to wait");
        println!("{flips} flips held {held} of {} requests", asked.load(Ordering::Relaxed));
    });
    let mut log = site.log.lock().unwrap().clone();
    log.sort_by_key(|(_, begin, _)| *begin);
    let mut changes = 0;
    let mut last_end = log[0].2;
    for pair in log.windows(2) {
        last_end = last_end.max(pair[0].2);
        if pair[0].0 != pair[1].0 {
            changes += 1;
            assert!(last_end <= pair[1].1, "{pair:?} overlap by {:?}", last_end - pair[1].1);
        }
    }
    assert_eq!(changes, usize::from(flips));
    assert!(site.held() < 0.5);
}

#[test]
fn a_hold_that_takes_too_long_changes_nothing_and_fails_nobody() {
    let site = Site::start();
    let mut slow = site.stuck("cart");
    std::thread::scope(|scope| {
        let flip = scope.spawn(|| site.flip_all(2, &json!({ "max": "3s" })));
        site.await_hold(1);
        let mut waiting = site.proxy.client();
        waiting.write(request("web", 0));
        let refusal = refused(flip.join().unwrap());
        let waited = refusal.split_once("1 requests in flight after ").and_then(|(_, rest)| rest.split_once(" ms"));
        let waited: Option<u64> = waited.and_then(|(milliseconds, _)| milliseconds.parse().ok());
        assert!(waited >= Some(3_000) && refusal.contains("nothing was changed"), "{refusal}");
        assert_eq!(waiting.answer().text(), "v1", "it was let go, to where it would have gone");
    });
    site.turnstile.turn();
    assert_eq!(slow.answer().text(), "v1");
    let revisions = site.admin.call(Call::get("/v1/status")).unwrap();
    assert_eq!(revisions["revision"], 1);
    // The same, and the change at all costs.
    let mut slow = site.stuck("cart");
    let answer = site.flip_all(2, &json!({ "max": "100ms", "otherwise": "go_on" })).unwrap();
    assert_eq!((&answer["hold"]["kept"], &answer["changed"]), (&json!(false), &json!(true)), "{answer}");
    assert_eq!(client::send(site.proxy.address, request("web", 0)).text(), "v2");
    site.turnstile.turn();
    assert_eq!(slow.answer().text(), "v1");
}

#[test]
fn a_hold_that_is_full_ends_and_refuses_nobody() {
    let site = Site::start();
    let mut slow = site.stuck("cart");
    std::thread::scope(|scope| {
        let flip = scope.spawn(|| site.flip_all(2, &json!({ "max": "20s", "requests": 3 })));
        site.await_hold(1);
        let mut waiting: Vec<Client> = (0..3).map(|_| site.proxy.client()).collect();
        for client in &mut waiting {
            client.write(request("web", 0));
        }
        eventually("three wait", || site.held() > 2.5);
        assert_eq!(client::send(site.proxy.address, request("web", 0)).text(), "v1");
        let refusal = refused(flip.join().unwrap());
        assert!(refusal.contains("more requests than the hold takes after 3"), "{refusal}");
        assert!(waiting.iter_mut().all(|client| client.answer().text() == "v1"));
    });
    site.turnstile.turn();
    assert_eq!(slow.answer().text(), "v1");
    // In bytes.
    let mut slow = site.stuck("cart");
    std::thread::scope(|scope| {
        let flip = scope.spawn(|| site.flip_all(2, &json!({ "max": "20s", "bytes": "1KiB" })));
        site.await_hold(2);
        let large = format!("GET / HTTP/1.1\r\nHost: web\r\nX-Large: {}\r\n\r\n", "x".repeat(1024));
        assert_eq!(client::send(site.proxy.address, large).text(), "v1");
        assert!(refused(flip.join().unwrap()).contains("more requests than the hold takes"));
    });
    site.turnstile.turn();
    assert_eq!(slow.answer().text(), "v1");
}

#[test]
fn who_leaves_while_held_is_gone_and_others_are_not_concerned() {
    let site = Site::start();
    let mut slow = site.stuck("web");
    std::thread::scope(|scope| {
        let flip = scope.spawn(|| {
            site.call(Method::POST, "/v1/services/web/flip", json!({ "to": "v2", "hold": { "max": "30s" } })).unwrap()
        });
        site.await_hold(1);
        assert_eq!(client::send(site.proxy.address, request("cart", 0)).text(), "v1", "another service");
        let mut gone = site.proxy.client();
        gone.write(request("web", 0));
        // Held with a body on its way, which is not read and arrives whole.
        let mut upload = site.proxy.client();
        upload.write("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nhe");
        eventually("two wait", || site.held() > 1.5);
        drop(gone);
        eventually("one has left", || site.held() < 1.5);
        upload.write("llo");
        site.turnstile.turn();
        let answer = flip.join().unwrap();
        assert_eq!(answer["hold"]["kept"], true, "{answer}");
        assert_eq!(upload.answer().text(), "v2");
    });
    assert_eq!(slow.answer().text(), "v1");
    let of_v2 = site.log.lock().unwrap().iter().filter(|(version, _, _)| *version == 2).count();
    assert_eq!(of_v2, 1, "only the upload");
}

#[test]
fn a_hold_by_itself_lasts_until_it_is_released_or_over() {
    let site = Site::start();
    let hold = site.hold(&["web", "cart"]);
    assert_eq!((&hold["id"], &hold["services"]), (&json!(1), &json!(["cart", "web"])), "{hold}");
    assert_eq!(hold["in_force"], true, "{hold}");
    let mut waiting = site.proxy.client();
    waiting.write(request("web", 0));
    eventually("it waits", || site.held() > 0.5);
    let shown = site.admin.call(Call::get("/v1/status")).unwrap()["holds"][0].clone();
    assert_eq!((&shown["services"], &shown["requests"]), (&json!(["cart", "web"]), &json!(1)), "{shown}");
    let at = |key: &str| shown[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(at("until").duration_since(at("since")).as_millis(), 20_000, "{shown}");
    assert!(at("since") <= jiff::Timestamp::now() && jiff::Timestamp::now() < at("until"), "{shown}");
    let taken = refused(site.flip_all(2, &json!({})));
    assert!(taken.contains("hold of cart (number 1)") || taken.contains("hold of web (number 1)"), "{taken}");
    // Changes without a hold of their own are what it is for.
    let split = json!({ "v2": 100 });
    site.call(Method::PUT, "/v1/splits", json!({ "web": split, "cart": split })).unwrap();
    assert!(site.held() > 0.5, "it waits still");
    let released = site.admin.call(Call { method: Method::DELETE, path: "/v1/hold/1", body: None, if_match: None });
    assert_eq!(released.unwrap()["held"], 1);
    assert_eq!(waiting.answer().text(), "v2");
    for unknown in ["/v1/hold/1", "/v1/hold/x"] {
        let again = site.admin.call(Call { method: Method::DELETE, path: unknown, body: None, if_match: None });
        assert!(refused(again).contains("there is no hold"));
    }
    // One that is not released.
    site.call(Method::POST, "/v1/hold", json!({ "services": ["web"], "max": "2s" })).unwrap();
    assert_eq!(client::send(site.proxy.address, request("web", 0)).text(), "v2");
    eventually("it is over", || site.call(Method::GET, "/v1/hold", json!({})).is_ok_and(|list| list == json!([])));
    assert_eq!(site.admin.call(Call::get("/v1/status")).unwrap()["holds"], json!([]));
}

#[test]
fn a_change_that_is_wrong_or_changes_nothing_holds_nobody() {
    let site = Site::start();
    let _slow = site.stuck("web");
    let flip = |to: &str, query: &str, hold: Value| {
        site.call(Method::POST, &format!("/v1/services/web/flip{query}"), json!({ "to": to, "hold": hold }))
    };
    assert!(flip("v9", "", json!({})).is_err());
    let nothing = flip("v1", "", json!({})).unwrap();
    assert_eq!((&nothing["changed"], nothing.get("hold")), (&json!(false), None), "{nothing}");
    let dry = flip("v2", "?dry_run=true", json!({})).unwrap();
    assert_eq!((&dry["dry_run"], dry.get("hold")), (&json!(true), None), "{dry}");
    let first = site.call(Method::POST, "/v1/hold", json!({ "services": ["cart"], "max": "20s" })).unwrap();
    assert_eq!(first["id"], 1, "there was no hold before this one");
    let bad = json!({ "max": "1h", "requests": 0, "bytes": 5, "otherwise": "pray", "extra": 1 });
    let problems = refused(flip("v2", "", bad));
    for place in ["hold.max", "hold.requests", "hold.bytes", "hold.otherwise", "hold.extra"] {
        assert!(problems.contains(place), "{place}: {problems}");
    }
    assert!(refused(flip("v2", "", json!(true))).contains("hold: found true"));
    let problems = refused(site.call(Method::POST, "/v1/hold", json!({ "services": ["nope"], "max": "x" })));
    assert!(problems.contains("nope") && problems.contains("max"), "{problems}");
    assert!(refused(site.call(Method::POST, "/v1/hold", json!({}))).contains("services"));
}

#[test]
fn a_caller_that_hangs_up_leaves_no_hold_behind() {
    let site = Site::start();
    let mut slow = site.stuck("web");
    let body = json!({ "to": "v2", "hold": { "max": "30s" } }).to_string();
    let mut caller = Client::to(site.proxy.admin);
    let host = site.proxy.admin;
    caller.write(format!(
        "POST /v1/services/web/flip HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    site.await_hold(1);
    drop(caller);
    assert_eq!(client::send(site.proxy.address, request("web", 0)).text(), "v1", "let go");
    site.turnstile.turn();
    assert_eq!(slow.answer().text(), "v1");
}

/// Streams of one connection: those of a held service wait, others do not, one that is taken back is gone, and one that
/// is refused is refused at once.
#[test]
fn streams_of_http2_are_held_each_by_itself() {
    let site = Site::start();
    site.hold(&["web"]);
    let of = |service: &str| h2::request("GET", &format!("http://{service}/"), &[]);
    let mut client = H2Client::to(site.proxy.address);
    let waiting = client.begin(of("web"));
    eventually("it waits", || site.held() > 0.5);
    assert_eq!(client.ask(of("cart")).text(), "v1", "another service");
    let refused = client.ask(of("nobody"));
    refused.assert_refused(404, "no_service");
    assert!(!refused.headers.contains_key("connection"), "{refused:?}");
    client.take_back(of("web")).unwrap();
    eventually("it is gone again", || {
        client.turn();
        (site.held() - 1.0).abs() < 0.5
    });
    // Without room for it, a request goes on at once, and so does the one that waits: none is refused.
    site.call(Method::PUT, "/v1/splits", json!({ "web": { "v2": 100 } })).unwrap();
    assert!(site.held() > 0.5, "it waits still");
    site.admin.call(Call { method: Method::DELETE, path: "/v1/hold/1", body: None, if_match: None }).unwrap();
    assert_eq!(client.finish(waiting).text(), "v2");
    let flip = |hold: Value| site.call(Method::POST, "/v1/services/web/flip", json!({ "to": "v1", "hold": hold }));
    let mut slow = site.stuck("web");
    std::thread::scope(|scope| {
        let flip = scope.spawn(|| flip(json!({ "max": "20s", "requests": 1 })));
        site.await_hold(2);
        let first = client.begin(of("web"));
        eventually("it waits", || site.held() > 0.5);
        assert_eq!(client.ask(of("web")).text(), "v2", "there is no room for a second one");
        assert_eq!(client.finish(first).text(), "v2");
        assert!(self::refused(flip.join().unwrap()).contains("more requests than the hold takes after 1"));
    });
    site.turnstile.turn();
    assert_eq!(slow.answer().text(), "v2");
}
