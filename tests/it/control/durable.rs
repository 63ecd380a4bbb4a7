//! Acknowledged means durable, on the real binary: killed in the middle of writes, out of disk, on a read-only file
//! system.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use http::Method;
use pointsman::cli::client::CallError;
use pointsman::testing::table::{ExperimentRun, FlagState, Slots, Weight};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rusqlite::{Connection, Row};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::process::{Process, config};
use crate::support::small_disk::{inside, on_small_disk};
use crate::support::{client, eventually, get};

/// How often the process is killed.
const KILLS: u64 = 200;

/// How long a disk may take for two writes.
const SLOW_DISK: Duration = Duration::from_secs(60);

/// Clients that write at the same time.
const WRITERS: u64 = 3;

fn nowhere() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

/// A flag of the config, which is launched and disabled while the process is killed, and an experiment, which is
/// started and stopped.
const FLAG: &str = "[flags.new]\nrules = [{ name = \"launch\", serve = { on = 10, off = 90 } }]\n\
    [experiments.button]\nservice = \"shop\"\narms = { control = \"v1\", treatment = \"v2\" }\n\
    metrics = [{ name = \"purchase\", kind = \"conversion\", when = { path = \"/orders\" } }]\n";

/// What a revision did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// This number of slots has v2.
    Split(u32),
    /// This number of slots of the flag's rule has `on`.
    Launch(u32),
    /// The flag is enabled, or not.
    Enabled(bool),
    /// The experiment runs with this number of slots at least.
    Started(u32),
    /// It is stopped.
    Stopped,
}

impl Written {
    fn random(random: &mut StdRng) -> Self {
        let slots = random.random_range(0..=100_000);
        match random.random_range(0..6) {
            0 | 1 => Self::Split(slots),
            2 => Self::Launch(slots),
            3 => Self::Enabled(slots % 2 == 0),
            4 => Self::Started(slots.max(1)),
            _ => Self::Stopped,
        }
    }

    fn send(self, process: &Process) -> Result<Value, CallError> {
        let per_cent = |slots: u32| (f64::from(slots) / 1_000.0, f64::from(100_000 - slots) / 1_000.0);
        match self {
            Self::Split(slots) => {
                let (v2, v1) = per_cent(slots);
                process.send(Method::PUT, "/v1/services/shop/split", json!({ "v1": v1, "v2": v2 }))
            }
            Self::Launch(slots) => {
                let (on, off) = per_cent(slots);
                process.send(Method::PUT, "/v1/flags/new", json!({ "serve": { "on": on, "off": off } }))
            }
            Self::Enabled(enabled) => process.send(Method::PUT, "/v1/flags/new", json!({ "enabled": enabled })),
            Self::Started(slots) => {
                // Nothing listens behind it, which one who insists does not mind.
                let body = json!({ "share": per_cent(slots).0, "force": true });
                process.send(Method::POST, "/v1/experiments/button/start", body)
            }
            Self::Stopped => process.send(Method::POST, "/v1/experiments/button/stop", json!({})),
        }
    }

    /// Whether a revision of the file is this.
    fn is(self, stored: &Stored) -> bool {
        let slots = |runs: &str| Slots::parse(runs).expect("whole runs");
        let state = || FlagState::parse(stored.flag.as_deref().unwrap_or_default()).expect("a whole state");
        let run = || ExperimentRun::parse(stored.run.as_deref().unwrap_or_default()).expect("a whole run");
        match self {
            Self::Split(count) => stored.runs.as_deref().map(|runs| slots(runs).count("v2")) == Some(count),
            Self::Launch(count) => state().rules["launch"].count("on") == count,
            Self::Enabled(enabled) => state().enabled == enabled,
            Self::Started(count) => run().running && run().slots.count() == count,
            Self::Stopped => !run().running,
        }
    }
}

/// A revision of the file: the runs of the service, the state of the flag, the run of the experiment.
#[derive(Debug)]
struct Stored {
    runs: Option<String>,
    flag: Option<String>,
    run: Option<String>,
}

/// Writes until the process is gone; returns what was acknowledged, by revision.
fn write_until_gone(process: &Process, seed: u64, acknowledged: &Mutex<BTreeMap<u64, Written>>) {
    let mut random = StdRng::seed_from_u64(seed);
    loop {
        let written = Written::random(&mut random);
        match written.send(process) {
            Ok(answer) => {
                if answer["changed"] == true {
                    acknowledged.lock().unwrap().insert(answer["revision"].as_u64().unwrap(), written);
                }
            }
            // A run does not let go of users; and a disk that takes long has what waits for it refused.
            Err(CallError::Refused { status, .. })
                if status == 503 || status == 409 && matches!(written, Written::Started(_)) => {}
            Err(_gone) => return,
        }
    }
}

