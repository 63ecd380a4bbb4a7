//! CPU time of a process and its children, from the kernel's accounts.
//!
//! The scheduler counts every thread's time on a core in nanoseconds (`schedstat`), and that is the figure here. How it
//! splits into user and system is known by sampling only, at each tick of the clock (`stat`): good for proportions over
//! seconds. Work that the kernel does for a proxy's packets in interrupts is counted for the process that runs then; on
//! loopback that is nearly always the one who sends.
//!
//! A thread or a process that ends takes its accounts along, so the last look at it counts: a caller that wants those
//! too looks often.

use std::collections::{HashMap, HashSet};
use std::fs;

/// What was used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// In microseconds, all of it.
    pub(crate) total: f64,
    /// The part of it that the kernel did for the process.
    pub(crate) system_part: f64,
}

/// Looks at a process and everything that it has started.
#[derive(Debug)]
pub(crate) struct Meter {
    root: u32,
    /// Nanoseconds of each thread when it was seen last.
    threads: HashMap<u32, f64>,
    /// Ticks of each process when it was seen last: user, system.
    processes: HashMap<u32, [f64; 2]>,
}

/// What a meter showed at some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    nanoseconds: f64,
    ticks: [f64; 2],
}

impl Meter {
    /// Of that process.
    pub(crate) fn new(root: u32) -> Self {
        Self { root, threads: HashMap::new(), processes: HashMap::new() }
    }

    /// What it and its children have used by now.
    pub(crate) fn read(&mut self) -> Reading {
        for process in family(self.root) {
            if let Some(ticks) = Stat::of(process).map(|stat| stat.ticks) {
                self.processes.insert(process, ticks);
            }
            for thread in numbers(&format!("/proc/{process}/task")) {
                if let Some(time) = time_of(process, thread) {
                    self.threads.insert(thread, time);
                }
            }
        }
        let ticks = |which: usize| self.processes.values().map(|ticks| ticks[which]).sum();
        Reading { nanoseconds: self.threads.values().sum(), ticks: [ticks(0), ticks(1)] }
    }
}

impl Reading {
    /// What was used from `self` to `later`.
    pub(crate) fn until(self, later: Self) -> Usage {
        let [user, system] = [0, 1].map(|which| later.ticks[which] - self.ticks[which]);
        Usage {
            total: (later.nanoseconds - self.nanoseconds) / 1_000.0,
            system_part: if user + system > 0.0 { system / (user + system) } else { f64::NAN },
        }
    }
}

/// A process and all that descend from it.
fn family(root: u32) -> HashSet<u32> {
    let parents: HashMap<u32, u32> =
        numbers("/proc").filter_map(|process| Some((process, Stat::of(process)?.parent))).collect();
    let mut family = HashSet::from([root]);
    loop {
        let before = family.len();
        family.extend(
            parents.iter().filter(|(_, parent)| family.contains(parent)).map(|(child, _)| *child).collect::<Vec<_>>(),
        );
        if family.len() == before {
            return family;
        }
    }
}

/// The entries of a folder that are numbers.
fn numbers(folder: &str) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn time_of(process: u32, thread: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/task/{thread}/schedstat")).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// What is wanted of `/proc/PID/stat`.
#[derive(Debug, PartialEq)]
pub(crate) struct Stat {
    pub(crate) parent: u32,
    /// User, system.
    pub(crate) ticks: [f64; 2],
}

impl Stat {
    fn of(process: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
    }

    /// The second field is a name in parentheses that may have spaces and parentheses of its own.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
        let ticks = |field: usize| fields.get(field)?.parse().ok();
        Some(Self { parent: fields.get(1)?.parse().ok()?, ticks: [ticks(11)?, ticks(12)?] })
    }
}
