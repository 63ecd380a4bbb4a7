//! What is worked on at a time, and what happens beyond. Rules 19, 20 and 23.

use std::time::Duration;

use pointsman::testing::stats::RejectReason;

use crate::support::{Answer, Client, End, Origin, Proxy, Reply, Setup, Turnstile, apart, eventually, get, post, with};

fn refusals(proxy: &Proxy, word: &str, count: u32) {
    proxy.await_metric("pointsman_refusals_total", &[&format!("reason=\"{word}\"")], f64::from(count));
}

/// Two workers, so that what has to hold over all of them is seen to.
fn two_workers(origin: &Origin) -> Setup {
    Setup::to(&[origin]).top("[proxy]\nworkers = 2")
}

/// An origin that answers `/slow` when its turn comes.
fn slow_origin(turnstile: &Turnstile) -> Origin {
    let turnstile = turnstile.clone();
    Origin::with(move |seen| match seen.target() {
        "/slow" => Reply::default().wait(&turnstile).then("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow"),
        _ => Reply::ok("ok"),
    })
}

fn connections(proxy: &Proxy) -> f64 {
    proxy.metric("pointsman_connections", &["side=\"client\""])
}

fn closed(client: &mut Client) {
    let (end, came) = client.end();
    assert!(end != End::Silent && came.is_empty(), "{end:?} {came:?}");
}

#[test]
fn connections_too_many_are_closed_at_once_and_places_come_back() {
    let origin = Origin::saying("ok");
    let proxy = two_workers(&origin).listener("connections_max = 8").start();
    let mut first: Vec<Client> = (0..8).map(|_| proxy.client()).collect();
    assert!(first.iter_mut().all(|client| client.ask(get("/")).status == 200));
    for _ in 0..5 {
        closed(proxy.client().write(get("/")));
    }
    refusals(&proxy, "too_many_connections", 5);
    assert!(first.iter_mut().all(|client| client.ask(get("/")).status == 200), "those that are there are served");
    first.truncate(6);
    eventually("two have left", || connections(&proxy) < 6.5);
    let mut again: Vec<Client> = (0..2).map(|_| proxy.client()).collect();
    assert!(again.iter_mut().all(|client| client.ask(get("/")).status == 200));
}

#[test]
fn connections_of_one_address_are_counted_by_the_client_that_is_known() {
    let origin = Origin::saying("ok");
    let proxy_protocol = "proxy_protocol = { from = [\"127.0.0.1\"] }\nconnections_per_address_max = 2";
    let proxy = two_workers(&origin).listener(proxy_protocol).start();
    let from = |address: &str| {
        let mut client = proxy.client();
        client.write(format!("PROXY TCP6 {address} ::1 1 2\r\n{}", get("/")));
        client
    };
    let addresses = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "::ffff:10.0.0.1"];
    let mut good: Vec<Client> = addresses.into_iter().map(from).collect();
    assert!(good.iter_mut().all(|client| client.answer().status == 200));
    closed(&mut from("2001:db8::3"));
    refusals(&proxy, "too_many_connections_of_address", 1);
    drop(good);
    eventually("all have left", || connections(&proxy) < 0.5);
    assert_eq!(from("2001:db8::3").answer().status, 200);
}

/// How many of `count` requests on connections of their own are answered with 429, and one such answer.
fn limited(proxy: &Proxy, request: &str, count: usize) -> (usize, Option<Answer>) {
    let answers: Vec<_> = (0..count).map(|_| proxy.client().ask(request)).collect();
    assert!(answers.iter().all(|answer| [200, 429].contains(&answer.status)), "{answers:?}");
    let refused: Vec<_> = answers.into_iter().filter(|answer| answer.status == 429).collect();
    (refused.len(), refused.into_iter().next())
}

