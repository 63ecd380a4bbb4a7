//! What an idle keep-alive connection costs in memory, for us and for the proxies that are installed here: `make
//! bench-idle` prints a table.
//!
//! Each proxy is a process of its own with one worker. 5,000 clients (`IDLE_CONNECTIONS`) connect, ask once, and keep
//! quiet. What the process's anonymous memory has grown by, as the kernel counts it, is divided by them: right after the
//! last answer, and later (`IDLE_SECONDS`), when allocators and timers have had their time. The kernel's own memory for
//! sockets is the same for everybody and not counted. `POINTSMAN` names another binary of ours to measure.
//!
//! The allocator returns freed pages after a second by default, and only when something else is freed then: a crowd that is
//! parked in one moment stays with it. So ours is measured twice, with those defaults and as `deploy/pointsman.service`
//! starts it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench stops at the first surprise and prints what it measured"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const REQUEST: &[u8] = b"GET /items/7 HTTP/1.1\r\nhost: shop.example\r\nuser-agent: idle\r\naccept: */*\r\n\r\n";

/// Clients that connect at the same time, so that the first ones are not idle for long when the last ones come.
const OPENERS: usize = 8;

/// A proxy to measure.
struct Kind {
    name: &'static str,
    program: String,
    version: &'static str,
    /// `CONFIG` and `FOLDER` stand for their paths.
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    config: fn(SocketAddr, SocketAddr, &Path) -> String,
}

/// As in `deploy/pointsman.service`.
const DEPLOYED: &[(&str, &str)] = &[("MIMALLOC_PURGE_DELAY", "100"), ("MIMALLOC_ALLOW_THP", "0")];

fn kinds() -> [Kind; 5] {
    let ours = std::env::var("POINTSMAN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_pointsman").to_owned());
    let ours = |name, environment| Kind {
        name,
        program: ours.clone(),
        version: "--version",
        arguments: &["run", "--config", "CONFIG"],
        environment,
        config: pointsman,
    };
    [
        ours("Pointsman, deployed", DEPLOYED),
        ours("Pointsman", &[]),
        Kind {
            name: "nginx",
            program: "nginx".to_owned(),
            version: "-v",
            arguments: &["-c", "CONFIG", "-p", "FOLDER", "-e", "stderr"],
            environment: &[],
            config: nginx,
        },
        Kind {
            name: "HAProxy",
            program: "haproxy".to_owned(),
            version: "-v",
            arguments: &["-db", "-f", "CONFIG"],
            environment: &[],
            config: haproxy,
        },
        Kind {
            name: "Envoy",
            program: "envoy".to_owned(),
            version: "--version",
            arguments: &["--concurrency", "1", "--disable-hot-restart", "-l", "off", "-c", "CONFIG"],
            environment: &[],
            config: envoy,
        },
    ]
}

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
    fn pss(&self) -> f64 {
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
    let (connections, seconds) = (number("IDLE_CONNECTIONS", 5_000), number("IDLE_SECONDS", 15));
    let origin = origin();
    println!("| proxy | version | KiB each of {connections}, at once | after {seconds} s |\n|---|---|---|---|");
    for kind in kinds() {
        let Ok(said) = Command::new(&kind.program).arg(kind.version).output() else {
            println!("| {} | not installed here | | |", kind.name);
            continue;
        };
        let version = number_in(&String::from_utf8_lossy(&[said.stdout, said.stderr].concat()));
        let (at_once, later) = measure(&kind, origin, connections, seconds);
        println!("| {} | {version} | {at_once:.1} | {later:.1} |", kind.name);
    }
}

/// KiB a connection, at once and after so many seconds.
fn measure(kind: &Kind, origin: SocketAddr, connections: usize, seconds: usize) -> (f64, f64) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = folder.join(format!("{}.conf.yaml", kind.name));
    std::fs::write(&file, (kind.config)(address, origin, folder)).unwrap();
    let place = |word: &&str| match *word {
        "CONFIG" => file.display().to_string(),
        "FOLDER" => folder.display().to_string(),
        word => word.to_owned(),
    };
    let mut command = Command::new(&kind.program);
    command.envs(kind.environment.iter().copied());
    command.args(kind.arguments.iter().map(place)).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(command.spawn().unwrap());
    while TcpStream::connect(address).is_err() {
        thread::sleep(Duration::from_millis(20));
    }
    // What is needed once is there before.
    drop(open(address, 64));
    thread::sleep(Duration::from_secs(1));
    let before = running.pss();
    let open = open(address, connections);
    #[expect(clippy::cast_precision_loss, reason = "a count of connections")]
    let each = |running: &Running| (running.pss() - before) / open.len() as f64;
    let at_once = each(&running);
    thread::sleep(Duration::from_secs(seconds as u64));
    let later = each(&running);
    for stream in &open {
        stream.set_nonblocking(true).unwrap();
        let error = (&mut &*stream).read(&mut [0]).expect_err("the connection is still there, and silent");
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    }
    (at_once, later)
}

