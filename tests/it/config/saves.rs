//! The config file as people and programs really write it: saved in more than thirty ways on the real binary, each
//! applied once, whole, within two seconds of quiet. Programs that are small are used; what others do is done by the
//! system calls that they make, in their order.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use http::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::support::process::Process;
use crate::support::{PATIENCE, client, eventually_within};

/// From the end of a save until it is in force.
const QUIET: Duration = Duration::from_secs(2);

/// Where the texts are cut that are half a good config: after `v1`, whose users would all stay there, and before
/// `cart`.
const CUTS: [&str; 2] = ["versions.v2.endpoints = [\"127.0.0.1:9\"]\nsplit", "[services.cart]"];

/// A config whose service `shop` has `n` per cent on v2, and of this many bytes.
fn config(n: u32, bytes: usize) -> String {
    let mut text = String::from(
        "[listeners.public]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [proxy]\nworkers = 1\n[services.shop]\npaths = [\"/\"]\nversions.v1.endpoints = [\"127.0.0.1:9\"]\n",
    );
    write!(text, "{} = {{ v1 = {}, v2 = {n} }}\n# ", CUTS[0], 100 - n).unwrap();
    let rest = format!("\n{}\npaths = [\"/cart\"]\nversions.v1.endpoints = [\"127.0.0.1:9\"]\n", CUTS[1]);
    let filler = bytes.saturating_sub(text.len() + rest.len());
    text.extend(std::iter::repeat_n('x', filler));
    text + &rest
}

/// Where a config is saved, and what the process that reads it was told to read.
struct Place {
    root: PathBuf,
    /// What the process was told.
    path: PathBuf,
}

