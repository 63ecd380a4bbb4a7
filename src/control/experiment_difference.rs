//! The difference that a change makes to the users of an experiment.
//!
//! The arms are drawn by a salt of their own, so what a user has without the experiment says nothing about the arm: of
//! those whom a run takes in or lets go, the part that stays where it is follows from the weights alone. All shares are
//! of the users whom the experiment can take in: rules come before it, and it may ask for a segment.

use crate::shared::per_arm::{ExperimentArm, PerArm};
use crate::table::experiment_run::ExperimentRun;
use crate::table::{Name, Weight, Weights};

/// What a change does to one experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct ExperimentDifference {
    /// The experiment.
    pub experiment: Name,
    /// Its run before; none: it never ran.
    pub before: Option<ExperimentRun>,
    /// Its run after.
    pub after: ExperimentRun,
    /// How many users get another version or variant; none if that is not known, because the config does not have any
    /// more what they would get.
    pub moved: Option<Weight>,
    /// Why it has ended, if this ends it.
    pub end: Option<RunEnd>,
}

/// Why a run has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// It was stopped.
    Stopped,
    /// One of its arms was shipped.
    Shipped(ExperimentArm),
    /// The file says something else of what it compares.
    Redefined,
    /// The file does not have it any more.
    Removed,
    /// A revision was restored in which it did not run.
    RolledBack,
}

impl RunEnd {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Stopped,
        Self::Shipped(ExperimentArm::Control),
        Self::Shipped(ExperimentArm::Treatment),
        Self::Redefined,
        Self::Removed,
        Self::RolledBack,
    ];

    /// The word, as it is stored and shown.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Shipped(ExperimentArm::Control) => "shipped_control",
            Self::Shipped(ExperimentArm::Treatment) => "shipped_treatment",
            Self::Redefined => "redefined",
            Self::Removed => "removed",
            Self::RolledBack => "rolled_back",
        }
    }
}

impl ExperimentDifference {
    /// Whether it runs after the change, and did not before.
    #[must_use]
    pub fn is_start(&self) -> bool {
        self.after.running && self.before.as_ref().is_none_or(|before| before.since != self.after.since)
    }

    /// How many users it had before, and has after.
    #[must_use]
    pub fn shares(&self) -> (Weight, Weight) {
        (self.before.as_ref().map_or(Weight::ZERO, share), share(&self.after))
    }
}

/// How many users are in a run.
fn share(run: &ExperimentRun) -> Weight {
    if run.running { run.share } else { Weight::ZERO }
}

/// How many users get another version or variant when a run changes from `before` to `after`, and those outside of it
/// have `given`.
pub(crate) fn moved(before: Option<&ExperimentRun>, after: &ExperimentRun, moves: &RunMoves<'_>) -> Weight {
    let (from, to) = (before.map_or(0, |run| run.slots.count()), after.slots.count());
    let both = before.map_or(0, |run| from + to - run.slots.with(&after.slots).count());
    let (entering, leaving) = (to - both, from - both);
    let outside = Weight::FULL.slots() + both - from - to;
    let ratio = f64::from(entering) * moves.others(moves.given_before)
        + f64::from(leaving) * moves.others(moves.given_after)
        + f64::from(outside) * moves.outside;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "parts of all slots, rounded")]
    Weight::from_slots(ratio.round() as u32).unwrap_or(Weight::FULL)
}

/// What users have who are not in a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunMoves<'s> {
    /// The version or variant of each arm.
    pub(crate) arms: &'s PerArm<Name>,
    /// What the others have before the change.
    pub(crate) given_before: &'s Weights,
    /// What the others have after it.
    pub(crate) given_after: &'s Weights,
    /// The part of the others that get another one, 0 to 1.
    pub(crate) outside: f64,
}

impl RunMoves<'_> {
    /// The part of the users of both arms, a half in each, that would have something else by `given`.
    fn others(&self, given: &Weights) -> f64 {
        let PerArm { control, treatment } = self.arms;
        1.0 - (given.of(control).ratio() + given.of(treatment).ratio()) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::fixture::{name, weights};

    fn run(text: &str) -> ExperimentRun {
        ExperimentRun::parse(text).expect("a run")
    }

    #[test]
    fn those_move_whose_arm_is_not_what_they_have() {
        let (half, all) = ("on;since=1;share=50;of=0000000000000000;slots=0-50000", "0-100000");
        let whole = half.replace("0-50000", all).replace("share=50", "share=100");
        let other = half.replace("0-50000", "50000-100000");
        let ended = "off;since=1;share=50;of=0000000000000000";
        let arms = PerArm { control: name("v1"), treatment: name("v2") };
        let (v1, canary) = (weights("v1=100 v2=0"), weights("v1=90 v2=10"));
        let (third, v2) = (weights("v1=20 v2=20 v3=60"), weights("v1=0 v2=100"));
        for (before, after, given, wanted) in [
            (None, half, &v1, 25.0),
            (None, whole.as_str(), &canary, 50.0),
            (Some(half), &whole, &v1, 25.0),
            (Some(half), ended, &third, 40.0),
            (Some(half), half, &third, 0.0),
            (Some(half), &other, &v1, 50.0),
            (Some(ended), half, &v2, 25.0),
        ] {
            let moves = RunMoves { arms: &arms, given_before: given, given_after: given, outside: 0.0 };
            let before_run = before.map(run);
            let found = moved(before_run.as_ref(), &run(after), &moves).percent();
            assert_eq!(found, wanted, "{before:?} to {after}, others {given}");
        }
        // To ship: those in the other arm, and all others whom the split moves.
        let shipped = RunMoves { arms: &arms, given_before: &canary, given_after: &v2, outside: 0.9 };
        assert_eq!(moved(Some(&run(half)), &run(ended), &shipped).percent(), 25.0 + 45.0);
    }
}
