//! Endpoints that a reload or a name brings beside others that are warm already get their share little by little, as
//! those do that come back. All endpoints of a version that is new begin with their whole share: there is no other
//! endpoint.

use std::collections::HashSet;

use crate::table::Table;

/// Begins the slow start of the endpoints of `after` that `before` does not have.
pub(crate) fn begin(before: &Table, after: &Table, now_ms: u64) {
    for service in after.services() {
        let Some(old) = before.service_named(service.spec.name.as_str()) else { continue };
        for version in service.versions.iter().filter(|version| version.slow_start_ms > 0) {
            let Some(old) = old.version_named(version.name.as_str()) else { continue };
            let known: HashSet<u32> = old.endpoints.iter().map(|endpoint| endpoint.stats.id).collect();
            let is_known = |id: u32| known.contains(&id);
            if !version.endpoints.iter().any(|endpoint| is_known(endpoint.stats.id)) {
                continue;
            }
            for endpoint in version.endpoints.iter().filter(|endpoint| !is_known(endpoint.stats.id)) {
                endpoint.stats.health.warm_up(now_ms);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::shared::endpoint_health::WARM;
    use crate::stats::Registry;
    use crate::table::spec::{PathPrefix, Policy, VersionSpec};
    use crate::table::{Name, ServiceSpec, Traffic, Weights};

    fn table(ports: &[u16], registry: &Registry) -> Table {
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
            policy: Policy { slow_start: Duration::from_secs(1), ..Policy::default() },
            slo: None,
            edge: None,
            split: split.clone(),
        };
        let traffic = [(name("shop"), Arc::new(Traffic::first("s".into(), &split)))].into();
        Table::compile(1, &[Arc::new(spec)], &traffic, registry).expect("it fits")
    }

    #[test]
    fn who_is_new_beside_others_begins_slowly() {
        let registry = Registry::new(1);
        let (before, after, moved) = (table(&[1, 2], &registry), table(&[2, 3], &registry), table(&[4], &registry));
        begin(&before, &after, 100);
        begin(&before, &moved, 100);
        let warmths = |table: &Table| -> Vec<_> {
            let endpoints = table.service(0).versions[0].endpoints.iter();
            endpoints.map(|endpoint| endpoint.stats.health.warmth(100, 1_000)).collect()
        };
        assert_eq!((warmths(&after), warmths(&moved)), (vec![WARM, 100], vec![WARM]));
    }
}
