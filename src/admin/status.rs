//! `GET /v1/status`: the whole proxy in one look.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::control::watch::ConfigFacts;
use crate::ledger::ledger_handle::{LedgerError, LedgerFacts};
use crate::metrics::Logs;
use crate::stats::RejectReason;
use crate::supervise::{self, PartState};

use super::AdminApi;
use super::call::NoParameters;
use super::change_response::Tagged;
use super::experiment_view::ExperimentView;
use super::flag_view::FlagView;
use super::fleet_view::FleetView;
use super::hold::HoldView;
use super::jwt_view::JwtView;
use super::openapi_terms::Refusals;
use super::problem::ProblemDetails;
use super::repository_view::RepositoryView;
use super::revisions::timestamp;
use super::services::moment;
use super::tls_view;
use super::tls_view::TlsView;
use super::view::ServiceView;

/// The state of the proxy.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    /// The version of the program.
    version: &'static str,
    /// Whether requests should be sent to it.
    ready: bool,
    /// Why not.
    unready: Option<String>,
    /// Seconds since it started.
    uptime_seconds: u64,
    /// The revision in force.
    revision: u64,
    /// Threads that serve requests.
    workers: usize,
    /// Open connections of clients.
    connections: u64,
    /// Requests that the proxy answered by itself, by reason, since the start.
    refusals: BTreeMap<&'static str, u64>,
    /// Where revisions are kept.
    state: StateView,
    /// The config file.
    config: ConfigView,
    /// The repository that the config is in, if it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    gitops: Option<RepositoryView>,
    /// The replicas that share the traffic, if there are any.
    fleet: Option<FleetView>,
    /// The holds that are open: services whose requests wait.
    holds: Vec<HoldView>,
    /// TLS: listeners, the admin API and versions that speak it.
    tls: Vec<TlsView>,
    /// The tokens of users.
    jwt: JwtView,
    /// The tokens of the admin API.
    tokens: TokensView,
    /// The logs.
    logs: LogsView,
    /// The threads and tasks that must live.
    parts: Vec<PartView>,
    /// The services, in the order of the config.
    services: Vec<ServiceView>,
    /// The flags, in the order of their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<FlagView>,
    /// The experiments, in the order of their names; their results are not looked at for this.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    experiments: Vec<ExperimentView>,
    /// What experiments have counted, and where.
    ledger: LedgerView,
}

/// Where it is counted what users of experiments saw and did.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct LedgerView {
    /// The file; none when all is in memory only.
    path: Option<String>,
    /// Why nothing is written; none while it is.
    problem: Option<String>,
    /// What was last done to it, and when: it was gone, and was made anew.
    note: Option<String>,
    /// Users of the runs that are under way.
    users: u64,
    /// Experiments that admit no more users.
    full: Vec<String>,
    /// What was seen and could not be counted since the start: there was no room, or no disk.
    lost: u64,
}

impl LedgerView {
    fn of(facts: &Result<LedgerFacts, LedgerError>) -> Self {
        match facts {
            Ok(facts) => Self {
                path: facts.path.clone(),
                problem: facts.problem.as_deref().map(str::to_owned),
                note: facts.note.as_deref().map(str::to_owned),
                users: facts.users,
                full: facts.full_experiments().map(ToString::to_string).collect(),
                lost: facts.lost,
            },
            Err(error) => {
                let (problem, full) = (Some(error.to_string()), Vec::new());
                Self { path: None, problem, note: None, users: 0, full, lost: 0 }
            }
        }
    }
}

/// Where revisions are kept.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct StateView {
    /// The file.
    path: String,
    /// Why changes cannot be written: the last one could not, or the store was read-only at the start; none when they can.
    problem: Option<String>,
    /// What was last done to it, and when: its files were gone, and were made anew.
    note: Option<String>,
}

/// The logs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct LogsView {
    /// The process's own.
    process: LogView,
    /// The access log; none when it is off.
    access: Option<LogView>,
}

/// A log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct LogView {
    /// Lines that were lost since the start: they found no room, or could not be written.
    lost: u64,
    /// Why the last write failed; none when it was good.
    problem: Option<String>,
}

/// The tokens of the admin API.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TokensView {
    /// Whether their files as they are now are in use.
    good: bool,
    /// Why they are not.
    problems: Vec<String>,
    /// What their owners should know: that others can read them.
    warnings: Vec<String>,
}

