//! Where features meet: cases that each part handles, and that went wrong between them.

use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use http::Method;
use pointsman::cli::client::{AdminClient, Call};
use serde_json::json;

use crate::support::h2::{H2Client, H2Origin, request};
use crate::support::process::{Process, config};
use crate::support::{Client, Origin, PATIENCE, Proxy, Reply, Setup, Turnstile, client, eventually, get};

/// What hyper answers to a head that it cannot parse, as a client might send it in a body.
const LIKE_HYPERS: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";

const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn a_body_may_look_like_an_answer_of_the_codec() {
    let text = format!("see: {LIKE_HYPERS}");
    let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", LIKE_HYPERS.len());
    // In one piece, and alone in a piece of its own when all before it has left.
    let in_parts = Reply::raw(head).pause(30).then(LIKE_HYPERS);
    for (reply, want) in [(Reply::raw(whole), text.as_str()), (in_parts, LIKE_HYPERS)] {
        let origin = Origin::with(move |_| reply.clone());
        let proxy = Proxy::to(&[&origin]);
        let mut client = proxy.client();
        // The next request is there already: its answer must not be taken for the missing bytes.
        client.write(get("/1") + &get("/2"));
        for _ in 0..2 {
            let answer = client.answer();
            assert_eq!((answer.status, answer.text().as_str(), answer.is_whole()), (200, want, true));
        }
        // And an answer of the codec's own is still one of ours.
        client.write("GET / HTTP/1.1\r\nHost: a\r\nbroken\r\n\r\n");
        client.answer().assert_refused(400, "bad_head");
    }
}

#[test]
fn clients_that_do_not_read_stop_nobody_on_a_shared_connection() {
    let large: &'static str = Box::leak("x".repeat(2_000_000).into_boxed_str());
    let origin = H2Origin::saying(large);
    let proxy = Setup::endpoints(&[&[origin.address()]]).version("protocol = \"h2\"").start();
    let mut deaf = Vec::new();
    for number in 1..=60 {
        let mut client = proxy.client();
        client.write(get("/large"));
        deaf.push(client);
        eventually("the origin has the request", || origin.seen().len() == number);
    }
    // What comes for them is where it stays.
    std::thread::sleep(Duration::from_millis(200));
    let answer = proxy.client().patient(2 * PATIENCE).ask(get("/"));
    assert_eq!((answer.status, answer.body.bytes.len(), answer.is_whole()), (200, large.len(), true));
    assert!(origin.connections() <= 2, "they share connections");
}

/// A process with `proxy` in its section and `listener` in that of its listener.
fn start(origin: &Origin, proxy: &str, listener: &str) -> (tempfile::TempDir, Process) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    let text = config(origin.address(), origin.address(), "")
        .replace("workers = 2", &format!("workers = 1\nshutdown_timeout = \"10m\"\n{proxy}"))
        .replacen("[admin]", &format!("{listener}\n[admin]"), 1);
    std::fs::write(&path, text).unwrap();
    let process = Process::start(&path);
    (folder, process)
}

#[test]
fn a_full_house_is_left_in_order() {
    let origin = Origin::saying("hello");
    let (_folder, mut process) = start(&origin, "connections_max = 4", "");
    // Each asks as soon as it is there: in a full house one that has said nothing for a moment makes room.
    let ask = |mut client: Client| {
        assert_eq!(client.ask(get("/")).status, 200);
        client
    };
    let _idle: Vec<_> = (0..4).map(|_| ask(Client::to(process.listener))).collect();
    // It waits at the socket, with its request.
    let mut waiting = Client::to(process.listener).patient(4 * PATIENCE);
    waiting.write(get("/"));
    process.signal("TERM");
    assert_eq!(waiting.answer().status, 200);
    assert!(process.wait().success(), "long before its deadline");
}

#[test]
fn who_says_nothing_keeps_nobody() {
    let origin = Origin::saying("hello");
    let (_folder, mut process) = start(&origin, "", "h2c = true");
    let mut silent = [Client::to(process.listener), Client::to(process.listener)];
    silent[1].write("P");
    assert_eq!(Client::to(process.listener).ask(get("/")).status, 200, "they are accepted");
    process.signal("TERM");
    assert!(process.wait().success(), "long before its deadline");
}

#[test]
fn a_part_of_a_preface_is_waited_for_and_its_end_is_seen() {
    let origin = Origin::saying("hello");
    let proxy = Setup::to(&[&origin]).listener("h2c = true").start();
    let connected = || proxy.metric("pointsman_connections", &["side=\"client\""]);
    let mut slow = proxy.client();
    let mut asked = get("/");
    asked.replace_range(..3, "PRINT");
    for part in ["P", "R", "INT"] {
        slow.write(part);
        std::thread::sleep(Duration::from_millis(20));
    }
    slow.write(&asked[5..]);
    assert_eq!(slow.answer().status, 200);
    drop(slow);
    for part in ["P", "PRI * HTTP/2.0\r\n"] {
        let mut gone = TcpStream::connect(proxy.address).unwrap();
        std::io::Write::write_all(&mut gone, part.as_bytes()).unwrap();
        eventually("it is there", || connected() > 0.5);
        gone.shutdown(Shutdown::Write).unwrap();
        eventually("it is gone", || connected() < 0.5);
    }
}

