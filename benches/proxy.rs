//! A round trip over loopback: one keep-alive connection, a small answer, straight to an origin and through the proxy.
//!
//! Look at the difference of the two, never at one of them alone: the machine's own noise is in both. The origin is a
//! bare loop over a socket, so that its cost is that of the system calls.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench stops at the first surprise")]

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use pointsman::app::{Bound, Options};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const REQUEST: &[u8] = b"GET /items/7 HTTP/1.1\r\nhost: shop.example\r\nx-user-id: user-7\r\naccept: */*\r\n\r\n";

/// Answers every head with [`ANSWER`].
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|count| count > 0) && stream.write_all(ANSWER).is_ok() {}
            });
        }
    });
    address
}

/// A proxy with two versions, a sticky key and a rule that does not match.
fn proxy(origin: SocketAddr) -> SocketAddr {
    let text = format!(
        "[listeners.public]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[proxy]\nworkers = 1\n\
         [services.shop]\nhosts = [\"shop.example\"]\nsticky = [\"header:x-user-id\"]\nsplit = {{ v1 = 90, v2 = 10 }}\n\
         versions.v1.endpoints = [\"{origin}\"]\nversions.v2.endpoints = [\"{origin}\"]\n\
         [[services.shop.rules]]\nwhen = {{ header = {{ \"x-canary\" = \"always\" }} }}\nuse = \"v2\"\n"
    );
    let config = pointsman::config::parse(&text, Path::new("")).unwrap();
    let bound = Bound::bind(config, Options { in_memory: true, ..Options::default() }).unwrap();
    let address = bound.addresses().listeners[0].1;
    std::thread::spawn(move || bound.run(std::future::pending()).unwrap());
    address
}

/// Sends a request and reads to the end of its answer.
fn round_trip(stream: &mut TcpStream, buffer: &mut [u8]) -> usize {
    stream.write_all(REQUEST).unwrap();
    let mut filled = 0;
    while !buffer[..filled].ends_with(b"\r\n\r\nhello") {
        let count = stream.read(&mut buffer[filled..]).unwrap();
        assert!(count > 0, "the connection stays");
        filled += count;
    }
    filled
}

fn round_trips(criterion: &mut Criterion) {
    let origin = origin();
    let mut group = criterion.benchmark_group("round_trip");
    for (name, address) in [("direct", origin), ("through_the_proxy", proxy(origin))] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut buffer = [0; 4096];
        group.bench_function(name, |bencher| bencher.iter(|| black_box(round_trip(&mut stream, &mut buffer))));
    }
    group.finish();
}

criterion_group!(benches, round_trips);
criterion_main!(benches);
