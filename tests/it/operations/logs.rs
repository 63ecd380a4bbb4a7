//! Nothing that the process says may stop what it does: its own log and the access log on streams that fail, stall or
//! are gone, and what is lost of them.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use http::Method;
use pointsman::cli::client::{AdminClient, Call};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::h2::{H2Client, request};
use crate::support::process::{Process, config};
use crate::support::{Client, Origin, PATIENCE, client, eventually, eventually_within, get};

/// A process whose standard streams are as bad as they can be, so its addresses are known from the sockets it is given.
struct Mute {
    child: Child,
    listener: SocketAddr,
    admin: AdminClient,
    folder: tempfile::TempDir,
}

/// How the standard streams are.
enum Streams {
    /// What a shell makes of standard error, such as `2>/dev/full`.
    Shell(&'static str),
    /// Standard error is this.
    Error(OwnedFd),
    /// Standard output is this; standard error is nothing.
    Output(OwnedFd),
}

impl Mute {
    fn start(origin: SocketAddr, more: &str, streams: Streams) -> Self {
        let (public, admin) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let (listener, admin_address) = (public.local_addr().unwrap(), admin.local_addr().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let text = config(origin, origin, more);
        let text = text.replacen("127.0.0.1:0\"", &format!("{listener}\"\nh2c = true"), 1);
        let text = text.replacen("127.0.0.1:0", &admin_address.to_string(), 1);
        std::fs::write(folder.path().join("pointsman.toml"), text).unwrap();
        let redirect = if let Streams::Shell(redirect) = &streams { redirect } else { "" };
        let mut command = Command::new("sh");
        let script = format!("export LISTEN_PID=$$; exec \"$0\" run --config \"$1\" {redirect}");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_pointsman")]).arg(folder.path().join("pointsman.toml"));
        command.env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", "public:admin").env("RUST_LOG", "h2=debug,info");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match streams {
            Streams::Shell(_) => {}
            Streams::Error(stream) => drop(command.stderr(stream)),
            Streams::Output(stream) => drop(command.stdout(stream)),
        }
        let mapping = |(socket, child_fd): (TcpListener, i32)| FdMapping { parent_fd: socket.into(), child_fd };
        command.fd_mappings([public, admin].into_iter().zip(3..).map(mapping).collect()).unwrap();
        let child = command.spawn().unwrap();
        let admin = AdminClient::new(&admin_address.to_string(), None).unwrap();
        Self { child, listener, admin, folder }
    }

    fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        self.admin.call(Call { method, path, body, if_match: None }).unwrap()
    }

    fn lost(&self, log: &str) -> u64 {
        self.ask(Method::GET, "/v1/status", None)["logs"][log]["lost"].as_u64().unwrap()
    }

    /// The memory that it holds, in MiB.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// Asks it to end; how long that took, and its exit code.
    fn end(mut self) -> (Duration, Option<i32>) {
        let began = Instant::now();
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let mut code = None;
        eventually_within(Duration::from_secs(20), "it ends", || {
            code = self.child.try_wait().unwrap().map(|status| status.code());
            code.is_some()
        });
        (began.elapsed(), code.flatten())
    }
}

impl Drop for Mute {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A pipe that is full, and both of its ends.
fn full_pipe(blocking: bool) -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    while writer.write(b"x").is_ok() {}
    rustix::io::ioctl_fionbio(&writer, !blocking).unwrap();
    (reader, writer)
}

/// Requests that are enough to tell whether some fail.
const ENOUGH: u64 = 50;

/// Asks for two seconds and [`ENOUGH`] times, with several lines of the log a request, while the traffic is shifted and
/// rolled back; how many requests that were, and how many failed.
fn press(process: &Mute) -> (u64, u64) {
    let (done, failed, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = H2Client::to(process.listener);
                while !stop.load(Relaxed) {
                    let answer = client.ask(request("GET", "http://a/", &[]));
                    done.fetch_add(1, Relaxed);
                    failed.fetch_add(u64::from(answer.status != 200), Relaxed);
                }
            });
        }
        let until = Instant::now() + Duration::from_secs(2);
        let patience = until + PATIENCE;
        while Instant::now() < until || done.load(Relaxed) < ENOUGH && Instant::now() < patience {
            process.ask(Method::PUT, "/v1/services/shop/split", Some(json!({ "v1": 70, "v2": 30 })));
            process.ask(Method::POST, "/v1/rollback", Some(json!({})));
        }
        stop.store(true, Relaxed);
    });
    (done.into_inner(), failed.into_inner())
}

