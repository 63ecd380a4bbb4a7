//! Reads of the store: the state to start from, the audit trail, and the split of a service at a revision.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{OptionalExtension, Row, params};

use crate::control::difference::{Difference, EndpointDifference, SaltedSlots};
use crate::control::planned::{Entry, History};
use crate::table::experiment_run::ExperimentRun;
use crate::table::flag_state::FlagState;
use crate::table::{Name, Slots, Traffic};

use super::rows::{address, name, number, runs, split};
use super::{Loaded, Revision, Store, StoreError, schema};

const READING: &str = "read the revisions";

/// A split that a revision changed.
struct SplitRow {
    service: Name,
    salt: String,
    slots: Slots,
}

impl Store {
    /// Everything to start from.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub fn load(&self) -> Result<Loaded, StoreError> {
        self.read(|| {
            let revision = self.db.query_row(schema::LAST_REVISION, [], |row| number(row, 0))?;
            let mut traffic = self.last_splits()?;
            let mut drained = self.db.prepare(schema::DRAINED)?;
            for entry in drained.query_map([], |row| Ok((name(row, 0)?, name(row, 1)?, address(row, 2)?)))? {
                let (service, version, address) = entry?;
                if let Some(traffic) = traffic.get_mut(&service) {
                    traffic.drained.insert((version, address));
                }
            }
            let mut intent = self.db.prepare(schema::INTENT)?;
            let intent = intent.query_map([], |row| Ok((name(row, 0)?, split(row, 1)?)))?.collect::<Result<_, _>>()?;
            let traffic = traffic.into_iter().map(|(name, traffic)| (name, Arc::new(traffic))).collect();
            let (flags, flag_intent) = (self.last_flag_states()?, self.flag_intent()?);
            let experiments = self.last_runs()?;
            Ok(Loaded { revision, traffic, intent, flags, flag_intent, experiments })
        })
    }

    fn last_splits(&self) -> rusqlite::Result<BTreeMap<Name, Traffic>> {
        let mut splits = self.db.prepare(schema::LAST_SPLITS)?;
        let traffic = |row: &Row<'_>| {
            let salt: String = row.get(1)?;
            Ok((name(row, 0)?, Traffic { salt: salt.into(), slots: runs(row, 2)?, drained: Default::default() }))
        };
        splits.query_map([], traffic)?.collect()
    }

    /// Up to `limit` revisions below `before` (none: all), newest first.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    pub fn revisions(&self, before: Option<u64>, limit: u32) -> Result<Vec<Revision>, StoreError> {
        self.read(|| {
            let before = before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX);
            let mut list = self.db.prepare_cached(schema::REVISIONS)?;
            let heads = list.query_map(params![before, limit], revision)?.collect::<Result<Vec<_>, _>>()?;
            // It may be missing: in a store of an earlier program that can only be read.
            let has_forced: bool = self.db.query_row(schema::HAS_FORCED, [], |row| row.get(0))?;
            let whole = |head: Revision| {
                let forced = if has_forced { self.forced(head.number)? } else { None };
                let (difference, flags) = (self.difference(head.number)?, self.flag_difference(head.number)?);
                let experiments = self.experiment_difference(head.number)?;
                Ok(Revision { difference, flags, experiments, forced, ..head })
            };
            heads.into_iter().map(whole).collect()
        })
    }

    /// One revision, none if there is none of that number.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub fn revision(&self, number: u64) -> Result<Option<Revision>, StoreError> {
        let next = number.saturating_add(1);
        let found = self.revisions(Some(next), 1)?.into_iter().next();
        Ok(found.filter(|revision| revision.number == number))
    }

    /// Up to `limit` rollouts with their states, newest first.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    pub fn rollouts(&self, limit: u32) -> Result<Vec<(u64, String)>, StoreError> {
        self.read(|| {
            // Nothing but the table may be missing: a store of an earlier format that can only be read.
            let there: bool = self.db.query_row(schema::HAS_ROLLOUTS, [], |row| row.get(0))?;
            if !there {
                return Ok(Vec::new());
            }
            let mut list = self.db.prepare(schema::ROLLOUTS)?;
            list.query_map([limit], |row| Ok((number(row, 0)?, row.get(1)?)))?.collect()
        })
    }

    /// What spoke against a revision on which its caller insisted.
    fn forced(&self, revision: u64) -> rusqlite::Result<Option<String>> {
        let mut forced = self.db.prepare_cached(schema::FORCED)?;
        forced.query_row([revision.cast_signed()], |row| row.get(0)).optional()
    }

    /// The splits that a revision changed.
    fn rows_of(&self, revision: u64) -> rusqlite::Result<Vec<SplitRow>> {
        let mut rows = self.db.prepare_cached(schema::SPLITS_OF)?;
        let row = |row: &Row<'_>| Ok(SplitRow { service: name(row, 0)?, salt: row.get(1)?, slots: runs(row, 2)? });
        rows.query_map([revision.cast_signed()], row)?.collect()
    }

    /// What a revision changed, against the one before it.
    fn difference(&self, revision: u64) -> rusqlite::Result<Vec<Difference>> {
        let mut differences = BTreeMap::new();
        for SplitRow { service, salt, slots } in self.rows_of(revision)? {
            let before = self.split_before(&service, revision.saturating_sub(1))?;
            let before = before.as_ref().map(|(salt, slots)| SaltedSlots { salt, slots });
            let difference = Difference::of_splits(&service, before, SaltedSlots { salt: &salt, slots: &slots });
            differences.insert(service, difference);
        }
        let mut changes = self.db.prepare_cached(schema::ENDPOINT_CHANGES_OF)?;
        let change = |row: &Row<'_>| {
            let change = EndpointDifference { version: name(row, 1)?, address: address(row, 2)?, drained: row.get(3)? };
            Ok((name(row, 0)?, change))
        };
        for change in changes.query_map([revision.cast_signed()], change)? {
            let (service, change) = change?;
            if !differences.contains_key(&service)
                && let Some((salt, slots)) = self.split_before(&service, revision)?
            {
                let split = SaltedSlots { salt: &salt, slots: &slots };
                let same = Difference::of_splits(&service, Some(split), split);
                differences.insert(service.clone(), same);
            }
            differences.entry(service).and_modify(|difference| difference.endpoints.push(change));
        }
        Ok(differences.into_values().collect())
    }

    /// The salt and the slots of a service up to a revision.
    fn split_before(&self, service: &Name, revision: u64) -> rusqlite::Result<Option<(String, Slots)>> {
        let mut split = self.db.prepare_cached(schema::SPLIT_AT)?;
        let row = |row: &Row<'_>| Ok((row.get(0)?, runs(row, 1)?));
        split.query_row(params![service.as_str(), revision.cast_signed()], row).optional()
    }

    pub(super) fn read<T>(&self, read: impl FnOnce() -> rusqlite::Result<T>) -> Result<T, StoreError> {
        read().map_err(|source| StoreError::at(&self.path, READING, source))
    }
}

