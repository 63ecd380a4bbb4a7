//! `pointsman run`: the proxy.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::{EXIT_FAILED, EXIT_USAGE, chain, check, signals, upgrade};
use crate::app::{self, Bound, ConfigFile, Inherited, Options, Program, StartError, descriptors};

/// Run the proxy with a config file
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  pointsman run --config pointsman.toml\n  \
    RUST_LOG=debug pointsman run -c pointsman.toml\n\n\
    SIGHUP, or a change of the file, reloads it; SIGTERM or Ctrl-C drains and ends, a second one ends at once;\n    \
    SIGUSR2 lets the binary on disk take over (see `pointsman upgrade --help`).")]
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
    let inherited = Inherited::take();
    let predecessor = inherited.predecessor();
    let failed = |why: &str| {
        if let Some(predecessor) = &predecessor {
            predecessor.failed(why);
        }
        ExitCode::from(EXIT_FAILED)
    };
    descriptors::raise_limit();
    let (config, text) = match check::load(&args.config) {
        Ok(loaded) => loaded,
        Err(code) => {
            failed("the config has problems");
            return code;
        }
    };
    let end = match signals::listen() {
        Ok(end) => end,
        Err(error) => {
            eprintln!("cannot start: cannot listen for signals: {error}");
            return failed("cannot listen for signals");
        }
    };
    let file = Some(ConfigFile { path: args.config.clone(), text });
    let options = Options { in_memory: false, file, inherited, program: program(&args.config), park_after: None };
    let bound = match Bound::bind(config, options) {
        Ok(bound) => bound,
        // What `check` would have said.
        Err(StartError::Material(app::MaterialError(problems))) => {
            check::tell(&args.config, &problems);
            failed("the TLS files have problems");
            return ExitCode::from(EXIT_USAGE);
        }
        Err(error) => {
            eprintln!("cannot start: {}", chain(&error));
            return failed(&chain(&error));
        }
    };
    let addresses = bound.addresses();
    for (name, address) in &addresses.listeners {
        tracing::info!(listener = %name, %address, "listening");
    }
    tracing::info!(address = %addresses.admin_url(), "admin API listening");
    match bound.run(end) {
        Ok(()) => {
            tracing::info!("ended");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("stopped: {}", chain(&error));
            failed(&chain(&error))
        }
    }
}

/// How to start this program again; none when the system does not say what it is.
fn program(config: &Path) -> Option<Program> {
    let mut arguments = std::env::args_os();
    let path = upgrade::program(Path::new(&arguments.next()?))?;
    let check = ["check".into(), "--config".into(), config.into()];
    Some(Program { path, arguments: arguments.collect(), check: check.into() })
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
