//! The records of chaos runs, written on the writer's thread, which has the store.

use super::super::handle::{ApplyError, Upgrading};
use super::super::store::StoreError;
use super::{StoreSlot, Writer};
use crate::problem::chain;

impl Writer {
    /// Writes the state of a chaos run; none: it is forgotten.
    pub(super) fn keep_chaos_run(&mut self, id: u64, state: Option<&str>) -> Result<(), ApplyError> {
        self.look_after_store()?;
        let StoreSlot::Owned(store) = &mut self.slot else { return Err(Upgrading.into()) };
        let kept = store.put_chaos_run(id, state);
        self.tell_note();
        self.misplaced = kept.as_ref().is_err_and(StoreError::is_misplaced);
        self.store_problem.send_replace(kept.as_ref().err().map(|error| chain(error)));
        Ok(kept?)
    }
}
