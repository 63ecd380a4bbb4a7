//! The command line: one file a subcommand. What is printed here is for people, or JSON with `--json`.
//!
//! Nothing is printed by `println!` and its like, which panic when the reader has gone; [`text`] has what does not.

mod bad_argument;
pub mod change;
pub mod chaos;
pub mod check;
pub mod client;
pub mod completions;
mod config_words;
pub mod demo;
pub mod diff;
pub mod endpoint;
pub mod experiment;
pub mod explain;
mod finding_lines;
pub mod flag;
mod flag_import;
mod flag_show;
pub mod fleet;
pub mod history;
pub mod hold;
pub mod import;
pub mod init;
mod layout;
pub mod man;
pub mod mirror;
mod option_words;
pub(crate) mod picture;
pub mod probe;
pub mod rollout;
pub mod run;
mod signals;
pub mod simulate;
pub mod status;
pub mod sync;
mod terminal;
pub mod text;
pub mod upgrade;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde_json::Value;

use self::client::{AdminClient, AnsweredLines, Call, CallError};
use crate::tls::{Alpn, ClientSettings, KeyPair, Trust};

/// The command was used wrongly, or the config has problems (EX_USAGE of sysexits.h). What only a proxy can know, such
/// as that there is no service of this name, is no wrong use.
pub const EXIT_USAGE: u8 = 64;

/// The process cannot start, or a call failed.
pub const EXIT_FAILED: u8 = 1;

/// A commit that was asked about would not be put in force.
pub const EXIT_DECLINED: u8 = 2;

/// What is in the environment, for those who do not write it at every command. It is not clap that reads it: clap takes
/// what came from there for written, and shows it as needed when it says how a command is used.
const ENVIRONMENT: [&str; 4] = ["POINTSMAN_ADMIN", "POINTSMAN_CA", "POINTSMAN_CERT", "POINTSMAN_KEY"];

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
    /// The admin API: http(s)://HOST:PORT or unix:/PATH; the token comes from POINTSMAN_TOKEN
    /// [env: POINTSMAN_ADMIN] [default: http://127.0.0.1:9900]
    #[arg(long, global = true, help_heading = REMOTE_HEADING, value_name = "ADDRESS")]
    admin: Option<String>,
    /// With https: the authority of the admin API's certificate, PEM; without it, the system's authorities
    /// [env: POINTSMAN_CA]
    #[arg(long, global = true, help_heading = REMOTE_HEADING, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// With https: our client certificate, PEM [env: POINTSMAN_CERT]
    #[arg(long, global = true, help_heading = REMOTE_HEADING, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// With https: the private key of --cert, PEM [env: POINTSMAN_KEY]
    #[arg(long, global = true, help_heading = REMOTE_HEADING, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Print JSON: the answer of the admin API, its problems, or those of `check`
    #[arg(long, global = true, help_heading = REMOTE_HEADING)]
    json: bool,
}

