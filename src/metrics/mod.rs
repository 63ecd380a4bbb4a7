//! Prometheus text of what the workers counted.
//!
//! Nothing is exported as it happens: the workers count on their own memory, and when a client scrapes (and every few
//! seconds, so that histograms do not pile up) their sums are set here. The recorder is a value, not the process-wide
//! one, so that several proxies can live in one test. Labels are names of the config and words of
//! [`names`]: their number is bounded by what the operator wrote.

mod flag_gauges;
mod fleet_gauges;
mod gitops_gauges;
pub(crate) mod guardrail_gauge;
mod mirror_series;
pub(crate) mod names;
pub(crate) mod recent_rates;
pub(crate) mod rollout_gauges;
mod series;
mod service_gauges;
mod slo_gauges;
pub(crate) mod version_history;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use metrics_util::MetricKindMask;
use tokio::sync::watch;

use crate::control::clock::Clock;
use crate::fleet::fleet_handle::FleetHandle;
use crate::gitops::gitops_handle::GitopsHandle;
use crate::jwt::JwtVerifier;
use crate::ledger::ledger_handle::LedgerFacts;
use crate::log::Losses;
use crate::slo_keeper::SloHandle;
use crate::stats::Registry;
use crate::supervise::Supervisor;
use crate::tls::TlsRegistry;

use crate::control::publish::Published;
use crate::control::watch::ConfigFacts;
use rollout_gauges::RolloutGauge;
use series::Series;

/// Time between two upkeeps.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// A series that was not set for so long is of a version that left the config, and is forgotten: all others are set
/// right before they are rendered.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// Where the numbers come from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The table in force.
    pub published: Published,
    /// The counters.
    pub registry: Arc<Registry>,
    /// The clock of the data plane.
    pub clock: Clock,
    /// What is known of the config file.
    pub config: watch::Receiver<ConfigFacts>,
    /// The repository that the config is in, if it is in one.
    pub gitops: Option<GitopsHandle>,
    /// The replicas that share the traffic, if there are any.
    pub fleet: Option<FleetHandle>,
    /// Why nothing can be written to the store; none while it can.
    pub store_problem: watch::Receiver<Option<String>>,
    /// Certificates.
    pub tls: Arc<TlsRegistry>,
    /// What verifies tokens, if they are verified.
    pub jwt: Option<Arc<JwtVerifier>>,
    /// Rollouts under way.
    pub rollouts: watch::Receiver<Vec<RolloutGauge>>,
    /// Budgets of services.
    pub slo: SloHandle,
    /// What was lost of the logs.
    pub logs: Logs,
    /// What must live.
    pub supervisor: Supervisor,
}

/// What was lost of the logs.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    /// The process's own.
    pub process: Arc<Losses>,
    /// The access log, if there is one: what could not be written. Workers count what found no room.
    pub access: Option<Arc<Losses>>,
}

impl Logs {
    /// Lines of the access log that were lost; `dropped` found no room.
    #[must_use]
    pub fn access_lost(&self, dropped: u64) -> u64 {
        dropped + self.access.as_ref().map_or(0, |losses| losses.lines())
    }
}

impl Sources {
    /// Milliseconds on the process's clock.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }
}

