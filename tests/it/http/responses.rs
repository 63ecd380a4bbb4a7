//! The framing of answers, rules 6 and 7: what an origin may not send, what never crosses from one answer to another
//! request, and what breaks off breaks off.

use super::framing::chunked;
use crate::support::{Client, End, Origin, Proxy, Reply, Setup, eventually, get, post};

#[test]
fn an_answer_with_contradicting_framing_is_a_502_and_its_connection_is_not_used_again() {
    let heads = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: gzip\r\n\r\nhello",
        "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: ,chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "Content-Length: 5, 6\r\n\r\nhello!",
        "Content-Length: +5\r\n\r\nhello",
        "Content-Length: -1\r\n\r\nhello",
        "Content-Length: five\r\n\r\nhello",
        "Content-Length: 99999999999999999999999\r\n\r\nhello",
    ];
    for head in heads {
        bad_answer(&format!("HTTP/1.1 200 OK\r\n{head}"));
    }
}

#[test]
fn equal_lengths_in_an_answer_become_one() {
    let origin = Origin::with(|_| Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"));
    let proxy = Proxy::to(&[&origin]);
    let answer = proxy.client().ask(get("/"));
    // The client of the harness takes an answer with two lengths for malformed.
    assert!(answer.status == 502 || answer.text() == "ok", "{answer:?}");
}

#[test]
fn an_answer_that_is_no_http_is_a_502_and_its_connection_is_not_used_again() {
    let answers = [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "garbage\r\n\r\n",
        "\0\0\0\0\0\0\0\0",
        "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nBad Name: 1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nno-colon\r\nContent-Length: 2\r\n\r\nok",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ];
    for answer in answers {
        bad_answer(answer);
    }
}

/// The first answer of the origin is `bytes`; the second one is good and must come on another connection.
#[track_caller]
fn bad_answer(bytes: &str) {
    let origin = Origin::playing(vec![Reply::raw(bytes), Reply::ok("fine")]);
    let proxy = Proxy::to(&[&origin]);
    let mut client = proxy.client();
    let answer = client.ask(get("/"));
    assert_eq!(answer.status, 502, "{bytes:?}: {answer:?}");
    assert!(answer.text().contains("upstream_bad_answer"), "{bytes:?}: {answer:?}");
    let failures = proxy.metric("pointsman_upstream_failures_total", &["version=\"v1\"", "reason=\"bad_answer\""]);
    assert!((failures - 1.0).abs() < 1e-9, "{bytes:?}: {failures} failures counted");
    assert_eq!(Client::to(proxy.address).ask(get("/")).text(), "fine", "{bytes:?}");
    assert_eq!(origin.last().connection, 1, "{bytes:?}: the connection was used again");
}

#[test]
fn a_204_304_or_head_answer_ends_with_its_head() {
    let plain = "Content-Length: 31\r\n\r\n";
    for (method, status) in [("HEAD", "200 OK"), ("GET", "304 Not Modified"), ("HEAD", "404 Not Found")] {
        let answer = format!("HTTP/1.1 {status}\r\n{plain}");
        let origin = Origin::with(move |_| Reply::raw(&answer));
        let proxy = Proxy::to(&[&origin]);
        let mut client = proxy.client();
        for _ in 0..2 {
            let answer = client.ask(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
            // A 304 may tell the length of what it does not send; the answer to HEAD has to.
            let length = answer.header("content-length");
            assert!(length == Some("31") || (method == "GET" && length.is_none()), "{method} {status}: {answer:?}");
        }
        assert_eq!(origin.connections(), 1, "{method} {status}");
    }
}

#[test]
fn bytes_behind_an_answer_never_reach_another_request() {
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 304 Not Modified\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ];
    for head in answers {
        let origin = Origin::playing(vec![Reply::raw(format!("{head}{poison}")), Reply::ok("fine")]);
        let proxy = Proxy::to(&[&origin]);
        let mut client = proxy.client();
        client.ask(get("/"));
        eventually("the connection is given up", || origin.open() == 0);
        let answers: Vec<_> = (0..3).map(|_| client.ask(get("/")).text()).collect();
        assert_eq!(answers, ["fine"; 3], "{head:?}");
        assert_ne!(origin.last().connection, 0, "{head:?}: the connection was used again");
    }
}

#[test]
fn bytes_behind_an_answer_never_reach_a_request_that_waits_already() {
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    let cases = [
        (get("/first"), format!("{head}ok{poison}")),
        (get("/first").replace("GET", "HEAD"), format!("{head}{poison}")),
        (post("/first", "body"), format!("HTTP/1.1 204 No Content\r\n\r\n{poison}")),
    ];
    for (first, answer) in cases {
        let told = format!("{first:?} -> {answer:?}");
        let origin = Origin::with(move |seen| match seen.target() {
            "/first" => Reply::raw(&answer),
            _ => Reply::ok("fine"),
        });
        let proxy = Setup::to(&[&origin]).top("[proxy]\nworkers = 1").start();
        for round in 0..20 {
            // Both at once: the second request takes the connection as soon as it is free.
            let mut client = proxy.client();
            client.write([first.as_str(), &get("/second")].concat());
            client.read(first.starts_with("HEAD")).unwrap();
            let second = client.answer();
            assert_eq!((second.status, second.text().as_str()), (200, "fine"), "round {round} of {told}");
        }
    }
}

#[test]
fn a_body_behind_the_answer_to_head_never_reaches_another_request() {
    let origin =
        Origin::playing(vec![Reply::ok("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"), Reply::ok("fine")]);
    let proxy = Proxy::to(&[&origin]);
    let mut client = proxy.client();
    client.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the connection is given up", || origin.open() == 0);
    assert_eq!(client.ask(get("/")).text(), "fine");
}

#[test]
fn a_body_that_breaks_off_upstream_breaks_off_downstream() {
    let broken = [
        Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").close(),
        Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").pause(20).reset(),
        Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").close(),
        Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").pause(20).reset(),
        Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n").close(),
        Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzzz\r\n"),
        Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloo\r\n0\r\n\r\n"),
        Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n"),
    ];
    for reply in broken {
        let told = format!("{reply:?}");
        let origin = Origin::playing(vec![reply, Reply::ok("fine")]);
        let proxy = Proxy::to(&[&origin]);
        let mut client = proxy.client();
        match client.write(get("/")).read(false) {
            Ok(answer) if answer.status == 200 => {
                assert!(matches!(answer.body.broken, Some(End::Clean | End::Reset)), "{told}: {answer:?}");
            }
            // The head has come, and what came before the break is passed on.
            answer => panic!("{told}: {answer:?}"),
        }
        let blame = ["version=\"v1\"", "reason=\"short_body\""];
        proxy.await_metric("pointsman_upstream_failures_total", &blame, 1.0);
        assert_eq!(proxy.client().ask(get("/")).text(), "fine", "{told}");
        assert_eq!(origin.last().connection, 1, "{told}: the connection was used again");
    }
}

#[test]
fn an_answer_that_ends_with_its_connection_is_forwarded_whole() {
    let origin = Origin::with(|_| Reply::raw("HTTP/1.1 200 OK\r\n\r\nhello").close());
    let proxy = Proxy::to(&[&origin]);
    let mut client = proxy.client();
    for _ in 0..2 {
        let answer = client.ask(get("/"));
        assert_eq!((answer.text().as_str(), answer.is_whole()), ("hello", true));
        assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    }
    // Nor does a client of HTTP/1.0 get chunks.
    let old = proxy.client().ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!((old.text().as_str(), old.header("transfer-encoding")), ("hello", None));
}

#[test]
fn a_client_of_http_1_0_gets_no_chunks() {
    let origin = Origin::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3\r\nay!\r\n0\r\n\r\n");
    let proxy = Proxy::to(&[&origin]);
    for line in ["", "Connection: keep-alive\r\n"] {
        let answer = proxy.client().ask(format!("GET / HTTP/1.0\r\nHost: a\r\n{line}\r\n"));
        assert_eq!((answer.text().as_str(), answer.header("transfer-encoding")), ("okay!", None));
        assert!(answer.is_whole());
    }
}

#[test]
fn an_answer_that_breaks_looks_broken_to_a_client_of_http_1_0() {
    // The end of the connection is all that such a client has of the end of a body.
    for close in [Reply::close, Reply::reset] {
        let origin = Origin::with(move |_| {
            let begun = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n";
            close(Reply::raw(begun).pause(100))
        });
        let proxy = Proxy::to(&[&origin]);
        let answer = proxy.client().ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
        assert_eq!((answer.status, answer.body.broken), (200, Some(End::Reset)));
    }
}

#[test]
fn a_switch_of_protocols_that_nobody_asked_for_is_not_passed_on() {
    let switched = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nraw bytes";
    let origin = Origin::playing(vec![Reply::raw(switched), Reply::ok("fine")]);
    let proxy = Proxy::to(&[&origin]);
    let mut client = proxy.client();
    // Asked for is another thing: that is a tunnel.
    client.ask(get("/")).assert_refused(502, "upstream_bad_answer");
    assert_eq!(client.ask(get("/")).text(), "fine");
    assert_eq!(origin.last().connection, 1);
}

#[test]
fn an_old_origin_is_understood() {
    let origin = Origin::playing(vec![
        Reply::raw("HTTP/1.0 200 OK\r\n\r\nhello").close(),
        Reply::raw("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello").close(),
        Reply::raw("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello"),
    ]);
    let proxy = Proxy::to(&[&origin]);
    let mut client = proxy.client();
    for _ in 0..4 {
        let answer = client.ask(get("/"));
        assert_eq!((answer.status, answer.text().as_str(), answer.is_whole()), (200, "hello", true));
    }
}

#[test]
fn a_body_of_any_framing_reaches_an_origin_that_speaks_http_1_0() {
    // Its first answer tells the proxy's client side what it is; chunks on that connection would be no body to it.
    let origin = Origin::with(|seen| {
        let head = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n";
        Reply::raw(format!("{head}Content-Length: {}\r\n\r\n{}", seen.body.bytes.len(), seen.text()))
    });
    let proxy = Proxy::to(&[&origin]);
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(client.ask(post("/", "length")).text(), "length");
        assert_eq!(client.ask(chunked("6\r\nchunks\r\n0\r\n\r\n")).text(), "chunks");
    }
}

