//! The time series of one table: handles resolved once per version, and what they said last.

use super::names;
use std::collections::HashMap;
use std::sync::Arc;

use metrics::{Counter, Gauge, Label, counter, gauge};

use super::{Logs, request_durations};
use crate::control::planned::Action;
use crate::jwt::KeysFacts;
use crate::ledger::ledger_handle::LedgerFacts;
use crate::shared::fault_stats::FaultSlice;
use crate::stats::deliveries::Deliveries;
use crate::stats::{
    AdminStats, ChaosResult, CodeClass, EventStats, FirstAttempt, FlagCallOutcome, HiddenBy, JwtOutcome, Registry,
    RejectReason, ReleaseStats, Retry, TlsHandshake, UpstreamFailure, VersionTotals, WorkerTotals,
};
use crate::supervise::{PartFacts, PartState};
use crate::table::effective::{EffectiveShare, shares};
use crate::table::{Endpoint, Name, Service, Table, Version};
use crate::tls::TlsFacts;

/// All series of the versions of a table.
#[derive(Default)]
pub(crate) struct Series {
    /// The table that the handles belong to. Held, so that its address cannot become another table's.
    table: Option<Arc<Table>>,
    versions: HashMap<(Name, Name), VersionSeries>,
}

/// The series of one version.
struct VersionSeries {
    labels: Vec<Label>,
    configured: Gauge,
    effective: Gauge,
    connections: Gauge,
    endpoints: Vec<EndpointSeries>,
    counted: Option<Counted>,
}

struct EndpointSeries {
    healthy: Gauge,
    in_flight: Gauge,
}

/// What was counted of a version. All series are there from the beginning, so that ratios are numbers before the first
/// failure; but not those of idle versions where there are [many](IDLE_VERSIONS_MAX).
struct Counted {
    codes: [Counter; CodeClass::ALL.len()],
    failures: [Counter; UpstreamFailure::ALL.len()],
    firsts: [Counter; FirstAttempt::ALL.len()],
    hidden: [Counter; HiddenBy::ALL.len()],
    retries: [Counter; Retry::ALL.len()],
    passed_on: Counter,
    long_open: Gauge,
    last: VersionTotals,
}

/// The same for histograms, which have most of the series.
const IDLE_HISTOGRAMS_MAX: usize = 100;

/// With more versions than this in the config, those that have had no request have no counters: some twenty of each,
/// ten thousand series at zero, are what a scrape of a megabyte has room for.
const IDLE_VERSIONS_MAX: usize = 500;

impl Series {
    /// Sets everything that `table` knows. Inside the local recorder.
    pub(crate) fn update(&mut self, table: &Arc<Table>, now_ms: u64) {
        if self.table.as_ref().is_none_or(|known| !Arc::ptr_eq(known, table)) {
            self.resolve(table);
        }
        let few = self.versions.len() <= IDLE_VERSIONS_MAX;
        for service in table.services() {
            let shares = shares(service, |version| version.availability(now_ms));
            for (version, share) in service.versions.iter().zip(shares) {
                let key = (service.spec.name.clone(), version.name.clone());
                if let Some(series) = self.versions.get_mut(&key) {
                    series.update(version, &share, few);
                }
            }
        }
    }

    /// The times of requests, as text: of versions that have had one, and of all where they are few.
    pub(crate) fn durations(&self, text: &mut String) {
        let few = self.versions.len() <= IDLE_HISTOGRAMS_MAX;
        request_durations::begin(text);
        for ((service, version), series) in &self.versions {
            if let Some(counted) = series.counted.as_ref().filter(|counted| few || counted.last.requests() > 0) {
                request_durations::add(text, service.as_str(), version.as_str(), &counted.last.latency);
            }
        }
    }

    /// Takes the handles of versions that stay and makes those of new ones.
    fn resolve(&mut self, table: &Arc<Table>) {
        let mut old = std::mem::take(&mut self.versions);
        for service in table.services() {
            for version in &service.versions {
                let key = (service.spec.name.clone(), version.name.clone());
                let counted = old.remove(&key).and_then(|series| series.counted);
                self.versions.insert(key, VersionSeries { counted, ..VersionSeries::new(service, version) });
            }
        }
        self.table = Some(Arc::clone(table));
    }

    /// Sets what belongs to no version. Inside the local recorder.
    #[expect(clippy::unused_self, reason = "these few series need no handles kept")]
    pub(crate) fn update_workers(&self, totals: &WorkerTotals) {
        for (reason, count) in RejectReason::ALL.iter().zip(totals.refusals) {
            counter!(names::REFUSALS, "reason" => reason.word()).absolute(count);
        }
        gauge!(names::CONNECTIONS, "side" => "client").set(float(totals.connections));
        gauge!(names::PARKED_CONNECTIONS).set(float(totals.connections_parked));
        counter!(names::ACCEPT_PAUSES).absolute(totals.accept_pauses);
        for (kind, count) in TlsHandshake::ALL.iter().zip(totals.handshakes) {
            counter!(names::TLS_HANDSHAKES, "kind" => kind.word()).absolute(count);
        }
        for (outcome, count) in FlagCallOutcome::ALL.iter().zip(totals.flag_calls) {
            counter!(names::FLAG_CALLS, "outcome" => outcome.word()).absolute(count);
        }
        gauge!(names::FLAG_STREAMS).set(float(totals.flag_streams));
    }
}

