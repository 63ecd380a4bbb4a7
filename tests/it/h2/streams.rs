//! How a stream of HTTP/2 ends, by whomever: in order only if all of it came.

use crate::support::frames::{self, Came, Field, Frames};
use crate::support::h2::{H2Client, request};
use crate::support::proxy::IDLE_TIMEOUT_SHORT;
use crate::support::{Origin, Proxy, Reply, Setup, eventually};

const H2C: &str = "h2c = true";

/// Codes of resets (RFC 9113, 7).
const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const CANCEL: u32 = 8;

fn proxy(origin: &Origin) -> Proxy {
    Setup::to(&[origin]).listener(H2C).start()
}

fn head(method: &str, host: &str) -> Vec<Field> {
    let fields = [(":method", method), (":scheme", "http"), (":authority", host), (":path", "/")];
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn an_upload_that_is_taken_back_never_looks_whole_whatever_the_code_says() {
    for code in [NO_ERROR, CANCEL] {
        let origin = Origin::saying("ok");
        let proxy = proxy(&origin);
        let begun = frames::unended(&head("POST", "a"), b"half");
        frames::send_and_take_back(
            proxy.address,
            (&begun, code),
            || eventually("it is under way", || origin.connections() == 1),
            || proxy.await_metric("pointsman_refusals_total", &["reason=\"client_gone\""], 1.0),
        );
        assert!(origin.seen().iter().all(|seen| !seen.whole), "code {code}: {:?}", origin.seen());
    }
}

#[test]
fn a_head_is_answered_without_a_body_also_when_the_proxy_answers() {
    let origin = Origin::saying("ok");
    let proxy = Setup::to(&[&origin]).listener(H2C).service("hosts = [\"a\"]").start();
    for (host, method, empty) in [("elsewhere", "HEAD", true), ("elsewhere", "GET", false), ("a", "HEAD", true)] {
        let frames = Frames { head: head(method, host), ..Frames::default() };
        let Came::Answer(body) = frames::send(proxy.address, &frames.bytes()) else { panic!("{method} {host}") };
        assert_eq!(body.is_empty(), empty, "{method} {host}: {body}");
    }
}

#[test]
fn an_answer_before_the_end_of_an_upload_ends_the_upload_without_an_error() {
    let origin = Origin::saying("ok");
    let proxy = Setup::to(&[&origin]).listener(H2C).service("hosts = [\"a\"]").start();
    let begun = frames::unended(&head("POST", "elsewhere"), b"half");
    let (answer, behind) = frames::send_and_look_behind_the_answer(proxy.address, &begun);
    assert!(matches!(&answer, Came::Answer(text) if text.contains("no_service")), "{answer:?}");
    assert_eq!(behind, Came::Reset(NO_ERROR), "RFC 9113, 8.1");
}

#[test]
fn an_answer_that_breaks_resets_its_stream() {
    let origin = Origin::with(|_| Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").close());
    let proxy = proxy(&origin);
    let frames = Frames { head: head("GET", "a"), ..Frames::default() };
    assert_eq!(frames::send(proxy.address, &frames.bytes()), Came::Reset(INTERNAL_ERROR));
    proxy.await_metric("pointsman_upstream_failures_total", &["reason=\"short_body\""], 1.0);
}

#[test]
fn a_connect_with_a_length_ends_nothing_but_itself() {
    let origin = Origin::saying("ok");
    let proxy = proxy(&origin);
    let mut client = H2Client::to(proxy.address);
    let length = [("content-length", "5")];
    for _ in 0..3 {
        client.try_ask(request("CONNECT", "a:80", &length), &[b"hello"], None).unwrap().assert_refused(405, "method");
    }
    assert_eq!(client.ask(request("GET", "http://a/", &[])).status, 200, "the connection goes on");
}

#[test]
fn a_client_that_takes_its_request_back_frees_what_it_holds() {
    let origin = Origin::with(|_| Reply::raw("").hang());
    let proxy = proxy(&origin);
    let mut client = H2Client::to(proxy.address);
    client.take_back(request("GET", "http://a/", &[])).unwrap();
    client.turn();
    proxy.await_metric("pointsman_refusals_total", &["reason=\"client_gone\""], 1.0);
    eventually("nothing is in flight", || proxy.metric("pointsman_endpoint_in_flight", &[]) < 0.5);
}

/// The farewell of a connection as a client of gRPC takes it: it answers the ping first, and then writes what it had
/// queued, which is a call and a bit of window for it.
#[test]
fn a_call_that_was_queued_at_the_farewell_is_served_and_one_that_comes_later_ends_nothing() {
    let origin = Origin::with(|seen| match seen.target() {
        "/slow" => Reply::raw("").pause(1_200).then("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow"),
        _ => Reply::ok("quick"),
    });
    let mut proxy = proxy(&origin);
    let to = |path: &str| {
        let mut fields = head("GET", "a");
        fields.iter_mut().filter(|(name, _)| name == ":path").for_each(|(_, value)| path.clone_into(value));
        fields
    };
    let begun = [frames::beginning(), frames::whole_head(1, &to("/slow"))].concat();
    let (mut client, mut frames) = frames::connected(proxy.address, &begun);
    eventually("it is in flight", || origin.connections() == 1);
    proxy.stop();
    let call = |stream: u32| {
        let window = frames::frame(frames::WINDOW_UPDATE, 0, stream, &5u32.to_be_bytes());
        [frames::whole_head(stream, &to("/quick")), window].concat()
    };
    let (mut ended, mut last_streams) = (std::collections::BTreeMap::<u32, Vec<u8>>::new(), Vec::new());
    while let Ok((kind, flags, stream, payload)) = frames.next() {
        match kind {
            frames::PING if flags == 0 => {
                client.write([frames::frame(frames::PING, 1, 0, &payload), call(3)].concat());
            }
            frames::GOAWAY => {
                assert_eq!(payload[4..8], [0; 4], "no error: {payload:?}, after {ended:?}");
                last_streams.push(u32::from_be_bytes(payload[..4].try_into().unwrap()));
                if last_streams.len() == 2 {
                    client.write(call(5));
                }
            }
            frames::DATA => ended.entry(stream).or_default().extend(payload),
            _ => {}
        }
    }
    assert_eq!(ended, [(1, b"slow".to_vec()), (3, b"quick".to_vec())].into());
    assert_eq!(last_streams[..2], [u32::MAX >> 1, 3]);
}

/// What a client asks for while the farewell of a connection without streams is on its way to it.
#[test]
fn a_request_that_crosses_the_farewell_of_an_idle_connection_is_answered_however_long_it_takes() {
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
    // In all longer than a client may take to close, and than the connection may be idle besides.
    let origin = Origin::with(move |_| Reply::raw("").pause(3_000).then(begun).pause(3_500).then("slow"));
    let proxy = Setup::to(&[&origin]).listener(H2C).listener(IDLE_TIMEOUT_SHORT).start();
    let (mut client, mut frames) = frames::connected(proxy.address, &frames::beginning());
    let (mut body, mut last_streams) = (Vec::new(), Vec::new());
    while let Ok((kind, flags, _, payload)) = frames.next() {
        match kind {
            frames::GOAWAY => {
                last_streams.push(u32::from_be_bytes(payload[..4].try_into().unwrap()));
                if last_streams.len() == 1 {
                    client.write(frames::whole_head(1, &head("GET", "a")));
                }
            }
            frames::PING if flags == 0 => {
                client.write(frames::frame(frames::PING, 1, 0, &payload));
            }
            frames::DATA => body.extend(payload),
            _ => {}
        }
    }
    assert_eq!(String::from_utf8_lossy(&body), "slow", "{last_streams:?}");
}

/// A client that takes an answer a window at a time, for much longer than a write may wait.
#[test]
fn a_client_that_takes_a_little_now_and_then_gets_all_of_it() {
    const WINDOW: usize = 3_000;
    const LENGTH: usize = 40_000;
    let origin = Origin::with(|_| Reply::ok(vec![b'x'; LENGTH]));
    let proxy = Setup::to(&[&origin]).listener(H2C).listener("idle_timeout = \"5s\"").start();
    let (id, window) = (4_u16.to_be_bytes(), u32::try_from(WINDOW).unwrap().to_be_bytes());
    let settings = frames::frame(frames::SETTINGS, 0, 0, &[&id[..], &window].concat());
    let begun = [frames::beginning(), settings, frames::whole_head(1, &head("GET", "a"))].concat();
    let (mut client, mut frames) = frames::connected(proxy.address, &begun);
    let (mut taken, mut given) = (0, WINDOW);
    while taken < LENGTH {
        let (kind, _, _, payload) = frames.next().unwrap_or_else(|end| panic!("{end:?} after {taken} bytes"));
        assert!(![frames::GOAWAY, frames::RST_STREAM].contains(&kind), "{kind} {payload:?} after {taken} bytes");
        if kind == frames::DATA {
            taken += payload.len();
        }
        if taken == given {
            // The test is about a client that is slow.
            std::thread::sleep(std::time::Duration::from_millis(600));
            client.write(frames::frame(frames::WINDOW_UPDATE, 0, 1, &window));
            given += WINDOW;
        }
    }
    proxy.await_metric("pointsman_requests_total", &["code=\"2xx\""], 1.0);
    assert!(proxy.metric("pointsman_refusals_total", &["reason=\"client_gone\""]) < 0.5);
}

/// Bytes that the codec does not take never reach an endpoint, in whatever form.
#[test]
fn what_the_codec_does_not_take_is_refused_whole() {
    const PROTOCOL_ERROR: u32 = 1;
    let origin = Origin::saying("ok");
    let proxy = proxy(&origin);
    let came = |path: &str, byte: u8| {
        let mut fields = head("GET", "a");
        fields.iter_mut().filter(|(name, _)| name == ":path").for_each(|(_, value)| path.clone_into(value));
        let mut bytes = Frames { head: fields, ..Frames::default() }.bytes();
        if let Some(place) = bytes.iter().position(|place| *place == b'~') {
            bytes[place] = byte;
        }
        frames::send(proxy.address, &bytes)
    };
    for path in ["/\"", "/{", "/}", "/|", "/^", "/\\", "/ü", "/?ü", "/?{", "/?|", "/?`"] {
        assert_eq!(came(path, 0), Came::Answer("ok".to_owned()), "{path}");
        assert_eq!(origin.forget().0[0].target(), path);
    }
    for path in ["/<", "/>", "/`", "/?<", "/?>", "/?\"", "/ ", "/?\u{7f}"] {
        assert_eq!(came(path, 0), Came::Reset(PROTOCOL_ERROR), "{path}");
    }
    // Not a stream: the codec reads fields as UTF-8 before it knows what they are of.
    assert_eq!(came("/~", 0xff), Came::GoAway(PROTOCOL_ERROR));
    assert!(origin.seen().is_empty());
}

#[test]
fn pseudo_headers_among_trailers_are_dropped_or_refused_and_never_forwarded() {
    const PROTOCOL_ERROR: u32 = 1;
    let origin = Origin::saying("ok");
    let proxy = proxy(&origin);
    let came = |trailers: &[(&str, &str)]| {
        let trailers = trailers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut head = head("POST", "a");
        head.push(("trailer".to_owned(), "x-sum".to_owned()));
        let upload = Frames { head, data: vec![b"hi".to_vec()], trailers };
        frames::send(proxy.address, &upload.bytes())
    };
    for trailers in [&[(":path", "/evil"), ("x-sum", "7")][..], &[(":status", "500"), ("x-sum", "7")]] {
        assert_eq!(came(trailers), Came::Answer("ok".to_owned()), "{trailers:?}");
        let seen = origin.forget().0.remove(0);
        assert_eq!((seen.target(), seen.text().as_str()), ("/", "hi"));
        assert!(seen.body.trailers.iter().all(|(name, _)| name == "x-sum"), "{seen:?}");
    }
    assert_eq!(came(&[("x-sum", "7"), (":path", "/evil")]), Came::Reset(PROTOCOL_ERROR));
    assert_eq!(came(&[(":unknown", "1")]), Came::GoAway(PROTOCOL_ERROR));
    assert!(origin.seen().iter().all(|seen| !seen.whole), "{:?}", origin.seen());
}
