//! HTTP/2 on either side, with the rules where it goes round those of HTTP/1: 2, 8, 9, 13, 17 and 22.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::support::client::send;
use crate::support::h2::{H2Client, H2Origin, request};
use crate::support::proxy::IDLE_TIMEOUT_SHORT;
use crate::support::{End, Origin, Proxy, Reply, Setup, eventually, get, post};

const H2C: &str = "h2c = true";

fn proxy(origin: &Origin) -> Proxy {
    Setup::to(&[origin]).listener(H2C).start()
}

fn to_h2(origin: &H2Origin) -> Proxy {
    Setup::endpoints(&[&[origin.address()]]).listener(H2C).version("protocol = \"h2\"").start()
}

fn trailers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

#[test]
fn a_request_arrives_at_an_http1_origin_as_it_was_meant() {
    let origin = Origin::saying("hello");
    let proxy = proxy(&origin);
    let mut client = H2Client::to(proxy.address);
    let headers = [("cookie", "a=1"), ("cookie", "b=2"), ("x-kept", "1"), ("x-forwarded-for", "6.6.6.6")];
    let answer = client.ask(request("GET", "http://shop.example/a/b?c=d", &headers));
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(answer.headers["via"], "1.1 pointsman");
    assert!(!answer.headers.contains_key("connection"), "{answer:?}");
    let answer = client.try_ask(request("POST", "http://shop.example/p", &[]), &[b"one ", b"two"], None).unwrap();
    assert_eq!(answer.status, 200);
    let length = [("content-length", "3")];
    let answer = client.try_ask(request("PUT", "http://shop.example/q", &length), &[b"abc"], None).unwrap();
    assert_eq!(answer.status, 200);
    let (seen, crimes) = origin.forget();
    assert!(crimes.is_empty(), "{crimes:?}");
    assert_eq!(seen[0].line(), "GET /a/b?c=d HTTP/1.1");
    assert_eq!(seen[0].head.all("host"), ["shop.example"]);
    assert_eq!(seen[0].head.all("cookie"), ["a=1; b=2"]);
    assert_eq!(seen[0].head.all("x-forwarded-for"), ["127.0.0.1"]);
    assert!(seen[0].head.one("via").is_some_and(|via| via.starts_with("2.0 pointsman (")), "{seen:?}");
    assert_eq!((seen[1].text().as_str(), seen[1].head.all("transfer-encoding")), ("one two", vec!["chunked"]));
    assert_eq!((seen[2].text().as_str(), seen[2].head.all("content-length")), ("abc", vec!["3"]));
}