#[test]
fn a_client_that_asks_too_often_is_told_when_to_come_again() {
    let origin = Origin::saying("ok");
    let rate = "trusted_proxies = [\"127.0.0.1\"]\nrate = { requests = 5, per = \"1h\", burst = 10 }";
    let proxy = two_workers(&origin).listener(rate).start();
    let from = |address: &str| with(&[&format!("X-Forwarded-For: {address}")]);
    let (count, answer) = limited(&proxy, &from("192.0.2.1"), 25);
    assert_eq!(count, 15, "over both workers");
    let answer = answer.unwrap();
    answer.assert_refused(429, "rate_limited");
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((600..=720).contains(&seconds), "{seconds}");
    assert_eq!(limited(&proxy, &from("192.0.2.2"), 10).0, 0, "another client");
    assert_eq!(limited(&proxy, &from("2001:db8::1"), 10).0, 0);
    assert_eq!(limited(&proxy, &from("2001:db8::ffff"), 3).0, 3, "the same subscriber");
    refusals(&proxy, "rate_limited", 18);
    // Forged by a client that is not trusted, it would be another client each time.
    let untrusted = Setup::to(&[&origin]).listener("rate = { requests = 3, per = \"1h\" }").start();
    let counts: usize = (0..6).map(|n| limited(&untrusted, &from(&format!("192.0.2.{n}")), 1).0).sum();
    assert_eq!(counts, 3);
}

#[test]
fn a_listener_may_have_one_rate_for_all_and_it_refills() {
    let origin = Origin::saying("ok");
    let rate = "trusted_proxies = [\"127.0.0.1\"]\nrate = { requests = 10, per = \"1s\", by = \"listener\" }";
    let proxy = two_workers(&origin).listener(rate).start();
    let mut refused = 0;
    for n in 0..200 {
        refused += limited(&proxy, &with(&[&format!("X-Forwarded-For: 192.0.2.{n}")]), 1).0;
    }
    assert!((1..=190).contains(&refused), "{refused}");
    eventually("one more goes", || proxy.client().ask(get("/")).status == 200);
}

#[test]
fn requests_of_the_process_are_bounded_over_all_workers() {
    let origin = Origin::with(|_| Reply::default().hang());
    let proxy = Setup::to(&[&origin]).top("[proxy]\nworkers = 2\nrequests_in_flight_max = 6").start();
    let mut waiting: Vec<Client> = (0..6).map(|_| proxy.client()).collect();
    for client in &mut waiting {
        client.write(get("/"));
    }
    proxy.await_metric("pointsman_requests_in_flight", &["service=\"site\""], 6.0);
    let mut one_more = proxy.client();
    let answer = one_more.ask(get("/"));
    answer.assert_refused(503, "overloaded");
    assert_eq!((answer.header("retry-after"), answer.header("connection")), (Some("1"), Some("close")));
    assert_eq!(one_more.end().0, End::Clean);
    drop(waiting.pop());
    proxy.await_metric("pointsman_requests_in_flight", &["service=\"site\""], 5.0);
    let mut next = proxy.client();
    next.write(get("/"));
    proxy.await_metric("pointsman_requests_in_flight", &["service=\"site\""], 6.0);
    refusals(&proxy, "overloaded", 1);
}

#[test]
fn a_full_service_lets_wait_and_then_refuses() {
    let turnstile = Turnstile::shut();
    let origin = slow_origin(&turnstile);
    let limits = "requests_in_flight_max = 2\nqueue_max = 3\nqueue_timeout = \"1m\"";
    let other = format!("[services.other]\npaths = [\"/other\"]\nversions.v1.endpoints = [\"{}\"]", origin.address());
    let proxy = two_workers(&origin).service(limits).bottom(&other).start();
    let mut clients: Vec<Client> = (0..5).map(|_| proxy.client()).collect();
    for (client, waits) in clients.iter_mut().zip([0.0, 0.0, 1.0, 2.0, 3.0]) {
        client.write(get("/slow"));
        if waits > 0.0 {
            proxy.await_metric("pointsman_queued_requests", &["service=\"site\""], waits);
        } else {
            eventually("it is in flight", || proxy.metric("pointsman_requests_in_flight", &[]) > 0.5);
        }
    }
    let refused = proxy.client().ask(get("/slow"));
    refused.assert_refused(503, "service_overloaded");
    assert_eq!((refused.header("retry-after"), refused.header("connection")), (Some("1"), Some("close")));
    assert_eq!(proxy.client().ask(get("/other")).text(), "ok", "another service is not concerned");
    turnstile.open();
    assert!(clients.iter_mut().all(|client| client.answer().text() == "slow"), "those that waited are served");
    assert_eq!(proxy.client().ask(get("/")).text(), "ok");
    proxy.await_metric("pointsman_queued_requests", &["service=\"site\""], 0.0);
    proxy.await_metric("pointsman_requests_in_flight", &["service=\"site\""], 0.0);
}

