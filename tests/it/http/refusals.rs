//! What the proxy answers by itself: status, reason word, form, and what becomes of the connection. Rule 20 for HTTP/1.

use crate::support::fault::Fault;
use crate::support::proxy::IDLE_TIMEOUT_SHORT;
use crate::support::{End, Origin, Proxy, Reply, Setup, client, eventually, get, post, with};

/// A proxy whose only service is `site` for the host `known` and the path `/site`.
fn narrow(origin: &Origin) -> Proxy {
    Setup::to(&[origin]).service("hosts = [\"known\"]\npaths = [\"/site\"]").start()
}

#[test]
fn a_refusal_is_plain_or_json_as_the_client_accepts() {
    let origin = Origin::saying("ok");
    let proxy = narrow(&origin);
    let mut client = proxy.client();
    let json = [
        "application/json",
        "image/png, application/json;q=0.9",
        "APPLICATION/JSON",
        "application/problem+json, application/json",
    ];
    for accept in json {
        let answer = client.ask(with(&[&format!("Accept: {accept}")]));
        answer.assert_refused(404, "no_service");
        assert!(
            answer.header("content-type").is_some_and(|t| t.starts_with("application/json")),
            "{accept}: {answer:?}"
        );
        let body: serde_json::Value = serde_json::from_slice(&answer.body.bytes).unwrap();
        assert_eq!(body["error"]["reason"], "no_service", "{accept}");
    }
    for accept in ["Accept: text/html", "Accept: */*", "X: y", "Accept: application/json;q=0"] {
        let answer = client.ask(with(&[accept]));
        answer.assert_refused(404, "no_service");
        assert!(answer.header("content-type").is_some_and(|t| t.starts_with("text/plain")), "{accept}: {answer:?}");
    }
    assert!(origin.seen().is_empty());
}

#[test]
fn a_refusal_has_its_length_and_a_refused_head_no_body() {
    let origin = Origin::saying("ok");
    let proxy = narrow(&origin);
    let mut client = proxy.client();
    let full = client.ask(get("/"));
    assert_eq!(full.header("content-length"), Some(full.body.bytes.len().to_string().as_str()));
    let head = client.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.status, head.header("content-length")), (404, full.header("content-length")));
    // Bytes of a body would be taken for the head of this answer.
    assert_eq!(client.ask("GET /site HTTP/1.1\r\nHost: known\r\n\r\n").text(), "ok");
}

/// Also when the connection's codec never made a request of it: what follows the head is the end.
#[test]
fn a_head_that_cannot_be_read_is_answered_without_a_body() {
    let origin = Origin::saying("ok");
    let proxy = Setup::to(&[&origin]).listener(IDLE_TIMEOUT_SHORT).start();
    let (good, large) = (get("/"), "y".repeat(40_000));
    for (method, rest, status) in [
        ("HEAD", " / HTTP/3.0\r\nHost: a\r\n\r\n", 400),
        ("HEAD", " / HTTP/1.1\r\nHo st: a\r\n\r\n", 400),
        ("HEAD", &format!(" / HTTP/1.1\r\nHost: a\r\nX: {large}\r\n\r\n"), 431),
        ("HEAD", &format!(" /{large} HTTP/1.1\r\nHost: a\r\n\r\n"), 431),
        ("HEAD", " / HTTP/1.1\r\nHost: a\r\nX-Cut: sh", 408),
        ("HEAD", " /cut", 408),
        ("HEAD", "", 408),
        ("GET", " / HTTP/3.0\r\nHost: a\r\n\r\n", 400),
        ("head", " / HTTP/3.0\r\nHost: a\r\n\r\n", 400),
    ] {
        // Without the blank it may become another method yet.
        let bodiless = method == "HEAD" && !rest.is_empty();
        for before in ["", &good] {
            let mut client = proxy.client();
            client.write(format!("{before}{method}{rest}"));
            if !before.is_empty() {
                assert_eq!(client.answer().status, 200);
            }
            let answer = client.read(bodiless).unwrap();
            let length: usize = answer.header("content-length").unwrap().parse().unwrap();
            assert_eq!((answer.status, length > 0), (status, true), "{method}{rest:.40}: {answer:?}");
            assert_eq!(answer.body.bytes.len(), if bodiless { 0 } else { length }, "{method}{rest:.40}");
            assert_eq!(client.end(), (End::Clean, Vec::new()), "{method}{rest:.40}: nothing behind it");
        }
    }
    // The method is that of the head that is refused, not of those around it.
    let mut client = proxy.client();
    client
        .write(format!("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n{}{}", "GET / HTTP/3.0\r\n\r\n", "HEAD / HTTP/1.1\r\n\r\n"));
    assert_eq!(client.read(true).unwrap().status, 200);
    client.answer().assert_refused(400, "bad_head");
}

