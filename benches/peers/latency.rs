//! The latency that a proxy adds at half load.
//!
//! At full load latency is a matter of queues, and says how many clients there were. Here requests come at a rate that
//! all contenders can carry twice: half of what the slowest of Pointsman, HAProxy and nginx does at most. They go
//! straight to the origin in one turn and through a proxy in the others, by the same plan, and what a proxy adds is the
//! difference of the percentiles. A proxy that cannot carry that rate has a queue that grows, and gets that word
//! instead of a figure.

use std::time::{Duration, Instant};

use super::figures::{median, quantile, range, short};
use super::load::{Generators, MAIN, small_requests};
use super::open_loop::{Outcome, Plan, run};
use super::origin::Origin;
use super::proxies::Peer;
use super::settings::Settings;
use super::table::Table;

/// Whose rates decide.
const CONTENDERS: [&str; 3] = ["Pointsman", "HAProxy", "nginx"];

/// Answers to requests that were due earlier than this do not count: connections and caches are cold.
const WARM_UP: f64 = 0.25;

/// A proxy that has answered less than this part of the requests in time cannot carry the rate.
const CARRIED: f64 = 0.98;

/// Microseconds of one turn.
#[derive(Debug, Default)]
struct Turns {
    p50: Vec<f64>,
    p99: Vec<f64>,
    over: bool,
}

/// Measures and prints it.
///
/// # Errors
/// A request failed.
pub(crate) fn measure(
    settings: &Settings,
    peers: &[Peer],
    origin: &Origin,
    generators: &Generators,
) -> Result<(), String> {
    let rate = half_load(peers, generators)?;
    let targets = [origin.addresses[0]].into_iter().chain(peers.iter().map(|peer| peer.setup.plain));
    let targets: Vec<_> = targets.collect();
    let names: Vec<_> = ["none"].into_iter().chain(peers.iter().map(|peer| peer.proxy.name())).collect();
    let mut turns: Vec<Turns> = targets.iter().map(|_| Turns::default()).collect();
    let mut late = Vec::new();
    for round in 0..settings.rounds {
        let plan = Plan { rate, time: settings.turn, seed: round as u64 };
        for offset in 0..targets.len() {
            let number = (round + offset) % targets.len();
            let outcome = run(small_requests(targets[number]), plan, Instant::now())?;
            if outcome.failed + outcome.closed > 0 {
                return Err(format!("{}: {} of its connections broke", names[number], outcome.failed + outcome.closed));
            }
            turns[number].add(&outcome, plan.time);
            let [p50, p99] =
                [&turns[number].p50, &turns[number].p99].map(|values| values.last().copied().unwrap_or(f64::NAN));
            eprintln!(
                "round {} of {}, half load: {} p50 {p50:.0} µs, p99 {p99:.0} µs",
                round + 1,
                settings.rounds,
                names[number]
            );
            if number == 0 {
                late.extend(outcome.late);
            }
        }
    }
    println!("### Latency added at half load\n");
    println!(
        "{rate:.0} requests a second whenever they are answered (a Poisson process), 64 connections; µs from the time that a \
         request was due. Without a proxy the load generator sends {} µs late in the middle, {} µs at p99: that is in all \
         of these figures. In parentheses: the smallest and the largest of the rounds.\n",
        short(quantile(&late, 0.5) * 1e6),
        short(quantile(&late, 0.99) * 1e6)
    );
    println!("{}", table(&names, &turns));
    let added = |name: &str| {
        let number = names.iter().position(|other| *other == name)?;
        Some(median(&added(&turns[number].p99, &turns[0].p99)))
    };
    if let (Some(ours), Some(theirs)) = (added("Pointsman"), added("HAProxy")) {
        let verdict = if ours <= theirs { "met" } else { "missed" };
        println!("Target, p99 added at most HAProxy's {} µs: {} µs, {verdict}.\n", short(theirs), short(ours));
    }
    Ok(())
}

/// Half of what the slowest contender does at most.
fn half_load(peers: &[Peer], generators: &Generators) -> Result<f64, String> {
    let mut lowest = f64::INFINITY;
    for peer in peers {
        let contends = CONTENDERS.contains(&peer.proxy.name());
        // Without any of them all decide.
        if contends || !peers.iter().any(|peer| CONTENDERS.contains(&peer.proxy.name())) {
            lowest = lowest.min(generators.run(&MAIN, peer, Duration::from_secs(2))?.rate);
        }
    }
    Ok((lowest / 2.0).min(1e6))
}

impl Turns {
    #[expect(clippy::cast_precision_loss, reason = "counts of requests")]
    fn add(&mut self, outcome: &Outcome, time: Duration) {
        let end = time.as_secs_f64();
        let answered = outcome.replies.iter().filter(|reply| reply.due + reply.took <= end).count() as f64;
        let all = (outcome.replies.len() + outcome.unanswered) as f64;
        self.over |= answered < all * CARRIED;
        let counted = outcome.replies.iter().filter(|reply| reply.due >= WARM_UP);
        let times: Vec<f64> = counted.map(|reply| reply.took * 1e6).collect();
        self.p50.push(quantile(&times, 0.5));
        self.p99.push(quantile(&times, 0.99));
    }
}

fn table(names: &[&str], turns: &[Turns]) -> Table {
    let mut table = Table::new(["proxy", "p50", "p99", "added to p50", "added to p99"]);
    let direct = &turns[0];
    for (name, turns) in names.iter().zip(turns) {
        if turns.over {
            table.row([(*name).to_owned(), "cannot carry this rate".to_owned()]);
            continue;
        }
        let more = |with: &[f64], without: &[f64]| {
            if *name == "none" { String::new() } else { range(&added(with, without)) }
        };
        let cells =
            [range(&turns.p50), range(&turns.p99), more(&turns.p50, &direct.p50), more(&turns.p99, &direct.p99)];
        table.row([(*name).to_owned()].into_iter().chain(cells));
    }
    table
}

/// What is more with a proxy than without, round by round.
fn added(with: &[f64], without: &[f64]) -> Vec<f64> {
    with.iter().zip(without).map(|(with, without)| with - without).collect()
}
