//! Streams to endpoints that speak HTTP/2: bodies in both directions, what becomes of a stream when one side gives up,
//! and how many there are on a connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::Response;
use tokio::time::sleep;

use crate::support::h2::{H2Client, request};
use crate::support::h2_endpoint::{Asked, H2Endpoint, until_reset, whole_body};
use crate::support::{Client, Proxy, Setup, client, eventually, get, post};

fn setup(endpoint: &H2Endpoint) -> Setup {
    let setup = Setup::endpoints(&[&[endpoint.address]]).top("[proxy]\nworkers = 1");
    setup.listener("h2c = true").version("protocol = \"h2\"")
}

fn proxy(endpoint: &H2Endpoint) -> Proxy {
    setup(endpoint).start()
}

/// An endpoint that answers with the length of the body.
fn measuring() -> H2Endpoint {
    H2Endpoint::with(|asked| async {
        let Asked { request, mut respond, .. } = asked;
        let length = whole_body(&mut request.into_body()).await?.len();
        respond.send_response(Response::new(()), false)?.send_data(length.to_string().into(), true)
    })
}

/// An endpoint that reads and never answers.
fn silent() -> H2Endpoint {
    H2Endpoint::with(|asked| async {
        let Asked { request, mut respond, .. } = asked;
        whole_body(&mut request.into_body()).await?;
        until_reset(&mut respond).await
    })
}

