//! `[experiments.NAME]`: whose arms are compared, and by what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;

use super::metric::{RawExperimentMetric, WINDOW, window};
use super::sums::Level;
use crate::config::build::Build;
use crate::config::check::{self, every, setting};
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::{List, Texts};
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{Quantity, Setting, TimeSpan};
use crate::config::service::condition;
use crate::config::service::definition_index::DefinitionIndex;
use crate::experiment::definition::{ExperimentSpec, MetricSpec, counted_requests};
use crate::problem::{Mismatch, Problem, one_of};
use crate::shared::name::Name;
use crate::shared::per_arm::PerArm;
use crate::shared::probability::Probability;
use crate::table::spec::experiment::{AssignmentSpec, ExperimentSubject};
use crate::table::spec::flag::FlagSpecs;
use crate::table::spec::{Condition, Segment};
use crate::table::{SLOTS, ServiceSpec, Weight};

/// A metric more is a chance more to be wrong; with twenty of them one is found by chance at 5 %.
const METRICS_MAX: usize = 20;

/// Some hundred megabytes with two metrics.
const USERS_MAX: Quantity = Quantity(1_000_000);

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawExperiment {
    service: Option<String>,
    flag: Option<String>,
    arms: RawArms,
    share: Option<Setting<Weight>>,
    segment: Option<Texts>,
    layer: Option<String>,
    alpha: Option<Setting<Level>>,
    users_max: Option<Setting<Quantity>>,
    window: Option<Setting<TimeSpan>>,
    metrics: List<RawExperimentMetric>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawArms {
    control: Option<String>,
    treatment: Option<String>,
}

/// What experiments name; none where it has problems of its own.
#[derive(Clone, Copy)]
pub(crate) struct ExperimentScope<'a> {
    pub(crate) segments: &'a DefinitionIndex<Segment>,
    pub(crate) services: Option<&'a [Arc<ServiceSpec>]>,
    pub(crate) flags: Option<&'a FlagSpecs>,
}

/// Whose arms they are, and what the arms can be.
struct Subject {
    subject: ExperimentSubject,
    arms: Vec<Name>,
}

/// Builds every experiment.
pub(crate) fn build_all(
    raw: &BTreeMap<String, RawExperiment>,
    scope: ExperimentScope<'_>,
    build: &mut Build<'_>,
) -> Result<Vec<Arc<ExperimentSpec>>, ErrorGuaranteed> {
    let at = ConfigPath::Root.key("experiments");
    let built = raw.iter().map(|(name, raw)| raw.build(name, scope, &at.key(name), build).map(Arc::new));
    let all: Vec<_> = built.collect();
    let layers = check_layers(all.iter().flatten(), &at, &mut build.report);
    let all = every(all)?;
    layers.map(|()| all)
}

impl RawExperiment {
    fn build(
        &self,
        name: &str,
        scope: ExperimentScope<'_>,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<ExperimentSpec, ErrorGuaranteed> {
        let name = check::name(name, at, &mut build.report);
        let subject = self.subject(scope, at, &mut build.report);
        let arms = self.arms.build(subject.as_ref().ok().and_then(Option::as_ref), &at.key("arms"), &mut build.report);
        let share = self.share(&at.key("share"), &mut build.report);
        let segment = self.segment(scope, &at.key("segment"), build);
        let layer = self.layer.as_deref().map(|layer| check::name(layer, &at.key("layer"), &mut build.report));
        let users = Quantity(1_000)..=Quantity(100_000_000);
        let users_max = setting(self.users_max, USERS_MAX, users, &at.key("users_max"), &mut build.report);
        let window = window(self.window, WINDOW, &at.key("window"), &mut build.report);
        let metrics = self.metrics(window.unwrap_or(WINDOW), &at.key("metrics"), build);
        let (name, subject, arms) = (name?, subject?, arms?);
        let (users_max, metrics) = (users_max?.0, metrics?);
        let alpha = self.alpha.map_or(Probability::FIVE_PER_CENT, |alpha| alpha.0.0);
        // A config whose services or flags have problems is refused for those.
        let subject = subject.map_or_else(|| ExperimentSubject::Service(name.clone()), |subject| subject.subject);
        let (share, segment, layer) = (share?, segment?, layer.transpose()?);
        let requests = counted_requests(&metrics);
        let assignment = Arc::new(AssignmentSpec { name, subject, arms, share, segment, layer, requests });
        Ok(ExperimentSpec { assignment, metrics, alpha, users_max })
    }