/// Every revision in the file.
fn revisions(database: &Path) -> BTreeMap<u64, Stored> {
    let store = Connection::open(database).unwrap();
    let whole: String = store.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
    let all = "SELECT r.number, t.runs, f.state, e.run FROM revisions r
        LEFT JOIN traffic t ON t.revision = r.number
        LEFT JOIN experiment_runs e ON e.revision = r.number
        LEFT JOIN flag_states f ON f.revision = r.number ORDER BY 1";
    let mut rows = store.prepare(all).unwrap();
    let stored = |row: &Row<'_>| {
        let stored = Stored { runs: row.get(1)?, flag: row.get(2)?, run: row.get(3)? };
        Ok((row.get::<_, i64>(0)?.cast_unsigned(), stored))
    };
    let all: BTreeMap<u64, Stored> = rows.query_map([], stored).unwrap().map(Result::unwrap).collect();
    for (number, stored) in &all {
        let parts = [&stored.runs, &stored.flag, &stored.run].map(Option::is_some);
        let count = parts.iter().filter(|part| **part).count();
        let whole = if *number == 1 { parts == [true, true, false] } else { count == 1 };
        assert!(whole, "revision {number} is there, what it did is not: {stored:?}");
    }
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
    std::fs::write(&path, config(nowhere(), nowhere(), FLAG)).unwrap();
    let acknowledged = Mutex::new(BTreeMap::new());
    for round in 0..KILLS {
        let process = Process::start(&path);
        let in_force = process.get("/v1/status")["revision"].as_u64().unwrap();
        let last = acknowledged.lock().unwrap().keys().next_back().copied().unwrap_or(1);
        assert!(in_force >= last, "round {round}: {in_force} is in force, {last} was acknowledged");
        let moment = Duration::from_micros(random.random_range(500..40_000));
        // At any moment, and however slow the disk is, after two writes of most rounds.
        let (count, before) = (|| acknowledged.lock().unwrap().len(), acknowledged.lock().unwrap().len());
        let writes = if round % 3 == 0 { 0 } else { 2 };
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (process, acknowledged) = (&process, &acknowledged);
                scope.spawn(move || write_until_gone(process, seed ^ (round * WRITERS + writer), acknowledged));
            }
            let begun = Instant::now();
            while count() < before + writes && begun.elapsed() < SLOW_DISK {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(moment);
            Command::new("kill").args(["-KILL", &process.id().to_string()]).status().unwrap();
        });
        assert!(count() >= before + writes, "round {round}: nothing was acknowledged in {SLOW_DISK:?}");
        process.kill();
    }
    let stored = revisions(&database);
    let acknowledged = acknowledged.into_inner().unwrap();
    for (number, written) in &acknowledged {
        let found = stored.get(number).unwrap_or_else(|| panic!("revision {number} was acknowledged: {written:?}"));
        assert!(written.is(found), "revision {number} was acknowledged: {written:?}, and is {found:?}");
    }
    let flags = acknowledged.values().filter(|written| !matches!(written, Written::Split(_))).count();
    assert!(flags > 0 && flags < acknowledged.len(), "both kinds: {flags} of {}", acknowledged.len());
    // And what is in force after the last kill is what is stored.
    let process = Process::start(&path);
    let flag = process.get("/v1/flags/new");
    let last = stored.values().rev().find_map(|stored| stored.flag.as_deref()).expect("the file's, at least");
    let last = FlagState::parse(last).expect("a whole state");
    assert_eq!(flag["enabled"], last.enabled, "{flag}");
    let on = Weight::from_slots(last.rules["launch"].count("on")).expect("a weight").percent();
    assert_eq!(flag["rules"][0]["serve"]["on"], on, "{flag}");
    let runs =
        acknowledged.values().filter(|written| matches!(written, Written::Started(_) | Written::Stopped)).count();
    assert!(runs > 0, "no start and no stop of {}", acknowledged.len());
    // A stop says what is in force: nothing, if there was nothing to stop.
    let last = stored.values().rev().find_map(|stored| stored.run.as_deref()).expect("one was started");
    let runs = ExperimentRun::parse(last).expect("a whole run").running;
    let stopped = process.send(Method::POST, "/v1/experiments/button/stop", json!({})).expect("it works");
    assert_eq!(stopped["changed"], runs, "{last}: {stopped}");
    println!("{KILLS} kills, {} revisions acknowledged, {} stored", acknowledged.len(), stored.len());
    assert!(acknowledged.len() as u64 > KILLS, "the kills must fall into writes");
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
