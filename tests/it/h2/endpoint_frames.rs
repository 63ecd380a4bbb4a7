//! Frames that endpoints and clients of HTTP/2 may send: many small ones, late ones, and bad ones. What is wrong with
//! one stream, or slow about it, is no matter of the others on its connection.

use crate::support::frame_endpoint::{FrameEndpoint, data, head, head_in_frames, head_of, ok, reset};
use crate::support::frames::{
    self, END_HEADERS, END_STREAM, Field, GOAWAY, HEADERS, PING, RST_STREAM, WINDOW_UPDATE, block, frame,
};
use crate::support::h2::{H2Client, request};
use crate::support::{Client, Proxy, Setup, eventually, get};

/// Settings of an endpoint (RFC 9113, 6.5.2; RFC 8441, 3).
const INITIAL_WINDOW_SIZE: u16 = 4;
const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// Codes of resets (RFC 9113, 7).
const INTERNAL_ERROR: u32 = 2;
const CANCEL: u32 = 8;

fn setup(endpoint: &FrameEndpoint) -> Setup {
    let setup = Setup::endpoints(&[&[endpoint.address]]).top("[proxy]\nworkers = 1");
    setup.listener("h2c = true").version("protocol = \"h2\"")
}

/// A proxy that has a connection to the endpoint: its first request was answered.
fn warm(setup: &Setup) -> Proxy {
    let proxy = setup.start();
    assert_eq!(proxy.client().ask(get("/")).status, 200);
    proxy
}

/// A client whose request is under way on stream 3 of a connection that was used before: it has the head of its answer.
fn bystander(proxy: &Proxy) -> Client {
    let mut client = proxy.client();
    client.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(client.next_head().line.contains("200"));
    client
}

/// Ends the answer of a [`bystander`].
#[track_caller]
fn assert_whole(endpoint: &FrameEndpoint, mut bystander: Client) {
    endpoint.write(0, data(3, "whole", true));
    let (end, rest) = bystander.end();
    assert!(
        String::from_utf8_lossy(&rest).ends_with("whole\r\n0\r\n\r\n"),
        "{end:?} {rest:?} {:?}",
        endpoint.farewells()
    );
    assert_eq!(endpoint.farewells(), [""; 0]);
}

fn failures(proxy: &Proxy) -> f64 {
    proxy.metric("pointsman_upstream_failures_total", &["version"])
}

#[test]
fn a_client_that_does_not_read_stops_its_own_answers_and_no_others() {
    const UNREAD: u32 = 14;
    let endpoint = FrameEndpoint::start(&[], |_, stream| match stream {
        1 => ok(stream),
        _ => head(stream, "200", &[], false),
    });
    let proxy = warm(&setup(&endpoint));
    let bystander = bystander(&proxy);
    let mut unwilling = H2Client::with_window(proxy.address, 0);
    let unread: Vec<_> = (0..UNREAD).map(|_| unwilling.begin(request("GET", "http://a/", &[]))).collect();
    eventually("all are under way", || endpoint.requests().len() == 16);
    assert!(endpoint.requests().iter().all(|(connection, _)| *connection == 0), "{:?}", endpoint.requests());
    for (_, stream) in endpoint.requests().into_iter().skip(2) {
        endpoint.write(0, data(stream, [b'x'; 50], false).repeat(1_300));
    }
    endpoint.ask(0, 1);
    eventually("it was read", || endpoint.has_read_all(0, 1) || !endpoint.farewells().is_empty());
    assert_whole(&endpoint, bystander);
    assert!(failures(&proxy) < 0.5);
    drop(unread);
}

#[test]
fn an_answer_in_very_small_parts_is_passed_on() {
    const PARTS: usize = 60_000;
    let endpoint = FrameEndpoint::start(&[], |_, stream| match stream {
        1 => ok(stream),
        _ => [head(stream, "200", &[], false), data(stream, "x", false).repeat(PARTS), data(stream, "", true)].concat(),
    });
    let proxy = warm(&setup(&endpoint));
    for _ in 0..2 {
        let answer = proxy.client().ask(get("/"));
        assert_eq!((answer.status, answer.body.bytes.len(), answer.is_whole()), (200, PARTS, true));
    }
    assert_eq!((endpoint.requests().len(), endpoint.farewells().len()), (3, 0));
}

#[test]
fn answers_that_break_their_framing_add_up_to_nothing() {
    // Each ends in a reset for its own error: the end of the stream comes in a frame of its own.
    let endpoint = FrameEndpoint::start(&[], |_, stream| match stream {
        1 => ok(stream),
        3 => head(stream, "200", &[], false),
        _ => [head(stream, "304", &[("content-length", "5")], false), data(stream, "", true)].concat(),
    });
    let proxy = warm(&setup(&endpoint));
    let bystander = bystander(&proxy);
    let mut client = H2Client::to(proxy.address);
    for _ in 0..11 {
        let begun: Vec<_> = (0..95).map(|_| client.begin_many(request("GET", "http://a/", &[]))).collect();
        for answer in begun {
            let _broken = client.try_finish(answer);
        }
    }
    eventually("each was reset", || endpoint.resets().len() >= 1_045 || !endpoint.farewells().is_empty());
    assert_whole(&endpoint, bystander);
}

