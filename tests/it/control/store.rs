//! The revision store: what it keeps, and what it refuses to touch.

use std::fs;
use std::path::{Path, PathBuf};

use pointsman::testing::control::ServiceIntent;
use pointsman::testing::control::change::Action;
use pointsman::testing::control::store::{FORMAT, Header, Record, Store, StoreError};
use pointsman::testing::table::{EndpointAddress, MirrorShare, Traffic};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::spec::{name, weights};

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pointsman.db");
    (folder, path)
}

fn put(store: &mut Store, number: u64, traffic: &Traffic) -> Result<(), StoreError> {
    let service = name("shop");
    let header = Header {
        number,
        at_ms: 1,
        author: "ada",
        reason: Some("why"),
        action: Action::Shift,
        restores: None,
        forced: (number == 2).then_some("shop v2 has none"),
    };
    let said = ServiceIntent { split: traffic.slots.weights(), mirror: traffic.mirror.clone() };
    store.commit(&Record {
        revision: Some(header),
        splits: vec![(&service, traffic)],
        drained: vec![(&service, &traffic.drained)],
        intent: vec![(&service, &said)],
        ..Record::default()
    })
}

fn traffic(split: &str) -> Traffic {
    Traffic::first("salt-1".into(), &weights(split))
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let (_folder, path) = place();
    let mut kept = traffic("v1=33.333 v2=66.667");
    kept.mirror = Some(MirrorShare::parse("v1*10000").unwrap());
    for drained in ["[::1]:80", "10.0.0.1:80", "backend.internal:80"] {
        kept.drained.insert((name("v1"), EndpointAddress::new(drained).unwrap()));
    }
    {
        let mut store = Store::open(&path).expect("a new store");
        put(&mut store, 1, &traffic("v1=100")).expect("a write");
        put(&mut store, 2, &kept).expect("a write");
    }
    let store = Store::open(&path).expect("a good store");
    let loaded = store.load().expect("a good store");
    assert_eq!(loaded.revision, 2);
    assert_eq!(*loaded.traffic["shop"], kept);
    assert_eq!(loaded.intent["shop"].split, weights("v1=33.333 v2=66.667"));
    let newest = &store.revisions(None, 1).expect("a read")[0];
    assert_eq!((newest.number, newest.author.as_str(), newest.reason.as_deref()), (2, "ada", Some("why")));
    assert_eq!(newest.difference[0].moved, 0.66667);
    assert_eq!(store.revisions(Some(2), 10).expect("a read")[0].number, 1);
    assert_eq!(store.revision(3).expect("a read"), None);
    assert_eq!(newest.forced.as_deref(), Some("shop v2 has none"));
    assert_eq!(store.revision(1).expect("a read").unwrap().forced, None);
}

#[test]
fn a_store_of_before_remembers_what_was_forced_from_now_on_and_can_be_gone_back_to() {
    let (_folder, path) = place();
    put(&mut Store::open(&path).expect("a new store"), 1, &traffic("v1=100")).expect("a write");
    let sql = |text: &str| Connection::open(&path).unwrap().execute_batch(text).unwrap();
    // As an earlier program made it.
    sql("DROP TABLE forced");
    let mut store = Store::open(&path).expect("a good store");
    assert_eq!(store.revision(1).expect("a read").unwrap().forced, None);
    put(&mut store, 2, &traffic("v1=50 v2=50")).expect("a write");
    assert!(store.revision(2).expect("a read").unwrap().forced.is_some());
    drop(store);
    let format = |pragma| Connection::open(&path).unwrap().pragma_query_value(None, pragma, |row| row.get(0)).unwrap();
    let format: i32 = format("user_version");
    assert_eq!(format, FORMAT, "an earlier program opens it");
    // As an earlier program takes a revision back, of which it made another one.
    sql("DELETE FROM traffic WHERE revision = 2; DELETE FROM revisions WHERE number = 2");
    sql("INSERT INTO revisions VALUES (2, 1, 'ada', NULL, 'shift', NULL)");
    let mut store = Store::open(&path).expect("a good store");
    put(&mut store, 3, &traffic("v1=100")).expect("a write");
    assert_eq!(store.revision(3).expect("a read").unwrap().forced, None);
}

#[test]
fn the_file_is_marked_and_durable() {
    let (_folder, path) = place();
    let _store = Store::open(&path).expect("a new store");
    let output = std::process::Command::new("head").args(["-c", "16"]).arg(&path).output().expect("head runs");
    assert_eq!(output.stdout, b"SQLite format 3\0");
    let bytes = read_elsewhere(&path);
    assert_eq!(bytes[18..20], [2, 2], "write-ahead log");
}

/// Reads without opening the file in this process, which would drop SQLite's locks.
fn read_elsewhere(path: &Path) -> Vec<u8> {
    std::process::Command::new("cat").arg(path).output().expect("cat runs").stdout
}

/// Opens, expects a refusal, and checks that not a byte has changed.
fn refused(path: &Path) -> StoreError {
    let before = fs::read(path).expect("the file");
    let error = Store::open(path).expect_err("it must be refused");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    assert!(fs::read(path).expect("the file") == before, "a refused file stays as it was");
    error
}

