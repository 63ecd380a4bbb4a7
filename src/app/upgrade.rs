//! An upgrade in place, on the side of the process that is replaced: it starts the new one with its own listening
//! sockets, lends it the store, and goes on as if nothing was unless the new one says that it serves.
//!
//! The new process reads the config, certificates and tokens by itself. Who saves a file in place has half of it there
//! for a moment, which may be good by itself, and this process knows (`control/files`): so it waits until they are
//! whole, and looks whether they still are the same when the new one has read them.
//!
//! First the new binary checks the config by itself (`check`), with its output read: most of what goes wrong, goes
//! wrong there, and can be told in its own words. `handover` has the rest of the conversation.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, timeout, timeout_at};

use super::handed_parts::HandedParts;
use super::handover::HandoverMessage;
use super::inherited::CHANNEL;
use super::systemd;
use crate::admin::upgrade_calls::{CheckFinding, OutcomeSender, Successor, UpgradeCalls, UpgradeError};
use crate::control::{ApplyError, Handle};
use crate::files::reload::{Files, Settled};
use crate::files::watcher::in_background;
use crate::ledger::ledger_handle::LedgerHandle;
use crate::problem::chain;
use crate::supervise::Fatal;

/// The first descriptor of those that are handed over.
const FIRST_DESCRIPTOR: i32 = 3;

/// How long a process that has hung up may take to end, so that its exit code can be told.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// How long what the rollouts have found may take to be stored.
const KEEP_MAX: Duration = Duration::from_secs(2);

/// So much of what `check` says is passed on, in bytes, when it is no report.
const CHECK_BYTES_MAX: usize = 4096;

/// How this program is started again.
#[derive(Clone, Debug)]
pub struct Program {
    /// The binary, as it was called: a link is followed anew.
    pub path: PathBuf,
    /// The arguments of this process.
    pub arguments: Vec<OsString>,
    /// The arguments that check the same config.
    pub check: Vec<OsString>,
}

/// Listens to SIGUSR2. Inside a tokio runtime.
pub(crate) fn listen() -> io::Result<Signal> {
    signal(SignalKind::user_defined2())
}

/// How a process ends.
#[derive(Debug)]
pub(crate) enum End {
    /// It was told to.
    Told,
    /// Another one has taken over; the caller that asked for it wants to know.
    Replaced(Successor, Option<OutcomeSender>),
    /// A part that it cannot do without is given up.
    Broken(Fatal),
}

/// What an upgrade needs.
#[derive(Debug)]
pub(crate) struct Upgrader {
    pub(crate) program: Option<Program>,
    pub(crate) signal: Option<Signal>,
    /// Also to begin workers again on.
    pub(crate) sockets: Arc<Vec<(String, OwnedFd)>>,
    pub(crate) handle: Handle,
    pub(crate) ledger: LedgerHandle,
    pub(crate) handed: HandedParts,
    pub(crate) calls: UpgradeCalls,
    /// What the new process will read.
    pub(crate) files: Vec<Files>,
    pub(crate) timeout: Duration,
}

impl Upgrader {
    /// Lets go of the sockets and the writer, when the end has come before anything began.
    pub(crate) fn told(self) -> End {
        End::Told
    }

    /// Upgrades when it is asked to, by a call or SIGUSR2, until one has succeeded or `shutdown` ends.
    pub(crate) async fn until_end(mut self, mut shutdown: Pin<Box<impl Future<Output = ()>>>) -> End {
        loop {
            let answer = tokio::select! {
                () = &mut shutdown => return End::Told,
                Some(answer) = self.calls.next() => Some(answer),
                () = next(&mut self.signal) => None,
            };
            self.calls.set_busy(true);
            let error = match self.replace(shutdown.as_mut()).await {
                Ok(successor) => return End::Replaced(successor, answer),
                Err(error) => error,
            };
            tracing::error!(%error, "no upgrade");
            systemd::status("serving; the last upgrade has failed, see the log");
            let ending = error == UpgradeError::Ending;
            self.calls.set_busy(false);
            if let Some(answer) = answer {
                answer.send(Err(error)).ok();
            }
            if ending {
                return End::Told;
            }
        }
    }

