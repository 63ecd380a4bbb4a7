//! What a change comes to, in one transaction.

use super::super::handle::{ChangeRequest, Upgrading};
use super::super::planned::Planned;
use super::super::store::{FlagRecord, Header, Record, StoreError, WeightNote};
use super::{NewRevision, StoreSlot, Writer};
use crate::problem::chain;
use crate::table::{Name, Traffic};

impl Writer {
    /// Writes what was planned; `new` is the revision that it makes, if it makes one.
    pub(super) fn commit(
        &mut self,
        request: &ChangeRequest,
        planned: &Planned,
        new: Option<&NewRevision>,
    ) -> Result<Result<(), StoreError>, Upgrading> {
        let StoreSlot::Owned(store) = &mut self.slot else { return Err(Upgrading) };
        let state = &self.state;
        let header = new.map(|new| Header {
            number: new.number,
            at_ms: jiff::Timestamp::now().as_millisecond(),
            author: &request.author,
            reason: request.reason.as_deref(),
            action: planned.action,
            restores: planned.restores,
            forced: new.forced.as_deref(),
        });
        let next = || planned.next.iter().map(|(name, traffic)| (name, &**traffic));
        let drains =
            |name: &Name, next: &Traffic| state.traffic.get(name).is_some_and(|old| old.drained != next.drained);
        let record = Record {
            splits: next().filter(|(name, traffic)| state.traffic_anew(name, traffic)).collect(),
            drained: next()
                .filter(|(name, next)| drains(name, next))
                .map(|(name, next)| (name, &next.drained))
                .collect(),
            intent: planned.intent.iter().collect(),
            difference: &planned.difference,
            flags: FlagRecord::all(&planned.flags),
            flag_intent: planned.flags.intent.iter().collect(),
            experiments: &planned.experiments.difference,
            revision: header,
            rollout: request.change.rollout().map(|change| (change.id, &*change.state)),
            notes: WeightNote::all(&planned.marks),
        };
        if record.is_empty() {
            return Ok(Ok(()));
        }
        let committed = store.commit(&record);
        self.tell_note();
        self.misplaced = committed.as_ref().is_err_and(StoreError::is_misplaced);
        self.store_problem.send_replace(committed.as_ref().err().map(|error| chain(error)));
        Ok(committed)
    }
}
