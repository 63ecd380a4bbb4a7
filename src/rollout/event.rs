//! The events and the endings of a rollout, in words that are stored, shown and sent.

use serde::{Deserialize, Serialize};

use crate::table::Weight;

use super::judge::verdict::{HoldReason, RollbackCause};
use super::stage::StageTask;

/// What is to be done now. The new state and the weight belong in one revision, before the task is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The candidate's new weight; the baseline gets the rest.
    pub weight: Option<Weight>,
    /// What is to be begun.
    pub task: Option<StageTask>,
    /// What has happened, for the record and those who want to know.
    pub event: RolloutEvent,
}

impl Transition {
    /// Something happened, and nothing is to be done.
    pub(crate) fn only(happened: RolloutEvent) -> Self {
        Self { weight: None, task: None, event: happened }
    }

    /// A task is to be begun.
    pub(crate) fn task(task: StageTask, happened: RolloutEvent) -> Self {
        Self { weight: None, task: Some(task), event: happened }
    }
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutEvent {
    /// It began.
    Started,
    /// A stage began.
    Advanced {
        /// Its number.
        stage: usize,
        /// Why.
        cause: StageCause,
    },
    /// A webhook that did not agree is asked again.
    AskedAgain,
    /// It waits for an operator.
    Paused(Pause),
    /// It is on its way back, which takes more than this move.
    TurnedBack(RolloutEnding),
    /// A stage of the way back began.
    RolledBackStep {
        /// Its number.
        stage: usize,
    },
    /// A task of the way back failed; it waits for an operator.
    RollbackBlocked {
        /// The task.
        task: StageTask,
    },
    /// It ended.
    Finished(RolloutEnding),
}

/// The words for what happened, in notifications and in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventWord {
    /// It began.
    Started,
    /// The judge let it go on, or its traffic moved up.
    Advanced,
    /// A part of a step is done: an endpoint is drained, upgraded or verified.
    Progress,
    /// The judge thinks otherwise, or for another reason.
    Verdict,
    /// It does not go on before an operator says yes, or that something is done.
    Waiting,
    /// It was held for as long as it may be, and waits for an operator.
    Held,
    /// It waits for an operator.
    Paused,
    /// It is on its way back.
    RollingBack,
    /// It is back.
    RolledBack,
    /// A task of the way back failed; it waits for an operator.
    Stuck,
    /// The new version has everything.
    Finished,
    /// A chaos run has begun.
    ChaosStarted,
    /// A chaos run has ended.
    ChaosEnded,
    /// What a command of a chaos run did could not be undone.
    ChaosStuck,
}

impl EventWord {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 14] = [
        Self::Started,
        Self::Advanced,
        Self::Progress,
        Self::Verdict,
        Self::Waiting,
        Self::Held,
        Self::Paused,
        Self::RollingBack,
        Self::RolledBack,
        Self::Stuck,
        Self::Finished,
        Self::ChaosStarted,
        Self::ChaosEnded,
        Self::ChaosStuck,
    ];

    /// What people are told of unless they say otherwise: all but the parts of steps, of which a rolling release has
    /// several for each endpoint, and the judge's changes of mind, of which each step has some.
    #[must_use]
    pub fn usual() -> Vec<Self> {
        Self::ALL.into_iter().filter(|word| !matches!(word, Self::Progress | Self::Verdict)).collect()
    }

    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Advanced => "advanced",
            Self::Progress => "progress",
            Self::Verdict => "verdict",
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Paused => "paused",
            Self::RollingBack => "rolling_back",
            Self::RolledBack => "rolled_back",
            Self::Stuck => "stuck",
            Self::Finished => "finished",
            Self::ChaosStarted => "chaos_started",
            Self::ChaosEnded => "chaos_ended",
            Self::ChaosStuck => "chaos_stuck",
        }
    }
}

/// Whom a rollout waits for, by what they have to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Say yes to a gate.
    Approval,
    /// Say that an upgrade by hand is done.
    Acknowledgement,
    /// Say that a paused rollout goes on.
    Resume,
    /// Mend what failed on the way back, and say so.
    Repair,
}