#[test]
fn a_wait_ends_and_who_leaves_is_not_waited_for() {
    let turnstile = Turnstile::shut();
    let origin = slow_origin(&turnstile);
    let limits = "requests_in_flight_max = 1\nqueue_max = 5\nqueue_timeout = \"200ms\"";
    let proxy = two_workers(&origin).service(limits).start();
    let mut first = proxy.client();
    first.write(get("/slow"));
    proxy.await_metric("pointsman_requests_in_flight", &["service=\"site\""], 1.0);
    let answer = proxy.client().ask(get("/"));
    answer.assert_refused(503, "queue_timeout");
    assert_eq!(answer.header("retry-after"), Some("1"));
    let mut gone = proxy.client();
    gone.write(get("/gone"));
    drop(gone);
    let refused = |word: &str| proxy.metric("pointsman_refusals_total", &[&format!("reason=\"{word}\"")]);
    eventually("it is no more waited for", || refused("queue_timeout") + refused("client_gone") > 1.5);
    turnstile.open();
    assert_eq!(first.answer().text(), "slow");
    // Its place is free a moment after its answer has come.
    proxy.await_metric("pointsman_requests_in_flight", &["service=\"site\""], 0.0);
    assert_eq!(proxy.client().ask(get("/")).text(), "ok");
    assert!(origin.seen().iter().all(|seen| seen.target() != "/gone"));
}

#[test]
fn a_thousand_requests_over_a_limit_of_three_never_overlap_more() {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    static NOW: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let origin = Origin::with(|_| {
        MOST.fetch_max(NOW.fetch_add(1, SeqCst) + 1, SeqCst);
        std::thread::sleep(Duration::from_millis(1));
        NOW.fetch_sub(1, SeqCst);
        Reply::ok("ok")
    });
    let limits = "requests_in_flight_max = 3\nqueue_max = 100\nqueue_timeout = \"60s\"";
    let proxy = two_workers(&origin).service(limits).start();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let mut client = proxy.client();
                for _ in 0..50 {
                    assert_eq!(client.ask(get("/")).text(), "ok");
                }
            });
        }
    });
    assert_eq!(MOST.load(SeqCst), 3);
}

#[test]
fn a_body_that_says_it_is_too_large_is_refused_at_once() {
    let origin = Origin::saying("ok");
    let proxy = Setup::to(&[&origin]).service("body_bytes_max = \"100B\"").start();
    let mut client = proxy.client();
    assert_eq!(client.ask(post("/", &"x".repeat(100))).text(), "ok");
    // Not a byte of it is sent.
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n");
    let answer = client.answer();
    answer.assert_refused(413, "request_body_too_large");
    assert_eq!(answer.header("connection"), Some("close"));
    // All of it is sent before the answer is read.
    let answer = proxy.client().ask(post("/", &"x".repeat(2_000_000)));
    answer.assert_refused(413, "request_body_too_large");
    assert!(answer.is_whole(), "{answer:?}");
    assert_eq!(origin.seen().len(), 1);
}

fn chunked(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
}

