//! The part of ejection that needs sums: the share of failures in a window, the panic that takes ejections back, and
//! the forgetting of those that are long ago. Failures in a row are the workers' own business.
//!
//! A window is kept as the counts at its tenths: exact sums of what happened in it, as against a moving average, whose
//! weight of one bad second depends on the traffic after it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::stats::EndpointStats;
use crate::table::ejection::{self, Ejection};
use crate::table::spec::outlier::OutlierSpec;
use crate::table::{Service, Table, Version};

/// Samples of a window.
const SAMPLES: u64 = 10;

/// The windows of all endpoints of services that eject.
#[derive(Debug, Default)]
pub(crate) struct Outliers {
    by_endpoint: HashMap<u32, WatchedEndpoint>,
    /// The largest number of an endpoint in any table so far. Numbers rise: a larger one is that of a new endpoint, and
    /// all that it has counted belongs to its first window, however late the first look at it is.
    newest_id: u32,
}

#[derive(Debug)]
struct WatchedEndpoint {
    window: OutcomeWindow,
    /// When the next ejection is forgotten.
    forgive_at_ms: u64,
}

/// Requests that ended and that failed; both wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Ended.
    pub(crate) ended: u32,
    /// Failed.
    pub(crate) failed: u32,
}

/// The counts of the last while, by time.
#[derive(Debug, Default)]
pub(crate) struct OutcomeWindow(VecDeque<(u64, Counts)>);

impl OutcomeWindow {
    /// A window of an endpoint that had counted nothing at `now_ms`.
    fn from_nothing(now_ms: u64) -> Self {
        Self([(now_ms, Counts::default())].into())
    }

    /// Takes the counts at `now_ms`; returns what was added within the last `window_ms`, or since the last
    /// [`OutcomeWindow::restart`].
    pub(crate) fn add(&mut self, now_ms: u64, window_ms: u64, counts: Counts) -> Counts {
        // The oldest one that stays is at least as old as the window: all of the window is between it and now.
        while self.0.get(1).is_some_and(|(at, _)| at + window_ms <= now_ms) {
            self.0.pop_front();
        }
        if self.0.back().is_none_or(|(at, _)| at + window_ms / SAMPLES <= now_ms) {
            self.0.push_back((now_ms, counts));
        }
        let first = self.0.front().map_or(counts, |(_, first)| *first);
        Counts { ended: counts.ended.wrapping_sub(first.ended), failed: counts.failed.wrapping_sub(first.failed) }
    }

    /// Forgets what was.
    pub(crate) fn restart(&mut self) {
        self.0.clear();
    }
}

/// Whether this many failures are too large a share.
#[must_use]
pub(crate) fn is_too_many(counts: Counts, spec: &OutlierSpec) -> bool {
    counts.ended >= spec.requests_min
        && counts.failed > 0
        && f64::from(counts.failed) >= spec.failure_ratio * f64::from(counts.ended)
}

impl Outliers {
    /// Looks at every endpoint of the services that eject.
    pub(crate) fn tick(&mut self, table: &Table, now_ms: u64) {
        for service in table.services() {
            let Some(spec) = &service.spec.policy.outlier else { continue };
            for version in &service.versions {
                self.version(service, version, spec, now_ms);
            }
        }
    }

    /// Forgets endpoints that are gone, and begins to watch new ones.
    pub(crate) fn adapt(&mut self, table: &Table, now_ms: u64) {
        let versions = table.services().filter(|service| service.spec.policy.outlier.is_some());
        let versions = versions.flat_map(|service| &service.versions);
        let mut before = std::mem::take(&mut self.by_endpoint);
        for endpoint in versions.flat_map(|version| &version.endpoints) {
            let id = endpoint.stats.id;
            let watched = before.remove(&id).unwrap_or_else(|| WatchedEndpoint {
                window: if id > self.newest_id {
                    OutcomeWindow::from_nothing(now_ms)
                } else {
                    OutcomeWindow::default()
                },
                forgive_at_ms: 0,
            });
            self.by_endpoint.insert(id, watched);
        }
        let all = table.services().flat_map(|service| &service.versions).flat_map(|version| &version.endpoints);
        self.newest_id = all.map(|endpoint| endpoint.stats.id).fold(self.newest_id, u32::max);
    }

    fn version(&mut self, service: &Service, version: &Version, spec: &OutlierSpec, now_ms: u64) {
        let (service, name) = (service.spec.name.as_str(), version.name.as_str());
        let taken_back = ejection::take_back_ejected(version, spec, now_ms);
        if taken_back > 0 {
            tracing::warn!(
                service,
                version = name,
                taken_back,
                "too few endpoints are left: ejected ones are taken back"
            );
        }
        for (index, endpoint) in version.endpoints.iter().enumerate() {
            let Some(watched) = self.by_endpoint.get_mut(&endpoint.stats.id) else { continue };
            let Some(share) = watched.look(&endpoint.stats, spec, now_ms) else { continue };
            let Counts { ended, failed } = share;
            if let Ejection::Ejected(for_ms) = ejection::eject(version, index, spec, now_ms) {
                let endpoint = endpoint.address;
                tracing::warn!(service, version = name, %endpoint, ended, failed, for_ms, "the endpoint is ejected");
            }
        }
    }
}

