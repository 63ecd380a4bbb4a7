//! Versions that are known to have no usable endpoint, and changes that would give them users.
//!
//! *Known* is what was found out and not refuted since: the endpoint is drained, its checks fail, or the newest attempt
//! to connect to it failed (one of our own, a tenth of a second ago: see [`crate::endpoints`]); a name stands for no
//! address. One endpoint that was not tried yet, or that is only ejected (it is tried when no other is left), makes its
//! version usable. So a version without any observation is.
//!
//! Such a change is refused unless its caller insists, because it is nearly always a slip, and it costs every request.
//! But it must not keep an operator from the way out. What counts is whether the *share* of users on dead versions
//! grows: who moves them from one dead version to another, or away from one, is let through. And only an operator's
//! hand is asked here: a rollout that goes back, and the config file, are not.

use crate::shared::endpoint_health::HealthStatus;
use crate::table::spec::VersionSpec;
use crate::table::spec::experiment::{AssignmentSpec, ExperimentSubject};
use crate::table::{Endpoint, EndpointAddress, HostPort, Name, Service, Table, Version, Weight};

use super::change::Change;
use super::experiment_change::ExperimentChange;
use crate::problem::{Mismatch, Problem, ProblemKind};

/// A version that would get requests, and is known to have no endpoint to answer them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// The service.
    pub service: Name,
    /// The version.
    pub version: Name,
    /// What it would have of the traffic.
    pub weight: Weight,
    /// What is known of each of its endpoints.
    pub why: String,
}

impl Unusable {
    /// The problem for the caller that asked for the change.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let Self { service, version, weight, why } = self;
        let share = if weight.slots() == 0 { String::new() } else { format!(" for {weight} % of {service}") };
        Mismatch::new(
            format!("no usable endpoint{share}: {why}"),
            "one that takes requests",
            format!(
                "see `pointsman status {service}` and mend it, or insist: \"force\": true, on the command line --force"
            ),
        )
        .at(format!("services.{service}.versions.{version}"), ProblemKind::NoEndpoint)
    }

    /// The same for a caller that insisted.
    #[must_use]
    pub fn warning(&self) -> String {
        format!("{} {} has no usable endpoint now: {}", self.service, self.version, self.why)
    }

    /// A version of `service` that is to get `weight`, if it is unusable.
    #[must_use]
    pub fn of(service: &Service, version: &Name, weight: Weight) -> Option<Self> {
        let why = why(service, service.version_named(version)?)?;
        Some(Self { service: service.spec.name.clone(), version: version.clone(), weight, why })
    }
}

/// This much of what a caller insisted against is kept, in bytes: versions have up to hundreds of endpoints.
const INSISTED_BYTES_MAX: usize = 2_000;

/// What is recorded of a change that was made although these speak against it; none when nothing does.
#[must_use]
pub(crate) fn insisted(dead: &[Unusable]) -> Option<String> {
    let mut text = dead.iter().map(Unusable::warning).collect::<Vec<_>>().join("; ");
    if text.len() > INSISTED_BYTES_MAX {
        text.truncate(text.floor_char_boundary(INSISTED_BYTES_MAX));
        text.push_str("...");
    }
    (!dead.is_empty()).then_some(text)
}

/// The versions because of which `change` should not be made, which turns the table `before` into `after`.
#[must_use]
pub(crate) fn of_change<'n>(
    change: &Change,
    before: &Table,
    after: &Table,
    services: impl IntoIterator<Item = &'n Name>,
) -> Vec<Unusable> {
    // A rolling release drains the last endpoints of the old version on purpose; what it may not do is to give the new
    // one more.
    let counts: fn(&Shift) -> bool = match change {
        Change::Endpoint { .. } => |shift| !shift.dead_before,
        Change::Splits(_)
        | Change::Flip { .. }
        | Change::Rollback { .. }
        | Change::Rollout(_)
        | Change::Expire { .. }
        | Change::Experiment(ExperimentChange::Ship { .. }) => |shift| shift.after > shift.before,
        // A copy that fails costs no user anything. The arms of a start are asked by themselves ([`of_arms`]).
        Change::File(_) | Change::Flags(_) | Change::Experiment(_) | Change::Mirror { .. } => return Vec::new(),
    };
    let pairs = services.into_iter().filter_map(|name| Some((before.service_named(name)?, after.service_named(name)?)));
    pairs.flat_map(|(before, after)| grown(before, after, counts)).collect()
}

/// The arms of an experiment that should not get users, in the table that gives them some.
#[must_use]
pub(crate) fn of_arms(experiment: &AssignmentSpec, after: &Table) -> Vec<Unusable> {
    let ExperimentSubject::Service(name) = &experiment.subject else { return Vec::new() };
    let Some(service) = after.service_named(name) else { return Vec::new() };
    let arms = [&experiment.arms.control, &experiment.arms.treatment];
    arms.into_iter().filter_map(|arm| Unusable::of(service, arm, Weight::ZERO)).collect()
}

