//! Each kind of fault, to clients and endpoints of HTTP/1.1 and HTTP/2: what the user got, and that others got what
//! they always do. Faults are put into the table directly, so that nothing but the data path is tested.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use pointsman::testing::stats::{FaultSlice, FaultStats};
use pointsman::testing::table::hash::Salt;
use pointsman::testing::table::spec::fault::{FaultAbort, FaultKind, FaultTarget};
use pointsman::testing::table::{EndpointAddress, FaultInForce, SLOTS, Weight};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::h2::{H2Client, H2Origin, request};
use crate::support::spec::name;
use crate::support::{Client, Origin, Proxy, Reply, Setup, Turnstile, client, eventually, with};

/// What endpoints answer with.
const BODY_BYTES: usize = 3_000;

/// A service whose users are known by a header, for clients of both protocols.
pub(super) fn setup(endpoints: Setup) -> Setup {
    endpoints.service("sticky = [\"header:x-user\"]").listener("h2c = true")
}

/// A target that has half of the users in each slice.
pub(super) fn target() -> FaultTarget {
    let share = Weight::from_percent(50.0).unwrap();
    FaultTarget { service: name("site"), version: None, endpoint: None, zone: None, segment: None, share }
}

/// A fault of run 1 that is done to users of the fault slice until it is taken away.
pub(super) fn fault(kind: FaultKind, target: FaultTarget) -> FaultInForce {
    let stats = Arc::new(FaultStats::new(target.share.slots(), true, 64));
    FaultInForce { run: 1, experiment: name("try"), target, kind, until_ms: u64::MAX, injecting: true, stats }
}

pub(super) fn put(proxy: &Proxy, kind: FaultKind) {
    proxy.put_faults(&[Arc::new(fault(kind, target()))]);
}

pub(super) fn abort(status: u16) -> FaultKind {
    FaultKind::Abort(FaultAbort::Http(StatusCode::from_u16(status).unwrap()))
}

/// Users of a slice of run 1.
pub(super) fn users(slice: FaultSlice) -> impl Iterator<Item = String> {
    let salt = Salt::new("chaos:1");
    let is_fault = move |user: &String| salt.slot(user.as_bytes()) < SLOTS / 2;
    let all = (0..).map(|number| format!("user-{number}"));
    all.filter(move |user| is_fault(user) == (slice == FaultSlice::Fault))
}

pub(super) fn user(slice: FaultSlice) -> String {
    users(slice).next().unwrap()
}

/// What a client asks as this user, over HTTP/1.1.
pub(super) fn visit(proxy: &Proxy, user: &str, path: &str) -> u16 {
    client::send(proxy.address, with(&[&format!("X-User: {user}")]).replacen("GET /", &format!("GET {path}"), 1)).status
}

/// The requests of a slice with this result.
pub(super) fn counted(proxy: &Proxy, slice: &str, result: &str) -> f64 {
    let labels = [&*format!("slice=\"{slice}\""), &*format!("result=\"{result}\"")];
    proxy.metric("pointsman_chaos_requests_total", &labels)
}

/// What came of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Got {
    /// None: the stream was reset.
    status: Option<u16>,
    /// Whether all of it came.
    whole: bool,
}

const fn whole(status: u16) -> Got {
    Got { status: Some(status), whole: true }
}

/// A client of one of the protocols.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Speaks {
    Http1,
    Http2,
}

impl Speaks {
    /// Asks as a user on a connection of its own: what it got, and how long it took.
    fn ask(self, proxy: &Proxy, user: &str) -> (Got, Duration) {
        let began = Instant::now();
        let got = match self {
            Self::Http1 => {
                let answer = Client::to(proxy.address).ask(with(&[&format!("X-User: {user}")]));
                Got { status: Some(answer.status), whole: answer.is_whole() }
            }
            Self::Http2 => {
                let asked = request("GET", "http://a/", &[("x-user", user)]);
                match H2Client::to(proxy.address).try_ask(asked, &[], None) {
                    Ok(answer) => whole(answer.status),
                    Err(_reset) => Got { status: None, whole: false },
                }
            }
        };
        (got, began.elapsed())
    }

    /// What it sees of a body that breaks off.
    fn broken(self) -> Got {
        Got { status: (self == Self::Http1).then_some(200), whole: false }
    }
}

/// An endpoint of one of the protocols.
enum Endpoint {
    Http1(Origin),
    Http2(H2Origin),
}

