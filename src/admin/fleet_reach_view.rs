//! What a change says of how far it has come in the fleet.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::fleet::fleet_handle::FleetReach;

/// How far a change has come in the fleet.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FleetReach)]
pub(crate) struct FleetReachView {
    /// The live replicas.
    replicas: usize,
    /// Those of them that had not put it in force in time.
    lagging: Vec<String>,
    /// How long was waited, in milliseconds.
    waited_ms: u64,
}

impl From<FleetReach> for FleetReachView {
    fn from(FleetReach { replicas, lagging, waited }: FleetReach) -> Self {
        Self { replicas, lagging, waited_ms: millis(waited) }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
