//! `pointsman run`: the proxy.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{EXIT_FAILED, chain, check};
use crate::app::{Bound, ConfigFile, Options};

/// Run the proxy with a config file
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  pointsman run --config pointsman.toml\n  \
    RUST_LOG=debug pointsman run -c pointsman.toml\n\n\
    SIGHUP, or a change of the file, reloads it; SIGTERM or Ctrl-C drains and ends.")]
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
    match bound.run(ended()) {
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

/// Waits for the first signal to end; the second one ends the process at once.
async fn ended() {
    let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "cannot listen for signals; the proxy runs until it is killed");
            return std::future::pending().await;
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("draining: no new connections, open requests may end; a second signal ends at once");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let (Ok(mut terminate), Ok(mut interrupt)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                return;
            };
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            std::process::exit(i32::from(EXIT_FAILED));
        });
    });
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
