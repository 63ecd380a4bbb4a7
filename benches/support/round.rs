//! One client, one origin, one request after the other: what a proxy under callgrind is asked.

#![allow(dead_code, reason = "each bench uses a part of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::callgrind::{Counted, Counts, each};

/// An answer of 100 bytes as an origin of the field gives it.
pub(crate) fn answer() -> String {
    let body = "x".repeat(100);
    format!(
        "HTTP/1.1 200 OK\r\nserver: origin\r\ndate: Sat, 21 Nov 2026 12:00:00 GMT\r\ncontent-type: text/plain\r\n\
         content-length: {}\r\nconnection: keep-alive\r\n\r\n{body}",
        body.len()
    )
}

/// A `GET` with what a client sends.
pub(crate) const GET: &str =
    "GET /items/7?page=2 HTTP/1.1\r\nhost: shop.example\r\nuser-agent: client/1.0\r\naccept: */*\r\nx-user: 77\r\n\r\n";

/// The same with a body of 1 KiB.
pub(crate) fn post() -> String {
    let body = "x".repeat(1024);
    format!(
        "POST /items HTTP/1.1\r\nhost: shop.example\r\nuser-agent: client/1.0\r\naccept: */*\r\nx-user: 77\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Answers every request on `address`; a request ends with its head, or with the body of [`post`].
pub(crate) fn origin(address: &str) -> SocketAddr {
    let listener = TcpListener::bind(address).unwrap();
    let bound = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || serve(stream.unwrap()));
        }
    });
    bound
}

fn serve(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let (answer, body) = (answer(), "x".repeat(1024));
    let (mut buffer, mut filled) = ([0; 16 * 1024], 0);
    while let Ok(count @ 1..) = stream.read(&mut buffer[filled..]) {
        filled += count;
        let came = &buffer[..filled];
        let whole =
            if came.starts_with(b"POST") { came.ends_with(body.as_bytes()) } else { came.ends_with(b"\r\n\r\n") };
        if whole {
            filled = 0;
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// Instructions that `binary`, configured with `config` (from the address to listen on and a folder), spends on a
/// request like `request`.
///
/// The first `warm` requests are not counted. The least of this many `runs` is taken: what comes by the clock, such as
/// an allocator that gives memory back, only adds.
pub(crate) fn instructions(
    binary: &Path,
    config: &dyn Fn(SocketAddr, &Path) -> String,
    request: &str,
    (warm, runs): (u64, u32),
) -> u64 {
    const COUNTED: u64 = 3_000;
    let count = |requests| {
        let counts = (0..runs).map(|_| counted(binary, config, request, requests));
        counts.reduce(|least, next| least.least(&next)).unwrap()
    };
    each((warm, &count(warm)), (warm + COUNTED, &count(warm + COUNTED)))
}

fn counted(binary: &Path, config: &dyn Fn(SocketAddr, &Path) -> String, request: &str, requests: u64) -> Counts {
    let folder = tempfile::tempdir().unwrap();
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = folder.path().join("pointsman.toml");
    std::fs::write(&file, config(listen, folder.path())).unwrap();
    let mut proxy = Counted::start(binary, &["run", "--config", &file.display().to_string()]);
    while !answers(listen, request) {
        assert!(proxy.is_running(), "the proxy did not start; its config is {}", file.display());
        thread::sleep(Duration::from_millis(100));
    }
    let mut stream = TcpStream::connect(listen).unwrap();
    stream.set_nodelay(true).unwrap();
    let end = "x".repeat(100);
    let (mut buffer, mut filled) = ([0; 4096], 0);
    for _ in 0..requests {
        stream.write_all(request.as_bytes()).unwrap();
        while !buffer[..filled].ends_with(end.as_bytes()) {
            let count = stream.read(&mut buffer[filled..]).unwrap();
            assert!(count > 0, "the proxy closed the connection: {}", String::from_utf8_lossy(&buffer[..filled]));
            filled += count;
        }
        assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..filled]));
        filled = 0;
    }
    drop(stream);
    proxy.end()
}

/// Whether a proxy answers there yet: a port that is free for another moment may take a connection and drop it.
fn answers(listen: SocketAddr, request: &str) -> bool {
    let mut buffer = [0; 4096];
    let ask = |mut stream: TcpStream| {
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(request.as_bytes())?;
        stream.read(&mut buffer)
    };
    TcpStream::connect(listen).and_then(ask).is_ok() && buffer.starts_with(b"HTTP/1.1 200")
}