/// Asks until there was more to say than is kept of a log that is not read. On a busy machine that takes its time, and
/// most of it is waiting.
fn press_until_lost(process: &Mute, name: &str) {
    let lost = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = H2Client::to(process.listener);
                while !lost.load(Relaxed) {
                    client.ask(request("GET", "http://a/", &[]));
                }
            });
        }
        let deadline = Instant::now() + Duration::from_secs(120);
        while process.lost("process") == 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        lost.store(true, Relaxed);
    });
    assert!(process.lost("process") > 0, "{name}: no lines are lost");
}

#[test]
fn a_log_that_cannot_be_written_costs_its_lines_and_nothing_else() {
    let origin = Origin::forgetful(|_| crate::support::Reply::ok(b"hello"));
    let (stalled_reader, stalled) = full_pipe(true);
    let (trying_reader, trying) = full_pipe(false);
    let (gone_reader, gone) = std::io::pipe().unwrap();
    drop(gone_reader);
    let cases = [
        ("a full disk", Streams::Shell("2>/dev/full"), true),
        ("closed", Streams::Shell("2>&-"), false),
        ("a pipe without a reader", Streams::Error(gone.into()), true),
        ("a full pipe", Streams::Error(stalled.into()), true),
        ("a full pipe that does not block", Streams::Error(trying.into()), true),
    ];
    for (name, streams, loses) in cases {
        let process = Mute::start(origin.address(), "", streams);
        eventually(name, || client::send(process.listener, get("/")).status == 200);
        press(&process);
        let before = process.resident();
        let (done, failed) = press(&process);
        let grown = process.resident().saturating_sub(before);
        if loses {
            press_until_lost(&process, name);
        }
        let lost = process.lost("process");
        println!("{name}: {done} requests, {failed} failed, {lost} lines lost, {grown} MiB more");
        assert!(failed == 0 && done >= ENOUGH, "{name}: {failed} of {done}");
        assert!(grown < 16, "{name}: {grown} MiB");
        // Without a descriptor, what is written goes nowhere, without an error: the standard library sees to that.
        assert_eq!(lost > 0, loses, "{name}: {lost}");
        let metrics = Client::to(process.admin_address()).ask(get_admin(&process, "/metrics")).text();
        let metric = metrics.lines().find_map(|line| line.strip_prefix("pointsman_log_dropped_total ")).unwrap();
        assert_eq!(metric.parse::<u64>().unwrap() > 0, loses, "{name}");
        let (took, code) = process.end();
        assert!(code == Some(0) && took < Duration::from_secs(15), "{name}: {code:?} after {took:?}");
    }
    drop((stalled_reader, trying_reader));
}

impl Mute {
    fn admin_address(&self) -> SocketAddr {
        let text = std::fs::read_to_string(self.folder.path().join("pointsman.toml")).unwrap();
        let (_, rest) = text.split_once("[admin]\naddress = \"").unwrap();
        rest.split_once('"').unwrap().0.parse().unwrap()
    }
}

fn get_admin(process: &Mute, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", process.admin_address())
}

#[test]
fn what_a_stalled_log_lost_is_told_when_somebody_reads_again() {
    let origin = Origin::saying("hello");
    let (mut reader, writer) = full_pipe(true);
    let process = Mute::start(origin.address(), "", Streams::Error(writer.into()));
    eventually("it serves", || client::send(process.listener, get("/")).status == 200);
    press(&process);
    press_until_lost(&process, "a full pipe");
    rustix::io::ioctl_fionbio(&reader, true).unwrap();
    let mut text = Vec::new();
    eventually("the loss is told", || {
        let _would_block = reader.read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text);
        text.lines().any(|line| line.contains("WARN") && line.contains("lines were lost"))
    });
    process.ask(Method::PUT, "/v1/services/shop/split", Some(json!({ "v1": 70, "v2": 30 })));
    eventually("the log goes on", || {
        let _would_block = reader.read_to_end(&mut text);
        String::from_utf8_lossy(&text).contains("the traffic has changed")
    });
}

/// Runs the binary with bad standard streams to its end; its exit code.
fn exit_code(folder: &Path, arguments: &str, streams: &str) -> Option<i32> {
    let script = format!("exec \"$0\" {arguments} {streams}");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_pointsman")]).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    code_of(command.spawn().unwrap())
}

