//! The table of worlds: how many of many rollouts of equal versions are turned back, and how soon bad ones are.
//!
//! `make judge-table` plays `RUNS` rollouts of each world on all cores, for `MINUTES` at the longest, and prints the
//! table; the suite plays some of each. Every rollout has a seed of its own, which is printed where it ended as it
//! should not: `WORLD=<number> FIRST=<number> RUNS=1` plays it again.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use super::sticky::{sticky, users};
use super::*;
use crate::rollout::simulate::RoughTime;

/// A line of the table.
struct TableWorld {
    what: String,
    world: SimulatedWorld,
    plan: Plan,
    /// How long a rollout is played.
    most: Duration,
    wanted: TableGoal,
}

/// What is wanted of a world.
#[derive(Clone, Copy)]
enum TableGoal {
    /// Nothing is turned back but by chance: at most this number in a thousand.
    Stays(usize),
    /// The bad version is turned back, half of the times within this time since it is bad.
    Found(Duration),
    /// The same with this number of its requests.
    FoundWithin(f64),
}

/// What became of the rollouts of a world, by their numbers.
#[derive(Default)]
struct Played {
    runs: Vec<PlayedRun>,
}

#[derive(Clone, Copy)]
struct PlayedRun {
    number: usize,
    run: SimulatedRun,
}

fn percent_text(percent: f64) -> String {
    format!("{percent} %")
}

/// Equal versions for ten minutes at a share.
fn stays(what: &str, percent: f64, judge: JudgeSettings, world: SimulatedWorld) -> TableWorld {
    let wanted = TableGoal::Stays(if world.bursts.is_some() { 2 } else { 1 });
    let what = format!("{what}, {}", percent_text(percent));
    TableWorld { what, world, plan: plan(&[percent, 100.0], 60 * MINUTE, judge), most: 10 * MINUTE, wanted }
}

/// Strangers: each request is a draw.
fn worlds_of_strangers() -> Vec<TableWorld> {
    let judge = JudgeSettings::default();
    let mut lines = Vec::new();
    for percent in [10.0, 50.0] {
        for failing in [0.001, 0.03] {
            let world = SimulatedWorld { baseline_failing: failing, ..world(failing, 1.0) };
            lines.push(stays(&format!("no bursts, {} fail", percent_text(failing * 100.0)), percent, judge, world));
        }
        let thin = SimulatedWorld { requests_per_second: 10.0, ..world(0.001, 1.0) };
        lines.push(stays("no bursts, 10 requests/s", percent, judge, thin));
        for kind in [BurstKind::Failures, BurstKind::Pause] {
            for (every, endpoints) in [(22, 1), (22, 8), (600, 1), (600, 8)] {
                let what = match kind {
                    BurstKind::Failures => "all fail",
                    BurstKind::Pause => "pauses",
                };
                let what = format!("{what} 0.3 to 1 s every {every} s, {endpoints} + {endpoints} endpoints");
                lines.push(stays(&what, percent, judge, troubled(every, endpoints, kind)));
            }
            let thin = SimulatedWorld { requests_per_second: 10.0, ..troubled(22, 1, kind) };
            lines.push(stays(&format!("the same {kind:?} every 22 s at 10 requests/s"), percent, judge, thin));
        }
    }
    lines
}

/// Users who come back: worn out by a rough time, few and very unequal, many.
fn worlds_of_users() -> Vec<TableWorld> {
    let rough = Some(RoughTime { until: 2 * MINUTE, failing: 0.2 });
    let (few, many) = (users(1_000, 1.2), users(200_000, 1.2));
    let stuck = Some(UserPopulation { count: 1_000, tail: 1.2, failures_stick: true });
    let lasting = [Duration::from_millis(300), SECOND];
    let bursts = |kind| Some(Bursts { every: Duration::from_secs(22), lasting, kind });
    let plain = SimulatedWorld { requests_per_second: 200.0, baseline_failing: 0.01, ..world(0.01, 1.0) };
    let worlds = [
        ("1,000 users", SimulatedWorld { users: few, ..plain }),
        ("200,000 users", SimulatedWorld { users: many, ..plain }),
        ("1,000 users, for some everything fails", SimulatedWorld { users: stuck, ..plain }),
        ("60 tenants after a rough time", SimulatedWorld { users: users(60, 3.0), rough, ..plain }),
        ("1,000 users after a rough time", SimulatedWorld { users: few, rough, ..plain }),
        (
            "1,000 users, all fail every 22 s",
            SimulatedWorld { users: few, bursts: bursts(BurstKind::Failures), ..plain },
        ),
        (
            "200,000 users, all fail every 22 s",
            SimulatedWorld { users: many, bursts: bursts(BurstKind::Failures), ..plain },
        ),
        ("1,000 users, pauses every 22 s", SimulatedWorld { users: few, bursts: bursts(BurstKind::Pause), ..plain }),
        ("200,000 users, pauses every 22 s", SimulatedWorld { users: many, bursts: bursts(BurstKind::Pause), ..plain }),
    ];
    let both = |(what, world)| [10.0, 50.0].map(|percent| stays(what, percent, sticky(), world));
    worlds.into_iter().flat_map(both).collect()
}

