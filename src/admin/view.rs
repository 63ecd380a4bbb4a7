//! A service as the API shows it: its definition, its split, and what happens on its versions and endpoints.

use std::collections::BTreeMap;

use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::budget_brief::BudgetBrief;
use super::chaos_brief::ChaosBrief;
use crate::chaos_runner::chaos_shown::ChaosShown;
use crate::control::file::same_split;
use crate::endpoints::endpoint_status::{EndpointStatus, endpoint_status};
use crate::metrics::recent_rates::RecentRates;
use crate::release::brief::RolloutBrief;
use crate::release::controller::RolloutBriefs;
use crate::slo_keeper::SloHandle;
use crate::stats::{CodeClass, FirstAttempt, UpstreamFailure};
use crate::table::compiled_flag::Flag;
use crate::table::effective::{EffectiveShare, shares};
use crate::table::spec::edge::RuleTarget;
use crate::table::spec::{HostPattern, KeySource, OnUnhealthy, RuleSpec};
use crate::table::{Endpoint, EndpointAddress, HostPort, Name, Service, Table, Version, Weights};

use super::mirror_share::MirrorShareView;

/// A service: what it is, what its traffic is, and what happens to it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ServiceView {
    /// Its name.
    name: String,
    /// Its hosts; none: any.
    hosts: Vec<String>,
    /// Its path prefixes.
    paths: Vec<String>,
    /// Where the key of a user comes from, first present wins.
    sticky: Vec<String>,
    /// What keys are hashed with.
    salt: String,
    /// What happens to requests whose version has no usable endpoint: `pass` or `refuse`.
    on_unhealthy: &'static str,
    /// The names of its rules, in order.
    rules: Vec<String>,
    /// Its rules, in order, with whom each is for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rule_details: Vec<RuleView>,
    /// The flags that its requests tell the endpoint, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<ToldFlagView>,
    /// The split that the config file asks for, in per cent.
    file_split: BTreeMap<String, f64>,
    /// Whether the split in force is another one than the file's.
    differs_from_file: bool,
    /// Its versions, in natural order.
    versions: Vec<VersionView>,
    /// What is copied of its requests, if anything is.
    #[serde(skip_serializing_if = "Option::is_none")]
    mirror: Option<MirrorShareView>,
    /// Its rollout, while one is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    rollout: Option<RolloutBrief>,
    /// What is left of its budget, if it has objectives.
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<BudgetBrief>,
    /// The chaos run on it, until all is as it was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    chaos: Option<ChaosBrief>,
}

/// A flag that requests tell the endpoint.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ToldFlagView {
    /// Its name.
    name: String,
    /// Whether it is enabled; if not, all users have its default.
    enabled: bool,
}

/// A rule of a service.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct RuleView {
    /// Its name.
    name: String,
    /// Its condition in words.
    when: String,
    /// The version that it picks; `the split`, if it leaves the choice to that, or else what it responds.
    #[serde(rename = "use")]
    version: String,
}

/// A version.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct VersionView {
    /// Its name.
    name: String,
    /// Its weight, in per cent.
    weight: f64,
    /// What it really gets of the split, in per cent.
    effective_weight: f64,
    /// Why that is not its weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_reason: Option<String>,
    /// Requests that ended, since the start.
    requests: u64,
    /// Requests that ended, by class of the status, since the start.
    codes: BTreeMap<&'static str, u64>,
    /// Attempts that failed by the upstream's fault, by reason, since the start.
    failures: BTreeMap<&'static str, u64>,
    /// Requests that were assigned here and answered by another version, since the start.
    passed_on: u64,
    /// What happened in the last seconds.
    recent: RecentView,
    /// Requests that are being answered.
    in_flight: u64,
    /// WebSockets and streams that are open on it.
    long_connections: u64,
    /// Its endpoints.
    endpoints: Vec<EndpointView>,
}

/// What happened to a version in the last seconds.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct RecentView {
    /// How many seconds: the same ones for all versions of the service, the last five to six, and fewer when the process or
    /// the service is younger.
    seconds: f64,
    /// Requests.
    requests: u64,
    /// Requests a second; those of the first second are divided by one second.
    requests_per_second: f64,
    /// Answers of 500 and above.
    errors: u64,
    /// Answers of 500 and above, a second.
    errors_per_second: f64,
    /// Share of the answers that are 500 or above, 0 to 1.
    error_ratio: f64,
    /// First attempts that were made here, whoever answered the request in the end.
    first_attempts: u64,
    /// Those of them that failed by the version's fault: what users would have seen without the shield and retries.
    first_attempts_failed: u64,
    /// Share of the first attempts that failed, 0 to 1.
    first_attempt_error_ratio: f64,
    /// Median latency, in milliseconds; none without requests.
    p50_ms: Option<f64>,
    /// Nine of ten are faster.
    p90_ms: Option<f64>,
    /// Ninety-nine of a hundred are faster.
    p99_ms: Option<f64>,
}

