//! What the two kinds of interval are worth, by simulated experiments: `make bench-experiments` prints tables and
//! writes `docs/experiments.svg`, which `docs/experiments.md` shows. `EXPERIMENTS=200` plays fewer.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench stops at the first surprise and prints what it measured"
)]

mod plot;
mod simulation;

use std::thread;

use simulation::{Looks, USERS_PER_LOOK, World, play, ratio_alarm};

const PLOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/experiments.svg");

/// Users of an experiment: with a hundred new ones a day, it is looked at for more than three months.
const LOOKS: u64 = 100;

/// Of the first experiment; the others follow.
const SEED: u64 = 20_261_129;

fn main() {
    let count = std::env::var("EXPERIMENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(2000_u64);
    println!("{count} experiments each, looked at after each {USERS_PER_LOOK} users, seeds from {SEED}\n");
    equal_arms(count);
    different_arms(count);
    ratios(count);
}

/// The results of all seeds, in their order.
fn all<T: Send>(count: u64, one: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let one = &one;
    let mut found: Vec<(u64, T)> = thread::scope(|scope| {
        let work = |first: u64| move || (first..count).step_by(threads).map(|n| (n, one(SEED + n))).collect();
        let workers: Vec<_> = (0..threads as u64).map(|first| scope.spawn(work(first))).collect();
        workers.into_iter().flat_map(|worker: thread::ScopedJoinHandle<'_, Vec<_>>| worker.join().unwrap()).collect()
    });
    found.sort_by_key(|(number, _)| *number);
    found.into_iter().map(|(_, result)| result).collect()
}

fn equal_arms(count: u64) {
    println!("| equal arms, {} users | found to differ, whenever you look | looking once |", LOOKS * USERS_PER_LOOK);
    println!("|---|---|---|");
    let mut plotted = None;
    for (name, world) in [
        ("10 % convert", World::Rates(0.1, 0.1)),
        ("1 % convert", World::Rates(0.01, 0.01)),
        ("50 % convert", World::Rates(0.5, 0.5)),
        ("revenue of one user in ten", World::Revenue),
    ] {
        let looks = all(count, |seed| play(world, LOOKS, seed));
        let share =
            |found: fn(&Looks) -> bool| 100.0 * looks.iter().filter(|look| found(look)).count() as f64 / count as f64;
        let (always, fixed) = (share(|looks| looks.always.is_some()), share(|looks| looks.fixed.is_some()));
        println!("| {name} | {always:.2} % | {fixed:.1} % |");
        assert!(always <= 5.0, "the interval that may be looked at always does not hold");
        plotted.get_or_insert(looks);
    }
    std::fs::write(PLOT, plot::svg(&plotted.unwrap(), USERS_PER_LOOK)).unwrap();
}

fn different_arms(count: u64) {
    println!("\n| difference | found after, median | 80 % | 90 % | not within 60,000 |\n|---|---|---|---|---|");
    for (name, rates) in [("10 % -> 12 %", (0.1, 0.12)), ("10 % -> 13 %", (0.1, 0.13)), ("5 % -> 6 %", (0.05, 0.06))] {
        let mut users = all(count, |seed| play(World::Rates(rates.0, rates.1), 600, seed).always);
        let missed = users.iter().filter(|found| found.is_none()).count();
        users.sort_by_key(|found| found.unwrap_or(u64::MAX));
        let at = |part: u64| {
            let found = users[usize::try_from(count * part / 100).unwrap().min(users.len() - 1)];
            found.map_or("-".to_owned(), |look| (look * USERS_PER_LOOK).to_string())
        };
        println!("| {name} | {} | {} | {} | {missed} |", at(50), at(80), at(90));
    }
}

fn ratios(count: u64) {
    println!("\n| users in treatment instead of 50 % | alarms within 200,000 users | median users |\n|---|---|---|");
    for share in [0.5, 0.49, 0.48, 0.45] {
        let mut found: Vec<u64> = all(count, |seed| ratio_alarm(share, 2000, seed)).into_iter().flatten().collect();
        found.sort_unstable();
        let median = found.get(found.len() / 2).map_or("-".to_owned(), |look| (look * USERS_PER_LOOK).to_string());
        println!("| {} % | {} of {count} | {median} |", 100.0 * share, found.len());
    }
}
