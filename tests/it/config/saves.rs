//! The config file as people and programs really write it: saved in more than thirty ways on the real binary, each
//! applied once, whole, as soon as it is quiet. [`super::ways_to_save`] has the ways.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use http::Method;
use serde_json::json;
use tokio::time::Instant;

use super::ways_to_save::{
    CUTS, LINKED, PLAIN, Place, Save, UNTOLD, config, release, renamed_over, run, shell, slowly,
};
use crate::support::process::Process;
use crate::support::{PATIENCE, client, eventually_within};

/// From the end of a save until it is in force: less than the time that a writer is waited for that has not closed the
/// file, and than the time between two looks at the contents, so that a save which only those find fails.
const NOTICED: Duration = Duration::from_secs(9);

/// A process whose config is saved again and again.
struct Saved {
    place: Place,
    process: Process,
    _folder: tempfile::TempDir,
    /// How many texts were put in force.
    count: usize,
}

/// How the binary is started: as usual, or with no inotify to be had.
#[derive(Clone, Copy, PartialEq)]
enum Kernel {
    Tells,
    Silent,
}

impl Saved {
    fn start(below: &str, kernel: Kernel, first: impl FnOnce(&Place, &str)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let place = Place { path: root.join(below), root };
        first(&place, &config(0, 1_000));
        let process = match kernel {
            Kernel::Tells => Process::start(&place.path),
            Kernel::Silent => Process::start_command(without_inotify("max_inotify_instances", &place.path)),
        };
        // The first look of the watch is over.
        sleep(Duration::from_millis(800));
        Self { place, process, _folder: folder, count: 0 }
    }

    fn weight(&self) -> f64 {
        let shop = self.process.get("/v1/services/shop");
        shop["versions"]
            .as_array()
            .unwrap()
            .iter()
            .find(|v| v["name"] == "v2")
            .map_or(-1.0, |v| v["weight"].as_f64().unwrap())
    }

    /// Saves, and waits until it is in force.
    fn save(&mut self, name: &str, bytes: usize, save: Save) {
        self.count += 1;
        let n = u32::try_from(self.count).unwrap();
        save(&self.place, &config(n, bytes));
        let saved = Instant::now();
        while self.weight() != f64::from(n) {
            let took = saved.elapsed();
            assert!(took <= NOTICED, "{name}: not in force {took:?} after it was saved");
            sleep(Duration::from_millis(10));
        }
        println!("{name}: {:?}", saved.elapsed());
    }

    /// Each save was applied once, and nothing else ever was.
    fn check(&self) {
        let revisions = self.process.get("/v1/revisions?limit=100");
        let revisions = revisions["revisions"].as_array().unwrap();
        assert_eq!(revisions.len(), self.count + 1, "{revisions:#?}");
        let applied = || self.process.count(&["the config is in force"]);
        eventually_within(PATIENCE, "each text is told to be in force", || applied() >= self.count);
        assert_eq!(applied(), self.count, "a text is put in force once");
        assert_eq!(
            self.process.count(&["the config file is refused"]),
            self.refused(),
            "half a text was taken for one"
        );
    }

    /// What is really a bad file for a moment: it is missing, or its first half is a mistake, and nothing tells.
    fn refused(&self) -> usize {
        0
    }
}

/// The binary in a user namespace that has no inotify left.
fn without_inotify(limit: &str, path: &Path) -> Command {
    let mut command = Command::new("unshare");
    let binary = env!("CARGO_BIN_EXE_pointsman");
    let script = format!("echo 0 > /proc/sys/user/{limit} && exec {binary} run --config {}", path.display());
    command.args(["--user", "--map-root-user", "sh", "-ec", &script]);
    command
}

/// All ways of a list, on several processes at a time.
fn save_all(ways: &[(&str, Save)], kernel: Kernel) {
    let half = ways.len().div_ceil(3);
    std::thread::scope(|scope| {
        for share in ways.chunks(half) {
            scope.spawn(move || {
                let mut saved = Saved::start("conf/pointsman.toml", kernel, |place, text| release(place, text, "conf"));
                for (index, (name, save)) in share.iter().enumerate() {
                    // Longer and shorter by turns.
                    saved.save(name, if index % 2 == 0 { 1_400 } else { 1_000 }, *save);
                }
                saved.check();
            });
        }
    });
}

