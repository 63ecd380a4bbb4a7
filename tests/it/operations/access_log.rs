//! The access log: what a line says of a request, whatever became of it.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;
use serde_json::{Value, json};

use crate::support::h2::{H2Client, request};
use crate::support::process::{Process, config};
use crate::support::proxy::IDLE_TIMEOUT_SHORT;
use crate::support::{Origin, Proxy, Reply, Setup, client, eventually, eventually_within, get};

/// A proxy, and the folder that its access log is in.
fn logged(setup: Setup) -> (Proxy, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let section = format!("[access_log]\nformat = \"json\"\npath = \"{}\"\n", path.display());
    (setup.top(&section).start(), folder)
}

/// The lines of the log in `folder`, once there are `count`.
fn lines(folder: &Path, count: usize) -> Vec<Value> {
    let mut lines = Vec::new();
    eventually("the lines are there", || {
        let text = std::fs::read_to_string(folder.join("access.log")).unwrap();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines = whole.map(|line| serde_json::from_str(line).unwrap()).collect();
        lines.len() >= count
    });
    assert_eq!(lines.len(), count, "{lines:?}");
    lines
}

#[test]
fn the_host_of_http2_is_the_authority() {
    let origin = Origin::saying("hello");
    let (proxy, folder) = logged(Setup::to(&[&origin]).listener("h2c = true"));
    let mut client = H2Client::to(proxy.address);
    client.ask(request("GET", "http://shop.example:81/a", &[]));
    client.ask(request("GET", "http://shop.example/b", &[("host", "other.example")]));
    let lines = lines(folder.path(), 2);
    assert_eq!((&lines[0]["host"], &lines[0]["status"]), (&json!("shop.example:81"), &json!(200)));
    assert_eq!((&lines[1]["host"], &lines[1]["reason"]), (&json!("other.example"), &json!("bad_host")));
}

/// The endpoint has sent all of it, and the client has taken a window of it.
#[test]
fn an_answer_that_its_client_does_not_take_is_not_complete() {
    for length in [10_000, 60_000] {
        let origin = Origin::with(move |_| Reply::ok(vec![b'x'; length]));
        let (proxy, folder) = logged(Setup::to(&[&origin]).listener("h2c = true").listener(IDLE_TIMEOUT_SHORT));
        let mut client = H2Client::with_window(proxy.address, 1_000);
        let error = client.ask_and_not_read(request("GET", "http://a/", &[])).unwrap_err();
        assert!(error.is_reset(), "{error}");
        let line = &lines(folder.path(), 1)[0];
        let wanted = (&json!(200), &json!("client_gone"), &json!(1_000));
        assert_eq!((&line["status"], &line["reason"], &line["bytes"]), wanted, "{length}");
    }
}

#[test]
fn a_shielded_request_has_the_endpoint_that_answered_and_the_one_that_failed() {
    let (v1, v2) = (
        Origin::saying("v1"),
        Origin::with(|_| Reply::raw("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nnope")),
    );
    let setup = Setup::to(&[&v1, &v2]).service("shield = { stable = \"v1\" }").split(&[0, 100]);
    let (proxy, folder) = logged(setup);
    assert_eq!(proxy.client().ask(get("/")).text(), "v1");
    let line = &lines(folder.path(), 1)[0];
    assert_eq!((&line["version"], &line["endpoint"]), (&json!("v1"), &json!(v1.address())));
    assert_eq!((&line["shielded_from"], &line["shielded_from_endpoint"]), (&json!("v2"), &json!(v2.address())));
}

#[test]
fn a_refusal_has_an_id_and_the_revision_if_one_decided() {
    let origin = Origin::saying("hello");
    let listener = "trusted_proxies = [\"127.0.0.0/8\"]";
    let (proxy, folder) = logged(Setup::to(&[&origin]).listener(listener).service("hosts = [\"a\"]"));
    proxy
        .client()
        .ask("GET / HTTP/1.1\r\nHost: a,b\r\nX-Request-Id: from-the-edge\r\n\r\n")
        .assert_refused(400, "bad_host");
    proxy.client().ask("GET / HTTP/1.1\r\nHost: b\r\n\r\n").assert_refused(404, "no_service");
    let lines = lines(folder.path(), 2);
    assert_eq!((&lines[0]["request_id"], &lines[0]["revision"]), (&json!("from-the-edge"), &json!(null)));
    assert!(lines[1]["request_id"].as_str().is_some_and(|id| id.len() > 10), "{lines:?}");
    assert_eq!(lines[1]["revision"], json!(1));
}

