//! Which services and flags give users something else than the config says, and which of them a rollout has in its
//! hands. Pure.

use super::file::same_split;
use super::weight_marks::{WeightFacts, WeightSubject};
use crate::stats::Registry;
use crate::table::Table;
use crate::table::flag_state::FlagState;
use crate::table::spec::flag::{FlagRuleSpec, FlagSpec};

/// Services and flags that give users something else than their definitions say, because an operator or a rollout has
/// changed that at run time.
#[must_use]
pub(crate) fn overridden_subjects(table: &Table) -> Vec<WeightSubject> {
    let services = table.services().filter(|service| !same_split(&service.weights(), &service.spec.split));
    let services = services.map(|service| WeightSubject::Service(service.spec.name.clone()));
    let flags = table.flags().flags.iter().filter(|flag| !is_first(&flag.state, &flag.spec));
    services.chain(flags.map(|flag| WeightSubject::Flag(flag.spec.name.clone()))).collect()
}

/// Whether a flag serves the weights of its definition, also to other users.
#[must_use]
pub(crate) fn is_first(state: &FlagState, spec: &FlagSpec) -> bool {
    let first = FlagState::first(spec);
    let mut rules = spec.rules().iter();
    let same = |rule: &FlagRuleSpec| {
        let (said, found) = (first.rules.get(&rule.name), state.rules.get(&rule.name));
        match (said, found) {
            (Some(said), Some(found)) => rule.serve.iter().all(|(name, _)| said.count(name) == found.count(name)),
            (said, found) => said.is_none() && found.is_none(),
        }
    };
    first.enabled == state.enabled && rules.all(same)
}

/// Whether a rollout is under way that moves it.
#[must_use]
pub(crate) fn is_released(subject: &WeightSubject, table: &Table, registry: &Registry) -> bool {
    match subject {
        WeightSubject::Service(name) => registry.canary(name).is_some_and(|canary| canary.terms().flag.is_none()),
        WeightSubject::Flag(name) => table.services().any(|service| {
            let canary = registry.canary(&service.spec.name);
            canary.is_some_and(|canary| canary.terms().flags.iter().any(|moved| **moved == *name.as_str()))
        }),
    }
}

/// Why weights that were set for a time do not go back to what the config says although that time is over.
#[must_use]
pub(crate) fn waits(
    subject: &WeightSubject,
    table: &Table,
    facts: &WeightFacts,
    registry: &Registry,
) -> Option<&'static str> {
    if is_released(subject, table, registry) {
        return Some("a rollout is under way");
    }
    facts.standing.contains_key(subject).then_some("what the commit says was taken back")
}
