//! `pointsman chaos`: faults on purpose, small, judged, and with an end.

mod chaos_show;
mod definition;
mod follow;
mod report;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value};

use self::chaos_show as show;
use super::client::Call;
use super::text::{list, member};
use super::{CommandError, Remote};

/// Inject a fault for a part of a service's users, beside as many who get none, and see whether they are worse off
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  pointsman chaos start slow-payments --dry-run
  pointsman chaos start slow-payments --follow
  pointsman chaos status
  pointsman chaos stop --all
  pointsman chaos report slow-payments > report.md

A fault has an end, whatever happens to those who began it: by its time, by the first verdict that it does harm, or by \
                  a restart of the proxy, which it does not survive. docs/chaos.md tells how an experiment is planned.")]
pub struct ChaosArgs {
    #[command(subcommand)]
    command: ChaosSubcommand,
}

#[derive(Subcommand, Debug)]
enum ChaosSubcommand {
    Start(ChaosStartArgs),
    Status(ChaosStatusArgs),
    Stop(ChaosStopArgs),
    Report(report::ReportArgs),
}

/// Begin a run of an experiment of the config, or of one that is defined here
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  pointsman chaos start slow-payments --dry-run
  pointsman chaos start slow-payments --follow --reason 'before the sale'
  pointsman chaos start try --define try.toml
  pointsman chaos start try --set target.service=pay --set target.share=1 --set fault.latency.fixed=200ms \\
    --set duration=5m --set hypothesis.errors.ratio_max=1.5

The file has the keys of [chaos.experiments.NAME], as TOML or as JSON; docs/chaos.md has all of them.")]
struct ChaosStartArgs {
    /// The experiment of the config; with --define or --set, the name of what they define
    #[arg(value_name = "EXPERIMENT")]
    name: String,
    /// A file with the definition; - is standard input
    #[arg(long, value_name = "FILE")]
    define: Option<std::path::PathBuf>,
    /// A key of the definition: target.share=2, fault.latency.fixed=300ms, duration=10m
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Why; kept with the run
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only say whom it would reach, and whether it may begin
    #[arg(long)]
    dry_run: bool,
    /// Show both slices until it is over; the exit code says whether the hypothesis held
    #[arg(long, conflicts_with = "dry_run")]
    follow: bool,
}

/// Show a run with both slices and the evidence, or all experiments and runs
#[derive(Args, Debug)]
struct ChaosStatusArgs {
    /// The number of a run, or an experiment: its last run; without it, all
    #[arg(value_name = "RUN|EXPERIMENT")]
    run: Option<String>,
    /// Show both slices until it is over; the exit code says whether the hypothesis held
    #[arg(long, requires = "run")]
    follow: bool,
}

/// End a run, and take its fault back; with --all, every run
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  pointsman chaos stop slow-payments --reason 'a real incident'\n  \
    pointsman chaos stop --all")]
struct ChaosStopArgs {
    /// The number of a run, or an experiment: its last run
    #[arg(value_name = "RUN|EXPERIMENT", required_unless_present = "all", conflicts_with = "all")]
    run: Option<String>,
    /// Every run
    #[arg(long)]
    all: bool,
    /// Why; kept with the run
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Does what the subcommand says.
///
/// # Errors
/// [`CommandError`] when a call fails, or the hypothesis of a run that was followed did not hold.
pub fn run(remote: &Remote, args: ChaosArgs) -> Result<(), CommandError> {
    match args.command {
        ChaosSubcommand::Start(args) => start(remote, args),
        ChaosSubcommand::Status(args) => status(remote, &args),
        ChaosSubcommand::Stop(args) => stop(remote, args),
        ChaosSubcommand::Report(args) => report::print(remote, &args),
    }
}

fn start(remote: &Remote, args: ChaosStartArgs) -> Result<(), CommandError> {
    let query = if args.dry_run { "?dry_run=true" } else { "" };
    let path = format!("/v1/chaos{query}");
    let follow = args.follow;
    let call = Call { method: Method::POST, path: &path, body: Some(args.body()?), if_match: None };
    if !follow {
        return remote.call(call, show::started);
    }
    let answer = remote.ask(call)?;
    follow::until_over(remote, &member(&answer, "id"))
}

impl ChaosStartArgs {
    fn body(self) -> Result<Value, CommandError> {
        let mut body = Map::new();
        match definition::read(self.define.as_deref(), &self.set)? {
            None => body.insert("experiment".to_owned(), self.name.into()),
            Some(definition) => {
                body.insert("name".to_owned(), self.name.into());
                body.insert("definition".to_owned(), definition)
            }
        };
        body.extend(self.reason.map(|reason| ("reason".to_owned(), reason.into())));
        Ok(body.into())
    }
}

fn status(remote: &Remote, args: &ChaosStatusArgs) -> Result<(), CommandError> {
    let Some(run) = &args.run else { return remote.call(Call::get("/v1/chaos"), show::all) };
    let id = number(remote, run)?;
    if args.follow {
        return follow::until_over(remote, &id);
    }
    remote.call(Call::get(&format!("/v1/chaos/{id}")), show::one)
}

fn stop(remote: &Remote, args: ChaosStopArgs) -> Result<(), CommandError> {
    let path = match &args.run {
        Some(run) => format!("/v1/chaos/{}/stop", number(remote, run)?),
        None => "/v1/chaos/stop".to_owned(),
    };
    let body = Map::from_iter(args.reason.map(|reason| ("reason".to_owned(), Value::from(reason))));
    let call = Call { method: Method::POST, path: &path, body: Some(body.into()), if_match: None };
    remote.call(call, if args.all { show::stopped } else { show::one })
}

/// The number of a run: the last one of an experiment, if that is what is named.
fn number(remote: &Remote, run: &str) -> Result<String, CommandError> {
    if !run.is_empty() && run.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(run.to_owned());
    }
    let answer = remote.ask(Call::get("/v1/chaos"))?;
    // The youngest comes first.
    let of = list(&answer, "runs").find(|one| one["name"] == run).map(|found| member(found, "id"));
    of.ok_or_else(|| {
        let known = list(&answer, "experiments").any(|one| one["name"] == run);
        let how = if known {
            format!("`pointsman chaos start {run}` begins one")
        } else {
            "`pointsman chaos status` lists them".to_owned()
        };
        CommandError::Unknown(format!("found no run of {run:?}; {how}"))
    })
}
