//! The error budget in the judge: it is noted before each tick, and holds a step while too little is left.

use super::spent_budget::SpentBudget;
use super::tick::Judge;

impl Judge {
    /// Notes that too little is left of the budget, or that there is enough again.
    pub(crate) fn note_budget(&mut self, spent: Option<SpentBudget>) {
        self.spent_budget = spent;
    }

    /// The budget that keeps the candidate from getting more.
    pub(crate) fn holding_budget(&self) -> Option<SpentBudget> {
        self.spent_budget.filter(|_| self.share.value() < 1.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Bake, CandidateShare, HoldReason, JudgeDecision, JudgeSettings};
    use super::*;
    use crate::table::Weight;

    #[test]
    fn a_spent_budget_holds_a_step_and_nothing_else() {
        let settings = JudgeSettings { requests_min: Some(0), ..JudgeSettings::default() };
        let share = |percent| CandidateShare::at(Weight::from_percent(percent).expect("a share"));
        let mut judge = Judge::new(settings, share(10.0), Duration::ZERO);
        let over = Bake::Over { ago: Duration::from_secs(60) };
        let hold = JudgeDecision::Hold { why: HoldReason::Budget, expired: false };
        let free = judge.decision(over);
        assert_ne!(free, hold);
        judge.note_budget(SpentBudget::of(Some(19.94), 20.0));
        let held = judge.decision(over);
        match free {
            JudgeDecision::Advance => assert_eq!(held, hold),
            // What is known less of comes first.
            JudgeDecision::Hold { .. } | JudgeDecision::RollBack(_) => assert_eq!(held, free),
        }
        let text = judge.findings().budget.map(|budget| budget.text());
        assert_eq!(text.as_deref(), Some("19.9 % of the error budget left, want 20 %"));
        judge.begin_step(share(100.0));
        assert_ne!(judge.decision(over), hold, "with all the traffic there is nothing to hold");
        assert_eq!(judge.findings().budget, None);
    }
}