#[test]
fn a_rule_about_the_host_holds_wherever_the_host_stands() {
    let (other, named) = (Origin::saying("other"), Origin::saying("named"));
    let rule = "[[services.site.rules]]\nname = \"it\"\nwhen = { header = { host = \"a.example\" } }\nuse = \"v2\"";
    let proxy = Setup::to(&[&other, &named]).listener(H2C).bottom(rule).start();
    let mut client = H2Client::to(proxy.address);
    assert_eq!(client.ask(request("GET", "http://a.example/", &[])).text(), "named");
    assert_eq!(client.ask(request("GET", "http://b.example/", &[])).text(), "other");
    for (head, said) in [
        ("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "named"),
        ("GET http://a.example/ HTTP/1.0\r\n\r\n", "named"),
        ("GET http://b.example/ HTTP/1.0\r\n\r\n", "other"),
        ("GET / HTTP/1.0\r\n\r\n", "other"),
    ] {
        assert_eq!(send(proxy.address, head).text(), said, "{head:?}");
    }
}

#[test]
fn heads_that_break_a_rule_are_refused_alone() {
    let origin = Origin::saying("ok");
    let proxy = proxy(&origin);
    let mut client = H2Client::to(proxy.address);
    let big = "b".repeat(33_000);
    let many: Vec<_> = (0..120).map(|n| (format!("x-{n}"), "1")).collect();
    let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let long = format!("http://a/{}", "t".repeat(9_000));
    for (method, uri, headers, status, word) in [
        ("TRACE", "http://a/", &[][..], 405, "method_not_allowed"),
        ("GET", "http://a/", &[("host", "b")], 400, "bad_host"),
        ("GET", "http://a/", &[("host", "a"), ("host", "a")], 400, "bad_host"),
        ("GET", "http://user@a/", &[], 400, "bad_host"),
        ("GET", "http://a/", &[("content-length", "0"), ("content-length", "0")], 400, "bad_framing"),
        ("GET", "http://a/", &[("x-big", &big)], 431, "head_too_large"),
        ("GET", "http://a/", &many, 431, "head_too_large"),
        ("GET", &long, &[], 414, "target_too_long"),
    ] {
        let answer = client.ask(request(method, uri, headers));
        answer.assert_refused(status, word);
        assert!(!answer.headers.contains_key("connection"));
    }
    assert!(origin.seen().is_empty());
    assert_eq!(client.ask(request("GET", "http://a/", &[("host", "a")])).status, 200, "the others go on");
    proxy.await_metric("pointsman_refusals_total", &["reason=\"head_too_large\""], 2.0);
}

#[test]
fn a_call_of_grpc_that_ends_in_its_head_has_no_length() {
    let origin = H2Origin::saying("");
    let proxy = Setup::endpoints(&[&[origin.address()]]).listener("h2c = true").version("protocol = \"h2\"").start();
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let request = request("POST", "http://a/trailers-only", &headers);
    let answer = H2Client::to(proxy.address).try_ask(request, &[b"x"], None).unwrap();
    assert_eq!((answer.status, answer.headers["grpc-status"].as_bytes()), (200, &b"5"[..]));
    assert_eq!((answer.headers.get("content-length"), answer.trailers), (None, None));
}

#[test]
fn a_call_of_grpc_goes_through_whole_and_fails_in_its_own_words() {
    let origin = H2Origin::saying("answer");
    let proxy = to_h2(&origin);
    let mut client = H2Client::to(proxy.address);
    let call = || {
        let headers = [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "1S")];
        request("POST", "http://shop.example/shop.Cart/Add", &headers)
    };
    let end = trailers(&[("x-sum", "7"), ("host", "evil"), ("content-length", "9")]);
    let answer = client.try_ask(call(), &[b"message"], Some(end)).unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "answer"));
    assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
    assert_eq!(answer.headers["via"], "2.0 pointsman");
    let seen = origin.seen().remove(0);
    assert_eq!((seen.method.as_str(), seen.uri.as_str()), ("POST", "http://shop.example/shop.Cart/Add"));
    assert_eq!(
        (&seen.headers["te"], &seen.headers["grpc-timeout"]),
        (&"trailers".parse().unwrap(), &"1S".parse().unwrap())
    );
    assert_eq!(seen.body, b"message");
    assert_eq!(seen.trailers.unwrap(), trailers(&[("x-sum", "7")]), "rule 8");
    drop(origin);
    let answer = client.try_ask(call(), &[b"message"], None).unwrap();
    assert_eq!((answer.status, answer.headers["content-type"].as_bytes()), (200, &b"application/grpc"[..]));
    assert_eq!(answer.headers["grpc-status"], "14", "{answer:?}");
}

#[test]
fn an_http1_client_and_an_http2_origin_understand_each_other() {
    let origin = H2Origin::saying("answer");
    let proxy = to_h2(&origin);
    let mut client = proxy.client();
    let answer = client.ask(get("/a?b"));
    assert_eq!((answer.status, answer.text().as_str()), (200, "answer"));
    let answer = client.ask(post("/p", "body"));
    assert_eq!((answer.status, answer.text().as_str()), (200, "answer"));
    let seen = origin.seen();
    assert_eq!(seen[0].uri, "http://a/a?b");
    assert_eq!((seen[1].method.as_str(), &seen[1].body[..]), ("POST", &b"body"[..]));
    assert!(!seen[1].headers.contains_key("host") && !seen[1].headers.contains_key("connection"), "{seen:?}");
    proxy.await_metric("pointsman_connections", &["side=\"upstream\""], 1.0);
}

