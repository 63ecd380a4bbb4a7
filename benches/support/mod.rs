//! Many services like those of a large site, for the benches.

#![allow(dead_code, reason = "each bench uses a part of it")]

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderName;
use pointsman::testing::stats::Registry;
use pointsman::testing::table::spec::{
    Condition, HostPattern, KeySource, PathPrefix, Pattern, Policy, RuleSpec, VersionSpec,
};
use pointsman::testing::table::{Name, ServiceSpec, Table, Traffic, Weight, Weights};

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Rules of each service; none of them holds for the requests of the benches, so that all are asked.
pub(crate) const RULES: usize = 10;

/// Services and their first traffic.
#[derive(Debug)]
pub(crate) struct Site {
    /// The services, on a host each.
    pub(crate) specs: Vec<Arc<ServiceSpec>>,
    /// Their traffic.
    pub(crate) traffic: BTreeMap<Name, Arc<Traffic>>,
}

impl Site {
    /// This many services with [`RULES`] rules, two versions, two endpoints a version, sticky by a header.
    pub(crate) fn new(services: u32) -> Self {
        let specs: Vec<_> = (0..services).map(|number| Arc::new(service(number))).collect();
        let first = |spec: &Arc<ServiceSpec>| Arc::new(Traffic::first("release-1".into(), &spec.split));
        let traffic = specs.iter().map(|spec| (spec.name.clone(), first(spec))).collect();
        Self { specs, traffic }
    }

    /// The table of all of it.
    pub(crate) fn compile(&self, registry: &Registry) -> Table {
        Table::compile(1, &self.specs, &self.traffic, registry).expect("the traffic fits")
    }
}

/// The host of a service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host(pub(crate) u32);

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "service-{}.shops.example.com", self.0)
    }
}

/// A name that is known to be good.
pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}

/// A split between v1 and v2.
pub(crate) fn split(v2_percent: f64) -> Weights {
    let weight = |percent| Weight::from_percent(percent).expect("a good weight");
    let pairs = [(name("v1"), weight(100.0 - v2_percent)), (name("v2"), weight(v2_percent))];
    Weights::new(BTreeMap::from(pairs)).expect("a sum of 100")
}

fn service(number: u32) -> ServiceSpec {
    let [_, a, b, c] = number.to_be_bytes();
    let address = |port| SocketAddr::from(([10, a, b, c], port));
    let version = |version: &str, port: u16| VersionSpec::new(name(version), vec![address(port), address(port + 1)]);
    ServiceSpec {
        name: name(&format!("service-{number}")),
        hosts: vec![HostPattern::Exact(Host(number).to_string().into())],
        paths: vec![PathPrefix::new("/").expect("a path"), PathPrefix::new("/api/v2").expect("a path")],
        sticky: vec![KeySource::Header(HeaderName::from_static("x-user-id"))],
        salt: None,
        split: split(10.0),
        versions: vec![version("v1", 8_000), version("v2", 9_000)],
        rules: (0..RULES).map(rule).collect(),
        mirror: None,
        policy: Policy::default(),
        slo: None,
        edge: None,
    }
}

fn rule(number: usize) -> RuleSpec {
    // As a config makes it: each name is a text of its own, not a static one.
    let canary = HeaderName::from_bytes(b"x-canary").expect("a header name");
    let header = (canary, Pattern::Exact(format!("group-{number}").into()));
    let when = Condition { headers: vec![header], ..Condition::default() };
    RuleSpec::to_version(name(&format!("rule-{number}")), when, name("v2"))
}
