//! Interim answers (1xx) of endpoints: which of them reach the client, in which form, and when.

use crate::support::h2::{H2Client, request};
use crate::support::{Client, Origin, Proxy, Reply, Setup, Turnstile, client, get};

/// An early hint, and what belongs to its connection.
const HINT: &str =
    "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: X-Own\r\nX-Own: 1\r\nKeep-Alive: 5\r\n\r\n";

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An origin that gives the hint and answers only when its client has it.
fn early(heard: &Turnstile) -> Origin {
    let heard = heard.clone();
    Origin::with(move |_| Reply::raw(HINT).wait(&heard).then(OK))
}

#[test]
fn an_early_hint_is_early_and_clean() {
    let heard = Turnstile::shut();
    let origin = early(&heard);
    let proxy = Proxy::to(&[&origin]);
    let mut client = proxy.client();
    for _ in 0..2 {
        client.write(get("/"));
        let hint = client.next_head();
        heard.turn();
        assert!(hint.line.starts_with("HTTP/1.1 103 "), "{hint:?}");
        assert_eq!(hint.one("link"), Some("</a.css>; rel=preload"));
        let gone = ["connection", "x-own", "keep-alive", "date", "content-length", "transfer-encoding"];
        assert!(gone.iter().all(|name| hint.all(name).is_empty()), "{hint:?}");
        assert!(hint.one("via").is_some_and(|via| via.starts_with("1.1 pointsman")), "{hint:?}");
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str(), answer.interim.len()), (200, "ok", 0));
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn all_kinds_pass_in_their_order() {
    let many = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n\
                HTTP/1.1 199 Own\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n";
    let origin = Origin::with(move |_| Reply::raw(many).then(OK));
    let proxy = Proxy::to(&[&origin]);
    let answer = proxy.client().ask(get("/"));
    assert_eq!((answer.interim, answer.status), (vec![102, 103, 199, 103], 200));
    let answer = proxy.client().ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((answer.interim, answer.status), (vec![102, 103, 199, 103], 200));
}

