//! What the judge does with guardrails: which it watches, what they say, and which of them is told.

use std::sync::Arc;
use std::time::Duration;

use super::guardrail::{Guardrail, GuardrailFinding, GuardrailStanding, GuardrailWatch};
use super::tick::Judge;

impl Judge {
    /// Watches these guardrails from now on.
    pub fn watch_guardrails(&mut self, guardrails: impl Iterator<Item = Arc<Guardrail>>) {
        self.guardrails = guardrails.map(|guardrail| GuardrailWatch::new(guardrail, self.now)).collect();
    }

    /// The guardrails that are watched.
    pub fn guardrails(&self) -> impl Iterator<Item = &Arc<Guardrail>> {
        self.guardrails.iter().map(|watch| &watch.guardrail)
    }

    /// Notes what was found of the guardrails, in their order; what was found under another share is of another step.
    pub fn guardrails_found(&mut self, now: Duration, found: &[GuardrailFinding]) {
        let of_this_step = |found: &&GuardrailFinding| found.share == self.share;
        for (watch, found) in self.guardrails.iter_mut().zip(found.iter().filter(of_this_step)) {
            watch.note(now, found.clone());
        }
    }

    /// What is known of each guardrail in this step; nothing where there is nothing to compare.
    #[must_use]
    pub fn guardrail_findings(&self) -> Vec<GuardrailFinding> {
        self.guardrails.iter().filter_map(|watch| self.guardrail_finding(watch)).collect()
    }

    /// What is known of one.
    pub(crate) fn guardrail_finding(&self, watch: &GuardrailWatch) -> Option<GuardrailFinding> {
        let unknown = || GuardrailFinding::unknown(&watch.guardrail, self.share, self.settings.ln_guardrail());
        self.share.compares().then(|| watch.found.clone().unwrap_or_else(unknown))
    }

    /// The guardrail that has turned the candidate back.
    pub(crate) fn guardrail_proof(&self) -> Option<&GuardrailWatch> {
        self.guardrail_that(|standing| standing == Some(GuardrailStanding::Worse))
    }

    /// The first guardrail that speaks against the candidate.
    pub(crate) fn guardrail_objection(&self) -> Option<&GuardrailWatch> {
        self.guardrail_that(|standing| {
            matches!(standing, Some(GuardrailStanding::Suspected | GuardrailStanding::Lopsided))
        })
    }

    /// The first guardrail that has too few users yet.
    pub(crate) fn guardrail_without_users(&self) -> Option<&GuardrailWatch> {
        self.guardrail_that(|standing| matches!(standing, None | Some(GuardrailStanding::TooFewUsers)))
    }

    /// The guardrail that a sentence is about, if it is about one.
    pub(crate) fn leading_guardrail(&self) -> Option<&GuardrailWatch> {
        self.guardrail_proof().or_else(|| self.guardrail_objection()).or_else(|| self.guardrail_without_users())
    }

