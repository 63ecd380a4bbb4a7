//! What a replica knows of its fleet.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::fleet_keys::FleetMember;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct FleetFacts {
    /// What this replica is called.
    pub(crate) name: String,
    /// Whether it follows the fleet now.
    pub(crate) standing: FleetState,
    /// Since when, in milliseconds since 1970.
    pub(crate) since_ms: i64,
    /// When etcd was last heard of, in milliseconds since 1970; none: not since the start.
    pub(crate) heard_ms: Option<i64>,
    /// The replicas that hold a lease, this one among them.
    pub(crate) members: BTreeMap<String, FleetMember>,
    /// The replica that leads.
    pub(crate) leader: Option<String>,
    /// Until when this one does, by its own clock.
    pub(crate) leads_until: Option<Instant>,
}

/// Whether a replica follows the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FleetState {
    /// It does.
    Together,
    /// It does not, and why; what is in force stays in force.
    Apart(String),
}

impl FleetFacts {
    /// Of a replica that has not been heard of yet.
    #[must_use]
    pub(crate) fn first(name: String, why: &str) -> Self {
        Self {
            name,
            standing: FleetState::Apart(why.to_owned()),
            since_ms: jiff::Timestamp::now().as_millisecond(),
            heard_ms: None,
            members: BTreeMap::new(),
            leader: None,
            leads_until: None,
        }
    }

    /// Whether this replica leads.
    #[must_use]
    pub(crate) fn leads(&self) -> bool {
        self.leads_until.is_some_and(|until| Instant::now() < until)
    }

    /// The live replicas that have not put `revision` in force yet.
    #[must_use]
    pub(crate) fn lagging(&self, revision: u64) -> Vec<String> {
        let behind = self.members.values().filter(|member| member.revision < revision);
        behind.map(|member| member.name.clone()).collect()
    }

    /// The replicas whose configs are not as this one's.
    #[must_use]
    pub(crate) fn differing(&self) -> Vec<String> {
        let Some(own) = self.members.get(&self.name) else { return Vec::new() };
        let others = self.members.values().filter(|member| member.config != own.config);
        others.map(|member| member.name.clone()).collect()
    }
}
