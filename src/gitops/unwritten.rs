//! What is in force and not as the config says, in the words in which it is written to one. Pure.

use std::collections::BTreeMap;
use std::fmt;

use super::config_edit::WeightsToWrite;
use crate::control::file::{FileSpecs, same_split};
use crate::control::overridden::{is_first, is_released, overridden_subjects};
use crate::control::weight_marks::{WeightFacts, WeightSubject};
use crate::stats::Registry;
use crate::table::compiled_flag::Flag;
use crate::table::spec::flag::FlagSpec;
use crate::table::{Name, Service, Slots, Table, Weight, Weights};

/// A service or a flag whose weights in force are to be in the config.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unwritten {
    pub(super) subject: WeightSubject,
    /// The revision that set them.
    pub(super) revision: u64,
    pub(super) wanted: WeightsToWrite,
}

/// `shop: v1=90 v2=10`, or `flag dark: disabled, launch off=90 on=10`
impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.subject)?;
        match &self.wanted {
            WeightsToWrite::Split(weights) => write!(f, "{weights}"),
            WeightsToWrite::Flag { enabled, rules } => {
                f.write_str(if *enabled { "enabled" } else { "disabled" })?;
                rules.iter().try_for_each(|(rule, serve)| write!(f, ", {rule} {serve}"))
            }
        }
    }
}

impl Unwritten {
    /// The branch that it is proposed on.
    pub(super) fn proposal(&self) -> String {
        format!("pointsman/{}-{}", self.subject.to_string().replace(' ', "-"), self.revision)
    }

    /// Whether a config says it.
    pub(super) fn is_in(&self, specs: &FileSpecs) -> bool {
        match (&self.subject, &self.wanted) {
            (WeightSubject::Service(name), WeightsToWrite::Split(weights)) => {
                let spec = specs.services.iter().find(|spec| spec.name == *name);
                spec.is_some_and(|spec| same_split(&spec.split, weights))
            }
            (WeightSubject::Flag(name), WeightsToWrite::Flag { enabled, rules }) => {
                let spec = specs.flags.named(name.as_str());
                let says = |spec: &FlagSpec, rule: &Name, serve: &Weights| {
                    spec.rules().iter().any(|known| known.name == *rule && same_split(&known.serve, serve))
                };
                spec.is_some_and(|spec| {
                    spec.enabled == *enabled && rules.iter().all(|(rule, serve)| says(spec, rule, serve))
                })
            }
            (WeightSubject::Service(_) | WeightSubject::Flag(_), _) => false,
        }
    }
}

/// All of them, and whether there are others that a rollout has in its hands.
pub(super) fn unwritten(table: &Table, facts: &WeightFacts, registry: &Registry) -> (Vec<Unwritten>, bool) {
    let mut waits = false;
    let mut found = Vec::new();
    for subject in overridden_subjects(table) {
        if is_released(&subject, table, registry) {
            waits = true;
            continue;
        }
        // Without it nothing is known of who has set them: a process from before these marks did. What was set for a
        // time goes back by itself.
        let set = facts.marks.set.get(&subject).filter(|set| set.until_ms.is_none());
        let Some(revision) = set.map(|set| set.revision) else { continue };
        let wanted = match &subject {
            WeightSubject::Service(name) => table.service_named(name).and_then(split),
            WeightSubject::Flag(name) => {
                table.flags().flags.iter().find(|flag| flag.spec.name == *name).and_then(of_flag)
            }
        };
        found.extend(wanted.map(|wanted| Unwritten { subject, revision, wanted }));
    }
    (found, waits)
}

/// The split of a service, with all of its versions.
fn split(service: &Service) -> Option<WeightsToWrite> {
    let (found, versions) = (service.weights(), service.spec.versions.iter());
    let weights = versions.map(|version| (version.name.clone(), found.of(version.name.as_str()))).collect();
    Weights::new(weights).ok().map(WeightsToWrite::Split)
}

/// What a flag serves by the rules that serve something else than the config says.
fn of_flag(flag: &Flag) -> Option<WeightsToWrite> {
    let rules = flag.spec.rules().iter().filter_map(|rule| {
        let weights = weights(flag.state.rules.get(&rule.name)?, &flag.spec)?;
        (!same_split(&weights, &rule.serve)).then(|| (rule.name.clone(), weights))
    });
    let rules: BTreeMap<Name, Weights> = rules.collect();
    (!is_first(&flag.state, &flag.spec)).then(|| WeightsToWrite::Flag { enabled: flag.state.enabled, rules })
}

/// What slots give to all variants of a flag.
fn weights(slots: &Slots, spec: &FlagSpec) -> Option<Weights> {
    let variants = spec.variants.iter().map(|variant| &variant.name);
    let weights: Option<BTreeMap<_, _>> =
        variants.map(|name| Some((name.clone(), Weight::from_slots(slots.count(name))?))).collect();
    Weights::new(weights?).ok()
}
