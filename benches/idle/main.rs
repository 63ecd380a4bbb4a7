//! What an idle keep-alive connection costs in memory, for us and for the proxies that are installed here: `make
//! bench-idle` prints a table.
//!
//! Each proxy is a process of its own with one worker. 5,000 clients (`IDLE_CONNECTIONS`) connect, plain and then with TLS
//! 1.3, ask once, and keep quiet. What the process's anonymous memory has grown by, as the kernel counts it, is divided by
//! them: right after the last answer, and later (`IDLE_SECONDS`), when allocators and timers have had their time. The
//! kernel's own memory for sockets is the same for everybody and not counted. `POINTSMAN` names another binary of ours to
//! measure.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench stops at the first surprise and prints what it measured"
)]

mod clients;
mod peers;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use clients::Clients;
use peers::{Certificate, Kind, Setup, kinds};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// A process that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Running {
    /// What it has allocated and touched, in KiB, swapped out or not. Pages of its program's file come and go as the
    /// kernel likes, and have nothing to do with connections.
    fn anonymous(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0.id())).unwrap();
        let of = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map_or(0.0, kib);
        of("Pss_Anon:") + of("SwapPss:")
    }
}

fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

fn main() {
    // As many descriptors as we may have, for us and the processes that we start.
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let (connections, seconds) = (number("IDLE_CONNECTIONS", 5_000), number("IDLE_SECONDS", 30));
    let origin = origin();
    let folder = tempfile::tempdir().unwrap();
    let certificate = certificate(folder.path());
    println!(
        "| proxy | version | clients | KiB each of {connections}, at once | after {seconds} s |\n|---|---|---|---|---|"
    );
    for (scheme, tls) in [("plain", None), ("TLS", Some(&certificate))] {
        for kind in kinds() {
            let Ok(said) = Command::new(&kind.program).arg(kind.version).output() else {
                println!("| {} | not installed here | {scheme} | | |", kind.name);
                continue;
            };
            let version = number_in(&String::from_utf8_lossy(&[said.stdout, said.stderr].concat()));
            let (at_once, later) = measure(&kind, origin, tls, connections, Duration::from_secs(seconds as u64));
            println!("| {} | {version} | {scheme} | {at_once:.1} | {later:.1} |", kind.name);
        }
    }
}

/// KiB a connection, at once and after a while.
fn measure(
    kind: &Kind,
    origin: SocketAddr,
    tls: Option<&Certificate>,
    connections: usize,
    while_idle: Duration,
) -> (f64, f64) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = folder.join("conf.yaml");
    std::fs::write(&file, (kind.config)(&Setup { listen, origin, connections, folder, tls })).unwrap();
    let place = |word: &&str| match *word {
        "CONFIG" => file.display().to_string(),
        "FOLDER" => folder.display().to_string(),
        word => word.to_owned(),
    };
    let mut command = Command::new(&kind.program);
    command.args(kind.arguments.iter().map(place)).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running(command.spawn().unwrap());
    while TcpStream::connect(listen).is_err() {
        assert!(running.0.try_wait().unwrap().is_none(), "{} did not start", kind.name);
        thread::sleep(Duration::from_millis(20));
    }
    let clients = Clients::new(listen, tls);
    // What is needed once is there before.
    drop(clients.open(64));
    thread::sleep(Duration::from_secs(1));
    let before = running.anonymous();
    let open = clients.open(connections);
    #[expect(clippy::cast_precision_loss, reason = "a count of connections")]
    let each = |running: &Running| (running.anonymous() - before) / open.len() as f64;
    let at_once = each(&running);
    thread::sleep(while_idle);
    let later = each(&running);
    open.iter().for_each(|client| client.assert_idle());
    (at_once, later)
}

/// Answers every head with [`ANSWER`].
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|count| count > 0) && stream.write_all(ANSWER).is_ok() {}
            });
        }
    });
    address
}

/// One that nobody signed; the clients look only at this file.
fn certificate(folder: &Path) -> Certificate {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["shop.example".to_owned()]).unwrap();
    let (cert, key) = (cert.pem(), signing_key.serialize_pem());
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    Certificate {
        cert: write("cert.pem", &cert),
        key: write("key.pem", &key),
        both: write("both.pem", &format!("{cert}{key}")),
    }
}

fn kib(value: &str) -> f64 {
    value.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The first `1.2.3` in what a program says of itself.
fn number_in(said: &str) -> String {
    let words = said.split(|c: char| !c.is_ascii_digit() && c != '.');
    words.map(|word| word.trim_matches('.')).find(|word| word.matches('.').count() == 2).unwrap_or("unknown").to_owned()
}
