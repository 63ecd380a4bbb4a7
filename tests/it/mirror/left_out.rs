//! What says nothing of a version, what is a failure, and what of responses is not compared.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use super::copies::{await_pairs, found};
use crate::support::{Client, Origin, Proxy, Reply, Setup, apart, eventually, get, post, with};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

fn mirrored(old: &Origin, new: &Origin, more: &str) -> Proxy {
    let mirror = format!("mirror = {{ to = \"v2\", share = 100, methods = [\"GET\", \"HEAD\", \"POST\"], {more} }}");
    Setup::to(&[old, new]).service(&mirror).start()
}

/// `{pairs, failed only by the copy, failed only by the user's}`, and all that was dropped.
fn counts(found: &Value) -> [u64; 4] {
    let count = |key: &str| found[key].as_u64().unwrap();
    let dropped = found["dropped"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    [count("pairs"), count("candidate_failed_alone"), count("baseline_failed_alone"), dropped]
}

/// Has a client leave by `leave` while its request is copied; it must count for nothing.
fn nothing_is_counted(proxy: &Proxy, leave: impl FnOnce(Client)) {
    let client = proxy.client();
    let before = counts(&found(proxy));
    leave(client);
    eventually("no copy is under way", || found(proxy)["in_flight"] == 0);
    assert_eq!(counts(&found(proxy)), before);
}

fn await_copy(proxy: &Proxy) {
    eventually("a copy is under way", || found(proxy)["in_flight"] == 1);
}

#[test]
fn a_user_who_leaves_says_nothing_of_a_version() {
    let hangs = |path: &str| Reply::raw(format!("{HEAD}Content-Length: 100\r\n\r\n{path}")).hang();
    let old = Origin::with(move |seen| if seen.target() == "/hangs" { hangs("a part") } else { Reply::ok("well") });
    let new = Origin::saying("well");
    let proxy = mirrored(&old, &new, "");
    // In the middle of an upload.
    nothing_is_counted(&proxy, |mut client| {
        client.write("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
        await_copy(&proxy);
        client.reset();
    });
    // In the middle of a response, of which the copy has all.
    nothing_is_counted(&proxy, |mut client| {
        client.write(get("/hangs"));
        assert_eq!(client.next_status(), 200);
        await_copy(&proxy);
        client.reset();
    });
    // Before a response: of an upload that was whole too.
    let old = Origin::with(|_| Reply::raw("").hang());
    let proxy = mirrored(&old, &new, "");
    for request in [get("/"), post("/", "all of it")] {
        nothing_is_counted(&proxy, |mut client| {
            client.write(request);
            await_copy(&proxy);
            client.reset();
        });
    }
}

#[test]
fn a_slow_upload_is_copied_whole() {
    let (old, new) = (Origin::saying("well"), Origin::saying("well"));
    let proxy = mirrored(&old, &new, "");
    let mut client = proxy.client();
    client.write("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    for part in ["abc", "def", "ghi"] {
        apart();
        client.write(part);
    }
    assert_eq!(client.answer().text(), "well");
    assert_eq!(counts(&await_pairs(&proxy, 1)), [1, 0, 0, 0]);
    assert_eq!(new.only().text(), "abcdefghi");
}

#[test]
fn a_response_that_is_cut_has_failed_on_either_side() {
    let cut = || Origin::with(|_| Reply::raw(format!("{HEAD}Content-Length: 100\r\n\r\n{{\"a\":")).close());
    let whole = || Origin::saying("{\"a\": 1}");
    for (old, new, wanted) in
        [(whole(), cut(), [1, 1, 0, 0]), (cut(), whole(), [1, 0, 1, 0]), (cut(), cut(), [1, 0, 0, 0])]
    {
        // Whatever is compared of bodies.
        for body in ["json", "off", "length"] {
            let proxy = mirrored(&old, &new, &format!("compare = {{ body = \"{body}\", headers = [] }}"));
            drop(proxy.client().write(get("/")).read(false));
            assert_eq!(counts(&await_pairs(&proxy, 1)), wanted, "{body}");
        }
    }
}

fn packed(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

/// A response with more lines in its head, and this body after it.
fn response(lines: &str, body: &[u8]) -> Reply {
    let head = format!("{HEAD}{lines}Content-Length: {}\r\n\r\n", body.len());
    Reply::raw([head.as_bytes(), body].concat())
}

#[test]
fn what_cannot_be_compared_is_no_difference_and_bodies_that_are_not_are_counted() {
    let plain = || response("", b"{\"a\": 1}");
    let gzip = |text: &str| response("Content-Encoding: gzip\r\n", &packed(text));
    let coded = |coding: &str, body: &str| response(&format!("Content-Encoding: {coding}\r\n"), body.as_bytes());
    let long = |letter: &str| response("", format!("\"{}\"", letter.repeat(70_000)).as_bytes());
    let head = |length: u32| Reply::raw(format!("{HEAD}Content-Length: {length}\r\n\r\n"));
    let not_modified = || Reply::raw("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n");
    let stream = |text: &str| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
        Reply::raw(format!("{head}Content-Length: {}\r\n\r\n{text}", text.len()))
    };
    let (ask, validated) = (get("/"), with(&["If-None-Match: \"1\""]));
    let ask_head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned();
    // What is asked, both responses, pairs that differ, bodies that were not compared.
    let cases = [
        ("304 beside 200", &validated, not_modified(), plain(), [0, 0]),
        ("304 beside 304", &validated, not_modified(), not_modified(), [0, 0]),
        ("gzip beside identity", &ask, gzip("{ \"a\":1 }"), plain(), [0, 0]),
        ("gzip of another document", &ask, plain(), gzip("{\"a\": 2}"), [1, 0]),
        ("the same bytes in a coding that is not read", &ask, coded("br", "x"), coded("br", "x"), [0, 0]),
        ("others", &ask, coded("br", "x"), coded("br", "y"), [0, 1]),
        ("long ones", &ask, long("x"), long("y"), [0, 1]),
        ("a long one beside a short one", &ask, plain(), long("y"), [0, 1]),
        ("HEAD", &ask_head, head(5), head(7), [0, 0]),
        ("events", &ask, stream("data: 1\n\n"), stream("data: 2\n\n"), [0, 1]),
    ];
    for (what, request, old, new, wanted) in cases {
        let (old, new) = (Origin::with(move |_| old.clone()), Origin::with(move |_| new.clone()));
        let proxy = mirrored(&old, &new, "compare = { latency = false }");
        proxy.client().ask(request);
        let found = await_pairs(&proxy, 1);
        let counted = [&found["differing"], &found["bodies_not_compared"]].map(|count| count.as_u64().unwrap());
        assert_eq!((counted, counts(&found)), (wanted, [1, 0, 0, 0]), "{what}: {found:#}");
        let left_out = proxy.metric("pointsman_mirror_bodies_not_compared_total", &["version=\"v2\""]);
        assert!((left_out - wanted[1] as f64).abs() < 1e-9, "{what}");
    }
}

#[test]
fn what_is_done_in_the_name_of_a_connection_is_not_copied() {
    let (old, new) = (Origin::saying("well"), Origin::saying("well"));
    let proxy = mirrored(&old, &new, "");
    let mut client = proxy.client();
    client.ask(with(&["Authorization: NTLM TlRMTVNTUAABAAAA"]));
    client.ask(get("/in-its-name"));
    proxy.client().ask(get("/other"));
    assert_eq!(counts(&await_pairs(&proxy, 1)), [1, 0, 0, 0]);
    assert_eq!(new.only().target(), "/other");
}
