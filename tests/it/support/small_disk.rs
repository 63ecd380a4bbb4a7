//! A disk that is soon full: the real binary on a file system of its own, of some KiB.

use std::path::Path;
use std::process::Command;

use super::process::Process;

/// The binary in a mount namespace of its own, with a file system of this many KiB on `state`.
pub(crate) fn on_small_disk(path: &Path, state: &Path, kib: u32) -> Process {
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
pub(crate) fn inside(process: &Process, script: &str) {
    let id = process.id().to_string();
    let args = ["--target", &id, "--user", "--preserve-credentials", "--mount", "sh", "-c", script];
    let done = Command::new("nsenter").args(args).status().unwrap();
    assert!(done.success(), "{script}");
}