/// Renders the metrics.
pub struct Exporter {
    recorder: PrometheusRecorder,
    rendered: PrometheusHandle,
    process: metrics_process::Collector,
    sources: Sources,
    series: Mutex<Series>,
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

impl Exporter {
    /// An exporter of `sources`.
    ///
    /// # Errors
    /// Never with the buckets of [`names::DURATION_BUCKETS`]: they are not empty.
    pub fn new(sources: Sources) -> Result<Self, BuildError> {
        let duration = Matcher::Full(names::REQUEST_DURATION.to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(duration, &names::DURATION_BUCKETS)?;
        let recorder =
            builder.idle_timeout(MetricKindMask::GAUGE | MetricKindMask::COUNTER, Some(IDLE_MAX)).build_recorder();
        let process = metrics_process::Collector::default();
        metrics::with_local_recorder(&recorder, || {
            describe();
            process.describe();
        });
        let rendered = recorder.handle();
        Ok(Self { recorder, rendered, process, sources, series: Mutex::default() })
    }

    /// The metrics at this moment. How the ledger of experiments is has to be asked for by the caller; none: it does
    /// not answer.
    #[must_use]
    pub(crate) fn render(&self, ledger: Option<&LedgerFacts>) -> String {
        self.update();
        metrics::with_local_recorder(&self.recorder, || series::update_ledger(ledger));
        // The collector's counter has whole seconds, of which a rate makes steps; its gauge has fractions.
        self.rendered
            .render()
            .replace("# TYPE process_cpu_seconds_total gauge", "# TYPE process_cpu_seconds_total counter")
    }

    /// Keeps the histograms small until `shutdown` ends.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                _ = ticks.tick() => {
                    self.update();
                    self.rendered.run_upkeep();
                }
            }
        }
    }

    /// Where the numbers come from.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    fn update(&self) {
        let table = self.sources.published.load_full();
        let now_ms = self.sources.now_ms();
        let good = self.sources.config.borrow().is_good();
        let writable = self.sources.store_problem.borrow().is_none();
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        metrics::with_local_recorder(&self.recorder, || {
            series.update(&table, now_ms);
            service_gauges::update(&table);
            slo_gauges::update(&self.sources.slo.gauges(&table));
            flag_gauges::update(&table);
            gitops_gauges::update(self.sources.gitops.as_ref(), &table);
            fleet_gauges::update(self.sources.fleet.as_ref(), &table);
            mirror_series::update(&table, &self.sources.registry);
            series.update_workers(&self.sources.registry.worker_totals());
            series::update_parts(&self.sources.supervisor.views());
            series::update_logs(&self.sources.logs, &self.sources.registry.worker_totals());
            series::update_admin(self.sources.registry.admin());
            series::update_events(&self.sources.registry.events());
            series::update_chaos(&self.sources.registry);
            series::update_tls(&self.sources.tls.facts());
            if let Some(jwt) = &self.sources.jwt {
                series::update_tokens(&jwt.facts(), &self.sources.registry.worker_totals());
            }
            rollout_gauges::update(&self.sources.rollouts.borrow());
            #[expect(clippy::cast_precision_loss, reason = "nobody makes 2^52 revisions")]
            gauge!(names::REVISION).set(table.revision as f64);
            gauge!(names::CONFIG_GOOD).set(if good { 1.0 } else { 0.0 });
            counter!(names::STORE_MENDED).absolute(self.sources.registry.store_mended());
            gauge!(names::STORE_WRITABLE).set(if writable { 1.0 } else { 0.0 });
            gauge!(names::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            self.process.collect();
        });
    }
}

/// Tokens of users.
fn describe_tokens() {
    describe_counter!(names::TOKENS, "Tokens that a key or a rule looked at, by what became of them.");
    describe_gauge!(names::TOKEN_KEYS, "Keys that tokens are verified by.");
    describe_gauge!(names::TOKEN_KEYS_GOOD, "Whether the last read or fetch of the keys of tokens was good.");
    describe_counter!(names::TOKEN_KEYS_FAILURES, "Times that the keys of tokens could not be had, or were refused.");
}

/// What flags serve.
fn describe_flags() {
    describe_gauge!(names::FLAG_ENABLED, "Whether a flag is enabled; if not, all users have its default.");
    describe_gauge!(names::FLAG_WEIGHT, "Share of a variant among the users whom a rule of a flag reaches.");
}

/// Calls for flags.
fn describe_flag_calls() {
    describe_counter!(names::FLAG_CALLS, "Calls for flags by OFREP, by what became of them.");
    describe_gauge!(names::FLAG_STREAMS, "Clients of OFREP that wait for changes of flags.");
}

/// Events of users.
fn describe_events() {
    describe_counter!(names::EVENT_CALLS, "Calls with events of users, by what became of them.");
    describe_counter!(names::EVENTS, "Events of users, by what became of them for the experiments that run.");
    describe_gauge!(names::EXPERIMENT_USERS, "Users of the experiments that run.");
    describe_gauge!(
        names::EXPERIMENT_FULL,
        "Whether an experiment that runs admits no more users; gone while it does."
    );
    describe_gauge!(names::LEDGER_WRITABLE, "Whether what is seen of users in experiments is written to disk.");
    describe_counter!(
        names::LEDGER_LOST,
        "What was seen of users in experiments and is not counted: there was no room, or no disk."
    );
}

/// What rollouts wait for.
fn describe_waits() {
    describe_gauge!(names::ROLLOUT_HOLD, "Whether a service's rollout is held, by why.");
    describe_gauge!(names::ROLLOUT_MISSING, "Judged requests, or users, that a step of a rollout lacks.");
    describe_gauge!(names::ROLLOUT_SECONDS_LEFT, "How long what a rollout waits for may take yet, by what it is.");
    describe_gauge!(names::ROLLOUT_GUARDRAIL, "What is known of a guardrail of a rollout.");
    describe_gauge!(names::ROLLOUT_GUARDRAIL_USERS, "Users that a guardrail has counted in this step, by arm.");
}

