//! CPU time of a request, requests a second and latency, as fast as the proxies can.
//!
//! CPU time of a request is the figure that pays for machines, and the steadiest one: it does not depend on what the
//! load and the origin do on their core. All proxies run all the time and have their turns one after the other, so that
//! a noisy minute meets all of them; the order moves on by one each round. Ratios are taken within a round, and then
//! their median.

use std::collections::HashMap;
use std::time::Duration;

use super::cpu::Meter;
use super::figures::{median, percent, short, spread};
use super::load::{Case, Generators, MAIN};
use super::machine::Noise;
use super::proxies::Peer;
use super::settings::Settings;
use super::table::Table;

/// How long each proxy is warmed up before the first round, for each case.
const WARM_UP: Duration = Duration::from_secs(1);

/// What our cost, as a multiple of theirs, is to be at most, in the case that targets are about.
const TARGETS: [(&str, f64); 4] = [("HAProxy", 1.0), ("nginx", 0.9), ("Envoy", 0.4), ("layer-4", 1.2)];

/// One turn.
#[derive(Clone, Debug)]
struct Turn {
    /// Microseconds of CPU for a request.
    cost: f64,
    system_part: f64,
    rate: f64,
    /// How much of its core the proxy used.
    busy: f64,
    p50: f64,
    p99: f64,
}

/// What all turns came to.
pub(crate) struct Costs<'a> {
    peers: &'a [Peer],
    cases: &'a [&'static Case],
    /// By case and number of the peer.
    turns: HashMap<(&'static str, usize), Vec<Turn>>,
}

impl<'a> Costs<'a> {
    /// Measures all of it.
    ///
    /// # Errors
    /// A request failed.
    pub(crate) fn measure(
        settings: &'a Settings,
        peers: &'a [Peer],
        generators: &Generators,
        noise: &mut Noise,
    ) -> Result<Self, String> {
        let mut costs = Self { peers, cases: &settings.cases, turns: HashMap::new() };
        let pairs = |case: &'static Case| (0..peers.len()).filter(|peer| case.suits(&peers[*peer]));
        for case in &settings.cases {
            for peer in pairs(case) {
                generators.run(case, &peers[peer], WARM_UP)?;
            }
        }
        for round in 0..settings.rounds {
            noise.listen()?;
            for case in &settings.cases {
                let mut order: Vec<usize> = pairs(case).collect();
                let first = round % order.len().max(1);
                order.rotate_left(first);
                for number in order {
                    let turn = turn(case, &peers[number], generators, settings.turn)?;
                    let (name, of) = (peers[number].proxy.name(), settings.rounds);
                    eprintln!("round {} of {of}, {}: {name} {} µs", round + 1, case.title, short(turn.cost));
                    costs.turns.entry((case.name, number)).or_default().push(turn);
                }
            }
        }
        Ok(costs)
    }

    /// All tables.
    pub(crate) fn print(&self) {
        println!("### CPU time of a request\n");
        println!("Microseconds (user + system) on the proxy's core, as the kernel counts them.\n");
        println!(
            "{}",
            self.table(|turns| {
                let (cost, system) = (over(turns, |turn| turn.cost), over(turns, |turn| turn.cost * turn.system_part));
                format!("**{}** ({} + {})", short(cost), short(cost - system), short(system))
            })
        );
        println!("Spread of these figures over the rounds, (largest - smallest) / median:\n");
        println!("{}", self.table(|turns| percent(spread(&turns.iter().map(|turn| turn.cost).collect::<Vec<_>>()))));
        println!("### CPU time of Pointsman's request as a multiple of theirs\n");
        println!("Below 1 Pointsman is cheaper. Median of the ratios of each round, and their spread.\n");
        println!("{}", self.ratios());
        self.print_targets();
        println!("### Requests a second\n");
        println!(
            "In thousands, and how much of its core the proxy used: below 100 % the load and the origin, which share the other \
             core, were the limit, not the proxy.\n"
        );
        println!(
            "{}",
            self.table(|turns| {
                let rate = over(turns, |turn| turn.rate) / 1_000.0;
                format!("{} ({})", short(rate), percent(over(turns, |turn| turn.busy)))
            })
        );
        println!("### Latency with all connections always asking, p50 / p99 in ms\n");
        println!(
            "{}",
            self.table(|turns| {
                format!("{} / {}", short(over(turns, |turn| turn.p50)), short(over(turns, |turn| turn.p99)))
            })
        );
    }

