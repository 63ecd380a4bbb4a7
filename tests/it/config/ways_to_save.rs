//! The ways in which people and programs save a config file: by the programs themselves where they are small, and for
//! the others by the system calls that they make, in their order.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Where the texts are cut that are half a good config: after `v1`, whose users would all stay there, and before
/// `cart`.
pub(super) const CUTS: [&str; 2] = ["versions.v2.endpoints = [\"127.0.0.1:9\"]\nsplit", "[services.cart]"];

/// A config whose service `shop` has `n` per cent on v2, and of this many bytes.
pub(super) fn config(n: u32, bytes: usize) -> String {
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
pub(super) struct Place {
    pub(super) root: PathBuf,
    /// What the process was told.
    pub(super) path: PathBuf,
}

impl Place {
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The text in a file beside it, for programs that copy.
    pub(super) fn new_file(&self, text: &str) -> PathBuf {
        let new = self.at("new");
        fs::write(&new, text).unwrap();
        new
    }
}

/// How a config is saved. A text that is not there is what is there already.
pub(super) type Save = fn(&Place, &str);

pub(super) fn run(program: &str, arguments: &[&str], place: &Place) {
    let done = Command::new(program).args(arguments).current_dir(&place.root).stdin(Stdio::null()).output();
    let done = done.unwrap_or_else(|error| panic!("{program}: {error}; `make tools` installs it"));
    assert!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A shell with the path as `$1` and a file with the text as `$2`.
pub(super) fn shell(place: &Place, text: &str, script: &str) {
    let new = place.new_file(text);
    run("sh", &["-ec", script, "sh", place.path.to_str().unwrap(), new.to_str().unwrap()], place);
}

pub(super) fn vim(place: &Place, text: &str, options: &str) {
    let new = place.new_file(text);
    let read = format!("silent! 0r {}", new.display());
    let options = format!("set nocompatible noswapfile backupskip= backup writebackup {options}");
    let path = place.path.to_str().unwrap();
    run("vim", &["-u", "NONE", "-i", "NONE", "-es", "-c", &options, "-c", "%d", "-c", &read, "-c", "wq", path], place);
}

pub(super) fn open_cut(place: &Place) -> File {
    OpenOptions::new().write(true).truncate(true).open(&place.path).unwrap()
}

/// In place, with a pause where half of it is a good config.
pub(super) fn slowly(place: &Place, text: &str, (cut, pause): (usize, Duration)) {
    let mut file = open_cut(place);
    let (half, rest) = text.split_at(text.find(CUTS[cut]).unwrap());
    file.write_all(half.as_bytes()).unwrap();
    sleep(pause);
    file.write_all(rest.as_bytes()).unwrap();
}

/// A new file in the folder of the config, over which it is renamed.
pub(super) fn renamed_over(place: &Place, text: &str, temporary: &str) {
    let new = place.path.with_file_name(temporary);
    let mut file = File::create(&new).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.sync_all().unwrap();
    drop(file);
    fs::rename(&new, &place.path).unwrap();
    File::open(place.path.parent().unwrap()).unwrap().sync_all().unwrap();
}

/// Through a memory map, of which the kernel sends no event; the same length as before.
pub(super) fn mapped(place: &Place, text: &str, more: &str) {
    let new = place.new_file(text);
    let script = format!(
        "import mmap, os, sys\npath, new = sys.argv[1], open(sys.argv[2], 'rb').read()\nbefore = os.stat(path)\n\
         with open(path, 'r+b') as f:\n  with mmap.mmap(f.fileno(), len(new)) as m:\n    m[:] = new\n    m.flush()\n    {more}\n"
    );
    run("python3", &["-c", &script, place.path.to_str().unwrap(), new.to_str().unwrap()], place);
}

/// A release of a folder with the config in it.
pub(super) fn release(place: &Place, text: &str, name: &str) {
    fs::create_dir_all(place.at(name)).unwrap();
    fs::write(place.at(name).join("pointsman.toml"), text).unwrap();
}

pub(super) fn swap_link(place: &Place, target: &str, link: &str) {
    symlink(target, place.at("link.tmp")).unwrap();
    fs::rename(place.at("link.tmp"), place.at(link)).unwrap();
}

/// A name that was not there yet.
pub(super) fn fresh(place: &Place, prefix: &str) -> String {
    let taken = |n: &u32| place.at(&format!("{prefix}{n}")).exists();
    let n = (1..).find(|n| !taken(n)).unwrap();
    format!("{prefix}{n}")
}

pub(super) fn emacs_by_renaming(place: &Place, text: &str) {
    fs::rename(&place.path, place.path.with_file_name("pointsman.toml~")).unwrap();
    let mut file = OpenOptions::new().write(true).create_new(true).open(&place.path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.sync_all().unwrap();
    drop(file);
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o644)).unwrap();
}

pub(super) fn emacs_by_copying(place: &Place, text: &str) {
    let lock = place.path.with_file_name(".#pointsman.toml");
    symlink("somebody@here.1:2", &lock).unwrap();
    fs::copy(&place.path, place.path.with_file_name("pointsman.toml~")).unwrap();
    let mut file = open_cut(place);
    file.write_all(text.as_bytes()).unwrap();
    file.sync_all().unwrap();
    drop(file);
    fs::remove_file(lock).unwrap();
}

pub(super) fn jetbrains(place: &Place, text: &str) {
    let beside = |suffix: &str| place.path.with_file_name(format!("pointsman.toml___jb_{suffix}___"));
    fs::write(beside("tmp"), text).unwrap();
    fs::rename(&place.path, beside("old")).unwrap();
    fs::rename(beside("tmp"), &place.path).unwrap();
    fs::remove_file(beside("old")).unwrap();
}

pub(super) fn written_and_synced(place: &Place, text: &str) {
    let mut file = open_cut(place);
    for part in text.as_bytes().chunks(512) {
        file.write_all(part).unwrap();
        file.sync_data().unwrap();
    }
    // It is closed a moment after the last write.
    sleep(Duration::from_millis(700));
}

pub(super) fn overwritten_and_cut(place: &Place, text: &str) {
    let mut file = OpenOptions::new().write(true).open(&place.path).unwrap();
    file.rewind().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.set_len(text.len() as u64).unwrap();
}

pub(super) fn two_quick_saves(place: &Place, text: &str) {
    fs::write(&place.path, text.replace("v1 = 100", "v1 = 1, v2 = 99 } # ")).unwrap();
    sleep(Duration::from_millis(20));
    fs::write(&place.path, text).unwrap();
}

/// In a folder, by a path without links.
pub(super) const PLAIN: [(&str, Save); 24] = [
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
pub(super) const UNTOLD: [(&str, Save); 3] = [
    ("as on a network file system, without events", |p, t| mapped(p, t, "pass")),
    ("the time of writing put back", |p, t| {
        mapped(p, t, "os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))")
    }),
    ("dd conv=notrunc", |p, t| shell(p, t, "dd if=\"$2\" of=\"$1\" conv=notrunc status=none")),
];

/// By paths with links, and folders that are swapped.
pub(super) const LINKED: [(&str, &str, Save); 9] = [
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
