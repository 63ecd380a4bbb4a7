//! The commands that operators give to a rollout.

use std::time::Duration;

use super::event::{EventWord, Pause, RolloutEnding, RolloutEvent, StageCause, Transition};
use super::run::{Phase, Rollout};
use super::stage::{Stage, StageTask};

/// What an operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutCommand {
    /// Stay where it is.
    Pause,
    /// Go on: the stage begins again.
    Resume,
    /// Go on to the next stage without waiting for the rest of this one; also an approval.
    Promote,
    /// Go back.
    Abort,
    /// The split was changed by hand.
    Shifted,
}

/// Why a command cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is over.
    #[error("the rollout is over ({}); start another one", .0.word())]
    Over(RolloutEnding),
    /// It is on its way back.
    #[error("the rollout is on its way back; wait until it is there, or shift by hand")]
    OnItsWayBack,
    /// It waits already.
    #[error("the rollout is paused already; resume, promote or abort it")]
    PausedAlready,
    /// It does not wait.
    #[error("the rollout is not paused")]
    NotPaused,
    /// Something is being done that cannot be skipped.
    #[error("the rollout is busy ({}); wait until that is done, or abort it", .0.word())]
    Busy(StageTask),
}

impl Rollout {
    /// Follows a command.
    ///
    /// # Errors
    /// When it does not fit the phase; nothing has changed then.
    pub fn command(&mut self, now: Duration, command: RolloutCommand) -> Result<Transition, Unfit> {
        match (self.phase(), command) {
            (Phase::Finished { ending, .. }, _) => Err(Unfit::Over(ending)),
            (Phase::Back(back), RolloutCommand::Resume) if back.stuck => self.unstuck(now),
            (Phase::Back(_), RolloutCommand::Shifted) => Ok(self.end_by_hand(now)),
            (Phase::Back(_), _) => Err(Unfit::OnItsWayBack),
            (Phase::Going { stage, .. } | Phase::Paused { stage, .. }, RolloutCommand::Abort) => {
                Ok(self.turn_back(stage, now, RolloutEnding::Aborted))
            }
            // A task that needs no agreement has to be done: an endpoint that was drained must not serve unverified.
            (Phase::Going { stage, .. } | Phase::Paused { stage, .. }, RolloutCommand::Promote) => {
                match self.stages().get(stage) {
                    Some(Stage::Do(task)) if !task.asks() => Err(Unfit::Busy(*task)),
                    _ => {
                        self.accept_findings();
                        Ok(self.next(stage, now, StageCause::Promoted))
                    }
                }
            }
            (Phase::Going { stage, .. } | Phase::Paused { stage, .. }, RolloutCommand::Shifted) => {
                Ok(self.pause_at(stage, now, Pause::Shifted))
            }
            (Phase::Going { stage, .. }, RolloutCommand::Pause) => Ok(self.pause_at(stage, now, Pause::Operator)),
            (Phase::Paused { .. }, RolloutCommand::Pause) => Err(Unfit::PausedAlready),
            (Phase::Paused { stage, .. }, RolloutCommand::Resume) => Ok(self.enter(stage, now, StageCause::Resumed)),
            (Phase::Going { .. }, RolloutCommand::Resume) => Err(Unfit::NotPaused),
        }
    }

    fn unstuck(&mut self, now: Duration) -> Result<Transition, Unfit> {
        self.free();
        self.resumed(now).ok_or(Unfit::NotPaused)
    }

    /// The split was shifted by hand on the way back: the rest of it is the operator's.
    fn end_by_hand(&mut self, now: Duration) -> Transition {
        self.finish(now, RolloutEnding::Aborted)
    }
}

/// The words of the command line and of the API.
impl RolloutCommand {
    /// `pause`, `resume`, `promote`, `abort`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "pause" => Some(Self::Pause),
            "resume" => Some(Self::Resume),
            "promote" => Some(Self::Promote),
            "abort" => Some(Self::Abort),
            _ => None,
        }
    }
}

/// What an operator may be told has happened.
impl RolloutEvent {
    /// The word for it, unless it has to wait for an operator.
    #[must_use]
    pub fn word(self) -> EventWord {
        match self {
            Self::Started => EventWord::Started,
            Self::Advanced { cause: StageCause::Task(_) | StageCause::Time | StageCause::Restart, .. }
            | Self::AskedAgain => EventWord::Progress,
            Self::Advanced { .. } => EventWord::Advanced,
            Self::Paused(Pause::Held(_)) => EventWord::Held,
            Self::Paused(_) => EventWord::Paused,
            Self::TurnedBack(_) | Self::RolledBackStep { .. } => EventWord::RollingBack,
            Self::RollbackBlocked { .. } => EventWord::Stuck,
            Self::Finished(RolloutEnding::Completed) => EventWord::Finished,
            Self::Finished(_) => EventWord::RolledBack,
        }
    }
}

impl Transition {
    /// The word for it, unless it has to wait for an operator: traffic that moves up is more than a part of a step,
    /// and the end of a bake that only begins a task is no more.
    #[must_use]
    pub fn word(&self) -> EventWord {
        match (self.event, self.event.word()) {
            (RolloutEvent::Advanced { cause: StageCause::Restart, .. }, word) => word,
            (RolloutEvent::Advanced { cause: StageCause::Verdict, .. }, _)
                if self.weight.is_none() && self.task.is_some() =>
            {
                EventWord::Progress
            }
            (RolloutEvent::Advanced { .. }, EventWord::Progress) if self.weight.is_some() => EventWord::Advanced,
            (_, word) => word,
        }
    }
}