impl Endpoint {
    fn new(speaks: Speaks) -> Self {
        match speaks {
            Speaks::Http1 => Self::Http1(Origin::with(|_| Reply::ok(vec![b'x'; BODY_BYTES]))),
            Speaks::Http2 => Self::Http2(H2Origin::saying("x".repeat(BODY_BYTES).leak())),
        }
    }

    fn seen(&self) -> usize {
        match self {
            Self::Http1(origin) => origin.seen().len(),
            Self::Http2(origin) => origin.seen().len(),
        }
    }

    /// A proxy before it. An endpoint with two failures in a row would be ejected.
    fn proxy(&self) -> Proxy {
        let (address, protocol) = match self {
            Self::Http1(origin) => (origin.address(), "http1"),
            Self::Http2(origin) => (origin.address(), "h2"),
        };
        let setup = setup(Setup::endpoints(&[&[address]])).version(&format!("protocol = \"{protocol}\""));
        setup.service("outlier = { consecutive_failures = 2 }").start()
    }
}

/// A kind of fault, what a client of a protocol gets, whether its endpoint sees the request, and the least time that it
/// takes.
struct FaultCase {
    kind: FaultKind,
    got: fn(Speaks) -> Got,
    reaches: bool,
    least: Duration,
}

fn cases() -> Vec<FaultCase> {
    let ms = Duration::from_millis;
    let case = |kind, got: fn(Speaks) -> Got, reaches| FaultCase { kind, got, reaches, least: Duration::ZERO };
    vec![
        FaultCase {
            least: ms(120),
            ..case(FaultKind::Latency { fixed: ms(120), jitter: ms(30) }, |_| whole(200), true)
        },
        case(FaultKind::Latency { fixed: Duration::ZERO, jitter: Duration::ZERO }, |_| whole(200), true),
        case(abort(503), |_| whole(503), false),
        case(abort(404), |_| whole(404), false),
        case(FaultKind::Reset, |_| whole(502), false),
        // The first piece comes after a tenth of a second, the last one after three.
        FaultCase { least: ms(250), ..case(FaultKind::Bandwidth { bytes_per_s: 10_000 }, |_| whole(200), true) },
        case(FaultKind::Cut { after_bytes: 1_000 }, Speaks::broken, true),
        case(FaultKind::Cut { after_bytes: 1_000_000 }, |_| whole(200), true),
        case(FaultKind::Refuse, |_| whole(502), false),
        case(FaultKind::Exhaust { places: 0 }, |_| whole(503), false),
        // One before may not have given its place back yet.
        case(FaultKind::Exhaust { places: 8 }, |_| whole(200), true),
        case(FaultKind::Nothing, |_| whole(200), true),
    ]
}

#[test]
fn each_fault_reaches_its_slice_and_no_other_over_all_protocols() {
    let (fault, control) = (user(FaultSlice::Fault), user(FaultSlice::Control));
    for to_endpoint in [Speaks::Http1, Speaks::Http2] {
        let endpoint = Endpoint::new(to_endpoint);
        let proxy = endpoint.proxy();
        for FaultCase { kind, got, reaches, least } in cases() {
            put(&proxy, kind.clone());
            for from_client in [Speaks::Http1, Speaks::Http2] {
                let what = format!("{kind:?} from {from_client:?} to {to_endpoint:?}");
                let before = endpoint.seen();
                let (found, took) = from_client.ask(&proxy, &fault);
                assert_eq!(found, got(from_client), "{what}");
                assert!(took >= least, "{what}: {took:?}");
                let reached = endpoint.seen() - before;
                assert_eq!(reached, usize::from(reaches), "{what}");
                assert_eq!(from_client.ask(&proxy, &control).0, whole(200), "{what}");
                assert_eq!(endpoint.seen() - before, reached + 1, "{what}");
            }
        }
        let calls = cases().len() * 2;
        eventually("all are counted", || {
            let ended = ["ok", "failed"].map(|result| counted(&proxy, "fault", result));
            ended.iter().sum::<f64>() > f64::from(u32::try_from(calls).unwrap()) - 0.5
        });
        assert!(counted(&proxy, "control", "failed") < 0.5 && counted(&proxy, "fault", "failed") > 5.5);
        put(&proxy, abort(503));
        assert!((0..5).all(|_| visit(&proxy, &fault, "/") == 503));
        // Neither what faults did nor that an endpoint was passed over is known of it.
        assert_eq!(proxy.status()["versions"][0]["endpoints"][0]["state"], "ready");
        // What users got is counted as ever.
        assert!(proxy.metric("pointsman_requests_total", &["version=\"v1\"", "code=\"5xx\""]) > 5.5);
    }
}

