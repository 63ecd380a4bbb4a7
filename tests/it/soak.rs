//! Everything at once, for as long as `SOAK_SECONDS` says: every kind of client, origins that fail in every way, an
//! operator who changes everything all the time, and a process whose memory and descriptors must stay flat. Each
//! exchange is checked; `make soak` says how to run it for an hour.
//!
//! Users pause between their requests, so that the proxy has a part of a core to do and memory is what is tested.

mod operator;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::time::Instant;

use super::support::load::{self, Load, Tunnels, User};
use super::support::pki::{Ca, Files};
use super::support::process::Process;
use super::support::{Client, Origin, Reply, Seen, eventually};
use crate::http::mixed_traffic;
use crate::support::external_tools::{Server, installed, python, run};
use operator::Operator;

/// How long without `SOAK_SECONDS`.
const SECONDS: u64 = 6;

/// How long a user thinks between two requests.
const THINK: Duration = Duration::from_millis(10);

/// Lines of the table that a run prints.
const SAMPLES: u32 = 24;

/// What the memory may grow by from the first quarter to the last, beside a tenth: less than a byte for each request of
/// an hour, and more than the allocator's own ups and downs.
const GROWTH_KIB_MAX: u64 = 6 * 1_024;

/// Where nothing listens.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

/// A user who thinks.
struct Thoughtful(Box<dyn User>);

impl User for Thoughtful {
    fn ask(&mut self, number: u64) -> Result<(), String> {
        thread::sleep(THINK);
        self.0.ask(number)
    }
}

/// An endpoint that behaves well for some requests, and then badly in one of all ways for some.
fn moody() -> Origin {
    let asked = AtomicU64::new(0);
    Origin::forgetful(move |_| {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        match (number / 16) % 8 {
            1 => Reply::raw("").hang(),
            3 => Reply::default().reset(),
            5 => Reply::raw("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"),
            7 => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").reset(),
            _ => Reply::ok("fine"),
        }
    })
}

/// WebSockets and bodies come back as they were sent; for the rest, see [`mixed_traffic::reply`].
fn good() -> Origin {
    Origin::forgetful(|seen: &Seen| match seen.header("upgrade") {
        Some("websocket") => load::reply(seen),
        _ => mixed_traffic::reply(seen),
    })
}

/// Everything behind the proxy. The servers of others are there if their packages are.
struct Origins {
    good: [Origin; 4],
    moody: Origin,
    grpc: Option<Server>,
    sockets: Option<Server>,
}

impl Origins {
    fn new(python: Option<&Path>) -> Self {
        Self {
            good: [good(), good(), good(), good()],
            moody: moody(),
            grpc: python.map(|python| Server::start(python, "grpc_server.py", "v1")),
            sockets: python.map(|python| Server::start(python, "websockets_server.py", "v1")),
        }
    }

    fn addresses(&self) -> [SocketAddr; 4] {
        self.good.each_ref().map(Origin::address)
    }

    /// The config; `timeout` is a setting that the operator changes back and forth.
    fn config(&self, certificate: &Files, timeout: u32) -> String {
        let ([a, b, c, d], moody) = (self.addresses(), self.moody.address());
        let address = |server: &Option<Server>| server.as_ref().map_or(NOBODY, |server| server.address);
        let (grpc, sockets) = (address(&self.grpc), address(&self.sockets));
        let certificate = certificate.toml();
        format!(
            "[listeners.public]\naddress = \"127.0.0.1:0\"\nh2c = true\n\
             [listeners.secure]\naddress = \"127.0.0.1:0\"\ntls = {{ {certificate} }}\n\
             [admin]\naddress = \"127.0.0.1:0\"\n[proxy]\nworkers = 2\nupstream_idle_timeout = \"2s\"\n\
             [services.shop]\nhosts = [\"a\"]\nsplit = {{ v1 = 50, v2 = 50 }}\non_shift = \"close\"\n\
             response_timeout = \"{timeout}s\"\n\
             versions.v1.endpoints = [\"{a}\", \"{b}\"]\nversions.v2.endpoints = [\"{c}\", \"{d}\"]\n\
             [services.moody]\nhosts = [\"moody\"]\nsplit = {{ v1 = 50, v2 = 50 }}\nresponse_timeout = \"200ms\"\n\
             shield = true\noutlier = {{ consecutive_failures = 5, ejection = \"1s\" }}\n\
             versions.v1.endpoints = [\"{a}\"]\nversions.v2.endpoints = [\"{moody}\", \"{NOBODY}\"]\n\
             versions.v2.health = {{ path = \"/healthz\", interval = \"500ms\", timeout = \"100ms\" }}\n\
             [services.secure]\nhosts = [\"127.0.0.1\"]\npaths = [\"/ok\"]\nversions.v1.endpoints = [\"{b}\"]\n\
             [services.grpc]\nhosts = [\"127.0.0.1\"]\npaths = [\"/t.T\"]\n\
             versions.v1 = {{ protocol = \"h2\", endpoints = [\"{grpc}\"] }}\n\
             [services.sockets]\nhosts = [\"127.0.0.1\"]\nversions.v1.endpoints = [\"{sockets}\"]\n"
        )
    }
}

/// Asks the service whose second version fails in every way: any answer will do, silence will not.
struct Patient(SocketAddr);

impl User for Patient {
    fn ask(&mut self, _: u64) -> Result<(), String> {
        let mut client = Client::to(self.0);
        match client.write("GET /ok HTTP/1.1\r\nHost: moody\r\nConnection: close\r\n\r\n").read(false) {
            Ok(_) => Ok(()),
            Err((end, bytes)) => Err(format!("no answer: {end:?} after {:?}", String::from_utf8_lossy(&bytes))),
        }
    }
}

