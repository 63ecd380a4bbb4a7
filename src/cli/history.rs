//! `pointsman history`: the audit trail.

use clap::Args;
use serde_json::Value;

use super::bad_argument::{count, revision};
use super::change::difference_lines;
use super::client::Call;
use super::text::{TextTone, list, member, toned};
use super::{CommandError, Remote};

/// Show who changed what, when and why, newest first
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  pointsman history --limit 5\n  pointsman history 41")]
pub struct HistoryArgs {
    /// Only this revision
    #[arg(value_parser = revision)]
    revision: Option<u64>,
    /// How many revisions
    #[arg(long, default_value_t = 20, value_parser = count)]
    limit: u32,
    /// Only revisions below this one
    #[arg(long, value_name = "REVISION", value_parser = revision)]
    before: Option<u64>,
}

/// Shows the history.
///
/// # Errors
/// [`CommandError`] when the call fails.
pub fn run(remote: &Remote, args: &HistoryArgs) -> Result<(), CommandError> {
    if let Some(revision) = args.revision {
        return remote.call(Call::get(&format!("/v1/revisions/{revision}")), entry);
    }
    let before = args.before.map_or_else(String::new, |before| format!("&before={before}"));
    let path = format!("/v1/revisions?limit={}{before}", args.limit);
    remote.call(Call::get(&path), |answer| list(answer, "revisions").map(entry).collect())
}

/// When, to the millisecond, always as long.
fn at(revision: &Value) -> String {
    let text = member(revision, "at");
    text.parse::<jiff::Timestamp>().map_or(text, |at| format!("{at:.3}"))
}

fn entry(revision: &Value) -> String {
    let number = toned(&member(revision, "revision"), TextTone::Strong);
    let mut head = format!("{number}  {}  {}", at(revision), member(revision, "action"));
    if !revision["restores"].is_null() {
        head.push_str(&format!(" to {}", member(revision, "restores")));
    }
    head.push_str(&format!("  by {}", member(revision, "author")));
    if !revision["reason"].is_null() {
        head.push_str(&format!(": {}", member(revision, "reason")));
    }
    if let Some(against) = revision["forced"].as_str() {
        head.push_str(&format!("\n    forced: {against}"));
    }
    head + "\n" + &difference_lines(revision)
}
