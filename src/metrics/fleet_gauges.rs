//! How this replica and its fleet are to each other.

use metrics::{Unit, describe_gauge, gauge};

use super::names;
use crate::fleet::fleet_facts::FleetState;
use crate::fleet::fleet_handle::FleetHandle;
use crate::table::Table;

/// Sets them.
#[expect(clippy::cast_precision_loss, reason = "counts of replicas and milliseconds since 1970 are exact in an f64")]
pub(super) fn update(fleet: Option<&FleetHandle>, table: &Table) {
    let Some(fleet) = fleet else { return };
    let facts = fleet.facts.borrow();
    let yes = |yes: bool| if yes { 1.0 } else { 0.0 };
    gauge!(names::FLEET_TOGETHER).set(yes(facts.standing == FleetState::Together));
    gauge!(names::FLEET_REPLICAS).set(facts.members.len() as f64);
    gauge!(names::FLEET_LAGGING).set(facts.lagging(table.revision).len() as f64);
    gauge!(names::FLEET_DIFFERING).set(facts.differing().len() as f64);
    gauge!(names::FLEET_LEADS).set(yes(facts.leads()));
    if let Some(at_ms) = facts.heard_ms {
        gauge!(names::FLEET_HEARD_TIME).set(at_ms as f64 / 1000.0);
    }
}

/// Describes them.
pub(super) fn describe() {
    describe_gauge!(names::FLEET_TOGETHER, "Whether this replica follows its fleet: 0 while changes are refused.");
    describe_gauge!(names::FLEET_REPLICAS, "Live replicas of the fleet, this one among them.");
    describe_gauge!(names::FLEET_LAGGING, "Live replicas that have not put the revision of this one in force.");
    describe_gauge!(names::FLEET_DIFFERING, "Live replicas whose config is not as this one's.");
    describe_gauge!(names::FLEET_LEADS, "Whether this replica leads the fleet.");
    describe_gauge!(names::FLEET_HEARD_TIME, Unit::Seconds, "When etcd was last heard of, since 1970.");
}