    async fn replace(&self, mut shutdown: Pin<&mut impl Future<Output = ()>>) -> Result<Successor, UpgradeError> {
        let program =
            self.program.as_ref().ok_or(UpgradeError::Unavailable("it was not started by `pointsman run`"))?;
        if std::process::id() == 1 {
            return Err(UpgradeError::Unavailable("it is the first process of its container, which ends with it"));
        }
        tracing::info!(binary = %program.path.display(), "upgrading in place");
        let failed = |why: String| UpgradeError::Failed(why);
        let late = || failed(format!("nothing within proxy.upgrade_timeout, {:?}", self.timeout));
        let settled = tokio::select! {
            settled = self.settled() => settled?,
            () = &mut shutdown => return Err(UpgradeError::Ending),
        };
        tokio::select! {
            checked = timeout(self.timeout, check(program)) => checked.unwrap_or_else(|_elapsed| Err(late()))?,
            () = &mut shutdown => return Err(UpgradeError::Ending),
        }
        let why = |error: io::Error| failed(format!("cannot start {}: {error}", program.path.display()));
        let mut new = start(program, &self.sockets).map_err(why)?;
        let taken = tokio::select! {
            taken = timeout(self.timeout, self.hand_over(&mut new, settled)) => taken.unwrap_or_else(|_elapsed| Err(late())),
            () = &mut shutdown => Err(UpgradeError::Ending),
        };
        let Err(error) = taken else {
            let process = new.child.id().unwrap_or_default();
            tracing::info!(process, "the new process has taken over");
            return Ok(Successor { process });
        };
        let ended = new.end(matches!(error, UpgradeError::Failed(_))).await;
        self.take_store_back().await;
        Err(match &error {
            UpgradeError::Failed(why) => UpgradeError::Failed(format!("{why} ({ended})")),
            UpgradeError::Unavailable(_)
            | UpgradeError::Busy
            | UpgradeError::Config { .. }
            | UpgradeError::Unsettled { .. }
            | UpgradeError::Ending => error,
        })
    }

    /// Waits until all files are whole that the new process will read. The config comes first: what it names is known
    /// then.
    async fn settled(&self) -> Result<Vec<(&'static str, Settled)>, UpgradeError> {
        let until = Instant::now() + self.timeout;
        let mut settled = Vec::new();
        for files in &self.files {
            let Ok(answer) = timeout_at(until, files.settled()).await else {
                let what = format!("not whole within proxy.upgrade_timeout, {:?}", self.timeout);
                return Err(UpgradeError::Unsettled { files: files.name, what });
            };
            // Without an answer the process ends soon, for what read them has ended.
            settled.extend(answer.map(|answer| (files.name, answer)));
        }
        Ok(settled)
    }

    /// From the start of the new process to its word that it serves.
    async fn hand_over(&self, new: &mut New, settled: Vec<(&'static str, Settled)>) -> Result<(), UpgradeError> {
        let unexpected = |found| UpgradeError::Failed(format!("found {found:?}, which is not what it has to say"));
        let heard = new.hear().await;
        // Whatever it says of files that have changed meanwhile, it may have read them half written.
        unchanged(settled).await?;
        match heard? {
            HandoverMessage::Prepared => {}
            HandoverMessage::Failed(why) => return Err(UpgradeError::Failed(why)),
            other @ (HandoverMessage::Released | HandoverMessage::Ready) => return Err(unexpected(other)),
        }
        // What it finds later is lost with this process; a store that is slow must not keep a new one from serving.
        timeout(KEEP_MAX, self.handed.rollouts.keep()).await.ok();
        timeout(KEEP_MAX, self.handed.budgets.keep()).await.ok();
        // Its faults go now, and its records with the store.
        timeout(KEEP_MAX, self.handed.chaos.release()).await.ok();
        self.handle.hand_over_store().await.map_err(|error| match &error {
            ApplyError::Gone(_) => UpgradeError::Ending,
            ApplyError::Store(_)
            | ApplyError::Problems(_)
            | ApplyError::Outdated { .. }
            | ApplyError::Compile(_)
            | ApplyError::Unusable(_)
            | ApplyError::Fleet(_)
            | ApplyError::Upgrading(_) => UpgradeError::Failed(chain(&error)),
        })?;
        self.handed.budgets.lend();
        if let Err(error) = self.ledger.hand_over().await {
            // It must not keep a new process from serving: what is lost is lost in both arms alike.
            tracing::error!(%error, "what experiments have counted since the last commit is lost with this process");
        }
        let line = HandoverMessage::Released.line();
        // If it is gone already, hearing nothing more from it says so.
        new.writes.write_all(line.as_bytes()).await.ok();
        match new.hear().await? {
            HandoverMessage::Ready => Ok(()),
            HandoverMessage::Failed(why) => Err(UpgradeError::Failed(why)),
            other @ (HandoverMessage::Released | HandoverMessage::Prepared) => Err(unexpected(other)),
        }
    }

    async fn take_store_back(&self) {
        match self.handle.take_store_back().await {
            Ok(()) => {}
            Err(error) => {
                let error = chain(&error);
                tracing::error!(error, "cannot open the store again; changes are refused until it works");
            }
        }
        // What is wrong is told already, and tried again.
        self.ledger.take_back().await.ok();
        self.handed.chaos.take_back().await.ok();
    }
}

/// A process that may take over.
struct New {
    child: Child,
    reads: Lines<BufReader<OwnedReadHalf>>,
    writes: OwnedWriteHalf,
}

impl New {
    async fn hear(&mut self) -> Result<HandoverMessage, UpgradeError> {
        let line = self.reads.next_line().await.ok().flatten();
        let line = line.ok_or_else(|| UpgradeError::Failed("it ended before it served, see the log".to_owned()))?;
        HandoverMessage::parse(&line)
            .ok_or_else(|| UpgradeError::Failed(format!("found {line:?}, want a word of ours")))
    }