/// What a change does to a version that is dead after it.
struct Shift {
    version: Name,
    before: Weight,
    after: Weight,
    dead_before: bool,
}

/// The dead versions that count, if the share of users on dead versions grows.
fn grown(before: &Service, after: &Service, counts: fn(&Shift) -> bool) -> Vec<Unusable> {
    let on_dead = |service: &Service| -> u32 {
        let with_weight = service.versions.iter().filter(|version| version.weight.slots() > 0);
        with_weight.filter(|version| why(service, version).is_some()).map(|version| version.weight.slots()).sum()
    };
    if on_dead(after) <= on_dead(before) {
        return Vec::new();
    }
    let shift = |version: &Version| {
        let old = before.version_named(&version.name);
        Shift {
            version: version.name.clone(),
            before: old.map_or(Weight::ZERO, |old| old.weight),
            after: version.weight,
            dead_before: old.is_some_and(|old| why(before, old).is_some()),
        }
    };
    let shifts = after.versions.iter().filter(|version| version.weight.slots() > 0).map(shift);
    shifts.filter(counts).filter_map(|shift| Unusable::of(after, &shift.version, shift.after)).collect()
}

/// Why `version` is known to have no usable endpoint; none if it may have one.
fn why(service: &Service, version: &Version) -> Option<String> {
    let spec = service.spec.versions.iter().find(|spec| spec.name == version.name)?;
    let endpoints = version.endpoints.iter().map(|endpoint| Some(format!("{} {}", endpoint.address, down(endpoint)?)));
    let known: Option<Vec<String>> = endpoints.chain(names(service, spec)).collect();
    known.map(|known| if known.is_empty() { "it has none".to_owned() } else { known.join(", ") })
}

/// Why an endpoint is known not to take requests.
fn down(endpoint: &Endpoint) -> Option<String> {
    if endpoint.drained {
        return Some("is drained".to_owned());
    }
    // What stands against it has no end that the clock brings.
    match endpoint.stats.health.status(0) {
        HealthStatus::Unhealthy(check_failure) => Some(format!("fails its checks ({check_failure})")),
        HealthStatus::Paused { refusal, .. } => Some(format!("takes no connections ({refusal})")),
        HealthStatus::Healthy | HealthStatus::Ejected(_) | HealthStatus::Untried => None,
    }
}

