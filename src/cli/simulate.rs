//! `pointsman simulate`: what a plan will do, before it is used.
//!
//! The answer comes from [`crate::rollout::simulate`], which runs the proxy's own state machine and judge. Here are
//! the arguments, the threads, and the table. Each release has a seed of its own, so the result does not depend on
//! the number of threads.

mod progress;
mod release;
mod report;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::Instant;

use self::progress::SimulationProgress;
use super::{CommandError, Remote, text};
use crate::cli::bad_argument::BadArgument;
use crate::rollout::forecast;
use crate::rollout::forecast::SeenTraffic;
use crate::rollout::plan::Plan;
use crate::rollout::simulate::{
    Behaviour, BurstKind, Bursts, Later, RoughTime, SimulatedRun, SimulatedWorld, UserPopulation, simulate,
};
use crate::rollout::stage::Stage;
use crate::table::Weight;

/// The longest release that is simulated, beyond its own bakes and holds.
const SLACK: Duration = Duration::from_secs(3_600);

/// How unequal users are: one in a hundred makes about half of the requests.
const TAIL: f64 = 1.2;

/// Say what a release will do: how it ends, how soon it turns back, what it costs
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  pointsman simulate --candidate-errors 2%
  pointsman simulate --steps 1,5,25,100 --bake 5m --rate 50 --slower 1.5
  pointsman simulate --config pointsman.toml --service shop --rate 50 --candidate-errors 2%
  pointsman simulate --candidate-errors 5% --bad-at 15m --ramp 10m
  pointsman simulate --rate 1000 --candidate-capacity 600
  pointsman simulate --config pointsman.toml --group checkout --candidate-errors 2%")]
pub struct SimulateArgs {
    /// Take the plan and the judge's settings from this config; flags that are given come first
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The service whose release it is; needed if the config has several
    #[arg(long, requires = "config", value_name = "NAME")]
    service: Option<String>,
    /// The group whose release it is
    #[arg(long, requires = "config", conflicts_with = "service", value_name = "NAME")]
    group: Option<String>,
    /// The canary's steps, per cent [default: the config's, or 1,10,50,100]
    #[arg(long, value_delimiter = ',', value_parser = weight)]
    steps: Option<Vec<Weight>>,
    /// How long each step is watched at the least, if the config says nothing of it alone [default: the config's, or
    /// 10m]
    #[arg(long, value_parser = time)]
    bake: Option<Duration>,
    /// Requests per second of the service
    #[arg(long, default_value_t = 1000.0, value_parser = positive)]
    rate: f64,
    /// The part of the baseline's requests that fail
    #[arg(long, default_value = "0.1%", value_parser = ratio)]
    baseline_errors: f64,
    /// The part of the candidate's requests that fail; without it, as the baseline's
    #[arg(long, value_parser = ratio)]
    candidate_errors: Option<f64>,
    /// Requests per second that the candidate can serve; of more, the surplus fails
    #[arg(long, value_name = "RATE", value_parser = positive)]
    candidate_capacity: Option<f64>,
    /// The part of the baseline's responses that are a 404
    #[arg(long, default_value = "0%", value_parser = ratio)]
    baseline_not_found: f64,
    /// The part of the candidate's responses that are a 404; without it, as the baseline's
    #[arg(long, value_parser = ratio)]
    candidate_not_found: Option<f64>,
    /// How many times as slow as the baseline the candidate is
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    slower: f64,
    /// Only one page is so, with this part of the requests: it is judged by itself too
    #[arg(long, value_name = "PART", value_parser = ratio, conflicts_with_all = ["users", "bursts"])]
    page: Option<f64>,
    /// When the candidate becomes so; it is as good as the baseline before
    #[arg(long, value_parser = time)]
    bad_at: Option<Duration>,
    /// How long it takes to become so from then on: a leak
    #[arg(long, value_parser = time, requires = "bad_at")]
    ramp: Option<Duration>,
    /// Services that are released together, each at this rate; the candidate is bad in the first [default: those of
    /// --group, or 1]
    #[arg(long, conflicts_with = "service", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    services: Option<u32>,
    /// Both versions fail alike for so long at the beginning: their database is down
    #[arg(long, value_name = "TIME", value_parser = time)]
    rough: Option<Duration>,
    /// The part of all requests that fail meanwhile
    #[arg(long, requires = "rough", default_value = "20%", value_parser = ratio)]
    rough_errors: f64,
    /// Users who come back and stay on their version, some much more active than others; without it, strangers
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    users: Option<u32>,
    /// Endpoints of each version
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    endpoints: u32,
    /// Each endpoint of both versions has a burst of trouble about so often
    #[arg(long, value_name = "EVERY", value_parser = span)]
    bursts: Option<Duration>,
    /// How long a burst lasts at the most; a third of it at the least
    #[arg(long, requires = "bursts", default_value = "1s", value_parser = span)]
    burst_lasts: Duration,
    /// Endpoints stand still in bursts; without it, all requests fail in them
    #[arg(long, requires = "bursts")]
    burst_pauses: bool,
    /// The longest burst of an endpoint that is one draw, up to 1m; 0s counts each request for itself [default: the
    /// config's, or 1s]
    #[arg(long, value_parser = time)]
    tolerate_burst: Option<Duration>,
    /// Failures belong to users: for some everything fails, for the others nothing
    #[arg(long, requires = "users")]
    failures_stick: bool,
    /// The probability that a good version is turned back [default: the config's, or 0.001]
    #[arg(long, value_parser = ratio)]
    alpha: Option<f64>,
    /// What happens when a step was held for as long as it may be [default: the config's, or pause]
    #[arg(long, value_enum, alias = "on-expired")]
    on_hold: Option<OnHold>,
    /// How many releases are simulated
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    runs: u64,
    /// Repeats a result
    #[arg(long)]
    seed: Option<u64>,
}

