//! What a rollout tells the replica that leads, and what it hears from the others.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::active::ActiveRollout;
use super::copied_requests::pair_counts;
use super::evidence_collector::{CollectedEvidence, CountingTerms, ServicePlace};
use super::others_counted::{HeardRollout, OwnReading};
use super::replica_evidence::{AskedRollout, AskedService, CountedRollout};
use crate::rollout::TICK;
use crate::rollout::judge::Judge;
use crate::rollout::judge::pair_counts::PairCounts;
use crate::rollout::replica_counts::{ReplicaCounts, WindowNumbers};
use crate::shared::sightings::{Sighting, SightingRun};
use crate::shared::user_sets::ActiveUsers;
use crate::table::Table;

/// More ticks than this were none of a judge: none has asked.
const TICKS_MAX: u32 = 40;

/// Sightings of one answer: what is more is told by the next ones.
const TOLD_MAX: usize = 50_000;

/// Sightings that wait for a leader.
const WAITING_MAX: usize = 1_000_000;

/// A rollout that the leader makes happen.
#[derive(Debug)]
pub(crate) struct Onlooked {
    /// As it was stored.
    pub(super) run: ActiveRollout,
    /// What its workers count, for the leader.
    pub(super) telling: LeaderTelling,
}

/// What is kept of a rollout for the leader.
#[derive(Debug)]
pub(crate) struct LeaderTelling {
    counting: String,
    began: Instant,
    /// Ticks that have passed until the last answer.
    ticks: u32,
    /// The judges that asked last.
    judge: Option<u32>,
    services: Vec<Untold>,
}

/// Who was new in a service, and may not be known to the leader yet.
#[derive(Debug, Default)]
struct Untold {
    /// How many are known.
    before: u64,
    waiting: VecDeque<Waiting>,
    /// The users of the last minute that is over.
    users: Option<ActiveUsers>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    shares: [u32; 2],
    arm: usize,
    sighting: Sighting,
}

impl LeaderTelling {
    /// A counting that begins now.
    pub(crate) fn new() -> Self {
        let counting = format!("{:016x}", rand::random::<u64>());
        Self { counting, began: Instant::now(), ticks: 0, judge: None, services: Vec::new() }
    }

    /// Ticks that have passed since this was asked last.
    fn ticks_passed(&mut self, now: Instant) -> u32 {
        let all = now.saturating_duration_since(self.began).as_millis() / TICK.as_millis();
        let all = u32::try_from(all).unwrap_or(u32::MAX);
        let passed = all.saturating_sub(std::mem::replace(&mut self.ticks, all));
        passed.min(TICKS_MAX)
    }
}

impl Untold {
    /// The leader knows of this many: they need not be told again.
    fn known(&mut self, told: u64) {
        let known = usize::try_from(told.saturating_sub(self.before)).unwrap_or(usize::MAX);
        let known = known.min(self.waiting.len());
        self.waiting.drain(..known);
        self.before += known as u64;
    }

    /// Tells nothing of what was said until now.
    fn forget(&mut self, counts: &mut ReplicaCounts) {
        let new = std::mem::take(&mut counts.sightings);
        self.before += (self.waiting.len() + new.iter().map(|run| run.told.len()).sum::<usize>()) as u64;
        self.waiting.clear();
    }

    /// Puts what waits, and what is new, into an answer, in its order.
    fn tell(&mut self, counts: &mut ReplicaCounts) {
        for SightingRun { shares, arm, told } in std::mem::take(&mut counts.sightings) {
            self.waiting.extend(told.into_iter().map(|sighting| Waiting { shares, arm, sighting }));
        }
        // If it is not taken for so long, the oldest are of windows that are over.
        let lost = self.waiting.len().saturating_sub(WAITING_MAX);
        self.waiting.drain(..lost);
        self.before += lost as u64;
        counts.told_before = self.before;
        for Waiting { shares, arm, sighting } in self.waiting.iter().take(TOLD_MAX) {
            match counts.sightings.last_mut().filter(|run| run.shares == *shares && run.arm == *arm) {
                Some(run) => run.told.push(*sighting),
                None => {
                    counts.sightings.push(SightingRun { shares: *shares, arm: *arm, told: vec![*sighting] });
                }
            }
        }
    }
}

impl ActiveRollout {
    /// What the others are asked of it.
    pub(crate) fn asks(&self) -> AskedRollout {
        let service = |judge: &Judge| AskedService {
            windows: WindowNumbers::of(judge.windows(), self.others.judge()),
            in_step_ms: u64::try_from(judge.in_step().as_millis()).unwrap_or(u64::MAX),
            slow_us: judge.ceilings().slow.map(|slow| u64::try_from(slow.longer_than.as_micros()).unwrap_or(u64::MAX)),
            told: 0,
        };
        let services = self.rollout.judges().iter().map(service).collect();
        AskedRollout { id: self.saved.id, judge: self.others.judge(), counting: String::new(), services }
    }