#[test]
fn hosts_and_paths_that_nobody_serves_are_refused() {
    let origin = Origin::saying("ok");
    let proxy = narrow(&origin);
    let mut client = proxy.client();
    let cases = [
        ("/site", "known", 200),
        ("/site/x", "known", 200),
        ("/site?x", "KNOWN:8080", 200),
        ("/site", "known.", 200),
        ("/sitemap", "known", 404),
        ("/", "known", 404),
        ("/site", "unknown", 404),
        ("/site", "x.known", 404),
        ("/x/../site", "known", 404),
        ("/Site", "known", 404),
    ];
    let wrong: Vec<_> = cases
        .iter()
        .map(|(path, host, want)| {
            (path, host, want, client.ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).status)
        })
        .filter(|(_, _, want, got)| *want != got)
        .collect();
    assert!(wrong.is_empty(), "path, host, want, got: {wrong:?}");
    proxy.await_metric("pointsman_refusals_total", &["reason=\"no_service\""], 6.0);
}

#[test]
fn refusals_are_counted_by_reason() {
    let origin = Origin::saying("ok");
    let proxy = Proxy::to(&[&origin]);
    let cases = [
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "method_not_allowed"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "bad_host"),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "bad_target"),
        (with(&["Connection: host"]), "bad_connection_header"),
        (with(&["Transfer-Encoding: chunked", "Content-Length: 3"]), "bad_framing"),
        (get(&format!("/{}", "t".repeat(9000))), "target_too_long"),
        ("garbage\r\n\r\n".to_owned(), "bad_head"),
        (with(&[&format!("X: {}", "y".repeat(40_000))]), "head_too_large"),
    ];
    for (request, reason) in &cases {
        let answer = client::send(proxy.address, request);
        assert!((400..500).contains(&answer.status) || answer.status == 501, "{answer:?}");
        assert!(answer.text().contains(reason), "{reason}: {answer:?}");
        assert!(answer.header("date").is_some() && answer.header("content-type").is_some(), "{answer:?}");
    }
    for (_, reason) in cases {
        proxy.await_metric("pointsman_refusals_total", &[&format!("reason=\"{reason}\"")], 1.0);
    }
    assert!(origin.seen().is_empty());
}

#[test]
fn what_is_no_head_of_a_request_is_refused_like_any_other() {
    let origin = Origin::saying("ok");
    let proxy = Setup::to(&[&origin]).listener(IDLE_TIMEOUT_SHORT).start();
    let good = get("/");
    for (garbage, status, word) in [
        ("garbage\r\n\r\n", 400, "bad_head"),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 400, "bad_head"),
        ("GET / HTTP/1.1\r\nHo st: a\r\n\r\n", 400, "bad_head"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad_head"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX-Cut: sh", 408, "head_timeout"),
    ] {
        let mut client = proxy.client();
        let answer = client.write(garbage).answer();
        answer.assert_refused(status, word);
        assert_eq!(answer.header("connection"), Some("close"), "{garbage:?}");
        // Behind good requests as well, in the same packet.
        let mut client = proxy.client();
        client.write(format!("{good}{good}{garbage}"));
        assert_eq!((client.answer().status, client.answer().status), (200, 200));
        client.answer().assert_refused(status, word);
        assert_eq!(client.end().0, End::Clean);
    }
    proxy.await_metric("pointsman_refusals_total", &["reason=\"bad_head\""], 8.0);
    proxy.await_metric("pointsman_refusals_total", &["reason=\"head_timeout\""], 2.0);
}

