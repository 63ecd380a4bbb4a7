//! The command line: one file a subcommand. What is printed here is for people, or JSON with `--json`.
//!
//! Nothing is printed by `println!` and its like, which panic when the reader has gone; [`text`] has what does not.

pub mod change;
pub mod check;
pub mod client;
pub mod demo;
pub mod endpoint;
pub mod explain;
pub mod history;
pub mod rollout;
pub mod run;
mod signals;
pub mod simulate;
pub mod status;
pub mod text;
pub mod upgrade;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde_json::Value;

use self::client::{AdminClient, Call, CallError};
use crate::tls::{Alpn, ClientSettings, KeyPair, Trust};

/// The command was used wrongly, or the config has problems (EX_USAGE of sysexits.h).
pub const EXIT_USAGE: u8 = 64;

/// The process cannot start, or a call failed.
pub const EXIT_FAILED: u8 = 1;

/// Keeps what all commands have apart from what one of them is about.
const REMOTE_HEADING: &str = "Options of all commands";

/// A reverse proxy that splits traffic between the versions of a service, and switches it in one swap.
#[derive(Parser, Debug)]
#[command(name = "pointsman", version, arg_required_else_help = true)]
#[command(after_help = "Start with `pointsman demo`; every command has --help with an example.")]
pub struct Cli {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

/// Which proxy a command talks to, and how its answer is printed.
#[derive(Args, Clone, Debug)]
pub struct Remote {
    /// The admin API: http(s)://HOST:PORT or unix:/PATH (the token comes from POINTSMAN_TOKEN)
    #[arg(long, global = true, help_heading = REMOTE_HEADING, env = "POINTSMAN_ADMIN", value_name = "URL", default_value = client::DEFAULT_ADMIN)]
    admin: String,
    /// With https: the authority of the admin API's certificate, PEM; without it, the system's authorities
    #[arg(long, global = true, help_heading = REMOTE_HEADING, env = "POINTSMAN_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// With https: our client certificate, PEM
    #[arg(long, global = true, help_heading = REMOTE_HEADING, env = "POINTSMAN_CERT", value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// With https: the private key of --cert, PEM
    #[arg(long, global = true, help_heading = REMOTE_HEADING, env = "POINTSMAN_KEY", value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Print JSON: the answer of the admin API, or the problems of `check`
    #[arg(long, global = true, help_heading = REMOTE_HEADING)]
    json: bool,
}

#[derive(Subcommand, Debug)]
enum Command {
    Demo(demo::DemoArgs),
    Run(run::RunArgs),
    Check(check::CheckArgs),
    Status(status::StatusArgs),
    Shift(change::ShiftArgs),
    Flip(change::FlipArgs),
    Rollback(change::RollbackArgs),
    History(history::HistoryArgs),
    Explain(explain::ExplainArgs),
    Rollout(rollout::RolloutArgs),
    Simulate(simulate::SimulateArgs),
    Drain(endpoint::DrainArgs),
    Ready(endpoint::ReadyArgs),
    Upgrade(upgrade::UpgradeArgs),
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
    let remote = &cli.remote;
    let done = match cli.command {
        Command::Demo(args) => return demo::run(&args),
        Command::Run(args) => return run::run(&args),
        Command::Check(args) => return check::run(&args, remote.json),
        Command::Status(args) => status::run(remote, &args),
        Command::Shift(args) => change::shift(remote, args),
        Command::Flip(args) => change::flip(remote, args),
        Command::Rollback(args) => change::rollback(remote, args),
        Command::History(args) => history::run(remote, &args),
        Command::Explain(args) => explain::run(remote, &args),
        Command::Rollout(args) => rollout::run(remote, args),
        Command::Simulate(args) => simulate::run(remote, &args),
        Command::Drain(args) => endpoint::drain(remote, args),
        Command::Ready(args) => endpoint::ready(remote, args),
        Command::Upgrade(args) => upgrade::run(remote, args),
    };
    done.map_or_else(|error| error.exit(), |()| ExitCode::SUCCESS)
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The call to the admin API.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The arguments.
    #[error("{0}")]
    Usage(String),
    /// A rollout that was followed did not come to its good end.
    #[error("the rollout was not completed: {0}")]
    Unfinished(String),
}

impl CommandError {
    /// Says it, and chooses the exit code.
    fn exit(&self) -> ExitCode {
        text::complain(&format!("pointsman: {}", chain(self)));
        match self {
            Self::Usage(_) | Self::Call(CallError::Address(_) | CallError::Tls(_)) => ExitCode::from(EXIT_USAGE),
            Self::Call(_) | Self::Unfinished(_) => ExitCode::from(EXIT_FAILED),
        }
    }
}

impl Remote {
    /// How TLS is spoken, if the address says so.
    fn tls(&self) -> ClientSettings {
        let identity = self.cert.clone().zip(self.key.clone());
        ClientSettings {
            trust: self.ca.clone().map_or(Trust::System, Trust::Ca),
            identity: identity.map(|(certificate, key)| KeyPair { certificate, key }),
            server_name: None,
            alpn: vec![Alpn::Http11],
        }
    }

    /// Makes a call; with `--json` prints the answer, otherwise hands it to `show`.
    fn call(&self, call: Call<'_>, show: impl FnOnce(&Value) -> String) -> Result<(), CommandError> {
        // A change that is told to wait says so in its body.
        let wait = call.body.as_ref().and_then(|body| crate::config::duration(body["wait"].as_str()?));
        self.call_for(client::ANSWER_TIMEOUT + wait.unwrap_or_default(), call, show)
    }

    fn client(&self) -> Result<AdminClient, CommandError> {
        let token = std::env::var("POINTSMAN_TOKEN").ok().filter(|token| !token.is_empty());
        Ok(AdminClient::new(&self.admin, token)?.with_tls(self.tls()))
    }

    /// Makes a call whose answer is not printed at once.
    fn ask(&self, call: Call<'_>) -> Result<Value, CommandError> {
        let answer = self.client()?.call_for(client::ANSWER_TIMEOUT, call)?;
        Ok(if self.json { answer } else { text::harmless_texts(answer) })
    }

    /// The same for a call that may take longer.
    fn call_for(
        &self,
        patience: Duration,
        call: Call<'_>,
        show: impl FnOnce(&Value) -> String,
    ) -> Result<(), CommandError> {
        let answer = self.client()?.call_for(patience, call);
        if let (true, Err(error)) = (self.json, &answer) {
            // Scripts read standard output; people read the same on standard error.
            text::print(&text::json(&error.to_json()));
        }
        let answer = answer?;
        text::print(&if self.json { text::json(&answer) } else { show(&text::harmless_texts(answer)) });
        Ok(())
    }
}

/// An error and its causes, on one line. A cause that its error has said already is left out.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(&format!(": {cause_text}"));
        }
        source = cause.source();
    }
    text
}