/// Half of the traffic for a minute, then all of it: judged by what the baseline did.
fn worlds_at_full_load() -> Vec<TableWorld> {
    let mut worlds: Vec<_> = [0.0, 0.001, 0.03]
        .map(|rate| SimulatedWorld { baseline_failing: rate, ..world(rate, 1.0) })
        .map(|world| (format!("{} fail", percent_text(world.baseline_failing * 100.0)), world))
        .into();
    for kind in [BurstKind::Failures, BurstKind::Pause] {
        worlds.extend([(22, 1), (22, 8), (600, 1)].map(|(every, endpoints)| {
            (format!("{kind:?} every {every} s, {endpoints} endpoints"), troubled(every, endpoints, kind))
        }));
    }
    let users = Some(UserPopulation { count: 2_000, tail: 1.2, failures_stick: true });
    let users = SimulatedWorld { requests_per_second: 200.0, baseline_failing: 0.01, users, ..world(0.01, 1.0) };
    worlds.push(("2,000 users, for some everything fails".to_owned(), users));
    let line = |(what, world): (String, SimulatedWorld)| TableWorld {
        what: format!("{what}, 50 %, then 100 %"),
        plan: plan(&[50.0, 100.0], MINUTE, if world.users.is_some() { sticky() } else { JudgeSettings::default() }),
        most: 10 * MINUTE,
        wanted: TableGoal::Stays(if world.bursts.is_some() { 2 } else { 1 }),
        world,
    };
    worlds.into_iter().map(line).collect()
}

/// Bad versions, and how soon they are to be found.
fn worlds_to_be_found() -> Vec<TableWorld> {
    let bad = |failing, slower| Behaviour { failing, slower, not_found: 0.03 };
    let from = |at, behaviour| Some(Later { at: Duration::from_secs(at), ramp: Duration::ZERO, behaviour });
    let late = SimulatedWorld { later: from(120, bad(0.2, 1.0)), ..world(0.001, 1.0) };
    let late_and_slow = SimulatedWorld { later: from(120, bad(0.001, 2.0)), ..world(0.001, 1.0) };
    let bursts = |every| troubled(every, 1, BurstKind::Failures).bursts;
    let thin = SimulatedWorld { requests_per_second: 10.0, ..world(1.0, 1.0) };
    let within = |seconds: f64| TableGoal::Found(Duration::from_secs_f64(seconds));
    let troubled = |every| SimulatedWorld { bursts: bursts(every), ..late };
    let worlds = [
        ("20 % fail at once", 10.0, world(0.2, 1.0), within(2.0)),
        ("20 % fail from 120 s on", 10.0, late, within(3.0)),
        ("20 % fail from 120 s on", 50.0, late, within(3.0)),
        ("20 % fail from 120 s on, 8 endpoints", 10.0, SimulatedWorld { endpoints: 8, ..late }, within(10.0)),
        ("20 % fail from 120 s on, both with bursts every 22 s", 10.0, troubled(22), within(30.0)),
        ("20 % fail from 120 s on, both with bursts every 10 min", 10.0, troubled(600), within(6.0)),
        ("2 % fail at once", 10.0, world(0.02, 1.0), within(7.0)),
        ("2 % fail at once", 1.0, world(0.02, 1.0), within(50.0)),
        ("everything fails at 10 requests/s", 10.0, thin, TableGoal::FoundWithin(6.0)),
        ("twice as slow at once", 10.0, world(0.001, 2.0), within(5.0)),
        ("twice as slow from 120 s on", 10.0, late_and_slow, within(5.0)),
    ];
    let lines = worlds.into_iter().flat_map(|(what, percent, world, wanted)| {
        let line = |tolerate_burst, how| TableWorld {
            what: format!("{what}, {}{how}", percent_text(percent)),
            plan: plan(&[percent, 100.0], 60 * MINUTE, JudgeSettings { tolerate_burst, ..JudgeSettings::default() }),
            most: 15 * MINUTE,
            world,
            wanted,
        };
        // Where bursts are not tolerated they are what is found.
        let each = world.bursts.is_none().then(|| line(Duration::ZERO, ", no burst tolerated"));
        [Some(line(SECOND, "")), each]
    });
    lines.flatten().collect()
}

