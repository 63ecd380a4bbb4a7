//! The admin API: JSON over HTTP, one file a resource.
//!
//! [`listen`] is where it answers and [`access`] who gets in, which [`guard`] asks at each request ([`logins`]
//! remembers those that failed; [`admission`] asks again for a call that takes long); [`places`] bounds connections,
//! each of them a [`visit`]; [`call`] reads a call with every problem at once; [`problem`] is how a call is refused.
//! The resources: [`status`] and [`services`] show ([`view`] and [`tls_view`] have their shapes), [`service_history`]
//! looks back, [`budget`] (in short: `budget_brief`) and [`steady`] tell how
//! users are, [`splits`], [`flip`], [`rollback`] and [`endpoints`] change (and answer with [`change_response`]),
//! [`mirrors`] copy requests to another version and show what came of it (`mirror_share`),
//! [`hold`] keeps requests waiting for that ([`hold_body`] is how a change asks for it), [`flags`] are shown
//! ([`flag_view`]), changed (with [`flag_warnings`]) and asked ([`flag_evaluate`]), [`experiments`] are shown
//! ([`experiment_view`]) and told user by user ([`experiment_export`], in lines of [`experiment_rows`]) and learn of
//! [`events`], [`experiment_changes`] start, stop and ship them ([`run_difference`] is what changes), [`rollouts`]
//! release by themselves, [`sync`] shows the repository that the config is in (`repository_view`) and takes its newest
//! commit, [`chaos`] makes something fail on purpose ([`chaos_view`], in short `chaos_brief`),
//! [`live`] streams what changes ([`event_stream`] is how a response is a stream), [`revisions`] remember,
//! [`explain`] tells why, [`upgrade`] lets another process take over, [`probes`] are for machines, [`openapi`]
//! describes ([`openapi_terms`] is what the descriptions share). What is for the leader of a fleet is passed on to it
//! ([`passed_on`]). The [`console`] is for people, and asks [`whoami`]
//! which buttons it may show.
//!
//! A body is one struct, read by the collecting reader of the config and described by OpenAPI. Its keys are optional
//! also where a call needs them: a key that is missing is one problem beside the others.

pub(crate) mod access;
pub(crate) mod admission;
mod asked_request;
pub(crate) mod budget;
mod budget_brief;
pub(crate) mod call;
mod call_query;
pub(crate) mod change_response;
pub(crate) mod chaos;
mod chaos_brief;
mod chaos_view;
pub(crate) mod console;
pub(crate) mod endpoints;
pub(crate) mod event_stream;
pub(crate) mod events;
mod evidence;
pub(crate) mod experiment_changes;
mod experiment_export;
mod experiment_rows;
pub(crate) mod experiment_view;
pub(crate) mod experiments;
pub(crate) mod explain;
mod explained_edge;
mod explained_fault;
mod explained_flag;
mod explained_mirror;
pub(crate) mod flag_evaluate;
pub(crate) mod flag_view;
pub(crate) mod flag_warnings;
pub(crate) mod flags;
mod fleet;
mod fleet_reach_view;
mod fleet_view;
pub(crate) mod flip;
pub(crate) mod gitops_hook;
pub(crate) mod guard;
pub(crate) mod hold;
pub(crate) mod hold_body;
pub(crate) mod jwt_view;
pub(crate) mod listen;
pub(crate) mod live;
mod logins;
mod mirror_share;
pub(crate) mod mirrors;
pub(crate) mod openapi;
pub(crate) mod openapi_terms;
mod override_view;
mod passed_on;
mod places;
pub(crate) mod probes;
pub(crate) mod problem;
mod repository_view;
pub(crate) mod revisions;
pub(crate) mod rollback;
pub(crate) mod rollouts;
pub(crate) mod run_difference;
mod serve;
pub(crate) mod service_history;
pub(crate) mod services;
pub(crate) mod simulate;
pub(crate) mod splits;
pub(crate) mod status;
pub(crate) mod steady;
pub(crate) mod sync;
mod time_to_live;
pub(crate) mod tls_view;
pub(crate) mod upgrade;
pub(crate) mod upgrade_calls;
pub(crate) mod view;
mod visit;
mod watched;
pub(crate) mod whoami;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use axum::extract::{DefaultBodyLimit, MatchedPath};
use axum::http::StatusCode;
use axum::routing::{delete, get, post, put};
use axum::{Extension, Router};
use tokio::sync::watch;