impl WatchedEndpoint {
    /// The counts of the window if the endpoint is to be ejected for them.
    fn look(&mut self, stats: &Arc<EndpointStats>, spec: &OutlierSpec, now_ms: u64) -> Option<Counts> {
        let window_ms = u64::try_from(spec.window.as_millis()).unwrap_or(u64::MAX);
        if stats.health.is_ejected() {
            // What happened before, and the probe, are no evidence for after.
            self.window.restart();
            self.forgive_at_ms = now_ms + window_ms;
            return None;
        }
        if self.forgive_at_ms <= now_ms {
            stats.health.forget_ejection();
            self.forgive_at_ms = now_ms + window_ms;
        }
        let counts = Counts { ended: stats.ended(), failed: stats.health.faults() };
        let share = self.window.add(now_ms, window_ms, counts);
        is_too_many(share, spec).then_some(share)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::stats::Registry;
    use crate::table::spec::{PathPrefix, Policy, VersionSpec};
    use crate::table::{Name, ServiceSpec, Traffic, Weights};

    fn counts(ended: u32, failed: u32) -> Counts {
        Counts { ended, failed }
    }

    /// One version with these endpoints.
    fn table(ports: &[u16], outlier: Option<OutlierSpec>, registry: &Registry) -> Table {
        let name = |text: &str| Name::new(text).expect("a name");
        let split = Weights::all_on(&name("v1"), [name("v1")]);
        let addresses = ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port)));
        let spec = ServiceSpec {
            name: name("shop"),
            hosts: Vec::new(),
            paths: vec![PathPrefix::new("/").expect("a path")],
            sticky: Vec::new(),
            salt: None,
            versions: vec![VersionSpec::new(name("v1"), addresses.collect())],
            rules: Vec::new(),
            mirror: None,
            policy: Policy { outlier, ..Policy::default() },
            slo: None,
            edge: None,
            split: split.clone(),
        };
        let traffic = [(name("shop"), Arc::new(Traffic::first("s".into(), &split)))].into();
        Table::compile(1, &[Arc::new(spec)], &traffic, registry).expect("it fits")
    }

    /// Requests of the endpoint with this index.
    fn ask(table: &Table, index: usize, requests: Counts) {
        let stats = &table.service(0).versions[0].endpoints[index].stats;
        for number in 0..requests.ended {
            stats.enter();
            if number < requests.failed {
                stats.health.fault();
            }
            stats.leave();
        }
    }

    fn ejected(table: &Table) -> Vec<bool> {
        table.service(0).versions[0].endpoints.iter().map(|endpoint| endpoint.stats.health.is_ejected()).collect()
    }

    /// The first look may be late: what a new endpoint did before it counts, the good as well as the bad.
    #[test]
    fn what_a_new_endpoint_did_before_the_first_look_counts() {
        let (registry, outlier) = (Registry::new(1), Some(OutlierSpec::default()));
        let first = table(&[1, 2], outlier, &registry);
        ask(&first, 0, counts(20, 20));
        ask(&first, 1, counts(30, 0));
        let mut outliers = Outliers::default();
        outliers.adapt(&first, 0);
        ask(&first, 1, counts(20, 20));
        outliers.tick(&first, 0);
        assert_eq!(ejected(&first), [true, false]);
        let grown = table(&[1, 2, 3, 4], outlier, &registry);
        ask(&grown, 3, counts(20, 20));
        outliers.adapt(&grown, 100);
        outliers.tick(&grown, 100);
        assert_eq!(ejected(&grown), [true, false, false, true]);
    }

    /// Who begins to watch endpoints that were there before does not hold against them what was long ago.
    #[test]
    fn what_was_before_ejection_was_switched_on_does_not_count() {
        let registry = Registry::new(1);
        let without = table(&[1, 2], None, &registry);
        let mut outliers = Outliers::default();
        outliers.adapt(&without, 0);
        ask(&without, 0, counts(50, 50));
        let with = table(&[1, 2], Some(OutlierSpec::default()), &registry);
        outliers.adapt(&with, 100);
        outliers.tick(&with, 100);
        assert_eq!(ejected(&with), [false, false]);
        ask(&with, 0, counts(20, 20));
        outliers.tick(&with, 200);
        assert_eq!(ejected(&with), [true, false]);
    }

    #[test]
    fn a_window_has_what_happened_in_it() {
        let mut window = OutcomeWindow::default();
        assert_eq!(window.add(0, 1_000, counts(10, 10)), counts(0, 0), "what was before is not in it");
        assert_eq!(window.add(500, 1_000, counts(30, 15)), counts(20, 5));
        assert_eq!(window.add(1_000, 1_000, counts(40, 15)), counts(30, 5));
        assert_eq!(window.add(1_600, 1_000, counts(50, 15)), counts(20, 0), "the first half second has left");
        window.restart();
        assert_eq!(window.add(1_700, 1_000, counts(60, 25)), counts(0, 0));
    }

    #[test]
    fn counts_may_wrap_and_a_window_stays_small() {
        let mut window = OutcomeWindow::default();
        window.add(0, 1_000, counts(u32::MAX, u32::MAX - 1));
        assert_eq!(window.add(10, 1_000, counts(9, 1)), counts(10, 3));
        for now in 0..10_000 {
            window.add(now, 1_000, counts(9, 1));
        }
        assert!(window.0.len() <= 12, "{}", window.0.len());
    }

    #[test]
    fn a_share_needs_requests_and_failures() {
        let spec = OutlierSpec::default();
        assert!(!is_too_many(counts(19, 19), &spec) && is_too_many(counts(20, 10), &spec));
        assert!(!is_too_many(counts(100, 49), &spec));
        assert!(!is_too_many(counts(100, 0), &OutlierSpec { failure_ratio: 0.0, ..spec }));
    }
}
