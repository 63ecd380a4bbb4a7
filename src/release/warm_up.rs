//! The warm-up: only endpoints that have served for long enough are judged.
//!
//! An endpoint is *cold* for a while after it began to serve in the rollout, and once more when it is well for the
//! first time after that: a process that takes longer to start has its cold start then. One that is never well is not
//! waited for. What its version fails meanwhile, the version has failed: an operator who starts a rollout says that the
//! new version is there, and a version that is dead has to be found at once.
//!
//! A flag is released to the users of endpoints that have served all along: those are warm from the start, and one that
//! comes later is cold as ever.
//!
//! Endpoints of a version without a share do not serve, and neither do drained ones: they begin when they get requests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::table::{Endpoint, Name, Version, Weight};

/// The endpoints that serve since the rollout began.
#[derive(Debug, Default)]
pub(crate) struct WarmUps {
    serving: BTreeMap<(Name, SocketAddr), ServingEndpoint>,
    /// Whether those that serve at the next look have served before.
    begins_warm: bool,
}

/// What is known of an endpoint that serves.
#[derive(Clone, Copy, Debug)]
struct ServingEndpoint {
    since: Duration,
    /// Whether it had served before the rollout began.
    served_before: bool,
    /// Since when it is well, if it ever was.
    well_since: Option<Duration>,
}

/// What is judged from now on.
#[derive(Debug, Default)]
pub(crate) struct Warm {
    /// The numbers of the endpoints that are.
    pub(crate) judged: Vec<u32>,
    /// Whether these are all.
    pub(crate) all: bool,
    /// While one of the versions has only cold endpoints: how long that will last.
    pub(crate) left: Option<Duration>,
}

impl WarmUps {
    /// The same, where those that serve at the first look have served before.
    pub(crate) fn of_serving() -> Self {
        Self { begins_warm: true, ..Self::default() }
    }

    /// Looks at the endpoints of the versions at `now`.
    pub(crate) fn look<'v>(
        &mut self,
        now: Duration,
        versions: impl IntoIterator<Item = &'v Version>,
        warm_up: Duration,
    ) -> Warm {
        let mut warm = Warm { all: true, ..Warm::default() };
        let mut serving = BTreeSet::new();
        for version in versions.into_iter().filter(|version| version.weight > Weight::ZERO) {
            let (mut soonest, mut judged) = (None::<Duration>, false);
            for endpoint in version.endpoints.iter().filter(|endpoint| !endpoint.drained) {
                let place = (version.name.clone(), endpoint.address);
                let left = self.seen(now, &version.name, endpoint).cold_until(warm_up).saturating_sub(now);
                serving.insert(place);
                if left.is_zero() {
                    warm.judged.push(endpoint.stats.id);
                    judged = true;
                } else {
                    warm.all = false;
                    soonest = Some(soonest.map_or(left, |soonest| soonest.min(left)));
                }
            }
            // All of it may be drained, and then no endpoint is to blame.
            warm.all &= judged || version.endpoints.is_empty();
            warm.left = warm.left.max(soonest.filter(|_| !judged));
        }
        self.serving.retain(|place, _| serving.contains(place));
        self.begins_warm = false;
        warm
    }

    fn seen(&mut self, now: Duration, version: &Name, endpoint: &Endpoint) -> ServingEndpoint {
        let place = (version.clone(), endpoint.address);
        let new = ServingEndpoint { since: now, served_before: self.begins_warm, well_since: None };
        let known = self.serving.entry(place).or_insert(new);
        if !endpoint.stats.health.is_out() {
            known.well_since.get_or_insert(now);
        }
        *known
    }
}

