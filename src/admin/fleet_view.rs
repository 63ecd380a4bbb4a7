//! What is shown of the fleet.

use serde::Serialize;
use utoipa::ToSchema;

use super::revisions::timestamp;
use crate::fleet::FleetMember;
use crate::fleet::fleet_facts::{FleetFacts, FleetState};
use crate::fleet::fleet_handle::FleetHandle;
use crate::table::Table;

/// The fleet, as this replica knows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Fleet)]
pub(crate) struct FleetView {
    /// `together` (this replica follows the fleet) or `apart` (it does not: what is in force stays in force, and changes
    /// are refused).
    state: &'static str,
    /// Why it is apart.
    why: Option<String>,
    /// Since when the state is what it is.
    #[schema(format = DateTime)]
    since: String,
    /// Seconds since etcd was last heard of; none: not since the start.
    heard_seconds: Option<u64>,
    /// When that was.
    #[schema(format = DateTime)]
    heard_at: Option<String>,
    /// What this replica is called.
    name: String,
    /// Whether this replica leads.
    leads: bool,
    /// The replica that leads; none: an election is going on.
    leader: Option<String>,
    /// What all keys of the fleet begin with.
    prefix: String,
    /// The revision in force here.
    revision: u64,
    /// The live replicas that have not put it in force.
    lagging: Vec<String>,
    /// The live replicas whose config is not as that of this one.
    differing: Vec<String>,
    /// The live replicas.
    replicas: Vec<ReplicaView>,
}

/// A live replica.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Replica)]
pub(crate) struct ReplicaView {
    /// What it is called.
    name: String,
    /// Where its admin API is reached, if it says so.
    address: Option<String>,
    /// The version of the program.
    version: String,
    /// When its process began.
    #[schema(format = DateTime)]
    started_at: String,
    /// The revision in force there.
    revision: u64,
    /// Stands for its config: replicas whose configs agree have the same.
    config: String,
    /// What of the traffic it cannot have by its config, each with the service and why.
    misfits: Vec<String>,
}

impl FleetView {
    /// The view, beside the table in force.
    #[must_use]
    pub(crate) fn of(fleet: &FleetHandle, table: &Table) -> Self {
        let facts = fleet.facts.borrow();
        let FleetFacts { name, standing, since_ms, heard_ms, members, leader, leads_until: _ } = &*facts;
        let (state, why) = match standing {
            FleetState::Together => ("together", None),
            FleetState::Apart(why) => ("apart", Some(why.clone())),
        };
        let since = |at_ms: i64| jiff::Timestamp::now().as_millisecond().saturating_sub(at_ms) / 1000;
        Self {
            state,
            why,
            since: timestamp(*since_ms),
            heard_seconds: heard_ms.map(|at_ms| u64::try_from(since(at_ms)).unwrap_or_default()),
            heard_at: heard_ms.map(timestamp),
            name: name.clone(),
            leads: facts.leads(),
            leader: leader.clone(),
            prefix: fleet.config.prefix.clone(),
            revision: table.revision,
            lagging: facts.lagging(table.revision),
            differing: facts.differing(),
            replicas: members.values().map(ReplicaView::of).collect(),
        }
    }
}

impl ReplicaView {
    fn of(member: &FleetMember) -> Self {
        Self {
            name: member.name.clone(),
            address: member.address.clone(),
            version: member.version.clone(),
            started_at: timestamp(member.started_ms),
            revision: member.revision,
            config: member.config.clone(),
            misfits: member.misfits.clone(),
        }
    }
}
