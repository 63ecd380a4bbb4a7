//! The admin API while others stand at its door: an operator, a scraper and a probe are served all the same.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use pointsman::testing::admin::{AccessRole, AccessSettings, AccessToken, Address};
use pointsman::testing::control::Store;
use serde_json::json;
use tokio::time::Instant;

use crate::support::control::{Control, token_file};
use crate::support::pki::Ca;
use crate::support::process::{Process, config};
use crate::support::spec::services;
use crate::support::{Origin, eventually, fault};

/// As many as stand at the door.
const CROWD: u8 = 250;

/// How long an operator may wait on a busy machine: less than the ten seconds after which the first of those who stand
/// at the door are sent away, so that is not what made room.
const AT_ONCE: Duration = Duration::from_secs(8);

/// A config whose shop has two versions, with more sections.
fn start(folder: &Path, origin: &Origin, more: &str) -> Process {
    let path = folder.join("pointsman.toml");
    std::fs::write(&path, config(origin.address(), origin.address(), "").replace("[admin]\n", more)).unwrap();
    Process::start(&path)
}

/// Connections to `to`, half of them from one address and half from as many of this machine, each with these bytes
/// sent.
fn crowd(to: SocketAddr, bytes: &[u8]) -> Vec<TcpStream> {
    let from = |n: u8| IpAddr::V4(Ipv4Addr::new(127, 0, 0, if n.is_multiple_of(2) { 1 } else { n.max(2) }));
    let connect = |n| {
        let mut stream = fault::connect_from(from(n), to);
        stream.write_all(bytes).unwrap();
        stream
    };
    // Some more than there are places.
    (0..CROWD).chain(0..50).map(connect).collect()
}

/// A call by hand; its status and how long it took.
fn ask(to: SocketAddr, request: &str) -> (u16, Duration) {
    let began = Instant::now();
    let mut stream = fault::connect(to);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    // It may be reset after the answer.
    let _ended = stream.read_to_string(&mut answer);
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no answer to {request:?}: {answer:?}")), began.elapsed())
}

