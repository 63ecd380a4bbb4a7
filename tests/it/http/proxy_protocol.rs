//! The PROXY protocol on the wire. Rule 14.

use crate::support::{Client, End, Origin, Proxy, Setup, get, with};

const FROM_HERE: &str = "proxy_protocol = { from = [\"127.0.0.0/8\"], timeout = \"3s\" }";

/// Version 2 for the client 203.0.113.7, with an extension behind the addresses.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x10\xcb\x00\x71\x07\x0a\x00\x00\x01\x00\x50\x00\x51\x04\x00\x01x";

fn proxy(origin: &Origin, listener: &str) -> Proxy {
    Setup::to(&[origin]).listener(listener).start()
}

fn refusals(proxy: &Proxy, word: &str, count: u32) {
    proxy.await_metric("pointsman_refusals_total", &[&format!("reason=\"{word}\"")], f64::from(count));
}

/// The client that the origin was told of last.
fn told(origin: &Origin) -> Option<String> {
    origin.forget().0.pop()?.header("x-forwarded-for").map(str::to_owned)
}

#[test]
fn the_client_in_the_header_is_the_client() {
    let origin = Origin::saying("ok");
    let proxy = proxy(&origin, FROM_HERE);
    let v1 = &b"PROXY TCP4 203.0.113.7 10.0.0.1 80 81\r\n"[..];
    let v6 = &b"PROXY TCP6 2001:db8::7 ::1 80 81\r\n"[..];
    let local = &b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"[..];
    let cases = [
        (v1, "203.0.113.7"),
        (v6, "2001:db8::7"),
        (V2, "203.0.113.7"),
        (&b"PROXY UNKNOWN\r\n"[..], "127.0.0.1"),
        (local, "127.0.0.1"),
    ];
    for (header, client) in cases {
        // Header and request in one packet.
        let mut one = proxy.client();
        assert_eq!(one.ask([header, get("/").as_bytes()].concat()).text(), "ok", "{client}");
        assert_eq!(told(&origin).as_deref(), Some(client));
        // It holds for every request of the connection, and forged headers are overwritten as ever.
        one.ask(with(&["X-Forwarded-For: 192.0.2.1"]));
        assert_eq!(told(&origin).as_deref(), Some(client));
        // Byte by byte.
        let mut slow = proxy.client();
        for byte in header {
            slow.write([*byte]);
            std::thread::yield_now();
        }
        assert_eq!(slow.ask(get("/")).text(), "ok", "{client}");
        assert_eq!(told(&origin).as_deref(), Some(client));
    }
}

#[test]
fn a_trusted_proxy_is_known_by_the_address_in_the_header() {
    let origin = Origin::saying("ok");
    let proxy = proxy(&origin, &format!("{FROM_HERE}\ntrusted_proxies = [\"203.0.113.0/24\"]"));
    let request = with(&["X-Forwarded-For: 192.0.2.1"]);
    proxy.client().ask([V2, request.as_bytes()].concat());
    assert_eq!(told(&origin).as_deref(), Some("192.0.2.1, 203.0.113.7"));
}

#[test]
fn what_is_no_header_is_closed_without_an_answer() {
    let origin = Origin::saying("ok");
    let proxy = proxy(&origin, FROM_HERE);
    let cases: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 80 81\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x12\x00\x00",
        b"\x16\x03\x01\x02\x00",
        b"\0",
    ];
    for case in cases {
        let (end, came) = proxy.client().write(case).end();
        assert!(end != End::Silent && came.is_empty(), "{case:?}: {end:?} {came:?}");
    }
    // Cut off in the middle.
    let (end, came) = proxy.client().write(&V2[..20]).finish().end();
    assert!(end != End::Silent && came.is_empty(), "{end:?} {came:?}");
    refusals(&proxy, "bad_proxy_header", 6);
    assert!(origin.seen().is_empty());
    // A connection without a byte is a health check, not an attack.
    proxy.client().finish().end();
    refusals(&proxy, "bad_proxy_header", 6);
}

#[test]
fn a_header_that_does_not_come_is_not_waited_for() {
    let origin = Origin::saying("ok");
    let proxy = proxy(&origin, FROM_HERE);
    let mut clients: Vec<Client> = [&b""[..], b"PROXY ", &V2[..V2.len() - 1]]
        .into_iter()
        .map(|start| {
            let mut client = proxy.client();
            client.write(start);
            client
        })
        .collect();
    for client in &mut clients {
        let (end, came) = client.end();
        assert!(end != End::Silent && came.is_empty(), "{end:?} {came:?}");
    }
    refusals(&proxy, "proxy_header_timeout", 3);
    proxy.await_metric("pointsman_connections", &["side=\"client\""], 0.0);
}

#[test]
fn others_may_not_send_it_and_listeners_without_it_do_not_take_it() {
    let origin = Origin::saying("ok");
    let elsewhere = proxy(&origin, "proxy_protocol = { from = [\"10.0.0.0/8\"] }");
    let (end, came) = elsewhere.client().write([V2, get("/").as_bytes()].concat()).end();
    assert!(end != End::Silent && came.is_empty(), "{end:?} {came:?}");
    refusals(&elsewhere, "proxy_header_not_allowed", 1);
    let plain = proxy(&origin, "");
    for header in [V2, b"PROXY TCP4 203.0.113.7 10.0.0.1 80 81\r\n"] {
        let answer = plain.client().ask([header, get("/").as_bytes()].concat());
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    assert!(origin.seen().is_empty());
}
