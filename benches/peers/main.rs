//! Pointsman beside the proxies that it competes with, on one machine, for anybody to repeat: `make bench-peers`
//! installs what is needed and prints tables in Markdown; `cargo bench --bench peers -- cpu idle` measures some parts
//! only.
//!
//! - `cpu`: CPU time of a request, requests a second and latency at saturation ([`cost`]).
//! - `latency`: what is added at half load, without coordinated omission ([`latency`]).
//! - `shift`: how long a change of weights takes and what it costs ([`shift`]).
//! - `idle`: memory of an idle connection ([`idle`]).
//!
//! The proxies do the same work ([`proxies`]), which is looked at before anything is measured ([`features`]). The proxy
//! under test has core 0 for itself; the origin ([`origin`]), the load ([`load`]) and this process share core 1. That
//! is what makes CPU time comparable on two cores: no figure has a part of the load's in it. Loopback has no network
//! card, so a proxy that saves interrupts gets no credit for it here, and none has to pay for them.
//!
//! | variable | usual | |
//! |---|---|---|
//! | `PEERS_ROUNDS` | 5 | turns of each proxy; figures are medians over them |
//! | `PEERS_SECONDS` | 4 | length of a turn |
//! | `PEERS_CASES` | all | of `4 64 512 large post tls h2` |
//! | `PEERS_PROXIES` | all | names, e.g. `pointsman,haproxy` |
//! | `IDLE_CONNECTIONS`, `IDLE_SECONDS` | 5000, 30 | |
//! | `POINTSMAN` | this build's | another binary of ours |
//!
//! All of it takes about half an hour, and a machine on which nothing else runs.

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
mod caddy;
mod certificate;
mod clients;
mod cost;
mod cpu;
mod envoy;
mod features;
#[path = "../support/figures.rs"]
mod figures;
mod h2load;
mod haproxy;
mod http;
mod idle;
mod latency;
mod load;
mod machine;
mod nginx;
#[path = "../support/open_loop.rs"]
mod open_loop;
mod origin;
mod pointsman;
mod proxies;
mod running;
mod settings;
mod shift;
#[path = "../support/table.rs"]
mod table;
mod wrk;

use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use cost::Costs;
use load::Generators;
use machine::{LOAD_CORE, Noise};
use origin::Origin;
use proxies::{PROXIES, Peer, Proxy, Purpose, version};
use settings::Settings;
use table::Table;

/// Most clients of the parts that have load.
const CONNECTIONS: usize = 4_096;

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("peers: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<(), String> {
    let settings = Settings::read()?;
    running::end_with_us()?;
    // As many descriptors as we may have, for us and the processes that we start.
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .map_err(|error| format!("open files: {error}"))?;
    machine::run_on(LOAD_CORE)?;
    let proxies = installed(&settings);
    let origin = Origin::start()?;
    let mut noise = Noise::new();
    if settings.wants("cpu") || settings.wants("latency") {
        loads(&settings, &proxies, &origin, &mut noise)?;
    }
    if settings.wants("shift") {
        shifts(&settings, &proxies, &origin, &mut noise)?;
    }
    if settings.wants("idle") {
        let mut table = idle::table(&settings);
        for proxy in &proxies {
            idle::measure(&settings, *proxy, &origin, &mut table)?;
        }
        println!("### Memory of an idle connection\n\nGrowth of the process, without the kernel's sockets.\n\n{table}");
    }
    noise.listen()?;
    println!("{}", noise.sentence());
    Ok(())
}

/// Says what is compared, and on what.
fn installed(settings: &Settings) -> Vec<&'static dyn Proxy> {
    let wanted = |proxy: &&dyn Proxy| settings.proxies.contains(&proxy.name());
    let mut table = Table::new(["proxy", "version", "how"]);
    let mut found = Vec::new();
    for proxy in PROXIES.into_iter().filter(wanted) {
        let version = version(&proxy.program(), proxy.version());
        found.extend(version.is_some().then_some(proxy));
        let version = version.unwrap_or_else(|| "not installed here".to_owned());
        table.row([proxy.name().to_owned(), version, proxy.means().to_owned()]);
    }
    println!("## Pointsman and its peers\n");
    println!("{}.", machine::description());
    println!(
        "Proxies on core 0 with one worker each; origin (nginx), load and this bench on core 1. {} rounds of {} s, medians. \
         Load by wrk {} and h2load {}.\n",
        settings.rounds,
        settings.turn.as_secs(),
        version("wrk", "-v").unwrap_or_else(|| "(missing)".to_owned()),
        version("h2load", "--version").unwrap_or_else(|| "(missing)".to_owned()),
    );
    println!("{table}");
    found
}

/// The parts for which all proxies run side by side.
fn loads(
    settings: &Settings,
    proxies: &[&'static dyn Proxy],
    origin: &Origin,
    noise: &mut Noise,
) -> Result<(), String> {
    let generators = Generators::new()?;
    let start = |proxy: &&'static dyn Proxy| Peer::start(*proxy, origin, Purpose::Load, CONNECTIONS);
    let peers = proxies.iter().map(start).collect::<Result<Vec<_>, _>>()?;
    peers.iter().try_for_each(features::check)?;
    if settings.wants("cpu") {
        Costs::measure(settings, &peers, &generators, noise)?.print();
    }
    if settings.wants("latency") {
        noise.listen()?;
        latency::measure(settings, &peers, origin, &generators)?;
    }
    peers.iter().try_for_each(|peer| peer.proxy.check(&peer.setup))
}

fn shifts(
    settings: &Settings,
    proxies: &[&'static dyn Proxy],
    origin: &Origin,
    noise: &mut Noise,
) -> Result<(), String> {
    let mut table = shift::table();
    for proxy in proxies.iter().filter(|proxy| proxy.sees_requests()) {
        noise.listen()?;
        let peer = Peer::start(*proxy, origin, Purpose::Shift, CONNECTIONS)?;
        features::check(&peer)?;
        shift::measure(settings, &peer, &mut table)?;
    }
    println!("### All traffic from v1 to v2 under 1,000 requests a second\n");
    println!(
        "In force: from the command to the last request that v1 still got (the median of {} changes, and the worst). CPU: what \
         the change took in two seconds on top of the load, and from where to where it was; below zero is noise.\n\n{table}",
        settings.rounds
    );
    Ok(())
}
