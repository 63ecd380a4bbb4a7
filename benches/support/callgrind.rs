//! Instructions of a program, counted by valgrind's callgrind: the same on a busy machine as on a quiet one, where
//! times differ by a fifth.
//!
//! What a program does before and after what is measured is the same in two runs that differ in the number of
//! repetitions only, so the difference of the two counts, divided by the difference of the repetitions, is the cost of
//! one. Threads are counted apart: the control plane looks at its clock while we measure, and that is not the cost of a
//! request.

#![allow(dead_code, reason = "each bench uses a part of it")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A program that runs under callgrind.
pub(crate) struct Counted {
    child: Child,
    folder: tempfile::TempDir,
}

/// Whether valgrind is installed.
pub(crate) fn is_installed() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok()
}

impl Counted {
    pub(crate) fn start(program: impl AsRef<OsStr>, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--separate-threads=yes", "-q"]);
        command.arg(format!("--callgrind-out-file={}", folder.path().join("count").display()));
        command.arg(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        Self { child: command.spawn().unwrap(), folder }
    }

    /// Whether it is still there.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Asks it to end, and counts.
    pub(crate) fn end(self) -> Counts {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.count()
    }

    /// Its instructions, when it has ended.
    pub(crate) fn count(mut self) -> Counts {
        self.child.wait().unwrap();
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap().path());
        let counted = files.filter_map(|file| Some((file.file_name()?.to_str()?.to_owned(), total(&file)?)));
        Counts(counted.collect())
    }
}

/// Instructions by thread: a program starts the same threads in the same order each time.
pub(crate) struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// The lesser of each.
    pub(crate) fn least(self, other: &Self) -> Self {
        let least = |(thread, count): (String, u64)| {
            let other = other.0.get(&thread).copied().unwrap_or(count);
            (thread, count.min(other))
        };
        Self(self.0.into_iter().map(least).collect())
    }
}

/// What a file of callgrind's says of all that it counted.
fn total(file: &Path) -> Option<u64> {
    let text = std::fs::read(file).unwrap();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().rev().find_map(|line| line.strip_prefix("totals: "))?;
    line.trim().parse().ok()
}

/// The cost of one repetition, of the counts of `few` and `many` of them, in the thread that it makes the greatest
/// difference to.
pub(crate) fn each(few: (u64, &Counts), many: (u64, &Counts)) -> u64 {
    let more = |(thread, count): (&String, &u64)| count.saturating_sub(few.1.0.get(thread).copied().unwrap_or(0));
    many.1.0.iter().map(more).max().expect("valgrind has counted") / (many.0 - few.0)
}
