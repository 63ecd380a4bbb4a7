//! WebSockets: over HTTP/1.1 and HTTP/2 on either side, counted on their version, ended as configured. Rule 15.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::support::h2::H2Client;
use crate::support::{Client, Origin, PATIENCE, Proxy, Reply, Setup, client, eventually, get};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// An origin that takes every WebSocket and sends back what it gets, after `greeting`.
struct Echo {
    address: SocketAddr,
}

impl Echo {
    fn greeting(greeting: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                thread::spawn(move || echo(stream.unwrap(), greeting));
            }
        });
        Self { address }
    }
}

fn echo(mut stream: TcpStream, greeting: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap_or("");
    let accept = if head.starts_with("GET /wrong") { "wrong".to_owned() } else { accept_of(key) };
    if !head.to_lowercase().contains("upgrade: websocket") {
        return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain");
    }
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    stream.write_all(format!("{answer}Sec-WebSocket-Accept: {accept}\r\n\r\n{greeting}").as_bytes())?;
    let mut bytes = [0; 1024];
    loop {
        match stream.read(&mut bytes)? {
            0 => {
                stream.write_all(b"bye")?;
                return stream.shutdown(Shutdown::Write);
            }
            count => stream.write_all(&bytes[..count])?,
        }
    }
}

fn accept_of(key: &str) -> String {
    use base64::Engine as _;
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(digest)
}

fn handshake() -> String {
    format!(
        "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
}

fn open(proxy: &Proxy) -> TcpStream {
    open_at(proxy, "/chat")
}

fn open_at(proxy: &Proxy, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(handshake().replacen("/chat", path, 1).as_bytes()).unwrap();
    let head = read_until(&mut stream, b"\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    stream
}

fn read_until(stream: &mut TcpStream, end: &[u8]) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end) {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "ended after {:?}", String::from_utf8_lossy(&bytes));
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).unwrap()
}

fn two_versions(service: &str) -> Proxy {
    let (v1, v2) = (Echo::greeting("v1."), Echo::greeting("v2."));
    Setup::endpoints(&[&[v1.address], &[v2.address]]).service(service).start()
}

fn flip(proxy: &Proxy, to: &str) {
    flip_service(proxy, "site", to);
}