#[test]
fn interim_answers_do_not_disturb_the_final_one() {
    let origin = Origin::with(|_| {
        Reply::raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
            .pause(5)
            .then("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    let proxy = Proxy::to(&[&origin]);
    let mut client = proxy.client();
    for _ in 0..2 {
        assert_eq!(client.ask(get("/")).text(), "ok");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn heads_have_their_limits_and_the_answer_says_which() {
    let lines =
        |count: usize| format!("HTTP/1.1 200 OK\r\n{}Content-Length: 2\r\n\r\nok", "x: y\r\n".repeat(count - 1));
    let bytes = |count: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx: {}\r\n\r\nok", "y".repeat(count));
    let raised = "[proxy]\nresponse_headers_max = 200\nresponse_head_bytes_max = \"128KiB\"";
    for (head, key) in [(lines(101), "proxy.response_headers_max"), (bytes(65_536), "proxy.response_head_bytes_max")] {
        let origin = Origin::with(move |_| Reply::raw(&head));
        let answer = Proxy::to(&[&origin]).client().ask(get("/"));
        answer.assert_refused(502, "upstream_bad_answer");
        assert!(answer.text().contains(key), "{answer:?}");
        assert_eq!(Setup::to(&[&origin]).top(raised).start().client().ask(get("/")).text(), "ok", "{key}");
    }
    let origin = Origin::with(move |_| Reply::raw(lines(100)));
    assert_eq!(Proxy::to(&[&origin]).client().ask(get("/")).text(), "ok");
}
