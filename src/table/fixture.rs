//! The fixtures of the tests of this folder: small services and tables out of short texts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderName;

use crate::stats::Registry;

use super::spec::{Condition, KeySource, PathPrefix, Policy, RuleSpec, VersionSpec};
use super::{Name, ServiceSpec, Table, Traffic, Weight, Weights};

/// The header that names the user in a [`spec`].
pub(crate) const USER: HeaderName = HeaderName::from_static("x-user");

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}

/// Weights as their `Display` writes them: `v1=90 v2=10`.
pub(crate) fn weights(text: &str) -> Weights {
    let pairs = text.split(' ').map(|pair| {
        let (version, percent) = pair.split_once('=').expect("version=percent");
        let weight = Weight::from_percent(percent.parse().expect("a number")).expect("a good weight");
        (name(version), weight)
    });
    Weights::new(pairs.collect()).expect("a sum of 100")
}

/// A service for any host and path, sticky by [`USER`], with one endpoint for each version of `split`.
pub(crate) fn spec(service: &str, split: &str) -> ServiceSpec {
    let split = weights(split);
    let versions = (1..).zip(split.iter()).map(|(number, (version, _))| {
        VersionSpec::new(version.clone(), vec![SocketAddr::from(([10, 0, 0, number], 80))])
    });
    ServiceSpec {
        name: name(service),
        hosts: Vec::new(),
        paths: vec![PathPrefix::new("/").expect("a path")],
        sticky: vec![KeySource::Header(USER)],
        salt: None,
        versions: versions.collect(),
        split,
        rules: Vec::new(),
        mirror: None,
        policy: Policy::default(),
        slo: None,
        edge: None,
    }
}

pub(crate) fn rule(rule: &str, when: Condition, version: &str) -> RuleSpec {
    RuleSpec::to_version(name(rule), when, name(version))
}

/// The first traffic of each service; its salt is `NAME-1`.
pub(crate) fn first_traffic(specs: &[Arc<ServiceSpec>]) -> BTreeMap<Name, Arc<Traffic>> {
    let first = |spec: &Arc<ServiceSpec>| Traffic::first(format!("{}-1", spec.name).into(), &spec.split);
    specs.iter().map(|spec| (spec.name.clone(), Arc::new(first(spec)))).collect()
}

pub(crate) fn shared(specs: impl IntoIterator<Item = ServiceSpec>) -> Vec<Arc<ServiceSpec>> {
    specs.into_iter().map(Arc::new).collect()
}

/// A table of the services under their first traffic.
pub(crate) fn table(specs: impl IntoIterator<Item = ServiceSpec>) -> Table {
    let specs = shared(specs);
    Table::compile(1, &specs, &first_traffic(&specs), &Registry::new(1)).expect("the traffic fits")
}
