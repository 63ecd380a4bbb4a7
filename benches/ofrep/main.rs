//! What calls for flags cost beside traffic: many clients that wait for changes and say nothing, single evaluations at
//! a given rate, and requests that are passed on, all at once; `make bench-ofrep` prints tables in Markdown.
//!
//! The clients wait on the listener of the site, as its pages do, and the evaluations come to the door of `[ofrep]`, as
//! those of programs do, with a context of their own for each user. Load comes at its rate whether it is answered or
//! not ([`open_loop`]), so that what waits is seen. The figures with clients stand beside the same without: the
//! difference is what they cost.
//!
//! | variable | usual | |
//! |---|---|---|
//! | `OFREP_CLIENTS` | 5000 | that wait for changes |
//! | `OFREP_RATE` | 20000 | single evaluations a second |
//! | `OFREP_TRAFFIC` | 2000 | requests a second that are passed on |
//! | `OFREP_SECONDS` | 10 | length of each part; there are five |
//! | `POINTSMAN` | this build's | another binary of ours |
//!
//! Everything is on the machine's cores together, load and origin too. It ends after [`LONGEST`] at the latest.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a bench stops at the first surprise, prints what it measured, and measures real time"
)]

#[path = "../support/answer.rs"]
mod answer;

#[path = "../support/callgrind.rs"]
mod callgrind;

#[path = "../support/figures.rs"]
mod figures;

#[path = "../support/load.rs"]
mod load;

#[path = "../support/open_loop.rs"]
mod open_loop;

#[path = "../support/origin.rs"]
mod origin;

#[path = "../support/round.rs"]
mod round;

#[path = "../support/shape.rs"]
mod shape;

mod report;
mod site;
mod waiting_clients;

#[path = "../support/table.rs"]
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use report::{Changes, Footprint, Report};
use site::Site;
use waiting_clients::WaitingClients;

/// After this the bench gives up, whatever it waits for.
const LONGEST: Duration = Duration::from_secs(300);

/// How often a flag changes in a part that has changes.
const CHANGES: u32 = 5;

/// How much there is of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) clients: usize,
    pub(crate) rate: f64,
    pub(crate) traffic: f64,
    pub(crate) time: Duration,
}

impl Sizes {
    fn read() -> Result<Self, String> {
        let time = Duration::from_secs(number("OFREP_SECONDS", 10)?.clamp(1, 30));
        let clients = usize::try_from(number("OFREP_CLIENTS", 5_000)?).unwrap();
        let rate = |name, usual| number(name, usual).map(|rate| f64::from(u32::try_from(rate.max(1)).unwrap()));
        Ok(Self { clients, rate: rate("OFREP_RATE", 20_000)?, traffic: rate("OFREP_TRAFFIC", 2_000)?, time })
    }
}

fn number(name: &str, usual: u64) -> Result<u64, String> {
    let Ok(text) = std::env::var(name) else { return Ok(usual) };
    let problem = |_| format!("{name}: found {text:?}, want a whole number up to 1000000");
    text.parse::<u32>().map_err(problem).map(|number| u64::from(number.min(1_000_000)))
}

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("ofrep: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<(), String> {
    let sizes = Sizes::read()?;
    // A descriptor for each client here, and one in the proxy.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current: maximum, maximum };
    setrlimit(Resource::Nofile, limit).map_err(|error| format!("open files: {error}"))?;
    if maximum.is_some_and(|most| most < 3 * sizes.clients as u64 + 1_000) {
        let wanted = 3 * sizes.clients + 1_000;
        return Err(format!(
            "found a limit of {maximum:?} open files, want {wanted} (ulimit -n, or fewer OFREP_CLIENTS)"
        ));
    }
    let binary = std::env::var_os("POINTSMAN").map_or_else(|| env!("CARGO_BIN_EXE_pointsman").into(), PathBuf::from);
    let site = Site::start(&binary, sizes);
    end_in_time(site.process());
    let report = measure(&site, sizes)?;
    println!("{report}");
    Ok(())
}

/// No wait for something that never comes.
fn end_in_time(process: u32) {
    thread::spawn(move || {
        thread::sleep(LONGEST);
        eprintln!("ofrep: not done after {LONGEST:?}");
        let process = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
        process.map(|process| rustix::process::kill_process(process, rustix::process::Signal::TERM));
        std::process::exit(1);
    });
}

fn measure(site: &Site, sizes: Sizes) -> Result<Report, String> {
    // What is needed once is there before: buffers, connections to endpoints, the pages of the program.
    site.load(Sizes { time: Duration::from_secs(2), ..sizes })?;
    let alone = Footprint::of(site.process());
    eprintln!("1 of 5: load without clients that wait");
    let without = site.load(sizes)?;
    eprintln!("2 of 5: {} clients that wait", sizes.clients);
    let began = Instant::now();
    let mut clients = WaitingClients::connect(site.listener(), sizes.clients)?;
    let connected = began.elapsed();
    thread::sleep(Duration::from_secs(1));
    let waiting = Footprint::of(site.process());
    let quiet = cpu_share(site, sizes.time);
    eprintln!("3 of 5: changes while nothing else happens");
    let quiet_changes = change(site, &mut clients, Duration::from_secs(1))?;
    eprintln!("4 of 5: load and changes, with clients that wait");
    let (with, loaded_changes) = thread::scope(|scope| {
        let load = scope.spawn(|| site.load(sizes));
        let changes = change(site, &mut clients, sizes.time / (CHANGES + 1));
        Ok::<_, String>((load.join().unwrap()?, changes?))
    })?;
    let after = Footprint::of(site.process());
    eprintln!("5 of 5: evaluations as fast as they are answered");
    let most = site.most(sizes.time / 2)?;
    clients.all_wait()?;
    drop(clients);
    thread::sleep(Duration::from_secs(3));
    let left = Footprint::of(site.process());
    let footprints = [("before", alone), ("with clients", waiting), ("after the load", after), ("clients gone", left)];
    Ok(Report { sizes, connected, quiet, footprints, without, with, most, quiet_changes, loaded_changes })
}

/// The part of a core that the proxy takes.
fn cpu_share(site: &Site, time: Duration) -> f64 {
    let before = site.cpu();
    thread::sleep(time);
    (site.cpu() - before).div_duration_f64(time)
}

/// Changes a flag several times, and waits each time until all clients know.
fn change(site: &Site, clients: &mut WaitingClients, pause: Duration) -> Result<Changes, String> {
    let mut changes = Changes::default();
    for _ in 0..CHANGES {
        thread::sleep(pause);
        clients.forget();
        let asked = Instant::now();
        site.toggle_flag()?;
        let told = clients.told(asked)?;
        changes.add(&told);
    }
    Ok(changes)
}