#[test]
fn a_hold_refuses_nobody_who_waits_for_a_place() {
    let turnstile = Turnstile::shut();
    let waits = turnstile.clone();
    let origin = Origin::with(move |seen| match seen.target() {
        "/slow" => Reply::default().wait(&waits).then("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        _ => Reply::ok("ok"),
    });
    let queue_timeout = Duration::from_secs(6);
    let limits = "requests_in_flight_max = 1\nqueue_max = 10\nqueue_timeout = \"6s\"";
    let proxy = Setup::to(&[&origin]).service(limits).start();
    let admin = AdminClient::new(&proxy.admin.to_string(), None).unwrap();
    let mut first = proxy.client();
    first.write(get("/slow"));
    proxy.await_metric("pointsman_requests_in_flight", &["service=\"site\""], 1.0);
    let mut queued: Vec<_> = (0..3).map(|_| proxy.client()).collect();
    for client in &mut queued {
        client.write(get("/"));
    }
    proxy.await_metric("pointsman_queued_requests", &["service=\"site\""], 3.0);
    let call = |method: Method, path: &str, body| admin.call(Call { method, path, body, if_match: None }).unwrap();
    std::thread::scope(|scope| {
        let body = json!({ "services": ["site"], "max": "30s" });
        let hold = scope.spawn(|| call(Method::POST, "/v1/hold", Some(body)));
        eventually("it holds", || call(Method::GET, "/v1/hold", None)[0]["in_force"] == true);
        turnstile.turn();
        assert_eq!(first.answer().status, 200);
        hold.join().unwrap();
    });
    proxy.await_metric("pointsman_held_requests", &[], 3.0);
    // The hold lasts longer than anybody may queue.
    std::thread::sleep(queue_timeout);
    call(Method::DELETE, "/v1/hold/1", None);
    for client in &mut queued {
        assert_eq!(client.answer().status, 200);
    }
}

#[test]
fn an_endpoint_without_websockets_over_http2_is_no_failing_one() {
    let (first, second) = (H2Origin::saying("v1"), H2Origin::saying("v1"));
    let setup = Setup::endpoints(&[&[first.address(), second.address()]]).version("protocol = \"h2\"");
    let proxy = setup.service("outlier = { consecutive_failures = 3, ejection = \"1m\" }").start();
    for _ in 0..20 {
        client::send(proxy.address, HANDSHAKE).assert_refused(502, "upstream_bad_answer");
    }
    assert!(proxy.metric("pointsman_endpoint_healthy", &[]) > 1.5, "{}", proxy.status());
    // Drawn at random: of this many, each has some.
    for _ in 0..60 {
        assert_eq!(proxy.client().ask(get("/")).text(), "v1");
    }
    assert!(first.seen().len() > 1 && second.seen().len() > 1, "both are asked");
}

#[test]
fn a_success_that_is_no_consent_is_not_one_to_a_client_of_http2() {
    for reply in [
        Reply::ok("welcome"),
        Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        Reply::raw("HTTP/1.1 204 No Content\r\n\r\n"),
    ] {
        let origin = Origin::with(move |_| reply.clone());
        let proxy = Setup::to(&[&origin]).listener("h2c = true").start();
        assert_eq!(H2Client::to(proxy.address).tunnel("http://a/chat", b"hello"), Err(502));
        // To one of HTTP/1.1 it is an answer like any other.
        assert!([200, 204].contains(&client::send(proxy.address, HANDSHAKE).status));
    }
}

#[test]
fn a_length_that_is_no_number_is_not_passed_on_where_there_is_no_body() {
    for (ask, reply) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: abc\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: -1\r\n\r\n"),
    ] {
        let origin = Origin::raw(reply);
        let proxy = Proxy::to(&[&origin]);
        let mut client = proxy.client();
        client.write(format!("{ask} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        let answer = client.read(ask == "HEAD").unwrap();
        assert_eq!(answer.status, 502, "{ask} {reply:?}");
    }
}

#[test]
fn redirects_count_as_requests() {
    let origin = Origin::saying("hello");
    let lines = "redirect_https = true\nrate = { requests = 2, per = \"1m\" }";
    let proxy = Setup::to(&[&origin]).listener(lines).start();
    let statuses: Vec<_> = (0..4).map(|_| client::send(proxy.address, get("/")).status).collect();
    assert_eq!(statuses, [308, 308, 429, 429]);
}

#[test]
fn pieces_of_a_cookie_are_one_line() {
    let origin = Origin::saying("hello");
    let proxy = Setup::to(&[&origin]).listener("h2c = true").start();
    let pieces: Vec<_> = (0..120).map(|number| format!("c{number}=1")).collect();
    let headers: Vec<_> = pieces.iter().map(|piece| ("cookie", piece.as_str())).collect();
    assert_eq!(H2Client::to(proxy.address).ask(request("GET", "http://a/", &headers)).status, 200);
    assert_eq!(origin.only().header("cookie").unwrap(), pieces.join("; "));
    let lines: Vec<_> = (0..120).map(|number| (["x-a", "x-b"][number % 2], "1")).collect();
    H2Client::to(proxy.address).ask(request("GET", "http://a/", &lines)).assert_refused(431, "head_too_large");
}