#[test]
fn a_connection_that_never_asked_is_closed_without_a_word() {
    let origin = Origin::saying("ok");
    let proxy = Setup::to(&[&origin]).listener(IDLE_TIMEOUT_SHORT).start();
    assert_eq!(proxy.client().end(), (End::Clean, Vec::new()));
    let mut client = proxy.client();
    assert_eq!(client.write(get("/")).answer().status, 200);
    assert_eq!(client.end(), (End::Clean, Vec::new()));
}

#[test]
fn a_refusal_before_the_body_was_read_arrives_whole_and_not_as_a_reset() {
    let origin = Origin::saying("ok");
    let proxy = narrow(&origin);
    for size in [10_000, 300_000, 2_000_000] {
        for _ in 0..5 {
            let mut client = proxy.client();
            let answer = client.ask(post("/", &"b".repeat(size)));
            answer.assert_refused(404, "no_service");
            assert!(answer.is_whole(), "{size}: {answer:?}");
        }
    }
    assert!(origin.seen().is_empty());
}

#[test]
fn a_large_refused_upload_may_end_before_its_answer_is_read() {
    let proxy = Proxy::start(
        "[listeners.public]\naddress = \"127.0.0.1:0\"\n[services.shop]\nhosts = [\"shop.example\"]\n\
         versions.v1.endpoints = [\"127.0.0.1:9\"]\n",
    );
    let mut client = proxy.client();
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n");
    let chunk = vec![b'x'; 1_000_000];
    assert!((0..20).all(|_| client.is_writable(&chunk)), "the upload is not cut off");
    client.answer().assert_refused(404, "no_service");
}

#[test]
fn a_refused_client_that_never_stops_sending_is_cut_off() {
    let origin = Origin::saying("ok");
    let proxy = narrow(&origin);
    let mut client = proxy.client();
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000000\r\n\r\n");
    let answer = client.answer();
    answer.assert_refused(404, "no_service");
    let sent = std::thread::spawn(move || {
        let piece = vec![b'x'; 1 << 20];
        // 1 GiB: more than anybody should read for nothing.
        (0..1024).take_while(|_| client.is_writable(&piece)).count()
    });
    assert!(sent.join().unwrap() < 1024, "the proxy read all of a body that it had refused");
}

#[test]
fn a_small_refused_body_is_no_next_request() {
    let origin = Origin::saying("ok");
    let proxy = narrow(&origin);
    let mut client = proxy.client();
    client.write(post("/", "GET /site HTTP/1.1\r\nHost: known\r\n\r\n"));
    client.answer().assert_refused(404, "no_service");
    client.write("GET /site/next HTTP/1.1\r\nHost: known\r\n\r\n");
    if let Ok(answer) = client.read(false) {
        assert_eq!(answer.text(), "ok");
    }
    assert!(origin.seen().iter().all(|seen| seen.target() == "/site/next"));
}

#[test]
fn a_refused_get_keeps_its_connection() {
    let origin = Origin::saying("ok");
    let proxy = narrow(&origin);
    let mut client = proxy.client();
    for _ in 0..3 {
        client.ask(get("/")).assert_refused(404, "no_service");
        assert_eq!(client.ask("GET /site HTTP/1.1\r\nHost: known\r\n\r\n").text(), "ok");
    }
}