impl Place {
    fn at(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The text in a file beside it, for programs that copy.
    fn new_file(&self, text: &str) -> PathBuf {
        let new = self.at("new");
        fs::write(&new, text).unwrap();
        new
    }
}

/// How a config is saved. A text that is not there is what is there already.
type Save = fn(&Place, &str);

fn run(program: &str, arguments: &[&str], place: &Place) {
    let done = Command::new(program).args(arguments).current_dir(&place.root).stdin(Stdio::null()).output();
    let done = done.unwrap_or_else(|error| panic!("{program}: {error}; `make tools` installs it"));
    assert!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A shell with the path as `$1` and a file with the text as `$2`.
fn shell(place: &Place, text: &str, script: &str) {
    let new = place.new_file(text);
    run("sh", &["-ec", script, "sh", place.path.to_str().unwrap(), new.to_str().unwrap()], place);
}

fn vim(place: &Place, text: &str, options: &str) {
    let new = place.new_file(text);
    let read = format!("silent! 0r {}", new.display());
    let options = format!("set nocompatible noswapfile backupskip= backup writebackup {options}");
    let path = place.path.to_str().unwrap();
    run("vim", &["-u", "NONE", "-i", "NONE", "-es", "-c", &options, "-c", "%d", "-c", &read, "-c", "wq", path], place);
}

fn open_cut(place: &Place) -> File {
    OpenOptions::new().write(true).truncate(true).open(&place.path).unwrap()
}

/// In place, with a pause where half of it is a good config.
fn slowly(place: &Place, text: &str, (cut, pause): (usize, Duration)) {
    let mut file = open_cut(place);
    let (half, rest) = text.split_at(text.find(CUTS[cut]).unwrap());
    file.write_all(half.as_bytes()).unwrap();
    sleep(pause);
    file.write_all(rest.as_bytes()).unwrap();
}

/// A new file in the folder of the config, over which it is renamed.
fn renamed_over(place: &Place, text: &str, temporary: &str) {
    let new = place.path.with_file_name(temporary);
    let mut file = File::create(&new).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.sync_all().unwrap();
    drop(file);
    fs::rename(&new, &place.path).unwrap();
    File::open(place.path.parent().unwrap()).unwrap().sync_all().unwrap();
}

/// Through a memory map, of which the kernel sends no event; the same length as before.
fn mapped(place: &Place, text: &str, more: &str) {
    let new = place.new_file(text);
    let script = format!(
        "import mmap, os, sys\npath, new = sys.argv[1], open(sys.argv[2], 'rb').read()\nbefore = os.stat(path)\n\
         with open(path, 'r+b') as f:\n  with mmap.mmap(f.fileno(), len(new)) as m:\n    m[:] = new\n    m.flush()\n    {more}\n"
    );
    run("python3", &["-c", &script, place.path.to_str().unwrap(), new.to_str().unwrap()], place);
}

/// A release of a folder with the config in it.
fn release(place: &Place, text: &str, name: &str) {
    fs::create_dir_all(place.at(name)).unwrap();
    fs::write(place.at(name).join("pointsman.toml"), text).unwrap();
}

fn swap_link(place: &Place, target: &str, link: &str) {
    symlink(target, place.at("link.tmp")).unwrap();
    fs::rename(place.at("link.tmp"), place.at(link)).unwrap();
}

/// A name that was not there yet.
fn fresh(place: &Place, prefix: &str) -> String {
    let taken = |n: &u32| place.at(&format!("{prefix}{n}")).exists();
    let n = (1..).find(|n| !taken(n)).unwrap();
    format!("{prefix}{n}")
}

fn emacs_by_renaming(place: &Place, text: &str) {
    fs::rename(&place.path, place.path.with_file_name("pointsman.toml~")).unwrap();
    let mut file = OpenOptions::new().write(true).create_new(true).open(&place.path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.sync_all().unwrap();
    drop(file);
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o644)).unwrap();
}

fn emacs_by_copying(place: &Place, text: &str) {
    let lock = place.path.with_file_name(".#pointsman.toml");
    symlink("somebody@here.1:2", &lock).unwrap();
    fs::copy(&place.path, place.path.with_file_name("pointsman.toml~")).unwrap();
    let mut file = open_cut(place);
    file.write_all(text.as_bytes()).unwrap();
    file.sync_all().unwrap();
    drop(file);
    fs::remove_file(lock).unwrap();
}

fn jetbrains(place: &Place, text: &str) {
    let beside = |suffix: &str| place.path.with_file_name(format!("pointsman.toml___jb_{suffix}___"));
    fs::write(beside("tmp"), text).unwrap();
    fs::rename(&place.path, beside("old")).unwrap();
    fs::rename(beside("tmp"), &place.path).unwrap();
    fs::remove_file(beside("old")).unwrap();
}

fn written_and_synced(place: &Place, text: &str) {
    let mut file = open_cut(place);
    for part in text.as_bytes().chunks(512) {
        file.write_all(part).unwrap();
        file.sync_data().unwrap();
    }
    // It is closed a moment after the last write.
    sleep(Duration::from_millis(700));
}

fn overwritten_and_cut(place: &Place, text: &str) {
    let mut file = OpenOptions::new().write(true).open(&place.path).unwrap();
    file.rewind().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.set_len(text.len() as u64).unwrap();
}

fn two_quick_saves(place: &Place, text: &str) {
    fs::write(&place.path, text.replace("v1 = 100", "v1 = 1, v2 = 99 } # ")).unwrap();
    sleep(Duration::from_millis(60));
    fs::write(&place.path, text).unwrap();
}

/// In a folder, by a path without links.
const PLAIN: [(&str, Save); 24] = [
    ("vim, a backup by renaming", |p, t| vim(p, t, "backupcopy=no")),
    ("vim, in place", |p, t| vim(p, t, "backupcopy=yes")),
    ("vim, without a backup", |p, t| vim(p, t, "nobackup nowritebackup")),
    ("emacs, a backup by renaming", emacs_by_renaming),
    ("emacs, a backup by copying, and its lock", emacs_by_copying),
    ("JetBrains' safe write", jetbrains),
    ("sed -i", |p, t| shell(p, t, "sed -i -e \"1r $2\" -e d \"$1\"")),
    ("perl -i", |p, t| {
        shell(p, t, "perl -0777 -i -pe 'BEGIN { open F, \"<\", pop; $n = join \"\", <F> } $_ = $n' \"$1\" \"$2\"")
    }),
    ("cp", |p, t| shell(p, t, "cp \"$2\" \"$1\"")),
    ("cp --remove-destination", |p, t| shell(p, t, "cp --remove-destination \"$2\" \"$1\"")),
    ("install", |p, t| shell(p, t, "install -m 640 \"$2\" \"$1\"")),
    ("rsync", |p, t| shell(p, t, "rsync -t \"$2\" \"$1\"")),
    ("rsync --inplace", |p, t| shell(p, t, "rsync --inplace --ignore-times \"$2\" \"$1\"")),
    ("mv over it", |p, t| shell(p, t, "mv \"$2\" \"$1\"")),
    ("cat >", |p, t| shell(p, t, "cat \"$2\" > \"$1\"")),
    ("line by line, opened for each", |p, t| {
        shell(p, t, ": > \"$1\"; while IFS= read -r l; do echo \"$l\" >> \"$1\"; done < \"$2\"")
    }),
    ("tee, slowly", |p, t| shell(p, t, "(head -c 180 \"$2\"; sleep 0.8; tail -c +181 \"$2\") | tee \"$1\" >/dev/null")),
    ("in place, a pause after v1", |p, t| slowly(p, t, (0, Duration::from_millis(1_500)))),
    ("in place, a pause before the last service", |p, t| slowly(p, t, (1, Duration::from_millis(2_500)))),
    ("written and synced in parts", written_and_synced),
    ("overwritten and cut", overwritten_and_cut),
    ("two quick saves", two_quick_saves),
    ("a temporary file over it, synced", |p, t| renamed_over(p, t, ".pointsman.toml.swp")),
    ("a hard link replaced", |p, t| shell(p, t, "ln -f \"$2\" \"$1\"; rm \"$2\"")),
];

/// The same for what nothing tells of.
const UNTOLD: [(&str, Save); 3] = [
    ("as on a network file system, without events", |p, t| mapped(p, t, "pass")),
    ("the time of writing put back", |p, t| {
        mapped(p, t, "os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))")
    }),
    ("dd conv=notrunc", |p, t| shell(p, t, "dd if=\"$2\" of=\"$1\" conv=notrunc status=none")),
];

/// By paths with links, and folders that are swapped.
const LINKED: [(&str, &str, Save); 9] = [
    ("current -> releases/N", "current/pointsman.toml", |p, t| {
        let name = fresh(p, "release");
        release(p, t, &name);
        swap_link(p, &name, "current");
    }),
    ("ln -sfn", "current/pointsman.toml", |p, t| {
        let name = fresh(p, "release");
        release(p, t, &name);
        run("ln", &["-sfn", &name, "current"], p);
    }),
    ("in the folder that the link leads to", "current/pointsman.toml", |p, t| fs::write(&p.path, t).unwrap()),
    ("Kubernetes' ..data", "pointsman.toml", |p, t| {
        let name = fresh(p, "..2024_");
        release(p, t, &name);
        let old = fs::read_link(p.at("..data")).ok();
        symlink(&name, p.at("..data_tmp")).unwrap();
        fs::rename(p.at("..data_tmp"), p.at("..data")).unwrap();
        old.map(|old| fs::remove_dir_all(p.at(old.to_str().unwrap())));
    }),
    ("git-sync's link to a worktree", "repo/conf/pointsman.toml", |p, t| {
        let name = fresh(p, ".worktrees/");
        release(p, t, &format!("{name}/conf"));
        let old = fs::read_link(p.at("repo")).ok();
        swap_link(p, &name, "repo");
        old.map(|old| fs::remove_dir_all(p.at(old.to_str().unwrap())));
    }),
    ("a folder swapped by two renames", "conf/pointsman.toml", |p, t| {
        release(p, t, "conf.new");
        if p.at("conf").exists() {
            fs::rename(p.at("conf"), p.at(&fresh(p, "conf.old"))).unwrap();
        }
        fs::rename(p.at("conf.new"), p.at("conf")).unwrap();
    }),
    ("the folder deleted and made anew", "conf/pointsman.toml", |p, t| {
        fs::remove_dir_all(p.at("conf")).unwrap();
        sleep(Duration::from_millis(300));
        release(p, t, "conf");
    }),
    ("the folder above deleted and made anew", "top/conf/pointsman.toml", |p, t| {
        fs::remove_dir_all(p.at("top")).ok();
        release(p, t, "top/conf");
    }),
    ("git checkout", "pointsman.toml", |p, t| {
        let git = |arguments: &[&str]| {
            let who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"];
            run("git", &[&who[..], arguments].concat(), p);
        };
        if !p.at(".git").exists() {
            git(&["init", "-q"]);
            fs::write(p.at(".gitignore"), "*\n!pointsman.toml\n").unwrap();
            fs::write(&p.path, t).unwrap();
        } else {
            // Away and back: the checkout is what changes the file.
            let old = fs::read(&p.path).unwrap();
            fs::write(p.at("old"), &old).unwrap();
            let hash = Command::new("git")
                .args(["hash-object", "-w", "--stdin"])
                .current_dir(&p.root)
                .stdin(Stdio::from(File::open(p.new_file(t)).unwrap()))
                .output()
                .unwrap();
            let hash = String::from_utf8(hash.stdout).unwrap();
            git(&["update-index", "--cacheinfo", &format!("100644,{},pointsman.toml", hash.trim())]);
            git(&["commit", "-q", "-m", "next"]);
            git(&["checkout", "-q", "-f", "HEAD", "--", "pointsman.toml"]);
            return;
        }
        git(&["add", "-A"]);
        git(&["commit", "-q", "-m", "first"]);
    }),
];

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
        let (saved, mut stalled) = (Instant::now(), Duration::ZERO);
        while self.weight() != f64::from(n) {
            stalled += self.disk_stall();
            let took = saved.elapsed();
            assert!(
                took <= QUIET + stalled,
                "{name}: not in force {took:?} after it was saved, {stalled:?} by the disk"
            );
            sleep(Duration::from_millis(10));
        }
        println!("{name}: {:?}", saved.elapsed());
    }

    /// How long the disk has just kept everybody waiting, if it was long: what is in force is on disk first.
    fn disk_stall(&self) -> Duration {
        let before = Instant::now();
        File::create(self.place.at("probe")).unwrap().sync_all().unwrap();
        let took = before.elapsed();
        if took > Duration::from_millis(100) { took } else { Duration::ZERO }
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
            sleep(Duration::from_millis(600));
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
    eventually_within(QUIET, "the signal is answered", || {
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
    eventually_within(QUIET, "it is gone", || services() == 1);
    saved.process.tells(&["WARN", "has lost what is in force", "cart"]);
}

#[test]
fn without_inotify_there_is_a_warning_and_a_start() {
    for limit in ["max_inotify_instances", "max_inotify_watches"] {
        let (_folder, _, process) = with_a_token("a-token", Some(limit));
        for what in ["the config file", "certificates and tokens"] {
            let told = || process.told(&["WARN", "does not tell of changes", what]);
            eventually_within(QUIET, &format!("{limit}: {what}"), told);
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
    eventually_within(QUIET, "the whole one is in use", || call_with(&process, "the-second-token") == 200);
}

#[test]
fn a_token_is_read_again_where_the_kernel_tells_nothing() {
    let (folder, file, process) = with_a_token("the-first-token", Some("max_inotify_instances"));
    sleep(Duration::from_millis(800));
    fs::write(folder.path().join("next"), "the-second-token").unwrap();
    fs::rename(folder.path().join("next"), &file).unwrap();
    eventually_within(QUIET, "the new one is in use", || call_with(&process, "the-second-token") == 200);
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
    eventually_within(QUIET * 5, "it runs", || fs::read_to_string(&log).unwrap().contains("admin API listening"));
    sleep(Duration::from_secs(1));
    let before = bytes();
    sleep(Duration::from_secs(2));
    let grown = bytes() - before;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(grown < 64 << 10, "{grown} bytes in two seconds of nothing");
}
