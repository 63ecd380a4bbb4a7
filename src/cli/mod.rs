//! The command line: one file a subcommand. What is printed here is for people, or JSON with `--json`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks on the standard streams")]

pub mod check;
pub mod client;
pub mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The command was used wrongly, or the config has problems (EX_USAGE of sysexits.h).
pub const EXIT_USAGE: u8 = 64;

/// The process cannot start, or a call failed.
pub const EXIT_FAILED: u8 = 1;

/// A reverse proxy that splits traffic between the versions of a service, and switches it in one swap.
#[derive(Parser, Debug)]
#[command(name = "pointsman", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Run(run::RunArgs),
    Check(check::CheckArgs),
}

/// Reads the arguments and does what they say.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing to do about a closed stream.
            let _printed = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
    }
}

/// An error and its causes, on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
