//! The control plane's thread: the admin API, the samples behind its rates, the upkeep of the metrics, and the watch on
//! the config file, on one small runtime of their own. It answers whatever the workers are busy with.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::control_parts::ControlParts;
use super::inherited::{ADMIN, Inherited};
use super::log_file::LogRotation;
use super::sighup::SighupStreams;
use super::tasks::Tasks;
use super::tls_material::MaterialError;
use super::{ConfigFile, RunError, StartError, check, settings, tls_material};
use crate::admin::Address;
use crate::admin::{self, Access, Admin, KeepSocketFile};
use crate::config::{self, Config};
use crate::control::Handle;
use crate::control::certificate_reloader::MaterialSource;
use crate::control::files::reload::{Files, Reloader};
use crate::control::hold::HoldRegistry;
use crate::control::publish::Published;
use crate::control::table_reclaimer::TableReclaimer;
use crate::control::upgrade::Upgrades;
use crate::control::watch::{ConfigFacts, ConfigSource, FileContent, Read};
use crate::endpoints::Clock;
use crate::endpoints::resolve::{First, Resolver};
use crate::metrics::recent_rates::RecentRates;
use crate::metrics::{Exporter, Logs, Sources};
use crate::outbound::notify::{Dispatcher, notifier};
use crate::outbound::webhook::WebhookClient;
use crate::release::controller::{Deps, ReleaseSettings, RolloutController, RolloutGauge};
use crate::release::handle::RolloutHandle;
use crate::rollout::release::Notify;
use crate::stats::Registry;
use crate::supervise::{Part, Supervisor};
use crate::tls::{Clients, ServerTls, TlsRegistry};

/// What is bound before anything runs.
#[derive(Debug)]
pub(crate) struct BoundAdmin {
    runtime: Runtime,
    listener: admin::Listener,
    access: Arc<Access>,
    /// Where it is.
    pub(crate) address: Address,
}

impl BoundAdmin {
    /// Binds the admin API and reads its tokens.
    pub(crate) fn bind(admin: &config::Admin, inherited: &mut Inherited) -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(StartError::Runtime)?;
        let entered = runtime.enter();
        let wanted = settings::admin_address(admin);
        let listener = match inherited_listener(&wanted, inherited).map_err(StartError::Runtime)? {
            Some(listener) => listener,
            None => admin::Listener::bind(&wanted)?,
        };
        let address = listener.address().map_err(StartError::Runtime)?;
        let access = Arc::new(Access::new(&address, &settings::access(admin))?);
        drop(entered);
        Ok(Self { runtime, listener, access, address })
    }

    /// A second descriptor of the socket, and how to leave its file to another process.
    pub(crate) fn share(&self) -> Result<(OwnedFd, KeepSocketFile), StartError> {
        self.listener.share().map_err(StartError::Runtime)
    }
}

/// The socket that this process was started with for the admin API, if there is one.
fn inherited_listener(wanted: &Address, inherited: &mut Inherited) -> std::io::Result<Option<admin::Listener>> {
    match wanted {
        Address::Tcp(address) => {
            inherited.tcp(ADMIN, *address).into_iter().next().map(admin::Listener::inherited_tcp).transpose()
        }
        Address::Unix(path) => {
            inherited.unix(path).map(|socket| admin::Listener::inherited_unix(socket, path)).transpose()
        }
    }
}

/// What the thread runs on.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    pub(crate) admin: BoundAdmin,
    /// The admin API's TLS.
    pub(crate) admin_tls: Option<Arc<ServerTls>>,
    pub(crate) tls: Arc<TlsRegistry>,
    pub(crate) handle: Handle,
    pub(crate) published: Published,
    pub(crate) reclaimer: TableReclaimer,
    pub(crate) store_problem: watch::Receiver<Option<String>>,
    pub(crate) holds: Arc<HoldRegistry>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) ready: Arc<AtomicBool>,
    pub(crate) upgrades: Upgrades,
    pub(crate) clock_start: Instant,
    pub(crate) file: Option<ConfigFile>,
    /// The access log, if it is a file.
    pub(crate) log_file: Option<LogRotation>,
    pub(crate) logs: Logs,
    pub(crate) supervisor: Supervisor,
    /// What is told that the thread turns.
    pub(crate) thread: Part,
    pub(crate) sighup: SighupStreams,
    pub(crate) config: Config,
    /// What the names of endpoints stood for before anybody was served.
    pub(crate) names: First,
}