/// So many connections that have had an answer.
fn open(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let openers: Vec<_> = (0..OPENERS)
        .map(|_| thread::spawn(move || (0..count / OPENERS).map(|_| asked(address)).collect::<Vec<_>>()))
        .collect();
    openers.into_iter().flat_map(|opener| opener.join().unwrap()).collect()
}

fn asked(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(REQUEST).unwrap();
    let (mut buffer, mut filled) = ([0; 4096], 0);
    while !buffer[..filled].ends_with(b"hello") {
        let count = stream.read(&mut buffer[filled..]).unwrap();
        assert!(count > 0, "an answer, and the connection stays: {}", String::from_utf8_lossy(&buffer[..filled]));
        filled += count;
    }
    stream
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

fn kib(value: &str) -> f64 {
    value.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The first `1.2.3` in what a program says of itself.
fn number_in(said: &str) -> String {
    let words = said.split(|c: char| !c.is_ascii_digit() && c != '.');
    words.map(|word| word.trim_matches('.')).find(|word| word.matches('.').count() == 2).unwrap_or("unknown").to_owned()
}

fn pointsman(listen: SocketAddr, origin: SocketAddr, folder: &Path) -> String {
    format!(
        "[listeners.public]\naddress = \"{listen}\"\nidle_timeout = \"10m\"\nconnections_max = 100000\n\
         [admin]\naddress = \"unix:{0}/admin.sock\"\n[state]\npath = \"{0}/pointsman.db\"\n[proxy]\nworkers = 1\n\
         connections_max = 100000\n[services.shop]\nversions.v1.endpoints = [\"{origin}\"]\n",
        folder.display()
    )
}

fn nginx(listen: SocketAddr, origin: SocketAddr, folder: &Path) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String =
        temporary.iter().map(|kind| format!("{kind}_temp_path {}/{kind};\n", folder.display())).collect();
    format!(
        "daemon off;\nmaster_process off;\npid {0}/nginx.pid;\nevents {{ worker_connections 100000; }}\nhttp {{\n\
         access_log off;\nkeepalive_timeout 10m;\n{temporary}upstream origin {{ server {origin}; keepalive 8; }}\n\
         server {{\nlisten {listen};\nlocation / {{\nproxy_pass http://origin;\nproxy_http_version 1.1;\n\
         proxy_set_header Connection \"\";\nproxy_set_header Host $http_host;\n}}\n}}\n}}\n",
        folder.display()
    )
}

fn haproxy(listen: SocketAddr, origin: SocketAddr, _: &Path) -> String {
    format!(
        "global\n  nbthread 1\n  maxconn 20000\ndefaults\n  mode http\n  timeout connect 1s\n  timeout client 10m\n  \
         timeout server 10m\nfrontend in\n  bind {listen}\n  default_backend out\nbackend out\n  server origin {origin}\n"
    )
}

fn envoy(listen: SocketAddr, origin: SocketAddr, _: &Path) -> String {
    let address = |at: SocketAddr| format!("{{socket_address: {{address: {}, port_value: {}}}}}", at.ip(), at.port());
    let package = "type.googleapis.com/envoy.extensions.filters";
    let router = format!("{{name: router, typed_config: {{'@type': {package}.http.router.v3.Router}}}}");
    let hosts = "[{name: all, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: origin}}]}]";
    let filter = format!(
        "{{name: http, typed_config: {{'@type': {package}.network.http_connection_manager.v3.HttpConnectionManager, \
         stat_prefix: in, route_config: {{virtual_hosts: {hosts}}}, http_filters: [{router}]}}}}"
    );
    let endpoint = format!("{{lb_endpoints: [{{endpoint: {{address: {}}}}}]}}", address(origin));
    format!(
        "static_resources:\n  listeners:\n  - {{name: in, address: {}, filter_chains: [{{filters: [{filter}]}}]}}\n  \
         clusters:\n  - {{name: origin, type: STATIC, load_assignment: {{cluster_name: origin, endpoints: [{endpoint}]}}}}\n",
        address(listen)
    )
}
