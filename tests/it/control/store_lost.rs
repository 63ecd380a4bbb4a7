//! The files of the store go away while the proxy runs: what was acknowledged is there after a kill, or was refused.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use rusqlite::Connection;
use serde_json::json;

use crate::support::process::{Process, config};
use crate::support::{client, eventually};

fn nowhere() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

/// A proxy whose store is in a folder of its own.
struct Place {
    folder: tempfile::TempDir,
    /// As the config has it.
    store: PathBuf,
}

impl Place {
    fn new() -> Self {
        Self::at("state/pointsman.db")
    }

    fn at(store: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join(store);
        let more = format!("[state]\npath = \"{}\"\n", store.display());
        fs::write(folder.path().join("pointsman.toml"), config(nowhere(), nowhere(), &more)).unwrap();
        fs::create_dir(folder.path().join("state")).unwrap();
        Self { folder, store }
    }

    fn start(&self) -> Process {
        Process::start(&self.path("pointsman.toml"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.store.clone().into_os_string();
        name.push(suffix);
        name.into()
    }

    /// Takes these files away at one moment: the process stands still meanwhile, and makes none anew between two.
    fn remove(&self, process: &Process, suffixes: &[&str]) {
        process.signal("STOP");
        suffixes.iter().for_each(|suffix| fs::remove_file(self.beside(suffix)).unwrap());
        process.signal("CONT");
    }
}

fn shift(process: &Process, percent: u32) -> Result<u64, String> {
    let body = json!({ "v1": 100 - percent, "v2": percent });
    let answer = process.send(Method::PUT, "/v1/services/shop/split", body).map_err(|error| error.to_string())?;
    Ok(answer["revision"].as_u64().unwrap())
}

fn weight(process: &Process) -> f64 {
    process.get("/v1/services/shop")["versions"][1]["weight"].as_f64().unwrap()
}

fn revisions(process: &Process) -> Vec<u64> {
    let all = process.get("/v1/revisions?limit=100");
    all["revisions"].as_array().unwrap().iter().map(|revision| revision["revision"].as_u64().unwrap()).collect()
}

fn metric(process: &Process, name: &str) -> String {
    let admin = process.admin_address;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    let text = client::send(admin, request).text();
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("{name} in {text}")).to_owned()
}

fn problem(process: &Process) -> String {
    process.get("/v1/status")["state"]["problem"].as_str().unwrap_or_default().to_owned()
}

/// Kills the process, and checks that another one goes on from `percent` and all revisions.
fn survives(place: &Place, process: Process, percent: f64, last: u64) {
    process.kill();
    let process = place.start();
    assert_eq!(weight(&process), percent);
    assert_eq!(revisions(&process), (1..=last).rev().collect::<Vec<_>>());
    process.kill();
    let whole: String =
        Connection::open(&place.store).unwrap().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
}

#[test]
fn what_is_missing_is_made_anew_before_a_change_is_acknowledged() {
    for gone in [&["", "-wal", "-shm"][..], &[""], &["-wal"], &["-shm"], &["-wal", "-shm"], &["", "-wal"]] {
        let place = Place::new();
        let process = place.start();
        assert_eq!(shift(&process, 30).unwrap(), 2);
        place.remove(&process, gone);
        assert_eq!(shift(&process, 60).unwrap(), 3, "{gone:?}");
        process.tells(&["WARN", "revision store", "gone"]);
        let note = process.get("/v1/status")["state"]["note"].to_string();
        assert!(note.contains("gone") && problem(&process).is_empty(), "{gone:?}: {note}");
        assert_eq!(metric(&process, "pointsman_store_mended_total"), "pointsman_store_mended_total 1");
        for suffix in ["", "-wal", "-shm"] {
            let mode = fs::metadata(place.beside(suffix)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o600, "{gone:?}: {suffix}");
        }
        assert_eq!(shift(&process, 70).unwrap(), 4, "and on");
        survives(&place, process, 70.0, 4);
    }
}

#[test]
fn what_was_acknowledged_before_is_saved_without_another_change() {
    let place = Place::new();
    let process = place.start();
    shift(&process, 30).unwrap();
    place.remove(&process, &["", "-wal", "-shm"]);
    eventually("it is there again", || place.store.exists() && process.told(&["WARN", "made anew"]));
    survives(&place, process, 30.0, 2);

    // Also when the process ends before the next look.
    let place = Place::new();
    let mut process = place.start();
    shift(&process, 30).unwrap();
    place.remove(&process, &["", "-wal"]);
    assert!(process.end().success());
    survives(&place, place.start(), 30.0, 2);
}

/// A store with one shift, as a backup has it.
fn backup(place: &Place) -> PathBuf {
    let mut process = place.start();
    shift(&process, 10).unwrap();
    assert!(process.end().success());
    let copy = place.path("backup.db");
    fs::copy(&place.store, &copy).unwrap();
    copy
}

#[test]
fn another_file_in_its_place_is_left_alone_and_changes_are_refused() {
    let place = Place::new();
    let copy = backup(&place);
    let before = fs::read(&copy).unwrap();
    let process = place.start();
    assert_eq!(shift(&process, 30).unwrap(), 3);
    fs::rename(&copy, &place.store).unwrap();
    let refused = shift(&process, 60).expect_err("it would be gone");
    assert!(refused.contains("503") && refused.contains("found another file"), "{refused}");
    assert!(refused.contains("move it away") && refused.contains("restart"), "{refused}");
    assert_eq!((weight(&process), revisions(&process)), (30.0, vec![3, 2, 1]), "nothing has changed");
    assert!(problem(&process).contains("another file"));
    assert_eq!(metric(&process, "pointsman_store_writable"), "pointsman_store_writable 0");
    process.tells(&["ERROR", "changes are refused", "another file"]);
    assert!(fs::read(&place.store).unwrap() == before, "the file is as it was");

    fs::rename(&place.store, place.path("away.db")).unwrap();
    eventually("it is made anew", || problem(&process).is_empty());
    assert_eq!(metric(&process, "pointsman_store_writable"), "pointsman_store_writable 1");
    assert_eq!(shift(&process, 60).unwrap(), 4);
    survives(&place, process, 60.0, 4);
}

#[test]
fn a_restart_goes_on_from_the_file_that_was_moved_there() {
    for killed in [true, false] {
        let place = Place::new();
        let copy = backup(&place);
        let mut process = place.start();
        for percent in 20..=40 {
            shift(&process, percent).unwrap();
        }
        fs::rename(&copy, &place.store).unwrap();
        eventually("it is noticed", || problem(&process).contains("another file"));
        if killed {
            process.kill();
        } else {
            assert!(process.end().success());
        }
        let process = place.start();
        assert_eq!((weight(&process), revisions(&process)), (10.0, vec![2, 1]), "no log of ours is put into it");
        assert!(place.beside("-wal.lost").exists(), "what it lacks is not thrown away");
        assert_eq!(shift(&process, 60).unwrap(), 3);
        survives(&place, process, 60.0, 3);
    }
}

#[test]
fn what_is_written_to_it_by_sql_is_not_taken_for_what_is_in_force() {
    let place = Place::new();
    let mut process = place.start();
    for percent in [10, 20, 30] {
        shift(&process, percent).unwrap();
    }
    let sql = |text: &str| Connection::open(&place.store).unwrap().execute_batch(text).unwrap();
    sql("VACUUM; UPDATE revisions SET reason = 'a word of the operator' WHERE number = 2");
    assert_eq!(shift(&process, 40).unwrap(), 5, "what is in force is in it");
    // As when a backup of before is read into it.
    sql("DELETE FROM traffic WHERE revision > 2; DELETE FROM revisions WHERE number > 2");
    let refused = shift(&process, 50).expect_err("the next start would not know of revisions 3 to 5");
    assert!(refused.contains("503") && refused.contains("other revisions than those in force"), "{refused}");
    assert_eq!(weight(&process), 40.0, "what is in force stays in force");
    assert!(process.end().success());
    let process = place.start();
    assert_eq!((weight(&process), revisions(&process)), (10.0, vec![2, 1]), "as it is told");
    assert_eq!(shift(&process, 60).unwrap(), 3);
    survives(&place, process, 60.0, 3);
}

#[test]
fn a_log_that_belongs_to_another_file_is_not_deleted() {
    let place = Place::new();
    let copy = backup(&place);
    let mut process = place.start();
    shift(&process, 30).unwrap();
    fs::rename(&copy, &place.store).unwrap();
    fs::write(place.path("log"), "the log of the backup").unwrap();
    fs::rename(place.path("log"), place.beside("-wal")).unwrap();
    assert!(shift(&process, 60).is_err());
    assert!(process.end().success());
    assert_eq!(fs::read(place.beside("-wal")).unwrap(), b"the log of the backup");
}

#[test]
fn a_copy_over_it_is_not_taken_for_it() {
    for killed in [true, false] {
        for in_log in [true, false] {
            copy_over(killed, in_log);
        }
    }
}

/// With the newest revisions in the log, or all of them in the database.
fn copy_over(killed: bool, in_log: bool) {
    let place = Place::new();
    let copy = backup(&place);
    let mut process = place.start();
    for percent in 1..=40 {
        shift(&process, percent).unwrap();
    }
    let last = revisions(&process)[0];
    // All of it is in the database, and the copy is in force in its place.
    checkpoint(&place.store, "TRUNCATE");
    assert_eq!(shift(&process, 55).unwrap(), last + 1, "a checkpoint by an operator is no harm");
    if !in_log {
        checkpoint(&place.store, "TRUNCATE");
    }
    std::process::Command::new("cp").arg(&copy).arg(&place.store).status().unwrap();
    let refused = match shift(&process, 60) {
        // The log had every page that differs: nothing is lost.
        Ok(revision) if in_log => return survives(&place, process, 60.0, revision),
        outcome => outcome.expect_err("it would be gone"),
    };
    assert!(refused.contains("503") && refused.contains("written over"), "{refused}");
    assert_eq!(weight(&process), 55.0, "what is in force stays in force");
    assert!(problem(&process).contains("written over"));
    assert!(process.upgrade().is_err(), "the other process would go on from it, without being asked");
    // As it is told: the next start goes on from the copy, and no log of ours is put into it.
    if killed {
        process.kill();
    } else {
        assert!(process.end().success());
    }
    let process = place.start();
    assert_eq!((weight(&process), revisions(&process)), (10.0, vec![2, 1]));
    assert!(place.beside("-wal.lost").exists());
}

/// As the SQLite shell of an operator does it, in a process of its own.
fn checkpoint(store: &Path, how: &str) {
    let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=5); \
                  print(c.execute('PRAGMA wal_checkpoint(' + sys.argv[2] + ')').fetchone())";
    let done = std::process::Command::new("python3").args(["-c", script]).arg(store).arg(how).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn a_folder_that_is_gone_comes_back_or_is_made_anew() {
    let place = Place::new();
    let process = place.start();
    shift(&process, 30).unwrap();
    fs::rename(place.path("state"), place.path("moved")).unwrap();
    let refused = shift(&process, 60).expect_err("there is nowhere to write");
    assert!(refused.contains("not even the folder"), "{refused}");
    assert_eq!((weight(&process), revisions(&process)), (30.0, vec![2, 1]));
    fs::rename(place.path("moved"), place.path("state")).unwrap();
    assert_eq!(shift(&process, 60).unwrap(), 3, "the same files are back");
    assert_eq!(metric(&process, "pointsman_store_mended_total"), "pointsman_store_mended_total 0");

    fs::remove_dir_all(place.path("state")).unwrap();
    assert!(shift(&process, 70).is_err());
    fs::create_dir(place.path("state")).unwrap();
    assert_eq!(shift(&process, 70).unwrap(), 4, "made anew");
    survives(&place, process, 70.0, 4);
}

#[test]
fn a_link_to_the_store_is_followed_where_it_leads() {
    let place = Place::at("link.db");
    symlink("state/pointsman.db", &place.store).unwrap();
    let process = place.start();
    shift(&process, 30).unwrap();
    assert!(place.path("state/pointsman.db-wal").exists());
    fs::create_dir(place.path("other")).unwrap();
    symlink("other/pointsman.db", place.path("next")).unwrap();
    fs::rename(place.path("next"), &place.store).unwrap();
    assert_eq!(shift(&process, 60).unwrap(), 3);
    assert!(fs::symlink_metadata(&place.store).unwrap().is_symlink() && place.path("other/pointsman.db").exists());
    survives(&place, process, 60.0, 3);
}

#[test]
fn an_upgrade_takes_what_is_in_force_along() {
    let place = Place::new();
    let mut process = place.start();
    shift(&process, 30).unwrap();
    place.remove(&process, &["", "-wal", "-shm"]);
    process.upgrade().unwrap();
    assert_eq!((weight(&process), revisions(&process)), (30.0, vec![2, 1]));

    let copy = place.path("copy.db");
    fs::copy(&place.store, &copy).unwrap();
    fs::rename(&copy, &place.store).unwrap();
    let refused = process.upgrade().expect_err("the other process would go on from another file").to_string();
    assert!(refused.contains("another file"), "{refused}");
    assert_eq!(weight(&process), 30.0);
}

#[test]
fn only_its_user_can_read_the_store() {
    let place = Place::new();
    let mut process = place.start();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    for suffix in ["", "-wal", "-shm"] {
        assert_eq!(mode(&place.beside(suffix)), 0o600, "{suffix}");
    }
    assert!(process.end().success());
    // One that an earlier version has made.
    fs::set_permissions(&place.store, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(place.beside("-wal"), "").unwrap();
    fs::set_permissions(place.beside("-wal"), fs::Permissions::from_mode(0o644)).unwrap();
    let _process = place.start();
    for suffix in ["", "-wal", "-shm"] {
        assert_eq!(mode(&place.beside(suffix)), 0o600, "{suffix}");
    }
}

#[test]
fn looks_cost_nothing_while_nothing_happens() {
    let place = Place::new();
    let process = place.start();
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(metric(&process, "pointsman_store_mended_total"), "pointsman_store_mended_total 0");
    assert!(problem(&process).is_empty() && process.get("/v1/status")["state"]["note"].is_null());
}
