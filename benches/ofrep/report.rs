//! What was measured, as tables.

use std::fmt;
use std::time::Duration;

use super::Sizes;
use super::figures::{quantile, range, short};
use super::open_loop::Outcome;
use super::table::Table;

/// What a process takes up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Footprint {
    resident_kib: f64,
    threads: f64,
}

impl Footprint {
    pub(crate) fn of(process: u32) -> Self {
        let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let of = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            value.trim().trim_end_matches(" kB").parse().unwrap()
        };
        Self { resident_kib: of("VmRSS:"), threads: of("Threads:") }
    }
}

/// How long changes took until the first, the middle and the last client knew, in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    first: Vec<f64>,
    middle: Vec<f64>,
    last: Vec<f64>,
}

impl Changes {
    pub(crate) fn add(&mut self, seconds: &[f64]) {
        let [first, middle, last] = [0.0, 0.5, 1.0].map(|part| quantile(seconds, part) * 1e3);
        self.first.push(first);
        self.middle.push(middle);
        self.last.push(last);
    }
}

/// Load of one kind.
#[derive(Debug)]
struct Answered {
    /// A second.
    rate: f64,
    /// Milliseconds, ascending.
    took: [f64; 3],
    failed: usize,
    unanswered: usize,
    late: f64,
}

impl Answered {
    fn of(outcome: &Outcome, time: Duration) -> Self {
        let end = time.as_secs_f64();
        let in_time = outcome.replies.iter().filter(|reply| reply.due + reply.took <= end).count();
        let took: Vec<f64> = outcome.replies.iter().map(|reply| reply.took * 1e3).collect();
        #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
        let rate = in_time as f64 / end;
        let (failed, unanswered) = (outcome.failed + outcome.closed, outcome.unanswered);
        let took = [0.5, 0.99, 0.999].map(|part| quantile(&took, part));
        Self { rate, took, failed, unanswered, late: quantile(&outcome.late, 0.99) * 1e3 }
    }
}

/// What came of the load.
#[derive(Debug)]
pub(crate) struct Loaded {
    kinds: [Answered; 2],
    /// The part of a core that the proxy took.
    cpu: f64,
}

impl Loaded {
    pub(crate) fn of(outcomes: [Outcome; 2], cpu: f64, time: Duration) -> Self {
        Self { kinds: outcomes.map(|outcome| Answered::of(&outcome, time)), cpu }
    }
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) sizes: Sizes,
    pub(crate) connected: Duration,
    /// The part of a core that the proxy takes while clients wait and nothing happens.
    pub(crate) quiet: f64,
    pub(crate) footprints: [(&'static str, Footprint); 4],
    pub(crate) without: Loaded,
    pub(crate) with: Loaded,
    /// Evaluations a second.
    pub(crate) most: f64,
    pub(crate) quiet_changes: Changes,
    pub(crate) loaded_changes: Changes,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sizes { clients, time, .. } = self.sizes;
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        writeln!(f, "{clients} clients that wait, parts of {time:?}, {cores} cores for proxy, load and origin.\n")?;
        let mut load = Table::new(["load", "asked", "answered", "p50", "p99", "p99.9", "CPU of the proxy"]);
        self.load_rows("without clients", &self.without, &mut load);
        self.load_rows("with clients", &self.with, &mut load);
        writeln!(f, "{load}")?;
        let late = self.with.kinds.iter().map(|kind| kind.late).fold(0.0, f64::max);
        writeln!(f, "Milliseconds from when a request was due; at p99 the load itself was {} ms late.", short(late))?;
        writeln!(f, "As fast as they are answered: {} evaluations a second.\n", short(self.most))?;
        let mut memory = Table::new(["memory", "resident", "of a client", "threads"]);
        let before = self.footprints[0].1.resident_kib;
        for (when, footprint) in self.footprints {
            #[expect(clippy::cast_precision_loss, reason = "a count of clients")]
            let each = (footprint.resident_kib - before) / clients.max(1) as f64;
            let each = if when == "with clients" { format!("{} KiB", short(each)) } else { String::new() };
            let resident = format!("{} MiB", short(footprint.resident_kib / 1024.0));
            memory.row([when.to_owned(), resident, each, short(footprint.threads)]);
        }
        writeln!(f, "{memory}")?;
        let connected = self.connected.as_secs_f64();
        writeln!(
            f,
            "All clients were connected after {} s; while nothing happens they take {} % of a core.\n",
            short(connected),
            short(self.quiet * 100.0)
        )?;
        let mut changes = Table::new(["a change is known to", "the first", "half of them", "all"]);
        for (when, told) in [("while nothing happens", &self.quiet_changes), ("under load", &self.loaded_changes)] {
            let cells = [&told.first, &told.middle, &told.last].map(|times| format!("{} ms", range(times)));
            changes.row(std::iter::once(when.to_owned()).chain(cells));
        }
        write!(f, "{changes}")
    }
}

impl Report {
    fn load_rows(&self, when: &str, loaded: &Loaded, table: &mut Table) {
        let asked = [self.sizes.rate, self.sizes.traffic];
        for ((what, asked), kind) in ["evaluations", "requests passed on"].iter().zip(asked).zip(&loaded.kinds) {
            let lost = kind.failed + kind.unanswered;
            let lost = if lost == 0 { String::new() } else { format!(" ({lost} lost)") };
            let [middle, rare, rarest] = kind.took.map(|took| format!("{} ms", short(took)));
            let cpu = if *what == "evaluations" {
                format!("{} % of a core", short(loaded.cpu * 100.0))
            } else {
                String::new()
            };
            let answered = format!("{} /s{lost}", short(kind.rate));
            table.row([format!("{what}, {when}"), format!("{} /s", short(asked)), answered, middle, rare, rarest, cpu]);
        }
    }
}
