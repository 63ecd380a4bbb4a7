//! The way back of a rollout: the stages of [`Plan::way_back`](super::super::plan::Plan::way_back), one after the
//! other.
//!
//! No agreement is asked for on it: what fails here waits for an operator, because there is nowhere else to go.

use std::time::Duration;

use super::super::event::{RolloutEnding, RolloutEvent, Transition};
use super::super::stage::{Stage, StageTask};
use super::{Phase, Return, Rollout, longest};

impl Rollout {
    /// Turns back from a stage of the plan.
    pub(crate) fn turn_back(&mut self, turned: usize, now: Duration, ending: RolloutEnding) -> Transition {
        let mut first = self.enter_back(Return { turned, ending, stage: 0, since: now, stuck: false }, now);
        if !self.is_finished() {
            first.event = RolloutEvent::TurnedBack(ending);
        }
        first
    }

    pub(crate) fn enter_back(&mut self, back: Return, now: Duration) -> Transition {
        self.ask_at = None;
        let Return { turned, stage, ending, .. } = back;
        let way = self.plan.way_back(turned);
        let Some(entered) = way.get(stage).copied() else { return self.finish(now, ending) };
        self.phase = Phase::Back(Return { since: now, ..back });
        match entered {
            // The last one needs no tick: what has to happen first has happened with this move.
            Stage::Bake { weight, .. } if stage + 1 == way.len() => {
                let weight = self.weigh(weight);
                Transition { weight, ..self.finish(now, ending) }
            }
            Stage::Bake { weight, .. } => {
                Transition { weight: self.weigh(weight), task: None, event: RolloutEvent::RolledBackStep { stage } }
            }
            Stage::Do(task) => Transition::task(task, RolloutEvent::RolledBackStep { stage }),
            Stage::Keep(_) | Stage::Mirror { .. } => Transition::only(RolloutEvent::RolledBackStep { stage }),
        }
    }

    pub(crate) fn back_on(&mut self, back: Return, now: Duration) -> Option<Transition> {
        let (least, task) = match self.plan.way_back(back.turned).get(back.stage).copied()? {
            Stage::Bake { bake, .. } | Stage::Mirror { bake, .. } | Stage::Keep(bake) => (bake, None),
            Stage::Do(task) => (longest(task), Some(task)),
        };
        let over = now >= back.since + least;
        over.then(|| match task {
            None => self.enter_back(back.onward(), now),
            Some(task) => self.stuck(back, task, now),
        })
    }

    /// A task of the way back that failed may be tried again.
    pub(crate) fn free(&mut self) {
        if let Phase::Back(back) = &mut self.phase {
            back.stuck = false;
        }
    }

    pub(crate) fn stuck(&mut self, back: Return, task: StageTask, now: Duration) -> Transition {
        self.phase = Phase::Back(Return { since: now, stuck: true, ..back });
        Transition::only(RolloutEvent::RollbackBlocked { task })
    }
}
