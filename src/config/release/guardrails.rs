//! `guardrails` of a rollout section: `["purchase", { metric = "checkout-button/revenue", tolerate = 0.05 }]`, and the
//! metrics that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::config::check::{every, setting};
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{FromScalar, Quantity, Scalar, Setting, number};
use crate::experiment::definition::{ExperimentSpec, MetricSpec};
use crate::problem::{Mismatch, one_of, suggest};
use crate::rollout::judge::guardrail::{Guardrail, Tolerance, USERS_MIN};
use crate::rollout::release::{Release, Releases, Shape};
use crate::table::{Name, ServiceSpec, Weight};

/// Each is a chance more to be turned back for nothing, and they share what alpha they have.
const GUARDRAILS_MAX: usize = 10;

/// The number of users in each arm that is enough if the plan does not say.
const USUAL: Quantity = Quantity(USERS_MIN);

/// A plan cannot ask for more users than are counted.
const USERS_MAX: Quantity = Quantity(100_000);

/// A guardrail as it is written.
#[derive(Debug)]
pub(crate) enum RawGuardrail {
    Metric(String),
    Table(RawGuardrailTable),
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawGuardrailTable {
    metric: Option<String>,
    tolerate: Option<Setting<Tolerance>>,
    users_min: Option<Setting<Quantity>>,
}

impl<'de> Deserialize<'de> for RawGuardrail {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GuardrailVisitor)
    }
}

struct GuardrailVisitor;