/// The help text of every metric.
fn describe() {
    use metrics::Unit::Seconds;
    describe_counter!(names::REQUESTS, "Requests that a version answered, by class of the status code.");
    describe_histogram!(names::REQUEST_DURATION, Seconds, "Time from a request's head to the end of its answer.");
    describe_counter!(names::UPSTREAM_FAILURES, "Attempts that failed by the upstream's fault.");
    describe_counter!(names::FIRST_ATTEMPTS, "First attempts of requests, by the version that they were made on.");
    describe_counter!(names::RETRIES, "Requests that were sent once more, by the version of the first attempt.");
    describe_gauge!(names::LONG_CONNECTIONS, "WebSockets and streams that are open on a version.");
    describe_counter!(names::PASSED_ON, "Requests that left their version because it had no usable endpoint.");
    describe_counter!(names::REFUSALS, "Requests that the proxy answered by itself, or hung up on.");
    describe_counter!(names::ADMIN_REFUSALS, "Calls that the admin API refused, and connections that it closed.");
    describe_gauge!(names::SPLIT_WEIGHT, "Share of a version, as configured and as in effect.");
    describe_gauge!(names::REVISION, "The revision in force.");
    describe_gauge!(names::ENDPOINT_HEALTHY, "Whether an endpoint takes requests.");
    describe_gauge!(names::ENDPOINT_IN_FLIGHT, "Requests that an endpoint is answering.");
    describe_gauge!(names::IN_FLIGHT, "Requests of a service that were decided and have not ended.");
    describe_gauge!(names::QUEUED, "Requests that wait for a place among those in flight.");
    describe_gauge!(names::HELD, "Requests that wait for the end of a hold.");
    describe_gauge!(names::CONNECTIONS, "Open connections, from clients and to endpoints.");
    describe_gauge!(names::PARKED_CONNECTIONS, "Client connections that are idle and keep no buffers.");
    describe_gauge!(names::CONFIG_GOOD, "Whether the last read of the config file was good.");
    describe_gauge!(names::STORE_WRITABLE, "Whether revisions can be written, as far as is known.");
    describe_counter!(names::STORE_MENDED, "Times that files of the store were gone, and were made anew.");
    describe_counter!(names::ACCEPT_PAUSES, "Times that a worker stopped accepting for want of room or descriptors.");
    describe_counter!(
        names::LOG_DROPPED,
        "Lines of the access log that were lost: they found no room or could not be written."
    );
    describe_gauge!(names::PART_RUNNING, "Whether a thread or a task of the proxy runs and makes progress.");
    describe_counter!(names::PART_ENDS, "Times that a thread or a task of the proxy has ended before its time.");
    describe_counter!(names::OWN_LOG_DROPPED, "Lines of the process's own log that were lost, for the same reasons.");
    describe_counter!(names::TLS_HANDSHAKES, "TLS handshakes of clients, full ones and resumed sessions.");
    describe_waits();
    mirror_series::describe();
    describe_tokens();
    describe_flags();
    describe_flag_calls();
    describe_events();
    describe_counter!(names::CHAOS_REQUESTS, "Requests in the slices of chaos experiments, by what their users got.");
    describe_gauge!(
        names::CHAOS_UNDO_FAILED,
        "Chaos runs whose command could not be undone, however often it was tried."
    );
    slo_gauges::describe();
    gitops_gauges::describe();
    fleet_gauges::describe();
    describe_gauge!(names::ROLLOUT_PHASE, "Whether a service's rollout is in a phase; gone a minute after its end.");
    describe_gauge!(names::ROLLOUT_WAITING, "Whether a service's rollout waits for somebody, by what they have to do.");
    describe_gauge!(
        names::JUDGE_EVIDENCE,
        "log10 of E against the new version, by test; it is turned back when one is at test=alarm."
    );
    describe_gauge!(
        names::JUDGE_FINDING,
        "Whether a class of the new version's responses is proved to be more than the old one's."
    );
    describe_gauge!(names::TLS_GOOD, "Whether the last read of the TLS files of a place in the config was good.");
    describe_gauge!(names::CERTIFICATE_EXPIRY, Seconds, "When a certificate in use ends, in seconds since 1970.");
    describe_gauge!(names::BUILD_INFO, "The version of the program, in a label.");
}
