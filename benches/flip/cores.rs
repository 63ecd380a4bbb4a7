//! Threads on cores.

use std::thread;
use std::time::Duration;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::time::Instant;

/// Puts the threads of a process whose names are `wanted` on a core, for as long as they run. Waits until there is one:
/// a process listens before its threads have begun.
pub(crate) fn put(process: u32, wanted: impl Fn(&str) -> bool, core: usize) {
    let began = Instant::now();
    while moved(process, &wanted, core) == 0 {
        assert!(began.elapsed() < Duration::from_secs(10), "no thread of that name in process {process}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// How many threads were put there.
fn moved(process: u32, wanted: impl Fn(&str) -> bool, core: usize) -> u32 {
    let mut count = 0;
    let mut cores = CpuSet::new();
    cores.set(core);
    for task in std::fs::read_dir(format!("/proc/{process}/task")).unwrap() {
        let task = task.unwrap();
        // A thread that has ended meanwhile has no name and needs no core.
        let Ok(name) = std::fs::read_to_string(task.path().join("comm")) else { continue };
        if wanted(name.trim_end()) {
            let number = task.file_name().to_str().unwrap().parse().unwrap();
            sched_setaffinity(Pid::from_raw(number), &cores).unwrap();
            count += 1;
        }
    }
    count
}

/// How long cores 0 and 1 have had nothing to do since the machine started, to a hundredth of a second (Linux,
/// Documentation/filesystems/proc.rst, 1.7: the fourth and fifth number); zero for a core that is not there.
pub(crate) fn idle() -> [Duration; 2] {
    let text = std::fs::read_to_string("/proc/stat").unwrap();
    ["cpu0 ", "cpu1 "].map(|label| {
        let Some(numbers) = text.lines().find_map(|line| line.strip_prefix(label)) else { return Duration::ZERO };
        let numbers = numbers.split_whitespace().skip(3).take(2);
        let ticks: u64 = numbers.map(|number| number.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second())
    })
}