fn call(line: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

/// A shift and its rollback, a scrape and a probe: each good, and at once.
fn assert_served(to: SocketAddr, token: &str) {
    let json = format!("content-type: application/json\r\n{token}");
    for (line, headers, body) in [
        ("GET /readyz", "", ""),
        ("GET /metrics", "", ""),
        ("PUT /v1/services/shop/split", json.as_str(), r#"{"v1": 90, "v2": 10}"#),
        ("POST /v1/rollback", json.as_str(), "{}"),
    ] {
        let (status, took) = ask(to, &call(line, headers, body));
        assert!(status == 200 && took < AT_ONCE, "{line}: {status} after {took:?}");
        println!("{line}: {status} after {took:?}");
    }
}

/// `admin` with a further host, so that calls need not know the port.
const OPEN: &str = "[admin]\nhosts = [\"localhost\"]\n";

#[test]
fn an_operator_gets_in_while_others_say_nothing_or_half_of_it() {
    let (origin, folder) = (Origin::saying("ok"), tempfile::tempdir().unwrap());
    let process = start(folder.path(), &origin, OPEN);
    for said in [
        "",
        "GET /v1/status HTTP/1.1\r\nHost: loc",
        "PUT /v1/services/shop/split HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n",
    ] {
        let held = crowd(process.admin_address, said.as_bytes());
        assert_served(process.admin_address, "");
        // Those that are there already do not keep anybody out either, as long as they stay.
        assert_served(process.admin_address, "");
        drop(held);
    }
    let metrics = metrics(process.admin_address);
    assert!(counted(&metrics, "displaced") > 0.0, "{metrics}");
}

fn metrics(to: SocketAddr) -> String {
    let mut stream = fault::connect(to);
    stream.write_all(call("GET /metrics", "", "").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn counted(metrics: &str, reason: &str) -> f64 {
    let series = format!("pointsman_admin_refusals_total{{reason=\"{reason}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&series));
    line.unwrap_or_else(|| panic!("no series of {reason}: {metrics}")).parse().unwrap()
}

#[test]
fn an_operator_gets_in_while_others_send_without_end_and_read_nothing() {
    let (origin, folder) = (Origin::saying("ok"), tempfile::tempdir().unwrap());
    let process = start(folder.path(), &origin, OPEN);
    let admin = process.admin_address;
    // More than the kernel takes for a client that does not read.
    let asks = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1000);
    let reads_nothing: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = fault::connect(admin);
            stream.set_nonblocking(true).unwrap();
            // It takes as much as it likes.
            let _written = stream.write(asks.as_bytes());
            stream
        })
        .collect();
    let endless = "PUT /v1/services/shop/split HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                   transfer-encoding: chunked\r\n\r\n";
    let mut slow = crowd(admin, endless.as_bytes());
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let trickling = std::thread::spawn(move || {
        while !told.load(SeqCst) {
            for stream in &mut slow {
                // Some have been closed by now.
                let _written = stream.write(b"1\r\n \r\n");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert_served(admin, "");
    assert_served(admin, "");
    stop.store(true, SeqCst);
    trickling.join().unwrap();
    drop(reads_nothing);
}

#[test]
fn an_operator_gets_in_while_handshakes_stand_still() {
    let (origin, folder) = (Origin::saying("ok"), tempfile::tempdir().unwrap());
    let (ca, token) = (Ca::new("ca"), token_file(&folder, "ops", "s3cret"));
    let own = ca.issue("admin", "admin", &["localhost"]);
    let more = format!(
        "[admin.tokens.ops]\nrole = \"operate\"\nfile = \"{}\"\n[admin.tls]\n{}\n[admin]\nhosts = [\"localhost\"]\n",
        token.display(),
        own.toml().replace(", ", "\n")
    );
    let process = start(folder.path(), &origin, &more);
    let to = process.admin_address;
    // Nothing, and the beginning of a ClientHello.
    let held = [crowd(to, b""), crowd(to, b"\x16\x03\x01\x02\x00\x01")];
    let client = crate::support::tls::TlsClient::new(&ca, None, &[&rustls::version::TLS13]);
    for _ in 0..3 {
        let began = Instant::now();
        let (answer, _) =
            client.ask_for(to, "localhost", "GET /v1/status", "authorization: Bearer s3cret\r\n").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && began.elapsed() < AT_ONCE, "{:?}: {answer}", began.elapsed());
    }
    drop(held);
}

#[tokio::test]
async fn the_unix_socket_has_no_door_that_can_be_blocked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let address = Address::Unix(path.clone());
    let control = Control::with(
        services(&[("shop", "v1=95 v2=5")]),
        Store::in_memory().unwrap(),
        &address,
        &AccessSettings::default(),
    );
    let connect = || {
        let path = path.clone();
        tokio::task::spawn_blocking(move || UnixStream::connect(path).unwrap())
    };
    let mut held = Vec::new();
    for _ in 0..u16::from(CROWD) + 50 {
        held.push(connect().await.unwrap());
    }
    let began = Instant::now();
    assert_eq!(control.get("/v1/status").await.status, 200);
    assert_eq!(control.send("POST /v1/services/shop/flip", r#"{"to": "v2"}"#).await.status, 200);
    assert_eq!(control.send("POST /v1/rollback", "{}").await.status, 200);
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
}

#[test]
fn those_who_keep_coming_keep_nobody_out_and_who_showed_a_token_stays() {
    let (origin, folder) = (Origin::saying("ok"), tempfile::tempdir().unwrap());
    let token = token_file(&folder, "ops", "s3cret");
    let more = format!(
        "[admin.tokens.ops]\nrole = \"operate\"\nfile = \"{}\"\n[admin]\nhosts = [\"localhost\"]\n",
        token.display()
    );
    let process = start(folder.path(), &origin, &more);
    let to = process.admin_address;
    let authorization = "authorization: Bearer s3cret\r\n";
    let status = format!("GET /v1/status HTTP/1.1\r\nhost: localhost\r\n{authorization}\r\n");
    let mut stays = crate::support::Client::to(to);
    assert_eq!(stays.ask(&status).status, 200);
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let coming = std::thread::spawn(move || {
        let mut rounds = 0;
        while !told.load(SeqCst) {
            drop(crowd(to, b"GET "));
            rounds += 1;
        }
        rounds
    });
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        assert_served(to, authorization);
    }
    assert_eq!(stays.ask(&status).status, 200, "it is the last that has to go");
    stop.store(true, SeqCst);
    println!("{} rounds", coming.join().unwrap());
}

#[test]
fn the_data_plane_keeps_its_descriptors() {
    let (origin, folder) = (Origin::saying("ok"), tempfile::tempdir().unwrap());
    let path = folder.path().join("pointsman.toml");
    std::fs::write(&path, config(origin.address(), origin.address(), "")).unwrap();
    let mut command = std::process::Command::new("sh");
    let binary = env!("CARGO_BIN_EXE_pointsman");
    command.args(["-c", &format!("ulimit -n 256; exec {binary} run --config {}", path.display())]);
    let process = Process::start_command(command);
    let held = crowd(process.admin_address, b"");
    let mut clients: Vec<_> = (0..60).map(|_| crate::support::Client::to(process.listener)).collect();
    for client in &mut clients {
        client.write(crate::support::get("/"));
    }
    assert!(clients.iter_mut().all(|client| client.answer().status == 200));
    assert_eq!(process.get("/v1/status")["ready"], json!(true));
    drop(held);
}

/// An admin API with one token.
fn with_token(folder: &tempfile::TempDir) -> Control {
    let tokens = vec![AccessToken {
        name: "ada".into(),
        role: AccessRole::Operate,
        file: token_file(folder, "ada", "s3cret-of-ada"),
    }];
    let settings = AccessSettings { tokens, ..AccessSettings::default() };
    let address = Address::Tcp(([127, 0, 0, 1], 0).into());
    Control::with(services(&[("shop", "v1=95 v2=5")]), Store::in_memory().unwrap(), &address, &settings)
}

#[tokio::test]
async fn failed_logins_are_counted_and_slowed_and_lock_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let control = with_token(&folder);
    let try_with =
        async |token: &str| control.call("GET /v1/status", &format!("authorization: Bearer {token}\r\n"), "").await;
    for n in 0..10 {
        try_with(&format!("guess-{n}")).await.refusal(401);
    }
    // The same one again is no other guess, and does not count.
    let began = Instant::now();
    let refused = try_with("guess-10").await;
    refused.refusal(429);
    assert!(
        refused.header("retry-after").is_some() && began.elapsed() >= Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    // A delay would be one of each call; where the machine stands still, it is of some.
    let mut quick = false;
    for _ in 0..10 {
        let began = Instant::now();
        assert_eq!(try_with("s3cret-of-ada").await.status, 200, "whoever has a token gets in");
        quick |= began.elapsed() < Duration::from_secs(1);
    }
    assert!(quick, "and does not wait for those who have none");
    control.call("GET /v1/status", "", "").await.refusal(401);
    let metrics = control.get("/metrics").await.text;
    let found = ["bad_token", "too_many_logins", "no_token", "wrong_role"].map(|reason| counted(&metrics, reason));
    assert_eq!(found, [10.0, 1.0, 1.0, 0.0], "series are there before anything happens");
}

#[test]
fn failed_logins_leave_a_line_and_a_flood_of_them_not_a_flood_of_lines() {
    let (origin, folder) = (Origin::saying("ok"), tempfile::tempdir().unwrap());
    let token = token_file(&folder, "ops", "s3cret");
    let more = format!(
        "[admin.tokens.ops]\nrole = \"operate\"\nfile = \"{}\"\n[admin]\nhosts = [\"localhost\"]\n",
        token.display()
    );
    let process = start(folder.path(), &origin, &more);
    for _ in 0..40 {
        let request = call("PUT /v1/services/shop/split", "authorization: Bearer old-token\r\n", "{}");
        assert_eq!(ask(process.admin_address, &request).0, 401, "an old token is refused, and no more than that");
    }
    let words =
        ["a login to the admin API failed", "from=\"127.0.0.1\"", "reason=\"bad_token\"", "/v1/services/shop/split"];
    eventually("the log tells", || process.told(&words));
    let lines = process.count(&words[..1]);
    assert!((1..=12).contains(&lines), "{lines} lines of 40");
    assert!(!process.told(&["old-token"]), "the log tells no token");
}