use crate::stats::AdminRefused;
use crate::table::Table;
use crate::tls::ServerTls;

use self::live::live_board::LiveBoard;
use self::live::live_stream;
use self::simulate::simulation_stream;
use self::simulate::simulations::Simulations;
use self::upgrade_calls::Upgrades;
use crate::chaos_runner::chaos_handle::ChaosHandle;
use crate::control::handle::Handle;
use crate::control::hold_registry::HoldRegistry;
use crate::metrics::Exporter;
use crate::metrics::recent_rates::RecentRates;
use crate::release::controller::RolloutBriefs;
use crate::release::rollout_handle::RolloutHandle;

pub use self::experiments::ExperimentSources;
pub(crate) use crate::tokens::{AccessRole, AccessToken};
pub(crate) use access::{Access, AccessError, AccessSettings, Address};
use guard::Guard;
pub(crate) use listen::{AdminBindError, AdminListener, KeepSocketFile};
pub(crate) use places::CONNECTIONS_MAX;
use problem::ProblemDetails;

/// Below which path the calls are that the one who starts the process adds.
const EXTRA_CALLS: &str = "/v1/demo";

/// What the API shows and changes.
#[derive(Debug)]
pub struct AdminApi {
    /// The writer.
    pub handle: Handle,
    /// Holds requests for a change.
    pub holds: Arc<HoldRegistry>,
    /// The metrics, which also know the table and the counters.
    pub exporter: Arc<Exporter>,
    /// Rates of the last seconds.
    pub live: Arc<RecentRates>,
    /// Who gets in.
    pub access: Arc<Access>,
    /// Whether the proxy takes requests: false while it starts and shuts down.
    pub ready: Arc<AtomicBool>,
    /// Asks for an upgrade in place.
    pub upgrades: Upgrades,
    /// Asks for rollouts.
    pub rollouts: RolloutHandle,
    /// What is said of them beside the services.
    pub briefs: watch::Receiver<RolloutBriefs>,
    /// Where the state is put for those who follow it.
    pub board: Arc<LiveBoard>,
    /// Experiments: what there is, and what they have counted.
    pub experiments: ExperimentSources,
    /// Asks for chaos runs.
    pub chaos: ChaosHandle,
}

impl AdminApi {
    /// Why no requests should be sent here; none while they should.
    fn unready(&self) -> Option<String> {
        let ready = self.ready.load(Relaxed);
        let wrong = || self.exporter.sources().supervisor.problem();
        if ready { wrong() } else { Some("starting or shutting down".to_owned()) }
    }

    /// The table in force.
    fn table(&self) -> Arc<Table> {
        self.exporter.sources().published.load_full()
    }

    /// Counts a call or a connection that was not served.
    fn refused(&self, reason: AdminRefused) {
        self.exporter.sources().registry.admin().refused(reason);
    }
}

