//! Clients and servers that others wrote, with the proxy between them: they find what a client of our own, which
//! believes what we believe, does not.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::support::process::Process;
use super::support::{Origin, Proxy, Reply, Setup, eventually};
use crate::support::external_tools::{Server, installed, python, run};

/// Calls that are enough to tell whether some fail, however long they take on a busy machine.
const ENOUGH: &str = "501";

/// A proxy of gRPC servers.
fn grpc(servers: &[&Server], weights: &[u32], service: &str) -> Proxy {
    let addresses: Vec<_> = servers.iter().map(|server| [server.address]).collect();
    let addresses: Vec<_> = addresses.iter().map(|address| &address[..]).collect();
    let setup = Setup::endpoints(&addresses).split(weights).listener("h2c = true").version("protocol = \"h2\"");
    setup.service(service).start()
}

fn grpc_server(python: &Path, version: &str) -> Server {
    Server::start(python, "grpc_server.py", version)
}

#[test]
fn grpc_calls_of_every_kind_go_through() {
    let Some(python) = python("gRPC") else { return };
    let server = grpc_server(&python, "v1");
    let proxy = grpc(&[&server], &[100], "");
    run(&python, "grpc_client.py", &["calls", &proxy.address.to_string()]);
    eventually("nothing is in flight", || proxy.metric("pointsman_endpoint_in_flight", &[]) < 0.5);
}

#[test]
fn grpc_users_stay_on_their_version_on_one_connection() {
    let Some(python) = python("gRPC, sticky") else { return };
    let servers = (grpc_server(&python, "v1"), grpc_server(&python, "v2"));
    let proxy = grpc(&[&servers.0, &servers.1], &[50, 50], "sticky = [\"header:x-user-id\"]");
    run(&python, "grpc_client.py", &["sticky", &proxy.address.to_string()]);
}

#[test]
fn grpc_clients_are_told_in_their_own_words_that_nobody_answers() {
    let Some(python) = python("errors of gRPC") else { return };
    let server = grpc_server(&python, "v1");
    let proxy = grpc(&[&server], &[100], "response_timeout = \"500ms\"");
    let address = proxy.address.to_string();
    let said = run(&python, "grpc_client.py", &["slow", &address]);
    assert_eq!(said[0]["code"], "UNAVAILABLE", "{said:?}");
    assert!(said[0]["details"].as_str().unwrap().starts_with("upstream_timeout: "), "{said:?}");
    drop(server);
    let said = run(&python, "grpc_client.py", &["dead", &address]);
    let told = said.iter().all(|call| call["details"].as_str().is_some_and(|text| text.contains(": ")));
    assert!(said.len() == 4 && told, "{said:?}");
}

#[test]
fn grpc_calls_do_not_notice_that_connections_age_and_streams_are_refused() {
    let Some(python) = python("gRPC and connections that age") else { return };
    for server in ["v1:1000:100", "v1:1000:10"] {
        let server = grpc_server(&python, server);
        let proxy = grpc(&[&server], &[100], "");
        let said = run(&python, "grpc_client.py", &["many", &proxy.address.to_string(), "4", "50", ENOUGH]);
        let direct = run(&python, "grpc_client.py", &["many", &server.address.to_string(), "2", "50", "0"]);
        println!("through the proxy: {}, direct: {}", said[0], direct[0]);
        assert!(said[0]["failed"] == 0 && said[0]["calls"].as_u64() >= ENOUGH.parse().ok(), "{said:?}");
        assert!(proxy.metric("pointsman_upstream_failures_total", &[]) < 0.5, "no failure of the version");
        assert!(proxy.metric("pointsman_first_attempts_total", &["outcome=\"failed\""]) < 0.5);
    }
}

#[test]
fn grpc_calls_do_not_notice_that_the_proxy_is_upgraded() {
    let Some(python) = python("gRPC and upgrades") else { return };
    let server = grpc_server(&python, "v1");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    let text = format!(
        "[listeners.public]\naddress = \"127.0.0.1:0\"\nh2c = true\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [services.shop.versions.v1]\nendpoints = [\"{}\"]\nprotocol = \"h2\"\n",
        server.address
    );
    std::fs::write(&path, text).unwrap();
    let mut process = Process::start(&path);
    // The old process says GOAWAY while streams are open and new ones are begun; its client sends none of them again.
    let (address, script) = (process.listener.to_string(), python.clone());
    let calls = std::thread::spawn(move || run(&script, "grpc_client.py", &["many", &address, "5", "50", ENOUGH]));
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(1_300));
        process.upgrade().unwrap();
    }
    let said = calls.join().unwrap();
    let [calls, failed] = ["calls", "failed"].map(|count| said[0][count].as_u64().expect("a count"));
    // A client without retries of its own gives up the calls that it has not written yet when it reads a GOAWAY: on a
    // busy machine one or two of the fifty at each of the three upgrades. What was written is served: no call ends by a
    // fault.
    let how = said[0]["how"].as_object().expect("what became of those that failed");
    assert!(how.keys().all(|how| how.contains("GOAWAY received; Error code: 0")), "{said:?}");
    assert!(calls >= ENOUGH.parse().unwrap() && failed <= 3 * 50 / 10, "{said:?}");
}