/// An endpoint.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct EndpointView {
    /// Its address; of a name that stands for nothing yet, the name.
    address: String,
    /// The name that stands for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The zone that it is in, if that is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    /// `ready`, `drained` (by an operator), `unhealthy` (it fails its checks), `paused` (it refuses connections, and is tried
    /// by connections of our own until it takes one), `ejected` (too many of its answers were failures) or `untried` (that is
    /// over, the next request will tell), or `unresolved` (a name that stands for no address yet).
    state: &'static str,
    /// Why it is in that state, and since or until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Requests that it is answering.
    in_flight: u32,
    /// Open connections to it.
    connections: u32,
}

/// The moment of a look, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Tokio's clock.
    pub now: Instant,
    /// Milliseconds on the process's clock.
    pub now_ms: u64,
}

impl ServiceView {
    /// How `service` looks at this moment.
    #[must_use]
    pub(crate) fn of(service: &Service, live: &RecentRates, at: Moment) -> Self {
        let spec = &service.spec;
        let shares = shares(service, |version| version.availability(at.now_ms));
        let versions = service.versions.iter().zip(shares);
        Self {
            name: spec.name.to_string(),
            hosts: spec.hosts.iter().map(host).collect(),
            paths: spec.paths.iter().map(ToString::to_string).collect(),
            sticky: spec.sticky.iter().map(key_source).collect(),
            salt: service.traffic.salt.to_string(),
            on_unhealthy: match spec.policy.on_unhealthy {
                OnUnhealthy::Pass => "pass",
                OnUnhealthy::Refuse => "refuse",
            },
            rules: service.rules.iter().map(|rule| rule.name.to_string()).collect(),
            rule_details: spec.rules.iter().map(RuleView::of).collect(),
            flags: Vec::new(),
            file_split: percents(&spec.split),
            differs_from_file: !same_split(&service.weights(), &spec.split),
            versions: versions.map(|(version, share)| VersionView::of(service, version, share, live, at)).collect(),
            mirror: service.traffic.mirror.as_ref().map(MirrorShareView::of),
            rollout: None,
            budget: None,
            chaos: None,
        }
    }

    /// The same with the flags that it has in `table`.
    #[must_use]
    pub(crate) fn with_flags(self, table: &Table) -> Self {
        let told = table.index_of(&self.name).into_iter().flat_map(|index| table.flags().told_flags(index));
        let flag = |flag: &Flag| ToldFlagView { name: flag.spec.name.to_string(), enabled: flag.state.enabled };
        Self { flags: told.map(flag).collect(), ..self }
    }

    /// The same with its rollout, if it has one.
    #[must_use]
    pub(crate) fn with_rollout(self, briefs: &RolloutBriefs) -> Self {
        let rollout = briefs.get(&self.name).cloned();
        Self { rollout, ..self }
    }

    /// The same with its budget, if it has objectives.
    #[must_use]
    pub(crate) fn with_budget(self, slo: &SloHandle) -> Self {
        let budget = slo.budget(&self.name).as_ref().map(BudgetBrief::of);
        Self { budget, ..self }
    }

    /// The same with the chaos run that is not over, if there is one.
    #[must_use]
    pub(crate) fn with_chaos(self, shown: &ChaosShown) -> Self {
        let chaos = shown.on(&self.name).map(ChaosBrief::of);
        Self { chaos, ..self }
    }
}

impl RuleView {
    fn of(rule: &RuleSpec) -> Self {
        let version = match &rule.target {
            RuleTarget::Version(version) => version.to_string(),
            RuleTarget::Split => "the split".to_owned(),
            RuleTarget::Respond(response) => response.words(),
        };
        Self { name: rule.name.to_string(), when: rule.when.to_string(), version }
    }
}