#[derive(Subcommand, Debug)]
enum Command {
    Demo(demo::DemoArgs),
    Init(init::InitArgs),
    Import(import::ImportArgs),
    Run(run::RunArgs),
    Check(check::CheckArgs),
    Status(status::StatusArgs),
    Shift(change::ShiftArgs),
    Flip(change::FlipArgs),
    Rollback(change::RollbackArgs),
    Sync(sync::SyncArgs),
    Diff(diff::DiffArgs),
    Fleet(fleet::FleetArgs),
    History(history::HistoryArgs),
    Hold(hold::HoldCommandArgs),
    Explain(explain::ExplainArgs),
    Flag(flag::FlagArgs),
    Rollout(rollout::RolloutArgs),
    Simulate(Box<simulate::SimulateArgs>),
    Experiment(experiment::ExperimentArgs),
    Mirror(mirror::MirrorArgs),
    Chaos(chaos::ChaosArgs),
    Drain(endpoint::DrainArgs),
    Ready(endpoint::ReadyArgs),
    Upgrade(upgrade::UpgradeArgs),
    Probe(probe::ProbeArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
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
    let written_admin = cli.remote.admin.clone();
    let remote = &cli.remote.with_environment(|name| std::env::var_os(name).filter(|value| !value.is_empty()));
    let done = match cli.command {
        Command::Demo(args) => return demo::run(&args),
        Command::Run(args) => return run::run(&args),
        Command::Check(args) => return check::run(&args, remote.json),
        Command::Init(args) => init::run(written_admin.as_deref(), args),
        Command::Import(args) => import::run(&args),
        Command::Status(args) => status::run(remote, &args),
        Command::Shift(args) => change::shift(remote, args),
        Command::Flip(args) => change::flip(remote, args),
        Command::Rollback(args) => change::rollback(remote, args),
        Command::Sync(args) => sync::run(remote, &args),
        Command::Diff(args) => diff::run(remote, &args),
        Command::Fleet(args) => fleet::run(remote, &args),
        Command::History(args) => history::run(remote, &args),
        Command::Hold(args) => hold::run(remote, args),
        Command::Explain(args) => explain::run(remote, &args),
        Command::Flag(args) => flag::run(remote, args),
        Command::Rollout(args) => rollout::run(remote, args),
        Command::Simulate(args) => simulate::run(remote, &args),
        Command::Experiment(args) => experiment::run(remote, &args),
        Command::Mirror(args) => mirror::run(remote, args),
        Command::Chaos(args) => chaos::run(remote, args),
        Command::Drain(args) => endpoint::drain(remote, args),
        Command::Ready(args) => endpoint::ready(remote, args),
        Command::Upgrade(args) => upgrade::run(remote, args),
        Command::Probe(args) => probe::run(remote, &args),
        Command::Completions(args) => {
            completions::run(&args);
            Ok(())
        }
        Command::Man(args) => man::run(&args),
    };
    done.map_or_else(|error| error.exit(remote.json), |()| ExitCode::SUCCESS)
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The call to the admin API.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A commit would not be put in force.
    #[error(transparent)]
    Declined(CallError),
    /// The arguments.
    #[error("{0}")]
    Usage(String),
    /// What is named is not there.
    #[error("{0}")]
    Unknown(String),
    /// A rollout that was followed did not come to its good end.
    #[error("the rollout was not completed: {0}")]
    Unfinished(String),
    /// What is done on this machine, or a proxy that is not ready.
    #[error("{0}")]
    Failed(String),
    /// The hypothesis of a chaos experiment that was followed did not hold.
    #[error("{0}")]
    NotHeld(String),
}

impl CommandError {
    /// Says it, and chooses the exit code. Scripts read a problem in JSON on standard output, people the same on
    /// standard error.
    fn exit(&self, json: bool) -> ExitCode {
        if let Some(problem) = self.to_json().filter(|_| json) {
            text::print(&text::json(&problem));
        }
        text::complain(&format!("pointsman: {}", chain(self)));
        ExitCode::from(self.code())
    }

    fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Call(CallError::Address(_) | CallError::Tls(_)) => EXIT_USAGE,
            Self::Declined(_) => EXIT_DECLINED,
            Self::Call(_) | Self::Unknown(_) | Self::Failed(_) | Self::Unfinished(_) | Self::NotHeld(_) => EXIT_FAILED,
        }
    }

    /// The problem document for scripts; none if they have read an answer.
    fn to_json(&self) -> Option<Value> {
        let problem = |title: &str| serde_json::json!({ "title": title, "detail": chain(self) });
        match self {
            Self::Call(error) | Self::Declined(error) => Some(error.to_json()),
            Self::Usage(_) => Some(problem("wrong usage")),
            Self::Unknown(_) => Some(problem("not found")),
            Self::Failed(_) => Some(problem("failed")),
            Self::Unfinished(_) | Self::NotHeld(_) => None,
        }
    }
}

impl Remote {
    /// What is not written comes from the environment.
    fn with_environment(self, value: impl Fn(&str) -> Option<OsString>) -> Self {
        let [admin, ca, cert, key] = ENVIRONMENT.map(value);
        Self {
            admin: self.admin.or_else(|| Some(admin?.to_string_lossy().into_owned())),
            ca: self.ca.or_else(|| ca.map(PathBuf::from)),
            cert: self.cert.or_else(|| cert.map(PathBuf::from)),
            key: self.key.or_else(|| key.map(PathBuf::from)),
            json: self.json,
        }
    }

    /// How TLS is spoken, if the address says so.
    fn tls(&self) -> Result<ClientSettings, CommandError> {
        let identity = match (&self.cert, &self.key) {
            (Some(certificate), Some(key)) => Some(KeyPair { certificate: certificate.clone(), key: key.clone() }),
            (None, None) => None,
            (Some(_), None) => return Err(CommandError::Usage("found --cert alone, want --key with it".to_owned())),
            (None, Some(_)) => return Err(CommandError::Usage("found --key alone, want --cert with it".to_owned())),
        };
        Ok(ClientSettings {
            trust: self.ca.clone().map_or(Trust::System, Trust::Ca),
            identity,
            server_name: None,
            alpn: vec![Alpn::Http11],
        })
    }

