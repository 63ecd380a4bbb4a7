//! What a flip costs: how long until it is answered, which is when it is durable and in force on all workers, and what
//! a hundred of them a second take from the traffic.
//!
//! First without traffic, then beside load that leaves no core idle: there a flip also waits for its turn of the
//! processor, in the client that asks for it as well. The load goes on without a pause while short turns follow each
//! other, without anything, with each [`Kind`], and the same backwards: whatever drifts for longer than a block of them
//! is in all of it. What the kinds cost tells where the cost of a flip comes from: the disk, the change, or that the
//! traffic then takes other connections, whose memory is in no cache. wrk fails the bench when an answer is an error or
//! a connection breaks.
//!
//! Twice: with all cores shared by all, where the CPU of a flip is taken from the traffic, and with the one worker on a
//! core of its own and all else on another, where only what a flip does to the worker shows. There each request has
//! this many rules to pass that the worker is what limits the traffic, and the other core has time left for load,
//! origin and the control plane; how much is printed, because without any the figures would be those of the load.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench stops at the first surprise and prints what it measured"
)]

#[path = "../support/callgrind.rs"]
mod callgrind;

mod cores;

#[path = "../support/load.rs"]
mod load;

#[path = "../support/origin.rs"]
mod origin;

#[path = "../support/round.rs"]
mod round;

#[path = "../support/shape.rs"]
mod shape;

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use load::{Running, wrk};
use origin::Origin;
use shape::Shape;
use tokio::time::Instant;

/// Between the beginnings of two flips.
const EVERY: Duration = Duration::from_millis(10);

/// Of each turn beside traffic.
const TURN: Duration = Duration::from_millis(200);

/// Times that all turns come forwards and backwards.
const BLOCKS: u32 = 40;

/// Connections that ask without a pause.
const CONNECTIONS: u32 = 64;

/// Rules that a request has to pass where the worker has a core of its own: with 300 load and origin, on the other
/// core, take as long as the worker.
const RULES: u32 = 1_200;

/// What is done a hundred times a second.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing.
    None,
    /// As many bytes as a flip writes are written and synced, by the client itself: what durability costs on this disk.
    Sync,
    /// A service without requests is flipped.
    Other,
    /// The service is flipped that is asked.
    Flip,
}

impl Kind {
    const ALL: [Self; 4] = [Self::None, Self::Sync, Self::Other, Self::Flip];

    fn name(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Sync => "a write of 12 KiB that is synced",
            Self::Other => "a flip of a service that nobody asks",
            Self::Flip => "a flip of the service that is asked",
        }
    }
}

/// Who runs where.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scene {
    /// Two workers, and all cores for everybody.
    Shared,
    /// One worker on core 0, and everybody else on core 1.
    Own,
}

fn main() {
    let binary = std::env::var("POINTSMAN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_pointsman").to_owned());
    measure(Path::new(&binary), Scene::Shared);
    if thread::available_parallelism().unwrap().get() > 1 {
        measure(Path::new(&binary), Scene::Own);
    } else {
        println!("\nfound one core: a worker on a core of its own is left out");
    }
}

fn measure(binary: &Path, scene: Scene) {
    let shape = match scene {
        Scene::Shared => Shape { workers: 2, services: 2, ..Shape::SMALL },
        Scene::Own => Shape { workers: 1, services: 2, rules: RULES, ..Shape::SMALL },
    };
    if scene == Scene::Own {
        // Threads and processes that begin later stay there as well.
        cores::put(std::process::id(), |_| true, 1);
    }
    let origin = Origin::start();
    let proxy = Running::start(binary, shape, origin.address.port());
    if scene == Scene::Own {
        cores::put(proxy.id(), |name| name == "worker", 0);
    }
    let mut client = Client { admin: proxy.admin(), disk: tempfile::tempfile().unwrap(), times: Vec::new() };
    let before = proxy.cpu_nanos();
    client.turn(Kind::Flip, Duration::from_secs(4));
    let nanos = proxy.cpu_nanos() - before;
    let mut alone = std::mem::take(&mut client.times);
    let mut ratios = beside_traffic(&proxy, &origin, &mut client);
    match scene {
        Scene::Shared => println!("\n### All cores shared by all\n"),
        Scene::Own => println!("\n### A worker on a core of its own\n"),
    }
    report((&mut alone, nanos), &mut client.times, &mut ratios, scene);
}

/// For each of [`Kind::ALL`], in each block: requests a second and CPU a request, as multiples of those without.
fn beside_traffic(proxy: &Running, origin: &Origin, client: &mut Client) -> [Ratios; Kind::ALL.len()] {
    let listen = proxy.listen;
    let mut ratios = Kind::ALL.map(|_| Ratios::default());
    thread::scope(|scope| {
        let warm = 1;
        let turns = u32::try_from(Kind::ALL.len()).unwrap() * 2;
        let seconds = warm + 1 + (TURN * turns * BLOCKS).as_secs();
        let load = scope.spawn(move || wrk(listen, CONNECTIONS, seconds.try_into().unwrap()));
        thread::sleep(Duration::from_secs(warm));
        for _ in 0..BLOCKS {
            let mut turn = |kind: Kind| Measured::of(proxy, origin, || client.turn(kind, TURN));
            let forwards = Kind::ALL.map(&mut turn);
            let mut backwards = Kind::ALL.into_iter().rev().map(&mut turn).collect::<Vec<_>>().into_iter().rev();
            let both = forwards.map(|turn| turn.and(&backwards.next().unwrap()));
            for (ratios, turn) in ratios.iter_mut().zip(&both) {
                ratios.rates.push(turn.rate() / both[0].rate());
                ratios.costs.push(turn.cost() / both[0].cost());
                for (ratios, idle) in ratios.idle.iter_mut().zip(turn.idle) {
                    ratios.push(idle.div_duration_f64(turn.time));
                }
            }
        }
        load.join().unwrap();
    });
    ratios
}