/// What is known of the names of a version that stand for no address; none where no name server has answered yet, and
/// the name may stand for some.
fn names<'s>(service: &'s Service, spec: &'s VersionSpec) -> impl Iterator<Item = Option<String>> + 's {
    let drained =
        |name: &HostPort| service.traffic.drained.contains(&(spec.name.clone(), EndpointAddress::Name(name.clone())));
    spec.names.iter().filter_map(move |name| match service.addresses.of(&name.host) {
        Some(found) if !found.addresses.is_empty() => None,
        _ if drained(name) => Some(Some(format!("{name} is drained"))),
        None => Some(None),
        Some(found) => {
            let problem = found.problem.as_ref().map_or(String::new(), |problem| format!(" ({problem})"));
            Some(Some(format!("{name} stands for no address{problem}")))
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::stats::Registry;
    use crate::table::fixture::{name, spec, weights};
    use crate::table::{Addresses, ServiceSpec, Traffic};

    /// A service whose tables share what is known of its endpoints.
    struct World {
        spec: Arc<ServiceSpec>,
        registry: Registry,
    }

    impl World {
        fn new(versions: &str) -> Self {
            Self { spec: Arc::new(spec("shop", versions)), registry: Registry::new(1) }
        }

        fn table(&self, split: &str, drained: &[&str]) -> Table {
            let mut traffic = Traffic::first("s".into(), &weights(split));
            let out = |version: &VersionSpec| drained.contains(&version.name.as_str());
            let out = self.spec.versions.iter().filter(|version| out(version));
            traffic.drained = out.map(|version| (version.name.clone(), version.endpoints[0].into())).collect();
            let traffic: BTreeMap<_, _> = [(name("shop"), Arc::new(traffic))].into();
            Table::compile(1, &[Arc::clone(&self.spec)], &traffic, &self.registry).expect("it fits")
        }

        /// The versions because of which a shift is refused, all endpoints of `dead` being known to take no connection.
        fn refused(&self, dead: &[&str], from: &str, to: &str) -> Vec<String> {
            let (before, after) = (self.table(from, &[]), self.table(to, &[]));
            for version in &before.service_named("shop").expect("it is there").versions {
                let health = &version.endpoints[0].stats.health;
                match dead.contains(&version.name.as_str()) {
                    true => drop(health.refused(0, String::new)),
                    false => drop(health.connected(0)),
                }
            }
            let unusable = of_change(&Change::Splits(BTreeMap::new()), &before, &after, &[name("shop")]);
            unusable.into_iter().map(|found| format!("{} {}", found.version, found.weight)).collect()
        }
    }

    #[test]
    fn the_share_on_dead_versions_must_not_grow() {
        let world = World::new("v1=100 v2=0 v3=0");
        let none: [String; 0] = [];
        for (dead, from, to, wanted) in [
            (&["v2"][..], "v1=100", "v2=100", &["v2 100"][..]),
            (&["v2"], "v1=95 v2=5", "v1=90 v2=10", &["v2 10"]),
            (&["v2"], "v1=90 v2=10", "v1=95 v2=5", &[]),
            (&["v2"], "v1=50 v2=50", "v1=25 v2=50 v3=25", &[]),
            // Out of one that is dead, also into another.
            (&["v1", "v2"], "v1=100", "v2=100", &[]),
            (&["v1", "v2"], "v1=100", "v1=50 v2=50", &[]),
            (&["v1", "v2"], "v1=50 v3=50", "v2=50 v3=50", &[]),
            (&["v1", "v2"], "v1=50 v3=50", "v2=60 v3=40", &["v2 60"]),
            (&["v1"], "v1=100", "v2=100", &[]),
            (&["v1"], "v2=100", "v1=100", &["v1 100"]),
            (&[], "v1=100", "v2=100", &[]),
        ] {
            let found = world.refused(dead, from, to);
            assert_eq!(found, wanted, "{dead:?} dead, {from} to {to}");
        }
        assert_eq!(world.refused(&["v1", "v2", "v3"], "v1=100", "v2=60 v3=40"), none);
    }

    #[test]
    fn known_is_what_was_found_and_not_refuted() {
        let world = World::new("v1=100 v2=0");
        let table = world.table("v1=100 v2=0", &[]);
        let service = table.service_named("shop").expect("it is there");
        let v2 = service.version_named("v2").expect("it is there");
        let health = &v2.endpoints[0].stats.health;
        let dead = || why(service, v2).is_some();
        assert!(!dead(), "nobody has tried it");
        health.refused(0, || "refused".to_owned());
        assert_eq!(why(service, v2).as_deref(), Some("10.0.0.2:80 takes no connections (refused)"));
        assert!(health.reachable(10_000), "also when its pause is over: nobody has got through since");
        health.connected(10_000);
        assert!(!dead());
        health.eject(0, 1_000, 1_000);
        assert!(!dead(), "it is tried when no other is left");
        health.mark_unhealthy("status 500".to_owned());
        assert_eq!(why(service, v2).as_deref(), Some("10.0.0.2:80 fails its checks (status 500)"));
        health.mark_healthy(0);
        assert!(!dead());
    }

    #[test]
    fn a_drain_counts_if_it_takes_the_last_one() {
        let world = World::new("v1=90 v2=10");
        let drain = |version: &str, of: &str, split: &str| {
            let change = Change::Endpoint {
                service: name("shop"),
                version: name(version),
                address: world.spec.versions[0].endpoints[0].into(),
                drained: true,
            };
            let (before, after) = (world.table(split, &[]), world.table(split, &[of]));
            of_change(&change, &before, &after, &[name("shop")])
        };
        let found = drain("v2", "v2", "v1=90 v2=10");
        assert_eq!(found.len(), 1);
        assert!(found[0].problem().found.ends_with("for 10 % of shop: 10.0.0.2:80 is drained"), "{:?}", found[0]);
        assert!(drain("v2", "v2", "v1=100 v2=0").is_empty(), "it has no users");
        // A rollout may drain what it is about to upgrade.
        let rollout = Change::Rollout(crate::control::rollout_change::RolloutChange::default());
        let (before, after) = (world.table("v1=90 v2=10", &[]), world.table("v1=90 v2=10", &["v1"]));
        assert!(of_change(&rollout, &before, &after, &[name("shop")]).is_empty());
    }

    #[test]
    fn a_name_is_known_to_lead_nowhere_once_somebody_has_answered() {
        let mut world = World::new("v1=100 v2=0");
        let backend = HostPort::new("backend:80").expect("a name");
        let spec = Arc::make_mut(&mut world.spec);
        (spec.versions[1].endpoints, spec.versions[1].names) = (Vec::new(), vec![backend.clone()]);
        let table = world.table("v1=100 v2=0", &[]);
        let known = |addresses: Addresses| {
            let table = table.with_addresses(&Arc::new(addresses), &world.registry).expect("it fits");
            let service = table.service_named("shop").expect("it is there");
            why(service, service.version_named("v2").expect("it is there"))
        };
        let none = Addresses::default();
        assert_eq!(known(none.clone()), None);
        let failed = none.with(&backend.host, Err(crate::table::ResolveError::NoName));
        assert_eq!(known(failed).as_deref(), Some("backend:80 stands for no address (there is no such name)"));
        assert_eq!(known(none.with(&backend.host, Ok(vec![[10, 0, 0, 9].into()]))), None);
    }
}
