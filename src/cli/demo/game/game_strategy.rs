//! What can be played: by hand, or by the steps of a strategy. Pure.

use serde_json::{Value, json};

/// The flag that the game releases.
pub(crate) const GAME_FLAG: &str = "game-release";

/// How many machines a rolling release upgrades, one after the other.
pub(crate) const MACHINES: usize = 4;

/// How v2 comes to the users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GameStrategy {
    /// As the player likes, by the ordinary API.
    Hand,
    /// More and more of the users.
    Canary,
    /// All at once.
    BlueGreen,
    /// Machine by machine.
    Rolling,
    /// The code of v2 is in v1 already, and a flag turns it on.
    Flag,
}

impl GameStrategy {
    /// All of them, as they are shown.
    pub(crate) const ALL: [Self; 5] = [Self::Hand, Self::Canary, Self::BlueGreen, Self::Rolling, Self::Flag];

    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Hand => "hand",
            Self::Canary => "canary",
            Self::BlueGreen => "blue_green",
            Self::Rolling => "rolling",
            Self::Flag => "flag",
        }
    }

    /// The strategy of that word.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strategy| strategy.word() == word)
    }

    /// What it is, in a sentence.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Hand => "You move the split yourself, as far and as fast as you like.",
            Self::Canary => "10 % of the users, then half, then all; you say when.",
            Self::BlueGreen => "All users in one swap, and all of them back in one.",
            Self::Rolling => "Four machines, upgraded one after the other; you say when.",
            Self::Flag => "v1 has the code of v2 already; a flag turns it on for 10 %, half, all.",
        }
    }

    /// The service that is released.
    pub(crate) fn service(self) -> &'static str {
        match self {
            Self::Hand | Self::Canary | Self::Flag => "game",
            Self::BlueGreen => "game-blue-green",
            Self::Rolling => "game-rolling",
        }
    }

    /// The host that its users ask for.
    pub(crate) fn host(self) -> &'static str {
        match self {
            Self::Hand | Self::Canary | Self::Flag => "game.localhost",
            Self::BlueGreen => "game-blue-green.localhost",
            Self::Rolling => "game-rolling.localhost",
        }
    }

    /// The shares of v2, in per cent, that the player goes through.
    pub(crate) fn steps(self) -> &'static [u8] {
        match self {
            Self::Hand => &[],
            Self::Canary | Self::Flag => &[10, 50, 100],
            Self::BlueGreen => &[100],
            Self::Rolling => &[25, 50, 75, 100],
        }
    }

    /// The command that does what a step to this share does.
    pub(crate) fn command(self, share: u8) -> String {
        let (service, rest) = (self.service(), 100 - share.min(100));
        match self {
            Self::Hand | Self::Canary => format!("pointsman shift {service} v1={rest} v2={share}"),
            Self::BlueGreen => format!("pointsman flip {service} {}", if share == 0 { "v1" } else { "v2" }),
            Self::Rolling if share == 0 => format!("pointsman flip {service} v1"),
            Self::Rolling => format!("pointsman drain {service} v1 ENDPOINT, and v2 on that machine"),
            Self::Flag => format!("pointsman flag set {GAME_FLAG} on={share},off={rest}"),
        }
    }

    /// The same release as a rollout that judges itself, for `POST /v1/rollouts`. Its steps are watched for seconds
    /// where they take minutes in earnest, and a tenth of the users has to be enough.
    pub(crate) fn judged(self) -> Value {
        let judge = json!({ "warm_up": "1s", "tolerate_burst": "0s", "requests_min": 20 });
        let mut plan = json!({ "on_hold": "roll_back", "hold_max": "15s", "judge": judge });
        let more = match self {
            Self::Hand | Self::Canary | Self::Flag => {
                json!({ "strategy": "canary", "steps": [10, 50, 100], "bake": "5s", "watch": "6s" })
            }
            Self::BlueGreen => json!({ "strategy": "blue_green", "watch": "10s", "keep": "0s" }),
            Self::Rolling => {
                json!({ "strategy": "rolling", "batch": 1, "watch": "4s", "drain_timeout": "2s", "verify_timeout": "5s" })
            }
        };
        if let (Some(plan), Value::Object(more)) = (plan.as_object_mut(), more) {
            plan.extend(more);
        }
        let reason = "the judge's turn";
        match self {
            Self::Flag => json!({ "flag": GAME_FLAG, "to": "on", "plan": plan, "reason": reason }),
            Self::Hand | Self::Canary | Self::BlueGreen | Self::Rolling => {
                json!({ "service": self.service(), "to": "v2", "plan": plan, "reason": reason })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_grow_and_end_with_all_users() {
        for strategy in GameStrategy::ALL {
            let steps = strategy.steps();
            assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{strategy:?}");
            assert!(
                steps.is_empty() == (strategy == GameStrategy::Hand) && steps.last().is_none_or(|last| *last == 100)
            );
            assert_eq!(GameStrategy::of_word(strategy.word()), Some(strategy));
            assert!(!strategy.sentence().is_empty() && strategy.host().starts_with(strategy.service()));
        }
        assert_eq!(GameStrategy::Rolling.steps().len(), MACHINES);
    }

    #[test]
    fn the_judge_releases_the_same_thing() {
        for strategy in GameStrategy::ALL {
            let body = strategy.judged();
            let target = if strategy == GameStrategy::Flag { &body["flag"] } else { &body["service"] };
            let wanted = if strategy == GameStrategy::Flag { GAME_FLAG } else { strategy.service() };
            assert_eq!(target, wanted);
            assert_eq!(body["plan"]["judge"]["requests_min"], 20);
        }
        assert_eq!(GameStrategy::Hand.judged()["plan"]["steps"], json!([10, 50, 100]));
        assert_eq!(GameStrategy::Rolling.judged()["plan"]["strategy"], "rolling");
    }

    #[test]
    fn commands_say_what_a_step_does() {
        assert_eq!(GameStrategy::Canary.command(10), "pointsman shift game v1=90 v2=10");
        assert_eq!(GameStrategy::BlueGreen.command(0), "pointsman flip game-blue-green v1");
        assert_eq!(GameStrategy::Flag.command(50), "pointsman flag set game-release on=50,off=50");
    }
}
