//! Services, written short.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use pointsman::testing::control::FileSpecs;
use pointsman::testing::table::spec::flag::{DrawSpec, FlagRuleSpec, FlagSource, FlagSpec, FlagSpecs, Variant};
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
        mirror: None,
        policy: Policy::default(),
        slo: None,
        edge: None,
    }
}

/// Several services.
pub fn services(list: &[(&str, &str)]) -> Vec<Arc<ServiceSpec>> {
    list.iter().map(|(name, split)| Arc::new(service(name, split))).collect()
}

/// A flag with the variants that these weights name, of which `off` is the default, or else the first. Its rule `staff`
/// serves the last variant, and the rule `launch` these weights.
pub fn flag(text: &str, serve: &str) -> FlagSpec {
    let launch = weights(serve);
    let names: Vec<Name> = launch.iter().map(|(name, _)| name.clone()).collect();
    let last = names.last().expect("a variant");
    let rule = |text: &str, serve: Weights| FlagRuleSpec { name: name(text), when: None, serve };
    let rules = vec![rule("staff", Weights::all_on(last, names.clone())), rule("launch", launch)];
    let default = names.iter().position(|name| name.as_str() == "off").unwrap_or(0);
    FlagSpec {
        name: name(text),
        variants: names.iter().map(|name| Variant { name: name.clone(), json: format!("{name:?}").into() }).collect(),
        default: default.try_into().expect("a few"),
        enabled: true,
        source: FlagSource::Rules { draw: DrawSpec::Salt(text.into()), rules },
    }
}

/// Services and flags of a file.
pub fn file(services: &[(&str, &str)], flags: Vec<FlagSpec>) -> FileSpecs {
    let flags = FlagSpecs { flags: flags.into_iter().map(Arc::new).collect(), ..FlagSpecs::default() };
    FileSpecs { services: self::services(services), flags: Arc::new(flags), ..FileSpecs::default() }
}
