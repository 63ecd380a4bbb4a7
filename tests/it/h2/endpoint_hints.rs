//! Interim answers (1xx) of endpoints that speak HTTP/2: they reach clients as those of HTTP/1.1 endpoints do.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderName, HeaderValue, Response};
use tokio::time::sleep;

use crate::support::h2::{H2Client, Hint, request};
use crate::support::h2_endpoint::{Asked, H2Endpoint, until_reset, whole_body};
use crate::support::pki::Ca;
use crate::support::{Client, Origin, Proxy, Reply, Setup, Turnstile, client, eventually, get, post};

/// What an endpoint does on a stream, one after the other.
#[derive(Clone, Debug)]
enum Step {
    /// It sends an interim answer with these lines.
    Hint(u16, Vec<(&'static str, String)>),
    Pause(u64),
    /// It waits until its client has what it was sent.
    Wait(Turnstile),
    /// It reads the body and answers with it, or with `ok` if there is none.
    Answer,
    /// It answers with this status and nothing more.
    Status(u16),
    /// The beginning of an answer, a while before its end.
    Slowly,
    Reset(Reason),
}

use Step::{Answer, Pause, Reset, Slowly, Status, Wait};

fn hint(status: u16) -> Step {
    Step::Hint(status, Vec::new())
}

fn link(status: u16, link: &str) -> Step {
    Step::Hint(status, vec![("link", link.to_owned())])
}

/// An endpoint that takes these steps on each stream.
fn playing(steps: &[Step]) -> H2Endpoint {
    let steps = steps.to_vec();
    H2Endpoint::with(move |asked| play(steps.clone(), asked))
}

/// An endpoint that takes the first steps on its first stream and the others on all others.
fn first_and_then(first: &[Step], then: &[Step]) -> H2Endpoint {
    let (first, then) = (first.to_vec(), then.to_vec());
    H2Endpoint::with(move |asked| play(if asked.number == 0 { first.clone() } else { then.clone() }, asked))
}

fn setup(endpoint: &H2Endpoint) -> Setup {
    let setup = Setup::endpoints(&[&[endpoint.address]]).top("[proxy]\nworkers = 1");
    setup.listener("h2c = true").version("protocol = \"h2\"")
}

fn proxy(endpoint: &H2Endpoint) -> Proxy {
    setup(endpoint).start()
}

async fn play(steps: Vec<Step>, asked: Asked) -> Result<(), h2::Error> {
    let Asked { request, mut respond, .. } = asked;
    let mut incoming = request.into_body();
    for step in steps {
        match step {
            Step::Hint(status, lines) => {
                let mut head = Response::builder().status(status).body(()).unwrap();
                let line = |(name, value): (_, String)| {
                    (HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap())
                };
                head.headers_mut().extend(lines.into_iter().map(line));
                respond.send_informational(head)?;
            }
            Step::Pause(millis) => sleep(Duration::from_millis(millis)).await,
            Step::Wait(turnstile) => turnstile.pass().await,
            Step::Answer => {
                let body = whole_body(&mut incoming).await?;
                let body = if body.is_empty() { b"ok".to_vec() } else { body };
                return respond.send_response(Response::new(()), false)?.send_data(body.into(), true);
            }
            Step::Status(status) => {
                let head = Response::builder().status(status).body(()).unwrap();
                return respond.send_response(head, true).map(drop);
            }
            Step::Slowly => {
                let mut sending = respond.send_response(Response::new(()), false)?;
                sending.send_data(Bytes::from_static(b"o"), false)?;
                sleep(Duration::from_millis(100)).await;
                return sending.send_data(Bytes::from_static(b"k"), true);
            }
            Step::Reset(reason) => {
                respond.send_reset(reason);
                return Ok(());
            }
        }
    }
    until_reset(&mut respond).await
}

fn statuses(hints: &[Hint]) -> Vec<u16> {
    hints.iter().map(|hint| hint.status).collect()
}

#[test]
fn a_client_of_http1_gets_an_early_hint_early_and_clean() {
    let own = [("link", "</a.css>; rel=preload"), ("x-own", "1")].map(|(name, value)| (name, value.to_owned()));
    let heard = Turnstile::shut();
    let endpoint = playing(&[Step::Hint(103, own.to_vec()), Wait(heard.clone()), Answer]);
    let proxy = proxy(&endpoint);
    let mut client = proxy.client();
    for _ in 0..2 {
        client.write(get("/"));
        let hint = client.next_head();
        heard.turn();
        assert!(hint.line.starts_with("HTTP/1.1 103 "), "{hint:?}");
        assert_eq!((hint.one("link"), hint.one("x-own")), (Some("</a.css>; rel=preload"), Some("1")));
        let gone = ["connection", "date", "content-length", "transfer-encoding"];
        assert!(gone.iter().all(|name| hint.all(name).is_empty()), "{hint:?}");
        assert!(hint.one("via").is_some_and(|via| via.starts_with("2.0 pointsman")), "{hint:?}");
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str(), answer.interim.len()), (200, "ok", 0));
    }
    assert_eq!(endpoint.connections(), 1);
}