#[test]
fn a_client_that_wants_to_close_is_closed() {
    let origin = Origin::saying("ok");
    let proxy = narrow(&origin);
    for path in ["/site", "/"] {
        for (version, line) in [("1.1", "Connection: close\r\n"), ("1.0", "")] {
            let mut client = proxy.client();
            client.ask(format!("GET {path} HTTP/{version}\r\nHost: known\r\n{line}\r\n"));
            assert_eq!(client.end(), (End::Clean, Vec::new()), "{path} {version}");
        }
    }
    let mut client = proxy.client();
    for _ in 0..2 {
        assert_eq!(client.ask("GET /site HTTP/1.0\r\nHost: known\r\nConnection: keep-alive\r\n\r\n").text(), "ok");
    }
}

#[test]
fn an_origin_that_refuses_connections_is_a_502_or_503() {
    let dead = Fault::refusing();
    let proxy = Setup::endpoints(&[&[dead.address()]]).start();
    let answer = client::send(proxy.address, get("/"));
    assert!(matches!(answer.status, 502 | 503), "{answer:?}");
    assert!(answer.text().contains("connect_failed") || answer.text().contains("no_endpoint"), "{answer:?}");
    assert!(proxy.metric("pointsman_upstream_failures_total", &["version=\"v1\"", "reason=\"connect\""]) >= 1.0);
}

#[test]
fn an_origin_that_hangs_up_before_it_answers_is_a_502() {
    let replies =
        [Reply::default().close(), Reply::default().reset(), Reply::raw("HTTP/1.1 200 OK\r\nContent-Le").close()];
    for reply in replies {
        let told = format!("{reply:?}");
        let origin = Origin::with(move |_| reply.clone());
        let proxy = Proxy::to(&[&origin]);
        let answer = client::send(proxy.address, post("/", "x"));
        assert_eq!(answer.status, 502, "{told}: {answer:?}");
        let text = answer.text();
        assert!(text.contains("upstream_reset") || text.contains("upstream_bad_answer"), "{told}: {answer:?}");
        assert_eq!(origin.seen().len(), 1, "{told}: a POST that was sent must not be sent again");
        proxy.await_metric("pointsman_upstream_failures_total", &["version=\"v1\""], 1.0);
    }
}

#[test]
fn a_connection_that_sends_nothing_or_half_a_head_costs_nothing_upstream() {
    let origin = Origin::saying("ok");
    let proxy = Proxy::to(&[&origin]);
    for bytes in ["", "G", "GET / HTTP/1.1\r\nHost: a\r\n", "\r\n", "\r\n\r\n"] {
        let mut client = proxy.client();
        client.write(bytes).finish();
        let (end, _) = client.end();
        assert_ne!(end, End::Silent, "{bytes:?}");
    }
    assert_eq!(origin.connections(), 0);
    assert_eq!(client::send(proxy.address, format!("\r\n{}", get("/"))).status, 200);
}

#[test]
fn a_tls_hello_or_an_h2_preface_is_refused_or_closed() {
    let origin = Origin::saying("ok");
    let proxy = Proxy::to(&[&origin]);
    let hello = b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03".to_vec();
    for bytes in [hello, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()] {
        let mut client = proxy.client();
        match client.write(&bytes).read(false) {
            Ok(answer) => assert!(matches!(answer.status, 400 | 505), "{answer:?}"),
            Err((end, _)) => assert_ne!(end, End::Silent, "{bytes:?}"),
        }
    }
    assert!(origin.seen().is_empty());
}

#[test]
fn a_head_that_does_not_come_is_given_up() {
    let origin = Origin::saying("ok");
    let proxy = Setup::to(&[&origin]).listener(IDLE_TIMEOUT_SHORT).start();
    let mut client = proxy.client();
    client.write("GET / HTTP/1.1\r\nHost: a\r\n");
    let (end, _) = client.end();
    assert_ne!(end, End::Silent);
    let mut idle = proxy.client();
    assert_eq!(idle.ask(get("/")).status, 200);
    assert_ne!(idle.end().0, End::Silent);
    eventually("nobody is connected", || proxy.metric("pointsman_connections", &["side=\"client\""]) < 0.5);
}
