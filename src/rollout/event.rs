//! What a rollout does and how it ends, in words that are stored, shown and sent.

use serde::{Deserialize, Serialize};

use crate::table::Weight;

use super::judge::verdict::{Ground, Hold};
use super::stage::Task;

/// What is to be done now. The new state and the weight belong in one revision, before the task is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The candidate's new weight; the baseline gets the rest.
    pub weight: Option<Weight>,
    /// What is to be begun.
    pub task: Option<Task>,
    /// What has happened, for the record and those who want to know.
    pub happened: Happened,
}

impl Move {
    /// Something happened, and nothing is to be done.
    pub(super) fn only(happened: Happened) -> Self {
        Self { weight: None, task: None, happened }
    }

    /// A task is to be begun.
    pub(super) fn task(task: Task, happened: Happened) -> Self {
        Self { weight: None, task: Some(task), happened }
    }
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It began.
    Started,
    /// A stage began.
    Advanced {
        /// Its number.
        stage: usize,
        /// Why.
        cause: Cause,
    },
    /// A webhook that did not agree is asked again.
    AskedAgain,
    /// It waits for somebody.
    Paused(Pause),
    /// It is on its way back, which takes more than this move.
    TurnedBack(Ending),
    /// A stage of the way back began.
    WentBack {
        /// Its number.
        stage: usize,
    },
    /// A task of the way back failed; it waits for somebody.
    Stuck {
        /// The task.
        task: Task,
    },
    /// It ended.
    Finished(Ending),
}

/// Why a stage began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It is the first.
    Start,
    /// The judge has nothing against it.
    Verdict,
    /// The time of the stage before is over.
    Time,
    /// The task before is done.
    Task(Task),
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
    Held(Hold),
    /// Who was asked did not agree in time.
    NoAgreement(Task),
}

impl Pause {
    /// Whether a proof still turns it back. Not when somebody took the split into their own hands.
    #[must_use]
    pub fn leaves_the_judge_in_charge(self) -> bool {
        self != Self::Shifted
    }
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The candidate has everything.
    Completed,
    /// The candidate was proved worse.
    RolledBack(Ground),
    /// It was held for too long, and the plan says to go back then.
    HeldTooLong(Hold),
    /// A task failed.
    TaskFailed(Task),
    /// An operator said so.
    Aborted,
}

impl Ending {
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
}