/// Machines that are late by some milliseconds every second: good versions, and such that are slow besides.
fn worlds_with_hiccups() -> Vec<TableWorld> {
    let lasting = [20, 80].map(Duration::from_millis);
    let hiccups = Some(Bursts { every: SECOND, lasting, kind: BurstKind::Pause });
    let both = |slower| SimulatedWorld { bursts: hiccups, ..world(0.001, slower) };
    let what = "both late by 20 to 80 ms every second";
    let good = [10.0, 50.0].map(|percent| stays(what, percent, JudgeSettings::default(), both(1.0)));
    let slow = TableWorld {
        what: format!("twice as slow at once, {what}, {}", percent_text(10.0)),
        plan: plan(&[10.0, 100.0], 60 * MINUTE, JudgeSettings::default()),
        most: 15 * MINUTE,
        world: both(2.0),
        wanted: TableGoal::Found(Duration::from_secs(5)),
    };
    good.into_iter().chain([slow]).collect()
}

impl TableWorld {
    fn play(&self, world: usize, number: usize) -> SimulatedRun {
        simulate(&self.plan, &self.world, self.most, &mut StdRng::seed_from_u64(seed(world, number)))
    }

    fn line(&self, played: &Played) -> String {
        let all = played.runs.len();
        let back = played.turned_back().count();
        let mut line = format!("{:<70} {back:>5} of {all:<5}", self.what);
        match self.wanted {
            TableGoal::Stays(_) => {
                let _ = write!(line, " at most {:.2} %", upper_bound(back, all) * 100.0);
            }
            TableGoal::Found(_) | TableGoal::FoundWithin(_) => {
                let [took, took_p90] = played.quantiles(|run| self.since_bad(run).as_secs_f64());
                let [asked, asked_p90] = played.quantiles(|run| run.candidate_requests as f64);
                let _ = write!(line, " {took:>6.2} s {took_p90:>6.2} s");
                if self.world.later.is_none() {
                    let _ = write!(line, " {asked:>6} {asked_p90:>6} requests");
                }
            }
        }
        line
    }

    fn since_bad(&self, run: &SimulatedRun) -> Duration {
        run.took.saturating_sub(self.world.worse_since())
    }

    /// What is not as it should be.
    fn complaint(&self, number: usize, played: &Played) -> Option<String> {
        let all = played.runs.len();
        let back = played.turned_back().count();
        // Of a few the one in the middle is one by chance.
        let leeway = if all < 20 { 4.0 } else { 1.0 };
        let is_fine = match self.wanted {
            TableGoal::Stays(of_thousand) => back * 1000 <= of_thousand * all.max(1_000),
            TableGoal::Found(within) => {
                let took = played.quantiles(|run| self.since_bad(run).as_secs_f64())[0];
                back == all && took <= within.as_secs_f64() * leeway
            }
            TableGoal::FoundWithin(requests) => {
                back == all && played.quantiles(|run| run.candidate_requests as f64)[0] <= requests * leeway
            }
        };
        let which = || played.turned_back().map(|one| one.number.to_string()).take(9).collect::<Vec<_>>().join(", ");
        (!is_fine).then(|| format!("world {number}: {}; turned back: {}", self.line(played), which()))
    }
}