#[test]
fn calls_of_grpc_end_as_their_clients_understand() {
    let origin = H2Origin::saying("\0\0\0\0\0");
    let proxy = setup(Setup::endpoints(&[&[origin.address()]])).version("protocol = \"h2\"").start();
    let call = |slice| {
        let lines = [("content-type", "application/grpc"), ("te", "trailers"), ("x-user", &*user(slice))];
        let asked = request("POST", "http://a/shop.Cart/Add", &lines);
        H2Client::to(proxy.address).try_ask(asked, &[b"\0\0\0\0\0"], None)
    };
    let status = |headers: &http::HeaderMap| headers.get("grpc-status").map(|value| value.to_str().unwrap().to_owned());
    for (kind, wanted) in [
        (FaultKind::Abort(FaultAbort::Grpc(8)), "8"),
        (FaultKind::Reset, "14"),
        (FaultKind::Refuse, "14"),
        (FaultKind::Exhaust { places: 0 }, "14"),
    ] {
        put(&proxy, kind.clone());
        let answer = call(FaultSlice::Fault).unwrap();
        assert_eq!((answer.status, status(&answer.headers).as_deref()), (200, Some(wanted)), "{kind:?}");
        let answer = call(FaultSlice::Control).unwrap();
        assert_eq!(answer.trailers.as_ref().and_then(status).as_deref(), Some("0"), "{kind:?}");
    }
    assert_eq!(origin.seen().len(), 4, "the control slice");
    put(&proxy, FaultKind::Cut { after_bytes: 2 });
    assert!(call(FaultSlice::Fault).unwrap_err().is_reset());
    eventually("each of them has failed", || counted(&proxy, "fault", "failed") > 4.5);
    assert!(counted(&proxy, "fault", "ok") < 0.5 && counted(&proxy, "control", "failed") < 0.5);
}

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

#[test]
fn a_zone_that_is_dead_is_failed_over_and_its_endpoints_stay_what_they_are() {
    let (near, far) = (Origin::saying("near"), Origin::saying("far"));
    let zones = format!("zones = {{ \"{}\" = \"a\", \"{}\" = \"b\" }}", near.address(), far.address());
    let setup = setup(Setup::endpoints(&[&[near.address(), far.address()]])).version(&zones);
    let proxy = setup.top("[proxy]\nworkers = 1").start();
    let (fault_user, control) = (user(FaultSlice::Fault), user(FaultSlice::Control));
    // There are connections to both.
    eventually("both are asked", || {
        assert_eq!(visit(&proxy, &fault_user, "/"), 200);
        !near.seen().is_empty() && !far.seen().is_empty()
    });
    let zone = FaultTarget { zone: Some(name("a")), ..target() };
    let endpoint = FaultTarget { endpoint: Some(EndpointAddress::Ip(near.address())), ..target() };
    for target in [zone, endpoint] {
        proxy.put_faults(&[Arc::new(fault(FaultKind::Refuse, target))]);
        let before = near.seen().len();
        let mut client = proxy.client();
        for _ in 0..30 {
            let answer = client.ask(with(&[&format!("X-User: {fault_user}")]));
            assert_eq!((answer.status, answer.text().as_str()), (200, "far"));
        }
        assert_eq!(near.seen().len(), before);
        eventually("the control slice is at both", || {
            assert_eq!(visit(&proxy, &control, "/"), 200);
            near.seen().len() > before
        });
    }
    let endpoints = &proxy.status()["versions"][0]["endpoints"];
    let told = [0, 1].map(|index| [&endpoints[index]["state"], &endpoints[index]["zone"]]);
    assert_eq!(told, [[&json!("ready"), &json!("a")], [&json!("ready"), &json!("b")]]);
    // Some of the requests would have gone there first.
    assert!(proxy.metric("pointsman_upstream_failures_total", &["reason=\"connect\""]) > 0.5);
}

