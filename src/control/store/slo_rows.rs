//! What objectives have counted, by hours.
//!
//! Rows of sums and no revisions: nothing here changes where requests go, and a write that is repeated writes the same.
//! So it needs no way back, and what is not written yet is written a few seconds later.

use rusqlite::params;

use super::rows::{name, number};
use super::{Store, StoreError, schema};
use crate::stats::SloTotals;
use crate::table::Name;

/// Hours of a service that are kept: more than the longest window has. By their number and not by their age, so that a
/// clock that goes wrong for a while does not make the store forget.
const KEPT_HOURS: u32 = 24 * 100;

/// What one service's objectives have counted in one hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SloHourRow {
    /// The service.
    pub service: Name,
    /// The number of the hour since 1970.
    pub hour: u64,
    /// The sums of the whole hour.
    pub counts: SloTotals,
}

impl Store {
    /// All hours of these services.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    pub(crate) fn slo_hours(&self, services: &[Name]) -> Result<Vec<SloHourRow>, StoreError> {
        self.read(|| {
            // It may be missing: in a store of an earlier program that can only be read.
            let there: bool = self.db.query_row(schema::HAS_SLO_HOURS, [], |row| row.get(0))?;
            let mut rows = Vec::new();
            for service in services.iter().filter(|_| there) {
                let mut hours = self.db.prepare_cached(schema::SLO_HOURS)?;
                let found = hours.query_map([service.as_str()], |row| {
                    let counts = SloTotals {
                        requests: number(row, 2)?,
                        failed: number(row, 3)?,
                        slow: number(row, 4)?,
                        fault_requests: number(row, 5)?,
                        fault_failed: number(row, 6)?,
                        fault_slow: number(row, 7)?,
                    };
                    Ok(SloHourRow { service: name(row, 0)?, hour: number(row, 1)?, counts })
                })?;
                rows.extend(found.collect::<Result<Vec<_>, _>>()?);
            }
            Ok(rows)
        })
    }

    /// Writes these hours in one transaction, over what was there of them, and forgets the oldest beyond what is kept.
    ///
    /// # Errors
    /// [`StoreError`] when they could not be written; then none of them was.
    pub(crate) fn keep_slo_hours(&mut self, rows: &[SloHourRow]) -> Result<(), StoreError> {
        if let Some(problem) = self.problem() {
            return Err(problem);
        }
        let done = self.db.transaction().and_then(|transaction| {
            for SloHourRow { service, hour, counts } in rows {
                let SloTotals { requests, failed, slow, fault_requests, fault_failed, fault_slow } = *counts;
                let [requests, failed, slow] = [requests, failed, slow].map(u64::cast_signed);
                let [fault_requests, fault_failed, fault_slow] =
                    [fault_requests, fault_failed, fault_slow].map(u64::cast_signed);
                let (service, hour) = (service.as_str(), hour.cast_signed());
                let is_new = !transaction.prepare_cached(schema::HAS_SLO_HOUR)?.exists(params![service, hour])?;
                transaction.prepare_cached(schema::PUT_SLO_HOUR)?.execute(params![
                    service,
                    hour,
                    requests,
                    failed,
                    slow,
                    fault_requests,
                    fault_failed,
                    fault_slow
                ])?;
                if is_new {
                    transaction.prepare_cached(schema::FORGET_SLO_HOURS)?.execute(params![service, KEPT_HOURS])?;
                }
            }
            transaction.commit()
        });
        done.map_err(|source| StoreError::at(self.path(), "write what objectives have counted", source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_written_over_and_the_oldest_are_forgotten() {
        let mut store = Store::in_memory().expect("memory");
        let (shop, pay) = (Name::new("shop").expect("a name"), Name::new("pay").expect("a name"));
        let row = |service: &Name, hour, requests| {
            let counts = SloTotals { requests, failed: 1, fault_slow: 2, ..SloTotals::default() };
            SloHourRow { service: service.clone(), hour, counts }
        };
        store.keep_slo_hours(&[row(&shop, 7, 10), row(&pay, 7, 3)]).expect("there is room");
        store.keep_slo_hours(&[row(&shop, 7, 12), row(&shop, 8, 1)]).expect("there is room");
        assert_eq!(
            store.slo_hours(std::slice::from_ref(&shop)).expect("a read"),
            [row(&shop, 7, 12), row(&shop, 8, 1)]
        );
        let many: Vec<_> = (100..100 + u64::from(KEPT_HOURS)).map(|hour| row(&shop, hour, 1)).collect();
        store.keep_slo_hours(&many).expect("there is room");
        assert_eq!(store.slo_hours(&[shop]).expect("a read"), many);
        assert_eq!(store.slo_hours(std::slice::from_ref(&pay)).expect("a read"), [row(&pay, 7, 3)]);
    }
}