#[test]
fn an_answer_without_a_body_is_whole_when_its_stream_ends_later() {
    let origin = H2Origin::saying("answer");
    let proxy = to_h2(&origin);
    let mut client = proxy.client();
    for _ in 0..10 {
        client.write("HEAD /late-end HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.read(true).unwrap().status, 200);
    }
    proxy.await_metric("pointsman_requests_total", &["code=\"2xx\""], 10.0);
    assert!(proxy.metric("pointsman_refusals_total", &["reason=\"client_gone\""]) < 0.5);
    eventually("all streams have ended", || origin.ended() == 10);
    assert_eq!(origin.resets(), 0);
}

#[test]
fn a_client_that_takes_everything_back_is_sent_away_and_others_are_not() {
    let origin = Origin::with(|_| Reply::raw("").hang());
    let proxy = proxy(&origin);
    let mut flood = H2Client::to(proxy.address);
    let mut sent = 0;
    while sent < 500 && flood.take_back(request("GET", "http://a/flood", &[])).is_ok() {
        sent += 1;
    }
    // The codec has a bound of its own, on streams that are gone before we have looked at them; which one is hit is
    // chance.
    assert!((20..300).contains(&sent), "{sent}");
    flood.end().ok();
    proxy.await_metric("pointsman_refusals_total", &["reason=\"flood\""], 1.0);
    let mut other = H2Client::to(proxy.address);
    other.ask(request("TRACE", "http://a/", &[])).assert_refused(405, "method_not_allowed");
}

/// A body that breaks ends the steps of its request before anything looks at the stream.
#[test]
fn a_client_that_takes_its_uploads_back_is_sent_away_too() {
    let origin = Origin::with(|_| Reply::raw("").hang());
    let proxy = proxy(&origin);
    let mut flood = H2Client::to(proxy.address);
    let mut sent = 0;
    while sent < 250 && flood.take_upload_back(request("POST", "http://a/flood", &[]), b"0123456789").is_ok() {
        sent += 1;
    }
    assert!((20..250).contains(&sent), "{sent}");
    flood.end().ok();
    proxy.await_metric("pointsman_refusals_total", &["reason=\"flood\""], 1.0);
}

#[test]
fn a_stream_that_is_given_no_window_is_reset_and_the_connection_lives() {
    let origin = Origin::with(|_| Reply::ok(vec![b'x'; 2_000_000]));
    let proxy = Setup::to(&[&origin]).listener(H2C).listener(IDLE_TIMEOUT_SHORT).start();
    let mut client = H2Client::with_window(proxy.address, 10_000);
    let error = client.ask_and_not_read(request("GET", "http://a/big", &[])).unwrap_err();
    assert!(error.is_reset(), "{error}");
    client.ask(request("TRACE", "http://a/", &[])).assert_refused(405, "method_not_allowed");
    eventually("nothing is in flight", || proxy.metric("pointsman_endpoint_in_flight", &[]) < 0.5);
}

#[test]
fn a_connection_without_streams_is_told_to_go() {
    let origin = Origin::saying("ok");
    let proxy = Setup::to(&[&origin]).listener(H2C).listener(IDLE_TIMEOUT_SHORT).start();
    let mut client = H2Client::to(proxy.address);
    assert_eq!(client.ask(request("GET", "http://a/", &[])).status, 200);
    client.end().unwrap();
    eventually("nobody is connected", || proxy.metric("pointsman_connections", &["side=\"client\""]) < 0.5);
}

#[test]
fn half_a_preface_is_given_up() {
    let origin = Origin::saying("ok");
    let proxy = Setup::to(&[&origin]).listener(H2C).listener(IDLE_TIMEOUT_SHORT).start();
    let mut client = proxy.client();
    client.write("PRI * HTTP/2.0\r\n").answer().assert_refused(408, "head_timeout");
    assert_eq!(proxy.client().write(get("/")).answer().status, 200, "HTTP/1.1 is spoken as well");
}

#[test]
fn what_is_neither_protocol_is_told_to_go_away_in_frames() {
    let origin = Origin::saying("ok");
    let proxy = Setup::to(&[&origin]).listener("h2c = true").start();
    // Settings, and GOAWAY with PROTOCOL_ERROR before any stream.
    let goaway = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01";
    for preface in ["INVALID CONNECTION PREFACE\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "\r\nGET /\r\n"] {
        let mut client = proxy.client();
        client.write(preface).finish();
        let (end, came) = client.end();
        assert_eq!((end, came.as_slice()), (End::Clean, &goaway[..]), "{preface:?}");
    }
    for http1 in ["GET / HTTP/3.0\r\nHost: a\r\n\r\n", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"] {
        assert_eq!(send(proxy.address, http1).status, 400, "{http1:?}");
    }
    assert_eq!(send(proxy.address, get("/")).status, 200);
    assert_eq!(send(Proxy::to(&[&origin]).address, "INVALID CONNECTION PREFACE\r\n\r\n").status, 400);
}