#[derive(Default)]
struct Ratios {
    rates: Vec<f64>,
    costs: Vec<f64>,
    /// The part of their time that cores 0 and 1 had nothing to do.
    idle: [Vec<f64>; 2],
}

fn report((alone, nanos): (&mut [f64], u64), beside: &mut [f64], ratios: &mut [Ratios], scene: Scene) {
    println!("| of {} flips without traffic and {} beside it | |\n|---|---|", alone.len(), beside.len());
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let each = nanos as f64 / 1e3 / alone.len() as f64;
    for (what, times) in [("without", alone), ("beside", beside)] {
        let [middle, rare, most] = [0.5, 0.99, 1.0].map(|part| at(times, part));
        println!("| answered after, {what} traffic, p50 / p99 / most | {middle:.2} / {rare:.2} / {most:.2} ms |");
    }
    println!("| CPU of a flip without traffic, all threads | {each:.0} us |\n");
    let often = Duration::from_secs(1).div_duration_f64(EVERY);
    println!("| {often:.0} times a second, beside traffic | requests a second | CPU of a request |\n|---|---|---|");
    for (kind, Ratios { rates, costs, .. }) in Kind::ALL.iter().zip(&mut *ratios).skip(1) {
        let figures = [rates, costs].map(|ratios| {
            let [middle, low, high] = [0.5, 0.25, 0.75].map(|part| at(ratios, part));
            format!("{middle:.3} ({low:.3} to {high:.3})")
        });
        println!("| {} | {} |", kind.name(), figures.join(" | "));
    }
    println!("\nAs a multiple of the same without: middle of {BLOCKS} blocks, and the half of them around it.");
    if scene == Scene::Own {
        let [without, .., with] = ratios else { return };
        for (core, of) in ["The worker's core", "The core of all others"].into_iter().enumerate() {
            let [without, with] = [&mut *without, &mut *with].map(|ratios| at(&mut ratios.idle[core], 0.5) * 100.0);
            println!("{of} was idle for {without:.0} % of the time without flips, {with:.0} % beside them.");
        }
    }
}

/// The value below which this part of them lies.
fn at(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let index = ((values.len() - 1) as f64 * part) as usize;
    values[index]
}

/// What happened in some time.
struct Measured {
    requests: u64,
    nanos: u64,
    /// Of cores 0 and 1.
    idle: [Duration; 2],
    time: Duration,
}

impl Measured {
    fn of(proxy: &Running, origin: &Origin, turn: impl FnOnce()) -> Self {
        let before = (proxy.cpu_nanos(), origin.answered(), cores::idle());
        let began = Instant::now();
        turn();
        let time = began.elapsed();
        let (nanos, requests) = (proxy.cpu_nanos() - before.0, origin.answered() - before.1);
        let ([zero, one], before) = (cores::idle(), before.2);
        Self { requests, nanos, idle: [zero - before[0], one - before[1]], time }
    }

    fn and(&self, other: &Self) -> Self {
        let (requests, nanos) = (self.requests + other.requests, self.nanos + other.nanos);
        let idle = [self.idle[0] + other.idle[0], self.idle[1] + other.idle[1]];
        Self { requests, nanos, idle, time: self.time + other.time }
    }

    /// Requests a second.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn rate(&self) -> f64 {
        self.requests as f64 / self.time.as_secs_f64()
    }

    /// Nanoseconds of CPU a request.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn cost(&self) -> f64 {
        self.nanos as f64 / self.requests as f64
    }
}

/// Who does it.
struct Client {
    admin: UnixStream,
    disk: File,
    /// How long each flip of the service that is asked took, in milliseconds.
    times: Vec<f64>,
}

impl Client {
    /// Does something for so long.
    fn turn(&mut self, kind: Kind, time: Duration) {
        let end = Instant::now() + time;
        let mut next = Instant::now();
        for number in 0.. {
            if next >= end {
                break;
            }
            thread::sleep(next.saturating_duration_since(Instant::now()));
            next += EVERY;
            match kind {
                Kind::None => break,
                // Over and over the same space, as in a log that is there already.
                Kind::Sync => {
                    self.disk.write_all_at(&[1; 12 * 1024], number % 20 * 12 * 1024).unwrap();
                    self.disk.sync_data().unwrap();
                }
                Kind::Other => self.flip("other-1", number),
                Kind::Flip => {
                    let began = Instant::now();
                    self.flip("shop", number);
                    self.times.push(began.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
        thread::sleep(end.saturating_duration_since(Instant::now()));
    }

    fn flip(&mut self, service: &str, number: u64) {
        let body = format!("{{\"to\": \"v{}\"}}", number % 2 + 1);
        let head = format!(
            "POST /v1/services/{service}/flip HTTP/1.1\r\nhost: localhost\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.admin.write_all((head + &body).as_bytes()).unwrap();
        answer(&mut self.admin);
    }
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