    fn guardrail_that(&self, holds: impl Fn(Option<GuardrailStanding>) -> bool) -> Option<&GuardrailWatch> {
        self.guardrails.iter().find(|watch| self.share.compares() && holds(watch.standing()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::evidence::{CandidateShare, EpochCounts, Evidence, OutcomeCounts};
    use super::super::guardrail::{ArmNumber, GuardrailArm, Tolerance};
    use super::super::judge_settings::JudgeSettings;
    use super::super::per_version::PerVersion;
    use super::super::response_rules::ResponseRules;
    use super::super::verdict::{Bake, HoldReason, JudgeDecision, Names, RollbackCause};
    use super::*;

    const NAMES: Names<'static> = Names { service: "shop", candidate: "v2", baseline: "v1" };

    fn share(value: f64) -> CandidateShare {
        CandidateShare::new(value).unwrap()
    }

    /// A judge who has nothing else against the candidate, in a step at 50 %.
    fn judge() -> Judge {
        let settings = JudgeSettings {
            requests_min: Some(1),
            slower: None,
            responses: ResponseRules::OFF,
            guardrails: 1,
            ..JudgeSettings::default()
        };
        let mut judge = Judge::new(settings, share(0.5), Duration::ZERO);
        let guardrail =
            Guardrail { metric: "purchase".into(), tolerate: Tolerance::new(0.05).unwrap(), users_min: 100 };
        judge.watch_guardrails([Arc::new(guardrail)].into_iter());
        tick(&mut judge, 1);
        judge
    }

    fn tick(judge: &mut Judge, second: u64) {
        let mut counts = EpochCounts::none(judge.share);
        counts.outcomes = PerVersion { candidate: OutcomeCounts::of(10, 0), baseline: OutcomeCounts::of(10, 0) };
        judge.tick(Duration::from_secs(second), &Evidence { epochs: &[counts], ..Evidence::default() });
    }

    fn found(judge: &Judge, standing: GuardrailStanding, of: CandidateShare) -> GuardrailFinding {
        let arm = |users, count| GuardrailArm { users, number: ArmNumber::Conversions(count) };
        let unknown = GuardrailFinding::unknown(judge.guardrails().next().unwrap(), of, 9.0);
        GuardrailFinding {
            standing,
            arms: PerVersion { candidate: arm(1020, 41), baseline: arm(1003, 102) },
            ..unknown
        }
    }

    fn told(judge: &mut Judge, standing: GuardrailStanding) -> (JudgeDecision, String) {
        let found = found(judge, standing, judge.share);
        judge.guardrails_found(judge.now, &[found]);
        let verdict = judge.verdict(Bake::Over { ago: Duration::ZERO }, &NAMES);
        (verdict.decision, verdict.summary)
    }

    fn held(why: HoldReason) -> JudgeDecision {
        JudgeDecision::Hold { why, expired: false }
    }

    #[test]
    fn each_standing_has_its_consequence_and_its_sentence() {
        let mut judge = judge();
        let unknown = judge.verdict(Bake::Over { ago: Duration::ZERO }, &NAMES);
        assert_eq!(unknown.decision, held(HoldReason::NoGuardrailData));
        assert_eq!(unknown.summary, "holding shop v2: not enough users for guardrail purchase: 0 of 100 on v2");
        let numbers = "41 of 1,020 users (4 %) against 102 of 1,003 (10.2 %) on v1 (5 % worse is tolerated)";
        let (decision, text) = told(&mut judge, GuardrailStanding::Unharmed);
        assert_eq!(decision, JudgeDecision::Advance);
        assert!(text.starts_with("advanced shop v2: 0 of 10 requests failed (0 %)"), "{text}");
        assert!(text.ends_with(&format!("; guardrail purchase: {numbers}")), "{text}");
        let (decision, text) = told(&mut judge, GuardrailStanding::Suspected);
        assert_eq!(decision, held(HoldReason::Guardrail));
        assert_eq!(text, format!("holding shop v2: 10 <= E: guardrail purchase: {numbers}"));
        let (decision, text) = told(&mut judge, GuardrailStanding::Lopsided);
        assert_eq!(decision, held(HoldReason::Guardrail));
        assert!(text.contains("guardrail purchase cannot be compared: 1,020 users on v2 and 1,003 on v1"), "{text}");
        assert_eq!(told(&mut judge, GuardrailStanding::TooFewUsers).0, held(HoldReason::NoGuardrailData));
        let (decision, text) = told(&mut judge, GuardrailStanding::Worse);
        assert_eq!(decision, JudgeDecision::RollBack(RollbackCause::Guardrail));
        assert_eq!(
            text,
            format!("rolled back shop v2: guardrail purchase: {numbers}, odds of chance below 1 in 1,000")
        );
        // A proof does not wait for the bake.
        assert_eq!(judge.decision(Bake::Running), JudgeDecision::RollBack(RollbackCause::Guardrail));
    }

    #[test]
    fn a_step_knows_nothing_of_the_one_before_and_one_at_100_asks_nothing() {
        let mut judge = judge();
        assert_eq!(told(&mut judge, GuardrailStanding::Unharmed).0, JudgeDecision::Advance);
        judge.begin_step(share(0.8));
        tick(&mut judge, 2);
        let late = found(&judge, GuardrailStanding::Worse, share(0.5));
        judge.guardrails_found(judge.now, &[late]);
        let over = Bake::Over { ago: Duration::ZERO };
        assert_eq!(judge.decision(over), held(HoldReason::NoGuardrailData));
        judge.begin_step(share(1.0));
        tick(&mut judge, 3);
        assert!(judge.guardrail_findings().is_empty());
        let decision = judge.decision(over);
        assert!(!matches!(decision, JudgeDecision::RollBack(_)), "{decision:?}");
        assert!(judge.leading_guardrail().is_none());
    }

    #[test]
    fn a_hold_for_too_few_users_lasts_as_long_as_users_come() {
        let mut judge = judge();
        let max = judge.settings().hold_max;
        let left = |judge: &Judge| {
            let ago = judge.now.saturating_sub(Duration::from_secs(1));
            judge.hold_left(HoldReason::NoGuardrailData, Bake::Over { ago })
        };
        let mut users = found(&judge, GuardrailStanding::TooFewUsers, judge.share);
        let long = max.as_secs() * 2;
        tick(&mut judge, long);
        users.arms.candidate.users += 1;
        judge.guardrails_found(judge.now, &[users.clone()]);
        assert_eq!(left(&judge), Some(max));
        tick(&mut judge, long + 60);
        judge.guardrails_found(judge.now, &[users]);
        assert_eq!(left(&judge), Some(max - Duration::from_secs(60)));
    }
}