#[test]
fn the_shield_saves_users_of_a_faulted_version_and_that_is_what_is_counted() {
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let setup = setup(Setup::to(&[&v1, &v2])).service("shield = { stable = \"v1\" }").split(&[0, 100]);
    let proxy = setup.start();
    let of_v2 = FaultTarget { version: Some(name("v2")), ..target() };
    let fault_user = user(FaultSlice::Fault);
    for kind in [abort(503), FaultKind::Reset] {
        proxy.put_faults(&[Arc::new(fault(kind, of_v2.clone()))]);
        let answer = client::send(proxy.address, with(&[&format!("X-User: {fault_user}")]));
        assert_eq!((answer.status, answer.text().as_str()), (200, "v1"));
    }
    assert!(v2.seen().is_empty() && v1.seen().len() == 2);
    eventually("both are counted", || counted(&proxy, "fault", "ok") > 1.5);
    assert!(counted(&proxy, "fault", "failed") < 0.5);
    // Users of v1 are in no slice of it.
    let of_v1 = FaultTarget { version: Some(name("v1")), ..target() };
    proxy.put_faults(&[Arc::new(fault(abort(503), of_v1))]);
    assert_eq!(visit(&proxy, &fault_user, "/"), 200);
    assert_eq!(v2.seen().len(), 1);
}

#[test]
fn a_baseline_and_a_fault_whose_time_is_over_do_nothing() {
    let origin = Origin::saying("hello");
    let proxy = setup(Setup::to(&[&origin])).start();
    let [fault_user, control] = [FaultSlice::Fault, FaultSlice::Control].map(user);
    let over = FaultInForce { until_ms: 0, ..fault(abort(503), target()) };
    let baseline = FaultInForce { injecting: false, ..fault(abort(503), target()) };
    for (fault, counts) in [(over, 0.0), (baseline, 1.0)] {
        proxy.put_faults(&[Arc::new(fault)]);
        assert_eq!([visit(&proxy, &fault_user, "/"), visit(&proxy, &control, "/")], [200; 2]);
        eventually("as many are counted", || {
            ["fault", "control"].iter().all(|slice| (counted(&proxy, slice, "ok") - counts).abs() < 1e-9)
        });
    }
}

#[test]
fn a_user_who_gets_a_cookie_stays_in_the_slice() {
    let origin = Origin::saying("hello");
    let proxy = Setup::to(&[&origin]).service("sticky = [\"cookie\"]").start();
    put(&proxy, abort(503));
    let mut statuses = [0; 2];
    for _ in 0..30 {
        let first = client::send(proxy.address, with(&[]));
        let cookie = first.header("set-cookie").expect("a cookie").split(';').next().expect("a pair").to_owned();
        let again = client::send(proxy.address, with(&[&format!("Cookie: {cookie}")]));
        assert_eq!(again.status, first.status);
        statuses[usize::from(first.status == 503)] += 1;
    }
    assert!(statuses.iter().all(|count| *count > 0), "{statuses:?}");
}

#[test]
fn explain_and_the_access_log_say_what_was_done() {
    let origin = Origin::saying("hello");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let section = format!("[access_log]\nformat = \"json\"\npath = \"{}\"\n", path.display());
    let proxy = setup(Setup::to(&[&origin])).top(&section).start();
    let explain = |headers: Value| {
        let asked = json!({ "host": "a", "headers": headers }).to_string();
        proxy.call("POST", "/v1/explain", &asked)["chaos"].clone()
    };
    assert_eq!(explain(json!({})), Value::Null);
    put(&proxy, abort(503));
    for (slice, word) in [(FaultSlice::Fault, "fault"), (FaultSlice::Control, "control")] {
        let said = explain(json!({ "x-user": user(slice) }));
        assert_eq!((&said["experiment"], &said["run"], &said["fault"]), (&json!("try"), &json!(1), &json!("abort")));
        assert_eq!((&said["slice"], &said["injecting"]), (&json!(word), &json!(true)), "{said}");
    }
    assert_eq!(explain(json!({}))["slice"], Value::Null, "chance decides");
    for slice in [FaultSlice::Fault, FaultSlice::Control] {
        visit(&proxy, &user(slice), "/");
    }
    let mut lines = Vec::new();
    eventually("both lines are there", || {
        let text = std::fs::read_to_string(&path).unwrap();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines = whole.map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
        lines.sort_by_key(|line| line["status"] == 200);
        lines.len() == 2
    });
    assert_eq!((&lines[0]["fault"], &lines[0]["status"]), (&json!("try/abort"), &json!(503)));
    assert_eq!(lines[0]["endpoint"], json!(origin.address()), "the one that seems to have answered");
    assert!(lines[1].get("fault").is_none() && lines[1]["status"] == 200, "{}", lines[1]);
}
