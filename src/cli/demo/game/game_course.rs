//! Where a game stands, and what follows when. Pure: time is an argument, what has to be done is the result.

use std::time::Duration;

use super::game_strategy::GameStrategy;

/// The longest release of a player.
pub(crate) const HAND_MAX: Duration = Duration::from_secs(120);

/// How long users come after the player has shipped: what breaks under the whole load breaks now.
pub(crate) const AFTERMATH: Duration = Duration::from_secs(10);

/// How long answers that were under way may take after the end.
const SETTLE: Duration = Duration::from_secs(1);

/// How long v1 is watched before the judge releases: there has to be something to compare with.
const WARM_UP: Duration = Duration::from_secs(3);

/// The longest release of the judge.
const JUDGE_MAX: Duration = Duration::from_secs(90);

/// How a release ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GameEnding {
    /// The player took it back.
    WentBack,
    /// The player gave it to all users.
    Shipped,
    /// The player did not decide.
    TimeUp,
    /// The judge took it back.
    RolledBack,
    /// The judge let it through.
    Completed,
    /// The judge did not decide.
    Undecided,
}

impl GameEnding {
    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::WentBack => "went_back",
            Self::Shipped => "shipped",
            Self::TimeUp => "time_up",
            Self::RolledBack => "rolled_back",
            Self::Completed => "completed",
            Self::Undecided => "undecided",
        }
    }

    /// Whether all users are on v1 again.
    pub(crate) fn is_back(self) -> bool {
        matches!(self, Self::WentBack | Self::RolledBack)
    }
}

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GamePhase {
    /// No game.
    Idle,
    /// The player releases.
    Playing,
    /// The player has shipped, and users come.
    Aftermath,
    /// The player's last answers.
    GoingBack,
    /// Users are on v1, before the judge releases.
    WarmingUp,
    /// The judge releases.
    Judged,
    /// The judge's last answers.
    Ending(GameEnding),
    /// Both releases are over.
    Over,
}

impl GamePhase {
    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Playing => "playing",
            Self::Aftermath => "aftermath",
            Self::GoingBack => "going_back",
            Self::WarmingUp => "warming_up",
            Self::Judged => "judged",
            Self::Ending(_) => "ending",
            Self::Over => "over",
        }
    }

    /// How long it lasts at the most.
    fn limit(self) -> Option<Duration> {
        match self {
            Self::Idle | Self::Over => None,
            Self::Playing => Some(HAND_MAX),
            Self::Aftermath => Some(AFTERMATH),
            Self::GoingBack | Self::Ending(_) => Some(SETTLE),
            Self::WarmingUp => Some(WARM_UP),
            Self::Judged => Some(JUDGE_MAX),
        }
    }
}

/// What the player wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GameDecision {
    /// The next step of the strategy.
    On,
    /// All users back to v1; that is the end.
    Back,
    /// All users to v2; that is the end.
    Ship,
}

/// What has to be done for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GameMove {
    /// v2 gets this many per cent.
    To(u8),
    /// v1 gets everything.
    Back,
}

/// What has to be done because time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GameTurn {
    /// The player's release is over; the judge's begins with users on v1.
    Replay(GameEnding),
    /// The judge releases.
    Judge,
    /// The judge has not decided: its rollout is taken back.
    GiveUp,
    /// The judge's release is over.
    Finish(GameEnding),
}

/// Why a decision is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GameRefusal {
    /// Nothing is released.
    #[error("no release of yours is under way, start a game first")]
    NotPlaying,
    /// A game is under way.
    #[error("a game is under way, end it first (DELETE /v1/demo/game)")]
    UnderWay,
    /// By hand there are no steps.
    #[error("by hand there are no steps, move the split by PUT /v1/services/game/split")]
    NoSteps,
    /// All users have it.
    #[error("all users are on v2, there is no further step: ship it or go back")]
    NoFurther,
}

/// A game.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GameCourse {
    phase: GamePhase,
    since: Duration,
    /// How many steps of the strategy are taken.
    steps: usize,
    strategy: GameStrategy,
}

impl GameCourse {
    /// No game.
    pub(crate) fn idle() -> Self {
        Self { phase: GamePhase::Idle, since: Duration::ZERO, steps: 0, strategy: GameStrategy::Hand }
    }

    /// The player's release begins.
    pub(crate) fn begin(strategy: GameStrategy, now: Duration) -> Self {
        Self { phase: GamePhase::Playing, since: now, steps: 0, strategy }
    }

    /// What is going on.
    pub(crate) fn phase(&self) -> GamePhase {
        self.phase
    }

    /// The strategy.
    pub(crate) fn strategy(&self) -> GameStrategy {
        self.strategy
    }

    /// Whether no release is under way.
    pub(crate) fn is_at_rest(&self) -> bool {
        matches!(self.phase, GamePhase::Idle | GamePhase::Over)
    }

    /// The share of v2 after the last step.
    pub(crate) fn share(&self) -> u8 {
        self.steps.checked_sub(1).and_then(|last| self.strategy.steps().get(last)).copied().unwrap_or(0)
    }

    /// The share of v2 after the next step, if there is one.
    pub(crate) fn next_share(&self) -> Option<u8> {
        let playing = self.phase == GamePhase::Playing;
        self.strategy.steps().get(self.steps).copied().filter(|_| playing)
    }

    /// How long this phase has lasted, and how long it still may.
    pub(crate) fn times(&self, now: Duration) -> (Duration, Option<Duration>) {
        let lasted = now.saturating_sub(self.since);
        (lasted, self.phase.limit().map(|limit| limit.saturating_sub(lasted)))
    }

