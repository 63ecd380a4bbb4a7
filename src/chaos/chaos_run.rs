//! One execution of an experiment, as a state machine: baseline, injection, end.
//!
//! Who runs it asks four times a second what is to happen ([`ChaosRun::tick`]), keeps the fault in the table that
//! [`ChaosRun::in_force`] names, and says when something else ends it ([`ChaosRun::stop`]). Nothing here waits, reads a
//! clock or touches a table.
//!
//! What must stay true: a fault has an end from its first moment on. It stands in the fault itself, where workers read
//! it ([`FaultInForce::until_ms`]), so a control plane that stands still, or a caller that forgets to ask, does not
//! make it longer.

use std::sync::Arc;

use super::chaos_definition::ChaosDefinition;
use super::chaos_ending::{ChaosEndedBy, ChaosEnding, ChaosState};
use super::chaos_time::ChaosTime;
use super::judged_slices::JudgedSlices;
use crate::rollout::judge::verdict::RollbackCause;
use crate::rollout::judge::{HoldReason, JudgeDecision};
use crate::shared::fault_stats::{FaultSlice, FaultStats, SliceTotals};
use crate::table::fault_table::FaultInForce;

/// Of a service that fails more of its requests than this, in per mille, nothing can be learnt by failing more.
const BASELINE_FAILING_MAX: u64 = 50;

/// Fewer requests than this do not say that a service fails.
const BASELINE_REQUESTS_MIN: u64 = 50;

/// What a run is begun with.
#[derive(Clone, Debug)]
pub(crate) struct ChaosBegun {
    /// Its number: users are drawn anew for each.
    pub id: u64,
    /// What is executed.
    pub definition: Arc<ChaosDefinition>,
    /// Whether users of the service are known by keys, so that one is counted once.
    pub per_key: bool,
    /// How many workers count.
    pub workers: usize,
    /// Who began it.
    pub author: Option<String>,
    /// Why, in the words of who began it.
    pub reason: Option<String>,
}

/// What has happened in a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChaosEvent {
    /// The fault begins: it is to be in the table, or the command is to run.
    Injecting,
    /// It is over: the fault is to be gone, or the command to be undone.
    Ended,
}

/// A run.
#[derive(Debug)]
pub(crate) struct ChaosRun {
    pub(super) begun: ChaosBegun,
    pub(super) started: ChaosTime,
    pub(super) before: Arc<FaultStats>,
    pub(super) injection: Option<ChaosInjection>,
    in_force: Option<Arc<FaultInForce>>,
    pub(super) end: Option<ChaosEnd>,
}

/// The time in which the fault is done.
#[derive(Debug)]
pub(super) struct ChaosInjection {
    pub(super) since: ChaosTime,
    pub(super) until: ChaosTime,
    pub(super) stats: Arc<FaultStats>,
    pub(super) slices: JudgedSlices,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ChaosEnd {
    pub(super) at: ChaosTime,
    pub(super) ending: ChaosEnding,
    pub(super) by: ChaosEndedBy,
    /// What proved it, if the judge did.
    pub(super) cause: Option<RollbackCause>,
    /// Why nothing is proved either way, if the judge says so.
    pub(super) hold: Option<HoldReason>,
    /// What else is known of why.
    pub(super) why: Option<String>,
}

/// What was counted of both slices, at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct PerSlice {
    pub(super) fault: SliceTotals,
    pub(super) control: SliceTotals,
}

impl ChaosRun {
    /// A run that begins now: with its baseline, or with the fault if it has none.
    #[must_use]
    pub(crate) fn start(begun: ChaosBegun, now: ChaosTime) -> Self {
        let before = Arc::new(stats(&begun));
        let mut run = Self { begun, started: now, before, injection: None, in_force: None, end: None };
        if run.begun.definition.baseline.is_zero() {
            run.inject(now);
        } else {
            run.in_force = Some(run.fault(now, &run.before, false));
        }
        run
    }

    /// Its number.
    #[must_use]
    pub(crate) fn id(&self) -> u64 {
        self.begun.id
    }

    /// What it executes.
    #[must_use]
    pub(crate) fn definition(&self) -> &Arc<ChaosDefinition> {
        &self.begun.definition
    }

    /// Where it is.
    #[must_use]
    pub(crate) fn state(&self) -> ChaosState {
        match (&self.injection, &self.end) {
            (_, Some(_)) => ChaosState::Ended,
            (Some(_), None) => ChaosState::Injecting,
            (None, None) => ChaosState::Baseline,
        }
    }

    /// The fault that the table must have now; none once it has ended. Another one than before is another pointer.
    #[must_use]
    pub(crate) fn in_force(&self) -> Option<&Arc<FaultInForce>> {
        self.in_force.as_ref()
    }

