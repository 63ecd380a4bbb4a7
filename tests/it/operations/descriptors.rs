//! Few open files: the proxy waits instead of spinning, keeps its admin API, and recovers.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crate::support::process::{Process, config};
use crate::support::{Client, Origin, PATIENCE, Reply, client, eventually, eventually_within, get};

/// How long a process is watched for spinning.
const WATCHED: Duration = Duration::from_secs(2);

/// Processor time that a waiting process may use in that time, in clock ticks of 10 ms: a spinning thread uses 200.
const TICKS_MAX: u64 = 40;

fn file(origin: &Origin, folder: &Path) -> std::path::PathBuf {
    let path = folder.join("pointsman.toml");
    std::fs::write(&path, config(origin.address(), origin.address(), "")).unwrap();
    path
}

/// Processor time so far, in clock ticks.
fn ticks(process: &Process) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // utime and stime are fields 14 and 15 of the line; the name, the second one, is cut off here.
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

fn assert_waits(process: &Process) {
    let before = ticks(process);
    std::thread::sleep(WATCHED);
    let used = ticks(process) - before;
    assert!(used <= TICKS_MAX, "{used} ticks of 10 ms in {WATCHED:?}");
    println!("{used} ticks of 10 ms in {WATCHED:?}");
}

fn pauses(process: &Process) -> f64 {
    let admin = process.admin_address;
    let text = client::send(admin, format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\n\r\n")).text();
    let line = text.lines().find(|line| line.starts_with("pointsman_accept_pauses_total")).expect("the metric");
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn with_64_descriptors_the_next_connections_wait() {
    let (origin, folder) = (Origin::saying("hello"), tempfile::tempdir().unwrap());
    let mut command = Command::new("sh");
    let script = format!(
        "ulimit -n 64; exec {} run --config {}",
        env!("CARGO_BIN_EXE_pointsman"),
        file(&origin, folder.path()).display()
    );
    command.args(["-c", &script]);
    let process = Process::start_command(command);
    let mut clients: Vec<_> = (0..100).map(|_| Client::to(process.listener)).collect();
    for client in &mut clients {
        client.write(get("/"));
    }
    eventually("it is full", || pauses(&process) > 0.0);
    assert_waits(&process);
    assert_eq!(process.get("/v1/status")["ready"], true, "the admin API has descriptors of its own");
    // Connections that end make room for those that wait: all of them get their answers.
    while !clients.is_empty() {
        let mut waiting = Vec::new();
        for mut client in clients.drain(..) {
            match client.read_within(Duration::from_millis(20)) {
                Some(answer) => assert_eq!((answer.status, answer.text().as_str()), (200, "hello")),
                None => waiting.push(client),
            }
        }
        clients = waiting;
    }
    assert_eq!(client::send(process.listener, get("/")).status, 200);
}

#[test]
fn idle_connections_make_room_for_those_of_a_flip() {
    // Fewer than it lets in, but with as many connections to either version there are not enough descriptors.
    const CLIENTS: usize = 92;
    // It answers when all requests are in flight at once.
    let patient = || {
        let came = AtomicUsize::new(0);
        Origin::with(move |_| {
            let wanted = came.fetch_add(1, SeqCst) / CLIENTS * CLIENTS + CLIENTS;
            eventually_within(2 * PATIENCE, "all are in flight", || came.load(SeqCst) >= wanted);
            Reply::ok("hello")
        })
    };
    let (v1, v2, folder) = (patient(), patient(), tempfile::tempdir().unwrap());
    let path = folder.path().join("pointsman.toml");
    std::fs::write(&path, config(v1.address(), v2.address(), "").replace("workers = 2", "workers = 1")).unwrap();
    let mut command = Command::new("sh");
    let script = format!("ulimit -n 256; exec {} run --config {}", env!("CARGO_BIN_EXE_pointsman"), path.display());
    command.args(["-c", &script]);
    let process = Process::start_command(command);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Client::to(process.listener).patient(3 * PATIENCE)).collect();
    for to in ["v1", "v2", "v1"] {
        process.send(http::Method::POST, "/v1/services/shop/flip", serde_json::json!({ "to": to })).unwrap();
        for client in &mut clients {
            client.write(get("/"));
        }
        for client in &mut clients {
            let answer = client.answer();
            assert_eq!((answer.status, answer.text().as_str()), (200, "hello"), "after the flip to {to}");
        }
    }
    assert_eq!((v1.connections(), v2.connections()), (2 * CLIENTS, CLIENTS), "idle ones were let go at each flip");
}

#[test]
fn without_a_descriptor_it_waits_and_recovers() {
    let (origin, folder) = (Origin::saying("hello"), tempfile::tempdir().unwrap());
    let process = Process::start(&file(&origin, folder.path()));
    assert_eq!(client::send(process.listener, get("/")).status, 200);
    let limit = |limit: &str| {
        let id = process.id().to_string();
        assert!(Command::new("prlimit").args(["--pid", &id, limit]).status().unwrap().success());
    };
    let before = pauses(&process);
    // Below what is open: every accept fails from now on.
    limit("--nofile=4:");
    let mut clients: Vec<_> = (0..20).map(|_| Client::to(process.listener)).collect();
    assert_waits(&process);
    limit("--nofile=1024:");
    for client in &mut clients {
        assert_eq!(client.ask(get("/")).status, 200);
    }
    assert!(pauses(&process) > before);
}

#[test]
fn checks_without_a_descriptor_blame_nobody() {
    let (origin, folder) = (Origin::saying("hello"), tempfile::tempdir().unwrap());
    let path = folder.path().join("pointsman.toml");
    let checks = "versions.v1.health = { path = \"/\", interval = \"500ms\", timeout = \"490ms\", fall = 5 }\n";
    std::fs::write(&path, config(origin.address(), origin.address(), checks)).unwrap();
    let process = Process::start(&path);
    let limit = |limit: &str| {
        let id = process.id().to_string();
        assert!(Command::new("prlimit").args(["--pid", &id, limit]).status().unwrap().success());
    };
    let checked = || origin.seen().len();
    eventually("it is checked", || checked() > 2);
    limit("--nofile=4:");
    // The last one may be on its way.
    std::thread::sleep(WATCHED);
    let before = checked();
    std::thread::sleep(WATCHED);
    assert_eq!(checked(), before, "no check has a descriptor");
    limit("--nofile=1024:");
    assert_eq!(client::send(process.listener, get("/")).status, 200);
    assert!(!process.told(&["fails its checks"]));
    eventually("it is checked again", || checked() > before + 1);
}
