//! What a start is about: the services and flags with their plan, and the two versions or variants of each that are
//! compared.
//!
//! A group may move the versions of a service and a flag that it lists, or several flags of one service. Its requests
//! are compared once then, by what of it is moved first, because all of that has the same users on the same side: the
//! config sees that they are drawn alike, and here it is seen that they begin at the same end of the slots.

use std::collections::{BTreeMap, BTreeSet};

use super::flag_start::FlagStart;
use super::released_rule::{MovedFlag, of_both};
use super::{bad_plan, flag_start};
use crate::config::RolloutSection;
use crate::config::release::of_flag;
use crate::config::release::settings::GroupSettings;
use crate::problem::{Problem, ProblemKind, one_of};
use crate::rollout::release::Release;
use crate::table::{Name, Service, Table, Weight};

/// What a start is about.
pub(super) struct StartSubjects<'t> {
    /// The group, if it is one.
    pub(super) group: Option<String>,
    /// The services whose requests it is judged by.
    pub(super) services: Vec<&'t Service>,
    /// Those of them whose splits are moved.
    pub(super) moved: Vec<&'t Service>,
    /// The flags.
    pub(super) flags: Vec<FlagStart<'t>>,
    /// The plan, as the config says it.
    pub(super) section: RolloutSection,
}

/// What everybody is to get.
#[derive(Clone, Copy, Debug)]
pub(super) struct StartTargets<'r> {
    /// The version, or the variant of the only flag.
    pub(super) to: Option<&'r str>,
    /// The variants of the flags of a group.
    pub(super) variants: &'r BTreeMap<String, String>,
}

/// The two that are compared, and the flags that are moved.
pub(super) struct StartSides {
    /// The baseline: a version, or a variant of the first flag if no split is moved.
    pub(super) from: Name,
    /// The candidate.
    pub(super) to: Name,
    /// The flags.
    pub(super) flags: Vec<MovedFlag>,
}

impl<'t> StartSubjects<'t> {
    /// One service.
    pub(super) fn of_service(service: &'t Service, section: RolloutSection) -> Self {
        Self { group: None, services: vec![service], moved: vec![service], flags: Vec::new(), section }
    }

    /// One flag, in the services that list it; `section` is its own.
    pub(super) fn of_flag(flag: FlagStart<'t>, section: &RolloutSection) -> Self {
        let section = of_flag::section().merged(section);
        Self { group: None, services: flag.services.clone(), moved: Vec::new(), flags: vec![flag], section }
    }

