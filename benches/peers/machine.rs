//! The machine: who runs on which core, what it is, and how quiet it is.
//!
//! A figure of a shared machine says little without its noise. Three things tell of it: a loop that does nothing but
//! count takes the same time each round on an idle core; the kernel counts the time that a hypervisor gave to others;
//! and every figure has its own spread over the rounds.

use std::fs;
use std::hint::black_box;
use std::thread::available_parallelism;
use std::time::Instant;

use rustix::thread::{CpuSet, sched_setaffinity};

use super::figures::{median, percent, short, spread};

/// Where the proxy under test is, and nothing else of ours.
pub(crate) const PROXY_CORE: usize = 0;

/// Where all the rest is.
pub(crate) const LOAD_CORE: usize = 1;

/// About 20 ms: many times longer than a tick of the scheduler.
const SPINS: u64 = 20_000_000;

/// Puts this thread, and the processes and threads that it starts from now on, on a core.
///
/// # Errors
/// There is no such core for us.
pub(crate) fn run_on(core: usize) -> Result<(), String> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).map_err(|error| {
        let cores = available_parallelism().map_or(1, usize::from);
        format!("cannot run on core {core}: {error}; found {cores} cores, want two (the first for proxies, the other for load)")
    })
}

/// Does something on the core of the proxies, from that of the load.
///
/// # Errors
/// There is no such core for us.
pub(crate) fn on_the_proxies_core<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    run_on(PROXY_CORE)?;
    let done = act();
    run_on(LOAD_CORE)?;
    Ok(done)
}

/// What this machine is.
pub(crate) fn description() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (info, kernel) = (read("/proc/cpuinfo"), read("/proc/sys/kernel/osrelease"));
    let model = info.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split(": ").nth(1)).unwrap_or("an unknown processor");
    let virtual_machine = if info.contains(" hypervisor ") { ", a virtual machine" } else { "" };
    let cores = info.lines().filter(|line| line.starts_with("processor")).count();
    format!("{model}, {cores} cores{virtual_machine}, Linux {}", kernel.trim())
}

/// How quiet it was.
#[derive(Debug)]
pub(crate) struct Noise {
    spins: Vec<f64>,
    before: Vec<f64>,
}

impl Noise {
    /// From now on.
    pub(crate) fn new() -> Self {
        Self { spins: Vec::new(), before: ticks() }
    }

    /// Looks at the proxies' core once more.
    ///
    /// # Errors
    /// There is no such core for us.
    pub(crate) fn listen(&mut self) -> Result<(), String> {
        self.spins.push(on_the_proxies_core(spin)?);
        Ok(())
    }

    /// What was heard.
    pub(crate) fn sentence(&self) -> String {
        let spent: Vec<f64> = ticks().iter().zip(&self.before).map(|(after, before)| after - before).collect();
        let stolen = spent.get(7).copied().unwrap_or(0.0) / spent.iter().sum::<f64>().max(1.0);
        format!(
            "Noise: a fixed loop on core {PROXY_CORE} took {} ms in the middle of {} times, spread {}; {:.1} % of the time of \
             both cores was stolen by the hypervisor.",
            short(median(&self.spins)),
            self.spins.len(),
            percent(spread(&self.spins)),
            stolen * 100.0
        )
    }
}

/// Milliseconds that a fixed loop takes.
fn spin() -> f64 {
    let start = Instant::now();
    let mut value = 1_u64;
    for _ in 0..SPINS {
        value = black_box(value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
    start.elapsed().as_secs_f64() * 1_000.0
}

/// What all cores have done: user, nice, system, idle, iowait, irq, softirq, steal (guests' time is in user's).
fn ticks() -> Vec<f64> {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    line.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect()
}