impl VersionView {
    fn of(service: &Service, version: &Version, share: EffectiveShare, live: &RecentRates, at: Moment) -> Self {
        let window = live.window(service, version, at.now);
        let codes = CodeClass::ALL.iter().zip(window.totals.codes).filter(|(_, count)| *count > 0);
        let failures = UpstreamFailure::ALL.iter().zip(window.totals.failures).filter(|(_, count)| *count > 0);
        let errors = window.recent.codes[CodeClass::ServerError as usize];
        let requests = window.recent.requests();
        let failed = window.recent.firsts[FirstAttempt::Failed as usize];
        let attempts = failed + window.recent.firsts[FirstAttempt::Ok as usize];
        Self {
            name: version.name.to_string(),
            weight: version.weight.percent(),
            effective_weight: percent(share.ratio),
            effective_reason: share.reason,
            requests: window.totals.requests(),
            codes: codes.map(|(class, count)| (class.word(), count)).collect(),
            failures: failures.map(|(failure, count)| (failure.word(), count)).collect(),
            passed_on: window.totals.passed_on,
            recent: RecentView {
                seconds: window.length.as_secs_f64(),
                requests,
                requests_per_second: window.per_second(requests),
                errors,
                errors_per_second: window.per_second(errors),
                error_ratio: ratio(errors, requests),
                first_attempts: attempts,
                first_attempts_failed: failed,
                first_attempt_error_ratio: ratio(failed, attempts),
                p50_ms: window.quantile_ms(0.5),
                p90_ms: window.quantile_ms(0.9),
                p99_ms: window.quantile_ms(0.99),
            },
            in_flight: version.endpoints.iter().map(|endpoint| u64::from(endpoint.stats.in_flight())).sum(),
            long_connections: window.totals.long_open,
            endpoints: endpoints(service, version, at.now_ms),
        }
    }
}

impl EndpointView {
    /// An endpoint, the name that stands for it, and the name that it is drained with.
    fn of(endpoint: &Endpoint, name: Option<&HostPort>, drained_with: Option<&HostPort>, now_ms: u64) -> Self {
        let EndpointStatus { state, reason } = endpoint_status(endpoint, drained_with, now_ms);
        let stats = &endpoint.stats;
        let address = endpoint.address.to_string();
        let name = name.map(ToString::to_string);
        let zone = endpoint.zone.as_ref().map(ToString::to_string);
        Self { address, name, zone, state, reason, in_flight: stats.in_flight(), connections: stats.connections() }
    }

    /// A name that stands for no address.
    fn unresolved(name: &HostPort, zone: Option<&Name>, problem: Option<&str>, drained: bool) -> Self {
        let reason = Some(problem.unwrap_or("not asked yet").to_owned());
        let (address, state) = (name.to_string(), if drained { "drained" } else { "unresolved" });
        let (name, zone) = (Some(name.to_string()), zone.map(ToString::to_string));
        Self { address, name, zone, state, reason, in_flight: 0, connections: 0 }
    }
}

/// The endpoints of a version, then its names that stand for none.
fn endpoints(service: &Service, version: &Version, now_ms: u64) -> Vec<EndpointView> {
    let spec = service.spec.versions.iter().find(|spec| spec.name == version.name);
    let name_of = |endpoint: &Endpoint| spec.and_then(|spec| service.addresses.name_of(spec, endpoint.address));
    let drained_with = |endpoint: &Endpoint| service.traffic.drained_with(spec?, endpoint.address, &service.addresses);
    let view = |endpoint| EndpointView::of(endpoint, name_of(endpoint), drained_with(endpoint), now_ms);
    let known = version.endpoints.iter().map(view);
    let unresolved = spec.into_iter().flat_map(|spec| &spec.names).filter_map(|name| {
        let found = service.addresses.of(&name.host);
        let empty = found.is_none_or(|found| found.addresses.is_empty());
        let entry = (version.name.clone(), EndpointAddress::Name(name.clone()));
        let drained = service.traffic.drained.contains(&entry);
        let zone = spec.and_then(|spec| spec.zones.get(&entry.1));
        empty.then(|| EndpointView::unresolved(name, zone, found.and_then(|found| found.problem.as_deref()), drained))
    });
    known.chain(unresolved).collect()
}

/// A part of counts of some seconds; of nothing it is 0.
fn ratio(part: u64, all: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of some seconds are far below 2^52")]
    let ratio = part as f64 / all.max(1) as f64;
    ratio
}

/// Weights in per cent, by version.
#[must_use]
pub(crate) fn percents(weights: &Weights) -> BTreeMap<String, f64> {
    weights.iter().map(|(name, weight)| (name.to_string(), weight.percent())).collect()
}

/// Per cent of a ratio, to three decimals: a slot is the finest there is.
#[must_use]
pub(crate) fn percent(ratio: f64) -> f64 {
    (ratio * 100_000.0).round() / 1_000.0
}

/// A source of keys as the config writes it.
#[must_use]
pub(crate) fn key_source(source: &KeySource) -> String {
    match source {
        KeySource::Header(name) => format!("header:{name}"),
        KeySource::Cookie(name) => format!("cookie:{name}"),
        KeySource::Query(name) => format!("query:{name}"),
        KeySource::Jwt(claim) => format!("jwt:{claim}"),
        KeySource::Ip => "ip".to_owned(),
        KeySource::OwnCookie | KeySource::NamedOwnCookie(_) => "cookie".to_owned(),
    }
}

fn host(host: &HostPattern) -> String {
    match host {
        HostPattern::Exact(host) => host.to_string(),
        HostPattern::Below(parent) => format!("*.{parent}"),
    }
}