#[test]
fn a_body_without_a_length_is_cut_off_where_it_becomes_too_large() {
    let origin = Origin::saying("ok");
    let proxy = Setup::to(&[&origin]).service("body_bytes_max = \"100B\"").start();
    let mut client = proxy.client();
    assert_eq!(
        client.ask(chunked("/") + "32\r\n" + &"x".repeat(50) + "\r\n32\r\n" + &"x".repeat(50) + "\r\n0\r\n\r\n").text(),
        "ok"
    );
    client.write(chunked("/") + "32\r\n" + &"x".repeat(50) + "\r\n");
    apart();
    client.write("33\r\n".to_owned() + &"x".repeat(51) + "\r\n");
    let answer = client.answer();
    answer.assert_refused(413, "request_body_too_large");
    assert_eq!(answer.header("connection"), Some("close"));
    eventually("the origin sees that it was cut off", || origin.seen().iter().any(|seen| !seen.whole));
    // It is not the origin's fault.
    assert!(proxy.metric("pointsman_upstream_failures_total", &[]) < 0.5);
    assert_eq!(proxy.client().ask(get("/")).text(), "ok");
}

#[test]
fn a_body_that_becomes_too_large_after_the_answer_began_ends_the_connection() {
    let origin =
        Origin::eager(|_| Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n").hang());
    let proxy = Setup::to(&[&origin]).service("body_bytes_max = \"100B\"").start();
    let mut client = proxy.client();
    client.write(chunked("/") + "1\r\nx\r\n");
    let head = client.next_status();
    assert_eq!(head, 200);
    client.write("65\r\n".to_owned() + &"x".repeat(101) + "\r\n");
    let (end, came) = client.end();
    assert!(end != End::Silent && !came.ends_with(b"0\r\n\r\n"), "{end:?} {came:?}");
    refusals(&proxy, "request_body_too_large", 1);
    assert!(proxy.metric("pointsman_upstream_failures_total", &[]) < 0.5, "it is not the origin's fault");
}

#[test]
fn a_body_that_trickles_is_not_waited_for() {
    let origin = Origin::saying("ok");
    let limits = "body_rate_min = \"1000B\"\nbody_rate_grace = \"3s\"";
    let proxy = Setup::to(&[&origin]).service(limits).start();
    let mut client = proxy.client();
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    let mut sent = 0;
    while sent < 1000 && client.is_writable(b"x") && sent < 400 {
        sent += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    client.answer().assert_refused(408, "request_body_too_slow");
    refusals(&proxy, "request_body_too_slow", 1);
    // Five times the rate, for longer than the grace.
    let mut good = proxy.client();
    good.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18000\r\n\r\n");
    for _ in 0..180 {
        good.write([b'x'; 100]);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(good.answer().text(), "ok");
}

/// Every word of a limit stands in the reference table, and every word of the table is one.
#[test]
fn the_table_of_limits_knows_every_word() {
    let page = include_str!("../../../docs/limits.md");
    let rows = page.lines().filter(|line| line.starts_with("| `") || line.starts_with("| - |"));
    let cells: Vec<Vec<&str>> = rows.map(|row| row.split('|').map(str::trim).collect()).collect();
    let words = cells.iter().flat_map(|cells| cells[5].split(", ")).map(|word| word.trim_matches('`'));
    let words: Vec<&str> = words.filter(|word| *word != "-").collect();
    let known = |word: &str| RejectReason::ALL.iter().any(|reason| reason.word() == word);
    let strange: Vec<_> = words.iter().filter(|word| !known(word)).collect();
    assert!(strange.is_empty(), "{strange:?}");
    for reason in RejectReason::ALL.iter().map(|reason| reason.word()) {
        let limits = ["too_", "timeout", "rate_", "overloaded"].iter().any(|part| reason.contains(part));
        assert!(!limits || words.contains(&reason), "docs/limits.md lacks {reason}");
    }
    let example = include_str!("../../../config/example.toml");
    let keys = cells.iter().map(|cells| cells[1]).filter(|key| *key != "-");
    for key in keys.map(|key| key.trim_matches('`').rsplit('.').next().unwrap()) {
        assert!(example.contains(&format!("{key} = ")), "config/example.toml lacks {key}");
    }
}
