//! The decision over tables of different sizes.
//!
//! What to look at: how far ten thousand services are from one; the aim is twice. `one asked for` shows that the work
//! does not grow with the table. What the others cost more is cache misses. `popular` draws services as a site's
//! traffic does (Zipf: the n-th most popular one gets 1/n of the first one's requests); `uniform` is the worst order
//! there is. `find` is the router's part alone, `a miss` what one load costs that waits for the load before, in memory
//! as large as all that decisions read of ten thousand services, and in memory that no cache holds: the unit in which
//! to think of the rest.
//!
//! What is compared is the table cold and the request warm, because a proxy has just read it: the hosts are written
//! into the same few kilobytes before the clock runs, for one service as for ten thousand. And each decision waits for
//! the one before, or the processor would fetch for several requests at once, which a proxy never decides side by side.
//!
//! A neighbour that shares the last cache level, or the clock of the core, makes everything twice as long for seconds.
//! So all cases take turns of some hundredths of a second, each turn is compared with that of one service beside it,
//! and what is printed is the middle of all turns with the half of them around it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    missing_docs,
    reason = "a bench prints what it measured, and its figures are far below 2^52"
)]

mod support;

use std::cell::Cell;
use std::fmt::Write;
use std::hint::black_box;

use http::{HeaderName, HeaderValue, Method};
use pointsman::testing::message::Headers;
use pointsman::testing::stats::Registry;
use pointsman::testing::table::{BearerClaims, RequestView, Table, decide};
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

/// Rounds of a turn. In the first third of them, which does not count, the caches take on what this case needs: nine of
/// ten services are asked in it.
const ROUNDS: usize = 1_200;

/// Times that every case has its turn.
const TURNS: usize = 60;

/// Gets a host and its number, and yields something that the next call waits for.
type Each<'a> = Box<dyn Fn(&str, usize) -> u32 + 'a>;

/// Something that is measured in turns with others.
struct Case<'a> {
    label: &'static str,
    hosts: Hosts<'a>,
    each: Each<'a>,
    /// Nanoseconds a call, in each turn.
    nanos: Vec<f64>,
}

impl<'a> Case<'a> {
    fn new(label: &'static str, draws: &'a [u32], each: impl Fn(&str, usize) -> u32 + 'a) -> Self {
        let prepared = (0..PREPARED).map(|_| String::with_capacity(64)).collect();
        Self { label, hosts: Hosts { draws, drawn: 0, prepared }, each: Box::new(each), nanos: Vec::new() }
    }

    /// What counts is the middle of short rounds, not the sum of all: a round in which the machine did something else
    /// counts as one.
    fn turn(&mut self) {
        let rounds = (0..ROUNDS).map(|_| self.hosts.round(&self.each));
        let mut warm: Vec<f64> = rounds.skip(ROUNDS / 3).collect();
        self.nanos.push(at(&mut warm, 0.5) / PREPARED as f64 * 1e9);
    }
}

/// The value below which this part of them lies.
fn at(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part) as usize]
}

fn request<'a>(host: &'a str, headers: &'a Headers) -> RequestView<'a> {
    RequestView {
        method: &Method::GET,
        host,
        path: PATH.as_bytes(),
        query: None,
        headers,
        client: [192, 0, 2, 1].into(),
        claims: BearerClaims::AS_THEY_STAND,
    }
}

/// A decision by a table.
fn decision<'a>(table: &'a Table, users: &'a [Headers]) -> impl Fn(&str, usize) -> u32 + 'a {
    move |host, number| {
        let decision =
            decide(table, &request(host, &users[number % users.len()]), 0, |version| version.availability(0));
        u32::from(black_box(decision.map(|decision| decision.version)).unwrap_or(u16::MAX))
    }
}

/// Loads each of which waits for the one before, over this many bytes.
fn miss(bytes: usize) -> impl Fn(&str, usize) -> u32 {
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
    move |_, _| {
        at.set(next[at.get()]);
        0
    }
}

fn main() {
    let users = users();
    let small = support::Site::new(1).compile(&Registry::new(1));
    let large = support::Site::new(SERVICES).compile(&Registry::new(1));
    let draws = [uniform(1), vec![SERVICES / 2; DRAWS], popular(SERVICES), uniform(SERVICES)];
    let tables = [&small, &large, &large, &large];
    let [first, one, often, evenly] = &draws;
    let labels = ["1 service", "10000 services, one asked for", "10000 services, popular", "10000 services, uniform"];
    let decisions = labels.into_iter().zip([first, one, often, evenly]).zip(tables);
    let mut cases: Vec<_> =
        decisions.map(|((label, draws), table)| Case::new(label, draws, decision(table, &users))).collect();
    let labels = ["find, 1 service", "find, one asked for", "find, popular", "find, uniform"];
    let finds = labels.into_iter().zip([first, one, often, evenly]).zip(tables);
    cases.extend(finds.map(|((label, draws), table)| {
        Case::new(label, draws, |host, _| black_box(table.find(host, PATH)).unwrap_or(u32::MAX))
    }));
    println!("| | ns | multiple of the first |\n|---|---|---|");
    take_turns(&mut cases);
    // Apart from the others, from which the second would take all caches.
    take_turns(&mut [
        Case::new("a miss in 2 MiB", first, miss(2 << 20)),
        Case::new("a miss in 256 MiB", first, miss(256 << 20)),
    ]);
    println!("\nMiddle of {TURNS} turns, and the half of them around it.");
}

fn take_turns(cases: &mut [Case<'_>]) {
    for _ in 0..TURNS {
        cases.iter_mut().for_each(Case::turn);
    }
    let one = cases[0].nanos.clone();
    for case in cases {
        let mut ratios: Vec<f64> = case.nanos.iter().zip(&one).map(|(nanos, one)| nanos / one).collect();
        let nanos = at(&mut case.nanos, 0.5);
        let [middle, low, high] = [0.5, 0.25, 0.75].map(|part| at(&mut ratios, part));
        println!("| {} | {nanos:.1} | {middle:.2} ({low:.2} to {high:.2}) |", case.label);
    }
}
