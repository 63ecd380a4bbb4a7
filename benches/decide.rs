//! The decision over tables of different sizes.
//!
//! What to look at: the ratios that are printed at the end, how far ten thousand services are from one; the aim is
//! twice. `one asked for` shows that the work does not grow with the table. What the others cost more is cache misses.
//! `popular` draws services as a site's traffic does (Zipf: the n-th most popular one gets 1/n of the first one's
//! requests); `uniform` is the worst order there is. `find` is the router's part alone, `a miss` what one load costs that
//! waits for the load before, in memory as large as all that decisions read of ten thousand services, and in memory that
//! no cache holds: the unit in which to think of the rest.
//!
//! What is compared is the table cold and the request warm, because a proxy has just read it: the hosts are written
//! into the same few kilobytes before the clock runs, for one service as for ten thousand. And each decision waits for
//! the one before, or the processor would fetch for several requests at once, which a proxy never decides side by side.
//! A busy neighbour that shares the last cache level doubles the large ones and leaves the small one as it was: measure
//! on a quiet machine.

mod support;

use std::cell::Cell;
use std::fmt::Write;
use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use http::{HeaderName, HeaderValue, Method};
use pointsman::message::Headers;
use pointsman::stats::Registry;
use pointsman::table::{RequestView, Table, decide};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

const SERVICES: u32 = 10_000;
const PATH: &str = "/api/v2/items/7";

/// Draws that are prepared, more than a branch predictor learns.
const DRAWS: usize = 1 << 16;

/// Requests that are prepared before the clock runs: few, so that they are in the first cache, and enough to make the
/// reading of the clock cheap.
const PREPARED: usize = 64;

/// Warm requests of different users.
fn users() -> Vec<Headers> {
    let user = |number: u32| {
        let user = format!("user-{number}");
        let pairs = [("x-canary", "none"), ("accept", "*/*"), ("user-agent", "curl/8.9"), ("x-user-id", &user)];
        let pairs = pairs.map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header value"))
        });
        pairs.into_iter().collect()
    };
    (0..64).map(user).collect()
}

/// The services of successive requests, every one equally likely.
fn uniform(services: u32) -> Vec<u32> {
    let mut rng = StdRng::seed_from_u64(7);
    (0..DRAWS).map(|_| rng.random_range(0..services)).collect()
}

/// The services of successive requests, by Zipf's law; popularity has nothing to do with the place in the table.
fn popular(services: u32) -> Vec<u32> {
    let mut rng = StdRng::seed_from_u64(7);
    let mut order: Vec<u32> = (0..services).collect();
    for place in 1..order.len() {
        order.swap(place, rng.random_range(0..=place));
    }
    let mut total = 0.0;
    let ranks = (1..=services).map(|rank| {
        total += 1.0 / f64::from(rank);
        total
    });
    let sums: Vec<f64> = ranks.collect();
    let mut draw = || {
        let at = total * rng.random::<f64>();
        order[sums.partition_point(|sum| *sum < at).min(order.len() - 1)]
    };
    (0..DRAWS).map(|_| draw()).collect()
}

/// The hosts of successive requests, a few at a time in the same memory.
struct Hosts<'a> {
    draws: &'a [u32],
    drawn: usize,
    prepared: Vec<String>,
}

impl Hosts<'_> {
    fn prepare(&mut self) {
        for host in &mut self.prepared {
            host.clear();
            self.drawn = (self.drawn + 1) % self.draws.len();
            write!(host, "{}", support::Host(self.draws[self.drawn])).expect("a string takes it");
        }
    }

    /// The seconds of a round: a call for each host that is prepared.
    fn round(&mut self, each: impl Fn(&str, usize) -> u32) -> f64 {
        self.prepare();
        let mut last = 0;
        let started = Instant::now();
        for (number, host) in self.prepared.iter().enumerate() {
            // Nothing, but the processor learns that only when the last call is through.
            let nothing = black_box(0) & last;
            last = each(&host[nothing as usize..], number);
        }
        black_box(last);
        started.elapsed().as_secs_f64()
    }
}

/// Measures `each` over hosts that are drawn; it gets a host and its number, and yields something that the next call
/// waits for. Returns nanoseconds a call. What counts is the median of short rounds, not the sum of all: a round in
/// which the machine did something else counts as one.
fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    label: &str,
    draws: &[u32],
    each: impl Fn(&str, usize) -> u32,
) -> f64 {
    let prepared = (0..PREPARED).map(|_| String::with_capacity(64)).collect();
    let mut hosts = Hosts { draws, drawn: 0, prepared };
    let mut samples = Vec::new();
    group.bench_function(label, |bencher| {
        bencher.iter_custom(|iterations| {
            let rounds = (0..iterations.div_ceil(PREPARED as u64)).map(|_| hosts.round(&each));
            let call = median(rounds.collect()) / PREPARED as f64;
            samples.push(call);
            Duration::from_secs_f64(call * iterations as f64)
        });
    });
    median(samples) * 1e9
}

fn median(mut list: Vec<f64>) -> f64 {
    list.sort_by(f64::total_cmp);
    list.get(list.len() / 2).copied().unwrap_or_default()
}

fn request<'a>(host: &'a str, headers: &'a Headers) -> RequestView<'a> {
    RequestView { method: &Method::GET, host, path: PATH, query: None, headers, client: [192, 0, 2, 1].into() }
}

/// Measures a table. Returns the nanoseconds of a decision.
fn table(group: &mut BenchmarkGroup<'_, WallTime>, label: &str, table: &Table, draws: &[u32]) -> f64 {
    let users = users();
    let median = measure(group, label, draws, |host, number| {
        let decision = decide(table, &request(host, &users[number % users.len()]), 0, |version| version.usable(0));
        u32::from(black_box(decision.map(|decision| decision.version)).unwrap_or(u16::MAX))
    });
    measure(group, &format!("find, {label}"), draws, |host, _| black_box(table.find(host, PATH)).unwrap_or(u32::MAX));
    median
}

/// Measures loads each of which waits for the one before, over so many bytes.
fn miss(group: &mut BenchmarkGroup<'_, WallTime>, label: &str, bytes: usize) {
    // Pairs of lines, because pairs are fetched together.
    const WORDS: usize = 128 / size_of::<usize>();
    let (mut rng, count) = (StdRng::seed_from_u64(7), bytes / 128);
    let mut order: Vec<usize> = (0..count).collect();
    for place in 1..count {
        order.swap(place, rng.random_range(0..=place));
    }
    let mut next = vec![0; count * WORDS];
    for (index, at) in order.iter().enumerate() {
        next[at * WORDS] = order[(index + 1) % count] * WORDS;
    }
    let at = Cell::new(0);
    measure(group, label, &uniform(1), |_, _| {
        at.set(next[at.get()]);
        0
    });
}

#[expect(clippy::print_stdout, reason = "the ratio is what the bench is for, and criterion has none")]
fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    let one = table(&mut group, "1 service", &support::Site::new(1).compile(&Registry::new(1)), &uniform(1));
    let large = support::Site::new(SERVICES).compile(&Registry::new(1));
    for (label, draws) in [
        ("10000 services, one asked for", vec![SERVICES / 2; DRAWS]),
        ("10000 services, popular", popular(SERVICES)),
        ("10000 services, uniform", uniform(SERVICES)),
    ] {
        let nanos = table(&mut group, label, &large, &draws);
        println!("{label}: {nanos:.0} ns, {:.2} times the {one:.0} ns of one service", nanos / one);
    }
    miss(&mut group, "a miss in 2 MiB", 2 << 20);
    miss(&mut group, "a miss in 256 MiB", 256 << 20);
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
