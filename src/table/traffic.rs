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
