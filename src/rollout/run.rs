//! The state machine of a rollout: time, evidence, answers and commands in; a new state and what is to be done out.
//!
//! It goes through the stages of its plan ([`super::stage`]), forward while the judge has nothing against it and back
//! when it has, or when an operator says so. Nothing is done in here: a [`Transition`] says which weight the
//! candidate has from now on and which task is to be begun, and its runner stores the new state *and* the new weights
//! in one revision. So after a crash at any moment the stored state is one that the machine was in, with the split
//! that belongs to it; and a move that could not be stored never happened.
//!
//! What is safe is always this: the candidate's weight grows only by an `advance` of the judge on this step's requests
//! or by an operator's command, and shrinks without asking anybody.
//!
//! Several services that are released together are one machine with one judge for each. The worst decision counts, and
//! every move is for all of them.

mod back;
mod copied;
mod measured;
mod outlook;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::table::Weight;

use super::event::{Pause, RolloutEnding, RolloutEvent, StageCause, Transition};
use super::judge::frozen::FrozenCeilings;
use super::judge::{Bake, CandidateShare, Evidence, HoldReason, InCharge, Judge, JudgeDecision};
use super::plan::{Expired, Plan};
use super::stage::{Stage, StageTask, TaskResult};

/// How long a task may take before it counts as failed. Its runner says so long before, by the times of the config (a
/// day at the most): this is for a runner that is gone, because nothing waits for ever.
pub(crate) const TASK_MAX: Duration = Duration::from_secs(25 * 60 * 60);

/// How long a webhook may not agree.
pub(crate) const GATE_MAX: Duration = Duration::from_secs(30 * 60);

/// How long an approval may take: over a weekend.
pub(crate) const APPROVAL_MAX: Duration = Duration::from_secs(72 * 60 * 60);

/// Time between two questions to a webhook that does not agree yet.
pub(crate) const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Where a rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// In a stage of its plan.
    Going {
        /// The stage's number.
        stage: usize,
        /// Since when.
        since: Duration,
    },
    /// In a stage of its plan, and waiting for an operator.
    Paused {
        /// The stage's number.
        stage: usize,
        /// Since when.
        since: Duration,
        /// What for.
        why: Pause,
    },
    /// On its way back.
    Back(Return),
    /// At its end.
    Finished {
        /// Since when.
        at: Duration,
        /// What as.
        ending: RolloutEnding,
    },
}

/// Where a way back is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Return {
    /// The stage of the plan in which it turned.
    pub turned: usize,
    /// What it will have ended as.
    pub ending: RolloutEnding,
    /// The number of the stage of the way back.
    pub stage: usize,
    /// Since when.
    pub since: Duration,
    /// Whether it waits for an operator because a task of the way back failed.
    pub stuck: bool,
}

/// A rollout of one or more services.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    plan: Plan,
    stages: Vec<Stage>,
    phase: Phase,
    weight: Weight,
    /// When a webhook that did not agree is asked again.
    ask_at: Option<Duration>,
    judges: Vec<Judge>,
}

impl Return {
    /// The next stage of it.
    pub(crate) fn onward(self) -> Self {
        Self { stage: self.stage + 1, ..self }
    }
}

impl Rollout {
    /// A rollout of `services` that begins now, and its first move. Time is since any fixed moment, and never
    /// goes back.
    #[must_use]
    pub fn start(plan: Plan, services: usize, now: Duration) -> (Self, Transition) {
        let plan = plan.released_together(services);
        let judge = Judge::new(*plan.judge(), CandidateShare::at(Weight::ZERO), now);
        let phase = Phase::Going { stage: 0, since: now };
        let mut rollout = Self {
            stages: plan.stages(),
            plan,
            phase,
            weight: Weight::ZERO,
            ask_at: None,
            judges: vec![judge; services],
        };
        let mut started = rollout.enter(0, now, StageCause::Start);
        started.event = RolloutEvent::Started;
        (rollout, started)
    }

    /// A rollout as it was stored.
    #[must_use]
    pub fn restored(plan: Plan, phase: Phase, weight: Weight, judges: Vec<Judge>) -> Self {
        Self { stages: plan.stages(), plan, phase, weight, ask_at: None, judges }
    }

    /// The process was away for a while: the stage begins again, forward or back, with its task.
    pub fn resumed(&mut self, now: Duration) -> Option<Transition> {
        match self.phase {
            Phase::Going { stage, .. } => Some(self.enter(stage, now, StageCause::Restart)),
            Phase::Back(back) if !back.stuck => Some(self.enter_back(back, now)),
            Phase::Paused { .. } | Phase::Back(_) | Phase::Finished { .. } => None,
        }
    }

    /// What the plan is.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Its stages.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Where it is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The candidate's weight.
    #[must_use]
    pub fn weight(&self) -> Weight {
        self.weight
    }

    /// The judges, one for each service.
    #[must_use]
    pub fn judges(&self) -> &[Judge] {
        &self.judges
    }

