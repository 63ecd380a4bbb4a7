//! Threads on cores.

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Puts the threads of a process whose names are `wanted` on a core, for as long as they run.
pub(crate) fn put(process: u32, wanted: impl Fn(&str) -> bool, core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    for task in std::fs::read_dir(format!("/proc/{process}/task")).unwrap() {
        let task = task.unwrap();
        // A thread that has ended meanwhile has no name and needs no core.
        let Ok(name) = std::fs::read_to_string(task.path().join("comm")) else { continue };
        if wanted(name.trim_end()) {
            let number = task.file_name().to_str().unwrap().parse().unwrap();
            sched_setaffinity(Pid::from_raw(number), &cores).unwrap();
        }
    }
}
