//! A change of weights under load: when it is in force, and what it costs.
//!
//! All traffic goes from v1 to v2 while a light load runs, by the way that the proxy's operators have. In force it is
//! when the last request was due that v1 answered, counted from when the command was given. It costs what the proxy,
//! with all processes that it starts for the change, used in the two seconds from the command on, less what the
//! same load took in two seconds before and later, the mean of both: by then it goes to the other version only.

use std::thread;
use std::time::{Duration, Instant};

use super::cpu::Meter;
use super::figures::{median, range, short};
use super::load::small_requests;
use super::open_loop::{Outcome, Plan, run};
use super::proxies::{Peer, SPLIT};
use super::settings::Settings;
use super::table::Table;

/// Requests a second: one in a millisecond.
const RATE: f64 = 1_000.0;

/// The load runs alone at first,
const WARM_UP: Duration = Duration::from_millis(500);

/// and is watched for so long before the command, from then on, and afterwards.
const WINDOW: Duration = Duration::from_secs(2);

/// How often CPU time is looked at: what a process used after the last look at it is lost with it.
const LOOK: Duration = Duration::from_millis(20);

/// One change. Times are in milliseconds.
#[derive(Debug)]
struct Change {
    /// From the command to its answer.
    answered: f64,
    /// From the command to the last request that v1 answered.
    in_force: f64,
    /// CPU.
    cost: f64,
    outcome: Outcome,
}

/// The table, of which each proxy is a row.
pub(crate) fn table() -> Table {
    let head =
        ["proxy", "in force", "at worst", "command answered", "CPU, ms", "requests failed", "idle connections closed"];
    Table::new(head)
}

/// Measures a proxy and adds its row.
///
/// # Errors
/// The proxy cannot be changed, or is not there.
pub(crate) fn measure(settings: &Settings, peer: &Peer, table: &mut Table) -> Result<(), String> {
    let mut changes = Vec::new();
    for round in 0..settings.rounds {
        let change = change(peer, round as u64).map_err(|problem| format!("{}: {problem}", peer.proxy.name()))?;
        eprintln!(
            "shift {} of {}: {}, in force after {} ms, {} failed",
            round + 1,
            settings.rounds,
            peer.proxy.name(),
            short(change.in_force),
            change.outcome.failed
        );
        changes.push(change);
        peer.proxy.shift(&peer.setup, &peer.running, SPLIT)?;
        thread::sleep(Duration::from_secs(1));
    }
    let all = |figure: fn(&Change) -> f64| changes.iter().map(figure).collect::<Vec<_>>();
    let sum = |figure: fn(&Outcome) -> usize| changes.iter().map(|change| figure(&change.outcome)).sum::<usize>();
    let in_force = all(|change| change.in_force);
    let requests = sum(|outcome| outcome.late.len());
    table.row([
        peer.proxy.name().to_owned(),
        shown(median(&in_force)),
        shown(in_force.iter().copied().fold(0.0, f64::max)),
        format!("{} ms", short(median(&all(|change| change.answered)))),
        range(&all(|change| change.cost)),
        format!("{} of {requests}", sum(|outcome| outcome.failed + outcome.unanswered)),
        sum(|outcome| outcome.closed).to_string(),
    ]);
    Ok(())
}

/// With the resolution that the rate gives.
fn shown(milliseconds: f64) -> String {
    match milliseconds {
        _ if milliseconds < 1.0 => "< 1 ms".to_owned(),
        _ if milliseconds > WINDOW.as_secs_f64() * 990.0 => format!("> {} s", WINDOW.as_secs()),
        _ => format!("{} ms", short(milliseconds)),
    }
}

fn change(peer: &Peer, seed: u64) -> Result<Change, String> {
    let start = Instant::now();
    let plan = Plan { rate: RATE, time: WARM_UP + WINDOW * 3, seed };
    let address = peer.setup.plain;
    let load = thread::spawn(move || run(small_requests(address), plan, start));
    let mut meter = Meter::new(peer.running.id());
    let mut used_until = |until: Duration| {
        let before = meter.read();
        while start.elapsed() < until {
            thread::sleep(LOOK);
            meter.read();
        }
        before.until(meter.read()).total / 1_000.0
    };
    used_until(WARM_UP);
    let before = used_until(WARM_UP + WINDOW);
    let given = start.elapsed();
    let (answered, during) = thread::scope(|scope| {
        let command = scope.spawn(|| {
            peer.proxy.shift(&peer.setup, &peer.running, [0, 100])?;
            Ok::<_, String>((start.elapsed() - given).as_secs_f64() * 1_000.0)
        });
        let during = used_until(given + WINDOW);
        (command.join().unwrap(), during)
    });
    let after = used_until(given + WINDOW * 2);
    let outcome = load.join().unwrap()?;
    let last = outcome.replies.iter().filter(|reply| reply.first_version).map(|reply| reply.due).fold(0.0, f64::max);
    let given = given.as_secs_f64();
    // Silence is no proof of a change.
    let changed = outcome.replies.iter().any(|reply| !reply.first_version && reply.due > given);
    let in_force = if changed { ((last - given) * 1_000.0).max(0.0) } else { f64::INFINITY };
    Ok(Change { answered: answered?, in_force, cost: during - f64::midpoint(before, after), outcome })
}
