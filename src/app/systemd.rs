//! What systemd is told (`Type=notify` or `notify-reload`): that we are ready, reload, stop, and live. Without systemd
//! (no `NOTIFY_SOCKET`) all of this does nothing.

use std::future::{Future, pending};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::control::watch::ConfigFacts;

/// Requests are taken.
pub(super) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// The end has begun.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("open requests may end")]);
}

/// Another process is the main one from now on.
pub(super) fn replaced(process: u32) {
    tell(&[NotifyState::MainPid(process), NotifyState::Status("serving, after an upgrade in place")]);
}

/// One line for `systemctl status`.
pub(super) fn status(line: &str) {
    tell(&[NotifyState::Status(line)]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot tell systemd");
    }
}

/// Tells of reloads and that this thread lives, until `stopped`. A reload is over when the facts of the config are new.
pub(super) async fn run(
    mut facts: watch::Receiver<ConfigFacts>,
    mut hangup: Signal,
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
                tell(&[Some(NotifyState::Reloading), now].into_iter().flatten().collect::<Vec<_>>());
            }
            changed = facts.changed() => {
                if changed.is_err() {
                    return stopped.await;
                }
                let good = facts.borrow_and_update().is_good();
                let status = if good { "serving" } else { "serving; the config file is refused, see the log" };
                tell(&[NotifyState::Ready, NotifyState::Status(status)]);
            }
            () = async { match &mut beat { Some(beat) => drop(beat.tick().await), None => pending().await } } => {
                tell(&[NotifyState::Watchdog]);
            }
        }
    }
}
