//! The meeting of the planes: everything is bound first, then run. Nothing else wires parts together.
//!
//! [`Bound::bind`] does all that can fail for a reason that an operator can mend (ports, the store, tokens), so that a
//! process either refuses to start or serves. [`Bound::run`] takes a shutdown future; tests and `main` use the same
//! door.

mod call_listeners;
pub(crate) mod certificate_reloader;
mod check;
mod control_parts;
mod control_plane;
mod control_tasks;
pub mod descriptors;
mod error;
mod event_listeners;
mod flag_listeners;
mod followed_config;
mod gitops_start;
mod handed_parts;
mod handover;
mod inherited;
mod ledger_parts;
mod log_file;
mod options;
mod running;
mod settings;
mod shared_sockets;
mod sighup;
mod sockets;
mod systemd;
mod tls_material;
mod token_verifier;
mod upgrade;
mod workers;

use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Poll;
use std::thread::{self, JoinHandle};

use tokio::runtime::Runtime;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::admin::{self, Address, ExperimentSources};
use crate::config::Config;
use crate::control::clock::Clock;
use crate::control::file::FileSpecs;
use crate::control::hold_registry::HoldRegistry;
use crate::control::publish::Published;
use crate::control::{Store, Writer};
use crate::endpoints::resolve::{self, First};
use crate::fleet::fleet_start::{self, FleetJoined};
use crate::jwt;
use crate::ledger::ledger_thread::Ledger;
use crate::metrics::Logs;
use crate::proxy::accept::global_limit::GlobalConnectionLimit;
use crate::proxy::access_log::LogSender;
use crate::release::guardrail_counting::GuardrailLedger;
use crate::release::restore::keep_shields;
use crate::stats::Registry;
use crate::supervise::{Kind, Part, panic_text};
use crate::upstream::budget::Budget;

pub(crate) use crate::admin::event_stream::{EventSource, StreamCall};
pub use crate::admin::upgrade_calls::CheckFinding;
use call_listeners::CallListeners;
pub use check::{Checked, RefusedConfig, check, check_local, parse_with_import};
use control_plane::{BoundAdmin, ControlPlane, PreparedControl};
pub use error::{RunError, StartError};
use followed_config::{ConfigOrigin, file_specs};
pub use gitops_start::{GitopsStart, GitopsStartError, StartCommit};
pub use inherited::{Inherited, Predecessor};
use log_file::LogOut;
pub use options::{ConfigFile, Options};
use running::Running;
use shared_sockets::SharedSockets;
use sighup::SighupStreams;
pub use sockets::BindError;
use sockets::BoundListener;
pub use tls_material::MaterialError;
use tls_material::TlsMaterial;
use token_verifier::TokenVerifier;
pub use upgrade::Program;
use upgrade::Upgrader;
use workers::{Factory, Workers};

/// Where a bound process can be reached.
#[derive(Clone, Debug)]
pub struct BoundAddresses {
    /// The listeners by name, with the ports that port 0 became.
    pub listeners: Vec<(crate::table::Name, std::net::SocketAddr)>,
    /// The admin API.
    pub admin: Address,
    /// Whether the admin API speaks TLS.
    pub admin_tls: bool,
}

