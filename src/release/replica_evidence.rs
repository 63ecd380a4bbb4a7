//! What a replica tells the one that leads its fleet: what its workers have counted for the rollouts under way.
//!
//! The leader asks several times a second (`fleet_evidence`), and says with the question in which windows
//! users testify: so that users may be heard again, all of them forget at the same time, or nearly. Whatever is
//! answered is everything since the replica began to count, so that an answer that is lost loses nothing; who was new
//! is kept until the leader has said that it knows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::rollout::replica_counts::{ReplicaCounts, WindowNumbers};

/// What the leader asks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct EvidenceQuestion {
    /// The rollouts that it makes happen.
    pub(crate) rollouts: Vec<AskedRollout>,
}

/// A rollout that the leader makes happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct AskedRollout {
    /// Its number.
    pub(crate) id: u64,
    /// Stands for the judges that ask.
    #[serde(default)]
    pub(crate) judge: u32,
    /// The counting that was heard last.
    #[serde(default)]
    pub(crate) counting: String,
    /// Its services, in its order.
    pub(crate) services: Vec<AskedService>,
}

/// How one of its services is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct AskedService {
    /// The numbers of the windows in which users testify.
    #[schema(value_type = Object)]
    pub(crate) windows: WindowNumbers,
    /// How long the step has lasted, in milliseconds.
    pub(crate) in_step_ms: u64,
    /// What takes longer is slow, in microseconds, if there is a ceiling on that.
    pub(crate) slow_us: Option<u64>,
    /// How many of those who were new are known.
    #[serde(default)]
    pub(crate) told: u64,
}

/// What is answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = Evidence)]
pub(crate) struct EvidenceAnswer {
    /// Who answers, as its store is called; empty without a fleet.
    #[serde(default)]
    pub(crate) replica: String,
    /// Whether it is told to the leader: this replica does not take itself for the leader.
    #[serde(default)]
    pub(crate) is_told: bool,
    /// Rollouts that this replica knows of and does not count for, and why, by their numbers.
    #[serde(default)]
    pub(crate) not_counted: BTreeMap<u64, NotCounted>,
    /// The rollouts that this replica counts for.
    pub(crate) rollouts: Vec<CountedRollout>,
}

/// Why a replica does not count for a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct NotCounted {
    /// Whether it has none of the service, and no users of it.
    pub(crate) is_absent: bool,
    /// Why.
    pub(crate) why: String,
}

/// What was counted for a rollout.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct CountedRollout {
    /// Its number.
    pub(crate) id: u64,
    /// Stands for this counting: one that begins anew has another.
    pub(crate) counting: String,
    /// For how long it has been counted, in milliseconds.
    pub(crate) counted_ms: u64,
    /// Its services, in its order: what was counted by version and share since then, and whose first of a kind it was.
    #[schema(value_type = Vec<Object>)]
    pub(crate) services: Vec<ReplicaCounts>,
}
