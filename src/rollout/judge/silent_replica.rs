//! Replicas of a fleet that do not say what they have counted.
//!
//! What was heard of them stays, and what is found of the others counts: a proof is not kept waiting. But the candidate
//! gets no more while it is not known what some of its users meet.

use std::sync::Arc;
use std::time::Duration;

use super::tick::Judge;

impl Judge {
    /// Notes which replicas are silent and why, in a few words; none: all are heard.
    pub(crate) fn note_silent(&mut self, silent: Option<Arc<str>>) {
        self.silent_since = silent.as_ref().map(|_| self.silent_since.unwrap_or(self.now));
        self.silent = silent;
    }

    /// For how long not all of them have been heard.
    pub(super) fn silent_for(&self) -> Duration {
        self.silent_since.map_or(Duration::ZERO, |since| self.now.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::{Bake, CandidateShare, EpochCounts, Evidence, HoldReason, JudgeDecision, JudgeSettings};
    use super::super::{Names, OutcomeCounts, PerVersion};
    use crate::table::Weight;

    #[test]
    fn a_silent_replica_holds_what_would_go_on_and_nothing_that_goes_back() {
        let settings =
            JudgeSettings { requests_min: Some(100), tolerate_burst: Duration::ZERO, ..JudgeSettings::default() };
        let share = CandidateShare::at(Weight::from_percent(50.0).expect("a share"));
        let mut judge = Judge::new(settings, share, Duration::ZERO);
        let tick = |judge: &mut Judge, seconds, failures| {
            let outcomes = PerVersion {
                candidate: OutcomeCounts::of(100_000, failures),
                baseline: OutcomeCounts::of(100_000, 10),
            };
            let epochs = [EpochCounts { outcomes, ..EpochCounts::none(share) }];
            judge.tick(Duration::from_secs(seconds), &Evidence { epochs: &epochs, ..Evidence::default() });
        };
        tick(&mut judge, 60, 10);
        let over = Bake::Over { ago: Duration::from_secs(1) };
        assert_eq!(judge.decision(over), JudgeDecision::Advance);
        judge.note_silent(Some("edge-2 has not said what it has counted for 4 s: no connection".into()));
        let hold = JudgeDecision::Hold { why: HoldReason::SilentReplica, expired: false };
        assert_eq!(judge.decision(over), hold);
        let late = Bake::Over { ago: settings.hold_max * 2 };
        assert_eq!(judge.decision(late), hold, "it counts from when it is silent, not from the end of the bake");
        let names = Names { service: "shop", candidate: "v2", baseline: "v1" };
        let said = judge.verdict(over, &names).summary;
        assert!(said.contains("edge-2 has not said what it has counted for 4 s: no connection"), "{said}");
        tick(&mut judge, 61, 50_000);
        assert!(matches!(judge.decision(over), JudgeDecision::RollBack(_)));
    }
}