    fn share(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Weight, ErrorGuaranteed> {
        match self.share {
            None => Ok(Weight::FULL),
            Some(Setting(share)) if share > Weight::ZERO => Ok(share),
            Some(_) => {
                let wanted = "per cent of all users, above 0 and at most 100, half of them for each arm";
                let remedy = "raise it; an experiment takes nobody in until it is started";
                Err(report.problem(at, Mismatch::new("0", wanted, remedy)))
            }
        }
    }

    fn segment(
        &self,
        scope: ExperimentScope<'_>,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<Option<Arc<Condition>>, ErrorGuaranteed> {
        let segments = condition::texts(self.segment.as_ref(), at, build, |text, at, build| {
            scope.segments.find(text, at, &mut build.report)
        })?;
        let when = Condition { segments, ..Condition::default() };
        Ok(self.segment.is_some().then(|| Arc::new(when)))
    }

    /// The service or flag; none where it cannot be known because of problems of its own.
    fn subject(
        &self,
        scope: ExperimentScope<'_>,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<Option<Subject>, ErrorGuaranteed> {
        match (&self.service, &self.flag) {
            (Some(name), None) => {
                let of_service = |services| service(name, services, &at.key("service"), report);
                scope.services.map(of_service).transpose()
            }
            (None, Some(name)) => scope.flags.map(|flags| flag(name, flags, &at.key("flag"), report)).transpose(),
            (both, _) => {
                let found = if both.is_some() { "both of service and flag" } else { "neither service nor flag" };
                let wanted = "one of them: a service whose versions are compared, or a flag whose variants are";
                Err(report.missing(&at.key("service"), Mismatch::new(found, wanted, "write service = \"NAME\"")))
            }
        }
    }

    fn metrics(
        &self,
        window: TimeSpan,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<Vec<MetricSpec>, ErrorGuaranteed> {
        let metrics = every(self.metrics.iter().map(|(index, raw)| raw.build(window, &at.item(index), build)))?;
        let count = metrics.len();
        if count == 0 || count > METRICS_MAX {
            let remedy = if count == 0 { "add one" } else { "remove some" };
            let text = Mismatch::new(format!("{count} metrics"), format!("1 to {METRICS_MAX}"), remedy);
            return Err(build.report.missing(at, text));
        }
        let mut names = BTreeSet::new();
        for ((index, _), metric) in self.metrics.iter().zip(&metrics) {
            if !names.insert(&metric.plan.name) {
                let found = format!("{:?} for the second time", metric.plan.name);
                let text = Mismatch::new(found, "each name once", "rename one of the two");
                return Err(build.report.problem(&at.item(index).key("name"), text));
            }
        }
        if metrics.iter().all(|metric| metric.plan.guardrail) {
            let text = Mismatch::new("guardrails only", "a metric that is to get better", "leave guardrail out of one");
            return Err(build.report.problem(at, text));
        }
        Ok(metrics)
    }
}

/// That the experiments of a layer could all run at a time: they share no user.
fn check_layers<'a>(
    all: impl Iterator<Item = &'a Arc<ExperimentSpec>>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<(), ErrorGuaranteed> {
    let mut layers: BTreeMap<&Name, Vec<&AssignmentSpec>> = BTreeMap::new();
    for spec in all {
        let Some(layer) = &spec.assignment.layer else { continue };
        layers.entry(layer).or_default().push(&spec.assignment);
    }
    every(layers.iter().map(|(layer, specs)| {
        let sum: u32 = specs.iter().map(|spec| spec.share.slots()).sum();
        let (Some(last), true) = (specs.last(), sum > SLOTS) else { return Ok(()) };
        let shares: Vec<_> = specs.iter().map(|spec| format!("{} {}", spec.name, spec.share)).collect();
        let found = format!("more than 100 % of layer {layer}: {}", shares.join(", "));
        let wanted = "shares of at most 100 together, for experiments of a layer share no user";
        let remedy = "lower one, or give one another layer";
        Err(report.problem(&at.key(&last.name).key("share"), Mismatch::new(found, wanted, remedy)))
    }))
    .map(|_: Vec<()>| ())
}

fn service(
    name: &str,
    services: &[Arc<ServiceSpec>],
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Subject, ErrorGuaranteed> {
    let Some(found) = services.iter().find(|service| service.name.as_str() == name) else {
        let known = services.iter().map(|service| service.name.as_str());
        return Err(unknown(Problem::no_service("", name, known), at, report));
    };
    if found.sticky.is_empty() {
        let found = format!("{name:?}, whose users have another version with each request");
        let wanted = "a service that keeps users on their version";
        return Err(report.problem(at, Mismatch::new(found, wanted, "add sticky = [\"cookie\"] to the service")));
    }
    let arms = found.versions.iter().map(|version| version.name.clone()).collect();
    Ok(Subject { subject: ExperimentSubject::Service(found.name.clone()), arms })
}

fn flag(
    name: &str,
    flags: &FlagSpecs,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Subject, ErrorGuaranteed> {
    let Some(found) = flags.named(name) else {
        let known = one_of(flags.flags.iter().map(|flag| flag.name.as_str()));
        let text = Mismatch::new(format!("unknown flag {name:?}"), known, "name a flag of the config");
        return Err(report.problem(at, text));
    };
    let arms = found.variants.iter().map(|variant| variant.name.clone()).collect();
    Ok(Subject { subject: ExperimentSubject::Flag(found.name.clone()), arms })
}

fn unknown(problem: Problem, at: &ConfigPath<'_>, report: &mut Report<'_>) -> ErrorGuaranteed {
    let Problem { found, wanted, remedy, .. } = problem;
    report.problem(at, Mismatch { found, wanted, remedy })
}

impl RawArms {
    fn build(
        &self,
        subject: Option<&Subject>,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<PerArm<Name>, ErrorGuaranteed> {
        let mut arm = |raw: Option<&String>, key: &str| {
            let at = at.key(key);
            let Some(text) = raw else {
                let wanted = "a version of the service, or a variant of the flag";
                return Err(report.missing(&at, Mismatch::new("none", wanted, format!("add {key} = \"NAME\""))));
            };
            match subject {
                Some(subject) if !subject.arms.iter().any(|name| name.as_str() == text) => {
                    let known = one_of(subject.arms.iter().map(Name::as_str));
                    let text = Mismatch::new(format!("unknown {text:?}"), known, "name another one, or add it");
                    Err(report.problem(&at, text))
                }
                Some(_) | None => check::name(text, &at, report),
            }
        };
        let (control, treatment) = (arm(self.control.as_ref(), "control"), arm(self.treatment.as_ref(), "treatment"));
        let arms = PerArm { control: control?, treatment: treatment? };
        if arms.control == arms.treatment {
            let found = format!("{:?} in both arms", arms.control.as_str());
            let text = Mismatch::new(found, "two that differ", "name another one for one of the arms");
            return Err(report.problem(at, text));
        }
        Ok(arms)
    }
}
