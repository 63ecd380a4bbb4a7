//! `pointsman chaos report`: what was done, what was seen, and when all was as before, to be read or kept.

use clap::{Args, ValueEnum};

use super::number;
use crate::cli::client::Call;
use crate::cli::text::{harmless, print as print_text};
use crate::cli::{CommandError, Remote};

/// Print the report of a run: what was expected, injected and seen, and when it was restored
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  pointsman chaos report slow-payments > report.md
  pointsman chaos report 7 --format journal > journal.json

The journal is in the words of Chaos Toolkit, for what reads those.")]
pub(super) struct ReportArgs {
    /// The number of a run, or an experiment: its last run
    #[arg(value_name = "RUN|EXPERIMENT")]
    run: String,
    /// How it is written [default: markdown, with --json: json]
    #[arg(long, value_enum)]
    format: Option<ReportFormat>,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// Text with a table, for people
    Markdown,
    /// All of it, for programs
    Json,
    /// A journal as Chaos Toolkit writes it
    Journal,
}

/// Prints it as it is told.
///
/// # Errors
/// [`CommandError`] when there is no such run, or the call fails.
pub(super) fn print(remote: &Remote, args: &ReportArgs) -> Result<(), CommandError> {
    let format = args.format.unwrap_or(if remote.json { ReportFormat::Json } else { ReportFormat::Markdown });
    let word = match format {
        ReportFormat::Markdown => "markdown",
        ReportFormat::Json => "json",
        ReportFormat::Journal => "journal",
    };
    let path = format!("/v1/chaos/{}/report?format={word}", number(remote, &args.run)?);
    let text = remote.lines(Call::get(&path))?.text;
    let lines = text.lines().map(|line| harmless(line) + "\n");
    print_text(&lines.collect::<String>());
    Ok(())
}
