//! `pointsman experiment export`: who was seen in which arm, and did what, a line each.

use clap::{Args, ValueEnum};

use crate::cli::change::segment;
use crate::cli::client::Call;
use crate::cli::{CommandError, Remote, text};

/// Users of a page. The proxy answers one in less than a second, and no page is too large for either side.
const PAGE_USERS: usize = 10_000;

/// Print the users of an experiment's last run, a line each, for a warehouse
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  pointsman experiment export checkout-button > seen.ndjson
  pointsman experiment export checkout-button --format csv > seen.csv")]
pub(super) struct ExportArgs {
    /// The experiment
    #[arg(value_name = "EXPERIMENT")]
    experiment: String,
    /// How lines are written
    #[arg(long, value_enum, default_value_t = LineFormat::Ndjson)]
    format: LineFormat,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LineFormat {
    /// A JSON object a line
    Ndjson,
    /// Comma-separated values with a heading
    Csv,
}

/// Prints page by page.
pub(super) fn run(remote: &Remote, args: &ExportArgs) -> Result<(), CommandError> {
    let format = match args.format {
        LineFormat::Ndjson => "ndjson",
        LineFormat::Csv => "csv",
    };
    let name = segment(&args.experiment)?;
    let mut after = String::new();
    loop {
        let path = format!("/v1/experiments/{name}/export?format={format}&limit={PAGE_USERS}{after}");
        let lines = remote.lines(Call::get(&path))?;
        text::print(&lines.text);
        let Some(next) = lines.next else { return Ok(()) };
        after = format!("&after={next}");
    }
}