fn code_of(mut child: Child) -> Option<i32> {
    let mut code = None;
    eventually_within(Duration::from_secs(60), "it ends", || {
        code = child.try_wait().unwrap().map(|status| status.code());
        code.is_some()
    });
    code.flatten()
}

/// A folder with a good config, a bad one, and one whose port is taken by the listener returned.
fn folder() -> (tempfile::TempDir, TcpListener) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let nowhere = ([127, 0, 0, 1], 9).into();
    let good = config(nowhere, nowhere, "");
    let busy = good.replacen("127.0.0.1:0", &taken.local_addr().unwrap().to_string(), 1);
    for (name, text) in [("good.toml", &good), ("bad.toml", &good.replace("100", "10")), ("busy.toml", &busy)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    (folder, taken)
}

#[test]
fn what_cannot_be_said_does_not_change_the_exit_code() {
    let (folder, taken) = folder();
    let of = |arguments: &str, streams: &str| exit_code(folder.path(), arguments, streams);
    let streams = ["", "2>/dev/full", "2>&-", ">/dev/full 2>/dev/full", ">&- 2>&-"];
    for streams in streams {
        assert_eq!(of("run --config bad.toml", streams), Some(64), "{streams}");
        assert_eq!(of("run --config none.toml", streams), Some(64), "{streams}");
        assert_eq!(of("run --config busy.toml", streams), Some(1), "{streams}");
        assert_eq!(of("check --config bad.toml", streams), Some(64), "{streams}");
        assert_eq!(of("check --config good.toml", streams), Some(0), "{streams}");
        assert_eq!(of("check --config good.toml --json", streams), Some(0), "{streams}");
        assert_eq!(of("--admin http://127.0.0.1:9 status", streams), Some(1), "{streams}");
        assert_eq!(of("--admin http://127.0.0.1:9 --json status", streams), Some(1), "{streams}");
        assert_eq!(of("simulate --runs 1 --bake 10s", streams), Some(0), "{streams}");
        assert_eq!(of("status --nonsense", streams), Some(64), "{streams}");
    }
    // A pipe without a reader holds up a start that fails no longer than it has to.
    for (config, code) in [("bad.toml", 64), ("busy.toml", 1)] {
        let (reader, writer) = full_pipe(true);
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args(["run", "--config", config]).current_dir(folder.path()).stdin(Stdio::null()).stderr(writer);
        assert_eq!(code_of(command.spawn().unwrap()), Some(code), "{config}");
        drop(reader);
    }
    drop(taken);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let origin = Origin::saying("hello");
    let process = Mute::start(origin.address(), "", Streams::Shell("2>&-"));
    eventually("it serves", || client::send(process.listener, get("/")).status == 200);
    let admin = format!("--admin http://{}", process.admin_address());
    for arguments in
        ["status", "status shop", "history", "--json status", "explain http://a/", "shift shop v1=60 v2=40"]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args(admin.split(' ').chain(arguments.split(' '))).stdout(writer).stderr(Stdio::null());
        assert_eq!(code_of(command.spawn().unwrap()), Some(0), "{arguments}");
    }
    for arguments in ["--help", "demo --seconds 1", "demo --bug none"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        let streams = command.args(arguments.split(' ')).stdout(writer.try_clone().unwrap()).stderr(writer);
        assert_eq!(code_of(streams.spawn().unwrap()), Some(0), "{arguments}");
    }
}

#[test]
fn an_access_log_that_nobody_reads_stops_nobody() {
    let origin = Origin::saying("hello");
    let (reader, writer) = full_pipe(true);
    let process = Mute::start(origin.address(), "[access_log]\nformat = \"json\"\n", Streams::Output(writer.into()));
    eventually("it serves", || client::send(process.listener, get("/")).status == 200);
    press(&process);
    let (took, code) = process.end();
    assert!(code == Some(0) && took < Duration::from_secs(15), "{code:?} after {took:?}");
    drop(reader);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let process = Mute::start(origin.address(), "[access_log]\nformat = \"json\"\n", Streams::Output(writer.into()));
    eventually("it serves", || client::send(process.listener, get("/")).status == 200);
    eventually("the loss is counted", || process.lost("access") > 0);
    let problem = process.ask(Method::GET, "/v1/status", None)["logs"]["access"]["problem"].clone();
    assert!(problem.as_str().unwrap().contains("roken pipe"), "{problem}");
    assert_eq!(process.end().1, Some(0));
}

