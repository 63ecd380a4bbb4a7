//! Rules 26 and 27: which connection a request takes, and whose fault an ending was.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::support::fault::{self, Fault};
use crate::support::{Client, End, Origin, Proxy, Reply, Setup, client, eventually, get, post, with};

pub(super) const FAILURES: &str = "pointsman_upstream_failures_total";

/// One worker, so that it is known which pool a request finds.
pub(super) fn one_worker(origins: &[&Origin], proxy_lines: &str) -> Proxy {
    Setup::to(origins).top(&format!("[proxy]\nworkers = 1\n{proxy_lines}")).start()
}

/// Waits until no request is under way, so that the pool has all connections.
pub(super) fn at_rest(proxy: &Proxy) {
    proxy.await_metric("pointsman_endpoint_in_flight", &[], 0.0);
}

/// Sends `count` requests at the same time and waits for all answers.
pub(super) fn at_once(address: SocketAddr, count: usize) -> Vec<u16> {
    let clients: Vec<_> = (0..count)
        .map(|_| {
            let mut client = Client::to(address);
            client.write(get("/at-once"));
            client
        })
        .collect();
    clients.into_iter().map(|mut client| client.answer().status).collect()
}

pub(super) fn ok() -> &'static str {
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
}

#[test]
fn an_endpoint_that_always_has_something_to_say_runs_into_the_deadlines() {
    // Words before the answer, without end.
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(2000);
    let flood = fault::listener();
    let address = flood.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in flood.incoming().take(1) {
            let mut stream = stream.unwrap();
            // What is said before the request would be no answer to it.
            assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
            // Until the proxy hangs up, and not for ever.
            let mut left = 100_000_000;
            while left > 0 && stream.write_all(interim.as_bytes()).is_ok() {
                left -= 2000;
            }
        }
    });
    let proxy =
        Setup::endpoints(&[&[address]]).top("[proxy]\nworkers = 1").service("response_timeout = \"300ms\"").start();
    proxy.client().ask(post("/", "body")).assert_refused(504, "upstream_timeout");
    proxy.await_metric(FAILURES, &["reason=\"timeout\""], 1.0);
}