#[test]
fn each_way_to_save_is_applied_once_and_whole() {
    save_all(&PLAIN, Kernel::Tells);
}

#[test]
fn each_way_to_save_is_applied_where_the_kernel_tells_of_none() {
    // In place and slowly, there is only the doubt about a shorter file.
    let ways: Vec<_> =
        PLAIN.iter().filter(|(name, _)| !name.contains("pause") && !name.contains("slowly")).copied().collect();
    save_all(&ways, Kernel::Silent);
}

#[test]
fn what_nothing_tells_of_is_seen_all_the_same() {
    for kernel in [Kernel::Tells, Kernel::Silent] {
        let mut saved = Saved::start("pointsman.toml", kernel, |place, text| fs::write(&place.path, text).unwrap());
        for (name, save) in UNTOLD {
            saved.save(name, 1_000, save);
        }
        saved.check();
    }
}

#[test]
fn links_and_folders_on_the_way_are_followed() {
    std::thread::scope(|scope| {
        for share in LINKED.chunks(3) {
            scope.spawn(move || {
                for (name, below, save) in share {
                    let first = |place: &Place, text: &str| {
                        fs::create_dir_all(place.at("conf")).unwrap();
                        if *below == "pointsman.toml" && name.contains("data") {
                            symlink("..data/pointsman.toml", place.at("pointsman.toml")).unwrap();
                        }
                        if name.contains("leads to") {
                            release(place, text, "release");
                            symlink("release", place.at("current")).unwrap();
                        }
                        save(place, text);
                    };
                    let mut saved = Saved::start(below, Kernel::Tells, first);
                    saved.save(name, 1_000, *save);
                    // A signal must not end the watch on what comes after it.
                    saved.process.signal("HUP");
                    saved.save(&format!("{name}, again"), 1_000, *save);
                    saved.save(&format!("{name}, then in place"), 1_400, |place, text| {
                        fs::write(&place.path, text).unwrap()
                    });
                    saved.check();
                }
            });
        }
    });
}

#[test]
fn what_changes_no_text_changes_nothing() {
    let text = config(0, 1_000);
    let saved = Saved::start("pointsman.toml", Kernel::Tells, |place, text| fs::write(&place.path, text).unwrap());
    // What an operator has done since must stay.
    saved.process.send(Method::PUT, "/v1/services/shop/split", json!({ "v1": 70, "v2": 30 })).unwrap();
    let same: [(&str, Save); 6] = [
        ("touch", |p, _| run("touch", &[p.path.to_str().unwrap()], p)),
        ("chmod", |p, _| run("chmod", &["600", p.path.to_str().unwrap()], p)),
        ("cp of the same text", |p, t| shell(p, t, "cp \"$2\" \"$1\"")),
        ("the same text, a pause after v1", |p, t| slowly(p, t, (0, Duration::from_millis(1_500)))),
        ("the same text, a pause before the last service", |p, t| slowly(p, t, (1, Duration::from_millis(1_500)))),
        ("closed between the halves", |p, t| {
            let (half, rest) = t.split_at(t.find(CUTS[0]).unwrap());
            fs::write(&p.path, half).unwrap();
            sleep(Duration::from_millis(350));
            OpenOptions::new().append(true).open(&p.path).unwrap().write_all(rest.as_bytes()).unwrap();
        }),
    ];
    for (name, save) in same {
        save(&saved.place, &text);
        // Nothing is to come: until it would have.
        sleep(Duration::from_millis(700));
        assert_eq!(saved.weight(), 30.0, "{name}");
    }
    saved.process.signal("HUP");
    eventually_within(NOTICED, "the signal is answered", || {
        saved.process.told(&["is what is in force, nothing changed"])
    });
    saved.process.tells(&["WARN", "has lost what is in force", "shop v2"]);
    assert_eq!(saved.process.count(&["lost=[]"]), 0, "nothing is told that is nothing");
    let revisions = saved.process.get("/v1/revisions?limit=100");
    assert_eq!(revisions["revisions"].as_array().unwrap().len(), 2, "{revisions}");
    assert_eq!(saved.process.count(&["the config is in force"]), 0);
}