/// Programs of others that come back again and again; each run must be a good one.
fn strangers(process: &Process, python: Option<&Path>, deadline: Instant) -> Vec<JoinHandle<u64>> {
    let secure = process.listeners["secure"];
    let repeat = |pause: u64, mut once: Box<dyn FnMut() -> u64 + Send>| {
        thread::spawn(move || {
            let mut count = 0;
            while Instant::now() < deadline {
                count += once();
                thread::sleep(Duration::from_millis(pause));
            }
            count
        })
    };
    let mut strangers = Vec::new();
    if installed("h2load", "TLS under load") {
        strangers.push(repeat(400, Box::new(move || h2load(secure, &["-m4"]))));
        strangers.push(repeat(400, Box::new(move || h2load(secure, &["--h1"]))));
    }
    for (script, command) in [("websockets_client.py", "messages"), ("grpc_client.py", "answers")] {
        let (Some(python), address) = (python.map(Path::to_owned), process.listener.to_string()) else { continue };
        let talk = move || {
            run(&python, script, &[command, &address]);
            1
        };
        strangers.push(repeat(2_000, Box::new(talk)));
    }
    strangers
}

fn h2load(secure: SocketAddr, options: &[&str]) -> u64 {
    let url = format!("https://{secure}/ok");
    let output = Command::new("h2load").args(options).args(["-n400", "-c20", "-t1", &url]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("400 succeeded, 0 failed") && said.contains("status codes: 400 2xx"),
        "{options:?}: {output:?}"
    );
    400
}

/// What the system says of a process.
#[derive(Clone, Copy, Debug)]
struct Sample {
    resident_kib: u64,
    descriptors: usize,
}

impl Sample {
    fn of(process: &Process) -> Self {
        Self { resident_kib: mixed_traffic::resident_kib(process), descriptors: mixed_traffic::descriptors(process) }
    }

    /// The middle of some, each on its own.
    fn median(samples: &[Self]) -> Self {
        let mut memory: Vec<_> = samples.iter().map(|sample| sample.resident_kib).collect();
        let mut files: Vec<_> = samples.iter().map(|sample| sample.descriptors).collect();
        memory.sort_unstable();
        files.sort_unstable();
        Self { resident_kib: memory[memory.len() / 2], descriptors: files[files.len() / 2] }
    }
}

/// Samples until `deadline`, each printed.
fn watch(process: &Process, load: &Load, deadline: Instant) -> Vec<Sample> {
    let began = Instant::now();
    let every = (deadline - began) / SAMPLES;
    println!("| after | exchanges | KiB resident | descriptors |\n|---|---|---|---|");
    let mut samples = Vec::new();
    while Instant::now() + every / 2 < deadline {
        thread::sleep(every);
        let sample = Sample::of(process);
        let passed = began.elapsed().as_secs();
        println!("| {passed} s | {} | {} | {} |", load.asked(), sample.resident_kib, sample.descriptors);
        samples.push(sample);
    }
    samples
}

#[test]
fn soak_everything_at_once_stays_flat() {
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let seed: u64 = rand::random();
    println!("seed {seed}, {seconds} s");
    let (python, ca) = (python("clients of libraries"), Ca::new("Soak"));
    let (origins, certificate) = (Origins::new(python.as_deref()), ca.issue("site", "site", &["a"]));
    let path = ca.folder().join("pointsman.toml");
    let text = |timeout| origins.config(&certificate, timeout);
    std::fs::write(&path, text(20)).unwrap();
    let process = Arc::new(Process::start(&path));
    mixed_traffic::settled(&process);
    let idle = Sample::of(&process);

    let tunnels = Tunnels::closed();
    let mut users = load::users(process.listener, 2, &tunnels);
    users.extend([(); 2].map(|()| Box::new(Patient(process.listener)) as Box<dyn User>));
    let load = Load::start(users.into_iter().map(|user| Box::new(Thoughtful(user)) as Box<dyn User>).collect());
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mixed = {
        let address = process.listener;
        thread::spawn(move || mixed_traffic::user_who_thinks(address, seed, deadline, THINK))
    };
    let operator = Operator::new(Arc::clone(&process), ca, path, [text(20), text(21)]);
    let addresses = origins.addresses();
    let operator = thread::spawn(move || operator.work(seed, addresses, deadline));
    let strangers = strangers(&process, python.as_deref(), deadline);

    let samples = watch(&process, &load, deadline);
    let mixed = mixed.join().unwrap();
    let changes = operator.join().unwrap();
    let strangers: u64 = strangers.into_iter().map(|stranger| stranger.join().unwrap()).sum();
    let asked = load.end_well();
    println!("{asked} exchanges, {mixed} odd ones, {strangers} of other programs, {changes:?}, none failed");
    println!("{} WebSockets closed by shifts", tunnels.ended());

    let quarter = samples.len() / 4;
    let (first, last) = (Sample::median(&samples[..quarter]), Sample::median(&samples[samples.len() - quarter..]));
    println!("{first:?} in the first quarter, {last:?} in the last; {idle:?} before");
    let may = first.resident_kib + first.resident_kib / 10 + GROWTH_KIB_MAX;
    // In a few seconds it is still filling its pools.
    assert!(seconds < 120 || last.resident_kib <= may, "grown from {first:?} to {last:?}");
    // Of the store and its readers, which came with the first change.
    eventually("no connection is left", || {
        let left = mixed_traffic::descriptors(&process);
        println!("{left} descriptors");
        thread::sleep(Duration::from_millis(500));
        left <= idle.descriptors + 4
    });
    println!("{:?} afterwards", Sample::of(&process));
}
