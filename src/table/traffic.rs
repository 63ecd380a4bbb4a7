//! The traffic of a service: the part that changes while requests flow, and that revisions record.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::address::{EndpointAddress, HostPort};
use super::host_addresses::Addresses;
use super::slots::Slots;
use super::spec::VersionSpec;
use super::weights::{SLOTS, Weight, Weights};
use crate::shared::name::Name;

/// The traffic state of one service: who owns which slot under which salt, what is mirrored, and which endpoints are
/// drained.
///
/// The salt belongs to a release: it is renewed when a service leaves the state in which one version holds
/// everything, because only then does a new draw move no user, and without it the same few users would go first in
/// every release. A rollback restores salt and runs together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Traffic {
    /// What keys are hashed with.
    pub salt: Arc<str>,
    /// The owners of the slots.
    pub slots: Slots,
    /// Which part of the requests is copied to which version, if any is.
    pub mirror: Option<MirrorShare>,
    /// Endpoints that get no new requests, with their version.
    pub drained: BTreeSet<(Name, EndpointAddress)>,
}

/// Which part of a service's requests is copied to which version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MirrorShare {
    /// The version.
    pub to: Name,
    /// The part, above zero.
    pub share: Weight,
}

/// A stored text that is no mirror.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found the mirror {found:?}, want `version*slots` with 1 to {SLOTS} slots")]
pub struct BadMirrorShare {
    /// The text.
    pub found: String,
}

impl MirrorShare {
    /// Reads what its `Display` wrote.
    ///
    /// # Errors
    /// [`BadMirrorShare`] when it is something else.
    pub fn parse(text: &str) -> Result<Self, BadMirrorShare> {
        let parts = text.split_once('*').and_then(|(to, slots)| {
            let share = Weight::from_slots(slots.parse().ok()?).filter(|share| *share != Weight::ZERO)?;
            Some(Self { to: Name::new(to).ok()?, share })
        });
        parts.ok_or_else(|| BadMirrorShare { found: text.to_owned() })
    }
}

/// `v3*10000`, in slots, as the store has it.
impl fmt::Display for MirrorShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}*{}", self.to, self.share.slots())
    }
}

impl Traffic {
    /// The first traffic of a service.
    #[must_use]
    pub fn first(salt: Arc<str>, weights: &Weights) -> Self {
        Self { salt, slots: Slots::fresh(weights), mirror: None, drained: BTreeSet::new() }
    }

    /// The traffic after a shift to `weights`. `new_salt` is used if a release begins with this shift.
    #[must_use]
    pub fn shifted(&self, weights: &Weights, new_salt: impl FnOnce() -> Arc<str>) -> Self {
        let begins = self.slots.weights().sole_holder().is_some() && weights.sole_holder().is_none();
        let salt = if begins { new_salt() } else { Arc::clone(&self.salt) };
        Self { salt, slots: self.slots.relaid(weights), ..self.clone() }
    }

    /// The same with another mirror, or none.
    #[must_use]
    pub fn mirrored(&self, mirror: Option<MirrorShare>) -> Self {
        Self { mirror, ..self.clone() }
    }

    /// The split and the mirror of `earlier` under today's drained endpoints: a rollback does not bring an endpoint
    /// back that an operator took out to repair it.
    #[must_use]
    pub fn restored(&self, earlier: &Self) -> Self {
        Self { drained: self.drained.clone(), ..earlier.clone() }
    }

    /// Whether the endpoint of `version` at `address` gets no new requests: by its address, or with a name.
    #[must_use]
    pub fn drains(&self, version: &VersionSpec, address: SocketAddr, addresses: &Addresses) -> bool {
        // Nothing is, most of the time.
        !self.drained.is_empty()
            && (self.drained.contains(&(version.name.clone(), address.into()))
                || self.drained_with(version, address, addresses).is_some())
    }

