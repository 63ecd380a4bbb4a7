//! Cases for the page of conformance whose tests are written out elsewhere, because they need more than one request or
//! more than one look; and the page itself: nothing on it may be stale, and no rule that applies may be missing.

use std::collections::BTreeSet;

use super::framing::chunked;
use crate::support::conformance::{path, sections};
use crate::support::proxy::IDLE_TIMEOUT_SHORT;
use crate::support::{Case, Origin, Reply, Section, Setup, Table, eventually, get, post};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Rules that have no row, because no bytes of a client or an origin are their case; where they are shown
/// (`file::test`), and why not here.
const ELSEWHERE: [(u8, &[&str], &str); 6] = [
    (
        17,
        &["h2::rules::a_call_of_grpc_goes_through_whole_and_fails_in_its_own_words"],
        "a call is more than its status",
    ),
    (
        21,
        &["http::upstream::a_client_that_stops_reading_its_answer_is_given_up"],
        "a setting that is never made: slow readers take bounded memory",
    ),
    (23, &["operations::descriptors::with_64_descriptors_the_next_connections_wait"], "a limit of the process"),
    (
        28,
        &[
            "endpoints::drain::a_request_that_comes_right_after_the_signal_is_answered",
            "endpoints::drain::the_second_signal_ends_now",
        ],
        "signals",
    ),
    (29, &["operations::upgrade::soak_upgrades_under_load_fail_nothing_and_forget_nothing"], "another process"),
    (
        30,
        &["http::caches::a_cache_hands_nobody_the_version_or_the_cookie_of_another_user"],
        "whether two users get the same is no row",
    ),
];