/// A proxy whose files may have this many KiB: the kernel refuses to write on, as on a full disk.
fn bounded(folder: &Path, kib: u64) -> Process {
    let mut command = Command::new("sh");
    // In units of 512 bytes.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" run --config \"$1\"", 2 * kib);
    command.args(["-c", &script, env!("CARGO_BIN_EXE_pointsman")]).arg(folder.join("pointsman.toml"));
    Process::start_command(command)
}

#[test]
fn an_access_log_on_a_full_disk_goes_on_when_there_is_room_again() {
    let origin = Origin::saying("hello");
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let text = config(origin.address(), origin.address(), "[access_log]\nformat = \"json\"\npath = \"access.log\"\n");
    std::fs::write(folder.path().join("pointsman.toml"), text).unwrap();
    let process = bounded(folder.path(), 512);
    let lost = || process.get("/v1/status")["logs"]["access"].clone();
    let mut asked = 0;
    let long = "x".repeat(6_000);
    let ask = |target: String| assert_eq!(client::send(process.listener, get(&target)).status, 200);
    eventually_within(Duration::from_secs(60), "the disk is full", || {
        ask(format!("/{asked}/{long}"));
        asked += 1;
        lost()["lost"].as_u64() > Some(3)
    });
    assert!(lost()["problem"].is_string(), "{}", lost());
    eventually("it is told", || process.told(&["ERROR", "cannot write to the access log"]));
    let first = std::fs::read(&log).unwrap();
    // Room again.
    File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
    for number in 0..100 {
        ask(format!("/after/{number}"));
    }
    asked += 100;
    eventually("the log goes on", || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("\"/after/99\"")));
    eventually("it is told", || process.told(&["the access log can be written again"]));
    let both = [first, std::fs::read(&log).unwrap()].concat();
    let lines: Vec<Value> =
        String::from_utf8(both).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let after = lines.iter().filter(|line| line["target"].as_str().unwrap().starts_with("/after/")).count();
    assert_eq!(after, 100);
    let lost = lost();
    assert_eq!((lines.len() as u64 + lost["lost"].as_u64().unwrap(), &lost["problem"]), (asked, &json!(null)));
}

#[test]
fn each_request_with_a_first_line_has_a_line_in_the_access_log() {
    let origin = Origin::saying("hello");
    let folder = tempfile::tempdir().unwrap();
    let more = "[access_log]\nformat = \"json\"\npath = \"access.log\"\n";
    let text = config(origin.address(), origin.address(), more);
    let text = text.replacen("127.0.0.1:0\"", "127.0.0.1:0\"\nidle_timeout = \"2s\"", 1);
    std::fs::write(folder.path().join("pointsman.toml"), text).unwrap();
    let process = Process::start(&folder.path().join("pointsman.toml"));
    let large = format!("GET /large HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let cases = [
        ("GET /version HTTP/3.0\r\nHost: a\r\n\r\n", 400, "bad_head", "GET", "/version"),
        ("GET /header HTTP/1.1\r\nHost: a\r\nno header\r\n\r\n", 400, "bad_head", "GET", "/header"),
        ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_head", "-", "G@T / HTTP/1.1"),
        ("\r\nPOST /length HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400, "bad_framing", "POST", "/length"),
        (
            "POST /coding HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
            501,
            "unknown_transfer_coding",
            "POST",
            "/coding",
        ),
        (&large, 431, "head_too_large", "GET", "/large"),
        ("GET /slow HTTP/1.1\r\nHost: a\r\n", 408, "head_timeout", "GET", "/slow"),
    ];
    for (bytes, status, _, _, target) in cases {
        let mut client = Client::to(process.listener);
        assert_eq!(client.write(bytes).answer().status, status, "{target}");
    }
    // No first line, no request.
    assert_eq!(Client::to(process.listener).write("GET /half").answer().status, 408);
    let log: PathBuf = folder.path().join("access.log");
    let mut lines = Vec::new();
    eventually("the lines are there", || {
        let text = std::fs::read_to_string(&log).unwrap();
        lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
        lines.len() >= cases.len()
    });
    assert_eq!(lines.len(), cases.len(), "{lines:?}");
    for (line, (_, status, reason, method, target)) in lines.iter().zip(cases) {
        let found = (&line["status"], &line["reason"], &line["method"], &line["target"]);
        assert_eq!(found, (&json!(status), &json!(reason), &json!(method), &json!(target)), "{line}");
        assert_eq!((&line["client"], &line["service"]), (&json!("127.0.0.1"), &json!(null)));
        assert!(line["bytes"].as_u64().unwrap() > 0, "{line}");
    }
}

#[test]
fn a_client_forges_no_field_of_the_text_log() {
    let origin = Origin::saying("hello");
    let folder = tempfile::tempdir().unwrap();
    let more = "[access_log]\nformat = \"text\"\npath = \"access.log\"\n";
    std::fs::write(folder.path().join("pointsman.toml"), config(origin.address(), origin.address(), more)).unwrap();
    let mut process = Process::start(&folder.path().join("pointsman.toml"));
    let forged = "a 10.0.0.1 200 0.1ms 5B GET shop/ shop/v1 127.0.0.1:1 rev=9";
    client::send(process.listener, format!("GET / HTTP/1.1\r\nHost: {forged}\r\n\r\n")).assert_refused(400, "bad_host");
    client::send(process.listener, get("/"));
    assert!(process.end().success());
    let text = std::fs::read_to_string(folder.path().join("access.log")).unwrap();
    let fields: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!((fields.len(), fields[0][2], fields[1][2]), (2, "400", "200"), "{text}");
    assert_eq!(fields[0].len(), fields[1].len() + 1, "the reason is one more: {text}");
}

#[test]
fn a_log_in_a_watched_folder_does_not_feed_itself() {
    let origin = Origin::saying("hello");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pointsman.toml"), config(origin.address(), origin.address(), "")).unwrap();
    let log = folder.path().join("pointsman.log");
    let mut child = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["run", "--config", "pointsman.toml"])
        .current_dir(folder.path())
        .env("RUST_LOG", "trace")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let size = || std::fs::metadata(&log).unwrap().len();
    let text = || std::fs::read_to_string(&log).unwrap();
    eventually("it serves", || text().contains("admin API listening"));
    // A line that feeds itself is there a thousand times after a second.
    let (before, mut last) = (size(), 0);
    eventually_within(Duration::from_secs(20), "it has nothing more to say", || {
        let quiet = size() == last;
        last = size();
        std::thread::sleep(Duration::from_millis(500));
        quiet
    });
    let text = text();
    let _killed = child.kill();
    child.wait().unwrap();
    assert!(last - before < 64 * 1024, "{} bytes more:\n{}", last - before, &text[text.len().saturating_sub(2_000)..]);
}