#[test]
fn a_connection_is_used_again_after_a_whole_exchange() {
    let requests = [
        ("length", get("/")),
        ("chunks", get("/chunked")),
        ("nothing", get("/none")),
        ("head", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("post", post("/", "body")),
        ("post, chunks", post("/chunked", "body")),
        ("post, nothing", post("/none", "body")),
        ("large post", post("/", &"b".repeat(500_000))),
    ];
    let mut wrong = Vec::new();
    for (name, request) in requests {
        let origin = Origin::with(|seen| match seen.target() {
            "/chunked" => Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
            "/none" => Reply::raw("HTTP/1.1 204 No Content\r\n\r\n"),
            _ if seen.line().starts_with("HEAD") => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
            _ => Reply::raw(ok()),
        });
        let proxy = one_worker(&[&origin], "");
        let mut client = proxy.client();
        for _ in 0..10 {
            assert!(client.ask(&request).status < 300);
        }
        if origin.connections() > 1 {
            wrong.push((name, origin.connections()));
        }
    }
    assert!(wrong.is_empty(), "connections for ten requests one after the other: {wrong:?}");
}

#[test]
fn the_connection_that_was_used_last_is_taken_first() {
    let came = AtomicUsize::new(0);
    let origin = Origin::with(move |seen| {
        if seen.target() == "/at-once" {
            came.fetch_add(1, SeqCst);
            eventually("all of them are in flight", || came.load(SeqCst) == 3);
        }
        Reply::raw(ok())
    });
    let proxy = one_worker(&[&origin], "");
    assert_eq!(at_once(proxy.address, 3), [200; 3]);
    assert_eq!(origin.connections(), 3);
    at_rest(&proxy);
    origin.forget();
    let mut client = proxy.client();
    for _ in 0..5 {
        client.ask(get("/"));
    }
    let mut used: Vec<_> = origin.seen().iter().map(|seen| seen.connection).collect();
    used.dedup();
    assert_eq!(used.len(), 1, "{used:?}");
}

#[test]
fn a_connection_with_an_unfinished_request_is_not_used_again() {
    let origin = Origin::eager(|_| Reply::raw(ok()));
    let proxy = one_worker(&[&origin], "");
    let mut slow = proxy.client();
    slow.write("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    assert_eq!(slow.answer().text(), "ok");
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(client.ask(get("/")).text(), "ok");
    }
    slow.write("world");
    drop((slow, client, proxy));
    eventually("the origin has read all", || origin.open() == 0);
    let seen = origin.seen();
    assert_eq!(seen.iter().filter(|seen| seen.target() == "/").count(), 3);
    assert!(seen.iter().filter(|seen| seen.target() == "/").all(|seen| seen.connection != 0), "{seen:?}");
}

#[test]
fn a_connection_is_not_used_again_after_a_broken_exchange() {
    let broken = [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nconnection: Keep-Alive, CLOSE\r\nContent-Length: 2\r\n\r\nok",
    ];
    for answer in broken {
        // The origin keeps its side open, so that only the proxy can know better.
        let origin = Origin::playing(vec![Reply::raw(answer), Reply::raw(ok())]);
        let proxy = one_worker(&[&origin], "");
        let mut client = proxy.client();
        assert_eq!([client.ask(get("/")).text(), client.ask(get("/")).text()], ["ok", "ok"]);
        assert_eq!(origin.last().connection, 1, "{answer:?}");
    }
}

#[test]
fn idle_connections_have_a_timeout_an_age_and_a_cap() {
    for limit in ["upstream_idle_timeout = \"100ms\"", "upstream_max_age = \"100ms\""] {
        let origin = Origin::saying("ok");
        let proxy = one_worker(&[&origin], limit);
        let mut client = proxy.client();
        client.ask(get("/"));
        std::thread::sleep(std::time::Duration::from_millis(250));
        client.ask(get("/"));
        assert_eq!(origin.connections(), 2, "{limit}");
    }
    let origin = Origin::with(|_| Reply::default().pause(80).then(ok()));
    let proxy = one_worker(&[&origin], "upstream_idle_max = 1");
    assert_eq!(at_once(proxy.address, 4), [200; 4]);
    eventually("one idle connection is left", || origin.open() == 1);
}

#[test]
fn an_idle_connection_that_the_origin_closed_loses_no_request() {
    let origin = Origin::saying("ok");
    let proxy = one_worker(&[&origin], "");
    let mut client = proxy.client();
    for round in 0..10 {
        assert_eq!(client.ask(get("/")).status, 200, "{round}");
        origin.hang_up();
        eventually("the closing was noticed", || proxy.metric("pointsman_connections", &["side=\"upstream\""]) < 0.5);
        assert_eq!(client.ask(post("/", "body")).status, 200, "{round}");
        origin.hang_up();
        // No pause: the request meets the closing.
        assert_eq!(client.ask(get("/")).status, 200, "{round}");
    }
    assert!(proxy.metric(FAILURES, &[]) < 0.5, "closing an idle connection is no failure");
}

#[test]
fn an_endpoint_that_takes_no_connections_costs_no_request() {
    for dead in [Fault::refusing(), Fault::black_hole()] {
        let origin = Origin::saying("ok");
        let endpoints = [dead.address(), origin.address()];
        let proxy = Setup::endpoints(&[&endpoints]).service("connect_timeout = \"100ms\"").start();
        let mut client = proxy.client();
        for round in 0..10 {
            let request = if round % 2 == 0 { get("/") } else { post("/", "body") };
            let answer = client.ask(request);
            assert_eq!(answer.status, 200, "{round}: {answer:?}");
        }
        assert_eq!(origin.seen().len(), 10);
    }
}

#[test]
fn a_version_without_endpoints_passes_its_requests_on() {
    let (dead, origin) = (Fault::refusing(), Origin::saying("v2"));
    let proxy = Setup::endpoints(&[&[dead.address()], &[origin.address()]])
        .service("on_unhealthy = \"pass\"")
        .split(&[50, 50])
        .start();
    let mut client = proxy.client();
    eventually("v2 answers for v1", || client.ask(get("/")).text() == "v2");
    let answers: Vec<_> = (0..5).map(|_| client.ask(post("/", "x")).status).collect();
    assert!(answers.iter().filter(|status| **status == 200).count() >= 4, "{answers:?}");
    eventually("one was drawn for v1", || {
        client.ask(get("/"));
        proxy.metric("pointsman_passed_on_total", &["version=\"v1\""]) >= 1.0
    });
    assert!(proxy.metric(FAILURES, &["version=\"v2\""]) < 0.5);
}

#[test]
fn a_request_whose_own_dial_failed_counts_as_passed_on() {
    let (dead, origin) = (Fault::refusing(), Origin::saying("v2"));
    let proxy = Setup::endpoints(&[&[dead.address()], &[origin.address()]])
        .service("on_unhealthy = \"pass\"\nsticky = [\"header:x-user\"]")
        .split(&[50, 50])
        .start();
    let mut client = proxy.client();
    let mut user = 0;
    // Until a user of v1 comes: whose request is the one that finds out.
    while proxy.metric(FAILURES, &["version=\"v1\"", "reason=\"connect\""]) < 0.5 {
        user += 1;
        assert!(user < 100, "no user of 100 belongs to v1");
        let answer = client.ask(with(&[&format!("x-user: {user}")]));
        assert_eq!((answer.status, answer.text().as_str()), (200, "v2"));
    }
    let passed_on = proxy.metric("pointsman_passed_on_total", &["version=\"v1\""]);
    assert!((passed_on - 1.0).abs() < 0.5, "{passed_on}");
}

#[test]
fn a_version_without_endpoints_refuses_when_it_shall_not_pass_on() {
    let (dead, origin) = (Fault::refusing(), Origin::saying("v2"));
    let proxy =
        Setup::endpoints(&[&[dead.address()], &[origin.address()]]).service("on_unhealthy = \"refuse\"").start();
    let mut client = proxy.client();
    eventually("the version is known to be down", || client.ask(get("/")).status == 503);
    let answer = client.ask(get("/"));
    if answer.status == 503 {
        answer.assert_refused(503, "no_endpoint");
        assert!(answer.header("retry-after").is_some());
    }
    assert!(origin.seen().is_empty(), "refuse means that no other version is asked");
}

#[test]
fn an_endpoint_that_comes_back_is_used_again() {
    let dead = Fault::refusing();
    let proxy = Setup::endpoints(&[&[dead.address()]]).start();
    let mut client = proxy.client();
    assert!(client.ask(get("/")).status >= 502);
    let origin = dead.recover("back");
    eventually("the endpoint is asked again", || client.ask(get("/")).text() == "back");
    for _ in 0..5 {
        assert_eq!(client.ask(get("/")).status, 200);
    }
    drop(origin);
}

#[test]
fn an_answer_that_does_not_come_is_a_504() {
    let hanging = Origin::with(|_| Reply::default().hang());
    let half = Origin::with(|_| Reply::raw("HTTP/1.1 200 OK\r\nContent-").hang());
    let mute = Fault::mute();
    for address in [hanging.address(), half.address(), mute.address()] {
        let proxy = Setup::endpoints(&[&[address]]).service("response_timeout = \"200ms\"").start();
        let mut client = proxy.client();
        for request in [get("/"), post("/", "x")] {
            client.ask(request).assert_refused(504, "upstream_timeout");
        }
        proxy.await_metric(FAILURES, &["version=\"v1\"", "reason=\"timeout\""], 2.0);
    }
    eventually("the connections are given up", || hanging.open() + half.open() == 0);
    assert_eq!(hanging.seen().len(), 2, "a request that timed out is not sent again");
}

#[test]
fn a_connection_that_does_not_come_is_given_up() {
    let hole = Fault::black_hole();
    let proxy = Setup::endpoints(&[&[hole.address()]]).service("connect_timeout = \"100ms\"").start();
    let answer = client::send(proxy.address, get("/"));
    assert!(matches!(answer.status, 502..=504), "{answer:?}");
    assert!(proxy.metric(FAILURES, &["version=\"v1\"", "reason=\"connect\""]) >= 1.0);
}

#[test]
fn an_answer_that_stalls_breaks_off() {
    for head in ["Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        let answer = format!("HTTP/1.1 200 OK\r\n{head}");
        let origin = Origin::with(move |_| Reply::raw(&answer).hang());
        let proxy = Setup::to(&[&origin]).service("body_idle_timeout = \"200ms\"").start();
        let answer = client::send(proxy.address, get("/"));
        assert!(matches!(answer.body.broken, Some(End::Clean | End::Reset)), "{answer:?}");
        proxy.await_metric(FAILURES, &["version=\"v1\"", "reason=\"body_timeout\""], 1.0);
        eventually("the connection is given up", || origin.open() == 0);
    }
}

#[test]
fn an_answer_that_is_slow_but_steady_arrives() {
    let steady = (0..6).fold(Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"), |r, _| r.pause(600).then("x"));
    let origin = Origin::with(move |_| steady.clone());
    let lines = "body_idle_timeout = \"3s\"\nresponse_timeout = \"3s\"";
    let proxy = Setup::to(&[&origin]).service(lines).start();
    let answer = client::send(proxy.address, get("/"));
    assert_eq!((answer.text().as_str(), answer.is_whole()), ("xxxxxx", true));
}

#[test]
fn a_client_that_goes_before_its_answer_is_its_own_fault() {
    for reset in [false, true] {
        let origin = Origin::with(|_| Reply::default().hang());
        let proxy = Proxy::to(&[&origin]);
        let mut client = proxy.client();
        client.write(get("/"));
        eventually("the origin was asked", || origin.seen().len() == 1);
        if reset {
            client.reset()
        } else {
            drop(client)
        }
        eventually("the upstream request is given up", || origin.open() == 0);
        proxy.await_metric("pointsman_refusals_total", &["reason=\"client_gone\""], 1.0);
        proxy.await_metric("pointsman_endpoint_in_flight", &[], 0.0);
        assert!(proxy.metric(FAILURES, &[]) < 0.5);
    }
}

#[test]
fn a_client_that_goes_inside_its_answer_is_its_own_fault() {
    let origin = Origin::with(|_| {
        let piece = vec![b'x'; 1 << 20];
        let head = Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 268435456\r\n\r\n");
        (0..32).fold(head, |reply, _| reply.then(&piece)).hang()
    });
    let proxy = Proxy::to(&[&origin]);
    let mut client = proxy.client();
    client.write(get("/"));
    assert_eq!(client.next_status(), 200);
    client.reset();
    eventually("the upstream connection is given up", || origin.open() == 0);
    proxy.await_metric("pointsman_endpoint_in_flight", &[], 0.0);
    assert!(proxy.metric(FAILURES, &[]) < 0.5);
}

#[test]
fn statuses_of_500_pass_and_are_counted_others_are_not() {
    for (status, counted) in [(500, 1.0), (503, 1.0), (404, 0.0), (499, 0.0), (302, 0.0)] {
        let answer = format!("HTTP/1.1 {status} Own\r\nContent-Length: 3\r\n\r\nown");
        let origin = Origin::with(move |_| Reply::raw(&answer));
        let proxy = Proxy::to(&[&origin]);
        let answer = client::send(proxy.address, get("/"));
        assert_eq!((answer.status, answer.text().as_str()), (status, "own"));
        proxy.await_metric("pointsman_requests_total", &["version=\"v1\""], 1.0);
        proxy.await_metric(FAILURES, &["version=\"v1\"", "reason=\"status_5xx\""], counted);
    }
}

#[test]
fn answer_heads_have_limits() {
    let many: String = (0..200).map(|n| format!("X-{n}: 1\r\n")).collect();
    let big = format!("X-Big: {}\r\n", "b".repeat(200_000));
    for lines in [many, big, "X: y\r\n".repeat(50_000)] {
        let answer = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\nok");
        let origin = Origin::with(move |_| Reply::raw(&answer));
        let proxy = Proxy::to(&[&origin]);
        client::send(proxy.address, get("/")).assert_refused(502, "upstream_bad_answer");
    }
}

#[test]
fn a_client_that_goes_while_a_connection_is_made_leaves_nothing_behind() {
    let hole = Fault::black_hole();
    let proxy = Setup::endpoints(&[&[hole.address()]]).start();
    let mut client = proxy.client();
    client.write(get("/"));
    eventually("the endpoint is dialled", || proxy.metric("pointsman_endpoint_in_flight", &[]) > 0.5);
    client.reset();
    proxy.await_metric("pointsman_endpoint_in_flight", &[], 0.0);
}

#[test]
fn a_client_that_stops_reading_its_answer_is_given_up() {
    let origin = Origin::with(|_| {
        let piece = vec![b'x'; 1 << 20];
        (0..64).fold(Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n"), |r, _| r.then(&piece))
    });
    let proxy = Setup::to(&[&origin]).listener(crate::support::proxy::IDLE_TIMEOUT_SHORT).start();
    let mut client = proxy.client();
    client.write(get("/"));
    assert_eq!(client.next_status(), 200);
    proxy.await_metric("pointsman_endpoint_in_flight", &[], 0.0);
    eventually("the upstream connection is given up", || origin.open() == 0);
    assert!(proxy.metric(FAILURES, &[]) < 0.5, "the client's fault");
}