    /// Who acts on what the judges find.
    #[must_use]
    pub fn in_charge(&self) -> InCharge {
        match self.phase {
            Phase::Paused { why, .. } if !why.leaves_the_judge_in_charge() => InCharge::Operator,
            Phase::Back(_) => InCharge::WayBack,
            Phase::Going { .. } | Phase::Paused { .. } | Phase::Finished { .. } => InCharge::Judge,
        }
    }

    /// What the baseline's own rates have become in each service, since it has no traffic; empty before.
    #[must_use]
    pub fn frozen(&self) -> Vec<Option<FrozenCeilings>> {
        let frozen = self.judges.iter().map(Judge::frozen);
        if self.judges.iter().all(|judge| judge.frozen().is_none()) { Vec::new() } else { frozen.collect() }
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Finished { .. })
    }

    /// The task that is under way.
    #[must_use]
    pub fn task(&self) -> Option<StageTask> {
        let stage = match self.phase {
            Phase::Going { stage, .. } => self.stages.get(stage).copied(),
            Phase::Back(back) if !back.stuck => self.plan.way_back(back.turned).get(back.stage).copied(),
            Phase::Paused { .. } | Phase::Back(_) | Phase::Finished { .. } => None,
        };
        stage.and_then(|stage| match stage {
            Stage::Do(task) => Some(task),
            Stage::Bake { .. } | Stage::Mirror { .. } | Stage::Keep(_) => None,
        })
    }

    /// What the judge of the service with this number thinks in this stage.
    #[must_use]
    pub fn bake(&self, now: Duration) -> Bake {
        let Phase::Going { stage, since } = self.phase else { return Bake::Running };
        let least = match self.stages.get(stage) {
            Some(Stage::Bake { bake, .. } | Stage::Mirror { bake, .. }) => *bake,
            Some(Stage::Keep(keep)) => *keep,
            Some(Stage::Do(_)) | None => return Bake::Running,
        };
        match now.checked_sub(since + least) {
            Some(ago) => Bake::Over { ago },
            None => Bake::Running,
        }
    }

    /// Folds in what was counted since the tick before, of each service, and moves on if it is time.
    pub fn tick(&mut self, now: Duration, evidence: &[Evidence<'_>]) -> Option<Transition> {
        self.observe(now, evidence);
        self.proceed(now)
    }

    /// An operator has seen what the judges found of the responses, and goes on.
    pub(crate) fn accept_findings(&mut self) {
        self.judges.iter_mut().for_each(Judge::accept_findings);
    }

    /// Folds in what was counted since the tick before, of each service.
    pub fn observe(&mut self, now: Duration, evidence: &[Evidence<'_>]) {
        for (judge, evidence) in self.judges.iter_mut().zip(evidence) {
            judge.tick(now, evidence);
        }
    }

    /// Moves on if it is time.
    pub fn proceed(&mut self, now: Duration) -> Option<Transition> {
        match self.phase {
            Phase::Going { stage, since } => self.judged(stage, now).or_else(|| self.overdue(stage, since, now)),
            Phase::Paused { stage, why, .. } if why.leaves_the_judge_in_charge() => {
                let (_, decision) = self.worst(Bake::Running);
                matches!(decision, JudgeDecision::RollBack(_)).then(|| self.turn_back(stage, now, ending_of(decision)))
            }
            Phase::Back(back) if !back.stuck => self.back_on(back, now),
            Phase::Paused { .. } | Phase::Back(_) | Phase::Finished { .. } => None,
        }
    }

    /// The worst decision, and the number of the service that it is about.
    #[must_use]
    pub fn worst(&self, bake: Bake) -> (usize, JudgeDecision) {
        let decisions = self.judges.iter().map(|judge| judge.decision(bake)).enumerate();
        decisions
            .max_by_key(|(number, decision)| (severity(*decision), usize::MAX - number))
            .unwrap_or((0, JudgeDecision::Advance))
    }

    fn judged(&mut self, stage: usize, now: Duration) -> Option<Transition> {
        let bake = self.bake(now);
        let (_, decision) = self.worst(bake);
        match decision {
            JudgeDecision::RollBack(_) => Some(self.turn_back(stage, now, ending_of(decision))),
            _ if matches!(self.stages.get(stage), Some(Stage::Do(_))) => None,
            // To keep the other version warm is a matter of time alone.
            _ if matches!(self.stages.get(stage), Some(Stage::Keep(_))) => {
                (bake != Bake::Running).then(|| self.next(stage, now, StageCause::Time))
            }
            JudgeDecision::Advance => Some(self.next(stage, now, StageCause::Verdict)),
            JudgeDecision::Hold { why, expired: true } => Some(match self.plan.on_expired() {
                Expired::Pause => self.pause_at(stage, now, Pause::Held(why)),
                Expired::RollBack => self.turn_back(stage, now, RolloutEnding::HeldTooLong(why)),
            }),
            JudgeDecision::Hold { .. } => None,
        }
    }

    fn overdue(&mut self, stage: usize, since: Duration, now: Duration) -> Option<Transition> {
        let Some(Stage::Do(task)) = self.stages.get(stage).copied() else { return None };
        if now >= since + longest(task) {
            return Some(self.failed(stage, task, now));
        }
        self.ask_at.take_if(|at| now >= *at).map(|_| Transition::task(task, RolloutEvent::AskedAgain))
    }

    /// The answer to the task that is under way; of any other it is too late to matter.
    pub fn answer(&mut self, now: Duration, task: StageTask, answer: &TaskResult) -> Option<Transition> {
        if self.task() != Some(task) {
            return None;
        }
        match (self.phase, answer) {
            (Phase::Going { stage, .. }, TaskResult::Done) => Some(self.next(stage, now, StageCause::Task(task))),
            (Phase::Going { .. }, TaskResult::Failed(_)) if task.asks() => {
                self.ask_at = Some(now + ASK_AGAIN);
                None
            }
            (Phase::Going { stage, .. }, TaskResult::Failed(_)) => Some(self.failed(stage, task, now)),
            (Phase::Back(back), TaskResult::Done) => Some(self.enter_back(back.onward(), now)),
            (Phase::Back(back), TaskResult::Failed(_)) => Some(self.stuck(back, task, now)),
            (Phase::Paused { .. } | Phase::Finished { .. }, _) => None,
        }
    }

    /// A task of the way up failed. Who was asked and never agreed is no reason to go back by itself.
    fn failed(&mut self, stage: usize, task: StageTask, now: Duration) -> Transition {
        match (task.asks(), self.plan.on_expired()) {
            (true, Expired::Pause) => self.pause_at(stage, now, Pause::NoAgreement(task)),
            _ => self.turn_back(stage, now, RolloutEnding::TaskFailed(task)),
        }
    }

    pub(crate) fn pause_at(&mut self, stage: usize, now: Duration, why: Pause) -> Transition {
        self.phase = Phase::Paused { stage, since: now, why };
        self.ask_at = None;
        Transition::only(RolloutEvent::Paused(why))
    }

    /// Goes on to the stage after this one.
    pub(crate) fn next(&mut self, stage: usize, now: Duration, cause: StageCause) -> Transition {
        self.enter(stage + 1, now, cause)
    }

    /// Begins a stage of the plan, or ends behind the last one.
    pub(crate) fn enter(&mut self, stage: usize, now: Duration, cause: StageCause) -> Transition {
        self.ask_at = None;
        let Some(entered) = self.stages.get(stage).copied() else {
            // The split may have been shifted by hand, and then promoted.
            let weight = (cause == StageCause::Promoted).then_some(self.weight);
            return Transition { weight, ..self.finish(now, RolloutEnding::Completed) };
        };
        // After a shift by hand.
        let again = matches!(cause, StageCause::Resumed | StageCause::Promoted).then_some(self.weight);
        self.phase = Phase::Going { stage, since: now };
        let (weight, task) = match entered {
            Stage::Bake { weight, .. } => (self.weigh(weight), None),
            Stage::Do(task) => (again, Some(task)),
            Stage::Keep(_) => (again, None),
            Stage::Mirror { differ_max, .. } => (self.copy(differ_max, again), None),
        };
        Transition { weight, task, event: RolloutEvent::Advanced { stage, cause } }
    }

    pub(crate) fn finish(&mut self, now: Duration, ending: RolloutEnding) -> Transition {
        self.phase = Phase::Finished { at: now, ending };
        Transition::only(RolloutEvent::Finished(ending))
    }

    /// Gives the candidate a weight; a new step begins for the judges.
    pub(crate) fn weigh(&mut self, weight: Weight) -> Option<Weight> {
        self.weight = weight;
        self.judges.iter_mut().for_each(|judge| judge.begin_step(CandidateShare::at(weight)));
        Some(weight)
    }
}

pub(crate) fn longest(task: StageTask) -> Duration {
    match task {
        StageTask::Approval => APPROVAL_MAX,
        StageTask::Webhook => GATE_MAX,
        StageTask::Smoke
        | StageTask::Drain(_)
        | StageTask::Upgrade(_)
        | StageTask::Verify(_)
        | StageTask::Join(_)
        | StageTask::Downgrade(_)
        | StageTask::Return(_) => TASK_MAX,
    }
}

fn ending_of(decision: JudgeDecision) -> RolloutEnding {
    match decision {
        JudgeDecision::RollBack(cause) => RolloutEnding::RolledBack(cause),
        JudgeDecision::Hold { why, .. } => RolloutEnding::HeldTooLong(why),
        JudgeDecision::Advance => RolloutEnding::Aborted,
    }
}

/// Which of several decisions counts: the largest.
fn severity(decision: JudgeDecision) -> u8 {
    match decision {
        JudgeDecision::Advance => 0,
        JudgeDecision::Hold { why: HoldReason::Baking | HoldReason::WarmingUp, expired: false } => 1,
        JudgeDecision::Hold { expired: false, .. } => 2,
        JudgeDecision::Hold { expired: true, .. } => 3,
        JudgeDecision::RollBack(_) => 4,
    }
}

#[cfg(test)]
mod tests;