#[test]
fn a_client_of_http2_gets_an_early_hint_early() {
    let heard = Turnstile::shut();
    let endpoint = playing(&[link(103, "</a.css>"), Wait(heard.clone()), Answer]);
    let proxy = proxy(&endpoint);
    let mut client = H2Client::to(proxy.address);
    for _ in 0..2 {
        let (hints, answer) = client.ask_and_hear(request("GET", "http://a/", &[]), None, || heard.turn());
        assert_eq!(statuses(&hints), [103]);
        assert_eq!(hints[0].headers["link"], "</a.css>");
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
    assert_eq!(endpoint.connections(), 1);
}

#[test]
fn all_kinds_pass_in_their_order_to_clients_of_both_protocols_and_to_none_of_http_1_0() {
    let endpoint = playing(&[hint(102), hint(103), Pause(20), hint(199), hint(103), Answer]);
    let proxy = proxy(&endpoint);
    for asked in [get("/"), "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), post("/", "body")] {
        let answer = proxy.client().ask(&asked);
        assert_eq!((answer.interim, answer.status), (vec![102, 103, 199, 103], 200), "{asked}");
    }
    let mut http2 = H2Client::to(proxy.address);
    for method in ["GET", "HEAD"] {
        let (hints, answer) = http2.ask_for_hints(request(method, "http://a/", &[]), None);
        assert_eq!((statuses(&hints), answer.status), (vec![102, 103, 199, 103], 200));
    }
    let old = client::send(proxy.address, "GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!((old.status, old.interim), (200, Vec::new()));
}

#[test]
fn hints_may_come_all_the_time_beside_a_body_in_both_directions() {
    let endpoint = playing(&[hint(103), Pause(30), hint(102), Slowly]);
    let answer = proxy(&endpoint).client().ask(post("/", &"b".repeat(10_000)));
    assert_eq!((answer.interim.as_slice(), answer.text().as_str()), (&[103, 102][..], "ok"));
}

#[test]
fn a_client_that_waits_with_its_body_is_told_to_go_on_once() {
    let endpoint = playing(&[hint(100), hint(100), Pause(50), hint(100), Answer]);
    let proxy = proxy(&endpoint);
    let mut client = proxy.client();
    client.write("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.next_status(), 100);
    let answer = client.ask("hello");
    assert_eq!((answer.status, answer.text().as_str(), answer.interim), (200, "hello", Vec::new()));
    let asked = request("POST", "http://a/", &[("expect", "100-continue"), ("content-length", "5")]);
    let (hints, answer) = H2Client::to(proxy.address).ask_for_hints(asked, Some(b"hello"));
    assert_eq!((statuses(&hints), answer.text().as_str()), (vec![100], "hello"));
    let (hints, _) = H2Client::to(proxy.address).ask_for_hints(request("GET", "http://a/", &[]), None);
    assert!(hints.is_empty(), "nobody asked: {hints:?}");
}

#[test]
fn a_flood_is_bounded_and_the_answer_comes() {
    let flood = [vec![hint(103); 1_000], vec![Answer]].concat();
    let endpoint = playing(&flood);
    let proxy = proxy(&endpoint);
    let answer = proxy.client().ask(get("/"));
    assert_eq!((answer.status, answer.interim.len(), answer.text().as_str()), (200, 32, "ok"));
    let (hints, answer) = H2Client::to(proxy.address).ask_for_hints(request("GET", "http://a/", &[]), None);
    assert_eq!((hints.len(), answer.text().as_str()), (32, "ok"));
    let large = [vec![link(103, &format!("<{}>", "x".repeat(20_000))); 10], vec![Answer]].concat();
    let endpoint = playing(&large);
    let answer = self::proxy(&endpoint).client().ask(get("/"));
    assert_eq!((answer.status, answer.interim.len()), (200, 3));
}

#[test]
fn hints_do_not_buy_time() {
    let steps: Vec<_> = (0..100).flat_map(|_| [hint(102), Pause(100)]).chain([Answer]).collect();
    let endpoint = playing(&steps);
    let proxy = setup(&endpoint).service("response_timeout = \"3s\"").start();
    let answer = proxy.client().ask(get("/"));
    answer.assert_refused(504, "upstream_timeout");
    assert!(!answer.interim.is_empty());
}

#[test]
fn a_stream_that_breaks_behind_a_hint_is_no_answer() {
    let endpoint = playing(&[hint(103), Pause(20), Reset(Reason::INTERNAL_ERROR)]);
    let proxy = proxy(&endpoint);
    let answer = proxy.client().ask(post("/", "body"));
    answer.assert_refused(502, "upstream_reset");
    assert_eq!((answer.interim, endpoint.requests()), (vec![103], 1));
    proxy.await_metric("pointsman_upstream_failures_total", &["reason=\"reset\""], 1.0);
}

#[test]
fn a_request_that_is_refused_behind_a_hint_is_sent_again() {
    let endpoint = first_and_then(
        &[link(103, "</first>"), Pause(20), Reset(Reason::REFUSED_STREAM)],
        &[link(103, "</second>"), Answer],
    );
    let answer = proxy(&endpoint).client().ask(post("/", "body"));
    // As from an endpoint of HTTP/1.1 whose connection broke: the client has the first one already.
    assert_eq!((answer.status, answer.text().as_str(), answer.interim.len()), (200, "body", 2));
    assert_eq!(endpoint.requests(), 2);
}

#[test]
fn a_hint_of_tries_that_are_refused_reaches_the_client_once() {
    let endpoint = playing(&[link(103, "</same>"), hint(102), hint(102), Pause(20), Reset(Reason::REFUSED_STREAM)]);
    let answer = proxy(&endpoint).client().ask(get("/"));
    answer.assert_refused(502, "upstream_reset");
    assert_eq!((answer.interim, endpoint.requests()), (vec![103, 102, 102], 4));
}

#[test]
fn a_switch_of_protocols_is_no_answer_and_ends_its_stream_alone() {
    let endpoint = first_and_then(&[hint(101)], &[Answer]);
    let proxy = proxy(&endpoint);
    let answer = proxy.client().ask(get("/"));
    answer.assert_refused(502, "upstream_bad_answer");
    assert!(answer.interim.is_empty());
    eventually("the stream is reset", || !endpoint.resets().is_empty());
    assert_eq!(endpoint.resets(), [Reason::CANCEL]);
    proxy.await_metric("pointsman_upstream_failures_total", &["reason=\"bad_answer\""], 1.0);
    assert_eq!(proxy.client().ask(get("/")).status, 200);
    assert_eq!(endpoint.connections(), 1);
}

#[test]
fn a_hint_has_no_more_lines_than_an_answer_may_have() {
    let lines: Vec<_> = (0..20).map(|n| ("link", format!("</{n}>"))).collect();
    let endpoint = playing(&[Step::Hint(103, lines), Answer]);
    let narrow = setup(&endpoint).top("response_headers_max = 10");
    narrow.start().client().ask(get("/")).assert_refused(502, "response_headers_max");
    assert_eq!(setup(&endpoint).start().client().ask(get("/")).interim, [103]);
}

#[test]
fn what_hints_the_client_sees_are_of_the_version_that_answers() {
    let v1 = playing(&[link(103, "</v1>"), Answer]);
    for (end, wanted) in [(Status(503), "</v1>"), (Answer, "</v2>")] {
        let v2 = playing(&[link(103, "</v2>"), Pause(20), end]);
        let setup = Setup::endpoints(&[&[v1.address], &[v2.address]]).version("protocol = \"h2\"");
        let proxy = setup.service("shield = { stable = \"v1\" }").split(&[0, 100]).start();
        let mut client = Client::to(proxy.address);
        client.write(get("/"));
        assert_eq!(client.next_head().one("link"), Some(wanted));
        let answer = client.answer();
        assert_eq!((answer.status, answer.interim.len()), (200, 0));
    }
}

#[test]
fn a_hint_goes_through_tls_and_through_several_proxies() {
    let first = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    let origin =
        Origin::with(move |_| Reply::raw(first).pause(100).then("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    let ca = Ca::new("ca");
    let files = ca.issue("front", "front", &["127.0.0.1"]);
    let tls = format!("tls = {{ cert = \"{}\", key = \"{}\" }}", files.cert.display(), files.key.display());
    let inner = Setup::to(&[&origin]).listener(&tls).start();
    let lines = format!("protocol = \"h2\"\ntls = {{ ca = \"{}\" }}", ca.file().display());
    let outer = Setup::endpoints(&[&[inner.address]]).listener("h2c = true").version(&lines).start();
    let answer = outer.client().ask(get("/"));
    assert_eq!((answer.interim.as_slice(), answer.text().as_str()), (&[103][..], "ok"));
    let (hints, answer) = H2Client::to(outer.address).ask_for_hints(request("GET", "http://a/", &[]), None);
    assert_eq!((statuses(&hints), answer.status), (vec![103], 200));
    assert_eq!(hints[0].headers.get_all("via").iter().count(), 2, "{hints:?}");
}
