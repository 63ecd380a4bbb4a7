//! The admin API: JSON over HTTP, one file a resource.
//!
//! [`listen`] is where it answers and [`access`] who gets in ([`tokens`] are read again), which [`guard`] asks at each
//! request ([`logins`] remembers those that failed); [`places`] bounds connections, each of them a [`visit`]; [`call`]
//! reads a call with every problem at once, [`json`] the text of its body; [`problem`] is how a call is refused. The
//! resources: [`status`] and [`services`] show ([`view`] and [`tls_view`] have their shapes), [`splits`], [`flip`],
//! [`rollback`] and [`endpoints`] change (and answer with [`change_response`]), [`hold`] keeps requests waiting for
//! that ([`hold_body`] is how a change asks for it), [`rollouts`] release by themselves, [`revisions`] remember,
//! [`explain`] tells why, [`upgrade`] lets another process take over, [`probes`] are for machines, [`openapi`]
//! describes ([`openapi_terms`] is what the descriptions share).
//!
//! A body is one struct, read by the collecting reader of the config and described by OpenAPI. Its keys are optional
//! also where a call needs them: a key that is missing is one problem beside the others.

pub(crate) mod access;
pub(crate) mod call;
pub(crate) mod change_response;
pub(crate) mod endpoints;
pub(crate) mod explain;
pub(crate) mod flip;
pub(crate) mod guard;
pub(crate) mod hold;
pub(crate) mod hold_body;
pub(crate) mod json;
pub(crate) mod jwt_view;
pub(crate) mod listen;
mod logins;
pub(crate) mod openapi;
pub(crate) mod openapi_terms;
mod places;
pub(crate) mod probes;
pub(crate) mod problem;
pub(crate) mod revisions;
pub(crate) mod rollback;
pub(crate) mod rollouts;
mod serve;
pub(crate) mod services;
pub(crate) mod splits;
pub(crate) mod status;
pub(crate) mod tls_view;
pub(crate) mod tokens;
pub(crate) mod upgrade;
pub(crate) mod upgrade_calls;
pub(crate) mod view;
mod visit;
mod watched;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath};
use axum::http::StatusCode;
use axum::routing::{delete, get, post, put};
use tokio::sync::watch;

use crate::stats::AdminRefused;
use crate::table::Table;
use crate::tls::ServerTls;

use self::upgrade_calls::Upgrades;
use crate::control::handle::Handle;
use crate::control::hold_registry::HoldRegistry;
use crate::metrics::Exporter;
use crate::metrics::recent_rates::RecentRates;
use crate::release::controller::RolloutBriefs;
use crate::release::rollout_handle::RolloutHandle;

pub(crate) use access::{Access, AccessError, AccessSettings, Address};
pub(crate) use listen::{AdminBindError, AdminListener, KeepSocketFile};
pub(crate) use places::CONNECTIONS_MAX;
use problem::ProblemDetails;
pub(crate) use tokens::{AccessRole, AccessToken, examine_tokens};

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

/// The API, for [`AdminServer`].
pub(crate) fn router(admin: Arc<AdminApi>) -> Router {
    Router::new()
        .route("/v1/status", get(status::get))
        .route("/v1/services", get(services::list))
        .route("/v1/services/{service}", get(services::one))
        .route("/v1/services/{service}/split", put(splits::put_one))
        .route("/v1/splits", put(splits::put_many))
        .route("/v1/services/{service}/flip", post(flip::post))
        .route("/v1/hold", post(hold::post).get(hold::list))
        .route("/v1/hold/{id}", delete(hold::delete))
        .route("/v1/rollback", post(rollback::post))
        .route("/v1/rollouts", post(rollouts::start).get(rollouts::list))
        .route("/v1/rollouts/{id}", get(rollouts::one))
        .route("/v1/rollouts/{id}/{order}", post(rollouts::order))
        .route("/v1/upgrade", post(upgrade::post))
        .route("/v1/revisions", get(revisions::list))
        .route("/v1/revisions/{revision}", get(revisions::one))
        .route("/v1/explain", post(explain::post))
        .route("/v1/services/{service}/versions/{version}/endpoints/{address}", put(endpoints::put))
        .route("/v1/openapi.json", get(openapi::get))
        .route("/healthz", get(probes::healthz))
        .route("/readyz", get(probes::readyz))
        .route("/metrics", get(probes::metrics))
        .fallback(no_resource)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&admin), guard::guard))
        // The limit is ours and answers with a problem; see `call`.
        .layer(DefaultBodyLimit::disable())
        .with_state(admin)
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
}

impl AdminServer {
    /// Answers calls until `shutdown` ends, then finishes those that have begun. The socket is closed then, unless
    /// another part of the process still has it.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let router = router(Arc::clone(&self.admin));
        serve::serve(self, router, shutdown).await;
    }
}

async fn no_resource(uri: axum::http::Uri) -> ProblemDetails {
    let detail = format!("there is nothing at {}; /v1/openapi.json lists what there is", uri.path());
    ProblemDetails::new(StatusCode::NOT_FOUND, "no_resource", detail)
}

async fn wrong_method(method: axum::http::Method, path: MatchedPath) -> ProblemDetails {
    let detail = format!("found the method {method}, want {}", openapi::methods(path.as_str()).join(" or "));
    ProblemDetails::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}
