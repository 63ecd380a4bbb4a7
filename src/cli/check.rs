//! `pointsman check`: every problem of a config, before it is used.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{EXIT_USAGE, chain};
use crate::app;
use crate::config::{self, Config};

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
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    let counts = match read(path) {
        Ok((config, _text)) => {
            problems.extend(app::token_problems(&config.admin).iter().map(|error| chain(error)));
            match app::tls_warnings(&config) {
                Ok(found) => warnings = found,
                Err(app::MaterialError(found)) => problems.extend(found),
            }
            Some((config.services.len(), config.listeners.len()))
        }
        Err(found) => {
            problems.extend(found);
            None
        }
    };
    if json {
        println!(
            "{:#}",
            serde_json::json!({ "good": problems.is_empty(), "problems": problems, "warnings": warnings })
        );
        return code(&problems);
    }
    for warning in &warnings {
        eprintln!("{}: warning: {warning}", path.display());
    }
    if let (true, Some((services, listeners))) = (problems.is_empty(), counts) {
        println!("{}: good: {} on {}", path.display(), plural(services, "service"), plural(listeners, "listener"));
    } else {
        tell(path, &problems);
    }
    code(&problems)
}

fn code(problems: &[String]) -> ExitCode {
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_USAGE) }
}

/// `1 service`, `2 services`
fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// Says what is wrong with the file at `path`.
pub(super) fn tell(path: &Path, problems: &[String]) {
    for problem in problems {
        eprintln!("{}: {problem}", path.display());
    }
    eprintln!("{}: {}", path.display(), plural(problems.len(), "problem"));
}

/// The config and its text, or everything that is wrong with it.
fn read(path: &Path) -> Result<(Config, String), Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        vec![format!("cannot read the config: {}; give the path of a readable file", chain(&error))]
    })?;
    let base = path.parent().unwrap_or(Path::new(""));
    match config::parse(&text, base) {
        Ok(config) => Ok((config, text)),
        Err(problems) => Err(problems.as_slice().iter().map(ToString::to_string).collect()),
    }
}

/// Reads and checks a file; says what is wrong with it. Returns the config and the text.
///
/// # Errors
/// The exit code, after every problem was printed.
pub fn load(path: &Path) -> Result<(Config, String), ExitCode> {
    read(path).map_err(|problems| {
        tell(path, &problems);
        ExitCode::from(EXIT_USAGE)
    })
}
