//! What a change comes to, in one transaction: told to the fleet and written to the store, in this order.

use super::super::change::Change;
use super::super::handle::{Applied, ApplyError, ChangeRequest, Upgrading};
use super::super::planned::Planned;
use super::super::store::{FlagRecord, Header, Record, StoreError, WeightNote};
use super::{NewRevision, StoreSlot, Writer, fleet_writes};
use crate::problem::{chain, few};
use crate::table::{Name, Traffic};

impl Writer {
    /// Tells the fleet, if there is one, and writes the store.
    pub(super) fn commit(
        &mut self,
        request: &ChangeRequest,
        planned: &Planned,
        new: Option<&NewRevision>,
    ) -> Result<(), ApplyError> {
        let StoreSlot::Owned(store) = &mut self.slot else { return Err(Upgrading.into()) };
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
        let mut record = Record {
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
            fleet: None,
        };
        if record.is_empty() {
            return Ok(());
        }
        let mut is_told = false;
        if let Some(link) = &mut self.fleet {
            // What cannot be written here is not told either.
            store.problem().map_or(Ok(()), Err).inspect_err(|error| refused(request, error))?;
            record.fleet =
                fleet_writes::share(link, state, &record, planned, new.map_or(state.revision, |new| new.number))?;
            is_told = record.fleet.is_some();
        }
        let committed = store.commit(&record);
        self.tell_note();
        self.misplaced = committed.as_ref().is_err_and(StoreError::is_misplaced);
        self.store_problem.send_replace(committed.as_ref().err().map(|error| chain(error)));
        match committed {
            // It is durable in the fleet, and in force on all other replicas; the store gets it with the next news.
            Err(error) if is_told => {
                tracing::error!(error = chain(&error), "a change of the fleet cannot be written to the store");
                if let Some(link) = &mut self.fleet {
                    link.store_lags = true;
                }
                Ok(())
            }
            Err(error) => {
                refused(request, &error);
                Err(error.into())
            }
            Ok(()) => Ok(()),
        }
    }
}

pub(super) fn log(applied: &Applied, request: &ChangeRequest, planned: &Planned) {
    let revision = applied.revision;
    let (action, author, reason) = (planned.action.word(), &request.author, request.reason.as_deref());
    let (count, services) = (planned.next.len(), few(planned.next.keys().map(Name::as_str)));
    let (flags, experiments) = (&planned.flags.next, &planned.experiments.next);
    let flags = (!flags.is_empty()).then(|| tracing::field::debug(few(flags.keys().map(Name::as_str))));
    let experiments =
        (!experiments.is_empty()).then(|| tracing::field::debug(few(experiments.keys().map(Name::as_str))));
    tracing::info!(revision, action, author, reason, count, ?services, flags, experiments, "the traffic has changed");
}

/// Logs a change that could not be written. The file's is told where the file is read, once and not at every try.
fn refused(request: &ChangeRequest, error: &StoreError) {
    if !matches!(request.change, Change::File(_)) {
        let (author, reason) = (&request.author, request.reason.as_deref());
        tracing::warn!(author, reason, error = chain(error), "a change is refused, it cannot be written to the store");
    }
}
