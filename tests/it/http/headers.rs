//! Rules 11 to 13 and 16: what is removed, what is added, and in which order.

use crate::support::{After, Answer, Case, Origin, Proxy, Reply, Setup, Table, client, eventually, get, with};

const BAD: &str = "bad_connection_header";

fn connection(value: &str) -> String {
    with(&[&format!("Connection: {value}"), "X-Named: 1", "X-Other: 2"])
}

/// A header of the only request that came of `lines`.
fn header_seen(setup: &Setup, origin: &Origin, lines: &[&str], name: &str) -> Option<String> {
    let proxy = setup.start();
    assert_eq!(client::send(proxy.address, with(lines)).status, 200, "{lines:?}");
    let seen = origin.last();
    seen.header(name).map(str::to_owned)
}

#[test]
fn headers_that_connection_names_are_removed() {
    Table::new().run([
        Case::forwarded(11, connection("x-named")).lacks("x-named").sees("x-other: 2").then(After::Kept),
        Case::forwarded(11, connection("X-NAMED")).lacks("x-named"),
        Case::forwarded(11, connection("keep-alive, x-named")).lacks("x-named").then(After::Kept),
        Case::forwarded(11, connection(" ,, x-named\t,")).lacks("x-named"),
        Case::forwarded(11, connection("x-named, close")).lacks("x-named").then(After::Closed),
        Case::forwarded(11, connection("x-missing")).sees("x-named: 1"),
        Case::forwarded(11, with(&["Connection: x-a", "Connection: x-b", "X-A: 1", "X-B: 1"]))
            .lacks("x-a")
            .lacks("x-b"),
        Case::forwarded(11, with(&["X-A: 1", "X-A: 2", "Connection: x-a"])).lacks("x-a"),
        Case::forwarded(11, connection("1, 2, 3, 4, 5, 6, 7, 8, x-named")).lacks("x-named"),
    ]);
}

#[test]
fn connection_headers_that_name_too_much_are_refused() {
    let many: Vec<_> = (1..=10).map(|n| format!("x-{n}")).collect();
    let lines: Vec<_> = many.iter().map(|name| format!("Connection: {name}")).collect();
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let names = [
        "x-forwarded-for",
        "X-Forwarded-For",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "host",
        "Host",
        "close, host",
        "keep-alive, X-FORWARDED-ANYTHING",
    ];
    let named = names.iter().map(|name| Case::refused(11, connection(name), &[400], BAD));
    Table::new().run(named.chain([
        Case::refused(11, connection(&many.join(",")), &[400], BAD),
        Case::refused(11, with(&lines), &[400], BAD),
        Case::refused(11, connection(&"x,".repeat(2000)), &[400], BAD),
    ]));
}

#[test]
fn connection_cannot_take_away_what_the_proxy_adds() {
    Table::new().run([
        Case::forwarded(11, connection("via")).sees("x-named: 1"),
        Case::forwarded(11, connection("x-request-id")).sees("x-named: 1"),
        Case::forwarded(11, connection("content-length")),
        Case::forwarded(11, "POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 2\r\n\r\nhi")
            .sees("|hi")
            .sees("content-length: 2"),
        Case::forwarded(
            11,
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        )
        .sees("|hi")
        .sees("transfer-encoding: chunked"),
    ]);
}

#[test]
fn hop_by_hop_request_headers_are_removed() {
    let hops = [
        "Proxy-Connection: keep-alive",
        "Keep-Alive: timeout=5",
        "Proxy-Authenticate: Basic",
        "Proxy-Authorization: Basic eDp5",
        "Upgrade: websocket",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABk",
        "TE: gzip",
        "TE: deflate;q=0.5",
        "TE:",
    ];
    let alone = hops.iter().map(|hop| Case::forwarded(11, with(&[hop])).lacks("te"));
    let websocket = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ];
    let h2c = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"];
    Table::new().run(alone.chain([
        Case::forwarded(11, with(&["TE: trailers"])).sees("te: trailers"),
        Case::forwarded(11, with(&["TE: trailers", "Connection: TE"])).sees("te: trailers"),
        Case::forwarded(11, with(&["TE: gzip, trailers", "Connection: TE"])).sees("te: trailers"),
        Case::forwarded(11, with(&["TE: gzip", "TE: Trailers"])).sees("te: trailers"),
        Case::forwarded(11, with(&["TE: xtrailers"])).lacks("te"),
        Case::forwarded(11, with(&["TE: trailers;q=0"])),
        // An origin that does not consent answers as it likes.
        Case::forwarded(15, with(&websocket)).sees("upgrade: websocket").sees("connection: upgrade").http1_only(),
        Case::forwarded(15, with(&websocket[1..])).lacks("upgrade").then(After::Kept),
        Case::forwarded(15, with(&h2c)).lacks("upgrade").lacks("http2-settings").then(After::Kept),
    ]));
}