/// The API, for [`AdminServer`]. What is `extra` is behind the same guard.
pub(crate) fn router(admin: Arc<AdminApi>, extra: Option<Router>) -> Router {
    let guard = Arc::new(Guard { admin: Arc::clone(&admin), dry: openapi::dry_calls() });
    let routes = Router::new()
        .merge(console::routes())
        .route("/v1/whoami", get(whoami::get))
        .route("/v1/status", get(status::get))
        .route("/v1/evidence", get(evidence::get).post(evidence::tell))
        .route("/v1/evidence/users", post(evidence::tell_users))
        .route("/v1/fleet", get(fleet::get))
        .route("/v1/fleet/restore", post(fleet::restore))
        .route("/v1/gitops", get(sync::get))
        .route("/v1/gitops/sync", post(sync::post))
        .route(guard::HOOK_PATH, post(gitops_hook::post))
        .route("/v1/events", get(live_stream::get))
        .route("/v1/services", get(services::list))
        .route("/v1/services/{service}", get(services::one))
        .route("/v1/services/{service}/history", get(service_history::get))
        .route("/v1/services/{service}/budget", get(budget::get))
        .route("/v1/steady", get(steady::get))
        .route("/v1/services/{service}/split", put(splits::put_one))
        .route("/v1/services/{service}/mirror", get(mirrors::get).put(mirrors::put))
        .route("/v1/splits", put(splits::put_many))
        .route("/v1/services/{service}/flip", post(flip::post))
        .route("/v1/flags", get(flags::list))
        .route("/v1/flags/{flag}", get(flags::one).put(flags::put))
        .route("/v1/flags/{flag}/evaluate", post(flags::evaluate))
        .route("/v1/experiments/{experiment}/start", post(experiment_changes::start))
        .route("/v1/experiments/{experiment}/stop", post(experiment_changes::stop))
        .route("/v1/experiments/{experiment}/ship", post(experiment_changes::ship))
        .route("/v1/events", post(events::post))
        .route("/v1/experiments", get(experiments::list))
        .route("/v1/experiments/{experiment}", get(experiments::one))
        .route("/v1/experiments/{experiment}/export", get(experiments::export))
        .route("/v1/hold", post(hold::post).get(hold::list))
        .route("/v1/hold/{id}", delete(hold::delete))
        .route("/v1/rollback", post(rollback::post))
        .route("/v1/rollouts/{id}", get(rollouts::one))
        .route("/v1/rollouts/{id}/evidence", get(rollouts::over_time))
        // Runs are numbered by each replica: a call about one that was passed on would be about another.
        .route("/v1/chaos", post(chaos::start).get(chaos::list))
        .route("/v1/chaos/stop", post(chaos::stop_all))
        .route("/v1/chaos/{id}/stop", post(chaos::stop))
        .route("/v1/chaos/{id}", get(chaos::one))
        .route("/v1/chaos/{id}/report", get(chaos::report))
        .merge(of_the_leader(&admin))
        .route("/v1/simulate", post(simulation_stream::post))
        .route("/v1/upgrade", post(upgrade::post))
        .route("/v1/revisions", get(revisions::list))
        .route("/v1/revisions/{revision}", get(revisions::one))
        .route("/v1/explain", post(explain::post))
        .route("/v1/services/{service}/versions/{version}/endpoints/{address}", put(endpoints::put))
        .route("/v1/openapi.json", get(openapi::get))
        .route("/healthz", get(probes::healthz))
        .route("/readyz", get(probes::readyz))
        .route("/metrics", get(probes::metrics));
    let routes = match extra {
        Some(extra) => routes.nest_service(EXTRA_CALLS, extra),
        None => routes,
    };
    routes
        .fallback(no_resource)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn_with_state(guard, guard::guard))
        // The limit is ours and answers with a problem; see `call`.
        .layer(DefaultBodyLimit::disable())
        // For streams, whose callers are looked at again.
        .layer(Extension(Arc::clone(&admin)))
        .with_state(admin)
}

/// Calls that are for the leader of a fleet.
fn of_the_leader(admin: &Arc<AdminApi>) -> Router<Arc<AdminApi>> {
    Router::new()
        .route("/v1/rollouts", post(rollouts::start).get(rollouts::list))
        .route("/v1/rollouts/{id}/{order}", post(rollouts::order))
        .route_layer(axum::middleware::from_fn_with_state(Arc::clone(admin), passed_on::pass_on))
}

/// The API where it listens.
#[derive(Debug)]
pub struct AdminServer {
    /// Where it listens.
    pub listener: Arc<AdminListener>,
    /// How TLS is spoken, if it is.
    pub tls: Option<Arc<ServerTls>>,
    /// What it shows and changes.
    pub admin: Arc<AdminApi>,
    /// Calls that the one who starts the process adds, below `/v1/demo`.
    pub extra: Option<Router>,
}

impl AdminServer {
    /// Answers calls until `shutdown` ends, then finishes those that have begun. The socket is closed then, unless
    /// another part of the process still has it.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let simulations = Arc::new(Simulations::default());
        let router = router(Arc::clone(&self.admin), self.extra.take()).layer(Extension(Arc::clone(&simulations)));
        let shutdown = async move {
            shutdown.await;
            // What would be if the process went on is of no use any more.
            simulations.end();
        };
        serve::serve(self, router, shutdown).await;
    }
}

async fn no_resource(uri: axum::http::Uri) -> ProblemDetails {
    if console::is_below(uri.path()) {
        return console::no_file(uri.path());
    }
    let detail = format!("there is nothing at {}; /v1/openapi.json lists what there is", uri.path());
    ProblemDetails::new(StatusCode::NOT_FOUND, "no_resource", detail)
}

async fn wrong_method(method: axum::http::Method, path: MatchedPath) -> ProblemDetails {
    // Files of the console are no part of the API, and all that is asked of them is to be sent.
    let methods = if console::is_below(path.as_str()) { vec!["GET", "HEAD"] } else { openapi::methods(path.as_str()) };
    let detail = format!("found the method {method}, want {}", methods.join(" or "));
    ProblemDetails::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}