    /// A group.
    pub(super) fn of_group(table: &'t Table, name: &str, group: &GroupSettings) -> Result<Self, Vec<Problem>> {
        let (mut moved, mut flags, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        let names = || table.services().map(|service| service.spec.name.as_str());
        for name in &group.services {
            match table.service_named(name) {
                Some(service) => moved.push(service),
                None => problems.push(Problem::no_service("service", name, names())),
            }
        }
        for flag in &group.flags {
            match FlagStart::of(table, flag) {
                Ok(flag) => flags.push(flag),
                Err(found) => problems.extend(found),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut services = moved.clone();
        for flag in &mut flags {
            flag.judges.retain(|service| !services.iter().any(|known| known.spec.name == service.spec.name));
            services.extend(&flag.judges);
        }
        let section = match moved.is_empty() {
            true => of_flag::section().merged(&group.section),
            false => group.section.clone(),
        };
        Ok(Self { group: Some(name.to_owned()), services, moved, flags, section })
    }

    /// The release that a plan comes to.
    pub(super) fn release(&self, section: &RolloutSection) -> Result<Release, Vec<Problem>> {
        // Before what a rolling release lacks is said, which would be of no use.
        if let Some(problem) = flag_start::unfit(section).filter(|_| !self.flags.is_empty()) {
            return Err(vec![problem]);
        }
        let for_caller = if self.moved.is_empty() { bad_plan::for_flag } else { bad_plan::for_caller };
        section.release().map_err(for_caller)
    }

    /// The baselines and the candidates.
    pub(super) fn sides(&self, targets: StartTargets<'_>) -> Result<StartSides, Vec<Problem>> {
        let mut problems: Vec<Problem> = self.strange(targets.variants).collect();
        let versions = (!self.moved.is_empty()).then(|| versions(&self.moved, targets.to)).transpose();
        let mut flags = Vec::new();
        for flag in &self.flags {
            let name = flag.rule.flag.as_str();
            let named = targets.variants.get(name).map(String::as_str);
            let by_to = named.is_none() && self.moved.is_empty();
            let moved = match targets.to.filter(|_| by_to) {
                None if self.group.is_some() => flag.moved(named, &format!("variants.{name}")),
                to => flag.moved(to, "to"),
            };
            match moved {
                Ok(moved) => flags.push(moved),
                Err(found) => problems.extend(found),
            }
        }
        let (from, to) = match (versions, flags.first()) {
            (Ok(Some(pair)), _) if problems.is_empty() => pair,
            (Ok(None), Some(first)) if problems.is_empty() => (first.from.clone(), first.to.clone()),
            (versions, _) => {
                problems.extend(versions.err().into_iter().flatten());
                return Err(problems);
            }
        };
        let sides = StartSides { from, to, flags };
        match self.other_end(&sides) {
            None => Ok(sides),
            Some(problem) => Err(vec![problem]),
        }
    }

    /// The problems with variants of flags that are not in the group.
    fn strange<'v>(&'v self, variants: &'v BTreeMap<String, String>) -> impl Iterator<Item = Problem> + 'v {
        let names = || self.flags.iter().map(|flag| flag.rule.flag.as_str());
        let is_group = self.group.is_some();
        let is_known = move |name: &str| is_group && names().any(|known| known == name);
        variants.keys().filter(move |name| !is_known(name)).map(move |name| {
            let found = format!("{name:?}, which is no flag of a group that is released");
            let (wanted, remedy) = match (is_group, self.flags.is_empty()) {
                (true, false) => (one_of(names()), "name a flag of the group, or leave it out"),
                (true, true) => ("none: the group has no flags".to_owned(), "leave it out"),
                (false, _) => ("it where a group is released".to_owned(), "say what is to have everything by \"to\""),
            };
            Problem::invalid(format!("variants.{name}"), found, wanted, remedy)
        })
    }

    /// The problem with a flag whose candidate does not begin with the users with whom the others of a service begin.
    fn other_end(&self, sides: &StartSides) -> Option<Problem> {
        let half = Weight::from_percent(50.0).and_then(|half| of_both(&sides.to, &sides.from, half))?;
        let mut known: BTreeMap<&Name, (bool, String)> = BTreeMap::new();
        for service in &self.moved {
            let begins_low = *service.traffic.slots.relaid(&half).owner(0) == sides.to;
            known.insert(&service.spec.name, (begins_low, sides.to.to_string()));
        }
        for (flag, moved) in self.flags.iter().zip(&sides.flags) {
            let (begins_low, name) = (flag.begins_low(moved), format!("{}={}", moved.released.flag, moved.to));
            for service in flag.services.iter().map(|service| &service.spec.name) {
                let (others_low, other) = known.entry(service).or_insert((begins_low, name.clone()));
                if *others_low != begins_low {
                    return Some(Problem::conflict(
                        format!("flags.{}", moved.released.flag),
                        format!("{name}, which does not begin with the users with whom {other} begins in {service}"),
                        "the same users on the same side of all that is moved",
                        "release them one after the other",
                    ));
                }
            }
        }
        None
    }
}

/// The version that has everything, and the one that is to have it; the same ones in all services.
fn versions(services: &[&Service], to: Option<&str>) -> Result<(Name, Name), Vec<Problem>> {
    let mut problems = Vec::new();
    let mut found = BTreeSet::new();
    for service in services {
        match versions_of(service, to) {
            Ok(pair) => drop(found.insert(pair)),
            // Services with the same versions have the same problem.
            Err(problem) if problems.contains(&problem) => {}
            Err(problem) => problems.push(problem),
        }
    }
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(pair), None) if problems.is_empty() => Ok(pair),
        (Some((from, to)), Some((other_from, other_to))) if problems.is_empty() => Err(vec![Problem::conflict(
            "group",
            format!("{from} to {to} in one service and {other_from} to {other_to} in another"),
            "the same two versions in all services of a group",
            "bring the services to the same version first",
        )]),
        _ => Err(problems),
    }
}

fn versions_of(service: &Service, to: Option<&str>) -> Result<(Name, Name), Problem> {
    let name = &service.spec.name;
    let names = || service.versions.iter().map(|version| version.name.as_str());
    let weights = service.weights();
    let Some(from) = weights.sole_holder() else {
        return Err(Problem::conflict(
            format!("services.{name}.split"),
            weights.to_string(),
            "one version with everything, to begin from",
            format!("flip it first: pointsman flip {name} VERSION"),
        ));
    };
    let others: Vec<&Name> = service.versions.iter().map(|version| &version.name).filter(|v| *v != from).collect();
    let to = match (to, others.as_slice()) {
        (Some(to), _) => {
            let found = service.versions.iter().find(|version| version.name.as_str() == to);
            &found.ok_or_else(|| Problem::no_version(ProblemKind::Invalid, "to", to, names()))?.name
        }
        (None, [other]) => *other,
        (None, _) => {
            let wanted = one_of(others.iter().map(|name| name.as_str()));
            return Err(Problem::invalid("to", "no version", wanted, "say which version is to have everything"));
        }
    };
    if to == from {
        let found = format!("{to}, which has everything already");
        let wanted = one_of(others.iter().map(|name| name.as_str()));
        return Err(Problem::invalid("to", found, wanted, "name another version"));
    }
    Ok((from.clone(), to.clone()))
}
