//! `pointsman check`: every problem of a config, before it is used.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{EXIT_USAGE, chain};
use crate::config::{self, Config};

/// Print every problem of a config file; exit with 0 or 64
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  pointsman check --config pointsman.toml")]
pub struct CheckArgs {
    /// The config file
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
}

/// Checks the file.
#[must_use]
pub fn run(args: &CheckArgs) -> ExitCode {
    match load(&args.config) {
        Ok((config, _text)) => {
            let (services, listeners) = (config.services.len(), config.listeners.len());
            println!("{}: good: {services} services on {listeners} listeners", args.config.display());
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

/// Reads and checks a file; says what is wrong with it. Returns the config and the text.
///
/// # Errors
/// The exit code, after every problem was printed.
pub fn load(path: &Path) -> Result<(Config, String), ExitCode> {
    let usage = ExitCode::from(EXIT_USAGE);
    let text = std::fs::read_to_string(path).map_err(|error| {
        eprintln!("{}: cannot read the config: {}; give the path of a readable file", path.display(), chain(&error));
        usage
    })?;
    let base = path.parent().unwrap_or(Path::new(""));
    let config = config::parse(&text, base).map_err(|problems| {
        for problem in problems.as_slice() {
            eprintln!("{}: {problem}", path.display());
        }
        let count = problems.as_slice().len();
        eprintln!("{}: {count} {}", path.display(), if count == 1 { "problem" } else { "problems" });
        usage
    })?;
    Ok((config, text))
}