#[test]
fn what_comes_late_on_streams_that_were_given_up_is_no_error() {
    const GIVEN_UP: usize = 90;
    let endpoint = FrameEndpoint::start(&[], |_, stream| match stream {
        1 => ok(stream),
        _ => head(stream, "200", &[], false),
    });
    let proxy = warm(&setup(&endpoint));
    let bystander = bystander(&proxy);
    let mut client = H2Client::to(proxy.address);
    let begun: Vec<_> = (0..GIVEN_UP).map(|_| client.begin_many(request("GET", "http://a/", &[]))).collect();
    client.turn();
    eventually("all are under way", || endpoint.requests().len() == 2 + GIVEN_UP);
    drop(begun);
    client.turn();
    eventually("all are given up", || endpoint.resets().len() == GIVEN_UP);
    for (_, stream) in endpoint.requests().into_iter().skip(2) {
        endpoint.write(0, data(stream, "late", false));
    }
    endpoint.ask(0, 1);
    eventually("it was read", || endpoint.has_read_all(0, 1));
    assert_eq!(endpoint.resets(), [CANCEL; GIVEN_UP]);
    assert_whole(&endpoint, bystander);
}

#[test]
fn a_head_in_many_frames_is_read_and_one_that_is_too_large_fails_alone() {
    let long = "y".repeat(1_000);
    let endpoint = FrameEndpoint::start(&[], move |_, stream| {
        let head_with = |status, count| [vec![(":status", status)], vec![("x-long", long.as_str()); count]].concat();
        let lines = |count| head_with("200", count);
        match stream {
            1 => ok(stream),
            3 => head(stream, "200", &[], false),
            5 => head_in_frames(stream, &lines(26), 2_000, true),
            7 => head_in_frames(stream, &lines(60), 1_000, true),
            9 => head_in_frames(stream, &lines(80), 16_000, true),
            11 => head_in_frames(stream, &lines(300), 16_000, true),
            13 => [head_in_frames(stream, &head_with("103", 80), 16_000, false), ok(stream)].concat(),
            _ => ok(stream),
        }
    });
    let proxy = warm(&setup(&endpoint));
    let bystander = bystander(&proxy);
    for lines in [26, 60] {
        let answer = proxy.client().ask(get("/"));
        assert_eq!((answer.status, answer.head.all("x-long").len()), (200, lines), "{:?}", endpoint.farewells());
    }
    proxy.client().ask(get("/")).assert_refused(502, "response_head_bytes_max");
    proxy.client().ask(get("/")).assert_refused(502, "response_headers_max");
    proxy.client().ask(get("/")).assert_refused(502, "response_head_bytes_max");
    assert_eq!(proxy.client().ask(get("/")).text(), "ok");
    let streams: Vec<_> = endpoint.requests();
    assert_eq!(streams, [1, 3, 5, 7, 9, 11, 13, 15].map(|stream| (0, stream)), "none was sent again");
    assert_whole(&endpoint, bystander);
    proxy.await_metric("pointsman_upstream_failures_total", &["reason=\"bad_answer\""], 3.0);
}

#[test]
fn a_stream_that_is_reset_on_an_open_connection_is_not_sent_again() {
    let endpoint = FrameEndpoint::start(&[(ENABLE_CONNECT_PROTOCOL, 1)], |_, stream| match stream {
        1 | 13 => ok(stream),
        3 => head(stream, "200", &[], false),
        _ => reset(stream, INTERNAL_ERROR),
    });
    let proxy = warm(&setup(&endpoint));
    let bystander = bystander(&proxy);
    for _ in 0..3 {
        proxy.client().ask(get("/")).assert_refused(502, "upstream_reset");
    }
    assert!((failures(&proxy) - 3.0).abs() < 0.5);
    let handshake = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    proxy.client().ask(handshake).assert_refused(502, "does not take WebSockets");
    assert!((failures(&proxy) - 3.0).abs() < 0.5, "a refusal is no failure");
    assert_eq!(proxy.client().ask(get("/")).text(), "ok");
    assert_eq!(endpoint.requests(), [1, 3, 5, 7, 9, 11, 13].map(|stream| (0, stream)));
    assert!(proxy.metric("pointsman_retries_total", &["version"]) < 0.5);
    assert_whole(&endpoint, bystander);
}

