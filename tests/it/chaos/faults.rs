//! Each kind of fault, to clients and endpoints of HTTP/1.1 and HTTP/2: what the user got, and that others got what
//! they always do.

use std::time::Duration;

use pointsman::testing::stats::FaultSlice;
use pointsman::testing::table::spec::fault::{FaultAbort, FaultKind};

use super::injected::{Got, Speaks, abort, counted, put, setup, user, visit, whole};
use crate::support::h2::{H2Client, H2Origin, request};
use crate::support::{Origin, Proxy, Reply, Setup, eventually};

/// What endpoints answer with.
const BODY_BYTES: usize = 3_000;

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
                let wanted = got(from_client);
                let has_failed = !wanted.whole || wanted.status.is_some_and(|status| status >= 500);
                let result = if has_failed { "failed" } else { "ok" };
                let (before, counts) = (endpoint.seen(), counted(&proxy, "fault", result));
                let (found, took) = from_client.ask(&proxy, &fault);
                assert_eq!(found, wanted, "{what}");
                eventually(&format!("{what} is counted as {result}"), || {
                    counted(&proxy, "fault", result) > counts + 0.5
                });
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