    /// Ends it, unless it ends by itself, for which it may have a moment; says how it ended.
    async fn end(&mut self, patient: bool) -> String {
        let breath = if patient { LAST_BREATH } else { Duration::ZERO };
        let waited = match timeout(breath, self.child.wait()).await {
            Ok(waited) => waited,
            Err(_elapsed) => {
                // An error says that it has ended in between.
                self.child.start_kill().ok();
                self.child.wait().await
            }
        };
        waited.map_or_else(|error| error.to_string(), |status| status.to_string())
    }
}

/// Whether the files are those that were whole.
async fn unchanged(settled: Vec<(&'static str, Settled)>) -> Result<(), UpgradeError> {
    let changed = in_background(move || settled.into_iter().find(|(_, files)| !files.is_current()));
    match changed.await.flatten() {
        Some((files, _)) => {
            let what = "written while the new process started".to_owned();
            Err(UpgradeError::Unsettled { files, what })
        }
        None => Ok(()),
    }
}

/// What `check --json` says of a config.
#[derive(Deserialize)]
struct CheckReport {
    problems: Vec<CheckFinding>,
}

/// Lets the new binary check the config; what it says is told when it does not like it.
async fn check(program: &Program) -> Result<(), UpgradeError> {
    let path = program.path.display();
    let mut command = Command::new(&program.path);
    command.args(&program.check).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await;
    let output = output.map_err(|error| UpgradeError::Failed(format!("cannot run {path}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    if let Ok(CheckReport { problems: findings }) = serde_json::from_slice(&output.stdout)
        && !findings.is_empty()
    {
        return Err(UpgradeError::Config { program: path.to_string(), findings });
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let end = said.floor_char_boundary(CHECK_BYTES_MAX);
    let said = said[..end].trim().replace('\n', "; ");
    let said = if said.is_empty() { "it said nothing".to_owned() } else { said };
    Err(UpgradeError::Failed(format!("the check of the config by {path} has failed, {}: {said}", output.status)))
}

fn start(program: &Program, sockets: &[(String, OwnedFd)]) -> io::Result<New> {
    let (ours, theirs) = StdStream::pair()?;
    ours.set_nonblocking(true)?;
    let channel = [(CHANNEL.to_owned(), OwnedFd::from(theirs))];
    let (mut names, mut mappings) = (Vec::new(), Vec::new());
    for ((name, descriptor), child_fd) in sockets.iter().chain(&channel).zip(FIRST_DESCRIPTOR..) {
        names.push(name.as_str());
        mappings.push(FdMapping { parent_fd: descriptor.try_clone()?, child_fd });
    }
    let mut command = std::process::Command::new(&program.path);
    command.args(&program.arguments);
    command.env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
    // They name the process that systemd started, which is another one.
    command.env_remove("LISTEN_PID").env_remove("LISTEN_PIDFDID").env_remove("WATCHDOG_PID");
    command.fd_mappings(mappings).map_err(io::Error::other)?;
    // The command holds copies of everything until it is dropped, which is here: the channel must end with the child.
    let child = Command::from(command).spawn()?;
    drop(channel);
    let (reads, writes) = UnixStream::from_std(ours)?.into_split();
    Ok(New { child, reads: BufReader::new(reads).lines(), writes })
}

/// The next signal; never, when there is none to listen to.
async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