impl ServingEndpoint {
    fn cold_until(self, warm_up: Duration) -> Duration {
        if self.served_before { Duration::ZERO } else { self.well_since.unwrap_or(self.since) + warm_up }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Registry;
    use crate::table::Table;
    use crate::table::fixture::{first_traffic, shared, spec};
    use crate::table::{Service, ServiceSpec};

    const WARM_UP: Duration = Duration::from_secs(10);

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 80))
    }

    /// A service with this many endpoints of v1, and one of v2.
    fn service(split: &str, endpoints: u8) -> ServiceSpec {
        let mut spec = spec("shop", split);
        spec.versions[0].endpoints = (101..101 + endpoints).map(address).collect();
        spec
    }

    fn compiled(spec: ServiceSpec, registry: &Registry, drained: &[(&str, SocketAddr)]) -> Table {
        let specs = shared([spec]);
        let mut traffic = first_traffic(&specs);
        let names = drained.iter().map(|(version, address)| (Name::new(version).unwrap(), (*address).into()));
        let mut first = (*traffic[&specs[0].name]).clone();
        first.drained.extend(names);
        traffic.insert(specs[0].name.clone(), first.into());
        Table::compile(1, &specs, &traffic, registry).unwrap()
    }

    fn look(warm_ups: &mut WarmUps, seconds: u64, table: &Table) -> (usize, bool, Option<u64>) {
        let service: &Service = table.service_named("shop").unwrap();
        let versions = [&service.versions[1], &service.versions[0]];
        let Warm { judged, all, left } = warm_ups.look(Duration::from_secs(seconds), versions, WARM_UP);
        (judged.len(), all, left.map(|left| left.as_secs()))
    }

    #[test]
    fn one_cold_endpoint_costs_no_more_than_itself() {
        let (registry, mut warm_ups) = (Registry::new(1), WarmUps::default());
        let two = compiled(service("v1=90 v2=10", 1), &registry, &[]);
        assert_eq!(look(&mut warm_ups, 100, &two), (0, false, Some(10)));
        assert_eq!(look(&mut warm_ups, 107, &two), (0, false, Some(3)));
        assert_eq!(look(&mut warm_ups, 110, &two), (2, true, None));
        let three = compiled(service("v1=90 v2=10", 2), &registry, &[]);
        assert_eq!(look(&mut warm_ups, 111, &three), (2, false, None), "the new one is left out");
        assert_eq!(look(&mut warm_ups, 121, &three), (3, true, None));
    }

    #[test]
    fn one_that_is_never_well_is_not_waited_for_and_has_its_cold_start_when_it_is() {
        let (registry, mut warm_ups) = (Registry::new(1), WarmUps::default());
        let table = compiled(service("v1=90 v2=10", 2), &registry, &[]);
        let new = &table.service_named("shop").unwrap().versions[1].endpoints[0].stats;
        new.health.mark_unhealthy("refused".into());
        assert_eq!(look(&mut warm_ups, 0, &table), (0, false, Some(10)));
        assert_eq!(look(&mut warm_ups, 10, &table), (3, true, None));
        new.health.mark_healthy(1);
        assert_eq!(look(&mut warm_ups, 11, &table), (2, false, Some(10)), "nothing of v2 is judged");
        new.health.mark_unhealthy("refused".into());
        assert_eq!(look(&mut warm_ups, 21, &table), (3, true, None), "once");
    }

    #[test]
    fn what_served_before_a_flag_was_released_is_warm_and_what_comes_later_is_not() {
        let (registry, mut warm_ups) = (Registry::new(1), WarmUps::of_serving());
        let two = compiled(service("v1=90 v2=10", 1), &registry, &[]);
        assert_eq!(look(&mut warm_ups, 3, &two), (2, true, None));
        let three = compiled(service("v1=90 v2=10", 2), &registry, &[]);
        assert_eq!(look(&mut warm_ups, 4, &three), (2, false, None));
        assert_eq!(look(&mut warm_ups, 14, &three), (3, true, None));
    }

    #[test]
    fn what_does_not_serve_is_not_waited_for() {
        let (registry, mut warm_ups) = (Registry::new(1), WarmUps::default());
        let before = compiled(service("v1=100 v2=0", 1), &registry, &[]);
        look(&mut warm_ups, 0, &before);
        assert_eq!(look(&mut warm_ups, 10, &before), (1, true, None), "v1 alone");
        let step = compiled(service("v1=90 v2=10", 1), &registry, &[]);
        assert_eq!(look(&mut warm_ups, 50, &step), (1, false, Some(10)));
        let drained = compiled(service("v1=90 v2=10", 1), &registry, &[("v1", address(101))]);
        assert_eq!(look(&mut warm_ups, 60, &drained), (1, false, None), "nobody is to blame for v1's");
        assert_eq!(look(&mut warm_ups, 61, &step), (1, false, Some(10)), "it begins anew");
    }
}
