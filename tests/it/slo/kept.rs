//! Budgets of the real binary: they are there after an end, an upgrade in place and a power cut.

use std::net::SocketAddr;
use std::process::Command;

use pointsman::cli::client::Call;
use serde_json::Value;

use crate::support::process::{Process, config, is_running};
use crate::support::{Client, Origin, Reply, eventually, get};

fn ask(listener: SocketAddr, times: u32, path: &str) {
    let mut client = Client::to(listener);
    (0..times).for_each(|_| drop(client.ask(get(path))));
}

/// Requests and those that failed; none while what was counted before is not read yet.
fn counts(process: &Process) -> Option<[u64; 2]> {
    let budget: Value = process.admin.call(Call::get("/v1/services/shop/budget")).ok()?;
    let count = |key: &str| budget["availability"][key].as_u64();
    Some([count("requests")?, count("failed")?])
}

#[test]
fn budgets_survive_an_end_an_upgrade_and_a_kill() {
    let origin = Origin::forgetful(|seen| match seen.target() {
        "/fails" => Reply::raw("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
        _ => Reply::ok("well"),
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pointsman.toml");
    let state = folder.path().join("state.db");
    let slo = format!("slo = {{ availability = 99.9 }}\n[state]\npath = \"{}\"\n", state.display());
    std::fs::write(&file, config(origin.address(), ([127, 0, 0, 1], 9).into(), &slo)).unwrap();
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.arg("run").arg("--config").arg(&file);
        Process::start_command(command)
    };
    let mut process = start();
    ask(process.listener, 95, "/");
    ask(process.listener, 5, "/fails");
    // At once: what is not written yet is written at the end.
    assert!(process.end().success());
    let mut process = start();
    eventually("what was counted before is read", || counts(&process) == Some([100, 5]));
    ask(process.listener, 20, "/");
    process.upgrade().unwrap();
    eventually("the next process has all of it", || counts(&process) == Some([120, 5]));
    ask(process.listener, 3, "/fails");
    eventually("and counts on", || counts(&process) == Some([123, 8]));
    // What is written every few seconds is there after a power cut.
    let written = || {
        let db = rusqlite::Connection::open_with_flags(&state, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let sum = "SELECT coalesce(sum(requests), 0), coalesce(sum(failed), 0) FROM slo_hours WHERE service = 'shop'";
        db.query_row(sum, [], |row| Ok([row.get::<_, i64>(0)?, row.get::<_, i64>(1)?])).unwrap() == [123, 8]
    };
    crate::support::eventually_within(std::time::Duration::from_secs(30), "it is written", written);
    let killed = process.id();
    drop(process);
    eventually("it is gone", || !is_running(killed));
    let process = start();
    eventually("all is there", || counts(&process) == Some([123, 8]));
    drop(process);
}
