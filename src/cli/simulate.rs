//! `pointsman simulate`: what a plan will do, before it is used.
//!
//! The answer comes from [`crate::simulation`], which the API asks too. Here are the arguments, and the table.

mod progress;
mod release;
mod tables;

use std::num::NonZero;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::time::Instant;

use super::{CommandError, Remote, text};
use crate::cli::bad_argument::BadArgument;
use crate::rollout::plan::Expired;
use crate::simulation::release_batch::{BatchWatch, ReleaseBatch};
use crate::simulation::simulation_options::{PlanOptions, WorldOptions};
use crate::simulation::simulation_report::SimulationFacts;
use crate::table::Weight;

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
    /// The flag whose release it is
    #[arg(long, requires = "config", conflicts_with_all = ["service", "group"], value_name = "NAME")]
    flag: Option<String>,
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
    /// How much latencies differ from each other, as the sigma of their logarithm: at 0.5 the 99th percentile is 3.2
    /// times the median
    #[arg(long, default_value_t = 0.5, value_parser = positive)]
    spread: f64,
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
    /// --group or --flag, or 1]
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
    /// Endpoints of each version [default: those of the config, or 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    endpoints: Option<u32>,
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
    fn plan(&self) -> PlanOptions {
        PlanOptions {
            steps: self.steps.clone(),
            bake: self.bake,
            on_hold: self.on_hold.map(|on_hold| match on_hold {
                OnHold::Pause => Expired::Pause,
                OnHold::RollBack => Expired::RollBack,
            }),
            alpha: self.alpha,
            tolerate_burst: self.tolerate_burst,
        }
    }

    fn world(&self) -> WorldOptions {
        WorldOptions {
            rate: Some(self.rate),
            baseline_errors: Some(self.baseline_errors),
            candidate_errors: self.candidate_errors,
            candidate_capacity: self.candidate_capacity,
            baseline_not_found: Some(self.baseline_not_found),
            candidate_not_found: self.candidate_not_found,
            slower: Some(self.slower),
            spread: Some(self.spread),
            page: self.page,
            bad_at: self.bad_at,
            ramp: self.ramp,
            services: self.services,
            rough: self.rough,
            rough_errors: Some(self.rough_errors),
            users: self.users,
            endpoints: self.endpoints,
            bursts: self.bursts,
            burst_lasts: Some(self.burst_lasts),
            burst_pauses: self.burst_pauses,
            failures_stick: self.failures_stick,
        }
    }
}

/// Simulates.
///
/// # Errors
/// [`CommandError::Usage`] when the plan makes no sense.
pub fn run(remote: &Remote, args: &SimulateArgs) -> Result<(), CommandError> {
    let release::SimulatedRelease { plan, present, metrics, sticky } = release::of(args)?;
    let seed = args.seed.unwrap_or_else(rand::random);
    let batch = ReleaseBatch::new(plan, args.world().world(&present), args.runs, seed);
    let (begun, watch) = (Instant::now(), BatchWatch::default());
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let runs = progress::told(&watch, batch.all(), || batch.play(threads, &watch));
    let passed = begun.elapsed();
    let report = SimulationFacts { batch: &batch, runs: &runs, metrics, sticky }.report();
    text::print(&match remote.json {
        true => format!("{:#}\n", serde_json::to_value(&report).unwrap_or_default()),
        false => tables::of(&report, passed),
    });
    Ok(())
}