    /// Goes on; to be called four times a second.
    pub(crate) fn tick(&mut self, now: ChaosTime) -> Option<ChaosEvent> {
        if self.end.is_some() {
            return None;
        }
        let Some(injection) = &mut self.injection else {
            let begins = self.started.later(self.begun.definition.baseline);
            return (now.ms >= begins.ms).then(|| self.after_baseline(now));
        };
        injection.slices.tick(now);
        let is_over = now.ms >= injection.until.ms;
        let end = ChaosEnd::judged(now, injection.slices.decision(is_over));
        let has_failed = self.begun.definition.stop_when.failed_requests.is_some_and(|most| self.excess() >= most);
        match end {
            end if end.by == ChaosEndedBy::Verdict => Some(self.end_with(end)),
            _ if has_failed => self.stop(now, ChaosEndedBy::FailedRequests, None),
            end => is_over.then(|| self.end_with(end)),
        }
    }

    /// Ends it now, if it has not ended. `why` is told to people.
    pub(crate) fn stop(&mut self, now: ChaosTime, by: ChaosEndedBy, why: Option<String>) -> Option<ChaosEvent> {
        if self.end.is_some() {
            return None;
        }
        let ending = by.ending(self.state());
        Some(self.end_with(ChaosEnd { at: now, ending, by, cause: None, hold: None, why }))
    }

    /// How many more requests of the fault slice have failed than of the control slice; of a command than would have by
    /// the rate of the baseline.
    pub(super) fn excess(&self) -> u64 {
        let Some(injection) = &self.injection else { return 0 };
        let fault = injection.stats.totals(FaultSlice::Fault);
        let usual = if self.begun.definition.command().is_some() {
            let SliceTotals { requests, failed, .. } = self.before.totals(FaultSlice::Fault);
            let usual = u128::from(failed) * u128::from(fault.requests) / u128::from(requests.max(1));
            u64::try_from(usual).unwrap_or(u64::MAX)
        } else {
            injection.stats.totals(FaultSlice::Control).failed
        };
        fault.failed.saturating_sub(usual)
    }

    /// What both slices did before the fault.
    pub(super) fn before(&self) -> SliceTotals {
        let [fault, control] = FaultSlice::ALL.map(|slice| self.before.totals(slice));
        SliceTotals {
            requests: fault.requests + control.requests,
            failed: fault.failed + control.failed,
            injected: fault.injected + control.injected,
            users: fault.users + control.users,
        }
    }

    fn after_baseline(&mut self, now: ChaosTime) -> ChaosEvent {
        let SliceTotals { requests, failed, .. } = self.before();
        if requests >= BASELINE_REQUESTS_MIN && failed * 1_000 > requests * BASELINE_FAILING_MAX {
            let why = format!("{failed} of {requests} requests failed before anything was done");
            let (ending, by) = (ChaosEnding::NotEnoughData, ChaosEndedBy::Steady);
            return self.end_with(ChaosEnd { at: now, ending, by, cause: None, hold: None, why: Some(why) });
        }
        self.inject(now)
    }

    fn inject(&mut self, now: ChaosTime) -> ChaosEvent {
        let stats = Arc::new(stats(&self.begun));
        let definition = &self.begun.definition;
        let slices = JudgedSlices::new(definition.judge(self.begun.per_key), &self.before, Arc::clone(&stats), now);
        self.in_force = Some(self.fault(now, &stats, true));
        self.injection = Some(ChaosInjection { since: now, until: now.later(definition.duration), stats, slices });
        ChaosEvent::Injecting
    }

    fn fault(&self, now: ChaosTime, stats: &Arc<FaultStats>, injecting: bool) -> Arc<FaultInForce> {
        let definition = &self.begun.definition;
        let lasts = if injecting { definition.duration } else { definition.took() };
        Arc::new(FaultInForce {
            run: self.begun.id,
            experiment: definition.name.clone(),
            target: definition.target.clone(),
            kind: definition.kind(),
            until_ms: now.later(lasts).ms,
            injecting,
            stats: Arc::clone(stats),
        })
    }

    fn end_with(&mut self, end: ChaosEnd) -> ChaosEvent {
        self.in_force = None;
        self.end = Some(end);
        ChaosEvent::Ended
    }
}

impl ChaosEnd {
    /// What follows from a decision of the judge, now or at the end of the time.
    fn judged(at: ChaosTime, decision: JudgeDecision) -> Self {
        let none = Self { at, ending: ChaosEnding::Held, by: ChaosEndedBy::Time, cause: None, hold: None, why: None };
        match decision {
            JudgeDecision::RollBack(cause) => {
                Self { ending: ChaosEnding::Broken, by: ChaosEndedBy::Verdict, cause: Some(cause), ..none }
            }
            JudgeDecision::Hold { why, .. } => Self { ending: ChaosEnding::NotEnoughData, hold: Some(why), ..none },
            JudgeDecision::Advance => none,
        }
    }
}

fn stats(begun: &ChaosBegun) -> FaultStats {
    FaultStats::new(begun.definition.target.share.slots(), begun.per_key, begun.workers)
}

#[cfg(test)]
mod tests;