    /// Makes a call; with `--json` prints the answer, otherwise hands it to `show`.
    fn call(&self, call: Call<'_>, show: impl FnOnce(&Value) -> String) -> Result<(), CommandError> {
        let patience = call.patience();
        self.call_for(patience, call, show)
    }

    fn client(&self) -> Result<AdminClient, CommandError> {
        let token = std::env::var("POINTSMAN_TOKEN").ok().filter(|token| !token.is_empty());
        let client = AdminClient::new(self.admin.as_deref().unwrap_or(client::DEFAULT_ADMIN), token)?;
        let client = client.with_tls(self.tls()?);
        Ok(if std::io::stderr().is_terminal() { client.saying(text::complain) } else { client })
    }

    /// Makes a call whose answer is not printed at once.
    fn ask(&self, call: Call<'_>) -> Result<Value, CommandError> {
        let answer = self.answer(call.patience(), call)?;
        Ok(if self.json { answer } else { text::harmless_texts(answer) })
    }

    /// The answer; a refusal is in the words of the command line, unless a program reads it.
    fn answer(&self, patience: Duration, call: Call<'_>) -> Result<Value, CommandError> {
        let path = call.path;
        self.reworded(path, self.client()?.call_for(patience, call))
    }

    /// The same for an answer that is lines of text.
    fn lines(&self, call: Call<'_>) -> Result<AnsweredLines, CommandError> {
        let path = call.path;
        self.reworded(path, self.client()?.lines(call))
    }

    fn reworded<T>(&self, path: &str, mut answered: Result<T, CallError>) -> Result<T, CommandError> {
        if let Err(CallError::Refused { problem, .. }) = &mut answered
            && !self.json
        {
            *problem = option_words::of(path, problem.take());
        }
        Ok(answered?)
    }

    /// The same for a call that may take longer.
    fn call_for(
        &self,
        patience: Duration,
        call: Call<'_>,
        show: impl FnOnce(&Value) -> String,
    ) -> Result<(), CommandError> {
        let answer = self.answer(patience, call)?;
        match self.json {
            true => text::print(&text::json(&answer)),
            false => text::show(&show(&text::harmless_texts(answer))),
        }
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

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    fn remote(arguments: &[&str]) -> Remote {
        Cli::try_parse_from([&["pointsman"], arguments, &["status"]].concat()).expect("good arguments").remote
    }

    #[test]
    fn what_is_not_written_comes_from_the_environment() {
        let environment = |name: &str| Some(OsString::from(format!("from-{name}")));
        let found = remote(&["--ca", "written.pem"]).with_environment(environment);
        assert_eq!(found.admin.as_deref(), Some("from-POINTSMAN_ADMIN"));
        assert_eq!(found.ca, Some(PathBuf::from("written.pem")), "what is written comes first");
        assert_eq!((found.cert, found.key), (Some("from-POINTSMAN_CERT".into()), Some("from-POINTSMAN_KEY".into())));
        let none = remote(&[]).with_environment(|_| None);
        assert_eq!((none.admin, none.cert), (None, None));
    }

    #[test]
    fn a_certificate_and_its_key_come_together_wherever_they_come_from() {
        let from = |name: &'static str| move |asked: &str| (asked == name).then(|| OsString::from("x.pem"));
        let both = remote(&["--cert", "c.pem"]).with_environment(from("POINTSMAN_KEY"));
        assert!(both.tls().is_ok_and(|settings| settings.identity.is_some()));
        for alone in [remote(&["--cert", "c.pem"]), remote(&["--key", "k.pem"])] {
            let error = alone.tls().expect_err("half of a pair");
            assert!(error.code() == EXIT_USAGE && error.to_string().contains("alone, want --"), "{error}");
        }
    }

    /// The binary is run with the environment set in `tests/it`.
    #[test]
    fn how_a_command_is_used_names_what_it_needs_and_nothing_else() {
        let error = Cli::try_parse_from(["pointsman", "flip", "shop"]).expect_err("a version is missing");
        assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument);
        assert!(error.to_string().contains("Usage: pointsman flip <SERVICE> <VERSION>"), "{error}");
    }

    #[test]
    fn wrong_usage_is_64_and_what_is_not_there_is_1_and_both_are_told_to_scripts() {
        let [usage, unknown] =
            [CommandError::Usage("want x".to_owned()), CommandError::Unknown("found no x".to_owned())];
        assert_eq!((usage.code(), unknown.code()), (64, 1));
        let title = |error: &CommandError| error.to_json().expect("a problem")["title"].clone();
        assert_eq!((title(&usage), title(&unknown)), ("wrong usage".into(), "not found".into()));
        assert_eq!(CommandError::Unfinished("aborted".to_owned()).to_json(), None, "the rollout was printed");
    }
}