    /// Takes a decision of the player.
    ///
    /// # Errors
    /// When it makes no sense now.
    pub(crate) fn decide(&mut self, decision: GameDecision, now: Duration) -> Result<GameMove, GameRefusal> {
        if self.phase != GamePhase::Playing {
            return Err(GameRefusal::NotPlaying);
        }
        match decision {
            GameDecision::On => {
                if self.strategy.steps().is_empty() {
                    return Err(GameRefusal::NoSteps);
                }
                let share = self.next_share().ok_or(GameRefusal::NoFurther)?;
                self.steps += 1;
                Ok(GameMove::To(share))
            }
            GameDecision::Back => {
                self.enter(GamePhase::GoingBack, now);
                Ok(GameMove::Back)
            }
            GameDecision::Ship => {
                self.steps = self.strategy.steps().len();
                self.enter(GamePhase::Aftermath, now);
                Ok(GameMove::To(100))
            }
        }
    }

    /// The judge's rollout has ended.
    pub(crate) fn judged(&mut self, ending: GameEnding, now: Duration) {
        if self.phase == GamePhase::Judged {
            self.enter(GamePhase::Ending(ending), now);
        }
    }

    /// What follows at `now`.
    pub(crate) fn tick(&mut self, now: Duration) -> Option<GameTurn> {
        let (_, left) = self.times(now);
        if !left?.is_zero() {
            return None;
        }
        let (next, turn) = match self.phase {
            GamePhase::Idle | GamePhase::Over => return None,
            GamePhase::Playing => (GamePhase::WarmingUp, GameTurn::Replay(GameEnding::TimeUp)),
            GamePhase::Aftermath => (GamePhase::WarmingUp, GameTurn::Replay(GameEnding::Shipped)),
            GamePhase::GoingBack => (GamePhase::WarmingUp, GameTurn::Replay(GameEnding::WentBack)),
            GamePhase::WarmingUp => (GamePhase::Judged, GameTurn::Judge),
            GamePhase::Judged => (GamePhase::Ending(GameEnding::Undecided), GameTurn::GiveUp),
            GamePhase::Ending(ending) => (GamePhase::Over, GameTurn::Finish(ending)),
        };
        self.enter(next, now);
        Some(turn)
    }

    fn enter(&mut self, phase: GamePhase, now: Duration) {
        (self.phase, self.since) = (phase, now);
    }

    /// Begins the present phase anew: what had to be done first took its time.
    pub(crate) fn restart_phase(&mut self, now: Duration) {
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_player_goes_on_and_back_and_then_the_judge_plays() {
        let mut game = GameCourse::begin(GameStrategy::Canary, secs(0));
        assert_eq!(game.decide(GameDecision::On, secs(1)), Ok(GameMove::To(10)));
        assert_eq!((game.share(), game.next_share()), (10, Some(50)));
        assert_eq!(game.decide(GameDecision::Back, secs(5)), Ok(GameMove::Back));
        assert_eq!(game.decide(GameDecision::On, secs(5)), Err(GameRefusal::NotPlaying));
        assert_eq!(game.tick(secs(5)), None);
        assert_eq!(game.tick(secs(6)), Some(GameTurn::Replay(GameEnding::WentBack)));
        assert_eq!((game.tick(secs(8)), game.tick(secs(9))), (None, Some(GameTurn::Judge)));
        game.judged(GameEnding::RolledBack, secs(12));
        assert_eq!(game.tick(secs(13)), Some(GameTurn::Finish(GameEnding::RolledBack)));
        assert!(game.is_at_rest() && game.tick(secs(1_000)).is_none());
    }

    #[test]
    fn steps_end_with_all_users_and_a_hand_has_none() {
        let mut game = GameCourse::begin(GameStrategy::BlueGreen, secs(0));
        assert_eq!(game.decide(GameDecision::On, secs(1)), Ok(GameMove::To(100)));
        assert_eq!(game.decide(GameDecision::On, secs(1)), Err(GameRefusal::NoFurther));
        let mut hand = GameCourse::begin(GameStrategy::Hand, secs(0));
        assert_eq!(hand.decide(GameDecision::On, secs(1)), Err(GameRefusal::NoSteps));
        assert_eq!(GameCourse::idle().decide(GameDecision::Back, secs(1)), Err(GameRefusal::NotPlaying));
    }

    #[test]
    fn what_is_shipped_is_watched_and_what_is_not_decided_ends() {
        let mut game = GameCourse::begin(GameStrategy::Flag, secs(0));
        assert_eq!(game.decide(GameDecision::Ship, secs(1)), Ok(GameMove::To(100)));
        assert_eq!((game.share(), game.tick(secs(10))), (100, None));
        assert_eq!(game.tick(secs(11)), Some(GameTurn::Replay(GameEnding::Shipped)));
        let mut game = GameCourse::begin(GameStrategy::Hand, secs(0));
        assert_eq!(game.tick(HAND_MAX), Some(GameTurn::Replay(GameEnding::TimeUp)));
        game.restart_phase(secs(122));
        assert_eq!(game.tick(secs(124)), None, "the way to the judge took two seconds");
        assert_eq!(game.tick(secs(125)), Some(GameTurn::Judge));
        assert_eq!(game.tick(secs(215)), Some(GameTurn::GiveUp));
        assert_eq!(game.tick(secs(216)), Some(GameTurn::Finish(GameEnding::Undecided)));
    }
}
