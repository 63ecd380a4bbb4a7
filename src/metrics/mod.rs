//! Prometheus text of what the workers counted.
//!
//! Nothing is exported as it happens: the workers count on their own memory, and when a client scrapes their sums are
//! set here. The recorder is a value, not the process-wide
//! one, so that several proxies can live in one test. Labels are names of the config and words of
//! [`names`]: their number is bounded by what the operator wrote.

mod flag_gauges;
mod fleet_gauges;
mod gitops_gauges;
pub(crate) mod guardrail_gauge;
mod help;
mod mirror_series;
pub(crate) mod names;
pub(crate) mod recent_rates;
mod request_durations;
pub(crate) mod rollout_gauges;
mod series;
mod service_gauges;
mod slo_gauges;
pub(crate) mod version_history;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
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
use crate::stats::deliveries::Deliveries;
use crate::supervise::Supervisor;
use crate::tls::TlsRegistry;

use crate::control::publish::Published;
use crate::control::watch::ConfigFacts;
use rollout_gauges::RolloutGauge;
use series::Series;

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
    /// What became of notifications.
    pub deliveries: Arc<Deliveries>,
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
    #[must_use]
    pub fn new(sources: Sources) -> Self {
        let idle = MetricKindMask::GAUGE | MetricKindMask::COUNTER;
        let recorder = PrometheusBuilder::new().idle_timeout(idle, Some(IDLE_MAX)).build_recorder();
        let process = metrics_process::Collector::default();
        metrics::with_local_recorder(&recorder, || {
            help::describe();
            process.describe();
        });
        let rendered = recorder.handle();
        Self { recorder, rendered, process, sources, series: Mutex::default() }
    }

    /// The metrics at this moment. How the ledger of experiments is has to be asked for by the caller; none: it does
    /// not answer.
    #[must_use]
    pub(crate) fn render(&self, ledger: Option<&LedgerFacts>) -> String {
        self.update();
        metrics::with_local_recorder(&self.recorder, || series::update_ledger(ledger));
        // The collector's counter has whole seconds, of which a rate makes steps; its gauge has fractions.
        let text = self.rendered.render();
        let mut text =
            text.replace("# TYPE process_cpu_seconds_total gauge", "# TYPE process_cpu_seconds_total counter");
        self.series.lock().unwrap_or_else(PoisonError::into_inner).durations(&mut text);
        help::judge_seconds(&mut text, self.sources.registry.releases().judge_time());
        text
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
            let rollouts = self.sources.rollouts.borrow();
            rollout_gauges::update(&rollouts);
            rollout_gauges::update_endings(self.sources.registry.releases(), &table, &rollouts);
            drop(rollouts);
            series::update_releases(self.sources.registry.releases());
            series::update_notifications(&self.sources.deliveries);
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
