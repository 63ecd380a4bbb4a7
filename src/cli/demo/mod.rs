//! `pointsman demo`: the whole of it in one process on loopback, with nothing to set up and nothing left behind.
//!
//! [`shop`] is what is released (its [versions](shop_version), how they are [built](shop_build), and what
//! [load](shop_load) they carry), [`users`] are the people who must not notice, and [`stage`] puts the proxy between
//! them; [`tally`] counts what the users saw. [`live`] shows it, as [`view`] lays it out ([`shell_line`] what is to be
//! copied), on a [screen](super::terminal::screen) with
//! [keys](demo_key) or line by line; [`canary`] releases a version that may have a [`bug`], and lets the proxy
//! judge it; [`script`] walks through a release by itself and checks every promise on the way, with the [`slot`] of
//! each user; [`flag_launch`] shows a flag that has the very users of a version; [`fault_drill`] injects a fault into
//! the [payments](pay_service), once where users notice, and once where they are shielded from it; [`game`] is played
//! in the console. All of them move the traffic as anybody would: [`operator`] is a client of the admin API.
//!
//! Nothing here looks into the proxy: users and operator come through real sockets, so that what the demo shows is what
//! a stranger could measure.

mod bug;
mod canary;
mod demo_key;
mod fault_drill;
mod flag_launch;
mod game;
mod live;
mod operator;
mod pay_service;
mod script;
mod shell_line;
mod shop;
mod shop_build;
mod shop_load;
mod shop_version;
mod slot;
mod stage;
mod tally;
mod users;
mod view;
mod visit_error;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use clap::Args;

use self::bug::Bug;
use self::demo_key::DemoKey;
use self::pay_service::PayShield;
use self::stage::DemoStage;
use super::terminal::end_signals;
use super::{EXIT_FAILED, chain, text};

/// See it work: two versions of a shop, simulated users, the proxy and its admin API, all on loopback
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  pointsman demo\n  pointsman demo --script\n  pointsman demo --bug errors\n  \
    pointsman demo --flags\n  pointsman demo --chaos\n  \
    pointsman demo --seconds 30 | tee demo.log\n\n\
    On a terminal it shows a live view with keys to shift, flip and roll back; elsewhere it prints a line a second.\n\
    The console whose address it prints has a game: you are the release engineer, and v2 may have a bug.\n\
    Everything is kept in memory; no files are written.")]
pub struct DemoArgs {
    /// How many users there are
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    users: u32,
    /// Requests a second of all users together
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    rate: u32,
    /// End after this many seconds; without it, on Ctrl-C or q
    #[arg(long, value_name = "N", conflicts_with = "script")]
    seconds: Option<u64>,
    /// Shift to 10 %, to 50 %, flip and roll back by itself, check what the users saw, and end; exit code 1 if a check
    /// fails
    #[arg(long)]
    script: bool,
    /// Release v2 as a canary that judges itself, with this bug in v2; exit code 1 unless it ends as it should
    #[arg(long, value_enum, conflicts_with_all = ["script", "seconds"])]
    bug: Option<Bug>,
    /// Launch a flag to 10 % of the users, who are exactly those on v2, then to half of them, and take it back; exit
    /// code 1 unless every user has what they should
    #[arg(long, conflicts_with_all = ["script", "seconds", "bug"])]
    flags: bool,
    /// Make the payments of v1 slow for some users, until it is proved that they are worse off; and again with a
    /// shield, behind which they are not. Exit code 1 unless the first hypothesis is broken and the second one holds
    #[arg(long, conflicts_with_all = ["script", "seconds", "bug", "flags"])]
    chaos: bool,
    /// The port of the proxy; 0: any free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The port of the admin API; 0: any free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    admin_port: u16,
    /// Decides what users ask for and when; without it, another one each time
    #[arg(long)]
    seed: Option<u32>,
}

