//! What a flip costs: how long until it is answered, which is when it is durable and in force on all workers, and what a
//! hundred of them a second take from the traffic.
//!
//! First without traffic, then beside load that leaves no core idle: there a flip also waits for its turn of the processor, in
//! the client that asks for it as well. Rounds without and with flips follow each other in turns, and the ratio of each pair
//! counts: the machine's own drift is in both. wrk fails the bench when an answer is an error or a connection breaks.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench stops at the first surprise and prints what it measured"
)]

#[path = "../support/callgrind.rs"]
mod callgrind;

#[path = "../support/load.rs"]
mod load;

#[path = "../support/round.rs"]
mod round;

#[path = "../support/shape.rs"]
mod shape;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use load::{Running, wrk};
use shape::Shape;
use tokio::time::Instant;

const FLIPS_A_SECOND: u32 = 100;

/// Pairs of rounds.
const PAIRS: u32 = 5;

/// Of each round.
const SECONDS: u32 = 4;

fn main() {
    let binary = std::env::var("POINTSMAN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_pointsman").to_owned());
    let origin = round::origin("127.0.0.1:0");
    let proxy = Running::start(Path::new(&binary), Shape { workers: 2, ..Shape::SMALL }, origin.port());
    let stop = AtomicBool::new(false);
    let (mut alone, nanos) = thread::scope(|scope| {
        let before = proxy.cpu_nanos();
        let flips = scope.spawn(|| flip(proxy.admin(), &stop));
        thread::sleep(Duration::from_secs(SECONDS.into()));
        stop.store(true, Ordering::Relaxed);
        (flips.join().unwrap(), proxy.cpu_nanos() - before)
    });
    let flips = alone.len();
    wrk(proxy.listen, 64, SECONDS);
    let (mut times, mut ratios, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let quiet = measure(&proxy);
        let stop = AtomicBool::new(false);
        let busy = thread::scope(|scope| {
            let flips = scope.spawn(|| flip(proxy.admin(), &stop));
            let busy = measure(&proxy);
            stop.store(true, Ordering::Relaxed);
            times.extend(flips.join().unwrap());
            busy
        });
        ratios.push(busy.0 / quiet.0);
        cpu.push(busy.1 / quiet.1);
    }
    let at = |times: &mut Vec<f64>, part: f64| {
        times.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let index = ((times.len() - 1) as f64 * part) as usize;
        times[index]
    };
    println!("| of {flips} flips without and {} beside traffic | |\n|---|---|", times.len());
    for (what, times) in [("without", &mut alone), ("beside", &mut times)] {
        let (middle, rare, most) = (at(times, 0.5), at(times, 0.99), at(times, 1.0));
        println!("| answered after, {what} traffic, p50 / p99 / most | {middle:.2} / {rare:.2} / {most:.2} ms |");
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let each = nanos as f64 / 1e3 / flips as f64;
    println!("| CPU of a flip, all threads | {each:.0} us |");
    println!(
        "| requests a second with {FLIPS_A_SECOND} flips a second / without | {:.3} ({:.3} to {:.3}) |",
        at(&mut ratios, 0.5),
        at(&mut ratios, 0.0),
        at(&mut ratios, 1.0)
    );
    println!(
        "| CPU a request, with / without | {:.3} ({:.3} to {:.3}) |",
        at(&mut cpu, 0.5),
        at(&mut cpu, 0.0),
        at(&mut cpu, 1.0)
    );
}

/// Requests a second, and CPU nanoseconds a request.
fn measure(proxy: &Running) -> (f64, f64) {
    let before = proxy.cpu_nanos();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let requests = wrk(proxy.listen, 64, SECONDS) as f64;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let nanos = (proxy.cpu_nanos() - before) as f64;
    (requests / f64::from(SECONDS), nanos / requests)
}

/// Flips forth and back until `stop`; how long each took, in milliseconds.
fn flip(mut admin: UnixStream, stop: &AtomicBool) -> Vec<f64> {
    let mut times = Vec::new();
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let to = if times.len() % 2 == 0 { "v2" } else { "v1" };
        let body = format!("{{\"to\": \"{to}\"}}");
        let began = Instant::now();
        let head = "POST /v1/services/shop/flip HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
        admin.write_all(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes()).unwrap();
        answer(&mut admin);
        times.push(began.elapsed().as_secs_f64() * 1e3);
        next += Duration::from_secs(1) / FLIPS_A_SECOND;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    times
}

/// Reads an answer with a length, which has to be a 200.
fn answer(admin: &mut UnixStream) {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let count = admin.read(&mut part).unwrap();
        assert!(count > 0, "the admin API closed the connection");
        bytes.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("HTTP/1.1 200"), "{text}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() >= length.parse().unwrap() {
            return;
        }
    }
}
