//! A process that is started for a measurement and ends with it.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio, exit};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

/// How long a process may take to be there, and to be gone. Envoy needs a second on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Those that run, for [`end_with_us`].
static STARTED: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// From now on no child stays behind when this process is told to end; a terminal tells all of them, `kill` only one.
///
/// # Errors
/// Signals cannot be waited for.
pub(crate) fn end_with_us() -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("a thread for signals: {error}"))?;
    let mut ended = {
        let _inside = runtime.enter();
        signal(SignalKind::terminate()).map_err(|error| format!("signals: {error}"))?
    };
    thread::spawn(move || {
        runtime.block_on(ended.recv());
        for started in STARTED.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            kill_process(*started, Signal::TERM).ok();
        }
        exit(1);
    });
    Ok(())
}

/// A process, with what it says in a file.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a program and waits until it listens at all of `addresses`.
    ///
    /// # Errors
    /// Why not, with the end of what it said.
    pub(crate) fn start(
        name: &str,
        command: &mut Command,
        folder: &Path,
        addresses: &[SocketAddr],
    ) -> Result<Self, String> {
        let log = folder.join("said");
        let file = |error| format!("{}: {error}", log.display());
        let said = File::create(&log).map_err(file)?;
        let also = said.try_clone().map_err(file)?;
        let child = command.stdin(Stdio::null()).stdout(said).stderr(also).spawn();
        let child = child.map_err(|error| format!("{name}: cannot start {:?}: {error}", command.get_program()))?;
        STARTED.lock().unwrap_or_else(PoisonError::into_inner).push(Pid::from_child(&child));
        let mut running = Self { name: name.to_owned(), child, log };
        let deadline = Instant::now() + PATIENCE;
        while addresses.iter().any(|address| TcpStream::connect(address).is_err()) {
            if running.has_ended() || Instant::now() > deadline {
                return Err(format!("{name} does not listen at {addresses:?}; it said:\n{}", running.said()));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(running)
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Tells it something.
    pub(crate) fn signal(&self, signal: Signal) {
        // Not yet waited for, so the number is still this process's.
        kill_process(Pid::from_child(&self.child), signal).ok();
    }

    /// The last lines that it said.
    pub(crate) fn said(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Running {
    /// Asked first, so that it can end its children (nginx); none of them has anything to finish.
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(2);
        while !self.has_ended() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        self.child.kill().ok();
        let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
        started.retain(|pid| *pid != Pid::from_child(&self.child));
        if let Err(error) = self.child.wait() {
            eprintln!("{}: {error}", self.name);
        }
    }
}

/// Addresses without a listener, all different.
pub(crate) fn free_addresses<const COUNT: usize>() -> [SocketAddr; COUNT] {
    let listeners = [(); COUNT].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}