fn begun(length: usize, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn failures(proxy: &Proxy) -> f64 {
    proxy.metric("pointsman_upstream_failures_total", &["version"])
}

#[test]
fn an_upload_goes_no_faster_than_its_endpoint_reads() {
    const BYTES: usize = 40 * 1024 * 1024;
    let (go, came) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let (goes, comes) = (Arc::clone(&go), Arc::clone(&came));
    let endpoint = H2Endpoint::with(move |asked| {
        let (go, came) = (Arc::clone(&goes), Arc::clone(&comes));
        async move {
            let Asked { request, mut respond, .. } = asked;
            let mut incoming = request.into_body();
            let mut unread = 0;
            while let Some(data) = incoming.data().await {
                let data = data?;
                unread += data.len();
                came.fetch_add(data.len(), SeqCst);
                while !go.load(SeqCst) && came.load(SeqCst) >= 65_535 {
                    sleep(Duration::from_millis(1)).await;
                }
                if go.load(SeqCst) {
                    incoming.flow_control().release_capacity(std::mem::take(&mut unread))?;
                }
            }
            respond.send_response(Response::new(()), false)?.send_data("ok".into(), true)
        }
    });
    let proxy = proxy(&endpoint);
    let mut stream = TcpStream::connect(proxy.address).unwrap();
    let mut client = Client::over(stream.try_clone().unwrap());
    let sending = std::thread::spawn(move || {
        stream.write_all(begun(BYTES, "").as_bytes()).unwrap();
        stream.write_all(&vec![b'x'; BYTES]).unwrap();
    });
    eventually("a window is full", || came.load(SeqCst) == 65_535);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(came.load(SeqCst), 65_535);
    assert!(!sending.is_finished(), "the client is stopped");
    go.store(true, SeqCst);
    assert_eq!(client.answer().text(), "ok");
    sending.join().unwrap();
    assert_eq!(came.load(SeqCst), BYTES);
}

#[test]
fn a_client_that_leaves_resets_its_stream() {
    let slow = H2Endpoint::with(|asked| async move {
        let mut respond = asked.respond;
        let mut sending = respond.send_response(Response::new(()), false)?;
        sending.send_data(Bytes::from_static(b"half"), false)?;
        let reason = std::future::poll_fn(|cx| sending.poll_reset(cx)).await?;
        Err(reason.into())
    });
    for (what, endpoint, bytes) in [
        ("before the answer", silent(), get("/")),
        ("inside its body", silent(), begun(10, "half")),
        ("inside the answer", slow, get("/")),
    ] {
        let proxy = proxy(&endpoint);
        let mut client = Client::to(proxy.address);
        client.write(bytes);
        eventually(what, || endpoint.requests() == 1);
        if what == "inside the answer" {
            client.next_head();
        }
        client.reset();
        eventually(what, || endpoint.resets() == [Reason::CANCEL]);
        assert_eq!((failures(&proxy), endpoint.connections()), (0.0, 1), "{what}");
        proxy.await_metric("pointsman_endpoint_in_flight", &[], 0.0);
    }
}

#[test]
fn a_body_that_breaks_resets_its_stream_and_is_the_clients_fault() {
    let endpoint = silent();
    let proxy = proxy(&endpoint);
    let answer = client::send(
        proxy.address,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nno chunk\r\n",
    );
    answer.assert_refused(400, "bad_body");
    eventually("it is reset", || endpoint.resets() == [Reason::CANCEL]);
    assert_eq!(failures(&proxy), 0.0);
}

#[test]
fn bodies_go_in_both_directions_at_once() {
    let endpoint = H2Endpoint::with(|asked| async move {
        let Asked { request, mut respond, .. } = asked;
        let mut incoming = request.into_body();
        let mut sending = respond.send_response(Response::new(()), false)?;
        while let Some(data) = incoming.data().await {
            let data = data?;
            incoming.flow_control().release_capacity(data.len())?;
            sending.send_data(data, false)?;
        }
        sending.send_data(Bytes::from_static(b"."), true)
    });
    let proxy = proxy(&endpoint);
    let mut stream = TcpStream::connect(proxy.address).unwrap();
    let mut client = Client::over(stream.try_clone().unwrap());
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let mut came = Vec::new();
    for (part, wanted) in
        [("", "\r\n\r\n"), ("1\r\na\r\n", "\na\r"), ("1\r\nb\r\n", "\nb\r"), ("0\r\n\r\n", "\r\n0\r\n\r\n")]
    {
        stream.write_all(part.as_bytes()).unwrap();
        while !String::from_utf8_lossy(&came).contains(wanted) {
            let mut room = [0; 100];
            let count = stream.read(&mut room).unwrap();
            assert!(count > 0, "{came:?}");
            came.extend_from_slice(&room[..count]);
        }
    }
    // The connection of the client is whole, and that to the endpoint goes on.
    assert_eq!((client.ask(post("/", "xy")).text().as_str(), endpoint.connections()), ("xy.", 1));
    assert!(endpoint.resets().is_empty());
}

#[test]
fn an_answer_before_the_end_of_an_upload_ends_the_upload() {
    for polite in [true, false] {
        let endpoint = H2Endpoint::with(move |asked| async move {
            let Asked { request, mut respond, .. } = asked;
            let mut incoming = request.into_body();
            let mut sending = respond.send_response(Response::new(()), false)?;
            sending.send_data(Bytes::from_static(b"enough"), true)?;
            if polite {
                // The codec says NO_ERROR behind the answer.
                return Ok(());
            }
            whole_body(&mut incoming).await.map(drop)
        });
        let proxy = proxy(&endpoint);
        let mut client = proxy.client();
        client.write(begun(1_000_000, "beginning"));
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str(), answer.is_whole()), (200, "enough", true));
        if !polite {
            eventually("its stream is given up", || endpoint.resets() == [Reason::CANCEL]);
        }
        assert_eq!(failures(&proxy), 0.0);
        assert_eq!((proxy.client().ask(get("/")).text().as_str(), endpoint.connections()), ("enough", 1));
        proxy.await_metric("pointsman_endpoint_in_flight", &[], 0.0);
    }
}

#[test]
fn an_answer_that_is_not_as_long_as_it_said_is_broken_off() {
    for (length, bytes) in [("10", "short"), ("3", "long")] {
        let endpoint = H2Endpoint::with(move |asked| async move {
            let mut respond = asked.respond;
            let head = Response::builder().header("content-length", length).body(()).unwrap();
            let mut sending = respond.send_response(head, false)?;
            sleep(Duration::from_millis(20)).await;
            sending.send_data(bytes.into(), true)
        });
        let proxy = proxy(&endpoint);
        let answer = client::send(proxy.address, get("/"));
        assert!(answer.status == 200 && !answer.is_whole(), "{length}: {answer:?}");
        proxy.await_metric("pointsman_upstream_failures_total", &["reason=\"short_body\""], 1.0);
    }
}

