//! The sections `[services.NAME]`, `[segments.NAME]` and `[attributes]`: what users address, its versions, split and
//! rules.

pub(crate) mod attribute;
pub(crate) mod condition;
pub(crate) mod definition_index;
pub(crate) mod edge;
pub(crate) mod health;
pub(crate) mod mirror;
pub(crate) mod mirror_target;
pub(crate) mod on_shift;
pub(crate) mod outlier;
pub(crate) mod pattern;
pub(crate) mod route;
pub(crate) mod rule;
pub(crate) mod segment;
pub(crate) mod shield;
pub(crate) mod slo;
pub(crate) mod split;
pub(crate) mod sticky;
pub(crate) mod version;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use self::definition_index::DefinitionIndex;
use self::edge::canonical::RawCanonical;
use self::edge::cookie::RawCookie;
use self::edge::error_pages::RawErrorPage;
use self::edge::header_lines::RawHeaderEdits;
use self::edge::prefix::RawPrefixReplacement;
use self::edge::told_clients::RawToldClients;
use self::edge::{RawEdits, error_pages};
use self::mirror::{MirroredService, RawMirror};
use self::on_shift::RawOnShift;
use self::outlier::RawOutlier;
use self::rule::{EditingRule, RawRule, RuleScope};

use self::shield::RawShield;
use self::slo::RawSlo;
use self::version::RawVersion;
use crate::config::build::Build;
use crate::config::check::{self, every, setting};
use crate::config::limits::RawLimits;
use crate::config::listener::redirect::RawRedirect;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{ByteSize, Quantity, Setting, TimeSpan};
use crate::config::release::rollout::RawRollout;
use crate::problem::Mismatch;
use crate::shared::name::natural_cmp;
use crate::table::spec::edge::{EdgeSpec, MessageEdits};
use crate::table::spec::{HostPattern, OnUnhealthy, Policy, Segment};
use crate::table::{Name, ServiceSpec, Weight};

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawService {
    hosts: List<String>,
    paths: Option<List<String>>,
    sticky: List<String>,
    salt: Option<String>,
    split: Option<BTreeMap<String, Setting<Weight>>>,
    versions: BTreeMap<String, RawVersion>,
    rules: List<RawRule>,
    flags: List<String>,
    on_unhealthy: Option<RawOnUnhealthy>,
    connect_timeout: Option<Setting<TimeSpan>>,
    response_timeout: Option<Setting<TimeSpan>>,
    body_idle_timeout: Option<Setting<TimeSpan>>,
    normalize_path: Option<bool>,
    websockets: Option<bool>,
    tunnel_idle_timeout: Option<Setting<TimeSpan>>,
    on_shift: Option<RawOnShift>,
    shield: Option<RawShield>,
    mirror: Option<RawMirror>,
    requests_in_flight_max: Option<Setting<Quantity>>,
    queue_max: Option<Setting<Quantity>>,
    queue_timeout: Option<Setting<TimeSpan>>,
    body_bytes_max: Option<Setting<ByteSize>>,
    body_rate_min: Option<Setting<ByteSize>>,
    body_rate_grace: Option<Setting<TimeSpan>>,
    outlier: Option<RawOutlier>,
    slow_start: Option<Setting<TimeSpan>>,
    cache_headers: Option<bool>,
    rollout: Option<RawRollout>,
    slo: Option<RawSlo>,
    request_headers: Option<RawHeaderEdits>,
    response_headers: Option<RawHeaderEdits>,
    strip_prefix: Option<String>,
    replace_prefix: Option<RawPrefixReplacement>,
    version_to_endpoints: Option<bool>,
    version_to_clients: Option<RawToldClients>,
    request_id_to_clients: Option<RawToldClients>,
    canonical_host: Option<String>,
    redirect_https: Option<RawRedirect>,
    error_pages: List<RawErrorPage>,
    cookie: Option<RawCookie>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawOnUnhealthy {
    Pass,
    Refuse,
}

/// All services, at least one, in order of their names.
pub(crate) fn build_all(
    raw: &BTreeMap<String, RawService>,
    segments: &DefinitionIndex<Segment>,
    at: &ConfigPath<'_>,
    build: &mut Build<'_>,
) -> Result<Vec<Arc<ServiceSpec>>, ErrorGuaranteed> {
    if raw.is_empty() {
        let text = Mismatch::new(
            "none",
            "at least one",
            "add [services.NAME.versions.v1] with endpoints = [\"10.0.0.1:8080\"]",
        );
        return Err(build.report.missing(at, text));
    }
    every(raw.iter().map(|(name, raw)| raw.build(name, segments, &at.key(name), build).map(Arc::new)))
}

impl RawService {
    fn build(
        &self,
        name: &str,
        segments: &DefinitionIndex<Segment>,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<ServiceSpec, ErrorGuaranteed> {
        let (base, report) = (build.base, &mut build.report);
        let own_name = check::free_name(name, at, report);
        let hosts = route::hosts(&self.hosts, &at.key("hosts"), report);
        let paths = route::paths(self.paths.as_ref(), &at.key("paths"), report);
        let sticky = sticky::sources(&self.sticky, &at.key("sticky"), report);
        let salt = self.salt(&at.key("salt"), report);
        let versions = version::build_all(&self.versions, base, &at.key("versions"), report);
        let names = self.version_names();
        let split = split::weights(self.split.as_ref(), &names, at, report);
        let policy = self.policy(at, report);
        let shield = self.shield.as_ref().map_or(Ok(None), |raw| raw.build(&names, at, report));
        let slo = self.slo.as_ref().map(|raw| raw.build(&at.key("slo"), report)).transpose();
        let hosts_ok = hosts.as_deref().unwrap_or_default();
        let scope = RuleScope { segments, service: at, versions: &names, hosts: hosts_ok };
        let rules = rule::build_all(&self.rules, &scope, build);
        let edge = self.edge(hosts_ok, at, build);
        let (split_ok, versions_ok) = (split.as_ref().ok(), versions.as_deref().ok());
        let mirrored = MirroredService { at, names: &names, split: split_ok, versions: versions_ok };
        let mirror = self.mirror.as_ref().map(|raw| raw.build(&mirrored, &mut build.report)).transpose();
        let (hosts, paths) = (hosts?, paths?);
        route::claim(&route::RouteClaim { service: name, at, hosts: &hosts, paths: &paths }, build)?;
        let (name, sticky, salt, split) = (own_name?, sticky?, salt?, split?);
        let (versions, rules, mirror, edge) = (versions?, rules?, mirror?, edge?);
        let cookie = self.cookie.as_ref().map(|raw| raw.build(sticky.clone(), &at.key("cookie"), &mut build.report));
        let (cookie, sticky) = cookie.transpose()?.map_or((None, sticky), |(cookie, named)| (Some(cookie), named));
        let (policy, slo) = (Policy { shield: shield?, cookie, ..policy? }, slo?.map(Arc::new));
        let (rules, edits): (Vec<_>, Vec<_>) =
            rules.into_iter().map(|EditingRule { rule, edits }| (rule, edits)).unzip();
        let edits = if edits.iter().all(MessageEdits::is_empty) { Vec::new() } else { edits };
        let edge = Some(EdgeSpec { rules: edits, ..edge }).filter(|edge| !edge.is_empty()).map(Arc::new);
        Ok(ServiceSpec { name, hosts, paths, sticky, salt, split, versions, rules, mirror, policy, slo, edge })
    }

    /// What it changes of its messages, but for what rules do.
    fn edge(
        &self,
        hosts: &[HostPattern],
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<EdgeSpec, ErrorGuaranteed> {
        let edits = RawEdits {
            request_headers: self.request_headers.as_ref(),
            response_headers: self.response_headers.as_ref(),
            strip_prefix: self.strip_prefix.as_deref(),
            replace_prefix: self.replace_prefix.as_ref(),
        };
        let service = edits.build(at, &mut build.report);
        let versions = version::edits(&self.versions, &at.key("versions"), &mut build.report);
        let canonical = RawCanonical { host: self.canonical_host.as_deref(), https: self.redirect_https };
        let canonical = canonical.build(hosts, at, &mut build.report);
        let error_pages = error_pages::build_all(&self.error_pages, &at.key("error_pages"), build);
        Ok(EdgeSpec {
            service: service?,
            versions: versions?,
            rules: Vec::new(),
            version_to_endpoints: self.version_to_endpoints.unwrap_or(false),
            canonical: canonical?,
            error_pages: error_pages?,
        })
    }

    /// The names that a split and rules may use, in natural order; a version with a problem counts.
    pub(crate) fn version_names(&self) -> Vec<Name> {
        let mut names: Vec<Name> = self.versions.keys().filter_map(|name| Name::new(name).ok()).collect();
        names.sort_by(|a, b| natural_cmp(a, b));
        names
    }

    /// The flags that its requests carry.
    pub(crate) fn flags(&self) -> &List<String> {
        &self.flags
    }

    /// How it is released, if that is written.
    pub(crate) fn rollout(&self) -> Option<&RawRollout> {
        self.rollout.as_ref()
    }

    /// Whether it draws the same users as `other`, once both are released together.
    pub(crate) fn draws_like(&self, other: &Self) -> bool {
        let keys = |service: &Self| service.sticky.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>();
        self.salt == other.salt && keys(self) == keys(other)
    }

    /// How many versions are written, also with problems.
    pub(crate) fn versions_count(&self) -> usize {
        self.versions.len()
    }

    fn salt(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Option<Arc<str>>, ErrorGuaranteed> {
        match self.salt.as_deref() {
            Some("") => Err(report.problem(
                at,
                Mismatch::new("an empty text", "some letters", "leave it out for a new one each release"),
            )),
            salt => Ok(salt.map(Arc::from)),
        }
    }

    fn policy(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Policy, ErrorGuaranteed> {
        let default = Policy::default();
        let mut timeout = |raw, default, key: &str| {
            let range = TimeSpan::millis(1)..=TimeSpan::secs(86_400);
            setting(raw, TimeSpan(default), range, &at.key(key), report).map(|span| span.0)
        };
        let connect = timeout(self.connect_timeout, default.connect_timeout, "connect_timeout");
        let response = timeout(self.response_timeout, default.response_timeout, "response_timeout");
        let body = timeout(self.body_idle_timeout, default.body_idle_timeout, "body_idle_timeout");
        let tunnel = timeout(self.tunnel_idle_timeout, default.tunnel_idle_timeout, "tunnel_idle_timeout");
        let on_shift = self.on_shift.as_ref().map(|raw| raw.build(&at.key("on_shift"), report)).transpose();
        let limits = RawLimits {
            requests_in_flight_max: self.requests_in_flight_max,
            queue_max: self.queue_max,
            queue_timeout: self.queue_timeout,
            body_bytes_max: self.body_bytes_max,
            body_rate_min: self.body_rate_min,
            body_rate_grace: self.body_rate_grace,
        };
        let limits = limits.build(at, report);
        let (raw, range) = (self.slow_start, TimeSpan::millis(0)..=TimeSpan::secs(3_600));
        let slow_start = setting(raw, TimeSpan(default.slow_start), range, &at.key("slow_start"), report);
        let outlier = self.outlier.as_ref().map(|raw| raw.build(&at.key("outlier"), report)).transpose();
        let on_unhealthy = self.on_unhealthy.map_or(default.on_unhealthy, |raw| match raw {
            RawOnUnhealthy::Pass => OnUnhealthy::Pass,
            RawOnUnhealthy::Refuse => OnUnhealthy::Refuse,
        });
        Ok(Policy {
            on_unhealthy,
            connect_timeout: connect?,
            response_timeout: response?,
            body_idle_timeout: body?,
            normalize_path: self.normalize_path.unwrap_or(default.normalize_path),
            cache_headers: self.cache_headers.unwrap_or(default.cache_headers),
            websockets: self.websockets.unwrap_or(default.websockets),
            tunnel_idle_timeout: tunnel?,
            on_shift: on_shift?.unwrap_or(default.on_shift),
            shield: None,
            version_to_clients: self.version_to_clients.map_or(default.version_to_clients, Into::into),
            request_id_to_clients: self.request_id_to_clients.map_or(default.request_id_to_clients, Into::into),
            cookie: None,
            limits: limits?,
            outlier: outlier?,
            slow_start: slow_start?.0,
        })
    }
}
