//! What is counted of users for the guardrails of a rollout, and where.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{GuardrailMetrics, unknown_metric};
use crate::experiment::definition::{ExperimentSpec, counted_requests};
use crate::ledger::ledger_handle::LedgerHandle;
use crate::ledger::running_trials::RunningTrials;
use crate::problem::{Problem, ProblemKind};
use crate::rollout::judge::guardrail::Guardrail;
use crate::rollout::release::Release;
use crate::shared::per_arm::PerArm;
use crate::shared::probability::Probability;
use crate::shared::trial::RolloutTrials;
use crate::table::spec::experiment::{AssignmentSpec, ExperimentSubject};
use crate::table::{Name, Weight};

/// As many users are counted in a step at the most, some ten megabytes. Of more a fall that costs money was proved long
/// before.
const USERS_MAX: usize = 200_000;

/// Where users are counted.
#[derive(Clone, Debug, Default)]
pub struct GuardrailLedger {
    /// Says what was counted; none: nothing is.
    pub(crate) counts: Option<LedgerHandle>,
    /// Is told what is to be counted.
    pub(crate) trials: RunningTrials,
}

/// The counting of a rollout.
#[derive(Debug)]
pub(crate) struct GuardrailCounting {
    pub(crate) spec: Arc<ExperimentSpec>,
    /// When the ledger is asked next.
    pub(crate) next: Duration,
    /// Whether it has been asked, and has not answered.
    pub(crate) asked: bool,
}

impl GuardrailCounting {
    /// What a release counts of the two sides; none if it has no guardrails.
    ///
    /// # Errors
    /// The guardrails that name no metric.
    pub(crate) fn of(
        release: &Release,
        known: &GuardrailMetrics,
        subject: ExperimentSubject,
        arms: PerArm<Name>,
    ) -> Result<Option<Self>, Vec<Problem>> {
        let found = |(number, guardrail): (usize, &Arc<Guardrail>)| {
            let metric = known.get(&guardrail.metric).map(|metric| (**metric).clone());
            metric.ok_or_else(|| {
                let mismatch = unknown_metric(&guardrail.metric, known);
                mismatch.map(|found| found.at(format!("plan.guardrails[{number}]"), ProblemKind::Unknown))
            })
        };
        let (mut metrics, mut problems) = (Vec::new(), Vec::new());
        for found in (1..).zip(&*release.guardrails).map(found) {
            match found {
                Ok(metric) => metrics.push(metric),
                Err(problem) => problems.extend(problem),
            }
        }
        if !problems.is_empty() || metrics.is_empty() {
            return if problems.is_empty() { Ok(None) } else { Err(problems) };
        }
        let assignment = AssignmentSpec {
            name: subject.name().clone(),
            subject,
            arms,
            share: Weight::FULL,
            segment: None,
            layer: None,
            requests: counted_requests(&metrics),
        };
        let (assignment, alpha) = (Arc::new(assignment), Probability::FIVE_PER_CENT);
        let spec = Arc::new(ExperimentSpec { assignment, metrics, alpha, users_max: USERS_MAX });
        Ok(Some(Self { spec, next: Duration::ZERO, asked: false }))
    }

    /// What the workers are told of it.
    pub(crate) fn trials(&self, rollout: u64) -> RolloutTrials {
        let requests = self.spec.assignment.requests.clone();
        RolloutTrials { rollout, requests: Arc::new(requests) }
    }
}
