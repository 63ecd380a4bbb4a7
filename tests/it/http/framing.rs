//! Rules 1 to 8 on the side of the client: where a request ends. Request smuggling lives here.

use crate::support::{After, Case, End, Origin, Proxy, Reply, Table, apart, eventually, get, post};

const REFUSED: &[u16] = &[400, 501];

/// A `POST` with these header lines and this body.
fn framed(lines: &[&str], body: &str) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("POST /framed HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}")
}

pub(crate) fn chunked(body: &str) -> String {
    framed(&["Transfer-Encoding: chunked"], body)
}

#[test]
fn a_length_is_derived_and_never_copied() {
    let length = |value: &str| framed(&[&format!("Content-Length: {value}")], "hello");
    Table::new().run([
        Case::forwarded(1, length("5")).sees("content-length: 5").sees("|hello").then(After::Kept),
        Case::forwarded(1, length("0005")).sees("content-length: 5").sees("|hello").then(After::Kept),
        Case::forwarded(1, length("\t5  ")).sees("content-length: 5").sees("|hello"),
        Case::forwarded(1, framed(&["Content-Length: 0"], "")).sees("content-length: 0").sees("|"),
        Case::forwarded(1, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").sees("|").then(After::Kept),
        Case::forwarded(1, "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").sees("|"),
        Case::forwarded(1, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
            .sees("|hello")
            .then(After::Kept),
    ]);
}

#[test]
fn a_length_that_is_no_single_number_is_refused() {
    let length = |value: &str| framed(&[&format!("Content-Length: {value}")], "hello");
    let odd = [
        "+5",
        "-5",
        "5,5",
        "5, 5",
        "5,6",
        "0x5",
        "5 5",
        "5;",
        "",
        "5.0",
        "1e0",
        "٥",
        "99999999999999999999999",
        "5\u{b}",
    ];
    let twice = [
        framed(&["Content-Length: 5", "Content-Length: 6"], "hello!"),
        framed(&["Content-Length: 6", "Content-Length: 5"], "hello!"),
        framed(&["Content-Length: 5", "Content-Length: 5"], "hello"),
        framed(&["Content-Length: 5", "X-Between: 1", "content-length: 05"], "hello"),
        framed(&["Content-Length: 5", "Content-Length: "], "hello"),
    ];
    let all = odd.iter().map(|value| length(value)).chain(twice);
    Table::new().run(all.map(|bytes| Case::refused(1, bytes, &[400], "").then(After::Closed)));
}

#[test]
fn a_transfer_coding_is_chunked_once_or_refused() {
    let body = "5\r\nhello\r\n0\r\n\r\n";
    let coded = |value: &str| framed(&[&format!("Transfer-Encoding: {value}")], body);
    let values = [
        "chunked, chunked",
        ",chunked",
        "chunked,",
        "identity",
        "gzip, chunked",
        "chunked, gzip",
        "gzip",
        "chunked;q=1",
        "\"chunked\"",
        "xchunked",
        "chunkedx",
        "",
        "chunked identity",
        "chunked\u{b}",
    ];
    let lines = [
        framed(&["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], body),
        framed(&["Transfer-Encoding: identity", "Transfer-Encoding: chunked"], body),
        framed(&["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], body),
        framed(&["Transfer-Encoding: chunked", "transfer-encoding: "], body),
        framed(&["Transfer-Encoding : chunked"], body),
        framed(&["Transfer-Encoding:", " chunked"], body),
        framed(&["X: y", " Transfer-Encoding: chunked"], body),
        format!("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}"),
        format!("POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n{body}"),
        format!("GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n{body}"),
    ];
    let refused = values.iter().map(|value| coded(value)).chain(lines);
    let refused = refused.map(|bytes| Case::refused(3, bytes, REFUSED, "").then(After::Closed));
    let good = ["chunked", "Chunked", "CHUNKED", " \tchunked\t "];
    let good =
        good.iter().map(|value| Case::forwarded(3, coded(value)).sees("transfer-encoding: chunked").sees("|hello"));
    Table::new().run(refused.chain(good));
}

#[test]
fn refused_framing_says_why() {
    let body = "5\r\nhello\r\n0\r\n\r\n";
    Table::new().run([
        Case::refused(3, framed(&["Transfer-Encoding: gzip, chunked"], body), &[501], "unknown_transfer_coding"),
        Case::refused(3, framed(&["Transfer-Encoding: gzip"], body), &[501], "unknown_transfer_coding"),
        Case::refused(4, framed(&["Content-Length: +5"], "hello"), &[400], "bad_framing"),
        Case::refused(4, framed(&["Content-Length: 5", "Content-Length: 6"], "hello!"), &[400], "bad_framing"),
        Case::refused(4, framed(&["Content-Length: 5", "Transfer-Encoding: chunked"], body), &[400], "bad_framing"),
    ]);
}

#[test]
fn a_length_together_with_a_coding_is_refused_and_the_connection_closed() {
    let body = "5\r\nhello\r\n0\r\n\r\n";
    let smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let both = [
        framed(&["Content-Length: 5", "Transfer-Encoding: chunked"], body),
        framed(&["Transfer-Encoding: chunked", "Content-Length: 5"], body),
        framed(&["Content-Length: 0", "Transfer-Encoding: chunked"], body),
        framed(&["Transfer-Encoding: chunked", "Content-Length: 45"], smuggled),
        framed(&["Content-Length: 45", "Transfer-Encoding: chunked"], smuggled),
        framed(&["Content-Length: 5", "Transfer-Encoding: identity"], "hello"),
        framed(&["Transfer-Encoding: xchunked", "Content-Length: 5"], "hello"),
        format!("GET / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n{body}"),
        format!("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n{body}"),
    ];
    Table::new().run(both.map(|bytes| Case::refused(4, bytes, REFUSED, "").then(After::Closed)));
}

#[test]
fn a_method_that_is_not_allowed_does_not_excuse_bad_framing() {
    let both = "Host: a:1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    Table::new().run([
        Case::refused(4, format!("TRACE / HTTP/1.1\r\n{both}"), &[400, 405], "").then(After::Closed),
        Case::refused(4, format!("CONNECT a:1 HTTP/1.1\r\n{both}"), &[400, 405], "").then(After::Closed),
    ]);
}

/// Framing headers are found however the bytes are cut into packets and however much white space pads a value.
#[test]
fn padding_and_packets_do_not_hide_framing_headers() {
    let both = "POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
                5\r\nhello\r\n0\r\n\r\n";
    let decoy = "GET /decoy HTTP/1.1\r\nHost: a\r\n\r\n";
    let pad = " ".repeat(100);
    let (length, chunk) = (decoy.len(), format!("{:x}\r\n{decoy}\r\n0\r\n\r\n", decoy.len()));
    let firsts = [
        (format!("Content-Le|ngth:{pad}{length}"), decoy.to_owned()),
        (format!("Content-Length: |{pad}{length}"), decoy.to_owned()),
        (format!("Content-Length: {length}{pad}|"), decoy.to_owned()),
        (format!("Content-Length:{pad}{length}"), decoy.to_owned()),
        (format!("Transfer-Enc|oding:{pad}chunked"), chunk.clone()),
        (format!("Transfer-Encoding:{pad}|chunked"), chunk.clone()),
        (format!("Transfer-Encoding: chunked|{pad}"), chunk.clone()),
        (format!("X-{}|\r\nTransfer-Encoding: chunked", "x".repeat(100)), chunk.clone()),
    ];
    for (line, body) in firsts {
        let origin = Origin::saying("ok");
        let proxy = Proxy::to(&[&origin]);
        let mut client = proxy.client();
        let request = format!("POST /first HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n{body}{both}");
        for part in request.split('|') {
            client.write(part);
            apart();
        }
        let first = client.answer();
        if first.status == 200 {
            let second = client.answer();
            assert_eq!(second.status, 400, "{line:?}: length and coding together were let through: {second:?}");
            assert_eq!(origin.only().target(), "/first", "{line:?}");
        } else {
            assert_eq!((first.status, origin.seen().len()), (400, 0), "{line:?}");
        }
        assert_ne!(client.end().0, End::Silent, "{line:?}");
    }
}

#[test]
fn a_chunked_body_stays_chunked_and_an_empty_post_has_length_zero() {
    let body = "5\r\nhello\r\n0\r\n\r\n";
    let mut cases = Vec::new();
    for method in ["GET", "DELETE", "OPTIONS", "POST", "PUT", "PATCH", "PROPFIND"] {
        let chunked = format!("{method} /m HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let line = format!("{method} /m HTTP/1.1");
        cases.push(Case::forwarded(5, chunked).sees("transfer-encoding: chunked").sees("|hello").sees(&line));
    }
    for method in ["POST", "PUT", "PATCH"] {
        let bare = format!("{method} /m HTTP/1.1\r\nHost: a\r\n\r\n");
        cases.push(Case::forwarded(5, bare).sees("content-length: 0").lacks("transfer-encoding").then(After::Kept));
    }
    for method in ["GET", "DELETE", "OPTIONS", "HEAD"] {
        let bare = format!("{method} /m HTTP/1.1\r\nHost: a\r\n\r\n");
        cases.push(Case::forwarded(5, bare).lacks("transfer-encoding").sees("|").then(After::Kept));
    }
    cases.push(Case::forwarded(5, chunked("0\r\n\r\n")).sees("|").then(After::Kept));
    cases.push(Case::forwarded(5, "GET / HTTP/1.0\r\nHost: a\r\n\r\n").sees("GET / HTTP/1.1").then(After::Closed));
    Table::new().run(cases);
}

#[test]
fn chunk_extensions_and_odd_but_legal_sizes_do_not_reach_the_origin() {
    Table::new().run([
        Case::forwarded(7, chunked("5;a=b\r\nhello\r\n0;last\r\n\r\n")).sees("|hello").then(After::Kept),
        Case::forwarded(7, chunked("5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n")).sees("|hello"),
        Case::forwarded(7, chunked("0005\r\nhello\r\n00\r\n\r\n")).sees("|hello").then(After::Kept),
        Case::forwarded(7, chunked("A\r\n0123456789\r\n1\r\n!\r\n0\r\n\r\n")).sees("|0123456789!"),
        Case::forwarded(7, chunked("a\r\n0123456789\r\n0\r\n\r\n")).sees("|0123456789"),
    ]);
}

#[test]
fn malformed_chunks_are_answered_with_400_and_never_end_upstream() {
    let broken = [
        "z\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\r\nG\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        ";ext\r\nhello\r\n0\r\n\r\n",
    ];
    for body in broken {
        let origin = Origin::saying("ok");
        let proxy = Proxy::to(&[&origin]);
        let mut client = proxy.client();
        let answer = client.write(chunked(body)).answer();
        assert!(answer.status == 400, "{body:?}: want 400, got {answer:?}");
        assert!(answer.text().contains("bad_body"), "{body:?}: want bad_body, got {answer:?}");
        assert_eq!(client.end(), (End::Clean, Vec::new()), "{body:?}");
        eventually("the upstream connection is gone", || origin.open() == 0);
        assert!(origin.seen().iter().all(|seen| !seen.whole), "{body:?}: {:?}", origin.seen());
        proxy.await_metric("pointsman_refusals_total", &["reason=\"bad_body\""], 1.0);
        assert!(proxy.metric("pointsman_upstream_failures_total", &[]) < 1.0, "{body:?} was blamed on the upstream");
    }
}

#[test]
fn chunk_extensions_and_trailers_have_limits() {
    let long = "x".repeat(200_000);
    let many: String = (0..2_000).map(|n| format!("X-{n}: 1\r\n")).collect();
    let bodies = [
        format!("5;{long}\r\nhello\r\n0\r\n\r\n"),
        format!("5\r\nhello\r\n0\r\nX: {long}\r\n\r\n"),
        format!("5\r\nhello\r\n0\r\n{many}\r\n"),
        "1;x=yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\nh\r\n".repeat(10_000),
    ];
    for body in bodies {
        let origin = Origin::saying("ok");
        let proxy = Proxy::to(&[&origin]);
        let mut client = proxy.client();
        let answer = client.ask(chunked(&body));
        assert_eq!(answer.status, 400, "{:?}: {answer:?}", &body[..20]);
        eventually("the upstream connection is gone", || origin.open() == 0);
        assert!(origin.seen().iter().all(|seen| !seen.whole));
    }
}

#[test]
fn a_client_that_leaves_inside_its_body_leaves_the_origin_with_a_broken_one() {
    let requests = [
        framed(&["Content-Length: 10"], "hello"),
        chunked("5\r\nhello\r\n"),
        chunked("5\r\nhel"),
        chunked("5\r\nhello\r\n0\r\n"),
    ];
    for request in requests {
        for reset in [false, true] {
            let origin = Origin::saying("ok");
            let proxy = Proxy::to(&[&origin]);
            let mut client = proxy.client();
            client.write(&request);
            eventually("the request is under way", || origin.connections() == 1);
            if reset {
                client.reset()
            } else {
                drop(client)
            }
            eventually("the upstream connection is gone", || origin.open() == 0);
            assert!(origin.seen().iter().all(|seen| !seen.whole), "{request:?}: {:?}", origin.seen());
            assert!(
                proxy.metric("pointsman_upstream_failures_total", &[]) < 1.0,
                "{request:?}: blamed on the upstream"
            );
        }
    }
}

#[test]
fn a_client_that_sends_less_than_it_said_and_waits_gets_400_or_the_end() {
    let origin = Origin::saying("ok");
    let proxy = Proxy::to(&[&origin]);
    let mut client = proxy.client();
    match client.write(framed(&["Content-Length: 10"], "hello")).finish().read(false) {
        Ok(answer) => assert_eq!(answer.status, 400),
        Err((end, bytes)) => assert!(end != End::Silent && bytes.is_empty(), "{end:?} {bytes:?}"),
    }
    assert!(origin.seen().iter().all(|seen| !seen.whole));
}

#[test]
fn pipelined_requests_are_answered_in_order_and_arrive_apart() {
    let origin = Origin::with(|seen| Reply::ok(format!("{} {}", seen.target(), seen.text())));
    let proxy = Proxy::to(&[&origin]);
    let mut client = proxy.client();
    client.write([post("/1", "one"), get("/2"), chunked("3\r\nthr\r\n2\r\nee\r\n0\r\n\r\n"), get("/4")].concat());
    let answers: Vec<_> = (0..4).map(|_| client.answer().text()).collect();
    assert_eq!(answers, ["/1 one", "/2 ", "/framed three", "/4 "]);
}

#[test]
fn request_trailers_are_filtered_and_harmless_ones_pass() {
    let bad = "Content-Length: 9\r\nHost: evil\r\nAuthorization: x\r\nTransfer-Encoding: gzip\r\nConnection: close\r\n\
               TE: gzip\r\nUpgrade: h2c\r\nTrailer: x\r\nX-Forwarded-For: 6.6.6.6\r\nCookie: a=b\r\nProxy-Authorization: x\r\n\
               Keep-Alive: 1\r\nX-Flag-New: on\r\n";
    let names = "X-Ok, X-Flag-New, Content-Length, Host, Authorization, Transfer-Encoding, Connection, TE, Upgrade, Trailer, \
                 X-Forwarded-For, Cookie, Proxy-Authorization, Keep-Alive";
    let origin = Origin::saying("ok");
    let proxy = Proxy::to(&[&origin]);
    let lines = ["Transfer-Encoding: chunked", &format!("Trailer: {names}")];
    let request = framed(&lines, &format!("5\r\nhello\r\n0\r\n{bad}X-Ok: yes\r\n\r\n"));
    let mut client = proxy.client();
    assert_eq!(client.ask(&request).status, 200);
    let seen = origin.only();
    assert_eq!(seen.body.trailers, [("x-ok".to_owned(), "yes".to_owned())]);
    assert_eq!(seen.text(), "hello");
    assert_eq!(seen.header("authorization"), None);
    assert_eq!(client.ask(get("/")).status, 200);
}

#[test]
fn answer_trailers_are_filtered_and_harmless_ones_pass() {
    let origin = Origin::with(|_| {
        Reply::raw(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Ok, Content-Length, Set-Cookie, Connection, X-Flag-New\r\n\r\n\
             2\r\nok\r\n0\r\nX-Ok: yes\r\nContent-Length: 9\r\nTransfer-Encoding: gzip\r\nConnection: close\r\n\
             Host: evil\r\nAuthorization: x\r\nKeep-Alive: 5\r\nUpgrade: h2c\r\nX-Flag-New: on\r\n\r\n",
        )
    });
    let proxy = Proxy::to(&[&origin]);
    let mut client = proxy.client();
    for _ in 0..2 {
        let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
        assert_eq!(answer.text(), "ok");
        assert_eq!(answer.body.trailers, [("x-ok".to_owned(), "yes".to_owned())], "{answer:?}");
    }
    assert_eq!(client.ask(get("/")).text(), "ok");
}
