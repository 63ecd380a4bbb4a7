//! The asker of the ledger: what users of both sides did, for guardrails.
//!
//! The ledger counts them, as it counts those of experiments, a trial for each step. It is told of a step before the
//! table with the step's split is in force, and asked about once a second: an answer walks over all users of the step.
//! Between two answers nothing is known that could turn a version back, and a second is short beside the time that it
//! takes users to buy. The trials are in memory only: after a restart a step begins again, with a new judge.

use std::sync::Arc;
use std::time::Duration;

use super::active::ActiveRollout;
use super::controller::RolloutController;
use super::guardrail_counting::{GuardrailCounting, GuardrailLedger};
use super::released_rule::MovedFlag;
use super::task_answer::TaskAnswer;
use crate::config::compares_nothing;
use crate::experiment::experiment_result::ExperimentCounts;
use crate::experiment::harm;
use crate::experiment::harm::GuardrailTerms;
use crate::problem::{Problem, ProblemKind, chain};
use crate::rollout::judge::CandidateShare;
use crate::rollout::release::Release;
use crate::shared::per_arm::PerArm;
use crate::shared::trial_key::TrialKey;
use crate::table::spec::experiment::ExperimentSubject;
use crate::table::{Name, Service, Weight};

/// Time between two questions to the ledger.
const LOOK: Duration = Duration::from_secs(1);

impl ActiveRollout {
    /// Tells the ledger of the step with this weight, before the step begins.
    pub(crate) fn count_users(&self, weight: Weight, ledger: &GuardrailLedger) {
        let Some(counting) = &self.counting else { return };
        if weight > Weight::ZERO && weight < Weight::FULL {
            ledger.trials.begin_rollout(self.saved.id, weight.slots(), Arc::clone(&counting.spec));
        } else {
            ledger.trials.end_rollout(self.saved.id);
        }
    }

    /// Folds in what was counted in the step with these slots of the candidate.
    fn users_counted(&mut self, now: Duration, slots: u32, counts: Option<&ExperimentCounts>) {
        if let Some(counting) = &mut self.counting {
            counting.asked = false;
        }
        let Some((counts, weight)) = counts.zip(Weight::from_slots(slots)) else { return };
        let settings = *self.rollout.plan().judge();
        let terms = GuardrailTerms { share: CandidateShare::at(weight), settings: &settings };
        let found = harm::findings(&self.release.guardrails, counts, terms);
        self.rollout.guardrails_found(now, &found);
    }
}

impl RolloutController {
    /// What a release of these services, or of a flag that they list, counts of its two sides.
    ///
    /// # Errors
    /// The guardrails that name no metric, and that nothing is compared.
    pub(crate) fn counting(
        &self,
        release: &Release,
        services: &[&Service],
        flags: &[MovedFlag],
        sides: PerArm<&Name>,
    ) -> Result<Option<GuardrailCounting>, Vec<Problem>> {
        let first = services.first().map(|service| service.spec.name.clone());
        let subject = match (flags.first(), first) {
            (Some(moved), _) => ExperimentSubject::Flag(moved.released.flag.clone()),
            (None, Some(service)) => ExperimentSubject::Service(service),
            (None, None) => return Ok(None),
        };
        let known = self.deps.known.borrow().metrics.clone();
        let counting = GuardrailCounting::of(release, &known, subject, sides.map(|name| (*name).clone()))?;
        match compares_nothing(release, services.iter().map(|service| &*service.spec)) {
            Some(mismatch) => Err(vec![mismatch.at("plan.guardrails", ProblemKind::Conflict)]),
            None => Ok(counting),
        }
    }

    /// Asks the ledger what was counted for a rollout, if it is time.
    pub(crate) fn ask_ledger(&mut self, id: u64) {
        let (now, ledger) = (self.now(), self.deps.guardrails.counts.clone());
        let (Some(run), Some(ledger)) = (self.running.get_mut(&id), ledger) else { return };
        let slots = run.rollout.weight().slots();
        let Some(counting) = run.counting.as_mut().filter(|counting| !counting.asked && now >= counting.next) else {
            return;
        };
        (counting.asked, counting.next) = (true, now + LOOK);
        let answers = self.answers.0.clone();
        tokio::spawn(async move {
            let counted = ledger.counts_of(&TrialKey::Rollout { id, slots }).await;
            let counts = counted.unwrap_or_else(|error| {
                tracing::warn!(rollout = id, error = chain(&error), "the users of a rollout cannot be counted");
                None
            });
            let counts = counts.map(|trial| Box::new(trial.counts));
            // The controller may be gone.
            answers.send(TaskAnswer::Users { id, slots, counts }).await.ok();
        });
    }

    /// Passes on what was counted.
    pub(crate) fn users_counted(&mut self, id: u64, slots: u32, counts: Option<&ExperimentCounts>) {
        let now = self.now();
        if let Some(run) = self.running.get_mut(&id) {
            run.users_counted(now, slots, counts);
        }
    }
}