impl History for Store {
    type Error = StoreError;

    fn entries(&self, service: &Name) -> Result<Vec<Entry>, StoreError> {
        self.read(|| self.db.prepare_cached(schema::ENTRIES)?.query_map([service.as_str()], entry)?.collect())
    }

    fn split_at(&self, service: &Name, revision: u64) -> Result<Option<(Arc<str>, Slots)>, StoreError> {
        let split = self.read(|| self.split_before(service, revision))?;
        Ok(split.map(|(salt, slots)| (salt.into(), slots)))
    }

    fn flag_entries(&self, flag: &Name) -> Result<Vec<Entry>, StoreError> {
        self.read(|| self.entries_of_flag(flag))
    }

    fn flag_at(&self, flag: &Name, revision: u64) -> Result<Option<FlagState>, StoreError> {
        self.read(|| self.flag_before(flag, revision))
    }

    fn experiment_entries(&self, experiment: &Name) -> Result<Vec<Entry>, StoreError> {
        self.read(|| self.entries_of_experiment(experiment))
    }

    fn experiment_at(&self, experiment: &Name, revision: u64) -> Result<Option<ExperimentRun>, StoreError> {
        self.read(|| self.run_before(experiment, revision))
    }
}

pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let restores: Option<i64> = row.get(1)?;
    Ok(Entry { revision: number(row, 0)?, restores: restores.map(i64::cast_unsigned) })
}

fn revision(row: &Row<'_>) -> rusqlite::Result<Revision> {
    let restores: Option<i64> = row.get(5)?;
    Ok(Revision {
        number: number(row, 0)?,
        at_ms: row.get(1)?,
        author: row.get(2)?,
        reason: row.get(3)?,
        action: row.get(4)?,
        restores: restores.map(i64::cast_unsigned),
        forced: None,
        difference: Vec::new(),
        flags: Vec::new(),
        experiments: Vec::new(),
    })
}
