//! The traffic that a config file asks for, at the start and at each reload.
//!
//! The file is intent: what it says about weights counts when it *changes there*. So the split that the file asked for
//! is remembered per service, and as long as the file still says the same, a shift made at run time stays, over reloads
//! and restarts. The obvious way, the file always wins, would undo a release whenever an operator adds a rule.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::table::spec::VersionSpec;
use crate::table::{EndpointAddress, Name, ServiceSpec, Traffic, Weight, Weights};

use super::planned::{Action, Planned, State, versions};

/// Works out what the services of a file come to. There are no problems left that a file could have.
#[must_use]
pub(crate) fn plan(state: &State, specs: &[Arc<ServiceSpec>]) -> Planned {
    let next = specs.iter().map(|spec| (spec.name.clone(), traffic(state, spec)));
    let news = specs.iter().filter(|spec| state.intent.get(&spec.name) != Some(&spec.split));
    let intent: BTreeMap<_, _> = news.map(|spec| (spec.name.clone(), spec.split.clone())).collect();
    Planned { intent, ..state.planned(Action::File, next) }
}

/// The traffic of a service under the file.
fn traffic(state: &State, spec: &ServiceSpec) -> Traffic {
    let Some(old) = state.traffic.get(&spec.name) else {
        return Traffic::first(state.new_salt(spec), &spec.split);
    };
    let fits = old.slots.iter().all(|(_, run)| has_version(spec, &run.version));
    let unchanged = state.intent.get(&spec.name).is_some_and(|intent| same_split(intent, &spec.split));
    let mut next =
        if fits && unchanged { Traffic::clone(old) } else { old.shifted(&spec.split, || state.new_salt(spec)) };
    next.drained.retain(|(name, address)| {
        let is_there = |version: &VersionSpec| match address {
            // What a name stands for comes and goes: who repairs that address is not asked again.
            EndpointAddress::Ip(address) => !version.names.is_empty() || version.endpoints.contains(address),
            EndpointAddress::Name(name) => version.names.contains(name),
        };
        spec.versions.iter().any(|version| version.name == *name && is_there(version))
    });
    next
}

fn has_version(spec: &ServiceSpec, name: &Name) -> bool {
    versions(spec).any(|known| known == name.as_str())
}

/// Whether two splits give the same. Versions with weight 0 do not count: adding one to the file must not touch what
/// is running.
#[must_use]
pub(crate) fn same_split(a: &Weights, b: &Weights) -> bool {
    let nonzero = |weights: &Weights| -> Vec<(Name, Weight)> {
        let given = weights.iter().filter(|(_, weight)| *weight != Weight::ZERO);
        given.map(|(name, weight)| (name.clone(), weight)).collect()
    };
    nonzero(a) == nonzero(b)
}