    /// The name that the endpoint of `version` at `address` is drained with. Who takes a name out means the machines
    /// behind it: one that the config also lists by its address, or under another name, is out as well.
    #[must_use]
    pub fn drained_with<'v>(
        &self,
        version: &'v VersionSpec,
        address: SocketAddr,
        addresses: &Addresses,
    ) -> Option<&'v HostPort> {
        let is_drained =
            |name: &HostPort| self.drained.contains(&(version.name.clone(), EndpointAddress::Name(name.clone())));
        version.names.iter().find(|name| is_drained(name) && addresses.stands(name, address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::fixture::{name, weights};

    fn salt(text: &str) -> impl FnOnce() -> Arc<str> {
        let text = text.into();
        move || text
    }

    fn no_salt() -> Arc<str> {
        panic!("no release begins here")
    }

    fn drained() -> BTreeSet<(Name, EndpointAddress)> {
        BTreeSet::from([(name("v1"), SocketAddr::from(([10, 0, 0, 1], 80)).into())])
    }

    #[test]
    fn a_drained_name_drains_what_it_stands_for() {
        let at = |last, port| SocketAddr::from(([10, 0, 0, last], port));
        let backend = HostPort::new("backend:80").expect("a name");
        let mut version = VersionSpec::new(name("v1"), vec![at(1, 80)]);
        version.names = vec![HostPort::new("backend:81").expect("a name"), backend.clone()];
        let known = Addresses::default().with(&backend.host, Ok(vec![at(1, 0).ip(), at(2, 0).ip()]));
        let mut traffic = Traffic::first("shop-1".into(), &weights("v1=100"));
        let drained =
            |traffic: &Traffic| [at(1, 80), at(2, 80), at(2, 81)].map(|at| traffic.drains(&version, at, &known));
        assert_eq!(drained(&traffic), [false; 3]);
        traffic.drained = BTreeSet::from([(name("v2"), EndpointAddress::Name(backend.clone()))]);
        assert_eq!(drained(&traffic), [false; 3], "another version");
        traffic.drained = BTreeSet::from([(name("v1"), EndpointAddress::Name(backend.clone()))]);
        assert_eq!(drained(&traffic), [true, true, false], "also what is listed by its address, not other ports");
        assert_eq!(traffic.drained_with(&version, at(2, 80), &known), Some(&backend));
        traffic.drained = self::drained();
        assert_eq!(drained(&traffic), [true, false, false]);
        assert_eq!(traffic.drained_with(&version, at(1, 80), &known), None);
    }

    #[test]
    fn a_release_draws_once_when_it_leaves_the_state_of_one_version() {
        let all_v1 = Traffic::first("shop-1".into(), &weights("v1=100 v2=0"));
        let canary = all_v1.shifted(&weights("v1=99 v2=1"), salt("shop-2"));
        assert_eq!((&*canary.salt, canary.slots.to_string().as_str()), ("shop-2", "v2*1000 v1*99000"));
        let half = canary.shifted(&weights("v1=50 v2=50"), no_salt);
        let all_v2 = half.shifted(&weights("v1=0 v2=100"), no_salt);
        assert_eq!((&*half.salt, &*all_v2.salt), ("shop-2", "shop-2"));
        let flipped_back = all_v2.shifted(&weights("v1=100 v2=0"), no_salt);
        assert_eq!(&*flipped_back.salt, "shop-2", "a flip moves everybody whatever the salt is");
        assert_eq!(&*flipped_back.shifted(&weights("v1=95 v2=5"), salt("shop-3")).salt, "shop-3");
    }

    #[test]
    fn a_rollback_restores_salt_and_runs_but_no_drained_endpoint() {
        let earlier = Traffic::first("shop-1".into(), &weights("v1=80 v2=10 v3=10"));
        let stored = earlier.slots.to_string();
        let mut now = earlier.shifted(&weights("v1=10 v2=80 v3=10"), no_salt);
        now = now.shifted(&weights("v1=100 v2=0 v3=0"), no_salt).shifted(&weights("v1=50 v3=50"), salt("shop-2"));
        now.drained = drained();
        let restored = now.restored(&earlier);
        assert_eq!((&*restored.salt, restored.slots.to_string()), ("shop-1", stored));
        assert_eq!(restored.drained, drained());
    }

    #[test]
    fn a_mirror_stays_over_shifts_and_is_restored_with_the_split() {
        let mirror = MirrorShare::parse("v3*10000").expect("a mirror");
        assert_eq!((mirror.to.as_str(), mirror.share.percent(), mirror.to_string()), ("v3", 10.0, "v3*10000".into()));
        let plain = Traffic::first("shop-1".into(), &weights("v1=50 v2=50"));
        let mirrored = plain.mirrored(Some(mirror.clone()));
        let shifted = mirrored.shifted(&weights("v1=10 v2=90"), no_salt);
        assert_eq!(shifted.mirror, Some(mirror));
        assert_eq!(shifted.restored(&plain).mirror, None);
        for bad in ["", "v3", "v3*", "v3*0", "v3*100001", "*5", "v3*x"] {
            assert!(MirrorShare::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_shift_keeps_drained_endpoints() {
        let mut traffic = Traffic::first("shop-1".into(), &weights("v1=50 v2=50"));
        traffic.drained = drained();
        assert_eq!(traffic.shifted(&weights("v1=10 v2=90"), no_salt).drained, drained());
    }
}
