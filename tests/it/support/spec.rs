//! Services, written short.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use pointsman::testing::table::spec::{PathPrefix, Policy, VersionSpec};
use pointsman::testing::table::{Name, ServiceSpec, Weight, Weights};

/// A name.
pub fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}

/// Weights from `v1=90 v2=10`.
pub fn weights(text: &str) -> Weights {
    let item = |item: &str| {
        let (version, percent) = item.split_once('=').expect("version=percent");
        (name(version), Weight::from_percent(percent.parse().expect("a number")).expect("a weight"))
    };
    let versions: BTreeMap<_, _> = text.split(' ').map(item).collect();
    Weights::new(versions).expect("a split")
}

/// The address of an endpoint that is not connected to.
pub fn address(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// A service at `/service/` with two endpoints a version, sticky by `x-user`.
pub fn service(service: &str, split: &str) -> ServiceSpec {
    let split = weights(split);
    let version = |(name, port): (&Name, u16)| VersionSpec::new(name.clone(), vec![address(port), address(port + 1)]);
    ServiceSpec {
        name: name(service),
        hosts: Vec::new(),
        paths: vec![PathPrefix::new(&format!("/{service}")).expect("a path")],
        sticky: vec![pointsman::testing::table::spec::KeySource::Header(http::HeaderName::from_static("x-user"))],
        salt: None,
        versions: split.iter().map(|(name, _)| name).zip((1..).step_by(10)).map(version).collect(),
        split,
        rules: Vec::new(),
        policy: Policy::default(),
    }
}

/// Several services.
pub fn services(list: &[(&str, &str)]) -> Vec<Arc<ServiceSpec>> {
    list.iter().map(|(name, split)| Arc::new(service(name, split))).collect()
}
