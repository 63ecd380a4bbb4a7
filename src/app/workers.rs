//! The workers' threads: started, begun again when one ends before its time, and waited for at the end.
//!
//! A worker that ends takes its own connections with it, and leaves those of other workers alone. Its sockets stay,
//! because the process has second descriptors of them for an upgrade: whom the kernel lets in meanwhile waits there,
//! and is answered by the worker that begins again on the same sockets.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc as sync};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::{RunError, joined, spawn};
use crate::control::publish::Published;
use crate::problem::chain;
use crate::proxy::accept::accept_loop;
use crate::proxy::accept::accept_loop::{WorkerListener, WorkerParts};
use crate::proxy::accept::listener_policy::ListenerSettings;
use crate::proxy::worker::WorkerSettings;
use crate::shared::hold::Holds;
use crate::stats::Registry;
use crate::supervise::{Kind, Part, Supervisor, panic_text};
use crate::table::Name;

/// A socket of a listener, by its name.
pub(crate) type WorkerShared = (String, OwnedFd);

/// What all workers are made of.
pub(crate) struct Factory {
    pub(crate) settings: WorkerSettings,
    /// What the connections of each listener have in common.
    pub(crate) listeners: Vec<(Name, ListenerSettings)>,
    pub(crate) table: Published,
    pub(crate) changes: watch::Receiver<()>,
    pub(crate) holds: watch::Receiver<Arc<Holds>>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) drain_max: Duration,
}

/// The threads.
pub(crate) struct Workers {
    factory: Factory,
    threads: Vec<Thread>,
    /// Which of them has ended.
    ended: (mpsc::UnboundedSender<usize>, mpsc::UnboundedReceiver<usize>),
}

struct Thread {
    part: Part,
    /// None while it is down.
    running: Option<JoinHandle<io::Result<u64>>>,
}

impl Workers {
    /// Starts a worker on each element of `sockets`, and returns when all of them listen.
    pub(crate) fn start(
        factory: Factory,
        sockets: Vec<Vec<WorkerListener>>,
        supervisor: &Supervisor,
    ) -> Result<Self, RunError> {
        let mut workers = Self { factory, threads: Vec::new(), ended: mpsc::unbounded_channel() };
        let (listening, all_listen) = sync::channel();
        for (index, listeners) in sockets.into_iter().enumerate() {
            let part = supervisor.part(format!("worker-{index}"), Kind::Thread);
            let running = Some(workers.spawn(index, listeners, &part, &listening)?);
            workers.threads.push(Thread { part, running });
        }
        drop(listening);
        let count = workers.threads.len();
        if all_listen.iter().take(count).count() < count {
            // One has ended with an error, which has to be told; the others have no client to serve.
            let mut running = workers.threads.into_iter().filter_map(|thread| thread.running);
            let failed = running.find(JoinHandle::is_finished);
            let unknown = || RunError::Part { part: "worker", source: io::Error::other("it does not listen") };
            return Err(failed.and_then(|worker| joined(worker, "worker").err()).unwrap_or_else(unknown));
        }
        Ok(workers)
    }

    fn spawn(
        &self,
        index: usize,
        listeners: Vec<WorkerListener>,
        part: &Part,
        listening: &sync::Sender<()>,
    ) -> Result<JoinHandle<io::Result<u64>>, RunError> {
        let Factory { settings, table, changes, holds, registry, stop, drain_max, .. } = &self.factory;
        let parts = WorkerParts {
            index,
            settings: settings.clone(),
            listeners,
            table: Arc::clone(table),
            changes: changes.clone(),
            holds: holds.clone(),
            registry: Arc::clone(registry),
            shutdown: stop.clone(),
            drain_max: *drain_max,
            listening: listening.clone(),
            part: part.clone(),
        };
        let ended = self.ended.0.clone();
        spawn("worker", move || {
            let result = catch_unwind(AssertUnwindSafe(|| accept_loop::run(parts)));
            // At the end of the process there is no receiver.
            ended.send(index).ok();
            result.unwrap_or_else(|panic| Err(io::Error::other(panic_text(&*panic))))
        })
    }

    /// Begins workers again that end, on second descriptors of their sockets, for as long as this is polled.
    pub(crate) async fn keep(&mut self, sockets: &[WorkerShared]) -> Infallible {
        while let Some(index) = self.ended.1.recv().await {
            let Some(worker) = self.threads.get_mut(index).and_then(|thread| thread.running.take()) else { continue };
            let why = joined(worker, "worker").map_or_else(|error| chain(&error), |_cut| "it ended, a bug".to_owned());
            self.begin_again(index, why, sockets).await;
        }
        pending().await
    }

    async fn begin_again(&mut self, index: usize, mut why: String, sockets: &[WorkerShared]) {
        let part = self.threads[index].part.clone();
        while let Some(pause) = part.ended(&why) {
            sleep(pause).await;
            // No thread waits for it to listen.
            let (listening, _) = sync::channel();
            let begun = self.sockets_of(index, sockets).map_err(|source| RunError::Part { part: "worker", source });
            match begun.and_then(|sockets| self.spawn(index, sockets, &part, &listening)) {
                Ok(worker) => {
                    self.threads[index].running = Some(worker);
                    return part.runs_again();
                }
                Err(error) => why = chain(&error),
            }
        }
    }

    /// The sockets of a worker, dealt out as at the start.
    fn sockets_of(&self, worker: usize, shared: &[WorkerShared]) -> io::Result<Vec<WorkerListener>> {
        let mut sockets = Vec::new();
        for (name, settings) in &self.factory.listeners {
            let of_listener = shared.iter().filter(|(listener, _)| *listener == name.as_str());
            let ours = of_listener.enumerate().filter(|(index, _)| index % self.threads.len() == worker);
            for (_, (_, socket)) in ours {
                let socket = TcpListener::from(socket.try_clone()?);
                sockets.push(WorkerListener { socket, settings: settings.clone() });
            }
        }
        Ok(sockets)
    }

    /// Waits for all of them; how many connections they had to cut.
    pub(crate) fn join(self) -> Result<u64, RunError> {
        // All are waited for before the first error is told: a worker that failed must not cut the others' requests.
        let running = self.threads.into_iter().filter_map(|thread| thread.running);
        let ended: Vec<_> = running.map(|worker| joined(worker, "worker")).collect();
        ended.into_iter().sum()
    }
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}