impl BoundAddresses {
    /// The admin API as clients are told: `http://IP:PORT`, `https://IP:PORT` or `unix:/PATH`.
    #[must_use]
    pub fn admin_url(&self) -> String {
        match &self.admin {
            Address::Tcp(address) if self.admin_tls => format!("https://{address}"),
            Address::Tcp(address) => format!("http://{address}"),
            Address::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

/// A process that has all it needs.
pub struct Bound {
    config: Config,
    options: Options,
    listeners: Vec<BoundListener>,
    shared: SharedSockets,
    /// Of the main thread, which waits for the end.
    runtime: Arc<Runtime>,
    /// Listened to from the moment on that anybody can know of the process.
    upgrade_signal: Option<Signal>,
    /// The same.
    sighup: SighupStreams,
    admin: BoundAdmin,
    tls_material: TlsMaterial,
    token_verifier: Option<TokenVerifier>,
    calls: CallListeners,
    /// What the names of endpoints stand for, as they were asked for at the start.
    names: First,
    writer: Writer,
    /// The replicas that it shares the traffic with.
    fleet: Option<FleetJoined>,
    ledger: Ledger,
    registry: Arc<Registry>,
    clock_start: Instant,
    workers: usize,
    log_out: Option<LogOut>,
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bound").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}

impl Bound {
    /// The table in force, and the counters: for tests, which put into it what no call asks for.
    #[doc(hidden)]
    #[must_use]
    pub fn published(&self) -> (Published, Arc<Registry>) {
        (self.writer.published(), Arc::clone(&self.registry))
    }

    /// Binds sockets, opens the store, restores the traffic and reads the tokens.
    ///
    /// # Errors
    /// [`StartError`], with what to do.
    pub fn bind(config: Config, mut options: Options) -> Result<Self, StartError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Runtime)?;
        let (upgrade_signal, sighup) = {
            let _entered = runtime.enter();
            let upgrade = options.program.is_some().then(upgrade::listen).transpose().map_err(StartError::Runtime)?;
            (upgrade, SighupStreams::listen().map_err(StartError::Runtime)?)
        };
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        let workers = config.proxy.workers.map_or_else(cores, usize::from);
        let tls_material = TlsMaterial::load(&config)?;
        let mut token_verifier = TokenVerifier::load(&config)?;
        let readers = if config.jwt.is_none() { config.token_readers() } else { Vec::new() };
        let unverified = jwt::unverified(readers.iter().map(|service| service.name.as_str()));
        for warning in tls_material.warnings().into_iter().chain(unverified) {
            tracing::warn!("{warning}");
        }
        let inherited = &mut options.inherited;
        let listeners = sockets::listeners(&config.listeners, workers, inherited)?;
        let mut admin = BoundAdmin::bind(&config, inherited)?;
        admin.extra = options.extra_api.take();
        inherited.close_rest();
        let shared = SharedSockets::of(&listeners, &admin)?;
        let log_out = LogOut::open(&config.access_log, &options.supervisor)?;
        // No client is served meanwhile: clients wait in the queues of the sockets, or go on with the process before.
        let names = runtime.block_on(async {
            let keys = async {
                if let Some(verifier) = &mut token_verifier {
                    verifier.first().await;
                }
            };
            tokio::join!(resolve::first(&config.services, config.proxy.resolver), keys).0
        });
        if let Some(predecessor) = inherited.predecessor() {
            predecessor.await_store();
        }
        let mut store = if options.in_memory { Store::in_memory()? } else { Store::open(&config.state.path)? };
        let registry = Arc::new(Registry::new(workers));
        keep_shields(&store, &registry);
        let (begin, fleet) = fleet_start::look_if_any(config.fleet.as_ref(), &mut store, &runtime)?;
        let origin = options.gitops.as_ref().map(|start| start.commit.origin());
        let specs = FileSpecs { origin, ..file_specs(&config) };
        let mut writer = Writer::in_fleet(store, Arc::clone(&registry), specs, begin)?;
        names.answers().for_each(|(host, answer)| writer.resolved(host, answer.clone()));
        let ledger = ledger_parts::open(&config, &options, writer.running_trials());
        let experiments = ExperimentSources::new(&writer, ledger.handle(), &registry);
        let calls = CallListeners::load(&config, &writer, experiments).map_err(StartError::CallerTokens)?;
        let (clock_start, runtime) = (Instant::now(), Arc::new(runtime));
        Ok(Self {
            config,
            options,
            listeners,
            shared,
            runtime,
            upgrade_signal,
            sighup,
            admin,
            tls_material,
            token_verifier,
            calls,
            names,
            writer,
            fleet,
            ledger,
            registry,
            clock_start,
            workers,
            log_out,
        })
    }

    /// Where the process can be reached.
    #[must_use]
    pub fn addresses(&self) -> BoundAddresses {
        let listeners = self.listeners.iter().map(|listener| (listener.name.clone(), listener.address));
        BoundAddresses {
            listeners: listeners.collect(),
            admin: self.admin.address.clone(),
            admin_tls: self.tls_material.admin.is_some(),
        }
    }

    /// Runs until `shutdown`, or until another process has taken over, then lets requests end.
    ///
    /// # Errors
    /// [`RunError`] when a part cannot be started or has ended in a panic.
    pub fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), RunError> {
        let runtime = Arc::clone(&self.runtime);
        // Polled once before anybody is served: from then on a signal is an orderly end.
        let mut shutdown = Box::pin(shutdown);
        let at_once = runtime.block_on(poll_fn(|cx| Poll::Ready(shutdown.as_mut().poll(cx).is_ready())));
        let (mut running, upgrader) = self.start()?;
        let end = if at_once { upgrader.told() } else { runtime.block_on(running.until_end(upgrader, shutdown)) };
        running.end(end, &runtime)
    }

    /// Starts all threads; from then on requests are answered.
    fn start(mut self) -> Result<(Running, Upgrader), RunError> {
        let ((stop_workers, workers_stop), (stop_control, control_stop)) =
            (watch::channel(false), watch::channel(false));
        let rotation = self.log_out.as_ref().and_then(LogOut::rotation);
        let (process, access) = (Arc::clone(&self.options.log_losses), self.log_out.as_ref().map(LogOut::losses));
        let log = self.log_out.take().map(|out| out.start(&self.config.access_log)).transpose()?;
        let (log, log_thread) = log.flatten().unzip();
        let clock = Clock(self.clock_start);
        let holds = Arc::new(HoldRegistry::new(Arc::clone(&self.registry), clock));
        let workers = self.start_workers(log, &holds, &workers_stop)?;
        let (published, watches) = (self.writer.published(), self.writer.watches());
        let (reclaimer, trials) = (self.writer.reclaimer(), self.writer.running_trials());
        let supervisor = self.options.supervisor;
        let (handle, writer_thread) = self.writer.start(supervisor.part("writer", Kind::Steady))?;
        let (ledger, ledger_thread) = ledger_parts::start(self.ledger, &supervisor)?;
        let ready = Arc::new(AtomicBool::new(true));
        let (upgrades, calls) = admin::upgrade_calls::channel();
        let SharedSockets { sockets, keep_socket_file } = self.shared;
        let (timeout, shutdown_delay) = (self.config.proxy.upgrade_timeout, self.config.proxy.shutdown_delay);
        let (writer, thread) = (handle.clone(), supervisor.part("control", Kind::Thread));
        let plane = ControlPlane {
            admin: self.admin,
            guardrails: GuardrailLedger { counts: Some(ledger.clone()), trials },
            admin_tls: self.tls_material.admin,
            tls: self.tls_material.tls,
            token_verifier: self.token_verifier,
            calls: self.calls,
            fleet: self.fleet,
            handle: writer,
            published,
            reclaimer,
            watches,
            holds,
            registry: self.registry,
            ready: Arc::clone(&ready),
            upgrades,
            clock,
            origin: ConfigOrigin::of(self.options.file, self.options.gitops),
            log_file: rotation,
            logs: Logs { process, access },
            supervisor: supervisor.clone(),
            thread: thread.clone(),
            sighup: self.sighup,
            config: self.config,
            names: self.names,
        };
        let stop = control_stop.clone();
        let PreparedControl { run, files, handed } = plane.prepare(control_stop)?;
        let control = spawn("control", move || watched(run, &thread, &stop))?;
        if let Some(predecessor) = self.options.inherited.predecessor() {
            predecessor.ready();
        }
        systemd::ready();
        let (program, signal, sockets) = (self.options.program, self.upgrade_signal, Arc::new(sockets));
        let upgrader = Upgrader { program, signal, sockets, handle, ledger, handed, calls, files, timeout };
        let running = Running {
            workers,
            control,
            writer: writer_thread,
            ledger: ledger_thread,
            access_log: log_thread,
            stop_workers,
            stop_control,
            ready,
            keep_socket_file,
            shutdown_delay,
            supervisor,
        };
        Ok((running, upgrader))
    }

    fn start_workers(
        &mut self,
        log: Option<LogSender>,
        holds: &HoldRegistry,
        stop: &watch::Receiver<bool>,
    ) -> Result<Workers, RunError> {
        let listeners = sockets::settings(&self.config, self.workers, &self.tls_material.listeners, &self.calls);
        let sockets = sockets::by_worker(std::mem::take(&mut self.listeners), self.workers, &listeners);
        let room = descriptors::room(&self.config.proxy, self.workers);
        let parts = settings::CommonParts {
            connection_limit: Arc::new(GlobalConnectionLimit::new(room.clients, sockets::waiting(&sockets))),
            budget: Arc::new(Budget::new(room.endpoints)),
            tls: Arc::clone(&self.tls_material.tls.clients),
            jwt: self.token_verifier.as_ref().map(|tokens| Arc::clone(&tokens.verifier)),
            log,
            seen: self.ledger.handle().seen().clone(),
            clock_start: self.clock_start,
            workers: self.workers,
        };
        let mut settings = settings::worker(&self.config, parts);
        settings.park_after = self.options.park_after.unwrap_or(settings.park_after);
        let factory = Factory {
            settings,
            listeners,
            table: self.writer.published(),
            changes: self.writer.changes(),
            holds: holds.follow(),
            registry: Arc::clone(&self.registry),
            stop: stop.clone(),
            drain_max: self.config.proxy.shutdown_timeout,
        };
        Workers::start(factory, sockets, &self.options.supervisor)
    }
}

/// Runs the control plane. Without it no operator could look or change anything, and what it has in its hands is gone:
/// when it ends before its time, so does the process.
fn watched(run: impl FnOnce() -> io::Result<()>, part: &Part, stop: &watch::Receiver<bool>) -> io::Result<()> {
    let result = catch_unwind(AssertUnwindSafe(run));
    let result = result.unwrap_or_else(|panic| Err(io::Error::other(panic_text(&*panic))));
    if !*stop.borrow() && stop.has_changed().is_ok() {
        let why = result.as_ref().err().map_or_else(|| "it ended, a bug".to_owned(), ToString::to_string);
        part.given_up(&why);
    }
    result
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
