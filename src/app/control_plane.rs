//! The control plane's thread: the admin API, the samples behind its rates, the upkeep of the metrics, and the watch on
//! the config file, on one small runtime of their own. It answers whatever the workers are busy with.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::call_listeners::CallListeners;
use super::certificate_reloader::MaterialSource;
use super::control_parts::{AdminState, ControlParts, Controllers};
use super::control_tasks::Tasks;
use super::followed_config::{ConfigChannels, ConfigOrigin};
use super::handed_parts::HandedParts;
use super::inherited::{ADMIN, Inherited};
use super::log_file::LogRotation;
use super::sighup::SighupStreams;
use super::token_verifier::TokenVerifier;
use super::{RunError, StartError, settings};
use crate::admin::Address;
use crate::admin::upgrade_calls::Upgrades;
use crate::admin::{self, Access, AdminApi as Api, KeepSocketFile};
use crate::chaos_runner::chaos_controller::{ChaosController, ChaosDeps};
use crate::chaos_runner::chaos_handle::ChaosHandle;
use crate::chaos_runner::chaos_vitals::ChaosVitals;
use crate::config::{Config, ReleaseSettings};
use crate::control::Handle;
use crate::control::clock::Clock;
use crate::control::hold_registry::HoldRegistry;
use crate::control::publish::Published;
use crate::control::table_reclaimer::TableReclaimer;
use crate::control::watch::ConfigFacts;
use crate::control::writer::marked_weights::WriterWatches;
use crate::endpoints::resolve::{First, Resolver};
use crate::files::reload::{Files, Reloader};
use crate::fleet::fleet_handle::FleetHandle;
use crate::fleet::fleet_keeper::{FleetDeps, FleetKeeper};
use crate::fleet::fleet_start::FleetJoined;
use crate::metrics::recent_rates::RecentRates;
use crate::metrics::rollout_gauges::RolloutGauge;
use crate::metrics::{Exporter, Logs, Sources};
use crate::outbound::notify::{Dispatcher, Notifier, notifier};
use crate::outbound::prometheus::MetricsClient;
use crate::outbound::webhook::WebhookClient;
use crate::release::controller::{ControllerEnds, Deps, RolloutBriefs, RolloutController};
use crate::release::guardrail_counting::GuardrailLedger;
use crate::release::rollout_handle::RolloutHandle;
use crate::rollout::release::Notify;
use crate::slo_keeper::keeper::SloKeeper;
use crate::slo_keeper::{SloHandle, SteadyAnswer};
use crate::stats::Registry;
use crate::stats::deliveries::Deliveries;
use crate::supervise::{Part, Supervisor};
use crate::tls::{ServerTls, TlsRegistry};

/// What is bound before anything runs.
#[derive(Debug)]
pub(crate) struct BoundAdmin {
    runtime: Runtime,
    listener: admin::AdminListener,
    access: Arc<Access>,
    /// Where it is.
    pub(crate) address: Address,
    /// Calls that the one who starts the process adds.
    pub(crate) extra: Option<axum::Router>,
}

impl BoundAdmin {
    /// Binds the admin API and reads its tokens.
    pub(crate) fn bind(config: &Config, inherited: &mut Inherited) -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(StartError::Runtime)?;
        let entered = runtime.enter();
        let wanted = settings::admin_address(&config.admin);
        let listener = match inherited_listener(&wanted, inherited).map_err(StartError::Runtime)? {
            Some(listener) => listener,
            None => admin::AdminListener::bind(&wanted)?,
        };
        let address = listener.address().map_err(StartError::Runtime)?;
        let access = Arc::new(Access::new(&address, &settings::access(config))?);
        drop(entered);
        Ok(Self { runtime, listener, access, address, extra: None })
    }

    /// A second descriptor of the socket, and how to leave its file to another process.
    pub(crate) fn share(&self) -> Result<(OwnedFd, KeepSocketFile), StartError> {
        self.listener.share().map_err(StartError::Runtime)
    }
}

