//! Uploads to endpoints of HTTP/2 that give little room for them, or none: what is sent again, and how long that may
//! take.

use std::time::Duration;

use crate::support::frame_endpoint::{FrameEndpoint, ok, reset};
use crate::support::frames::{WINDOW_UPDATE, frame};
use crate::support::{Setup, eventually, get, post};

/// A setting of an endpoint (RFC 9113, 6.5.2).
const INITIAL_WINDOW_SIZE: u16 = 4;

/// The code of a reset (RFC 9113, 7).
const REFUSED_STREAM: u32 = 7;

fn setup(endpoint: &FrameEndpoint) -> Setup {
    Setup::endpoints(&[&[endpoint.address]]).top("[proxy]\nworkers = 1").version("protocol = \"h2\"")
}

fn room(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

/// A body whose beginning fills a window is sent again, wherever the window ends inside a part of it.
#[test]
fn an_upload_that_is_refused_within_a_window_is_sent_again_however_long_it_is() {
    for bytes in [65_536, 66_000, 200_000] {
        let endpoint = FrameEndpoint::start(&[], |connection, stream| match connection {
            0 => Vec::new(),
            _ => [room(0, 1_000_000), room(stream, 1_000_000)].concat(),
        });
        let proxy = setup(&endpoint).start();
        let mut client = proxy.client();
        client.write(post("/", &"b".repeat(bytes)));
        eventually("the window is full", || endpoint.bytes(1) == 65_535);
        endpoint.write(0, reset(1, REFUSED_STREAM));
        eventually("all of it has come again", || endpoint.bytes(1) == 65_535 + bytes);
        endpoint.write(1, ok(1));
        assert_eq!(client.answer().text(), "ok", "{bytes} bytes");
        assert_eq!(endpoint.requests(), [(0, 1), (1, 1)]);
    }
}

#[test]
fn an_endpoint_that_reads_slowly_has_not_stopped_to_read() {
    const BYTES: usize = 60_000;
    let endpoint = FrameEndpoint::start(&[(INITIAL_WINDOW_SIZE, 0)], |_, stream| match stream {
        1 => ok(stream),
        _ => Vec::new(),
    });
    let proxy = setup(&endpoint).service("response_timeout = \"4s\"").start();
    let mut client = proxy.client();
    // So that it has said what room there is.
    assert_eq!(client.ask(get("/")).text(), "ok");
    client.write(post("/", &"b".repeat(BYTES)));
    eventually("it is under way", || endpoint.requests().len() == 2);
    for _ in 0..BYTES / 3_000 {
        // The test is about an endpoint that is slow: in all it takes longer than it may do nothing.
        std::thread::sleep(Duration::from_millis(250));
        endpoint.write(0, room(3, 3_000));
    }
    eventually("all of it has come", || endpoint.bytes(3) == BYTES || !endpoint.resets().is_empty());
    endpoint.write(0, ok(3));
    assert_eq!(client.answer().text(), "ok");
    // One that takes some of a body and then no more has stopped.
    client.write(post("/", &"b".repeat(BYTES)));
    eventually("it is under way", || endpoint.requests().len() == 3);
    endpoint.write(0, room(5, 3_000));
    client.answer().assert_refused(504, "upstream_timeout");
    assert_eq!(endpoint.bytes(5), 3_000);
}