#[test]
fn half_of_a_file_that_grows_is_doubted_where_the_kernel_tells_nothing() {
    let mut saved = Saved::start("pointsman.toml", Kernel::Silent, |p, text| fs::write(&p.path, text).unwrap());
    // The first half alone is longer than what was there.
    saved.save("in place, twice as long, a pause before the last service", 4_000, |place, text| {
        slowly(place, text, (1, Duration::from_millis(3_000)));
    });
    saved.process.tells(&["WARN", "has lost what is in force", "cart"]);
    saved.check();
}

#[test]
fn a_service_that_is_really_removed_is_gone_within_two_seconds() {
    let saved = Saved::start("pointsman.toml", Kernel::Tells, |place, text| fs::write(&place.path, text).unwrap());
    let text = config(0, 1_000);
    let without = &text[..text.find(CUTS[1]).unwrap()];
    renamed_over(&saved.place, without, "new");
    let services = || saved.process.get("/v1/services")["services"].as_array().unwrap().len();
    eventually_within(NOTICED, "it is gone", || services() == 1);
    saved.process.tells(&["WARN", "has lost what is in force", "cart"]);
}

#[test]
fn without_inotify_there_is_a_warning_and_a_start() {
    for limit in ["max_inotify_instances", "max_inotify_watches"] {
        let (_folder, _, process) = with_a_token("a-token", Some(limit));
        for what in ["the config file", "certificates and tokens"] {
            let told = || process.told(&["WARN", "does not tell of changes", what]);
            eventually_within(NOTICED, &format!("{limit}: {what}"), told);
        }
    }
}

/// What the admin API answers to a call with a token.
fn call_with(process: &Process, token: &str) -> u16 {
    let admin = process.admin_address;
    let request = format!(
        "GET /v1/status HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    client::send(admin, request).status
}

/// A process whose config has a token in a file.
fn with_a_token(token: &str, limit: Option<&str>) -> (tempfile::TempDir, PathBuf, Process) {
    let folder = tempfile::tempdir().unwrap();
    let (path, file) = (folder.path().join("pointsman.toml"), folder.path().join("token"));
    fs::write(&file, token).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, config(0, 1_000) + "[admin.tokens.ops]\nfile = \"token\"\nrole = \"operate\"\n").unwrap();
    let process = match limit {
        Some(limit) => Process::start_command(without_inotify(limit, &path)),
        None => Process::start(&path),
    };
    (folder, file, process)
}

#[test]
fn half_a_token_lets_nobody_in() {
    let (_folder, file, process) = with_a_token("the-first-token", None);
    sleep(Duration::from_millis(800));
    assert_eq!(call_with(&process, "the-first-token"), 200);
    let mut writer = OpenOptions::new().write(true).truncate(true).open(&file).unwrap();
    writer.write_all(b"the-second").unwrap();
    sleep(Duration::from_millis(1_200));
    assert_eq!(call_with(&process, "the-second"), 401, "it is half of another one");
    assert_eq!(call_with(&process, "the-first-token"), 200);
    writer.write_all(b"-token").unwrap();
    drop(writer);
    eventually_within(NOTICED, "the whole one is in use", || call_with(&process, "the-second-token") == 200);
}

#[test]
fn a_token_is_read_again_where_the_kernel_tells_nothing() {
    let (folder, file, process) = with_a_token("the-first-token", Some("max_inotify_instances"));
    sleep(Duration::from_millis(800));
    fs::write(folder.path().join("next"), "the-second-token").unwrap();
    fs::rename(folder.path().join("next"), &file).unwrap();
    eventually_within(NOTICED, "the new one is in use", || call_with(&process, "the-second-token") == 200);
}

#[test]
fn a_trace_log_in_the_folder_of_the_config_does_not_feed_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (path, log) = (folder.path().join("pointsman.toml"), folder.path().join("pointsman.log"));
    fs::write(&path, config(0, 1_000)).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["run", "--config", path.to_str().unwrap()])
        .env("RUST_LOG", "trace")
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let bytes = || fs::metadata(&log).unwrap().len();
    eventually_within(PATIENCE, "it runs", || fs::read_to_string(&log).unwrap().contains("admin API listening"));
    sleep(Duration::from_secs(1));
    let before = bytes();
    sleep(Duration::from_secs(2));
    let grown = bytes() - before;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(grown < 64 << 10, "{grown} bytes in two seconds of nothing");
}
