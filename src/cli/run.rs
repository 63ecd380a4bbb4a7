//! `pointsman run`: the proxy.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::{EXIT_FAILED, chain, check, signals};
use crate::app::{Bound, ConfigFile, Options, descriptors};

/// Run the proxy with a config file
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  pointsman run --config pointsman.toml\n  \
    RUST_LOG=debug pointsman run -c pointsman.toml\n\n\
    SIGHUP, or a change of the file, reloads it; SIGTERM or Ctrl-C drains and ends, a second one ends at once.")]
pub struct RunArgs {
    /// The config file
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// How the process's own log looks (RUST_LOG sets how much of it)
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum LogFormat {
    Text,
    Json,
}

/// Runs until a signal.
#[must_use]
pub fn run(args: &RunArgs) -> ExitCode {
    start_log(args.log_format);
    descriptors::raise_limit();
    let (config, text) = match check::load(&args.config) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let options = Options { file: Some(ConfigFile { path: args.config.clone(), text }), ..Options::default() };
    let bound = match Bound::bind(config, options) {
        Ok(bound) => bound,
        Err(error) => {
            eprintln!("cannot start: {}", chain(&error));
            return ExitCode::from(EXIT_FAILED);
        }
    };
    let addresses = bound.addresses();
    for (name, address) in &addresses.listeners {
        tracing::info!(listener = %name, %address, "listening");
    }
    tracing::info!(address = %addresses.admin_url(), "admin API listening");
    let end = match signals::listen() {
        Ok(end) => end,
        Err(error) => {
            eprintln!("cannot start: cannot listen for signals: {error}");
            return ExitCode::from(EXIT_FAILED);
        }
    };
    match bound.run(end) {
        Ok(()) => {
            tracing::info!("ended");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("stopped: {}", chain(&error));
            ExitCode::from(EXIT_FAILED)
        }
    }
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset_or_bad| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    let builder = builder.with_ansi(io::stderr().is_terminal());
    // A second start in one process (tests) keeps the first.
    let _started = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
