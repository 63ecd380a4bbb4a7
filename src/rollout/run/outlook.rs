//! How long a rollout may stay where it is: what people want to know while it waits.

use std::time::Duration;

use super::super::judge::JudgeDecision;
use super::super::stage::Stage;
use super::{Phase, Rollout, longest};

impl Rollout {
    /// How long the stage may be held yet, while it is: of the service with the worst decision.
    #[must_use]
    pub fn hold_left(&self, now: Duration) -> Option<Duration> {
        let bake = self.bake(now);
        let (Phase::Going { stage, .. }, (number, JudgeDecision::Hold { why, .. })) = (self.phase, self.worst(bake))
        else {
            return None;
        };
        let is_bake = matches!(self.stages.get(stage), Some(Stage::Bake { .. } | Stage::Mirror { .. }));
        self.judges.get(number).filter(|_| is_bake)?.hold_left(why, bake)
    }

    /// How long the task that is under way may take yet.
    #[must_use]
    pub fn task_left(&self, now: Duration) -> Option<Duration> {
        let since = match self.phase {
            Phase::Going { since, .. } => since,
            Phase::Back(back) => back.since,
            Phase::Paused { .. } | Phase::Finished { .. } => return None,
        };
        self.task().map(|task| (since + longest(task)).saturating_sub(now))
    }
}
