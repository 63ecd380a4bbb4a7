//! The parts that have something to store, or to end, before another process takes over.

use crate::admin::AdminApi;
use crate::chaos_runner::chaos_handle::ChaosHandle;
use crate::release::rollout_handle::RolloutHandle;
use crate::slo_keeper::keeper::SloKeeper;

/// How they are asked.
#[derive(Debug)]
pub(crate) struct HandedParts {
    /// What rollouts have found is stored.
    pub(crate) rollouts: RolloutHandle,
    /// What objectives have counted is stored.
    pub(crate) budgets: SloKeeper,
    /// Chaos runs end.
    pub(crate) chaos: ChaosHandle,
}

impl HandedParts {
    /// Those that the admin API asks, and what keeps budgets.
    pub(crate) fn of(admin: &AdminApi, budgets: SloKeeper) -> Self {
        Self { rollouts: admin.rollouts.clone(), budgets, chaos: admin.chaos.clone() }
    }
}
