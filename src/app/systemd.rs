//! The notices to systemd (`Type=notify` or `notify-reload`): that we are ready, reload, stop, and live. Without
//! systemd (no `NOTIFY_SOCKET`) all of this does nothing.
//!
//! A thread of its own tells it: writing to the socket waits while systemd does not read, and the other threads may not
//! wait for that. Words that find no room in its queue are lost.

use std::future::{Future, pending};
use std::sync::OnceLock;
use std::sync::mpsc::{self, SyncSender};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::control::watch::ConfigFacts;
use crate::supervise::Supervisor;

/// Words that may wait.
const WORDS_MAX: usize = 16;

/// How long the end waits for systemd to be told of it.
const LAST_WORD_MAX: Duration = Duration::from_secs(1);

/// Requests are taken.
pub(crate) fn ready() {
    tell(vec![NotifyState::Ready, NotifyState::Status("serving")]);
}

/// The end has begun.
pub(crate) fn stopping() {
    tell_at_last(vec![NotifyState::Stopping, NotifyState::Status("open requests may end")]);
}

/// Another process is the main one from now on.
pub(crate) fn replaced(process: u32) {
    tell_at_last(vec![NotifyState::MainPid(process), NotifyState::Status("serving, after an upgrade in place")]);
}

/// One line for `systemctl status`.
pub(crate) fn status(line: &'static str) {
    tell(vec![NotifyState::Status(line)]);
}

type Words = Vec<NotifyState<'static>>;

/// Words, and who waits for them to be said.
struct NotifyMessage(Words, Option<mpsc::Sender<()>>);

/// The way to the thread that tells systemd; none without systemd, or without a thread.
fn teller() -> Option<&'static SyncSender<NotifyMessage>> {
    static TELLER: OnceLock<Option<SyncSender<NotifyMessage>>> = OnceLock::new();
    let start = || {
        std::env::var_os("NOTIFY_SOCKET")?;
        let (sender, letters) = mpsc::sync_channel(WORDS_MAX);
        let thread = std::thread::Builder::new().name("systemd".to_owned()).spawn(move || {
            for NotifyMessage(words, told) in letters {
                if let Err(error) = sd_notify::notify(&words) {
                    tracing::warn!(%error, "cannot tell systemd");
                }
                // The caller does not wait any more if it took too long.
                told.map(|told| told.send(()).ok());
            }
        });
        thread.is_ok().then_some(sender)
    };
    TELLER.get_or_init(start).as_ref()
}

fn tell(words: Words) {
    if let Some(teller) = teller() {
        teller.try_send(NotifyMessage(words, None)).ok();
    }
}

/// Tells, and waits for it within bounds: the process may be gone the moment after.
fn tell_at_last(words: Words) {
    let (told, done) = mpsc::channel();
    if teller().is_some_and(|teller| teller.try_send(NotifyMessage(words, Some(told))).is_ok()) {
        done.recv_timeout(LAST_WORD_MAX).ok();
    }
}

/// Tells of reloads and that this thread lives, until `stopped`. A reload is over when the facts of the config are new.
/// The sign of life is kept back while a thread that requests need does not turn.
pub(crate) async fn run(
    facts: &mut watch::Receiver<ConfigFacts>,
    hangup: &mut Signal,
    supervisor: &Supervisor,
    stopped: impl Future<Output = ()>,
) {
    // Twice as often as asked for, as systemd recommends.
    let mut beat = sd_notify::watchdog_enabled().map(|period| interval((period / 2).max(Duration::from_millis(1))));
    if let Some(beat) = &mut beat {
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let mut stopped = std::pin::pin!(stopped);
    loop {
        tokio::select! {
            // In this order: a reload is told before what came of it.
            biased;
            () = &mut stopped => return,
            _ = hangup.recv() => {
                let now = NotifyState::monotonic_usec_now().ok();
                tell([Some(NotifyState::Reloading), now].into_iter().flatten().collect());
            }
            changed = facts.changed() => {
                if changed.is_err() {
                    return stopped.await;
                }
                let good = facts.borrow_and_update().is_good();
                let status = if good { "serving" } else { "serving; the config file is refused, see the log" };
                tell(vec![NotifyState::Ready, NotifyState::Status(status)]);
            }
            () = async { match &mut beat { Some(beat) => drop(beat.tick().await), None => pending().await } } => {
                if supervisor.turns() {
                    tell(vec![NotifyState::Watchdog]);
                }
            }
        }
    }
}