fn flip_service(proxy: &Proxy, service: &str, to: &str) {
    let body = format!("{{\"to\":\"{to}\"}}");
    let head =
        format!("POST /v1/services/{service}/flip HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json", proxy.admin);
    let answer = client::send(proxy.admin, format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn long(proxy: &Proxy, version: &str, count: f64) {
    let labels = ["service=\"site\"", &format!("version=\"{version}\"")];
    proxy.await_metric("pointsman_long_connections", &labels, count);
}

#[test]
fn bytes_flow_both_ways_after_the_consent_and_a_half_close_is_honoured() {
    let echo = Echo::greeting("hello.");
    let proxy = Setup::endpoints(&[&[echo.address]]).start();
    let mut stream = TcpStream::connect(proxy.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The first bytes of the tunnel come with the request, before anybody has consented.
    stream.write_all(format!("{}early.", handshake()).as_bytes()).unwrap();
    let head = read_until(&mut stream, b"\r\n\r\n").to_lowercase();
    assert!(head.starts_with("http/1.1 101 switching protocols"), "{head}");
    for line in
        ["connection: upgrade", "upgrade: websocket", &format!("sec-websocket-accept: {}", ACCEPT.to_lowercase())]
    {
        assert!(head.contains(line), "{line} in {head}");
    }
    assert_eq!(read_until(&mut stream, b"early."), "hello.early.");
    long(&proxy, "v1", 1.0);
    let big = vec![b'x'; 1_000_000];
    let mut writer = stream.try_clone().unwrap();
    let sent = thread::spawn(move || writer.write_all(&big).and_then(|()| writer.shutdown(Shutdown::Write)));
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    sent.join().unwrap().unwrap();
    assert_eq!((back.len(), back.ends_with(b"xbye")), (1_000_003, true));
    long(&proxy, "v1", 0.0);
    eventually("nothing is in flight", || proxy.metric("pointsman_endpoint_in_flight", &[]) < 0.5);
}

#[test]
fn what_is_no_whole_handshake_is_forwarded_as_a_plain_request() {
    let echo = Echo::greeting("");
    let proxy = Setup::endpoints(&[&[echo.address]]).start();
    for (was, is) in [
        ("GET", "POST"),
        ("Upgrade\r\nUpgrade: websocket", "Upgrade\r\nUpgrade: h2c"),
        ("keep-alive, Upgrade", "keep-alive"),
        ("HTTP/1.1", "HTTP/1.0"),
        ("websocket\r\n", "websocket\r\nUpgrade: h2c\r\n"),
    ] {
        let request = handshake().replacen(was, is, 1);
        assert_ne!(request, handshake());
        let answer = proxy.client().ask(&request);
        assert_eq!((answer.status, answer.text().as_str()), (200, "plain"), "{request}");
    }
    let closed = Setup::endpoints(&[&[echo.address]]).service("websockets = false").start();
    assert_eq!(closed.client().ask(handshake()).text(), "plain");
}

#[test]
fn an_origin_that_does_not_consent_is_answered_like_any_other() {
    let origin = Origin::saying("no");
    let proxy = Proxy::to(&[&origin]);
    let mut client = proxy.client();
    assert_eq!(client.ask(handshake()).text(), "no");
    assert_eq!(origin.only().head.all("upgrade"), ["websocket"]);
    assert_eq!(client.ask(get("/")).text(), "no", "the connection goes on");
    let odd = Origin::raw("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n");
    let proxy = Proxy::to(&[&odd]);
    proxy.client().ask(handshake()).assert_refused(502, "upstream_bad_answer");
}

#[test]
fn a_shift_does_to_tunnels_what_is_configured() {
    for (on_shift, closes) in [("\"keep\"", false), ("\"close\"", true), ("{ after = \"100ms\" }", true)] {
        let (v1, v2, other) = (Echo::greeting("v1."), Echo::greeting("v2."), Echo::greeting("other."));
        let proxy = Setup::endpoints(&[&[v1.address], &[v2.address]])
            .top("[proxy]\nworkers = 1")
            .service(&format!("on_shift = {on_shift}"))
            .bottom(&format!(
                "[services.closing]\npaths = [\"/closing\"]\non_shift = \"close\"\nsplit = {{ v1 = 100, v2 = 0 }}\n\
                 versions.v1.endpoints = [\"{0}\"]\nversions.v2.endpoints = [\"{0}\"]\n",
                other.address
            ))
            .start();
        let mut old = open(&proxy);
        assert_eq!(read_until(&mut old, b"."), "v1.");
        let mut closing = open_at(&proxy, "/closing");
        assert_eq!(read_until(&mut closing, b"."), "other.");
        flip(&proxy, "v2");
        let mut new = open(&proxy);
        assert_eq!(read_until(&mut new, b"."), "v2.");
        if closes {
            assert_eq!(old.read(&mut [0]).unwrap_or(0), 0, "{on_shift}");
            long(&proxy, "v1", 0.0);
        } else {
            // The same shift closes the tunnel of a service that is configured so: it has been carried out.
            flip_service(&proxy, "closing", "v2");
            assert_eq!(closing.read(&mut [0]).unwrap_or(0), 0, "{on_shift}");
            long(&proxy, "v1", 1.0);
            old.write_all(b"still here.").unwrap();
            assert_eq!(read_until(&mut old, b"."), "still here.");
        }
        long(&proxy, "v2", 1.0);
        new.write_all(b"and here.").unwrap();
        assert_eq!(read_until(&mut new, b"."), "and here.", "{on_shift}");
    }
}

#[test]
fn a_shift_closes_at_once_and_not_at_the_next_tick() {
    let proxy = two_versions("on_shift = \"close\"");
    let closing = (0..20).map(|round| {
        let (own, other) = if round % 2 == 0 { ("v1", "v2") } else { ("v2", "v1") };
        let mut tunnel = open(&proxy);
        assert_eq!(read_until(&mut tunnel, b"."), format!("{own}."));
        flip(&proxy, other);
        let flipped = Instant::now();
        assert_eq!(tunnel.read(&mut [0]).unwrap_or(0), 0);
        flipped.elapsed()
    });
    // With a tick of a second half of them would take half of one; and nine may fall into a moment in which the machine
    // stands still.
    let mut took: Vec<_> = closing.collect();
    took.sort_unstable();
    assert!(took[took.len() / 2] < Duration::from_millis(200), "{took:?}");
}

#[test]
fn a_tunnel_on_which_nothing_moves_is_closed() {
    let echo = Echo::greeting("hello.");
    let proxy = Setup::endpoints(&[&[echo.address]]).service("tunnel_idle_timeout = \"200ms\"").start();
    let mut stream = open(&proxy);
    assert_eq!(read_until(&mut stream, b"."), "hello.");
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    long(&proxy, "v1", 0.0);
}

#[test]
fn a_tunnel_on_a_stream_that_is_cut_is_reset_and_one_that_its_origin_ends_has_an_end() {
    let echo = Echo::greeting("hello.");
    let proxy =
        Setup::endpoints(&[&[echo.address]]).listener("h2c = true").service("tunnel_idle_timeout = \"200ms\"").start();
    let cut = H2Client::to(proxy.address).tunnel_to_its_end("http://a/chat", b"hello.").unwrap_err();
    // RFC 8441, 5: the counterpart of a reset connection.
    assert_eq!((cut.is_reset(), cut.reason()), (true, Some(h2::Reason::CANCEL)));
    long(&proxy, "v1", 0.0);
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    let ends = Origin::with(move |seen| {
        let accept = accept_of(seen.head.one("sec-websocket-key").unwrap_or(""));
        Reply::raw(format!("{answer}Sec-WebSocket-Accept: {accept}\r\n\r\nbye.")).close()
    });
    let proxy = Setup::to(&[&ends]).listener("h2c = true").start();
    H2Client::to(proxy.address).tunnel_to_its_end("http://a/chat", b"bye.").unwrap();
}

#[test]
fn events_of_a_version_that_was_left_end_in_order() {
    let events =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n";
    let (v1, v2) = (Origin::with(move |_| Reply::raw(events).hang()), Origin::saying("v2"));
    let proxy = Setup::to(&[&v1, &v2]).service("on_shift = \"close\"").start();
    let mut client: Client = proxy.client();
    client.write(get("/events"));
    long(&proxy, "v1", 1.0);
    flip(&proxy, "v2");
    let answer = client.answer();
    assert!(answer.is_whole(), "{answer:?}");
    assert_eq!(answer.text(), "data: 1\n");
    assert_eq!(client.ask(get("/")).text(), "v2", "the client's connection goes on");
}

#[test]
fn a_tunnel_goes_through_http2_on_both_sides() {
    // The second proxy takes the part of an origin that speaks HTTP/2.
    let echo = Echo::greeting("hello.");
    let inner = Setup::endpoints(&[&[echo.address]]).listener("h2c = true").start();
    let outer = Setup::endpoints(&[&[inner.address]]).listener("h2c = true").version("protocol = \"h2\"").start();
    let mut stream = open(&outer);
    stream.write_all(b"and back.").unwrap();
    assert_eq!(read_until(&mut stream, b"back."), "hello.and back.");
    long(&inner, "v1", 1.0);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_until(&mut stream, b"bye"), "bye");
    let mut client = H2Client::to(outer.address);
    assert_eq!(client.tunnel("http://a/chat", b"again.").unwrap(), "hello.again.bye");
    long(&inner, "v1", 0.0);
    long(&outer, "v1", 0.0);
}

#[test]
fn an_http2_client_gets_its_tunnel_and_a_proof_that_is_wrong_is_none() {
    let echo = Echo::greeting("hello.");
    let proxy = Setup::endpoints(&[&[echo.address]]).listener("h2c = true").start();
    let mut client = H2Client::to(proxy.address);
    assert_eq!(client.tunnel("http://a/chat", b"and back.").unwrap(), "hello.and back.bye");
    assert_eq!(client.tunnel("http://a/wrong", b"").unwrap_err(), 502, "the proof is of another key");
    let off = Setup::endpoints(&[&[echo.address]]).listener("h2c = true").service("websockets = false").start();
    assert_eq!(H2Client::to(off.address).tunnel("http://a/chat", b"").unwrap_err(), 405);
    assert_eq!(client.ask(crate::support::h2::request("GET", "http://a/", &[])).text(), "plain");
}
