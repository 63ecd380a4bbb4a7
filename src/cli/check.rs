//! `pointsman check`: every problem of a config, before it is used.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{EXIT_USAGE, chain, text};
use crate::app::{self, CheckFinding, Checked};
use crate::config::Config;
use crate::problem::utf8;

/// Print every problem of a config file; exit with 0 or 64
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  pointsman check --config pointsman.toml")]
pub struct CheckArgs {
    /// The config file
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
}

/// Checks the file, and the tokens, certificates and keys that it names.
#[must_use]
pub fn run(args: &CheckArgs, json: bool) -> ExitCode {
    let path = &args.config;
    let Found { config, problems, warnings } = Found::at(path);
    if json {
        let found = serde_json::json!({ "good": problems.is_empty(), "problems": problems, "warnings": warnings });
        text::print(&text::json(&found));
        return code(&problems);
    }
    warn(path, &warnings, &text::complain);
    match config {
        Some((config, _text)) => {
            let (services, listeners) = (config.services.len(), config.listeners.len());
            let (services, listeners) = (plural(services, "service"), plural(listeners, "listener"));
            let flags = match config.flags.flags.len() {
                0 => String::new(),
                count => format!(", and {}", plural(count, "flag")),
            };
            text::print(&format!("{}: good: {services} on {listeners}{flags}\n", path.display()));
        }
        None => tell(path, &problems, &text::complain),
    }
    code(&problems)
}

fn code(problems: &[CheckFinding]) -> ExitCode {
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_USAGE) }
}

/// `1 service`, `2 services`
fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// Says line by line what is wrong with the file at `path`.
pub(crate) fn tell(path: &Path, problems: &[impl Display], say: &dyn Fn(&str)) {
    for problem in problems {
        say(&format!("{}: {problem}", path.display()));
    }
    say(&format!("{}: {}", path.display(), plural(problems.len(), "problem")));
}

fn warn(path: &Path, warnings: &[String], say: &dyn Fn(&str)) {
    for warning in warnings {
        say(&format!("{}: warning: {warning}", path.display()));
    }
}

/// What there is to say of a file.
struct Found {
    /// The config and its text, if there is no problem.
    config: Option<(Config, String)>,
    problems: Vec<CheckFinding>,
    warnings: Vec<String>,
}

impl Found {
    fn at(path: &Path) -> Self {
        let bytes = std::fs::read(path)
            .map_err(|error| format!("cannot read the config: {}; give the path of a readable file", chain(&error)));
        let text = match bytes.and_then(|bytes| utf8::text(bytes).map_err(|error| error.to_string())) {
            Ok(text) => text,
            Err(text) => {
                let finding = CheckFinding::Remark { path: String::new(), line: None, text };
                return Self { config: None, problems: vec![finding], warnings: Vec::new() };
            }
        };
        let Checked { config, warnings } = app::check(&text, path.parent().unwrap_or(Path::new("")));
        let warnings = warnings.iter().map(ToString::to_string).collect();
        match config {
            Ok(config) => Self { config: Some((config, text)), problems: Vec::new(), warnings },
            Err(refused) => Self { config: None, problems: refused.findings(), warnings },
        }
    }
}

/// Reads and checks a file; says line by line what is wrong with it, as `check` does. Returns the config and the text.
///
/// # Errors
/// The exit code, after every problem was said.
pub fn load(path: &Path, say: &dyn Fn(&str)) -> Result<(Config, String), ExitCode> {
    let Found { config, problems, warnings } = Found::at(path);
    config.ok_or_else(|| {
        warn(path, &warnings, say);
        tell(path, &problems, say);
        ExitCode::from(EXIT_USAGE)
    })
}