#[test]
fn end_to_end_headers_pass_as_they_are() {
    let lines = [
        "Accept: */*",
        "Cookie: a=b; c=d",
        "Authorization: Bearer x.y.z",
        "User-Agent: t/1 (x; y)",
        "X-Empty:",
        "X-Twice: 1",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "tracestate: a=1,b=2",
        "Referer: http://x/y#z",
        "If-None-Match: \"x\"",
        "Range: bytes=0-1",
        "Accept-Encoding: gzip, br",
        "X-Bytes: caf\u{e9}",
        "Max-Forwards: 3",
        "Origin: https://x",
        "Content-Type: text/plain",
        "Pragma: no-cache",
    ];
    let mut case =
        Case::forwarded(12, with(&[&lines[..], &["X-Twice: 2"]].concat())).sees("x-twice: 2").then(After::Kept);
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        case = case.sees(&format!("{}: {}", name.to_lowercase(), value.trim()));
    }
    Table::new().run([case]);
}

#[test]
fn forwarding_headers_of_strangers_are_overwritten() {
    let known = |lines: &[&str]| {
        Case::forwarded(12, with(lines))
            .sees("x-forwarded-for: 127.0.0.1")
            .sees("x-forwarded-proto: http")
            .sees("x-forwarded-host: a")
    };
    Table::new().run([
        known(&[]),
        known(&["X-Forwarded-For: 6.6.6.6"]),
        known(&["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 7.7.7.7"]),
        known(&["X-Forwarded-For: 6.6.6.6, 127.0.0.1"]),
        known(&["X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "X-Forwarded-Host: evil2"]),
        known(&["Forwarded: for=6.6.6.6;proto=https;host=evil"]).lacks("forwarded: for=6.6.6.6;proto=https;host=evil"),
        known(&["X-Forwarded-Port: 99", "X-Forwarded-Prefix: /x"])
            .lacks("x-forwarded-port")
            .lacks("x-forwarded-prefix"),
        known(&["X-Real-IP: 6.6.6.6"]).lacks("x-real-ip: 6.6.6.6"),
        known(&["X-Pointsman-Revision: 999999"]).lacks("x-pointsman-revision: 999999"),
        known(&["X_Forwarded_For: 6.6.6.6"]).lacks("x_forwarded_for"),
    ]);
}

/// A setup whose listener trusts these blocks, each written with quotation marks.
fn trusting(origin: &Origin, blocks: &str) -> Setup {
    Setup::to(&[origin]).listener(&format!("trusted_proxies = [{blocks}]"))
}

#[test]
fn trusted_peers_are_believed_and_the_list_grows_by_them() {
    let origin = Origin::saying("ok");
    let setup = trusting(&origin, "\"127.0.0.0/8\", \"10.0.0.0/8\"");
    let cases: [(&[&str], &str); 6] = [
        (&[], "127.0.0.1"),
        (&["X-Forwarded-For: 1.2.3.4"], "1.2.3.4, 127.0.0.1"),
        (&["X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.0.0.1"], "6.6.6.6, 1.2.3.4, 10.0.0.1, 127.0.0.1"),
        (&["X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 10.0.0.1"], "1.2.3.4, 10.0.0.1, 127.0.0.1"),
        (&["X-Forwarded-For: 2001:db8::1"], "2001:db8::1, 127.0.0.1"),
        (&["X-Forwarded-For:"], "127.0.0.1"),
    ];
    for (lines, wanted) in cases {
        let found = header_seen(&setup, &origin, lines, "x-forwarded-for").unwrap_or_default();
        assert_eq!(found.replace(", ", ","), wanted.replace(", ", ","), "{lines:?}");
    }
    let proto = header_seen(&setup, &origin, &["X-Forwarded-Proto: https"], "x-forwarded-proto");
    assert_eq!(proto.as_deref(), Some("https"));
    let host = header_seen(&setup, &origin, &["X-Forwarded-Host: shop.example"], "x-forwarded-host");
    assert_eq!(host.as_deref(), Some("shop.example"));
}

#[test]
fn a_trusted_peer_may_tell_by_the_target_that_its_client_came_by_https() {
    let origin = Origin::saying("ok");
    let request = |scheme: &str, more: &str| format!("GET {scheme}://a/x HTTP/1.1\r\nHost: a\r\n{more}\r\n");
    let trusted = trusting(&origin, "\"127.0.0.1/32\"").start();
    for (scheme, more, wanted) in [
        ("https", "", "https"),
        ("http", "", "http"),
        ("HTTPS", "X-Forwarded-For: 192.0.2.1\r\n", "https"),
        ("https", "X-Forwarded-Proto: http\r\n", "http"),
    ] {
        let answer = trusted.client().ask(request(scheme, more));
        assert_eq!(
            (answer.status, origin.last().header("x-forwarded-proto")),
            (200, Some(wanted)),
            "{scheme} {more:?}"
        );
        assert_eq!(origin.last().target(), "/x");
    }
    let default_port = "GET https://a:443/ HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(trusted.client().ask(default_port).status, 200);
    trusted.client().ask(request("ftp", "")).assert_refused(400, "bad_target");
    let stranger = Proxy::to(&[&origin]);
    stranger.client().ask(request("https", "")).assert_refused(400, "bad_target");
}

#[test]
fn a_peer_outside_the_trusted_blocks_is_a_stranger() {
    let origin = Origin::saying("ok");
    let setup = trusting(&origin, "\"10.0.0.0/8\", \"::1/128\"");
    let lines = ["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Request-Id: mine"];
    assert_eq!(header_seen(&setup, &origin, &lines, "x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(header_seen(&setup, &origin, &lines, "x-forwarded-proto").as_deref(), Some("http"));
}

/// Which version a rule on the client's address picks shows what the proxy takes for the client.
#[test]
fn the_client_is_the_rightmost_address_that_is_not_trusted() {
    let (other, client_1234) = (Origin::saying("other"), Origin::saying("1.2.3.4"));
    let rule = "[[services.site.rules]]\nname = \"it\"\nwhen = { client = [\"1.2.3.4/32\", \"2001:db8::1/128\"] }\nuse = \"v2\"";
    let proxy = Setup::to(&[&other, &client_1234])
        .listener("trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]")
        .bottom(rule)
        .start();
    let cases: [(&[&str], &str); 16] = [
        (&[], "other"),
        (&["X-Forwarded-For: 1.2.3.4"], "1.2.3.4"),
        (&["X-Forwarded-For: 1.2.3.4, 10.0.0.1"], "1.2.3.4"),
        (&["X-Forwarded-For: 1.2.3.4,10.0.0.1,10.9.9.9"], "1.2.3.4"),
        (&["X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 10.0.0.1"], "1.2.3.4"),
        (&["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 1.2.3.4"], "1.2.3.4"),
        (&["X-Forwarded-For: 6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        (&["X-Forwarded-For: 1.2.3.4, 6.6.6.6"], "other"),
        (&["X-Forwarded-For: 1.2.3.4, 6.6.6.6, 10.0.0.1"], "other"),
        (&["X-Forwarded-For: 1.2.3.4, nonsense"], "other"),
        (&["X-Forwarded-For: 1.2.3.4, unknown, 10.0.0.1"], "other"),
        (&["X-Forwarded-For: 1.2.3.4, , 10.0.0.1"], "other"),
        (&["X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 999.1.1.1"], "other"),
        (&["X-Forwarded-For: 2001:db8::1"], "1.2.3.4"),
        (&["X_Forwarded_For: 1.2.3.4"], "other"),
        (&["X-Forwarded-For: 010.2.3.4, 01.2.3.4"], "other"),
    ];
    let wrong: Vec<_> = cases
        .iter()
        .map(|(lines, wanted)| (lines, wanted, client::send(proxy.address, with(lines)).text()))
        .filter(|(_, wanted, found)| *wanted != found)
        .collect();
    assert!(wrong.is_empty(), "lines, wanted, found: {wrong:?}");
}

#[test]
fn via_is_added_in_both_directions() {
    let origin = Origin::raw("HTTP/1.1 200 OK\r\nVia: 1.0 behind\r\nContent-Length: 2\r\n\r\nok");
    let proxy = Proxy::to(&[&origin]);
    let answer = client::send(proxy.address, with(&["Via: 1.0 before", "Via: 1.1 nearer"]));
    let seen = origin.only();
    let chain = |values: Vec<&str>| values.join(",").split(',').map(|v| v.trim().to_owned()).collect::<Vec<_>>();
    let forth = chain(seen.head.all("via"));
    assert_eq!(forth[..2], ["1.0 before", "1.1 nearer"]);
    assert!(forth.len() == 3 && forth[2].starts_with("1.1 "), "{forth:?}");
    let back = chain(answer.head.all("via"));
    assert!(back.len() == 2 && back[0] == "1.0 behind" && back[1].starts_with("1.1 "), "{back:?}");
}

#[test]
fn a_request_has_an_id_of_its_own_unless_a_trusted_peer_gave_one() {
    let origin = Origin::saying("ok");
    let strange = Setup::to(&[&origin]);
    let id = |lines: &[&str]| header_seen(&strange, &origin, lines, "x-request-id").unwrap();
    let (first, second) = (id(&[]), id(&[]));
    assert!(first != second && first.len() >= 16, "{first} {second}");
    assert_ne!(id(&["X-Request-Id: forged"]), "forged");
    let trusted = trusting(&origin, "\"127.0.0.1/32\"");
    assert_eq!(header_seen(&trusted, &origin, &["X-Request-Id: kept-1"], "x-request-id").as_deref(), Some("kept-1"));
    assert!(header_seen(&trusted, &origin, &[], "x-request-id").is_some_and(|id| id.len() >= 16));
    assert!(header_seen(&trusted, &origin, &["X-Request-Id:"], "x-request-id").is_some_and(|id| id.len() >= 16));
}

#[test]
fn names_with_an_underscore_are_dropped() {
    Table::new().run([
        Case::forwarded(13, with(&["X_Forwarded_For: 6.6.6.6", "X-Good: 1"]))
            .lacks("x_forwarded_for")
            .sees("x-good: 1"),
        Case::forwarded(13, with(&["_: 1", "a_: 1", "_a: 1"])).lacks("_"),
        Case::forwarded(13, with(&["Content_Length: 5"])).sees("|").then(After::Kept),
        Case::forwarded(13, with(&["Transfer_Encoding: chunked"])).sees("|").then(After::Kept),
        Case::refused(13, "GET / HTTP/1.1\r\nH_ost: a\r\n\r\n", &[400], ""),
    ]);
}

#[test]
fn a_head_has_limits() {
    let many = |count: usize| (0..count).map(|n| format!("X-{n}: 1")).collect::<Vec<_>>();
    let lines = |lines: Vec<String>| with(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let big = |bytes: usize| with(&[&format!("X-Big: {}", "b".repeat(bytes))]);
    let long = |bytes: usize| get(&format!("/{}", "t".repeat(bytes)));
    let refused = |bytes: String, status| Case::refused(13, bytes, status, "too_l").then(After::Closed);
    let query = |bytes: usize| get(&format!("/?{}", "q".repeat(bytes)));
    Table::new().run([
        Case::forwarded(13, lines(many(95))).sees("x-94: 1").then(After::Kept),
        refused(lines(many(100)), &[431]),
        refused(lines(many(500)), &[431]),
        Case::forwarded(13, big(30_000)).then(After::Kept),
        refused(big(33_000), &[431]),
        refused(big(200_000), &[431]),
        refused(lines((0..40).map(|n| format!("X-{n}: {}", "b".repeat(1000))).collect()), &[431]),
        Case::forwarded(13, long(8_100)).then(After::Kept),
        Case::refused(13, long(8_200), &[414], "target_too_long"),
        Case::refused(13, query(8_200), &[414], "target_too_long"),
        Case::refused(13, long(30_000), &[414], "target_too_long"),
        refused(long(70_000), &[414, 431]),
        refused(format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "X: y\r\n".repeat(20_000)), &[431]),
    ]);
}

#[test]
fn hop_by_hop_answer_headers_are_removed() {
    let origin = Origin::raw(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Named\r\nX-Named: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\n\
         Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nTE: gzip\r\nX-Other: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
         Server: own\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nok",
    );
    let proxy = Proxy::to(&[&origin]);
    let mut client = proxy.client();
    for _ in 0..2 {
        let answer = client.ask(get("/"));
        for name in ["x-named", "keep-alive", "proxy-connection", "upgrade", "te"] {
            assert!(answer.head.all(name).is_empty(), "{name}: {answer:?}");
        }
        assert_eq!(answer.head.all("set-cookie"), ["a=1", "b=2"]);
        assert_eq!((answer.header("x-other"), answer.header("server")), (Some("2"), Some("own")));
        assert_eq!(answer.header("date"), Some("Sat, 01 Jan 2000 00:00:00 GMT"));
        assert_eq!(answer.header("content-length"), Some("2"));
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_origin_that_closes_does_not_close_the_client() {
    let origin =
        Origin::with(|_| Reply::raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").close());
    let proxy = Proxy::to(&[&origin]);
    let mut client = proxy.client();
    for _ in 0..3 {
        let Answer { status, head, .. } = client.ask(get("/"));
        assert_eq!((status, head.one("connection")), (200, None));
    }
    assert_eq!(origin.connections(), 3);
}

#[test]
fn status_and_reason_of_the_origin_pass() {
    for line in ["200 OK", "299 Odd", "418 I'm a teapot", "599 Own", "404 Not Found", "302 Found", "999 Odd"] {
        let answer = format!("HTTP/1.1 {line}\r\nLocation: http://b/\r\nContent-Length: 2\r\n\r\nok");
        let origin = Origin::with(move |_| Reply::raw(&answer));
        let proxy = Proxy::to(&[&origin]);
        let answer = client::send(proxy.address, get("/"));
        assert_eq!((answer.status.to_string().as_str(), answer.text().as_str()), (&line[..3], "ok"));
        assert_eq!(answer.header("location"), Some("http://b/"));
    }
}

#[test]
fn expect_is_stripped_and_100_comes_when_the_body_is_wanted() {
    let origin = Origin::saying("ok");
    let proxy = Proxy::to(&[&origin]);
    let mut client = proxy.client();
    client.write("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.next_status(), 100);
    let answer = client.ask("hello");
    assert_eq!((answer.status, answer.interim.len()), (200, 0));
    let seen = origin.only();
    assert_eq!((seen.text().as_str(), seen.header("expect")), ("hello", None));
    assert_eq!(client.ask(get("/")).status, 200);
}

#[test]
fn a_refused_request_with_expect_gets_no_100() {
    let origin = Origin::saying("ok");
    let proxy = Proxy::to(&[&origin]);
    let mut client = proxy.client();
    let answer = client.ask("TRACE / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!((answer.status, answer.interim.len()), (405, 0));
    // Whatever the client does now, the five bytes are no request.
    client.write("hello").finish();
    let (_, rest) = client.end();
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 400"), "{:?}", String::from_utf8_lossy(&rest));
    assert!(origin.seen().is_empty());
}

#[test]
fn other_expectations_are_stripped_too() {
    Table::new().run([
        Case::forwarded(16, with(&["Expect: 100-continue"])).lacks("expect").then(After::Kept),
        Case::forwarded(16, with(&["Expect: something-else"])).lacks("expect"),
        Case::forwarded(16, "POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi")
            .sees("|hi"),
    ]);
}

#[test]
fn an_unanswered_expectation_still_gets_the_final_answer() {
    let origin = Origin::eager(|_| Reply::raw("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"));
    let proxy = Proxy::to(&[&origin]);
    let mut client = proxy.client();
    let answer = client.ask("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 50000\r\n\r\n");
    assert_eq!((answer.status, answer.text().as_str()), (403, "no"));
    drop(client);
    eventually("the half-sent request ends", || origin.open() == 0);
    assert!(origin.seen().iter().all(|seen| !seen.whole));
}
