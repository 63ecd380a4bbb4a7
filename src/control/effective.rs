//! What the versions of a service really get: the configured weights, less what versions without a usable endpoint
//! cannot take. Pure, and the same rule as the data path's: [`decide`](crate::table::decide()) passes a request on in
//! proportion to the weights of the usable versions, which in sum is what is computed here.

use crate::table::spec::OnUnhealthy;
use crate::table::{Service, Version};

/// What a version really gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// Share of the split's requests, 0 to 1.
    pub ratio: f64,
    /// Why it is not the configured one, if it is not.
    pub reason: Option<String>,
}

/// The shares of the versions of `service`, in their order.
#[must_use]
pub fn shares(service: &Service, usable: impl Fn(&Version) -> bool) -> Vec<Share> {
    let usable: Vec<bool> = service.versions.iter().map(usable).collect();
    let with_weight = || service.versions.iter().zip(&usable).filter(|(version, _)| version.weight.slots() > 0);
    let down: Vec<&str> = with_weight().filter(|(_, usable)| !**usable).map(|(v, _)| v.name.as_str()).collect();
    let kept: f64 = with_weight().filter(|(_, usable)| **usable).map(|(version, _)| version.weight.ratio()).sum();
    let passes = service.spec.policy.on_unhealthy == OnUnhealthy::Pass;
    let share = |(version, usable): (&Version, &bool)| {
        let ratio = version.weight.ratio();
        if down.is_empty() || version.weight.slots() == 0 {
            return Share { ratio, reason: None };
        }
        match (*usable, passes && kept > 0.0) {
            (true, true) => {
                let reason = format!("takes over from {}, which has no usable endpoint", down.join(", "));
                Share { ratio: ratio / kept, reason: Some(reason) }
            }
            (true, false) => Share { ratio, reason: None },
            (false, passed) => Share { ratio: 0.0, reason: Some(no_endpoint(passed, passes)) },
        }
    };
    service.versions.iter().zip(&usable).map(share).collect()
}

fn no_endpoint(passed: bool, passes: bool) -> String {
    let then = match (passed, passes) {
        (true, _) => "its requests go to the other versions",
        (false, true) => {
            "nor has any other version with a weight (a version with weight 0 takes nothing over): requests are refused"
        }
        (false, false) => "its requests are refused (on_unhealthy = \"refuse\")",
    };
    format!("no usable endpoint: {then}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::stats::Registry;
    use crate::table::spec::{PathPrefix, Policy, VersionSpec};
    use crate::table::{Name, ServiceSpec, Table, Traffic, Weight, Weights};

    fn shares_of(on_unhealthy: OnUnhealthy, weights: &[(&str, u32)], down: &[&str]) -> Vec<(f64, bool)> {
        let name = |text: &str| Name::new(text).expect("a name");
        let pairs = weights.iter().map(|(n, w)| (name(n), Weight::from_slots(w * 1_000).expect("a weight")));
        let split = Weights::new(pairs.collect()).expect("a split");
        let version = |(n, _): &(&str, u32)| VersionSpec::new(name(n), vec![([127, 0, 0, 1], 1).into()]);
        let spec = ServiceSpec {
            name: name("shop"),
            hosts: Vec::new(),
            paths: vec![PathPrefix::new("/").expect("a path")],
            sticky: Vec::new(),
            salt: None,
            versions: weights.iter().map(version).collect(),
            rules: Vec::new(),
            policy: Policy { on_unhealthy, ..Policy::default() },
            split: split.clone(),
        };
        let traffic = [(name("shop"), Arc::new(Traffic::first("s".into(), &split)))].into();
        let table = Table::compile(1, &[Arc::new(spec)], &traffic, &Registry::new(1)).expect("it fits");
        let shares = shares(table.service(0), |version| !down.contains(&version.name.as_str()));
        shares.into_iter().map(|share| (share.ratio, share.reason.is_some())).collect()
    }

    #[test]
    fn a_version_that_is_down_passes_its_share_on_in_proportion() {
        use OnUnhealthy::{Pass, Refuse};
        let split = [("v1", 60), ("v2", 20), ("v3", 20), ("v4", 0)];
        assert_eq!(shares_of(Pass, &split, &[]), [(0.6, false), (0.2, false), (0.2, false), (0.0, false)]);
        let down = shares_of(Pass, &split, &["v3", "v4"]);
        for ((ratio, reason), wanted) in down.iter().zip([(0.75, true), (0.25, true), (0.0, true), (0.0, false)]) {
            assert!((ratio - wanted.0).abs() < 1e-9 && *reason == wanted.1, "{down:?}");
        }
        assert_eq!(shares_of(Refuse, &split, &["v3"]), [(0.6, false), (0.2, false), (0.0, true), (0.0, false)]);
        assert_eq!(shares_of(Pass, &split, &["v1", "v2", "v3"])[0], (0.0, true));
    }
}
