//! Mixed traffic: large bodies, every framing, clients and origins that leave in the middle. Nothing hangs, nothing is
//! mixed up, and afterwards nothing is left: no request in flight, no connection, no memory. It runs on the binary,
//! whose memory is its own. `SOAK_SECONDS=300` makes the same test a long run.

use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use crate::support::process::{Process, config};
use crate::support::{Client, End, Origin, Reply, Seen, client, eventually};

const CLIENTS: u64 = 8;
const BODY_BYTES_MAX: usize = 1 << 20;

/// Answers as the path says; `/echo` with the body that came, so that the client can compare.
pub(crate) fn reply(seen: &Seen) -> Reply {
    let body = &seen.body.bytes;
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    match seen.target() {
        "/echo" => Reply::ok(body),
        "/echo-chunked" => {
            let chunks = body.chunks(9_000).fold(Reply::raw(chunked), |reply, chunk| {
                reply.then(format!("{:x}\r\n", chunk.len())).then(chunk).then("\r\n")
            });
            chunks.then("0\r\n\r\n")
        }
        "/none" => Reply::raw("HTTP/1.1 204 No Content\r\n\r\n"),
        "/same" => Reply::raw("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"),
        "/head" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n"),
        "/short" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n").then(vec![b'x'; 50_000]).close(),
        "/broken" => Reply::raw(chunked).then("5\r\nhello\r\n").reset(),
        "/gone" => Reply::default().reset(),
        "/close" => Reply::raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").close(),
        _ => Reply::ok("ok"),
    }
}

/// One user: asks for this and that until `deadline`; gives the number of requests.
fn user(proxy: SocketAddr, seed: u64, deadline: Instant) -> u64 {
    user_who_thinks(proxy, seed, deadline, Duration::ZERO)
}

/// The same, with a pause before each request.
pub(crate) fn user_who_thinks(proxy: SocketAddr, seed: u64, deadline: Instant, think: Duration) -> u64 {
    let mut random = StdRng::seed_from_u64(seed);
    let mut client = Client::to(proxy);
    let mut count = 0;
    while Instant::now() < deadline {
        count += 1;
        std::thread::sleep(think);
        let keeps = step(proxy, &mut client, &mut random);
        if !keeps {
            client = Client::to(proxy);
        }
    }
    count
}

