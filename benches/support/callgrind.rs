//! Instructions of a program, counted by valgrind's callgrind: the same on a busy machine as on a quiet one, where times
//! differ by a fifth.
//!
//! What a program does before and after what is measured is the same in two runs that differ in the number of repetitions
//! only, so the difference of the two counts, divided by the difference of the repetitions, is the cost of one. Threads are
//! counted apart: the control plane looks at its clock while we measure, and that is not the cost of a request.

#![allow(dead_code, reason = "each bench uses a part of it")]

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
    pub(crate) fn end(self) -> u64 {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.count()
    }

    /// The instructions of its busiest thread, when it has ended.
    pub(crate) fn count(mut self) -> u64 {
        self.child.wait().unwrap();
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        files.filter_map(|file| total(&file.unwrap().path())).max().expect("valgrind has counted")
    }
}

/// What a file of callgrind's says of all that it counted.
fn total(file: &Path) -> Option<u64> {
    let text = std::fs::read(file).unwrap();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().rev().find_map(|line| line.strip_prefix("totals: "))?;
    line.trim().parse().ok()
}

/// The cost of one repetition, of the counts of `few` and `many` of them.
pub(crate) fn each(few: (u64, u64), many: (u64, u64)) -> u64 {
    many.1.saturating_sub(few.1) / (many.0 - few.0)
}