#[test]
fn http_1_0_has_none() {
    let origin = Origin::with(|_| Reply::raw(HINT).then(OK));
    let proxy = Proxy::to(&[&origin]);
    let answer = client::send(proxy.address, "GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!((answer.status, answer.interim), (200, Vec::new()));
}

#[test]
fn a_client_is_told_to_go_on_once() {
    let origin = Origin::eager(|_| Reply::raw("HTTP/1.1 100 Continue\r\n\r\n".repeat(3)).pause(50).then(OK));
    let proxy = Proxy::to(&[&origin]);
    let mut client = proxy.client();
    client.write("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.next_status(), 100);
    let answer = client.ask("hello");
    assert_eq!((answer.status, answer.interim), (200, Vec::new()));
}

#[test]
fn a_flood_is_bounded_and_the_answer_comes() {
    let origin = Origin::with(|_| Reply::raw("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1_000)).then(OK));
    let proxy = Proxy::to(&[&origin]);
    let answer = proxy.client().ask(get("/"));
    assert_eq!((answer.status, answer.interim.len(), answer.text().as_str()), (200, 32, "ok"));
    let large = format!("HTTP/1.1 103 Early Hints\r\nLink: <{}>\r\n\r\n", "x".repeat(20_000));
    let origin = Origin::with(move |_| Reply::raw(large.repeat(10)).then(OK));
    let proxy = Proxy::to(&[&origin]);
    let answer = proxy.client().ask(get("/"));
    assert_eq!((answer.status, answer.interim.len()), (200, 3));
}

#[test]
fn hints_do_not_buy_time() {
    let origin = Origin::with(|_| {
        (0..100).fold(Reply::default(), |reply, _| reply.then("HTTP/1.1 102 Processing\r\n\r\n").pause(100)).then(OK)
    });
    let proxy = Setup::to(&[&origin]).service("response_timeout = \"3s\"").start();
    let answer = proxy.client().ask(get("/"));
    answer.assert_refused(504, "upstream_timeout");
    assert!(!answer.interim.is_empty());
}

#[test]
fn what_hints_the_client_sees_are_of_the_version_that_answers() {
    let v1 = Origin::with(|_| Reply::raw("HTTP/1.1 103 Early Hints\r\nLink: </v1>\r\n\r\n").then(OK));
    for (first, wanted) in [("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "</v1>"), (OK, "</v2>")] {
        let hint = "HTTP/1.1 103 Early Hints\r\nLink: </v2>\r\n\r\n";
        let v2 = Origin::with(move |_| Reply::raw(hint).pause(20).then(first));
        let proxy = Setup::to(&[&v1, &v2]).service("shield = { stable = \"v1\" }").split(&[0, 100]).start();
        let mut client = Client::to(proxy.address);
        client.write(get("/"));
        assert_eq!(client.next_head().one("link"), Some(wanted));
        let answer = client.answer();
        assert_eq!((answer.status, answer.interim.len()), (200, 0));
    }
}

fn over_http2(origin: &Origin) -> Proxy {
    Setup::to(&[origin]).listener("h2c = true").start()
}

#[test]
fn a_client_of_http2_gets_an_early_hint_early_and_clean() {
    let heard = Turnstile::shut();
    let origin = early(&heard);
    let proxy = over_http2(&origin);
    let mut client = H2Client::to(proxy.address);
    for _ in 0..2 {
        let (hints, answer) = client.ask_and_hear(request("GET", "http://a/", &[]), None, || heard.turn());
        assert_eq!((hints.len(), hints[0].status), (1, 103), "{hints:?}");
        assert_eq!(hints[0].headers["link"], "</a.css>; rel=preload");
        let gone = ["connection", "x-own", "keep-alive", "date", "content-length", "transfer-encoding"];
        assert!(gone.iter().all(|name| !hints[0].headers.contains_key(*name)), "{hints:?}");
        assert_eq!(hints[0].headers["via"], "1.1 pointsman");
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn all_kinds_but_unasked_100_pass_to_a_client_of_http2_in_their_order() {
    let many = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n\
                HTTP/1.1 199 Own\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n";
    let origin = Origin::with(move |_| Reply::raw(many).then(OK));
    let proxy = over_http2(&origin);
    let mut client = H2Client::to(proxy.address);
    for method in ["GET", "HEAD"] {
        let (hints, answer) = client.ask_for_hints(request(method, "http://a/", &[]), None);
        assert_eq!(hints.iter().map(|hint| hint.status).collect::<Vec<_>>(), [102, 103, 199, 103]);
        assert_eq!(answer.status, 200);
    }
    let origin = Origin::with(|_| Reply::raw("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1_000)).then(OK));
    let (hints, answer) =
        H2Client::to(over_http2(&origin).address).ask_for_hints(request("GET", "http://a/", &[]), None);
    assert_eq!((hints.len(), answer.text().as_str()), (32, "ok"), "a flood is bounded");
}

#[test]
fn a_client_of_http2_that_waits_with_its_body_is_told_to_go_on_once() {
    let origin = Origin::with(|seen| Reply::ok(seen.text()));
    let proxy = over_http2(&origin);
    let mut client = H2Client::to(proxy.address);
    let asked = request("POST", "http://a/", &[("expect", "100-continue"), ("content-length", "5")]);
    let (hints, answer) = client.ask_for_hints(asked, Some(b"hello"));
    assert_eq!(hints.iter().map(|hint| hint.status).collect::<Vec<_>>(), [100]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert!(origin.only().head.all("expect").is_empty());
    // Who is refused is not told to send it.
    let asked = request("TRACE", "http://a/", &[("expect", "100-continue"), ("content-length", "5")]);
    let (hints, answer) = client.ask_for_hints(asked, Some(b"hello"));
    assert_eq!((hints.len(), answer.status), (0, 405));
}