/// The socket that this process was started with for the admin API, if there is one.
fn inherited_listener(wanted: &Address, inherited: &mut Inherited) -> std::io::Result<Option<admin::AdminListener>> {
    match wanted {
        Address::Tcp(address) => {
            inherited.tcp(ADMIN, *address).into_iter().next().map(admin::AdminListener::inherited_tcp).transpose()
        }
        Address::Unix(path) => {
            inherited.unix(path).map(|socket| admin::AdminListener::inherited_unix(socket, path)).transpose()
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
    pub(crate) token_verifier: Option<TokenVerifier>,
    pub(crate) calls: CallListeners,
    /// The replicas that it shares the traffic with.
    pub(crate) fleet: Option<FleetJoined>,
    /// Where users are counted for rollouts.
    pub(crate) guardrails: GuardrailLedger,
    pub(crate) handle: Handle,
    pub(crate) published: Published,
    pub(crate) reclaimer: TableReclaimer,
    /// What the writer tells.
    pub(crate) watches: WriterWatches,
    pub(crate) holds: Arc<HoldRegistry>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) ready: Arc<AtomicBool>,
    pub(crate) upgrades: Upgrades,
    pub(crate) clock: Clock,
    pub(crate) origin: ConfigOrigin,
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

/// A control plane that is ready to run.
pub(crate) struct PreparedControl<R> {
    /// Runs it on a thread of its own.
    pub(crate) run: R,
    /// Where to ask whether the files that are watched are whole.
    pub(crate) files: Vec<Files>,
    /// What has to be told of before another process takes over.
    pub(crate) handed: HandedParts,
}

impl ControlPlane {
    /// Makes everything ready; the result runs on a thread of its own until `stop` turns true.
    pub(crate) fn prepare(
        self,
        stop: watch::Receiver<bool>,
    ) -> Result<PreparedControl<impl FnOnce() -> std::io::Result<()> + Send + 'static>, RunError> {
        let Self { admin, admin_tls, tls, handle, published, holds, registry, ready, upgrades, watches, .. } = self;
        let BoundAdmin { runtime, listener, access, extra, .. } = admin;
        let (facts, config_facts) = watch::channel(self.origin.facts());
        let resolver = resolver(&published, &handle, &self.config);
        let ((targets, (notifier, dispatcher)), (releases, known)) = notified_releases(&self.config);
        let (keeper, fleet) = fleet_keeper(self.fleet, &admin.address, admin_tls.is_some(), &resolver, &config_facts);
        let (weights, registry_of) = (watches.weights, Arc::clone(&registry));
        let told = ConfigChannels { facts, releases, weights, registry: registry_of, fleet: fleet.clone() };
        let followed = self.origin.follow(self.config, &resolver, &tls.clients, told);
        let (jwt, fetcher) = self.token_verifier.map(|tokens| (tokens.verifier, tokens.fetcher)).unzip();
        let certificate_reloader = Reloader::new(MaterialSource::new(&tls, &access, jwt.as_ref(), self.calls.tokens()));
        let files = followed.files().chain([certificate_reloader.files()]).collect();
        let (live, (slo, budgets)) = (Arc::<RecentRates>::default(), budget_keeper(&published, &handle, self.clock));
        let (controllers, ControllerFaces { rollouts, gauges, briefs, chaos, deliveries }) = controllers(Deps {
            handle: handle.clone(),
            published: Arc::clone(&published),
            registry: Arc::clone(&registry),
            live: Arc::clone(&live),
            clients: Arc::clone(&tls.clients),
            webhook_client: WebhookClient::default(),
            metrics_client: MetricsClient::default(),
            clock: self.clock,
            notifier,
            guardrails: self.guardrails,
            slo: slo.clone(),
            fleet: fleet.clone(),
            known,
            targets,
        });
        let exporter = Arc::new(Exporter::new(Sources {
            published,
            slo,
            registry,
            rollouts: gauges,
            clock: self.clock,
            config: config_facts,
            gitops: followed.gitops.clone(),
            fleet,
            store_problem: watches.store_problem,
            tls,
            jwt,
            logs: self.logs,
            supervisor: self.supervisor,
            deliveries,
        }));
        let (board, experiments) = (Arc::default(), self.calls.experiments);
        let api =
            Api { handle, holds, exporter, live, access, ready, upgrades, rollouts, briefs, board, experiments, chaos };
        let parts = ControlParts {
            socket: AdminState { listener: Some(Arc::new(listener)), tls: admin_tls, admin: Arc::new(api), extra },
            followed,
            fleet: keeper,
            log_file: self.log_file,
            certificate_reloader,
            key_fetcher: fetcher.flatten(),
            flag_listeners: self.calls.flags,
            resolving: (resolver, self.names),
            controllers,
            budgets: budgets.clone(),
            dispatcher,
            reclaimer: self.reclaimer,
            sighup: self.sighup,
        };
        let handed = HandedParts::of(&parts.socket.admin, budgets);
        Ok(PreparedControl { run: turn(runtime, parts, stop, self.thread), files, handed })
    }
}

/// What follows the fleet, if there is one, and how it is asked.
fn fleet_keeper(
    joined: Option<FleetJoined>,
    address: &Address,
    tls: bool,
    resolver: &Resolver,
    config: &watch::Receiver<ConfigFacts>,
) -> (Option<FleetKeeper>, Option<FleetHandle>) {
    let (handle, published) = (resolver.handle.clone(), Arc::clone(&resolver.published));
    let address = advertised(address, tls);
    joined
        .map(|joined| FleetKeeper::new(joined, FleetDeps { handle, published, config: config.clone(), address }))
        .unzip()
}

/// Where other replicas reach the admin API by what is bound; none: it has to be said.
fn advertised(address: &Address, tls: bool) -> Option<String> {
    match address {
        Address::Tcp(address) if !address.ip().is_unspecified() => {
            Some(format!("{}://{address}", if tls { "https" } else { "http" }))
        }
        Address::Tcp(_) | Address::Unix(_) => None,
    }
}

type NotifierParts = (watch::Sender<Vec<Arc<Notify>>>, (Notifier, Dispatcher));
type ReleaseChannel = (watch::Sender<Arc<ReleaseSettings>>, watch::Receiver<Arc<ReleaseSettings>>);

/// What is told of releases, and how services are released.
fn notified_releases(config: &Config) -> (NotifierParts, ReleaseChannel) {
    (notifications(config), watch::channel(Arc::new(ReleaseSettings::of(config))))
}

/// Whom notifications go to, what takes them, and what sends them.
fn notifications(config: &Config) -> NotifierParts {
    let (targets, notified) = watch::channel(config.releases.notify.clone());
    (targets, notifier(notified, WebhookClient::default(), StdRng::from_rng(&mut rand::rng())))
}

/// What keeps budgets, and how it is asked.
fn budget_keeper(published: &Published, handle: &Handle, clock: Clock) -> (SloHandle, SloKeeper) {
    let slo = SloHandle::new(Arc::clone(published), clock);
    (slo.clone(), SloKeeper::new(slo, handle.clone(), Arc::clone(published)))
}

/// How the controllers are asked, and what they show.
struct ControllerFaces {
    rollouts: RolloutHandle,
    gauges: watch::Receiver<Vec<RolloutGauge>>,
    briefs: watch::Receiver<RolloutBriefs>,
    chaos: ChaosHandle,
    deliveries: Arc<Deliveries>,
}

/// What makes rollouts and chaos runs happen; both work on the same.
fn controllers(deps: Deps) -> (Controllers, ControllerFaces) {
    let (chaos_controller, chaos) = ChaosController::new(ChaosDeps {
        handle: deps.handle.clone(),
        published: Arc::clone(&deps.published),
        registry: Arc::clone(&deps.registry),
        live: Arc::clone(&deps.live),
        webhook_client: deps.webhook_client.clone(),
        clock: deps.clock,
        notifier: deps.notifier.clone(),
        vitals: vitals(&deps.slo),
        known: deps.known.clone(),
        fleet: deps.fleet.clone(),
    });
    let deliveries = deps.notifier.deliveries();
    let (controller, ControllerEnds { rollouts, gauges, briefs }) = RolloutController::new(deps);
    let controllers = Controllers { rollouts: controller, chaos: chaos_controller };
    (controllers, ControllerFaces { rollouts, gauges, briefs, chaos, deliveries })
}

/// How chaos runs ask what the budgets know of services.
fn vitals(slo: &SloHandle) -> ChaosVitals {
    let (budgets, users) = (slo.clone(), slo.clone());
    let unsteady = move |service: &str| match users.steady(service) {
        SteadyAnswer::Unsteady { reason } => Some(reason),
        SteadyAnswer::Steady | SteadyAnswer::Unknown => None,
    };
    ChaosVitals { budget_left: Arc::new(move |service| budgets.left(service)), unsteady: Arc::new(unsteady) }
}

fn resolver(published: &Published, handle: &Handle, config: &Config) -> Resolver {
    Resolver { published: Arc::clone(published), handle: handle.clone(), server: config.proxy.resolver }
}

/// What the thread does: it runs the parts until the process stops.
fn turn(
    runtime: Runtime,
    parts: ControlParts,
    stop: watch::Receiver<bool>,
    thread: Part,
) -> impl FnOnce() -> std::io::Result<()> + Send + 'static {
    move || {
        // Tasks are made where they run.
        let turning = async move {
            let tasks = Tasks::new(parts.socket.admin.exporter.sources().supervisor.clone(), stop, thread);
            parts.run(tasks).await;
        };
        runtime.block_on(LocalSet::new().run_until(turning));
        // Without waiting for a look at a file that a file system does not answer.
        runtime.shutdown_background();
        Ok(())
    }
}