/// Sets how the parts of the process are. Inside the local recorder.
pub(crate) fn update_parts(parts: &[PartFacts]) {
    for part in parts {
        let runs = part.state == PartState::Running;
        gauge!(names::PART_RUNNING, "part" => part.name.clone()).set(if runs { 1.0 } else { 0.0 });
        counter!(names::PART_ENDS, "part" => part.name.clone()).absolute(part.ends);
    }
}

/// Sets what was lost of the logs. Inside the local recorder.
pub(crate) fn update_logs(logs: &Logs, totals: &WorkerTotals) {
    counter!(names::LOG_DROPPED).absolute(logs.access_lost(totals.log_dropped));
    counter!(names::OWN_LOG_DROPPED).absolute(logs.process.lines());
}

/// Sets what the admin API refused, also what it never did: a ratio or an alert needs a series from the start. Inside
/// the local recorder.
pub(crate) fn update_admin(stats: &AdminStats) {
    for (reason, count) in stats.refusals() {
        counter!(names::ADMIN_REFUSALS, "reason" => reason.word()).absolute(count);
    }
}

/// Sets how many revisions there were of each kind, and how often the judge has looked. Inside the local recorder.
pub(crate) fn update_releases(stats: &ReleaseStats) {
    for action in Action::ALL.map(Action::word) {
        counter!(names::CHANGES, "action" => action).absolute(stats.changes(action));
    }
    counter!(names::JUDGE_LOOKS).absolute(stats.judge_looks());
}

/// Sets what became of notifications. Inside the local recorder.
pub(crate) fn update_notifications(deliveries: &Deliveries) {
    for (target, counters) in deliveries.present() {
        for (outcome, count) in counters.counts() {
            counter!(names::NOTIFICATIONS, "target" => target.shared(), "outcome" => outcome.word()).absolute(count);
        }
    }
}

/// Sets what became of events of users. Inside the local recorder.
pub(crate) fn update_events(stats: &EventStats) {
    for (outcome, count) in stats.calls() {
        counter!(names::EVENT_CALLS, "outcome" => outcome.word()).absolute(count);
    }
    for (outcome, count) in stats.events() {
        counter!(names::EVENTS, "outcome" => outcome.word()).absolute(count);
    }
}

/// Sets what the users of chaos experiments got, also when none is under way any more. Inside the local recorder.
pub(crate) fn update_chaos(registry: &Registry) {
    for (of, counters) in registry.all_chaos() {
        for (slice, result) in FaultSlice::ALL.into_iter().flat_map(|slice| ChaosResult::ALL.map(|one| (slice, one))) {
            let (service, experiment) = (of.service.to_string(), of.experiment.to_string());
            let (slice_word, result_word) = (slice.word(), result.word());
            counter!(
                names::CHAOS_REQUESTS,
                "service" => service, "experiment" => experiment, "slice" => slice_word, "result" => result_word
            )
            .absolute(counters.total(slice, result));
        }
    }
    for (service, runs) in registry.chaos_stuck() {
        gauge!(names::CHAOS_UNDO_FAILED, "service" => String::from(service)).set(float(runs));
    }
}

/// Sets how the ledger of experiments is; one that does not answer writes nothing. Inside the local recorder.
pub(crate) fn update_ledger(facts: Option<&LedgerFacts>) {
    let writable = facts.is_some_and(|facts| facts.problem.is_none());
    gauge!(names::LEDGER_WRITABLE).set(if writable { 1.0 } else { 0.0 });
    let Some(facts) = facts else { return };
    gauge!(names::EXPERIMENT_USERS).set(float(facts.users));
    counter!(names::LEDGER_LOST).absolute(facts.lost);
    for experiment in facts.full_experiments() {
        gauge!(names::EXPERIMENT_FULL, "experiment" => experiment.shared()).set(1.0);
    }
}

/// Sets what became of tokens, and how their keys are. Inside the local recorder.
pub(crate) fn update_tokens(facts: &KeysFacts, totals: &WorkerTotals) {
    for (outcome, count) in JwtOutcome::ALL.iter().zip(totals.tokens) {
        counter!(names::TOKENS, "outcome" => outcome.word()).absolute(count);
    }
    gauge!(names::TOKEN_KEYS).set(float(facts.keys.len() as u64));
    gauge!(names::TOKEN_KEYS_GOOD).set(if facts.problem.is_none() { 1.0 } else { 0.0 });
    counter!(names::TOKEN_KEYS_FAILURES).absolute(facts.failures);
}

