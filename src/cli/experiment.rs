//! `pointsman experiment`: which of two arms is better, from what was counted, and how many users it takes to tell.

mod export;
mod log;
mod picture;
mod report;
pub(crate) mod shown;
mod size;
mod steps;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::builder::ArgPredicate;
use clap::{Args, Subcommand};
use jiff::Timestamp;

use self::log::ExperimentLog;
use super::change::segment;
use super::client::Call;
use super::{CommandError, Remote, text};
use crate::app;
use crate::config;
use crate::experiment::definition::ExperimentSpec;
use crate::experiment::experiment_result::ExperimentResult;
use crate::experiment::experiment_state::ExperimentState;
use crate::experiment::result_view::ResultView;
use crate::experiment::tally_view::TallyView;
use crate::problem::{one_of, utf8};

/// Say which of two arms is better, by how much, and how sure that is
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  pointsman experiment size --control 10% --treatment 12%
  pointsman experiment result --sums counted.toml
  pointsman experiment result checkout-button --config pointsman.toml --log seen.ndjson")]
pub struct ExperimentArgs {
    #[command(subcommand)]
    command: ExperimentSubcommand,
}

#[derive(Subcommand, Debug)]
enum ExperimentSubcommand {
    /// List all experiments, and what has come out so far
    List,
    Show(ShowArgs),
    Export(export::ExportArgs),
    Result(ResultArgs),
    Size(size::SizeArgs),
    Start(steps::StartArgs),
    Stop(steps::StopArgs),
    Ship(steps::ShipArgs),
}

/// Show an experiment and its result, which is valid whenever you look
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  pointsman experiment show checkout-button")]
struct ShowArgs {
    /// The experiment
    #[arg(value_name = "EXPERIMENT")]
    experiment: String,
}

/// Compare two arms by what was counted of them
#[derive(Args, Debug)]
#[command(after_help = "The file is TOML, or JSON with the same keys; docs/experiments.md has all of them:

  control = { users = 10000 }
  treatment = { users = 10050 }
  [[metrics]]
  name = \"purchase\"
  kind = \"conversion\"                 # or \"mean\", \"ratio\": sum and squares of each user's value
  control.conversions = 1000
  treatment.conversions = 1190

With --log, users and what they did are counted from lines of JSON, by what the config says of the experiment.

Examples:
  pointsman experiment result --sums counted.toml
  warehouse-query | pointsman experiment result --sums - --json
  pointsman experiment result checkout-button --config pointsman.toml --log seen.ndjson")]
struct ResultArgs {
    /// The experiment of the config
    #[arg(value_name = "EXPERIMENT", requires = "log", required_unless_present = "sums")]
    name: Option<String>,
    /// A file with users and sums of both arms; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "config", "log"])]
    sums: Option<PathBuf>,
    /// The config that says what the experiment is
    #[arg(
        long,
        short,
        value_name = "FILE",
        requires = "name",
        default_value_if("log", ArgPredicate::IsPresent, "pointsman.toml")
    )]
    config: Option<PathBuf>,
    /// Exposures and what users did, a JSON object a line; - is standard input. Several are one log
    #[arg(long, value_name = "FILE", requires = "name")]
    log: Vec<PathBuf>,
}

/// Does what the subcommand says.
///
/// # Errors
/// [`CommandError::Usage`] when a file cannot be read or says what cannot be.
pub fn run(remote: &Remote, args: &ExperimentArgs) -> Result<(), CommandError> {
    match &args.command {
        ExperimentSubcommand::List => remote.call(Call::get("/v1/experiments"), shown::table),
        ExperimentSubcommand::Show(args) => {
            let path = format!("/v1/experiments/{}", segment(&args.experiment)?);
            remote.call(Call::get(&path), shown::page)
        }
        ExperimentSubcommand::Export(args) => export::run(remote, args),
        ExperimentSubcommand::Result(args) => result(remote, args),
        ExperimentSubcommand::Size(args) => size::run(remote, args),
        ExperimentSubcommand::Start(args) => steps::start(remote, args),
        ExperimentSubcommand::Stop(args) => steps::stop(remote, args),
        ExperimentSubcommand::Ship(args) => steps::ship(remote, args),
    }
}

fn result(remote: &Remote, args: &ResultArgs) -> Result<(), CommandError> {
    match (&args.sums, &args.name, &args.config) {
        (Some(path), _, _) => {
            let sums = config::parse_sums(&read(path)?).map_err(|problems| usage(path, problems.as_slice()))?;
            show(remote, &ExperimentResult::of(sums.names, &sums.counts, sums.alpha), None);
        }
        (None, Some(name), Some(config)) => {
            let spec = experiment(name, config)?;
            let (state, of_others) = replay(spec, &args.log)?;
            let names = state.spec().assignment.arms.map(|arm| arm.as_str().to_owned());
            let result = ExperimentResult::of(names, &state.counts(), state.spec().alpha);
            show(remote, &result, Some(&report::LogFacts { tally: TallyView::of(&state.tally()), of_others }));
        }
        (None, _, _) => return Err(CommandError::Usage("found neither --sums nor --log, want one of them".to_owned())),
    }
    Ok(())
}

/// Every problem of a file, a line each.
fn usage(path: &Path, problems: &[impl std::fmt::Display]) -> CommandError {
    let told: Vec<_> = problems.iter().map(|problem| format!("{}: {problem}", path.display())).collect();
    CommandError::Usage(told.join("\n"))
}

/// What the config says of an experiment. Files that the config names are not looked at: a log may be read elsewhere.
fn experiment(name: &str, path: &Path) -> Result<Arc<ExperimentSpec>, CommandError> {
    let base = path.parent().unwrap_or(Path::new(""));
    let config = app::parse_with_import(&read(path)?, base).map_err(|problems| usage(path, problems.as_slice()))?;
    let found = config.experiments.iter().find(|experiment| experiment.name().as_str() == name);
    found.cloned().ok_or_else(|| {
        let known = one_of(config.experiments.iter().map(|experiment| experiment.name().as_str()));
        CommandError::Unknown(format!("found no experiment {name:?} in {}, want {known}", path.display()))
    })
}

/// The state of an experiment after all that logs say, and how many exposures were of others.
fn replay(spec: Arc<ExperimentSpec>, paths: &[PathBuf]) -> Result<(ExperimentState, u64), CommandError> {
    let now_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
    let mut log = ExperimentLog::default();
    for path in paths {
        log.read(&read(path)?, &spec, now_ms).map_err(|faults| usage(path, &faults))?;
    }
    let of_others = log.of_others;
    let mut state = ExperimentState::new(spec);
    log.tell(&mut state);
    Ok((state, of_others))
}

fn show(remote: &Remote, result: &ExperimentResult, log: Option<&report::LogFacts>) {
    let result = ResultView::of(result);
    if remote.json {
        text::print(&text::json(&report::to_json(&result, log)));
    } else {
        text::show(&(report::to_text(&result) + &log.map(report::LogFacts::to_text).unwrap_or_default()));
    }
}

/// The text of a file or of standard input.
fn read(path: &Path) -> Result<String, CommandError> {
    let mut bytes = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().lock().read_to_end(&mut bytes).map(|_| ()),
        false => std::fs::read(path).map(|found| bytes = found),
    };
    let bad = |why: &dyn std::fmt::Display| {
        CommandError::Usage(format!("cannot read {}: {why}; give the path of a readable file", path.display()))
    };
    read.map_err(|error| bad(&error))?;
    utf8::text(bytes).map_err(|error| bad(&error))
}
