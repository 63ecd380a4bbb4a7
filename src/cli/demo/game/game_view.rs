//! A game as it is told, in the words of the API.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::game_course::{GameCourse, GameEnding, GamePhase};
use super::game_strategy::GameStrategy;
use super::game_tally::{GameCounts, GameRecent, GameTally};
use super::{RATE, SLOW, USERS};
use crate::cli::demo::bug::Bug;

/// What can be played, for `GET /v1/demo`.
pub(crate) fn offer() -> Value {
    let strategies = GameStrategy::ALL.map(
        |strategy| json!({ "strategy": strategy.word(), "sentence": strategy.sentence(), "steps": strategy.steps() }),
    );
    json!({ "game": {
        "users": USERS,
        "requests_per_second": RATE,
        "slow_ms": SLOW.as_millis(),
        "strategies": strategies,
        "bugs": Bug::ALL.map(Bug::word),
    }})
}

/// How a release went for the users.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct GameScore {
    ending: &'static str,
    #[serde(flatten)]
    counts: GameCounts,
    /// From the first answer of v2 to the last one; none if users are still on it.
    seconds_until_back: Option<f64>,
    seconds: f64,
}

impl GameScore {
    /// The score of a release that ended like this, after this time.
    pub(crate) fn of(ending: GameEnding, tally: &GameTally, lasted: Duration) -> Self {
        let back = ending.is_back().then(|| tenths(tally.time_on_v2()));
        Self { ending: ending.word(), counts: tally.counts(), seconds_until_back: back, seconds: tenths(lasted) }
    }
}

/// Everything that is told of a game.
#[derive(Debug, Serialize)]
pub(crate) struct GameView {
    /// Of this process, from 1.
    pub(crate) game: u64,
    /// What is going on.
    pub(crate) phase: &'static str,
    /// How v2 comes to the users.
    pub(crate) strategy: &'static str,
    /// What is released.
    pub(crate) service: &'static str,
    /// What decides on the bug, on the users and on chance.
    pub(crate) seed: u32,
    /// The bug, once it may be known.
    pub(crate) bug: Option<BugView>,
    /// v2's share after the steps so far; by hand it is the split's.
    pub(crate) share: u8,
    /// What comes next.
    pub(crate) next: Option<NextStepView>,
    /// Of this phase.
    pub(crate) seconds: f64,
    /// How long it may still last.
    pub(crate) seconds_left: Option<f64>,
    /// What the users saw.
    pub(crate) counts: GameCounts,
    /// What they see now, of v1 and of v2.
    pub(crate) recent: [GameRecent; 2],
    /// A character for each user.
    pub(crate) dots: String,
    /// The number of the judge's rollout.
    pub(crate) rollout: Option<String>,
    /// What the judge's rollout says.
    pub(crate) says: Option<String>,
    /// Why a game ended early.
    pub(crate) trouble: Option<String>,
    /// The player's release, once it is over.
    pub(crate) hand: Option<GameScore>,
    /// The judge's.
    pub(crate) judge: Option<GameScore>,
}

/// A bug.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct BugView {
    bug: &'static str,
    sentence: &'static str,
}

/// What the next step does.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NextStepView {
    share: u8,
    command: String,
}

impl GameView {
    /// A game that stands like this, with nothing counted.
    pub(crate) fn of(course: &GameCourse, bug: Bug, now: Duration) -> Self {
        let (phase, strategy) = (course.phase(), course.strategy());
        let hidden =
            matches!(phase, GamePhase::Idle | GamePhase::Playing | GamePhase::Aftermath | GamePhase::GoingBack);
        let (lasted, left) = course.times(now);
        let quiet = GameRecent { per_second: 0.0, hurt_ratio: 0.0, p50_ms: None };
        let next = course.next_share().map(|share| NextStepView { share, command: strategy.command(share) });
        Self {
            game: 0,
            phase: phase.word(),
            strategy: strategy.word(),
            service: strategy.service(),
            seed: 0,
            bug: (!hidden).then(|| BugView { bug: bug.word(), sentence: bug.sentence() }),
            share: course.share(),
            next,
            seconds: tenths(lasted),
            seconds_left: left.map(tenths),
            counts: GameCounts::default(),
            recent: [quiet; 2],
            dots: String::new(),
            rollout: None,
            says: None,
            trouble: None,
            hand: None,
            judge: None,
        }
    }
}

/// Seconds with one decimal.
fn tenths(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::super::game_course::{GameDecision, GameTurn};
    use super::*;

    #[test]
    fn the_bug_is_hidden_until_the_player_has_decided() {
        let secs = Duration::from_secs;
        let mut course = GameCourse::begin(GameStrategy::Canary, secs(0));
        let told = |course: &GameCourse, now| serde_json::to_value(GameView::of(course, Bug::Leak, secs(now))).unwrap();
        let playing = told(&course, 2);
        assert_eq!((&playing["phase"], &playing["bug"]), (&json!("playing"), &Value::Null));
        assert_eq!(playing["next"], json!({ "share": 10, "command": "pointsman shift game v1=90 v2=10" }));
        assert_eq!((&playing["seconds"], &playing["seconds_left"]), (&json!(2.0), &json!(118.0)));
        course.decide(GameDecision::Ship, secs(3)).unwrap();
        assert_eq!(told(&course, 4)["bug"], Value::Null);
        assert_eq!(course.tick(secs(13)), Some(GameTurn::Replay(GameEnding::Shipped)));
        assert_eq!(told(&course, 13)["bug"]["bug"], "leak");
    }

    #[test]
    fn only_a_way_back_has_a_time() {
        let tally = GameTally::new(1, SLOW);
        let score = |ending| serde_json::to_value(GameScore::of(ending, &tally, Duration::from_millis(1_260))).unwrap();
        assert_eq!(score(GameEnding::RolledBack)["seconds_until_back"], 0.0);
        let shipped = score(GameEnding::Shipped);
        assert_eq!((&shipped["seconds_until_back"], &shipped["seconds"]), (&Value::Null, &json!(1.3)));
        assert_eq!(shipped["users_hurt"], 0);
    }

    #[test]
    fn the_offer_names_all_that_can_be_played() {
        let offer = offer();
        let words = |list: &Value, member: &str| {
            list.as_array().unwrap().iter().map(|one| one[member].clone()).collect::<Vec<_>>()
        };
        assert_eq!(
            words(&offer["game"]["strategies"], "strategy"),
            ["hand", "canary", "blue_green", "rolling", "flag"]
        );
        assert_eq!(offer["game"]["bugs"].as_array().unwrap().len(), 6);
    }
}