impl ControlPlane {
    /// Makes everything ready; the result runs on a thread of its own until `stop` turns true. With it comes where to ask
    /// whether the files that are watched are whole.
    pub(crate) fn prepare(
        self,
        stop: watch::Receiver<bool>,
    ) -> Result<(impl FnOnce() -> std::io::Result<()> + Send + 'static, Vec<Files>), RunError> {
        let Self { admin, admin_tls, tls, handle, published, holds, registry, ready, upgrades, .. } = self;
        let (clock_start, file, log_file, sighup) = (self.clock_start, self.file, self.log_file, self.sighup);
        let (config, supervisor, thread) = (self.config, self.supervisor, self.thread);
        let BoundAdmin { runtime, listener, access, .. } = admin;
        let (facts, config_facts) = watch::channel(ConfigFacts::good(file.as_ref().map(|file| file.path.clone())));
        let resolver =
            Resolver { published: Arc::clone(&published), handle: handle.clone(), server: config.proxy.resolver };
        let (targets, notified) = watch::channel(config.releases.notify.clone());
        let (told, known) = watch::channel(Arc::new(ReleaseSettings::of(&config)));
        let means = (resolver.clone(), Arc::clone(&tls.clients));
        let watch = file.map(|file| watch_file(file, config, means, (facts, told)));
        let (reloads, clients) = (config_facts.clone(), Arc::clone(&tls.clients));
        let certificate_reloader = Reloader::new(MaterialSource::new(Arc::clone(&tls), Arc::clone(&access)));
        let files = watch.as_ref().map(Reloader::files).into_iter().chain([certificate_reloader.files()]).collect();
        let live = Arc::new(RecentRates::default());
        let means = (handle.clone(), Arc::clone(&published), Arc::clone(&registry), Arc::clone(&tls.clients));
        let ((controller, rollouts, rollouts_shown), dispatcher) =
            releases(means, Arc::clone(&live), (known, targets), notified);
        let sources = Sources {
            published: Arc::clone(&published),
            registry,
            rollouts: rollouts_shown,
            start: clock_start,
            config: config_facts,
            store_problem: self.store_problem,
            tls: tls,
            logs: self.logs,
            supervisor: supervisor.clone(),
        };
        let part = |source| RunError::Part { part: "metrics", source: std::io::Error::other(source) };
        let exporter = Arc::new(Exporter::new(sources).map_err(part)?);
        let (shown, rates) = (Arc::clone(&exporter), Arc::clone(&live));
        let admin = Arc::new(Admin { handle, holds, exporter: shown, live: rates, access, ready, upgrades, rollouts });
        let parts = ControlParts {
            listener,
            admin_tls,
            admin,
            watch,
            log_file,
            certificate_reloader,
            live,
            published,
            resolver,
            names: self.names,
            clients,
            clock: Clock(clock_start),
            exporter,
            reloads,
            supervisor: supervisor.clone(),
            controller,
            dispatcher,
            reclaimer: self.reclaimer,
            sighup,
        };
        let run = move || {
            // Tasks are made where they run.
            let turning = async move { parts.run(Tasks::new(supervisor, stop, thread)).await };
            runtime.block_on(LocalSet::new().run_until(turning));
            // Without waiting for a look at a file that a file system does not answer.
            runtime.shutdown_background();
            Ok(())
        };
        Ok((run, files))
    }
}

/// What makes releases happen, and tells of them.
fn releases(
    (handle, published, registry, clients): (Handle, Published, Arc<Registry>, Arc<Clients>),
    live: Arc<RecentRates>,
    (known, targets): (watch::Receiver<Arc<ReleaseSettings>>, watch::Sender<Vec<Arc<Notify>>>),
    notified: watch::Receiver<Vec<Arc<Notify>>>,
) -> ((RolloutController, RolloutHandle, watch::Receiver<Vec<RolloutGauge>>), Dispatcher) {
    let webhook_client = WebhookClient::default();
    let (notifier, dispatcher) = notifier(notified, webhook_client.clone(), StdRng::from_rng(&mut rand::rng()));
    (
        RolloutController::new(Deps {
            handle,
            published,
            registry,
            live,
            clients,
            webhook_client,
            notifier,
            known,
            targets,
        }),
        dispatcher,
    )
}

fn watch_file(
    file: ConfigFile,
    running: Config,
    (resolver, clients): (Resolver, Arc<Clients>),
    (facts, known): (watch::Sender<ConfigFacts>, watch::Sender<Arc<ReleaseSettings>>),
) -> Reloader<ConfigSource> {
    let base = file.path.parent().unwrap_or(Path::new("")).to_owned();
    let published = Arc::clone(&resolver.published);
    let read: Read = Arc::new(move |text| {
        let config = check::reloaded(text, &base, &running, &clients).map_err(|refused| refused.lines())?;
        let needs_restart = settings::needs_restart(&running, &config);
        let prepared = tls_material::prepare_next(&clients, &published.load(), &config.services);
        prepared.map_err(|MaterialError(problems)| problems)?;
        let releases = Arc::new(ReleaseSettings::of(&config));
        Ok(FileContent { services: config.services, needs_restart, releases })
    });
    Reloader::new(ConfigSource::new((file.path, file.text), read, resolver, (facts, known)))
}
