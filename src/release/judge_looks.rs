//! The judge's looks at rollouts, one a tick, and what they take.

use std::time::Duration;

use tokio::time::Instant;

use super::controller::{RolloutController, now_ms};
use crate::table::Table;

impl RolloutController {
    /// Judges what was counted since the last look.
    pub(crate) fn look_at(&mut self, id: u64, now: Duration, table: &Table) {
        let Some(run) = self.running.get_mut(&id) else { return };
        let begun = Instant::now();
        run.note_budgets(&self.deps.slo);
        run.observe(now, self.deps.clock.now_ms(), table);
        run.note_verdicts(now, now_ms());
        self.deps.registry.releases().judged(begun.elapsed());
    }
}
