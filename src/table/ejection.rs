//! Ejection: endpoints that fail their requests are left alone for a while, as long as enough others are left.
//!
//! Two things eject an endpoint: failures in a row, which a worker sees at the last of them, and a share of failures in
//! a window, which the control plane sums. What counts is what the upstream is to blame for: an exchange that broke, a
//! response that did not come in time, and statuses of 500 and above. A refused connection does not: it has its own,
//! shorter pause, and an endpoint that is restarted must not wait out a doubled ejection.
//!
//! Off unless a service asks for it, as in Envoy, HAProxy and linkerd: a response of 500 may be the application's
//! honest word, all endpoints of a version can say it at once, and taking half of them away then halves what is left.
//!
//! The floor: an endpoint is not ejected if more than `eject_max_ratio` of its version's endpoints were out by it, for
//! whatever reason, nor if it is the last. Should others fail their checks afterwards, the ejected ones are taken back
//! ("panic", by [`take_back_ejected`]); and until that happens, [`Version::usable`] and the balancer take an endpoint
//! that is only ejected rather than none. Workers look at the same counts at the same moment, so two of them can go
//! over the ratio by one endpoint each; the last rule holds whatever they do.

use std::time::Duration;

use super::service::{Endpoint, Version};
use super::spec::outlier::OutlierSpec;

/// What came of the wish to eject an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ejection {
    /// It is out for this many milliseconds.
    Ejected(u64),
    /// Too few others are left.
    Floor,
    /// It is out already, and this was not its probe.
    Already,
}

/// Ejects the endpoint with this index from `version`, unless the floor forbids it.
pub(crate) fn eject(version: &Version, index: usize, spec: &OutlierSpec, now_ms: u64) -> Ejection {
    let Some(endpoint) = version.endpoints.get(index) else { return Ejection::Already };
    let health = &endpoint.stats.health;
    let probe_failed = health.end_probe();
    if health.is_ejected() && !probe_failed {
        return Ejection::Already;
    }
    let others = version.endpoints.iter().enumerate().filter(|(other, endpoint)| *other != index && is_out(endpoint));
    if !probe_failed && others.count() + 1 > out_max(version, spec) {
        return Ejection::Floor;
    }
    Ejection::Ejected(health.eject(now_ms, millis(spec.ejection), millis(spec.ejection_max)))
}

/// Takes the ejected endpoints of `version` back if too many are out. Returns how many they were.
pub(crate) fn take_back_ejected(version: &Version, spec: &OutlierSpec, now_ms: u64) -> usize {
    if version.endpoints.iter().filter(|endpoint| is_out(endpoint)).count() <= out_max(version, spec) {
        return 0;
    }
    version.endpoints.iter().filter(|endpoint| endpoint.stats.health.end_ejection(now_ms)).count()
}

/// How many endpoints of `version` may be out before an ejection is one too many.
fn out_max(version: &Version, spec: &OutlierSpec) -> usize {
    let count = version.endpoints.len();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a version has far fewer than 2^52 endpoints, and the ratio is 0 to 1"
    )]
    let most = (count as f64 * spec.eject_max_ratio) as usize;
    most.min(count.saturating_sub(1))
}

fn is_out(endpoint: &Endpoint) -> bool {
    endpoint.drained || endpoint.stats.health.is_out()
}

/// Whole milliseconds.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::{EndpointStats, VersionStats};
    use crate::table::Weight;
    use crate::table::fixture::name;
    use std::sync::Arc;

    fn version(count: u16) -> Version {
        let endpoint = |port: u16| {
            let address = ([127, 0, 0, 1], port).into();
            Endpoint {
                address,
                drained: false,
                zone: None,
                stats: Arc::new(EndpointStats::new(u32::from(port), address)),
            }
        };
        Version {
            name: name("v1"),
            protocol: crate::table::spec::Protocol::Http1,
            tls: None,
            weight: Weight::FULL,
            slow_start_ms: 0,
            endpoints: (1..=count).map(endpoint).collect(),
            stats: Arc::new(VersionStats::new(1)),
        }
    }

    fn spec(eject_max_ratio: f64) -> OutlierSpec {
        OutlierSpec { eject_max_ratio, ..OutlierSpec::default() }
    }

    #[test]
    fn the_floor_holds() {
        let ejected = |count: u16, ratio: f64| {
            let version = version(count);
            let all = 0..usize::from(count);
            all.filter(|index| matches!(eject(&version, *index, &spec(ratio), 0), Ejection::Ejected(_))).count()
        };
        assert_eq!([1, 2, 3, 10].map(|count| ejected(count, 0.5)), [0, 1, 1, 5]);
        assert_eq!([1, 2, 3, 10].map(|count| ejected(count, 1.0)), [0, 1, 2, 9], "never the last");
        assert_eq!(ejected(10, 0.0), 0);
    }

    #[test]
    fn whatever_is_out_counts_for_the_floor() {
        let mut version = version(4);
        version.endpoints[0].drained = true;
        version.endpoints[1].stats.health.mark_unhealthy("status 500".into());
        assert_eq!(eject(&version, 2, &spec(0.5), 0), Ejection::Floor);
        version.endpoints[1].stats.health.mark_healthy(0);
        assert_eq!(eject(&version, 2, &spec(0.5), 0), Ejection::Ejected(5_000));
        assert_eq!(eject(&version, 2, &spec(0.5), 0), Ejection::Already);
        assert_eq!(take_back_ejected(&version, &spec(0.5), 0), 0);
        version.endpoints[1].stats.health.mark_unhealthy("status 500".into());
        assert_eq!(take_back_ejected(&version, &spec(0.5), 0), 1, "panic: ejections are taken back");
        assert!(!version.endpoints[2].stats.health.is_out() && version.endpoints[1].stats.health.is_out());
    }

    #[test]
    fn a_probe_that_fails_doubles_the_rest_whatever_the_floor_says() {
        let version = version(2);
        assert_eq!(eject(&version, 0, &spec(0.5), 0), Ejection::Ejected(5_000));
        assert!(version.endpoints[0].stats.health.claim(5_000));
        assert_eq!(eject(&version, 0, &spec(0.5), 5_001), Ejection::Ejected(10_000));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whichever endpoints are ejected, unhealthy or drained, in whatever order: as long as one endpoint is neither
        /// unhealthy nor drained, the version can be used.
        #[test]
        fn ejections_never_take_the_last_one(
            count in 1..6u16, ratio in 0.0..=1.0, steps in prop::collection::vec((0..4u8, 0..6usize), 0..40),
        ) {
            let mut version = version(count);
            for (step, index) in steps {
                let index = index % usize::from(count);
                match step {
                    0 => version.endpoints[index].drained = true,
                    1 => drop(version.endpoints[index].stats.health.mark_unhealthy(String::new())),
                    2 => drop(version.endpoints[index].stats.health.mark_healthy(1)),
                    _ => drop(eject(&version, index, &spec(ratio), 1)),
                }
                let well = version.endpoints.iter().any(|e| {
                    !e.drained && !matches!(e.stats.health.status(1), crate::shared::endpoint_health::HealthStatus::Unhealthy(_))
                });
                prop_assert_eq!(version.usable(1), well);
            }
        }
    }
}
