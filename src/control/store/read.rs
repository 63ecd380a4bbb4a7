//! Reads of the store: the state to start from, the audit trail, and the split of a service at a revision.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{OptionalExtension, Row, params};

use crate::control::difference::{Difference, EndpointDifference};
use crate::control::planned::{Entry, History};
use crate::table::experiment_run::ExperimentRun;
use crate::table::flag_state::FlagState;
use crate::table::{Name, Traffic};

use super::rows::{address, intent, mirror, name, number, runs};
use super::{Loaded, Revision, Store, StoreError, schema};

const READING: &str = "read the revisions";

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
            let mut said = self.db.prepare(schema::INTENT)?;
            let intent = said.query_map([], |row| Ok((name(row, 0)?, intent(row, 1)?)))?.collect::<Result<_, _>>()?;
            let traffic = traffic.into_iter().map(|(name, traffic)| (name, Arc::new(traffic))).collect();
            let (flags, flag_intent) = (self.last_flag_states()?, self.flag_intent()?);
            let experiments = self.last_runs()?;
            let marks = self.weight_marks()?;
            Ok(Loaded { revision, traffic, intent, flags, flag_intent, experiments, marks })
        })
    }

    fn last_splits(&self) -> rusqlite::Result<BTreeMap<Name, Traffic>> {
        let mut splits = self.db.prepare(schema::LAST_SPLITS)?;
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

    /// The traffic that a revision changed.
    fn rows_of(&self, revision: u64) -> rusqlite::Result<Vec<(Name, Traffic)>> {
        let mut rows = self.db.prepare_cached(schema::SPLITS_OF)?;
        rows.query_map([revision.cast_signed()], traffic)?.collect()
    }

    /// What a revision changed, against the one before it.
    fn difference(&self, revision: u64) -> rusqlite::Result<Vec<Difference>> {
        let mut differences = BTreeMap::new();
        for (service, after) in self.rows_of(revision)? {
            let before = self.traffic_before(&service, revision.saturating_sub(1))?;
            let difference = Difference::of(&service, before.as_ref(), &after);
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
                && let Some(same) = self.traffic_before(&service, revision)?
            {
                let same = Difference::of(&service, Some(&same), &same);
                differences.insert(service.clone(), same);
            }
            differences.entry(service).and_modify(|difference| difference.endpoints.push(change));
        }
        Ok(differences.into_values().collect())
    }

    /// The traffic of a service up to a revision, without its drained endpoints.
    fn traffic_before(&self, service: &Name, revision: u64) -> rusqlite::Result<Option<Traffic>> {
        let mut split = self.db.prepare_cached(schema::SPLIT_AT)?;
        let found = split.query_row(params![service.as_str(), revision.cast_signed()], traffic).optional()?;
        Ok(found.map(|(_, traffic)| traffic))
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

    fn traffic_at(&self, service: &Name, revision: u64) -> Result<Option<Traffic>, StoreError> {
        self.read(|| self.traffic_before(service, revision))
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

/// A service with its traffic, but for the endpoints that are drained.
fn traffic(row: &Row<'_>) -> rusqlite::Result<(Name, Traffic)> {
    let salt: String = row.get(1)?;
    let (slots, mirror) = (runs(row, 2)?, mirror(row, 3)?);
    Ok((name(row, 0)?, Traffic { salt: salt.into(), slots, mirror, drained: Default::default() }))
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
