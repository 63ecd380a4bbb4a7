//! Acknowledged means durable, on the real binary: killed in the middle of writes, out of disk, on a read-only file
//! system.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use http::Method;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rusqlite::Connection;
use serde_json::json;

use crate::support::process::{Process, config};
use crate::support::{client, eventually, get};

/// How often the process is killed.
const KILLS: u64 = 200;

/// Clients that write at the same time.
const WRITERS: u64 = 3;

fn nowhere() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

/// Writes until the process is gone; returns what was acknowledged: revision -> weight of v2 in slots.
fn write_until_gone(process: &Process, seed: u64, acknowledged: &Mutex<BTreeMap<u64, u32>>) {
    let mut random = StdRng::seed_from_u64(seed);
    loop {
        let slots: u32 = random.random_range(0..=100_000);
        let percent = f64::from(slots) / 1_000.0;
        let rest = f64::from(100_000 - slots) / 1_000.0;
        match process.send(Method::PUT, "/v1/services/shop/split", json!({ "v1": rest, "v2": percent })) {
            Ok(answer) => {
                if answer["changed"] == true {
                    acknowledged.lock().unwrap().insert(answer["revision"].as_u64().unwrap(), slots);
                }
            }
            Err(_gone) => return,
        }
    }
}

/// Every revision in the file, with the slots of v2 in its runs.
fn revisions(database: &Path) -> BTreeMap<u64, u32> {
    let store = Connection::open(database).unwrap();
    let whole: String = store.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
    let mut rows = store
        .prepare("SELECT r.number, t.runs FROM revisions r LEFT JOIN traffic t ON t.revision = r.number ORDER BY 1")
        .unwrap();
    let rows = rows
        .query_map([], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, Option<String>>(1)?)))
        .unwrap();
    let all: BTreeMap<u64, u32> = rows
        .map(|row| {
            let (number, runs) = row.unwrap();
            let runs = runs.unwrap_or_else(|| panic!("revision {number} is there, its split is not"));
            let slots = pointsman::testing::table::Slots::parse(&runs).expect("whole runs");
            (number, slots.count("v2"))
        })
        .collect();
    let count = all.len() as u64;
    assert!(all.keys().copied().eq(1..=count), "no revision is left out");
    all
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let (path, database) = (folder.path().join("pointsman.toml"), folder.path().join("pointsman.db"));
    std::fs::write(&path, config(nowhere(), nowhere(), "")).unwrap();
    let acknowledged = Mutex::new(BTreeMap::new());
    for round in 0..KILLS {
        let process = Process::start(&path);
        let in_force = process.get("/v1/status")["revision"].as_u64().unwrap();
        let last = acknowledged.lock().unwrap().keys().next_back().copied().unwrap_or(1);
        assert!(in_force >= last, "round {round}: {in_force} is in force, {last} was acknowledged");
        let moment = Duration::from_micros(random.random_range(500..40_000));
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (process, acknowledged) = (&process, &acknowledged);
                scope.spawn(move || write_until_gone(process, seed ^ (round * WRITERS + writer), acknowledged));
            }
            std::thread::sleep(moment);
            Command::new("kill").args(["-KILL", &process.id().to_string()]).status().unwrap();
        });
        process.kill();
    }
    let stored = revisions(&database);
    let acknowledged = acknowledged.into_inner().unwrap();
    for (number, slots) in &acknowledged {
        assert_eq!(stored.get(number), Some(slots), "revision {number} was acknowledged");
    }
    println!("{KILLS} kills, {} revisions acknowledged, {} stored", acknowledged.len(), stored.len());
    assert!(acknowledged.len() as u64 > KILLS, "the kills must fall into writes");
}

/// The binary in a mount namespace of its own, with a file system of this many KiB on `state`.
fn on_small_disk(path: &Path, state: &Path, kib: u32) -> Process {
    let mut command = Command::new("unshare");
    let script = format!(
        "mount -t tmpfs -o size={kib}k none {} && exec {} run --config {}",
        state.display(),
        env!("CARGO_BIN_EXE_pointsman"),
        path.display()
    );
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    Process::start_command(command)
}

/// Runs a command in the namespaces of the process.
fn inside(process: &Process, script: &str) {
    let id = process.id().to_string();
    let args = ["--target", &id, "--user", "--preserve-credentials", "--mount", "sh", "-c", script];
    let done = Command::new("nsenter").args(args).status().unwrap();
    assert!(done.success(), "{script}");
}