#[test]
fn an_answer_without_a_body_has_none() {
    let endpoint = H2Endpoint::with(|asked| async move {
        let mut respond = asked.respond;
        respond.send_response(Response::new(()), true).map(drop)
    });
    let proxy = proxy(&endpoint);
    let answer = proxy.client().ask(get("/"));
    assert_eq!((answer.head.one("content-length"), answer.head.one("transfer-encoding")), (Some("0"), None));
    let answer = H2Client::to(proxy.address).ask(request("GET", "http://a/", &[]));
    assert_eq!((answer.status, answer.body.len()), (200, 0));
}

#[test]
fn the_head_of_an_answer_has_limits() {
    let endpoint = H2Endpoint::with(|asked| async move {
        let mut respond = asked.respond;
        let large = asked.request.uri().path() == "/large";
        let mut head = Response::new(());
        for _ in 0..if large { 1 } else { 20 } {
            head.headers_mut().append("x", "x".repeat(if large { 20_000 } else { 1 }).parse().unwrap());
        }
        respond.send_response(head, true).map(drop)
    });
    let setup = setup(&endpoint).top("response_headers_max = 10\nresponse_head_bytes_max = \"8KiB\"");
    let proxy = setup.start();
    proxy.client().ask(get("/")).assert_refused(502, "response_headers_max");
    proxy.client().ask(get("/large")).assert_refused(502, "response_head_bytes_max");
    eventually("both count", || failures(&proxy) == 2.0);
}

#[test]
fn many_streams_share_connections_as_far_as_the_endpoint_allows() {
    for allowed in [1, 10] {
        let mut builder = h2::server::Builder::new();
        builder.max_concurrent_streams(allowed);
        let endpoint = H2Endpoint::built(builder, |asked| async {
            let Asked { request, mut respond, .. } = asked;
            whole_body(&mut request.into_body()).await?;
            sleep(Duration::from_millis(20)).await;
            respond.send_response(Response::new(()), false)?.send_data("ok".into(), true)
        });
        let proxy = proxy(&endpoint);
        // So that it has said what it allows.
        assert_eq!(proxy.client().ask(get("/")).status, 200);
        let users: Vec<_> = (0..24)
            .map(|_| {
                let address = proxy.address;
                std::thread::spawn(move || {
                    let mut client = Client::to(address);
                    (0..20).all(|_| client.ask(post("/", "body")).status == 200)
                })
            })
            .collect();
        assert!(users.into_iter().all(|user| user.join().unwrap()), "{allowed} streams");
        assert!(endpoint.connections() <= 24, "{} connections for {allowed} streams", endpoint.connections());
        assert_eq!(failures(&proxy), 0.0);
        proxy.await_metric("pointsman_endpoint_in_flight", &[], 0.0);
    }
}

#[test]
fn a_large_upload_arrives_whole_with_others_beside_it() {
    let endpoint = measuring();
    let proxy = proxy(&endpoint);
    // So that there is a connection to share.
    assert_eq!(proxy.client().ask(get("/")).text(), "0");
    let users: Vec<_> = [10_000_000, 1, 65_535, 65_536, 1_000_000]
        .into_iter()
        .map(|bytes| {
            let address = proxy.address;
            std::thread::spawn(move || {
                let answer = Client::to(address).ask(post("/", &"x".repeat(bytes)));
                assert_eq!(answer.text(), bytes.to_string());
            })
        })
        .collect();
    users.into_iter().for_each(|user| user.join().unwrap());
    assert_eq!(endpoint.connections(), 1);
}

#[test]
fn an_endpoint_that_is_killed_ends_what_is_under_way_and_nothing_else() {
    let endpoint = silent();
    let proxy = proxy(&endpoint);
    let mut clients: Vec<_> = (0..10).map(|_| Client::to(proxy.address)).collect();
    for client in &mut clients {
        client.write(post("/", "body"));
    }
    eventually("all are under way", || endpoint.requests() == 10);
    drop(endpoint);
    for client in &mut clients {
        client.answer().assert_refused(502, "upstream_reset");
    }
    proxy.await_metric("pointsman_endpoint_in_flight", &[], 0.0);
}
