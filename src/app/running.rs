//! A process at work, and the order in which its parts end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::upgrade::{End, Upgrader};
use super::workers::Workers;
use super::{RunError, joined, systemd};
use crate::admin::KeepSocketFile;
use crate::supervise::Supervisor;

/// How long the end waits for the access log: a slow disk has had its time, a pipe that is not read must not keep us.
const LOG_MAX: Duration = Duration::from_secs(2);

/// How often it is looked whether the access log has ended.
const LOG_POLL: Duration = Duration::from_millis(5);

/// Everything that has to end.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) workers: Workers,
    pub(crate) control: JoinHandle<io::Result<()>>,
    /// It ends when no caller is left.
    pub(crate) writer: JoinHandle<()>,
    /// The same.
    pub(crate) ledger: JoinHandle<()>,
    /// It ends when no worker is left.
    pub(crate) access_log: Option<JoinHandle<()>>,
    pub(crate) stop_workers: watch::Sender<bool>,
    pub(crate) stop_control: watch::Sender<bool>,
    pub(crate) ready: Arc<AtomicBool>,
    pub(crate) keep_socket_file: KeepSocketFile,
    pub(crate) shutdown_delay: Duration,
    pub(crate) supervisor: Supervisor,
}

impl Running {
    /// Waits until the process has to end, and meanwhile looks after what must live.
    pub(crate) async fn until_end(&mut self, upgrader: Upgrader, shutdown: Pin<Box<impl Future<Output = ()>>>) -> End {
        // Let go of before the end begins, as the upgrader's are.
        let sockets = Arc::clone(&upgrader.sockets);
        tokio::select! {
            end = upgrader.until_end(shutdown) => end,
            fatal = self.supervisor.until_fatal() => End::Broken(fatal),
            never = self.supervisor.watch() => match never {},
            never = self.workers.keep(&sockets) => match never {},
        }
    }

    /// Lets requests end, then everything else.
    pub(crate) fn end(self, end: End, runtime: &Runtime) -> Result<(), RunError> {
        let fatal = if let End::Broken(fatal) = &end { Some(fatal.clone()) } else { None };
        match end {
            End::Told | End::Broken(_) => {
                systemd::stopping();
                // The admin API answers until the last request has ended, so that readiness can be seen.
                self.ready.store(false, Ordering::Release);
                if !self.shutdown_delay.is_zero() {
                    let delay = self.shutdown_delay;
                    tracing::info!(?delay, "not ready any more; still taking requests until load balancers know");
                    runtime.block_on(async { sleep(delay).await });
                }
            }
            End::Replaced(successor, answer) => {
                systemd::replaced(successor.process);
                self.keep_socket_file.leave();
                // The next call is for the new process: it knows what is in force.
                self.stop_control.send_replace(true);
                if let Some(answer) = answer {
                    answer.send(Ok(successor)).ok();
                }
            }
        }
        self.stop_workers.send_replace(true);
        let ended = self.workers.join();
        self.stop_control.send_replace(true);
        let controlled = joined(self.control, "control plane");
        for (part, thread) in [("writer", self.writer), ("ledger", self.ledger)] {
            if thread.join().is_err() {
                tracing::error!(part, "it ended in a panic, which is a bug");
            }
        }
        if let Some(log) = self.access_log {
            runtime.block_on(await_log(&log));
        }
        if let Some(fatal) = fatal {
            return Err(fatal.into());
        }
        let cut = ended?;
        if cut > 0 {
            tracing::warn!(connections = cut, "cut connections that did not end within proxy.shutdown_timeout");
        }
        controlled
    }
}

/// Waits for the last lines, but not for a reader that does not read them.
async fn await_log(log: &JoinHandle<()>) {
    let written = async {
        while !log.is_finished() {
            sleep(LOG_POLL).await;
        }
    };
    if timeout(LOG_MAX, written).await.is_err() {
        tracing::warn!("the last lines of the access log are lost: nobody takes them");
    }
}