#[test]
fn answers_that_mean_two_things_or_none_are_not_passed_on() {
    let bad = |reply: &str| Case::answered(6, &format!("HTTP/1.1 200 OK\r\n{reply}"), 502, "upstream_bad_answer");
    let whole = |reply: &str| Case::answered(6, reply, 502, "upstream_bad_answer");
    Table::new().run([
        bad("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        bad("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        bad("Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        bad("Transfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        bad("Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello"),
        bad("Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
        bad("Content-Length: +5\r\n\r\nhello"),
        bad("Bad Name: 1\r\nContent-Length: 2\r\n\r\nok"),
        whole("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
        whole("HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        whole("SSH-2.0-OpenSSH_9.2\r\n"),
        Case::answered(6, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "ok"),
        Case::answered(6, "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n", 204, ""),
    ]);
}

#[test]
fn a_body_that_breaks_is_broken_for_the_other_side_as_well() {
    let bad = |body: &str| Case::broken(7, chunked(body), &[400], "bad_body");
    let cut = |reply: &str| Case::answered(7, &format!("HTTP/1.1 200 OK\r\n{reply}"), 200, "hello");
    Table::new().run([
        bad("z\r\nhello\r\n0\r\n\r\n"),
        bad("5\r\nhelloX\r\n0\r\n\r\n"),
        bad("5 5\r\nhello\r\n0\r\n\r\n"),
        bad("-5\r\nhello\r\n0\r\n\r\n"),
        bad("0x5\r\nhello\r\n0\r\n\r\n"),
        bad("ffffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        bad("5\rhello\r\n0\r\n\r\n"),
        cut("Content-Length: 10\r\n\r\nhello").goes_on("closes", |reply| reply.pause(50).close()),
        cut("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").goes_on("closes", |reply| reply.pause(50).close()),
    ]);
}

#[test]
fn trailers_that_frame_route_or_authenticate_do_not_pass() {
    let body = "5\r\nhello\r\n0\r\nX-Ok: yes\r\nContent-Length: 9\r\nHost: evil\r\nAuthorization: x\r\n\r\n";
    let names = "Trailer: X-Ok, Content-Length, Host, Authorization";
    let request = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n{names}\r\n\r\n{body}");
    Table::new().run([Case::forwarded(8, request).sees("+x-ok: yes").lacks("authorization").sees("|hello")]);
}

#[test]
fn trusted_proxies_are_believed() {
    let with = crate::support::with;
    let table = Table::with(|setup| setup.listener("trusted_proxies = [\"127.0.0.0/8\"]"));
    table.run([
        Case::forwarded(12, with(&["X-Forwarded-For: 1.2.3.4"])).sees("x-forwarded-for: 1.2.3.4, 127.0.0.1"),
        Case::forwarded(12, with(&["X-Forwarded-Proto: https"])).sees("x-forwarded-proto: https"),
        Case::forwarded(12, with(&["X-Request-Id: kept-1"])).sees("x-request-id: kept-1"),
        Case::forwarded(12, with(&["Forwarded: for=1.2.3.4"])).sees("forwarded: for=1.2.3.4, for=127.0.0.1;proto=http"),
    ]);
}

#[test]
fn heads_bodies_and_answers_have_their_time() {
    // The answers of a busy machine's origin must still come within the second of the two.
    let short = "body_idle_timeout = \"300ms\"\nresponse_timeout = \"5s\"";
    let table = Table::with(|setup| setup.listener(IDLE_TIMEOUT_SHORT).service(short));
    let half = |framing: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}");
    table.run([
        Case::refused(19, "GET / HTTP/1.1\r\nHost: a\r\n", &[408], "head_timeout"),
        Case::broken(19, half("Content-Length: 10\r\n\r\nhello"), &[408], "request_body_timeout"),
        Case::broken(19, half("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), &[408], "request_body_timeout"),
        Case::answered(19, "HTTP/1.1 200 OK\r\nContent-", 504, "upstream_timeout").goes_on("hangs", Reply::hang),
        Case::answered(19, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", 200, "hello")
            .goes_on("hangs", Reply::hang),
    ]);
}

#[test]
fn a_refusal_before_the_body_was_read_arrives() {
    let table = Table::with(|setup| setup.service("hosts = [\"known\"]"));
    let refused = |size: usize| Case::refused(20, post("/", &"b".repeat(size)), &[404], "no_service");
    table.run([refused(10), refused(300_000), refused(2_000_000)]);
}

#[test]
fn who_is_told_of_by_a_proxy_header_is_the_client() {
    let plain = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let behind = |header: &str| Case::forwarded(14, format!("{header}{plain}"));
    let taken = Table::with(|setup| setup.listener("proxy_protocol = { from = [\"127.0.0.0/8\"], timeout = \"3s\" }"));
    let v2 = "\r\n\r\n\0\r\nQUIT\n";
    taken.run([
        behind("PROXY TCP4 192.0.2.7 10.0.0.1 80 81\r\n").sees("x-forwarded-for: 192.0.2.7"),
        behind("PROXY TCP6 2001:db8::7 ::1 80 81\r\n").sees("x-forwarded-for: 2001:db8::7"),
        behind("PROXY UNKNOWN\r\n").sees("x-forwarded-for: 127.0.0.1"),
        behind(&format!("{v2}\x21\x11\0\x0c\x0a\0\0\x07\x0a\0\0\x01\0\x50\0\x51")).sees("x-forwarded-for: 10.0.0.7"),
        behind(&format!("{v2}\x20\0\0\0")).sees("x-forwarded-for: 127.0.0.1"),
        Case::closed(14, plain),
        Case::closed(14, format!("PROXY TCP4 192.0.2.7 10.0.0.1 80 81\n{plain}")),
        Case::closed(14, format!("PROXY TCP4 192.0.2.7 10.0.0.1 80 99999\r\n{plain}")),
        Case::closed(14, format!("{v2}\x21\x12\0\0{plain}")),
        Case::closed(14, "PROXY TCP4 192.0.2.7 "),
    ]);
}

#[test]
fn a_proxy_header_that_is_not_expected_is_no_request() {
    let plain = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    Table::new().run([
        Case::refused(14, format!("PROXY TCP4 192.0.2.7 10.0.0.1 80 81\r\n{plain}"), &[400], ""),
        Case::refused(14, format!("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0{plain}"), &[400], ""),
    ]);
}

#[test]
fn the_protocol_is_told_by_the_first_bytes_in_their_time() {
    let table = Table::with(|setup| setup.listener("h2c = true").listener(IDLE_TIMEOUT_SHORT));
    table.run([
        Case::forwarded(18, get("/")).sees("GET / HTTP/1.1"),
        Case::forwarded(18, "PRIOR / HTTP/1.1\r\nHost: a\r\n\r\n").sees("PRIOR / HTTP/1.1"),
        Case::refused(18, "PRI * HTTP/2.0\r\n", &[408], "head_timeout"),
    ]);
}

/// An origin that answers the first request and resets its connection at the second; from then on it is good.
fn resetting() -> Origin {
    Origin::playing(vec![Reply::raw(OK), Reply::default().reset(), Reply::raw(OK)])
}

#[test]
fn a_request_is_sent_again_only_if_that_cannot_be_noticed() {
    let mut section = Section::of_this_test();
    for (case, request, answer, sent) in [
        ("GET on a reused connection that the origin resets", get("/again"), "200", 2),
        ("POST on a reused connection that the origin resets", post("/again", "x"), "502 upstream_reset", 1),
    ] {
        let origin = resetting();
        let proxy = Setup::to(&[&origin]).top("[proxy]\nworkers = 1").start();
        let mut client = proxy.client();
        assert_eq!(client.ask(get("/first")).status, 200);
        proxy.await_metric("pointsman_endpoint_in_flight", &[], 0.0);
        let found = client.ask(request);
        assert!(answer.starts_with(&found.status.to_string()), "{case}: {found:?}");
        let times = origin.seen().iter().filter(|seen| seen.target() == "/again").count();
        assert_eq!(times, sent, "{case}");
        section.add(25, case, answer, &format!("the request {}", if sent == 1 { "once" } else { "twice" }));
    }
    section.check();
}

#[test]
fn a_connection_is_used_again_only_after_a_whole_exchange() {
    let mut section = Section::of_this_test();
    let good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for (case, reply, again) in [
        ("a whole answer, then a further request", good.to_owned(), true),
        ("an answer with bytes behind it, then a further request", format!("{good}HTTP/1.1 200 OK\r\n\r\n"), false),
        (
            "an answer with Connection: close, then a further request",
            good.replace("OK\r\n", "OK\r\nConnection: close\r\n"),
            false,
        ),
    ] {
        let origin = Origin::playing(vec![Reply::raw(&reply), Reply::raw(OK)]);
        let proxy = Setup::to(&[&origin]).top("[proxy]\nworkers = 1").start();
        let mut client = proxy.client();
        assert_eq!(client.ask(get("/")).text(), "ok");
        proxy.await_metric("pointsman_connections", &["side=\"upstream\""], if again { 1.0 } else { 0.0 });
        assert_eq!(client.ask(get("/")).text(), "ok", "{case}");
        assert_eq!(origin.last().connection == 0, again, "{case}");
        section.add(26, case, "200", if again { "both on one connection" } else { "each on its own connection" });
    }
    section.check();
}

#[test]
fn only_what_the_upstream_did_wrong_counts_against_its_version() {
    let mut section = Section::of_this_test();
    let cases = [
        ("origin: 500", get("/"), Reply::raw("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"), 500, 1.0),
        ("origin: 404", get("/"), Reply::raw("HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"), 404, 0.0),
        ("origin closes without an answer", post("/", "x"), Reply::default().close(), 502, 1.0),
        ("the client's chunks are malformed", chunked("z\r\n"), Reply::raw(OK), 400, 0.0),
        ("the client's head is malformed", "GET / HTTP/1.1\r\n\r\n".to_owned(), Reply::raw(OK), 400, 0.0),
    ];
    for (case, request, reply, status, failures) in cases {
        let origin = Origin::with(move |_| reply.clone());
        let proxy = Setup::to(&[&origin]).start();
        assert_eq!(proxy.client().ask(request).status, status, "{case}");
        eventually("it was counted", || {
            proxy.metric("pointsman_requests_total", &[]) + proxy.metric("pointsman_refusals_total", &[]) > 0.5
        });
        proxy.await_metric("pointsman_upstream_failures_total", &["version=\"v1\""], failures);
        let told = if failures > 0.5 { "counted as a failure of the version" } else { "not counted" };
        section.add(27, case, &status.to_string(), told);
    }
    section.check();
}

#[test]
fn every_rule_has_a_row_and_every_row_its_test() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return;
    }
    let page = std::fs::read_to_string(path()).expect("the page");
    let rules: BTreeSet<u8> =
        page.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok()).collect();
    let elsewhere: BTreeSet<u8> = ELSEWHERE.iter().map(|(rule, _, _)| *rule).collect();
    let missing: Vec<_> = (1..=30).filter(|rule| !rules.contains(rule) && !elsewhere.contains(rule)).collect();
    assert!(missing.is_empty(), "rules without a row: {missing:?}");
    let both: Vec<_> = rules.intersection(&elsewhere).collect();
    assert!(both.is_empty(), "rules that have a row now, so that ELSEWHERE need not excuse them: {both:?}");
    let exists = |title: &str| {
        let (file, name) = title.rsplit_once("::").expect("folder::file::function");
        let file = file.replace("::", "/");
        let source = std::fs::read_to_string(format!("{}/tests/it/{file}.rs", env!("CARGO_MANIFEST_DIR")));
        source.is_ok_and(|text| text.contains(&format!("\nfn {name}(")))
    };
    for title in ELSEWHERE.iter().flat_map(|(_, tests, _)| *tests) {
        assert!(exists(title), "ELSEWHERE names {title}, which is no test any more");
    }
    for (_, title) in sections(&page).keys() {
        assert!(
            exists(title),
            "{title} is on the page and no test any more (`make golden`, after deleting its section)"
        );
    }
}
