//! The parts of the control plane that run as tasks, with what each of them works on.

use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;

use super::certificate_reloader::MaterialSource;
use super::control_tasks::{Tasks, stopped};
use super::flag_listeners::FlagListeners;
use super::followed_config::FollowedConfig;
use super::log_file::LogRotation;
use super::sighup::SighupStreams;
use super::{descriptors, systemd};
use crate::admin::live::live_sampler;
use crate::admin::{self, AdminApi, AdminServer};
use crate::chaos_runner::chaos_controller::ChaosController;
use crate::control::publish::Published;
use crate::control::table_reclaimer::TableReclaimer;
use crate::control::upkeep;
use crate::endpoints::resolve::{First, Resolver};
use crate::endpoints::{self, EndpointDeps};
use crate::files::reload::Reloader;
use crate::fleet::fleet_keeper::FleetKeeper;
use crate::metrics::Sources;
use crate::outbound::jwks::JwksFetcher;
use crate::outbound::notify::Dispatcher;
use crate::release::controller::RolloutController;
use crate::slo_keeper::keeper::SloKeeper;
use crate::supervise::Kind;
use crate::tls::ServerTls;
use crate::trial_exchange::TrialExchange;

/// Everything that the tasks work on. It outlives them: one that ends before its time is begun again on the same.
pub(crate) struct ControlParts {
    pub(crate) socket: AdminState,
    pub(crate) followed: FollowedConfig,
    pub(crate) fleet: Option<FleetKeeper>,
    pub(crate) log_file: Option<LogRotation>,
    pub(crate) certificate_reloader: Reloader<MaterialSource>,
    pub(crate) key_fetcher: Option<JwksFetcher>,
    pub(crate) flag_listeners: Option<FlagListeners>,
    /// What finds the addresses of names, and what was found at the start.
    pub(crate) resolving: (Resolver, First),
    pub(crate) controllers: Controllers,
    pub(crate) budgets: SloKeeper,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) reclaimer: TableReclaimer,
    pub(crate) sighup: SighupStreams,
}

/// What makes rollouts and chaos runs happen.
pub(crate) struct Controllers {
    pub(crate) rollouts: RolloutController,
    pub(crate) chaos: ChaosController,
}

impl ControlParts {
    /// Runs all of them until the process stops.
    pub(crate) async fn run(self, mut tasks: Tasks) {
        self.begin(&mut tasks);
        tasks.run().await;
    }

    fn begin(self, tasks: &mut Tasks) {
        let sighup = self.sighup;
        let admin = Arc::clone(&self.socket.admin);
        let Sources { clock, published, config, supervisor, tls, fleet, .. } = admin.exporter.sources().clone();
        let clients = Arc::clone(&tls.clients);
        keep_looks(tasks, &admin, &published);
        tasks.keep("admin API", Kind::Waiting, self.socket, serve_admin);
        self.followed.keep(tasks, sighup.config);
        if let Some(fleet) = self.fleet {
            tasks.keep("fleet", Kind::Waiting, fleet, async |fleet, stop| fleet.run(stopped(stop)).await);
        }
        if let Some(fleet) = fleet {
            keep_exchange(tasks, TrialExchange::new(fleet, admin.experiments.recorder.ledger.clone()));
        }
        if let Some(log_file) = self.log_file {
            tasks.keep("log rotation", Kind::Waiting, (log_file, sighup.log), async |(log_file, hangup), stop| {
                log_file.run(hangup, stopped(stop)).await;
            });
        }
        tasks.keep(
            "renewal",
            Kind::Waiting,
            (self.certificate_reloader, sighup.tls_material),
            async |(certificate_reloader, hangup), stop| {
                certificate_reloader.run(hangup, stopped(stop)).await;
            },
        );
        if let Some(fetcher) = self.key_fetcher {
            tasks.keep("token keys", Kind::Waiting, fetcher, async |fetcher, stop| fetcher.run(stopped(stop)).await);
        }
        if let Some(flags) = self.flag_listeners {
            tasks.keep("flag changes", Kind::Steady, flags.announcer, async |announcer, stop| {
                announcer.run(stopped(stop)).await;
            });
        }
        tasks.keep("upkeep", Kind::Steady, self.resolving.0.handle.clone(), async |handle, stop| {
            upkeep::run(handle.clone(), stopped(stop)).await;
        });
        tasks.keep("resolver", Kind::Steady, self.resolving, async |(resolver, names), stop| {
            resolver.run(names, stopped(stop)).await;
        });
        tasks.keep("health", Kind::Steady, (published, clients), async move |(published, clients), stop| {
            let deps = EndpointDeps {
                published: Arc::clone(published),
                clients: Arc::clone(clients),
                clock,
                random: StdRng::from_rng(&mut rand::rng()),
                checks_max: descriptors::checks_max(),
            };
            endpoints::run(deps, stopped(stop)).await;
        });
        let state = (config, sighup.systemd, supervisor);
        tasks.keep("systemd", Kind::Waiting, state, async |(reloads, hangup, supervisor), stop| {
            systemd::run(reloads, hangup, supervisor, stopped(stop)).await;
        });
        tasks.keep("rollouts", Kind::Steady, self.controllers.rollouts, async |controller, stop| {
            controller.run(stopped(stop)).await
        });
        tasks.keep("budgets", Kind::Steady, self.budgets, async |budgets, stop| budgets.run(stopped(stop)).await);
        tasks.keep("chaos", Kind::Steady, self.controllers.chaos, async |chaos, stop| {
            // On the heap: what it begins is large.
            Box::pin(chaos.run(stopped(stop))).await
        });
        tasks.keep("courier", Kind::Waiting, self.dispatcher, async |dispatcher, stop| {
            dispatcher.run(stopped(stop)).await
        });
        tasks.keep("retired", Kind::Steady, self.reclaimer, async |reclaimer, stop| reclaimer.run(stopped(stop)).await);
    }
}

/// What asks the other replicas whom they have counted.
fn keep_exchange(tasks: &mut Tasks, exchange: TrialExchange) {
    tasks.keep("users of the fleet", Kind::Waiting, exchange, async |exchange, stop| {
        exchange.run(stopped(stop)).await;
    });
}

/// The looks at the counters behind the rates, and at the state for those who follow it.
fn keep_looks(tasks: &mut Tasks, admin: &Arc<AdminApi>, published: &Published) {
    let (live, published) = (Arc::clone(&admin.live), Arc::clone(published));
    tasks.keep("rates", Kind::Steady, (live, published), async |(live, published), stop| {
        live.run(Arc::clone(published), stopped(stop)).await;
    });
    tasks.keep("live events", Kind::Waiting, Arc::clone(admin), async |admin, stop| {
        live_sampler::run(admin, stopped(stop)).await;
    });
}

/// What the admin API runs on. Its socket is closed when the process stops, and not when the API ends before that.
pub(crate) struct AdminState {
    pub(crate) listener: Option<Arc<admin::AdminListener>>,
    pub(crate) tls: Option<Arc<ServerTls>>,
    pub(crate) admin: Arc<AdminApi>,
    /// Calls of the admin API that the one who starts the process adds.
    pub(crate) extra: Option<axum::Router>,
}

async fn serve_admin(state: &mut AdminState, stop: watch::Receiver<bool>) {
    let Some(listener) = state.listener.clone() else { return };
    let (tls, admin, extra) = (state.tls.clone(), Arc::clone(&state.admin), state.extra.clone());
    let server = AdminServer { listener, tls, admin, extra };
    let stopping = async {
        stopped(stop).await;
        state.listener.take();
    };
    server.run(stopping).await;
}