#[test]
fn a_line_names_a_few_of_many_services() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    let mut text = config(([127, 0, 0, 1], 9).into(), ([127, 0, 0, 1], 9).into(), "");
    for n in 0..999 {
        text += &format!("[services.s{n}]\npaths = [\"/{n}\"]\nversions.v1.endpoints = [\"127.0.0.1:9\"]\n");
    }
    std::fs::write(&path, text).unwrap();
    let process = Process::start(&path);
    assert_eq!(process.count(&["the traffic has changed", "count=1000", "\"and 995 more\"]"]), 1);
    process.send(Method::PUT, "/v1/services/shop/split", json!({ "v1": 95, "v2": 5 })).unwrap();
    eventually("a change of one is told as one", || process.told(&["has changed", "count=1 services=[\"shop\"]"]));
}

#[test]
fn a_rollout_that_moves_says_how() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    let (v1, v2) = (Origin::saying("v1"), Origin::saying("v2"));
    let more = "[services.shop.rollout]\nstrategy = \"canary\"\nsteps = [5, 50, 100]\nbake = \"1h\"\n";
    std::fs::write(&path, config(v1.address(), v2.address(), more)).unwrap();
    let process = Process::start(&path);
    process.send(Method::POST, "/v1/rollouts", json!({ "service": "shop", "to": "v2" })).unwrap();
    let words = |more: &'static [&'static str]| {
        [&["a rollout has moved", "rollout=1", "service=shop", "from=v1", "to=v2"][..], more].concat()
    };
    let first = words(&["event=started", "weight_before=0", "weight=5", "cause="]);
    eventually("the start is told", || process.told(&first));
    let promote = json!({ "reason": "looks good" });
    process.send(Method::POST, "/v1/rollouts/1/promote", promote).unwrap();
    let next = words(&["event=advanced", "weight_before=5", "weight=50", "cause=", "by local: looks good"]);
    eventually("the next step is told", || process.told(&next));
    process.send(Method::POST, "/v1/rollouts/1/abort", json!({})).unwrap();
    let back = words(&["weight_before=50", "weight=0"]);
    eventually("the way back is told", || process.told(&back));
}