/// One request; whether its connection is good for another one.
fn step(proxy: SocketAddr, client: &mut Client, random: &mut StdRng) -> bool {
    match random.random_range(0..12) {
        0..=2 => echo(client, random, "/echo"),
        3 | 4 => echo(client, random, "/echo-chunked"),
        5 => expect(client, "GET /none", 204),
        6 => expect(client, "GET /same", 304),
        7 => expect(client, "HEAD /head", 200),
        8 => expect(client, "GET /close", 200),
        9 => {
            broken(client, ["/short", "/broken"][random.random_range(0..2)]);
            false
        }
        10 => {
            client.write("POST /gone HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
            let status = client.answer().status;
            assert_eq!(status, 502);
            false
        }
        _ => {
            leave_early(proxy, random);
            true
        }
    }
}

fn echo(client: &mut Client, random: &mut StdRng, path: &str) -> bool {
    let length = if random.random_bool(0.3) { BODY_BYTES_MAX } else { random.random_range(0..40_000) };
    let mut body = vec![0; length];
    random.fill(&mut body[..]);
    let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\n");
    if random.random_bool(0.5) {
        client.write(format!("{head}Content-Length: {length}\r\n\r\n")).write(&body);
    } else {
        client.write(format!("{head}Transfer-Encoding: chunked\r\n\r\n"));
        for chunk in body.chunks(random.random_range(1_000..100_000)) {
            client.write([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        }
        client.write("0\r\n\r\n");
    }
    let answer = client.answer();
    assert!(answer.status == 200 && answer.is_whole(), "{} {:?} of {length}", answer.status, answer.body.broken);
    assert!(answer.body.bytes == body, "{length} bytes came back different");
    true
}

fn expect(client: &mut Client, line: &str, status: u16) -> bool {
    let answer = client.ask(format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(answer.status, status, "{line}");
    true
}

fn broken(client: &mut Client, path: &str) {
    match client.write(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).read(false) {
        Ok(answer) if answer.status == 200 => {
            assert!(matches!(answer.body.broken, Some(End::Clean | End::Reset)), "{path}: {:?}", answer.body.broken);
        }
        Ok(answer) => assert_eq!(answer.status, 502, "{path}"),
        Err((end, _)) => assert!(matches!(end, End::Clean | End::Reset), "{path}: {end:?}"),
    }
}

/// A client that goes: inside its request, or before or inside its answer.
fn leave_early(proxy: SocketAddr, random: &mut StdRng) {
    let mut client = Client::to(proxy);
    match random.random_range(0..3) {
        0 => client.write("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").write(vec![b'x'; 5_000]),
        1 => client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        _ => {
            client.write("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n").write(vec![b'x'; 900_000])
        }
    };
    if random.random_bool(0.5) {
        std::thread::sleep(Duration::from_millis(random.random_range(0..5)));
    }
    if random.random_bool(0.5) {
        client.reset();
    }
}

/// Memory of the process that is resident, in KiB.
pub(crate) fn resident_kib(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).expect("VmRSS in KiB")
}

/// Open descriptors of the process.
pub(crate) fn descriptors(process: &Process) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap().count()
}

/// The same when it has settled: its threads make their own, right after it says that it listens, and on a busy machine
/// one after the other.
pub(crate) fn settled(process: &Process) -> usize {
    let (mut files, mut same) = (0, 0);
    eventually("it has all its descriptors", || {
        std::thread::sleep(Duration::from_millis(100));
        let found = descriptors(process);
        same = if found == files { same + 1 } else { 0 };
        files = found;
        same >= 10
    });
    files
}

/// All values of a gauge, as Prometheus reads them.
fn gauges(process: &Process, name: &str) -> Vec<f64> {
    let admin = process.admin_address;
    let text = client::send(admin, format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\n\r\n")).text();
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect()
}

#[test]
fn soak_mixed_traffic_loses_nothing_and_leaves_nothing_behind() {
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let seed: u64 = rand::random();
    let (first, second) = (Origin::forgetful(reply), Origin::forgetful(reply));
    let text = config(first.address(), second.address(), "").replace("v1 = 100, v2 = 0", "v1 = 50, v2 = 50");
    // Idle connections go soon, so that the end does not have to be waited for.
    let text = text.replace("workers = 2", "workers = 2\nupstream_idle_timeout = \"1s\"");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    std::fs::write(&path, text).unwrap();
    let process = Process::start(&path);
    let files = settled(&process);
    let memory = resident_kib(&process);
    println!("seed {seed}, {seconds} s; at the start {memory} KiB resident, {files} descriptors");
    let (start, whole) = (Instant::now(), Duration::from_secs(seconds));
    let warm = run(process.listener, seed, start + whole / 3);
    println!("{warm} requests; warm {} KiB", resident_kib(&process));
    let all = warm + run(process.listener, seed ^ 1, start + whole);
    println!("{all} requests; at the end {} KiB", resident_kib(&process));
    assert!(all > 50, "only {all} requests");
    eventually("nothing is in flight", || {
        let in_flight = gauges(&process, "pointsman_endpoint_in_flight");
        assert_eq!(in_flight.len(), 2, "the gauges are there at all");
        in_flight.iter().all(|count| *count == 0.0)
    });
    eventually("no connection is left", || {
        gauges(&process, "pointsman_connections{").iter().all(|count| *count == 0.0)
    });
    eventually("no descriptor is left", || descriptors(&process) <= files + 1);
    // The allocator keeps what it once needed for the bodies of all clients, some megabytes each; what grows with the
    // number of requests, if only by a hundred bytes each, shows in a long run.
    let kept = memory + CLIENTS * 6 * 1_024;
    eventually("the memory comes back", || resident_kib(&process) < kept);
    println!("afterwards {} KiB, {} descriptors", resident_kib(&process), descriptors(&process));
}

fn run(proxy: SocketAddr, seed: u64, deadline: Instant) -> u64 {
    let start = |number| std::thread::spawn(move || user(proxy, seed.wrapping_add(number), deadline));
    let users: Vec<_> = (0..CLIENTS).map(start).collect();
    users.into_iter().map(|user| user.join().unwrap()).sum()
}
