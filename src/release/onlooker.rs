//! A replica that does not lead its fleet shows the rollouts that the leader makes happen, as they are stored.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::advance::canary_end;
use super::controller::{KEPT, RolloutController};
use super::evidence_collector::EvidenceCollector;
use super::leader_telling::{LeaderTelling, Onlooked};
use super::replica_evidence::{EvidenceAnswer, EvidenceQuestion, NotCounted};
use super::restore::RestoreError;
use super::rollout_handle::{RolloutCall, RolloutError};
use super::saved::Saved;
use crate::fleet::fleet_handle::FleetHandle;
use crate::problem::chain;
use crate::stats::CanaryEnd;
use crate::table::Weight;

/// How often it looks at what is stored.
const LOOK: Duration = Duration::from_millis(500);

impl RolloutController {
    /// Shows what is stored until this replica leads, or `shutdown` ends.
    pub(super) async fn look_on(
        &mut self,
        fleet: &FleetHandle,
        mut shutdown: impl Future<Output = ()> + Unpin,
    ) -> ControlFlow<()> {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let elected = fleet.until_it_leads();
        tokio::pin!(elected);
        loop {
            tokio::select! {
                () = &mut shutdown => return ControlFlow::Break(()),
                () = &mut elected => return ControlFlow::Continue(()),
                Some(call) = self.inbox.recv() => self.answer_beside(fleet, call).await,
                _ = looks.tick() => self.look().await,
            }
        }
    }

    /// Reads what is stored, and has the workers count for the rollouts under way, so that what shields users of the
    /// leader shields those of this replica as well.
    async fn look(&mut self) {
        let stored = match self.deps.handle.rollouts(KEPT).await {
            Ok(stored) => stored,
            Err(error) => return tracing::debug!(error = chain(&error), "the leader's rollouts cannot be read"),
        };
        let read = |(id, text): (u64, String)| Some((id, serde_json::from_str::<Saved>(&text).ok()?));
        self.finished = stored.into_iter().filter_map(read).collect();
        let (table, now_ms) = (self.deps.published.load_full(), self.deps.clock.now_ms());
        let mut changed = BTreeSet::new();
        // Those that are over first: another one of their services may have begun since.
        let over = |id: &u64| self.finished.get(id).is_none_or(Saved::is_finished);
        for id in self.beside.keys().copied().filter(over).collect::<Vec<_>>() {
            let Some(Onlooked { run, .. }) = self.beside.remove(&id) else { continue };
            let end = self.finished.get(&id).map_or(CanaryEnd::Back, |saved| canary_end(saved.phase));
            run.count_out(&self.deps.registry, end);
            run.count_users(Weight::ZERO, &self.deps.guardrails);
            changed.extend(run.services.iter().cloned());
        }
        let begun = self.finished.iter().filter(|(id, saved)| !saved.is_finished() && !self.beside.contains_key(id));
        for (id, saved) in begun.map(|(id, saved)| (*id, saved.clone())).collect::<Vec<_>>() {
            // One whose service this replica does not have is told by its misfits.
            let mut run = match self.restored(saved, &table) {
                Ok(run) => run,
                Err(error) => {
                    self.not_counted.insert(id, NotCounted::of(&error));
                    continue;
                }
            };
            self.not_counted.remove(&id);
            run.collectors.iter_mut().for_each(EvidenceCollector::tell);
            run.count_in(&self.deps.registry);
            changed.extend(run.services.iter().cloned());
            self.beside.insert(id, Onlooked { run, telling: LeaderTelling::new() });
        }
        for (id, Onlooked { run, .. }) in &self.beside {
            run.sweep(now_ms);
            if let Some(saved) = self.finished.get(id) {
                run.count_users(saved.weight(), &self.deps.guardrails);
            }
        }
        if !changed.is_empty() {
            // The writer may have ended, and begins with what there is then.
            self.deps.handle.compile_again(changed).await.ok();
        }
    }

    /// What the workers have counted for the rollouts that the leader asks about.
    fn tell_leader(&mut self, question: &EvidenceQuestion) -> EvidenceAnswer {
        let (now, now_ms) = (self.now(), self.deps.clock.now_ms());
        let table = self.deps.published.load_full();
        let (mut rollouts, mut not_counted) = (Vec::new(), BTreeMap::new());
        for asked in &question.rollouts {
            let Some(Onlooked { run, telling }) = self.beside.get_mut(&asked.id) else {
                // One that has begun just now is not known here yet.
                not_counted.extend(self.not_counted.get(&asked.id).map(|why| (asked.id, why.clone())));
                continue;
            };
            run.sweep(now_ms);
            rollouts.push(run.tell(telling, asked, now, &table));
        }
        EvidenceAnswer { is_told: true, not_counted, rollouts, ..self.answer() }
    }

    async fn answer_beside(&mut self, fleet: &FleetHandle, call: RolloutCall) {
        let elsewhere = || RolloutError::Elsewhere(fleet.leader());
        // The caller that asked may have gone.
        match call {
            RolloutCall::Start(_, answer) => drop(answer.send(Err(elsewhere()))),
            RolloutCall::Order(_, _, _, answer) => drop(answer.send(Err(elsewhere()))),
            RolloutCall::Preview(request, answer) => drop(answer.send(self.preview(*request))),
            RolloutCall::List(over_max, answer) => {
                self.look().await;
                answer.send(self.list(over_max)).ok();
            }
            RolloutCall::One(id, answer) => {
                self.look().await;
                answer.send(self.one(id)).ok();
            }
            RolloutCall::OverTime(id, answer) => drop(answer.send(self.over_time(id))),
            RolloutCall::Evidence(Some(question), answer) => drop(answer.send(self.tell_leader(&question))),
            RolloutCall::Evidence(None, answer) => drop(answer.send(self.counted())),
            RolloutCall::Keep(answer) => drop(answer.send(())),
        }
    }
}

impl NotCounted {
    fn of(error: &RestoreError) -> Self {
        let is_absent = matches!(error, RestoreError::NoService { all: true });
        Self { is_absent, why: chain(error) }
    }
}