#[test]
fn a_second_opener_is_refused() {
    let (_folder, path) = place();
    let mut store = Store::open(&path).expect("a new store");
    let error = Store::open(&path).expect_err("it is in use");
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    put(&mut store, 1, &traffic("v1=100")).expect("the first still works");
    drop(store);
    Store::open(&path).expect("free again");
}

#[test]
fn another_process_is_refused() {
    let (_folder, path) = place();
    drop(Store::open(&path).expect("a new store"));
    // `flock` of util-linux holds the lock that another proxy would hold.
    let mut other = std::process::Command::new("flock")
        .arg(&path)
        .args(["sh", "-c", "echo locked; exec cat"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("flock runs");
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(other.stdout.take().unwrap()), &mut line).unwrap();
    let error = Store::open(&path).expect_err("it is in use");
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    drop(other.stdin.take());
    other.wait().expect("flock ends");
    Store::open(&path).expect("free again");
}

#[test]
fn a_start_that_was_killed_half_way_is_taken_up() {
    let (_folder, path) = place();
    // An empty database in WAL mode is what is there between the first two steps.
    Connection::open(&path).unwrap().pragma_update(None, "journal_mode", "WAL").unwrap();
    assert!(fs::metadata(&path).unwrap().len() > 0);
    let mut store = Store::open(&path).expect("an empty database is as good as none");
    put(&mut store, 1, &traffic("v1=100")).expect("a write");
}

#[test]
fn a_newer_format_is_refused() {
    let (_folder, path) = place();
    drop(Store::open(&path).expect("a new store"));
    Connection::open(&path).unwrap().pragma_update(None, "user_version", FORMAT + 1).unwrap();
    let error = refused(&path);
    assert!(matches!(error, StoreError::Newer { found, .. } if found == FORMAT + 1), "{error}");
    assert!(error.to_string().contains("run the newer pointsman"), "{error}");
}

#[test]
fn a_database_of_another_application_is_refused() {
    let (_folder, path) = place();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
    let error = refused(&path);
    assert!(matches!(error, StoreError::NotOurs { .. }), "{error}");
    fs::write(
        &path,
        "[services]\n# not a database, and longer than the header of one, which has a hundred bytes, is\n",
    )
    .unwrap();
    let error = refused(&path);
    assert!(matches!(error, StoreError::NotOurs { .. }), "{error}");
}

#[test]
fn a_damaged_store_is_refused() {
    let (_folder, path) = place();
    let mut store = Store::open(&path).expect("a new store");
    for number in 1..=200 {
        put(&mut store, number, &traffic("v1=50 v2=50")).expect("a write");
    }
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    assert!(bytes.len() > 3 * 4096, "several pages");
    for byte in &mut bytes[2 * 4096..2 * 4096 + 2000] {
        *byte = 0xff;
    }
    fs::write(&path, &bytes).unwrap();
    let error = refused(&path);
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    fs::write(&path, &bytes[..4096 + 100]).unwrap();
    let error = refused(&path);
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let (folder, _) = place();
    let path = folder.path().join("nowhere/pointsman.db");
    let error = Store::open(&path).expect_err("no such folder");
    assert!(error.to_string().contains("nowhere/pointsman.db"), "{error}");
    assert!(matches!(error, StoreError::File { .. }), "{error}");
}

#[test]
fn what_was_written_to_a_lost_file_is_taken_out_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (inside, away) = (folder.path().join("state"), folder.path().join("away"));
    fs::create_dir(&inside).unwrap();
    let mut store = Store::open(&inside.join("pointsman.db")).expect("a new store");
    let mut first = traffic("v1=100");
    first.drained.insert((name("v1"), EndpointAddress::new("[::1]:80").unwrap()));
    put(&mut store, 1, &first).expect("a write");
    // Between the look before the write and the one after it.
    fs::rename(&inside, &away).unwrap();
    let error = put(&mut store, 2, &traffic("v2=100")).expect_err("it is not where the path leads to");
    assert!(matches!(error, StoreError::Misplaced { .. }), "{error}");
    let loaded = store.load().expect("a read");
    assert_eq!((loaded.revision, &*loaded.traffic["shop"]), (1, &first), "nothing of it was acknowledged");
    assert_eq!(loaded.intent["shop"].split, weights("v1=100"));
    fs::rename(&away, &inside).unwrap();
    put(&mut store, 2, &traffic("v2=100")).expect("the same number, in the files that are back");
    assert_eq!(store.load().expect("a read").revision, 2);
}

#[test]
fn a_write_that_fails_leaves_nothing_and_the_next_one_works() {
    let (_folder, path) = place();
    let mut store = Store::open(&path).expect("a new store");
    put(&mut store, 1, &traffic("v1=100")).expect("a write");
    // The same number again: the insert fails half-way, after nothing, before the splits.
    put(&mut store, 1, &traffic("v2=100")).expect_err("the number is taken");
    assert_eq!(*store.load().expect("a read").traffic["shop"], traffic("v1=100"));
    put(&mut store, 2, &traffic("v2=100")).expect("a write");
    assert_eq!(store.load().expect("a read").revision, 2);
}