impl DemoArgs {
    /// Whether the console has the game: what is checked by a script is left alone.
    fn has_game(&self) -> bool {
        !self.script && !self.flags && !self.chaos && self.bug.is_none()
    }
}

/// Something that the demo reacts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// A key that means something.
    Key(DemoKey),
    /// A signal to end.
    End,
}

/// How the demo ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// As it should.
    Good,
    /// A check failed.
    Failed,
}

/// Why the demo could not go on.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    /// Something did not start or stop.
    #[error(transparent)]
    Stage(#[from] stage::StageError),
    /// The terminal or the pipe that is written to.
    #[error("cannot write to the terminal")]
    Output(#[from] io::Error),
}

/// Runs the demo until it is ended.
#[must_use]
pub fn run(args: &DemoArgs) -> ExitCode {
    match play(args) {
        Ok(Ending::Good) => ExitCode::SUCCESS,
        Ok(Ending::Failed) => ExitCode::from(EXIT_FAILED),
        // A reader that closes the pipe, such as `head`, has seen enough.
        Err(DemoError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            text::complain(&format!("pointsman demo: {}", chain(&error)));
            ExitCode::from(EXIT_FAILED)
        }
    }
}

fn play(args: &DemoArgs) -> Result<Ending, DemoError> {
    let (events, incoming) = mpsc::channel();
    end_signals::watch(events.clone(), || Event::End)?;
    let seed = args.seed.unwrap_or_else(rand::random);
    if args.chaos {
        return drill(args, seed, &incoming);
    }
    let stage = DemoStage::set(args, seed, PayShield::None)?;
    let ending = if let Some(bug) = args.bug {
        announce(&stage, &mut io::stdout().lock())?;
        canary::release(&stage, bug, &incoming, &mut io::stdout().lock())
    } else if args.flags {
        announce(&stage, &mut io::stdout().lock())?;
        flag_launch::walk(&stage, &incoming, &mut io::stdout().lock())
    } else if args.script {
        announce(&stage, &mut io::stdout().lock())?;
        script::walk(&stage, &incoming, &mut io::stdout().lock())
    } else {
        let until = args.seconds.map(Duration::from_secs);
        live::show(&stage, events, &incoming, until).map(|()| Ending::Good)
    };
    stage.strike()?;
    Ok(ending?)
}

/// The same fault twice: without a shield, and with one.
fn drill(args: &DemoArgs, seed: u32, incoming: &Receiver<Event>) -> Result<Ending, DemoError> {
    for shield in [PayShield::None, PayShield::On] {
        let stage = DemoStage::set(args, seed, shield)?;
        let mut out = io::stdout().lock();
        if shield == PayShield::None {
            announce(&stage, &mut out)?;
        }
        let act = fault_drill::act(&stage, shield, incoming, &mut out);
        stage.strike()?;
        match act? {
            Some(true) => {}
            Some(false) => return Ok(Ending::Failed),
            // It was asked to end.
            None => return Ok(Ending::Good),
        }
    }
    Ok(Ending::Good)
}

/// Says where everything is, for those who read lines.
fn announce(stage: &DemoStage, out: &mut impl Write) -> io::Result<()> {
    let users = text::thousands(u64::from(stage.crowd.users));
    writeln!(out, "pointsman demo: {users} users, {} requests/s, seed {}", stage.crowd.rate, stage.crowd.seed)?;
    writeln!(out, "proxy {}, admin {}", stage.places.proxy, stage.places.admin)?;
    writeln!(out, "console {}", stage.places.console())?;
    if let Some(game) = stage.places.game() {
        writeln!(out, "you are the release engineer; deploy v2, it may have a bug:\n  {game}")?;
    }
    writeln!(out, "try in another terminal:")?;
    for command in view::commands(&stage.places, &program()) {
        writeln!(out, "  {command}")?;
    }
    writeln!(out)
}

/// How this program was called, so that the commands it shows can be pasted.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "pointsman".to_owned())
}