fn websockets(python: &Path, versions: &[&str], service: &str) -> (Proxy, Vec<Server>) {
    let servers: Vec<_> =
        versions.iter().map(|version| Server::start(python, "websockets_server.py", version)).collect();
    let addresses: Vec<_> = servers.iter().map(|server| [server.address]).collect();
    let addresses: Vec<_> = addresses.iter().map(|address| &address[..]).collect();
    (Setup::endpoints(&addresses).service(service).start(), servers)
}

#[test]
fn websockets_carry_messages_of_every_kind_and_close_codes_both_ways() {
    let Some(python) = python("WebSockets") else { return };
    let (proxy, _servers) = websockets(&python, &["v1"], "");
    let address = proxy.address.to_string();
    run(&python, "websockets_client.py", &["messages", &address]);
    run(&python, "websockets_client.py", &["closes", &address]);
    proxy.await_metric("pointsman_long_connections", &["version=\"v1\""], 0.0);
}

#[test]
fn two_hundred_websockets_are_open_at_once() {
    let Some(python) = python("many WebSockets") else { return };
    let (proxy, _servers) = websockets(&python, &["v1"], "");
    run(&python, "websockets_client.py", &["crowd", &proxy.address.to_string(), "200"]);
    proxy.await_metric("pointsman_long_connections", &["version=\"v1\""], 0.0);
}

#[test]
fn websockets_of_a_version_that_is_left_end_as_configured() {
    let Some(python) = python("WebSockets and a flip") else { return };
    for on_shift in ["keep", "close"] {
        let (proxy, _servers) = websockets(&python, &["v1", "v2"], &format!("on_shift = \"{on_shift}\""));
        let (address, admin) = (proxy.address.to_string(), proxy.admin.to_string());
        run(&python, "websockets_client.py", &["shift", &address, &admin, on_shift]);
        proxy.await_metric("pointsman_long_connections", &[], 0.0);
    }
}

/// What a program that ends well says.
#[track_caller]
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// An origin of small answers, of large ones, and of what it was sent.
fn mixed() -> Origin {
    Origin::with(|seen| match seen.target() {
        "/large" => Reply::ok("large ".repeat(100_000)),
        "/count" => Reply::ok(seen.text().len().to_string()),
        _ => Reply::ok("small"),
    })
}

#[test]
fn h2load_gets_every_answer() {
    if !installed("h2load", "h2load") {
        return;
    }
    let origin = mixed();
    let proxy = Setup::to(&[&origin]).listener("h2c = true").start();
    let (small, large) = (format!("http://{}/", proxy.address), format!("http://{}/large", proxy.address));
    for (requests, arguments) in [
        ("2000", &["-c", "10", "-m", "20", &small][..]),
        ("2000", &["-c", "10", "--h1", &small]),
        // Windows as small as they may sensibly be: the answer waits for them again and again.
        ("60", &["-c", "3", "-m", "10", "-w", "14", "-W", "15", &large]),
    ] {
        let text = said("h2load", &[&["-n", requests][..], arguments].concat());
        for line in [format!("{requests} succeeded, 0 failed, 0 errored"), format!("{requests} 2xx, 0 3xx")] {
            assert!(text.contains(&line), "{arguments:?}: {text}");
        }
    }
}

#[test]
fn nghttp_gets_its_answers() {
    if !installed("nghttp", "nghttp") {
        return;
    }
    let origin = mixed();
    let proxy = Setup::to(&[&origin]).listener("h2c = true").start();
    let url = |path: &str| format!("http://{}{path}", proxy.address);
    // Padding, heads that continue over two frames (which it shows as one), and two requests that share the connection.
    let long = format!("x-long: {}", "l".repeat(24_000));
    let text = said("nghttp", &["-nv", "--no-dep", "-b", "100", "-H", &long, &url("/"), &url("/large")]);
    assert_eq!(text.matches(":status: 200").count(), 2, "{text}");
}

#[test]
fn curl_speaks_http2_without_asking_and_http1() {
    if !installed("curl", "curl") {
        return;
    }
    let origin = mixed();
    let proxy = Setup::to(&[&origin]).listener("h2c = true").start();
    let url = |path: &str| format!("http://{}{path}", proxy.address);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("upload");
    std::fs::write(&file, "u".repeat(1_000_000)).unwrap();
    let upload = format!("@{}", file.display());
    for (way, version) in [("--http2-prior-knowledge", "2"), ("--http1.1", "1.1"), ("--http1.0", "1.0")] {
        let curl = |more: &[&str]| {
            let write = "\n%{http_version} %{http_code}";
            said("curl", &[&["-sS", "--noproxy", "*", "--max-time", "20", way, "-w", write][..], more].concat())
        };
        // To a request of HTTP/1.0 the answer is one of HTTP/1.1 or 1.0; its body is what counts.
        let ends = |text: &str, body: &str| match version {
            "1.0" => text.starts_with(&format!("{body}\n")) && text.ends_with(" 200"),
            _ => text == format!("{body}\n{version} 200"),
        };
        let text = curl(&[&url("/")]);
        assert!(ends(&text, "small"), "{way}: {text}");
        let text = curl(&["--data-binary", &upload, &url("/count")]);
        assert!(ends(&text, "1000000"), "{way}: {text}");
        if version != "1.0" {
            let text = curl(&["-H", "Expect: 100-continue", "-T", &file.display().to_string(), &url("/count")]);
            assert!(ends(&text, "1000000"), "{way}, PUT: {text}");
        }
    }
}