/// The config file.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ConfigView {
    /// The file; none when there is none.
    path: Option<String>,
    /// When it was last read.
    #[schema(format = DateTime)]
    read_at: String,
    /// Whether it is in force.
    good: bool,
    /// What is wrong with it.
    problems: Vec<String>,
    /// What differs from what is running and takes a restart.
    needs_restart: Vec<String>,
}

/// Shows the state of the proxy.
///
/// # Errors
/// The refusal.
#[utoipa::path(
    get,
    operation_id = "get_status",
    path = "/v1/status",
    tag = "state",
    responses((status = 200, description = "The state of the proxy", body = Status), Refusals)
)]
pub(crate) async fn get(State(admin): State<Arc<AdminApi>>, _: NoParameters) -> Result<Tagged<Status>, ProblemDetails> {
    let (revision, status) = of(&admin).await?;
    Ok(Tagged(revision, status))
}

/// The revision in force, and the state of the proxy at this moment.
///
/// # Errors
/// That the process is ending.
pub(crate) async fn of(admin: &AdminApi) -> Result<(u64, Status), ProblemDetails> {
    let facts = admin.handle.facts().await?;
    let ledger = admin.experiments.recorder.ledger.facts().await;
    let table = admin.table();
    let sources = admin.exporter.sources();
    let totals = sources.registry.worker_totals();
    let refusals = RejectReason::ALL.iter().zip(totals.refusals).filter(|(_, count)| *count > 0);
    let at = moment(admin);
    let tokens = admin.access.tokens();
    let (problems, warnings) = (tokens.problems(), tokens.warnings());
    let (briefs, chaos) = (admin.briefs.borrow().clone(), admin.chaos.shown());
    let view = |service| {
        let view = ServiceView::of(service, &admin.live, at).with_flags(&table).with_rollout(&briefs);
        view.with_budget(&sources.slo).with_chaos(&chaos)
    };
    let unready = admin.unready();
    let states = admin.experiments.now();
    let status = Status {
        version: env!("CARGO_PKG_VERSION"),
        ready: unready.is_none(),
        unready,
        uptime_seconds: sources.clock.0.elapsed().as_secs(),
        revision: table.revision,
        workers: sources.registry.workers(),
        connections: totals.connections,
        refusals: refusals.map(|(reason, count)| (reason.word(), count)).collect(),
        state: StateView { path: facts.store, problem: facts.store_problem, note: facts.store_note },
        config: ConfigView::of(&sources.config.borrow()),
        gitops: sources.gitops.as_ref().map(|gitops| RepositoryView::of(gitops, &table)),
        fleet: sources.fleet.as_ref().map(|fleet| FleetView::of(fleet, &table)),
        holds: HoldView::all(admin),
        tls: tls_view::all(&sources.tls),
        jwt: JwtView::of(sources, &table),
        tokens: TokensView { good: problems.is_empty(), problems, warnings },
        logs: LogsView::of(&sources.logs, totals.log_dropped),
        parts: sources.supervisor.views().into_iter().map(PartView::of).collect(),
        services: table.services().map(view).collect(),
        flags: FlagView::all(&table),
        experiments: states.specs.iter().map(|spec| ExperimentView::of(spec, &states)).collect(),
        ledger: LedgerView::of(&ledger),
    };
    Ok((table.revision, status))
}

/// A thread or a task that must live.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct PartView {
    /// Its name.
    name: String,
    /// `running`, `down` (it has ended, and is begun again) or `stalled` (it makes no progress).
    state: &'static str,
    /// Why it is down.
    reason: Option<String>,
    /// How often it has ended since the start of the process.
    ends: u64,
}

impl PartView {
    fn of(part: supervise::PartFacts) -> Self {
        let state = part.state.word();
        let reason = if let PartState::Down(why) = part.state { Some(why) } else { None };
        Self { name: part.name, state, reason, ends: part.ends }
    }
}

impl LogsView {
    fn of(logs: &Logs, dropped: u64) -> Self {
        let process = LogView { lost: logs.process.lines(), problem: logs.process.problem() };
        let access = logs.access.as_ref();
        Self { process, access: access.map(|log| LogView { lost: logs.access_lost(dropped), problem: log.problem() }) }
    }
}

impl ConfigView {
    fn of(facts: &ConfigFacts) -> Self {
        Self {
            path: facts.path.as_ref().map(|path| path.display().to_string()),
            read_at: timestamp(facts.read_at_ms),
            good: facts.is_good(),
            problems: facts.problems.clone(),
            needs_restart: facts.needs_restart.clone(),
        }
    }
}
