//! `pointsman run`: the proxy.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::config_words::{ConfigArgs, LoadedConfig};
use super::finding_lines::tell;
use super::{EXIT_FAILED, EXIT_USAGE, chain, signals, text, upgrade};
use crate::app::{self, Bound, Inherited, Options, Program, StartError, descriptors};
use crate::log::{self, Log};
use crate::supervise::{Kind, Supervisor};

/// Run the proxy with a config file, or with one in a repository
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  pointsman run --config pointsman.toml\n  \
    RUST_LOG=debug pointsman run -c pointsman.toml\n  \
    pointsman run --gitops https://git.example.com/shop/traffic.git\n\n\
    SIGHUP, or a change of the file, reloads it; SIGTERM or Ctrl-C drains and ends, a second one ends at once;\n    \
    SIGUSR2 lets the binary on disk take over (see `pointsman upgrade --help`).")]
pub struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// How the process's own log looks (RUST_LOG sets how much of it)
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormatArg,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum LogFormatArg {
    Text,
    Json,
}

/// Runs until a signal.
#[must_use]
pub fn run(args: &RunArgs) -> ExitCode {
    let supervisor = Supervisor::default();
    let log = match log::start(args.log_format.into(), supervisor.part("log", Kind::Log)) {
        Ok(log) => log,
        Err(error) => {
            text::complain(&format!("cannot start: cannot start the log: {error}"));
            return ExitCode::from(EXIT_FAILED);
        }
    };
    let code = serve(args, &log, supervisor);
    log.finish(signals::LAST_LINES_MAX);
    code
}

fn serve(args: &RunArgs, log: &Log, supervisor: Supervisor) -> ExitCode {
    let inherited = Inherited::take();
    let predecessor = inherited.predecessor();
    let failed = |why: &str| {
        if let Some(predecessor) = &predecessor {
            predecessor.failed(why);
        }
        ExitCode::from(EXIT_FAILED)
    };
    descriptors::raise_limit();
    let LoadedConfig { config, file, gitops } = match args.config.load(&|line| log.say(line)) {
        Ok(loaded) => loaded,
        Err(code) => {
            failed("the config has problems");
            return code;
        }
    };
    let end = match signals::listen(log) {
        Ok(end) => end,
        Err(error) => {
            log.say(&format!("cannot start: cannot listen for signals: {error}"));
            return failed("cannot listen for signals");
        }
    };
    let program = program(&args.config);
    let options =
        Options { file, gitops, inherited, program, log_losses: log.losses(), supervisor, ..Options::default() };
    let bound = match Bound::bind(config, options) {
        Ok(bound) => bound,
        // What `check` would have said.
        Err(StartError::TlsMaterial(app::MaterialError(problems))) => {
            tell(&args.config.place(), &problems, &|line| log.say(line));
            failed("the TLS files have problems");
            return ExitCode::from(EXIT_USAGE);
        }
        Err(error) => {
            log.say(&format!("cannot start: {}", chain(&error)));
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
            log.say(&format!("stopped: {}", chain(&error)));
            failed(&chain(&error))
        }
    }
}

/// How to start this program again; none when the system does not say what it is.
fn program(config: &ConfigArgs) -> Option<Program> {
    let mut arguments = std::env::args_os();
    let path = upgrade::program(Path::new(&arguments.next()?))?;
    let check = ["check".into(), "--json".into()].into_iter().chain(config.again()).collect();
    Some(Program { path, arguments: arguments.collect(), check })
}

impl From<LogFormatArg> for log::Format {
    fn from(format: LogFormatArg) -> Self {
        match format {
            LogFormatArg::Text => Self::Text,
            LogFormatArg::Json => Self::Json,
        }
    }
}