    /// A row for each case, a column for each proxy.
    fn table(&self, cell: impl Fn(&[Turn]) -> String) -> Table {
        let mut table = Table::new(["case"].into_iter().chain(self.peers.iter().map(|peer| peer.proxy.name())));
        for case in self.cases {
            let cells = (0..self.peers.len()).map(|peer| self.turns(case, peer).map_or_else(String::new, &cell));
            table.row([case.title.to_owned()].into_iter().chain(cells));
        }
        table
    }

    fn ratios(&self) -> Table {
        let others = self.others();
        let names = others.iter().map(|number| self.peers[*number].proxy.name());
        let mut table = Table::new(["case"].into_iter().chain(names));
        for case in self.cases {
            let cells = others.iter().map(|other| {
                let ratios = self.ratio(case, *other);
                if ratios.is_empty() {
                    String::new()
                } else {
                    format!("{:.2} ({})", median(&ratios), percent(spread(&ratios)))
                }
            });
            table.row([case.title.to_owned()].into_iter().chain(cells));
        }
        table
    }

    fn print_targets(&self) {
        let mut table = Table::new(["beside", "target, at most", "measured", "verdict"]);
        for other in self.others() {
            let name = self.peers[other].proxy.name();
            let Some((_, target)) = TARGETS.iter().find(|(of, _)| *of == name) else { continue };
            let ratio = median(&self.ratio(&MAIN, other));
            let verdict = if ratio <= *target { "met" } else { "missed" };
            if ratio.is_finite() {
                table.row([name.to_owned(), format!("{target:.2}"), format!("{ratio:.2}"), verdict.to_owned()]);
            }
        }
        if !table.is_empty() {
            println!("Targets, for {}:\n\n{table}", MAIN.title);
        }
    }

    fn turns(&self, case: &Case, peer: usize) -> Option<&[Turn]> {
        self.turns.get(&(case.name, peer)).map(Vec::as_slice)
    }

    /// Our cost in each round as a multiple of another's.
    fn ratio(&self, case: &Case, other: usize) -> Vec<f64> {
        let ours = self.peers.iter().position(|peer| peer.proxy.name() == "Pointsman");
        let (Some(ours), Some(theirs)) = (ours.and_then(|ours| self.turns(case, ours)), self.turns(case, other)) else {
            return Vec::new();
        };
        ours.iter().zip(theirs).map(|(ours, theirs)| ours.cost / theirs.cost).collect()
    }

    fn others(&self) -> Vec<usize> {
        (0..self.peers.len()).filter(|number| self.peers[*number].proxy.name() != "Pointsman").collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of requests")]
fn turn(case: &Case, peer: &Peer, generators: &Generators, time: Duration) -> Result<Turn, String> {
    let mut meter = Meter::new(peer.running.id());
    let before = meter.read();
    let answered = generators.run(case, peer, time)?;
    let used = before.until(meter.read());
    let requests = answered.requests as f64;
    Ok(Turn {
        cost: used.total / requests,
        system_part: used.system_part,
        rate: answered.rate,
        // The generator's own time: it takes a moment to start.
        busy: used.total / 1_000_000.0 * answered.rate / requests,
        p50: answered.p50,
        p99: answered.p99,
    })
}

fn over(turns: &[Turn], figure: impl Fn(&Turn) -> f64) -> f64 {
    median(&turns.iter().map(figure).collect::<Vec<_>>())
}
