//! Where a judged request is counted, by what it says of its user.

use std::ops::Range;

use super::arm_counters::ArmTally;
use super::canary_stats::CanaryRules;
use super::flights::Requester;
use super::response_counters::Asker;
use super::sightings::Testimony;

impl CanaryRules {
    /// Who is one draw with what is asked; none: the request is one by itself.
    pub(super) fn draw(&self, asker: Option<Asker>) -> Option<Asker> {
        let Asker { slot, client } = asker.filter(|_| self.terms.per_key)?;
        Some(Asker { slot, client: client.filter(|client| !self.busiest.is_front(*client)) })
    }

    /// Counts whether a request failed.
    pub(super) fn count_outcome(&self, tally: ArmTally<'_>, from: Requester, failed: bool) {
        let Self { users, clients, terms, .. } = self;
        let (cell, slot) = (tally.counters, from.slot);
        let lost = slot.is_some_and(|slot| users.note(slot, failed, terms.burst_ticks));
        cell.requests.add(1);
        tally.teller.count_first(&cell.draws, Testimony::Came, slot, from.is_first(&users.came, &clients.came));
        if failed {
            cell.failures.add(1);
            let is_first = from.is_first(&users.failed, &clients.failed);
            tally.teller.count_first(&cell.counted_failures, Testimony::Failed, slot, is_first);
            let is_first = lost && from.is_first(&users.lost, &clients.lost);
            tally.teller.count_first(&cell.lost, Testimony::Lost, slot, is_first);
        }
    }

    pub(super) fn count_overdue(&self, tally: ArmTally<'_>, from: Requester, thresholds: Range<usize>) {
        thresholds.clone().for_each(|threshold| tally.counters.overdue[threshold].add(1));
        self.count_above(tally, from, thresholds);
    }

    pub(super) fn count_above(&self, tally: ArmTally<'_>, from: Requester, thresholds: Range<usize>) {
        for threshold in thresholds {
            let [users, clients] = [&self.users.latency, &self.clients.latency];
            let is_first = from.is_first(&users.exceeded[threshold], &clients.exceeded[threshold]);
            let count = &tally.counters.first_above[threshold];
            tally.teller.count_first(count, Testimony::Above(threshold), from.slot, is_first);
        }
    }

    pub(super) fn count_slow(&self, tally: ArmTally<'_>, from: Requester) {
        tally.counters.timed.add(1);
        tally.counters.slow.add(1);
        let is_first = from.is_first(&self.users.latency.slow, &self.clients.latency.slow);
        tally.teller.count_first(&tally.counters.first_slow, Testimony::Slow, from.slot, is_first);
    }
}
