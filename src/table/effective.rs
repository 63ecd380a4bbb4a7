//! The effective weights of a service: the configured ones, less what versions without a usable endpoint cannot take.
//! Pure, and the same rule as the data path's: [`decide`](crate::table::decide()) passes a request on in proportion to
//! the weights of the versions that are ready, within the bounds of [`availability`](crate::table::availability), which
//! in sum is what is computed here.

use crate::table::availability::TAKEOVER_AFTER_MS;
use crate::table::spec::OnUnhealthy;
use crate::table::{Availability, Service, Takeover, Version};

/// What a version really gets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EffectiveShare {
    /// Share of the split's requests, 0 to 1.
    pub ratio: f64,
    /// Why it is not the configured one, if it is not.
    pub reason: Option<String>,
}

/// The shares of the versions of `service`, in their order.
#[must_use]
pub(crate) fn shares(service: &Service, available: impl Fn(&Version) -> Availability) -> Vec<EffectiveShare> {
    let takeovers: Vec<_> = service.versions.iter().map(|version| available(version).takeover()).collect();
    let with_weight = || service.versions.iter().zip(&takeovers).filter(|(version, _)| version.weight.slots() > 0);
    let sum = |of: Option<Takeover>| -> f64 {
        with_weight().filter(|(_, takeover)| **takeover == of).map(|(version, _)| version.weight.ratio()).sum()
    };
    let (ready, blinking, given_up) = (sum(None), sum(Some(Takeover::Bounded)), sum(Some(Takeover::Full)));
    let down: Vec<&str> =
        with_weight().filter(|(_, takeover)| takeover.is_some()).map(|(v, _)| v.name.as_str()).collect();
    let passes = service.spec.policy.on_unhealthy == OnUnhealthy::Pass && ready > 0.0;
    let taken = if passes { given_up + blinking.min(ready) } else { 0.0 };
    let share = |(version, takeover): (&Version, &Option<Takeover>)| {
        let ratio = version.weight.ratio();
        if down.is_empty() || version.weight.slots() == 0 {
            return EffectiveShare { ratio, reason: None };
        }
        match takeover {
            None if passes => {
                let reason = format!("takes over from {}, which has no usable endpoint", down.join(", "));
                EffectiveShare { ratio: ratio * (1.0 + taken / ready), reason: Some(reason) }
            }
            None => EffectiveShare { ratio, reason: None },
            Some(Takeover::Full) => {
                EffectiveShare { ratio: 0.0, reason: Some(no_endpoint(passes, service.spec.policy.on_unhealthy)) }
            }
            Some(Takeover::Bounded) => {
                let kept = if passes { (blinking - ready).max(0.0) / blinking } else { 1.0 };
                EffectiveShare { ratio: 0.0, reason: Some(refuses(kept, passes)) }
            }
        }
    };
    service.versions.iter().zip(&takeovers).map(share).collect()
}

fn no_endpoint(passed: bool, on_unhealthy: OnUnhealthy) -> String {
    let then = match (passed, on_unhealthy) {
        (true, _) => "its requests go to the other versions",
        (false, OnUnhealthy::Pass) => {
            "nor has any other version with a weight (a version with weight 0 takes nothing over): requests are refused"
        }
        (false, OnUnhealthy::Refuse) => "its requests are refused (on_unhealthy = \"refuse\")",
    };
    format!("no usable endpoint: {then}")
}

/// What to say of a version whose endpoints have begun to refuse connections, and which keeps this part of its
/// requests.
fn refuses(kept: f64, passes: bool) -> String {
    let tried = "its endpoints refuse connections and are tried again all the time";
    match (passes, kept > 0.0) {
        (true, true) => format!(
            "{tried}: the other versions take over as much as they have themselves, and everything when it is more than {} s; \
             {:.1} % of its requests fail",
            TAKEOVER_AFTER_MS / 1_000,
            100.0 * kept
        ),
        (true, false) => format!("{tried}: meanwhile its requests go to the other versions"),
        (false, _) => format!("{tried}: meanwhile its requests fail"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::stats::Registry;
    use crate::table::spec::{PathPrefix, Policy, VersionSpec};
    use crate::table::{Name, ServiceSpec, Table, Traffic, Weight, Weights};

    fn shares_of(on_unhealthy: OnUnhealthy, weights: &[(&str, u32)], down: &[&str]) -> Vec<(f64, bool)> {
        let shares = all_shares(on_unhealthy, weights, (down, Takeover::Full));
        shares.into_iter().map(|share| (share.ratio, share.reason.is_some())).collect()
    }

    fn all_shares(
        on_unhealthy: OnUnhealthy,
        weights: &[(&str, u32)],
        (down, takeover): (&[&str], Takeover),
    ) -> Vec<EffectiveShare> {
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
            mirror: None,
            policy: Policy { on_unhealthy, ..Policy::default() },
            slo: None,
            edge: None,
            split: split.clone(),
        };
        let traffic = [(name("shop"), Arc::new(Traffic::first("s".into(), &split)))].into();
        let table = Table::compile(1, &[Arc::new(spec)], &traffic, &Registry::new(1)).expect("it fits");
        shares(table.service(0), |version| match down.contains(&version.name.as_str()) {
            true => Availability::LastResort(takeover),
            false => Availability::Ready,
        })
    }

    #[test]
    fn a_version_that_blinks_passes_on_what_the_others_have() {
        use OnUnhealthy::{Pass, Refuse};
        let ratios = |on_unhealthy, split: &[(&str, u32)], down: &[&str]| {
            let shares = all_shares(on_unhealthy, split, (down, Takeover::Bounded));
            shares.iter().map(|share| (share.ratio * 1_000.0).round() / 10.0).collect::<Vec<_>>()
        };
        assert_eq!(ratios(Pass, &[("v1", 99), ("v2", 1)], &["v1"]), [0.0, 2.0]);
        assert_eq!(ratios(Pass, &[("v1", 99), ("v2", 1)], &["v2"]), [100.0, 0.0]);
        assert_eq!(ratios(Pass, &[("v1", 60), ("v2", 30), ("v3", 10)], &["v1"]), [0.0, 60.0, 20.0]);
        assert_eq!(ratios(Pass, &[("v1", 60), ("v2", 30), ("v3", 10)], &["v1", "v2"]), [0.0, 0.0, 20.0]);
        assert_eq!(ratios(Refuse, &[("v1", 99), ("v2", 1)], &["v1"]), [0.0, 1.0]);
        let said = &all_shares(Pass, &[("v1", 99), ("v2", 1)], (&["v1"], Takeover::Bounded))[0].reason;
        assert!(said.as_ref().is_some_and(|said| said.contains("99.0 % of its requests fail")), "{said:?}");
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