#[test]
fn an_answer_that_is_none_is_called_that_and_not_asked_for_again() {
    type Bad = (&'static str, fn(u32) -> Vec<u8>);
    let answers: [Bad; 8] = [
        ("two lengths", |id| head(id, "200", &[("content-length", "4"), ("content-length", "5")], false)),
        ("a length that is no number", |id| head(id, "200", &[("content-length", "x")], false)),
        ("no status", |id| head_of(id, &[("x", "y")], true)),
        ("a status twice", |id| head_of(id, &[(":status", "200"), (":status", "200")], true)),
        ("of a connection", |id| head(id, "200", &[("connection", "close")], true)),
        ("of a coding", |id| head(id, "200", &[("transfer-encoding", "chunked")], true)),
        ("an interim answer that is the last", |id| head(id, "103", &[("link", "</a>")], true)),
        ("more than it said before it said it", |id| {
            [head(id, "200", &[("content-length", "4"), ("connection", "x")], false), data(id, "longer", true)].concat()
        }),
    ];
    for (what, bad) in answers {
        let endpoint = FrameEndpoint::start(&[], move |_, stream| match stream {
            1 | 7 => ok(stream),
            3 => head(stream, "200", &[], false),
            _ => bad(stream),
        });
        let proxy = warm(&setup(&endpoint));
        let bystander = bystander(&proxy);
        let answer = proxy.client().ask(get("/"));
        assert!(answer.status == 502 && answer.text().contains("upstream_bad_answer"), "{what}: {answer:?}");
        assert_eq!(proxy.client().ask(get("/")).text(), "ok", "{what}");
        assert_eq!(endpoint.requests(), [1, 3, 5, 7].map(|stream| (0, stream)), "{what}");
        proxy.await_metric("pointsman_upstream_failures_total", &["reason=\"bad_answer\""], 1.0);
        assert_whole(&endpoint, bystander);
    }
}

/// The head of a request with a body.
fn upload(stream: u32) -> Vec<u8> {
    let fields = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    let fields: Vec<Field> = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    frame(HEADERS, END_HEADERS, stream, &block(&fields))
}

#[test]
fn uploads_in_small_messages_are_slowed_down_by_windows_and_not_cut() {
    const MESSAGES: usize = 3_000;
    // It takes nothing until it says so.
    let endpoint = FrameEndpoint::start(&[(INITIAL_WINDOW_SIZE, 0)], |_, stream| match stream {
        1 => ok(stream),
        _ => Vec::new(),
    });
    let proxy = warm(&setup(&endpoint));
    let (mut client, mut came) = frames::connected(proxy.address, &frames::beginning());
    while came.next().unwrap().0 != WINDOW_UPDATE {}
    let streams: Vec<u32> = (0..16).map(|number| 2 * number + 1).collect();
    for stream in &streams {
        client.write([upload(*stream), data(*stream, [b'm'; 20], false).repeat(MESSAGES)].concat());
    }
    client.write(frame(PING, 0, 0, &[1; 8]));
    loop {
        match came.next().unwrap() {
            (PING, 1, ..) => break,
            (GOAWAY, _, _, payload) => panic!("{}", String::from_utf8_lossy(&payload[8..])),
            _ => {}
        }
    }
    eventually("all are under way", || endpoint.requests().len() == 1 + streams.len());
    let (connection, first) = endpoint.requests()[1];
    endpoint.write(connection, frame(WINDOW_UPDATE, 0, first, &100_000_u32.to_be_bytes()));
    eventually("a whole one has come", || endpoint.bytes(first) == 20 * MESSAGES);
    assert!(proxy.metric("pointsman_refusals_total", &["reason=\"flood\""]) < 0.5);
}

#[test]
fn what_was_under_way_of_uploads_that_are_refused_is_no_error_of_the_client() {
    let endpoint = FrameEndpoint::start(&[], |_, stream| ok(stream));
    let proxy = setup(&endpoint).service("hosts = [\"elsewhere\"]").start();
    let (mut client, mut came) = frames::connected(proxy.address, &frames::beginning());
    let streams: Vec<u32> = (0..90).map(|number| 2 * number + 1).collect();
    client.write(streams.iter().flat_map(|stream| upload(*stream)).collect::<Vec<_>>());
    let mut ended = 0;
    while ended < streams.len() {
        let (_, flags, stream, _) = came.next().unwrap();
        ended += usize::from(stream > 0 && flags & END_STREAM != 0);
    }
    let late = streams.iter().flat_map(|stream| data(*stream, "late", false).repeat(3));
    client.write(late.chain(frame(PING, 0, 0, &[1; 8])).collect::<Vec<_>>());
    loop {
        match came.next().unwrap() {
            (PING, 1, ..) => break,
            (RST_STREAM, _, _, code) => assert_eq!(code, [0; 4], "its answer was enough"),
            (GOAWAY, _, _, payload) => panic!("{}", String::from_utf8_lossy(&payload[8..])),
            _ => {}
        }
    }
    assert!(proxy.metric("pointsman_refusals_total", &["reason=\"flood\""]) < 0.5);
}
