//! Where the planes meet: everything is bound first, then run. Nothing else wires parts together.
//!
//! [`Bound::bind`] does all that can fail for a reason that an operator can mend (ports, the store, tokens), so that a
//! process either refuses to start or serves. [`Bound::run`] takes a shutdown future; tests and `main` use the same door.

mod settings;
mod sockets;

use std::fs::OpenOptions;
use std::future::Future;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::{AccessLog, Config, LogFormat};
use crate::control::{self, Store, Writer};
use crate::proxy::accept::{self, WorkerParts};
use crate::proxy::access_log::{self, LogSender};
use crate::stats::Registry;

pub use sockets::{AdminAddress, BindError};
use sockets::{AdminSocket, BoundListener};

/// What a caller decides, rather than the config.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Keep revisions in memory only: for demonstrations and tests.
    pub in_memory: bool,
    /// The config's file, to be watched and read again on SIGHUP.
    pub config_path: Option<PathBuf>,
}

/// Where a bound process can be reached.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The listeners by name, with the ports that port 0 became.
    pub listeners: Vec<(crate::table::Name, std::net::SocketAddr)>,
    /// The admin API.
    pub admin: AdminAddress,
}

/// A process that has all it needs.
pub struct Bound {
    config: Config,
    options: Options,
    listeners: Vec<BoundListener>,
    admin_socket: AdminSocket,
    writer: Writer,
    registry: Arc<Registry>,
    clock_start: Instant,
    workers: usize,
    log_out: Option<Box<dyn Write + Send>>,
}

/// Why a process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The store of revisions.
    #[error(transparent)]
    Store(#[from] control::store::StoreError),
    /// The writer of the traffic state.
    #[error(transparent)]
    Writer(#[from] control::writer::StartError),
    /// The access log.
    #[error("access_log.path: cannot open {path}; make its folder exist and be writable")]
    AccessLog {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Why a process ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The system has no thread or no descriptors left for a part.
    #[error("cannot run the {part}")]
    Part {
        /// Which.
        part: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The writer of the traffic state did not start.
    #[error(transparent)]
    Writer(#[from] control::writer::StartError),
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bound").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}

impl Bound {
    /// Binds sockets, opens the store, restores the traffic and reads the tokens.
    ///
    /// # Errors
    /// [`StartError`], with what to do.
    pub fn bind(config: Config, options: Options) -> Result<Self, StartError> {
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        let workers = config.proxy.workers.map_or_else(cores, usize::from);
        let listeners = sockets::listeners(&config.listeners, workers)?;
        let admin_socket = sockets::admin(&config.admin.address)?;
        let store = if options.in_memory { Store::in_memory()? } else { Store::open(&config.state.path)? };
        let registry = Arc::new(Registry::new(workers));
        let writer = Writer::new(store, Arc::clone(&registry), config.services.clone())?;
        let log_out = open_log(&config.access_log)?;
        let clock_start = Instant::now();
        Ok(Self { config, options, listeners, admin_socket, writer, registry, clock_start, workers, log_out })
    }

    /// Where the process can be reached.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        let listeners = self.listeners.iter().map(|listener| (listener.name.clone(), listener.address));
        Addresses { listeners: listeners.collect(), admin: self.admin_socket.address() }
    }

    /// Runs until `shutdown`, then lets requests end.
    ///
    /// # Errors
    /// [`RunError`] when a part cannot be started or has ended in a panic.
    pub fn run(mut self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), RunError> {
        let (stop, stopped) = watch::channel(false);
        let (log, log_thread) = self.start_log()?.unzip();
        let published = self.writer.published();
        let (handle, writer_thread) = self.writer.start()?;
        let settings = settings::worker(&self.config, log, self.clock_start);
        let dealt = sockets::by_worker(self.listeners, self.workers, &self.config);
        let mut workers = Vec::new();
        for (index, listeners) in dealt.into_iter().enumerate() {
            let parts = WorkerParts {
                index,
                settings: settings.clone(),
                listeners,
                table: Arc::clone(&published),
                registry: Arc::clone(&self.registry),
                shutdown: stopped.clone(),
                drain_max: self.config.proxy.shutdown_timeout,
            };
            workers.push(spawn("worker", move || accept::run(parts))?);
        }
        drop(settings);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|source| RunError::Part { part: "shutdown signal", source })?.block_on(shutdown);
        // An error says that every worker has ended already.
        let _all_gone = stop.send(true);
        for worker in workers {
            let cut = joined(worker, "worker")?;
            if cut > 0 {
                tracing::warn!(connections = cut, "cut connections that did not end within proxy.shutdown_timeout");
            }
        }
        drop(handle);
        for thread in [Some(writer_thread), log_thread].into_iter().flatten() {
            joined_plain(thread);
        }
        Ok(())
    }

    fn start_log(&mut self) -> Result<Option<(LogSender, JoinHandle<()>)>, RunError> {
        let format = match self.config.access_log.format {
            LogFormat::Off => return Ok(None),
            LogFormat::Json => access_log::LogFormat::Json,
            LogFormat::Text => access_log::LogFormat::Text,
        };
        let Some(out) = self.log_out.take() else { return Ok(None) };
        let started = access_log::start(format, self.config.access_log.sample, out);
        started.map(Some).map_err(|source| RunError::Part { part: "access log", source })
    }
}

/// Opens what the access log is written to, if there is one.
fn open_log(log: &AccessLog) -> Result<Option<Box<dyn Write + Send>>, StartError> {
    match (log.format, &log.path) {
        (LogFormat::Off, _) => Ok(None),
        (LogFormat::Json | LogFormat::Text, None) => Ok(Some(Box::new(io::stdout()))),
        (LogFormat::Json | LogFormat::Text, Some(path)) => {
            let opened = OpenOptions::new().create(true).append(true).open(path);
            let file = opened.map_err(|source| StartError::AccessLog { path: path.display().to_string(), source })?;
            Ok(Some(Box::new(file)))
        }
    }
}

fn spawn<T: Send + 'static>(
    part: &'static str,
    run: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<JoinHandle<io::Result<T>>, RunError> {
    let named = thread::Builder::new().name(part.to_owned()).spawn(run);
    named.map_err(|source| RunError::Part { part, source })
}

fn joined<T>(thread: JoinHandle<io::Result<T>>, part: &'static str) -> Result<T, RunError> {
    let ended = thread.join().unwrap_or_else(|_panic| Err(io::Error::other("it ended in a panic, which is a bug")));
    ended.map_err(|source| RunError::Part { part, source })
}

fn joined_plain(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread ended in a panic, which is a bug");
    }
}