fn small_disk(kib: u32) -> (tempfile::TempDir, Process) {
    let folder = tempfile::tempdir().unwrap();
    let (path, state) = (folder.path().join("pointsman.toml"), folder.path().join("state"));
    std::fs::create_dir(&state).unwrap();
    let more = format!("[state]\npath = \"{}\"\n", state.join("pointsman.db").display());
    std::fs::write(&path, config(nowhere(), nowhere(), &more)).unwrap();
    let process = on_small_disk(&path, &state, kib);
    (folder, process)
}

fn shift(process: &Process, percent: u32) -> Result<u64, String> {
    let body = json!({ "v1": 100 - percent, "v2": percent, "reason": "x".repeat(1_000) });
    match process.send(Method::PUT, "/v1/services/shop/split", body) {
        Ok(answer) => Ok(answer["revision"].as_u64().unwrap()),
        Err(error) => Err(error.to_string()),
    }
}

fn weight_of_v2(process: &Process) -> f64 {
    let service = process.get("/v1/services/shop");
    let versions = service["versions"].as_array().expect("versions").iter();
    let v2 = versions.clone().find(|version| version["name"] == "v2").expect("v2");
    v2["weight"].as_f64().expect("a weight")
}

#[test]
fn a_full_disk_refuses_changes_and_stops_no_traffic() {
    let (folder, process) = small_disk(512);
    let mut last = 1;
    let refused = (0..2_000).find_map(|n| match shift(&process, n % 100 + 1) {
        Ok(revision) => {
            last = revision;
            None
        }
        Err(error) => Some(error),
    });
    let refused = refused.expect("the disk fills up");
    assert!(refused.contains("full"), "{refused}");
    let before = weight_of_v2(&process);
    assert_eq!(process.get("/v1/status")["revision"].as_u64(), Some(last), "nothing changed");
    assert!(shift(&process, 77).is_err());
    assert_eq!(weight_of_v2(&process), before);
    // The data plane answers: with 502, because nothing listens behind it.
    client::send(process.listener, get("/")).assert_refused(502, "connect_failed");
    let state = folder.path().join("state");
    inside(&process, &format!("mount -o remount,size=4m {}", state.display()));
    assert_eq!(shift(&process, 33).expect("there is room again"), last + 1);
    assert_eq!(weight_of_v2(&process), 33.0);
}

#[test]
fn on_a_read_only_disk_changes_are_refused_and_traffic_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (path, state) = (folder.path().join("pointsman.toml"), folder.path().join("state"));
    std::fs::create_dir(&state).unwrap();
    let more = format!("[state]\npath = \"{}\"\n", state.join("pointsman.db").display());
    std::fs::write(&path, config(nowhere(), nowhere(), &more)).unwrap();
    for ended_well in [true, false] {
        let mut before = Process::start(&path);
        let last = shift(&before, if ended_well { 10 } else { 20 }).unwrap();
        if ended_well {
            assert!(before.end().success());
        } else {
            before.kill();
        }
        let mut command = Command::new("unshare");
        let script = format!(
            "mount --bind {0} {0} && mount -o remount,bind,ro {0} && exec {1} run --config {2}",
            state.display(),
            env!("CARGO_BIN_EXE_pointsman"),
            path.display()
        );
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
        let process = Process::start_command(command);
        assert_eq!(process.get("/v1/status")["revision"].as_u64(), Some(last), "what was acknowledged is in force");
        let problem = || process.get("/v1/status")["state"]["problem"].to_string();
        assert!(problem().contains("read-only"), "known from the start: {}", problem());
        let admin = process.admin_address;
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        let metrics = client::send(admin, request).text();
        assert!(metrics.contains("\npointsman_store_writable 0\n"), "{metrics}");
        let refused = shift(&process, 30).expect_err("nothing can be written");
        assert!(refused.contains("read-only"), "{refused}");
        eventually("it is told", || process.told(&["WARN", "a change is refused", "read-only"]));
        assert_eq!(process.get("/v1/status")["revision"].as_u64(), Some(last));
        client::send(process.listener, get("/")).assert_refused(502, "connect_failed");
    }
}