impl<'de> Visitor<'de> for GuardrailVisitor {
    type Value = RawGuardrail;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a metric such as \"purchase\", or { metric = \"purchase\", tolerate = 0.05 }")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawGuardrail, E> {
        Ok(RawGuardrail::Metric(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<RawGuardrail, A::Error> {
        RawGuardrailTable::deserialize(MapAccessDeserializer::new(table)).map(RawGuardrail::Table)
    }
}

impl FromScalar for Tolerance {
    const WANTED: &'static str = "a part from 0 up to, but not including, 1, such as 0.05 for 5 %";

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        number(scalar).and_then(Self::new)
    }
}

/// All of them, in order. Whether there are such metrics says [`check_metrics`].
pub(crate) fn build_all(
    raw: &List<RawGuardrail>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Arc<[Arc<Guardrail>]>, ErrorGuaranteed> {
    let guardrails = every(raw.iter().map(|(index, raw)| raw.build(&at.item(index), report).map(Arc::new)))?;
    if guardrails.len() > GUARDRAILS_MAX {
        let wanted = format!("{GUARDRAILS_MAX} at the most");
        return Err(report.problem(at, Mismatch::new(guardrails.len().to_string(), wanted, "remove some")));
    }
    let mut metrics = BTreeSet::new();
    for ((index, _), guardrail) in raw.iter().zip(&guardrails) {
        if !metrics.insert(&guardrail.metric) {
            let found = format!("{:?} for the second time", guardrail.metric);
            let text = Mismatch::new(found, "each metric once", "remove one of the two");
            return Err(report.problem(&at.item(index), text));
        }
    }
    Ok(guardrails.into())
}

impl RawGuardrail {
    fn build(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Guardrail, ErrorGuaranteed> {
        let table = match self {
            Self::Metric(metric) => {
                let (metric, users_min) = (metric.as_str().into(), USERS_MIN as u64);
                return Ok(Guardrail { metric, tolerate: Tolerance::default(), users_min });
            }
            Self::Table(table) => table,
        };
        let range = Quantity(1)..=USERS_MAX;
        let users_min = setting(table.users_min, USUAL, range, &at.key("users_min"), report);
        let Some(metric) = table.metric.as_deref() else {
            let text = Mismatch::new("none", "the name of a metric", "add metric = \"purchase\"");
            return Err(report.missing(&at.key("metric"), text));
        };
        let tolerate = table.tolerate.map(|tolerate| tolerate.0).unwrap_or_default();
        Ok(Guardrail { metric: metric.into(), tolerate, users_min: users_min?.0 as u64 })
    }
}

/// The metrics that guardrails may name: those of `[metrics]`, and of experiments those that are guardrails.
pub(crate) type GuardrailMetrics = BTreeMap<Box<str>, Arc<MetricSpec>>;

/// All of them, by what they are called in a plan.
#[must_use]
pub(crate) fn metrics_of(
    metrics: &BTreeMap<Name, Arc<MetricSpec>>,
    experiments: &[Arc<ExperimentSpec>],
) -> GuardrailMetrics {
    let own = metrics.iter().map(|(name, metric)| (name.as_str().into(), Arc::clone(metric)));
    let of_experiments = experiments.iter().flat_map(|experiment| {
        let guardrails = experiment.metrics.iter().filter(|metric| metric.plan.guardrail);
        guardrails.map(|metric| (name_in(experiment, metric), Arc::new(metric.clone())))
    });
    own.chain(of_experiments).collect()
}

fn name_in(experiment: &ExperimentSpec, metric: &MetricSpec) -> Box<str> {
    format!("{}/{}", experiment.name(), metric.plan.name).into()
}

/// What is wrong with the name of a metric, if there is none by it.
#[must_use]
pub(crate) fn unknown_metric(name: &str, known: &GuardrailMetrics) -> Option<Mismatch> {
    if known.contains_key(name) {
        return None;
    }
    let names = || known.keys().map(|name| &**name);
    let remedy = suggest(name, names()).map_or_else(
        || match name.split_once('/') {
            Some(_) => "write guardrail = true there, or name another one".to_owned(),
            None => format!("add [metrics.{name}]"),
        },
        |meant| format!("did you mean {meant:?}?"),
    );
    let wanted = match known.is_empty() {
        true => "a metric of [metrics], or EXPERIMENT/METRIC of one with guardrail = true".to_owned(),
        false => one_of(names()),
    };
    Some(Mismatch::new(format!("unknown metric {name:?}"), wanted, remedy))
}

/// Why the release never compares users, if it does not: by its steps, or because its services do not know users.
#[must_use]
pub(crate) fn compares_nothing<'s>(
    release: &Release,
    mut services: impl Iterator<Item = &'s ServiceSpec>,
) -> Option<Mismatch> {
    if release.guardrails.is_empty() {
        return None;
    }
    if let Shape::Canary(canary) = &release.shape
        && canary.steps.iter().all(|step| step.weight == Weight::FULL)
    {
        let wanted = "a step below 100: guardrails compare users of both versions";
        return Some(Mismatch::new("guardrails beside steps = [100]", wanted, "add a step, or remove them"));
    }
    let unknowing = services.find(|service| service.sticky.is_empty())?;
    let found = format!("guardrails, and {} does not know its users again", unknowing.name);
    let wanted = "a service that keeps users on their version";
    Some(Mismatch::new(found, wanted, "add sticky = [\"cookie\"] to the service, or remove them"))
}

/// Reports guardrails that name no metric, and those of a release that never compares users.
pub(crate) fn check_metrics(
    services: &[Arc<ServiceSpec>],
    releases: &Releases,
    known: &GuardrailMetrics,
    report: &mut Report<'_>,
) -> Result<(), ErrorGuaranteed> {
    let (services_at, groups_at) = (ConfigPath::Root.key("services"), ConfigPath::Root.key("groups"));
    let mut checked = Ok(());
    for service in services {
        let Some(release) = releases.services.get(&service.name) else { continue };
        let section = services_at.key(&service.name);
        checked = checked.and(check_release(release, std::slice::from_ref(service), known, &section, report));
    }
    let flags_at = ConfigPath::Root.key("flags");
    for (name, release) in &releases.flags {
        // Whose users it knows says its start: those of the services that list it.
        checked = checked.and(check_release(release, &[], known, &flags_at.key(name), report));
    }
    for group in releases.groups.values() {
        let members: Vec<_> =
            services.iter().filter(|service| group.services.contains(&service.name)).cloned().collect();
        let section = groups_at.key(&group.name);
        checked = checked.and(check_release(&group.release, &members, known, &section, report));
    }
    checked
}

fn check_release(
    release: &Release,
    services: &[Arc<ServiceSpec>],
    known: &GuardrailMetrics,
    section: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<(), ErrorGuaranteed> {
    let rollout = section.key("rollout");
    let at = rollout.key("guardrails");
    let mut checked = Ok(());
    for (index, guardrail) in release.guardrails.iter().enumerate() {
        if let Some(text) = unknown_metric(&guardrail.metric, known) {
            checked = Err(report.problem(&at.item(index), text));
        }
    }
    if let Some(text) = compares_nothing(release, services.iter().map(|service| &**service)) {
        checked = Err(report.problem(&at, text));
    }
    checked
}