/// As the config says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum OnHold {
    Pause,
    #[value(name = "roll_back", alias = "roll-back")]
    RollBack,
}

fn weight(text: &str) -> Result<Weight, BadArgument> {
    let percent = text.trim().trim_end_matches('%').parse().ok();
    percent.and_then(Weight::from_percent).ok_or(BadArgument("per cent from 0 to 100, three decimals at most"))
}

fn time(text: &str) -> Result<Duration, BadArgument> {
    crate::config::duration(text).ok_or(BadArgument("a time such as 250ms, 30s or 10m"))
}

/// What happens every 0s, happens all the time, and what lasts for 0s never does.
fn span(text: &str) -> Result<Duration, BadArgument> {
    let time = crate::config::duration(text).filter(|time| !time.is_zero());
    time.ok_or(BadArgument("a time above 0, such as 250ms, 30s or 10m"))
}

fn positive(text: &str) -> Result<f64, BadArgument> {
    text.parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite()).ok_or(BadArgument("a number above 0"))
}

fn ratio(text: &str) -> Result<f64, BadArgument> {
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse().map(|percent: f64| percent / 100.0),
        None => text.parse(),
    };
    number.ok().filter(|ratio| (0.0..=1.0).contains(ratio)).ok_or(BadArgument("a part such as 0.02 or 2%"))
}