impl Need {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Approval, Self::Acknowledgement, Self::Resume, Self::Repair];

    /// The word in the API and in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Acknowledgement => "acknowledgement",
            Self::Resume => "resume",
            Self::Repair => "repair",
        }
    }

    /// What an operator says to the rollout then: the word of the API and of the command line.
    #[must_use]
    pub fn order(self) -> &'static str {
        match self {
            Self::Approval => "promote",
            Self::Acknowledgement => "acknowledge",
            Self::Resume | Self::Repair => "resume",
        }
    }
}

/// Why a stage began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageCause {
    /// It is the first.
    Start,
    /// The judge has nothing against it.
    Verdict,
    /// The time of the stage before is over.
    Time,
    /// The task before is done.
    Task(StageTask),
    /// An operator said so.
    Promoted,
    /// An operator said so after a pause.
    Resumed,
    /// The process was away, and it is on the safe side to begin the stage again.
    Restart,
}

/// Why a rollout waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pause {
    /// An operator said so.
    Operator,
    /// An operator changed the split by hand, and knows more than the plan.
    Shifted,
    /// It was held for as long as it may be.
    Held(HoldReason),
    /// Who was asked did not agree in time.
    NoAgreement(StageTask),
}

impl Pause {
    /// Whether a proof still turns it back. Not when an operator took over the split.
    #[must_use]
    pub fn leaves_the_judge_in_charge(self) -> bool {
        self != Self::Shifted
    }
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutEnding {
    /// The candidate has everything.
    Completed,
    /// The candidate was proved worse.
    RolledBack(RollbackCause),
    /// It was held for too long, and the plan says to go back then.
    HeldTooLong(HoldReason),
    /// A task failed.
    TaskFailed(StageTask),
    /// An operator said so.
    Aborted,
}

impl RolloutEnding {
    /// The word for it in the API and in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::RolledBack(_) => "rolled_back",
            Self::HeldTooLong(_) => "held_too_long",
            Self::TaskFailed(_) => "task_failed",
            Self::Aborted => "aborted",
        }
    }

    /// What it was founded on, in one word.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::Completed => "plan",
            Self::RolledBack(cause) => cause.word(),
            Self::HeldTooLong(hold) => hold.word(),
            Self::TaskFailed(task) => task.label(),
            Self::Aborted => "operator",
        }
    }

    /// The words of every ending, each with every reason that it can have.
    pub fn words() -> impl Iterator<Item = (&'static str, &'static str)> {
        let single = [("completed", "plan"), ("aborted", "operator")].into_iter();
        let back = RollbackCause::ALL.into_iter().map(|cause| ("rolled_back", cause.word()));
        let held = HoldReason::WORDS.into_iter().map(|why| ("held_too_long", why));
        single.chain(back).chain(held).chain(StageTask::LABELS.into_iter().map(|task| ("task_failed", task)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Batch;
    use super::*;

    #[test]
    fn the_words_of_endings_are_complete() {
        let known: Vec<_> = RolloutEnding::words().collect();
        let of = |ending: RolloutEnding| (ending.word(), ending.why());
        let batch = Batch { first: 0, until: 1 };
        let tasks = [
            StageTask::Approval,
            StageTask::Webhook,
            StageTask::Smoke,
            StageTask::Drain(batch),
            StageTask::Upgrade(batch),
            StageTask::Verify(batch),
            StageTask::Join(batch),
            StageTask::Downgrade(batch),
            StageTask::Return(batch),
        ];
        let mut endings = vec![RolloutEnding::Completed, RolloutEnding::Aborted];
        endings.extend(RollbackCause::ALL.map(RolloutEnding::RolledBack));
        endings.extend(tasks.map(RolloutEnding::TaskFailed));
        let needed = HoldReason::NotEnoughData { judged: 1, needed: None };
        endings.extend([needed, HoldReason::Suspicion, HoldReason::BaselineUnhealthy].map(RolloutEnding::HeldTooLong));
        for ending in endings {
            assert!(known.contains(&of(ending)), "{ending:?}");
        }
    }
}