/// Sets what is known of certificates. Inside the local recorder.
pub(crate) fn update_tls(sides: &[TlsFacts]) {
    for side in sides {
        let place = || side.place.clone();
        gauge!(names::TLS_GOOD, "place" => place()).set(if side.problems.is_empty() { 1.0 } else { 0.0 });
        for certificate in &side.certificates {
            // Of two for one name (ECDSA and RSA) the first to end is the one to know.
            let of_name = side.certificates.iter().filter(|other| other.name == certificate.name);
            let ends = of_name.map(|other| other.not_after).min().unwrap_or(certificate.not_after);
            #[expect(clippy::cast_precision_loss, reason = "dates are far below 2^52 seconds")]
            gauge!(names::CERTIFICATE_EXPIRY, "place" => place(), "name" => certificate.name.clone()).set(ends as f64);
        }
    }
}

impl VersionSeries {
    fn new(service: &Service, version: &Version) -> Self {
        let labels =
            vec![Label::new("service", service.spec.name.shared()), Label::new("version", version.name.shared())];
        let kind = |kind| gauge!(names::SPLIT_WEIGHT, with(&labels, "kind", kind));
        Self {
            configured: kind("configured"),
            effective: kind("effective"),
            connections: gauge!(names::CONNECTIONS, with(&labels, "side", "upstream")),
            endpoints: version.endpoints.iter().map(|endpoint| EndpointSeries::new(endpoint, &labels)).collect(),
            counted: None,
            labels,
        }
    }

    fn update(&mut self, version: &Version, share: &EffectiveShare, few: bool) {
        self.configured.set(version.weight.ratio());
        self.effective.set(share.ratio);
        let connections = version.endpoints.iter().map(|endpoint| u64::from(endpoint.stats.connections())).sum();
        self.connections.set(float(connections));
        for (series, endpoint) in self.endpoints.iter().zip(&version.endpoints) {
            // One that waits for its probe is not well yet.
            let healthy = !endpoint.drained && !endpoint.stats.health.is_out();
            series.healthy.set(if healthy { 1.0 } else { 0.0 });
            series.in_flight.set(f64::from(endpoint.stats.in_flight()));
        }
        if few || version.stats.is_used() {
            let labels = &self.labels;
            self.counted.get_or_insert_with(|| Counted::new(labels)).update(version.stats.totals());
        }
    }
}

impl EndpointSeries {
    fn new(endpoint: &Endpoint, labels: &[Label]) -> Self {
        let labels = with(labels, "endpoint", endpoint.address.to_string());
        let healthy = gauge!(names::ENDPOINT_HEALTHY, labels.clone());
        Self { healthy, in_flight: gauge!(names::ENDPOINT_IN_FLIGHT, labels) }
    }
}

impl Counted {
    fn new(labels: &[Label]) -> Self {
        let of = |name: &'static str, key, word: &'static str| counter!(name, with(labels, key, word));
        Self {
            codes: CodeClass::ALL.map(|class| of(names::REQUESTS, "code", class.word())),
            failures: UpstreamFailure::ALL.map(|failure| of(names::UPSTREAM_FAILURES, "reason", failure.word())),
            firsts: FirstAttempt::ALL.map(|ended| of(names::FIRST_ATTEMPTS, "outcome", ended.word())),
            hidden: HiddenBy::ALL.map(|by| of(names::HIDDEN_FAILURES, "by", by.word())),
            retries: Retry::ALL.map(|why| of(names::RETRIES, "reason", why.word())),
            passed_on: counter!(names::PASSED_ON, labels.to_vec()),
            long_open: gauge!(names::LONG_CONNECTIONS, labels.to_vec()),
            last: VersionTotals::default(),
        }
    }

    fn update(&mut self, totals: VersionTotals) {
        set(&self.codes, &totals.codes);
        set(&self.failures, &totals.failures);
        set(&self.firsts, &totals.firsts);
        set(&self.hidden, &totals.hidden);
        set(&self.retries, &totals.retries);
        self.passed_on.absolute(totals.passed_on);
        self.long_open.set(float(totals.long_open));
        self.last = totals;
    }
}

fn set(counters: &[Counter], counts: &[u64]) {
    counters.iter().zip(counts).for_each(|(counter, count)| counter.absolute(*count));
}

/// The labels and one more.
fn with(labels: &[Label], key: &'static str, value: impl Into<metrics::SharedString>) -> Vec<Label> {
    labels.iter().cloned().chain([Label::new(key, value)]).collect()
}

pub(crate) fn float(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts that are looked at are far below 2^52")]
    let float = count as f64;
    float
}