#[test]
fn a_redirect_has_an_id_and_no_revision() {
    let (proxy, folder) = logged(Setup::to(&[&Origin::saying("hello")]).listener("redirect_https = true"));
    assert_eq!(proxy.client().ask(get("/")).status, 308);
    let line = &lines(folder.path(), 1)[0];
    assert_eq!((&line["reason"], &line["revision"]), (&json!("redirected_to_https"), &json!(null)));
    assert!(line["request_id"].is_string(), "{line}");
}

#[test]
fn sighup_goes_on_in_a_new_file_and_keeps_the_old_one_if_there_is_none() {
    let origin = Origin::saying("hello");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = config(origin.address(), origin.address(), "[access_log]\nformat = \"json\"\npath = \"access.log\"\n");
    std::fs::write(path("pointsman.toml"), text).unwrap();
    let mut process = Process::start(&path("pointsman.toml"));
    let ask = |process: &Process, target: &str| assert_eq!(client::send(process.listener, get(target)).status, 200);
    let holds = |name: &str, target: &str| {
        std::fs::read_to_string(path(name)).is_ok_and(|log| log.contains(&format!("\"target\":\"{target}\"")))
    };
    ask(&process, "/first");
    eventually("the first line is there", || holds("access.log", "/first"));
    std::fs::rename(path("access.log"), path("access.log.1")).unwrap();
    process.signal("HUP");
    eventually("the file is there again", || path("access.log").exists() && process.told(&["opened again"]));
    ask(&process, "/second");
    eventually("the second line is in the new file", || holds("access.log", "/second"));
    assert!(!holds("access.log.1", "/second"));

    std::fs::rename(path("access.log"), path("access.log.2")).unwrap();
    std::fs::create_dir(path("access.log")).unwrap();
    process.signal("HUP");
    eventually("it is told", || process.told(&["ERROR", "cannot open the access log again"]));
    ask(&process, "/third");
    eventually("the third line is in the old file", || holds("access.log.2", "/third"));
    assert!(process.end().success());
}

#[test]
fn a_pipe_without_a_reader_keeps_nobody_waiting() {
    let origin = Origin::saying("hello");
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("access.pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = || OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&pipe);
    let reads = reader().unwrap();
    let text = config(origin.address(), origin.address(), "[access_log]\nformat = \"json\"\npath = \"access.pipe\"\n");
    std::fs::write(folder.path().join("pointsman.toml"), text).unwrap();
    let mut process = Process::start(&folder.path().join("pointsman.toml"));
    drop(reads);
    let hangups = |count| {
        process.signal("HUP");
        eventually("it is heard", || process.count(&["is what is in force"]) == count);
        let ready = format!("GET /readyz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", process.admin_address);
        assert_eq!(
            client::send(process.admin_address, ready).status,
            200,
            "the control plane does not wait for a reader"
        );
    };
    hangups(1);
    let reads = reader().unwrap();
    eventually("somebody reads", || process.told(&["opened again"]));
    drop(reads);
    hangups(2);
    assert!(process.end().success(), "nor does the end");
}

#[test]
fn sighup_is_heard_from_the_moment_that_the_process_is_known() {
    let origin = Origin::saying("hello");
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let text = config(origin.address(), origin.address(), "[access_log]\nformat = \"json\"\npath = \"access.log\"\n");
    std::fs::write(folder.path().join("pointsman.toml"), text).unwrap();
    // What is said first comes before any part runs; the more starts, the more places the signal falls in.
    for _ in 0..10 {
        let mut process = Process::start(&folder.path().join("pointsman.toml"));
        std::fs::remove_file(&log).unwrap();
        process.signal("HUP");
        // It is known before its parts run, and they may take their time to begin.
        eventually_within(Duration::from_secs(20), "the file is there again", || log.exists());
        assert!(process.end().success());
    }
}
