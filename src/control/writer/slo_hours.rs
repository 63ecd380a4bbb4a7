//! What objectives have counted, read and written on the writer's thread, which has the store.

use super::{StoreSlot, Writer};
use crate::control::handle::{KeepError, Upgrading};
use crate::control::store::StoreError;
use crate::control::store::slo_rows::SloHourRow;
use crate::problem::chain;

impl Writer {
    /// Writes these hours.
    pub(super) fn keep_slo_hours(&mut self, rows: &[SloHourRow]) -> Result<(), KeepError> {
        self.look_after_store()?;
        let StoreSlot::Owned(store) = &mut self.slot else { return Err(Upgrading.into()) };
        let kept = store.keep_slo_hours(rows);
        self.tell_note();
        self.misplaced = kept.as_ref().is_err_and(StoreError::is_misplaced);
        self.store_problem.send_replace(kept.as_ref().err().map(|error| chain(error)));
        Ok(kept?)
    }
}