impl Played {
    fn turned_back(&self) -> impl Iterator<Item = &PlayedRun> {
        let back = |run: &SimulatedRun| matches!(run.outcome, SimulatedEnd::Ended(RolloutEnding::RolledBack(_)));
        self.runs.iter().filter(move |one| back(&one.run))
    }

    /// The median and the ninetieth percentile of those that were turned back.
    fn quantiles(&self, of: impl Fn(&SimulatedRun) -> f64) -> [f64; 2] {
        let mut found: Vec<_> = self.turned_back().map(|one| of(&one.run)).collect();
        found.sort_by(f64::total_cmp);
        [found.len() / 2, found.len() * 9 / 10].map(|at| found.get(at).copied().unwrap_or(f64::NAN))
    }
}

fn seed(world: usize, number: usize) -> u64 {
    SEED * 1_000_000 + (world * 10_000 + number) as u64
}

/// The largest probability that is compatible with `some` of `all`, with 95 %: Clopper and Pearson's.
fn upper_bound(some: usize, all: usize) -> f64 {
    let at_most = |p: f64| {
        let (mut term, mut sum) = ((1.0 - p).powf(all as f64), 0.0);
        for number in 0..=some {
            sum += term;
            term *= (all - number) as f64 / (number + 1) as f64 * p / (1.0 - p);
        }
        sum
    };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..50 {
        let middle = (low + high) / 2.0;
        if at_most(middle) > 0.05 { low = middle } else { high = middle }
    }
    high
}

fn number_from(variable: &str) -> Option<usize> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// Plays `runs` rollouts of each world on all cores: all worlds once, then all once more, until the time is over.
fn play(worlds: &[TableWorld], runs: usize) -> Vec<Played> {
    let most = number_from("MINUTES").map_or(Duration::MAX, |minutes| Duration::from_secs(60 * minutes as u64));
    let (only, first) = (number_from("WORLD"), number_from("FIRST").unwrap_or(0));
    let played: Vec<_> = worlds.iter().map(|_| Mutex::new(Played::default())).collect();
    let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        while !is_over.load(Ordering::Relaxed) {
            let job = next.fetch_add(1, Ordering::Relaxed);
            let (number, world) = (first + job / worlds.len(), job % worlds.len());
            if number >= first + runs {
                return;
            }
            if only.is_none_or(|only| only == world) {
                let run = worlds[world].play(world, number);
                played[world].lock().unwrap().runs.push(PlayedRun { number, run });
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (works, idle) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        for _ in 0..cores {
            let works = works.clone();
            scope.spawn(|| {
                work();
                drop(works);
            });
        }
        drop(works);
        // Until all have ended, or the time is over.
        if most < Duration::MAX && idle.recv_timeout(most) == Err(mpsc::RecvTimeoutError::Timeout) {
            is_over.store(true, Ordering::Relaxed);
        }
    });
    played.into_iter().map(|played| played.into_inner().unwrap()).collect()
}

#[test]
fn equal_versions_stay_and_bad_ones_are_found() {
    let worlds = [worlds_of_strangers(), worlds_of_users(), worlds_at_full_load(), worlds_to_be_found()];
    let worlds: Vec<_> = worlds.into_iter().flatten().chain(worlds_with_hiccups()).collect();
    let played = play(&worlds, number_from("RUNS").unwrap_or(1));
    told(&format!("{:>3} {:<70} turned back; median, 90th percentile; seed {SEED}", "", "world, v2's share"));
    let lines = worlds.iter().zip(&played).enumerate().filter(|(_, (_, played))| !played.runs.is_empty());
    lines.for_each(|(number, (world, played))| told(&format!("{number:>3} {}", world.line(played))));
    let complaints: Vec<_> = worlds
        .iter()
        .zip(&played)
        .enumerate()
        .filter(|(_, (_, played))| !played.runs.is_empty())
        .filter_map(|(number, (world, played))| world.complaint(number, played))
        .collect();
    assert!(complaints.is_empty(), "seed {SEED}:\n{}", complaints.join("\n"));
}

#[test]
fn an_upper_bound_is_three_of_all_where_none_was_found() {
    assert!((upper_bound(0, 1_000) - 0.002_991).abs() < 1e-5, "{}", upper_bound(0, 1_000));
    assert!((upper_bound(2, 1_000) - 0.006_28).abs() < 1e-4, "{}", upper_bound(2, 1_000));
}