    /// What its workers have counted, for the replica that leads.
    pub(crate) fn tell(
        &mut self,
        telling: &mut LeaderTelling,
        asked: &AskedRollout,
        now: Duration,
        table: &Table,
    ) -> CountedRollout {
        let ticks = telling.ticks_passed(Instant::now());
        let is_known = telling.counting == asked.counting;
        // What was said to the judges of before is nothing to these.
        let is_other_judge = telling.judge.replace(asked.judge).is_some_and(|judge| judge != asked.judge);
        telling.services.resize_with(self.services.len(), Untold::default);
        let mut services = Vec::new();
        for (number, name) in self.services.iter().enumerate() {
            let (Some(collector), Some(asked)) = (self.collectors.get_mut(number), asked.services.get(number)) else {
                break;
            };
            let Some(judge) = self.rollout.judges().get(number) else { break };
            let terms = CountingTerms {
                in_step: Duration::from_millis(asked.in_step_ms),
                slow: asked.slow_us.map(Duration::from_micros),
                windows: asked.windows.windows(),
                ticks,
                ..CountingTerms::of(judge)
            };
            let index = table.index_of(name);
            let at = index.map(|index| ServicePlace { service: table.service(index), pair: table.compared(index) });
            let mut counts = collector.count(now, at, &terms);
            let mirror = table.service_named(name).and_then(|service| service.mirror.as_ref());
            counts.pairs = mirror.map(|mirror| pair_counts(&mirror.stats.totals()));
            if let Some(untold) = telling.services.get_mut(number) {
                if is_known {
                    untold.known(asked.told);
                }
                if is_other_judge {
                    untold.forget(&mut counts);
                }
                untold.users = counts.users.or(untold.users);
                counts.users = untold.users;
                untold.tell(&mut counts);
            }
            services.push(counts);
        }
        telling.answer(self.saved.id, services)
    }

    /// Takes what another replica has counted.
    pub(crate) fn hear(&mut self, heard: HeardRollout) {
        self.others.hear(heard, &self.collectors);
    }

    /// Adds what was heard since the last tick.
    pub(crate) fn add_others(
        &mut self,
        now: Duration,
        readings: &mut [CollectedEvidence],
        pairs: &mut [Option<PairCounts>],
    ) {
        let (collectors, judges) = (&self.collectors, self.rollout.judges());
        for (number, (collector, judge)) in collectors.iter().zip(judges).enumerate() {
            if let (Some(reading), Some(pairs)) = (readings.get_mut(number), pairs.get_mut(number)) {
                let slower = judge.settings().slower;
                self.others.add(number, now, OwnReading { reading, pairs, collector, slower });
            }
        }
    }

    /// Notes which replicas are silent.
    pub(crate) fn note_silent(&mut self, silent: Option<&Arc<str>>) {
        self.rollout.note_silent(silent);
    }

    /// The same for one who only looks: nothing is different afterwards.
    pub(crate) fn counted(&self, telling: Option<&LeaderTelling>) -> CountedRollout {
        let services = self.collectors.iter().map(|collector| collector.counted()).collect();
        match telling {
            Some(telling) => telling.answer(self.saved.id, services),
            None => CountedRollout { id: self.saved.id, counting: String::new(), counted_ms: 0, services },
        }
    }
}

impl LeaderTelling {
    fn answer(&self, id: u64, services: Vec<ReplicaCounts>) -> CountedRollout {
        let counted_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        CountedRollout { id, counting: self.counting.clone(), counted_ms, services }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::sightings::Testimony;

    fn said(slots: &[u32]) -> ReplicaCounts {
        let told = slots.iter().map(|slot| Sighting::new(Testimony::Failed, *slot)).collect();
        let sightings = vec![SightingRun { shares: [1, 9], arm: 0, told }];
        ReplicaCounts { sightings, ..ReplicaCounts::default() }
    }

    #[test]
    fn who_was_new_is_told_until_it_is_known() {
        let mut untold = Untold::default();
        let mut tell = |told, slots: &[u32]| {
            untold.known(told);
            let mut counts = said(slots);
            untold.tell(&mut counts);
            let slots = counts.sightings.iter().flat_map(|run| &run.told).map(|sighting| sighting.slot());
            (counts.told_before, slots.collect::<Vec<_>>())
        };
        assert_eq!(tell(0, &[7, 8]), (0, vec![7, 8]));
        assert_eq!(tell(0, &[9]), (0, vec![7, 8, 9]), "the answer was lost");
        assert_eq!(tell(3, &[]), (3, vec![]));
        assert_eq!(tell(3, &[5]), (3, vec![5]));
        assert_eq!(tell(0, &[6]), (3, vec![5, 6]), "another leader asks, which knows of none");
    }
}