impl SimulateArgs {
    fn world(&self, services: u32) -> SimulatedWorld {
        let good = Behaviour { failing: self.baseline_errors, slower: 1.0, not_found: self.baseline_not_found };
        let bad = Behaviour {
            failing: self.candidate_errors.unwrap_or(self.baseline_errors),
            slower: self.slower,
            not_found: self.candidate_not_found.unwrap_or(self.baseline_not_found),
        };
        let later = self.bad_at.map(|at| Later { at, ramp: self.ramp.unwrap_or_default(), behaviour: bad });
        SimulatedWorld {
            requests_per_second: self.rate,
            baseline_failing: self.baseline_errors,
            baseline_not_found: self.baseline_not_found,
            candidate: if later.is_some() { good } else { bad },
            later,
            page: self.page,
            capacity: self.candidate_capacity,
            rough: self.rough.map(|until| RoughTime { until, failing: self.rough_errors }),
            spread: 0.5,
            services: self.services.unwrap_or(services),
            endpoints: self.endpoints,
            bursts: self.bursts.map(|every| Bursts {
                every,
                lasting: [self.burst_lasts / 3, self.burst_lasts],
                kind: if self.burst_pauses { BurstKind::Pause } else { BurstKind::Failures },
            }),
            users: self.users.map(|count| UserPopulation { count, tail: TAIL, failures_stick: self.failures_stick }),
        }
    }
}

/// Simulates.
///
/// # Errors
/// [`CommandError::Usage`] when the plan makes no sense.
pub fn run(remote: &Remote, args: &SimulateArgs) -> Result<(), CommandError> {
    let release::SimulatedRelease { plan, services, metrics } = release::of(args)?;
    let world = args.world(services);
    let seed = args.seed.unwrap_or_else(rand::random);
    let most = longest(&plan, &world);
    let began = Instant::now();
    let progress = SimulationProgress::default();
    let batch = ReleaseBatch { plan: &plan, world: &world, most, count: args.runs, seed, progress: &progress };
    // What tolerance costs, by the same releases without it.
    let without = plan.without_tolerance().filter(|_| !world.is_healthy());
    let all = args.runs * if without.is_some() { 2 } else { 1 };
    let (runs, intolerant) = progress.told(all, || {
        let intolerant = || without.as_ref().map(|plan| ReleaseBatch { plan, ..batch }.run());
        (batch.run(), intolerant())
    });
    let passed = began.elapsed();
    let intolerant = intolerant.as_deref();
    let facts = report::Facts { plan: &plan, world: &world, runs: &runs, intolerant, metrics, seed, passed };
    text::print(&if remote.json { format!("{:#}\n", facts.to_json()) } else { facts.to_text() });
    Ok(())
}

/// The time in which a release with this plan has ended or waits for an operator. With little traffic it takes several
/// times as long as the forecast, now and then.
fn longest(plan: &Plan, world: &SimulatedWorld) -> Duration {
    let seen = SeenTraffic { requests_per_second: world.requests_per_second, failing: world.baseline_failing };
    let expected = forecast::takes(plan, seen).map_or(Duration::ZERO, |takes| takes.saturating_mul(3));
    let times = plan.stages().into_iter().map(|stage| match stage {
        Stage::Bake { bake, .. } => bake + plan.judge().hold_max,
        Stage::Keep(time) => time,
        Stage::Do(_) => Duration::ZERO,
    });
    times.fold(SLACK, Duration::saturating_add).max(expected)
}

/// Releases with one plan in one world, each with a seed of its own.
#[derive(Clone, Copy)]
struct ReleaseBatch<'a> {
    plan: &'a Plan,
    world: &'a SimulatedWorld,
    /// The longest that a release may take.
    most: Duration,
    /// How many releases.
    count: u64,
    /// The seed of the first; those of the others follow.
    seed: u64,
    /// Told of each that is done.
    progress: &'a SimulationProgress,
}

impl ReleaseBatch<'_> {
    /// All runs, in the order of their seeds.
    fn run(&self) -> Vec<SimulatedRun> {
        let next = AtomicU64::new(0);
        let work = || {
            let mut done = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= self.count {
                    return done;
                }
                let mut random = StdRng::seed_from_u64(self.seed.wrapping_add(number));
                done.push((number, simulate(self.plan, self.world, self.most, &mut random)));
                self.progress.add();
            }
        };
        let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut runs: Vec<_> = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            // A thread that is gone has panicked, which is a bug that its message has told.
            workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
        });
        runs.sort_unstable_by_key(|(number, _)| *number);
        runs.into_iter().map(|(_, run)| run).collect()
    }
}
