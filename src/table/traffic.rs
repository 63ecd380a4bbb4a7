//! What changes while requests flow: the part of a service that revisions record.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use super::name::Name;
use super::slots::Slots;
use super::weights::Weights;

/// The traffic state of one service: who owns which slot under which salt, and which endpoints are drained.
///
/// The salt belongs to a release: it is renewed when a service leaves the state in which one version holds
/// everything, because only then does a new draw move nobody, and without it the same few users would go first in
/// every release. A rollback restores salt and runs together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Traffic {
    /// What keys are hashed with.
    pub salt: Arc<str>,
    /// The owners of the slots.
    pub slots: Slots,
    /// Endpoints that get no new requests, with their version.
    pub drained: BTreeSet<(Name, SocketAddr)>,
}

impl Traffic {
    /// The first traffic of a service.
    #[must_use]
    pub fn first(salt: Arc<str>, weights: &Weights) -> Self {
        Self { salt, slots: Slots::fresh(weights), drained: BTreeSet::new() }
    }

    /// The traffic after a shift to `weights`. `new_salt` is used if a release begins with this shift.
    #[must_use]
    pub fn shifted(&self, weights: &Weights, new_salt: impl FnOnce() -> Arc<str>) -> Self {
        let begins = self.slots.weights().sole_holder().is_some() && weights.sole_holder().is_none();
        let salt = if begins { new_salt() } else { Arc::clone(&self.salt) };
        Self { salt, slots: self.slots.relaid(weights), drained: self.drained.clone() }
    }

    /// The split of `earlier` under today's drained endpoints: a rollback does not bring an endpoint back that
    /// somebody took out to repair it.
    #[must_use]
    pub fn restored(&self, earlier: &Self) -> Self {
        Self { drained: self.drained.clone(), ..earlier.clone() }
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

    fn drained() -> BTreeSet<(Name, SocketAddr)> {
        BTreeSet::from([(name("v1"), ([10, 0, 0, 1], 80).into())])
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
    fn a_shift_keeps_drained_endpoints() {
        let mut traffic = Traffic::first("shop-1".into(), &weights("v1=50 v2=50"));
        traffic.drained = drained();
        assert_eq!(traffic.shifted(&weights("v1=10 v2=90"), no_salt).drained, drained());
    }
}
