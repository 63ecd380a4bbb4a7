//! What comes from the fleet: revisions that were made elsewhere, and how far they go.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Transaction, params};

use crate::control::experiment_difference::RunEnd;
use crate::control::fleet::fleet_mark::FleetMark;
use crate::control::fleet::fleet_port::{FleetUpdate, SharedRollout};
use crate::control::fleet::shared_state::{
    EndpointRow, FlagStateRow, RunRow, SharedRevision, SharedState, SharedTables, SplitRow,
};
use crate::table::{MirrorShare, Name, Traffic, Weight};

use super::schema;
use super::{FlagRecord, Loaded, Record, Store, StoreError};

impl Store {
    /// What the store remembers of the fleet.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub(crate) fn fleet_mark(&self) -> Result<FleetMark, StoreError> {
        self.read(|| {
            // It may be missing: in a store of an earlier program that can only be read.
            let there: bool = self.db.query_row(schema::HAS_FLEET, [], |row| row.get(0))?;
            let mark = |row: &rusqlite::Row<'_>| {
                Ok(FleetMark { fleet: row.get(0)?, generation: row.get::<_, i64>(1)?.cast_unsigned() })
            };
            let found = if there { self.db.query_row(schema::FLEET, [], mark).optional()? } else { None };
            Ok(found.unwrap_or_default())
        })
    }

    /// What tells the process of this store from another one of the same name, over restarts: `drawn`, if there is
    /// none.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read or written.
    pub(crate) fn replica(&mut self, drawn: &str) -> Result<String, StoreError> {
        let known = self.read(|| {
            let there: bool = self.db.query_row(schema::HAS_FLEET, [], |row| row.get(0))?;
            if !there {
                return Ok(Some(drawn.to_owned()));
            }
            self.db.query_row(schema::REPLICA, [], |row| row.get(0)).optional()
        })?;
        if let Some(known) = known {
            return Ok(known);
        }
        if self.problem().is_none() {
            let done = self.db.execute(schema::PUT_REPLICA, [drawn]);
            done.map_err(|source| StoreError::at(&self.path, "write what this replica is", source))?;
        }
        Ok(drawn.to_owned())
    }

    /// Remembers how far the document of the fleet was written.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub(crate) fn mark_fleet(&mut self, mark: &FleetMark) -> Result<(), StoreError> {
        let done = self.db.execute(schema::PUT_FLEET, params![mark.fleet, mark.generation.cast_signed()]);
        done.map(drop).map_err(|source| StoreError::at(&self.path, "write how far the fleet is", source))
    }

    /// All notes of weights, as they are.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    pub(crate) fn weight_notes(&self) -> Result<BTreeMap<String, String>, StoreError> {
        self.read(|| self.weight_note_texts())
    }

    /// The last `limit` revisions with all of their rows, ascending: what a fleet begins with.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    pub(crate) fn shared_revisions(&self, limit: u32) -> Result<Vec<SharedRevision>, StoreError> {
        let heads = self.revisions(None, limit)?;
        heads.into_iter().rev().map(|head| self.read(|| shared_rows::of(&self.db, head))).collect()
    }

    /// Keeps what the store has from before it came to a fleet in a file beside it, and begins with nothing: the
    /// numbers of its revisions mean others in the fleet.
    fn set_aside(&mut self) -> Result<(), StoreError> {
        if self.load()?.revision == 0 {
            return Ok(());
        }
        let at = |source| StoreError::at(&self.path, "set the revisions of before the fleet aside", source);
        if !self.is_in_memory() {
            let name = jiff::Timestamp::now().strftime("before-fleet-%Y%m%dT%H%M%SZ.db").to_string();
            let aside = self.path.with_extension(name);
            self.db.execute("VACUUM INTO ?1", [aside.to_string_lossy()]).map_err(at)?;
            let aside = aside.display();
            tracing::warn!(%aside, "this replica comes to a fleet: its own history is kept in another file");
        }
        self.db.execute_batch(schema::FORGET_ALL).map_err(at)
    }

    /// Takes in rollouts of the leader.
    ///
    /// # Errors
    /// [`StoreError`] when they could not be written.
    pub(crate) fn take_in_rollouts(&mut self, rollouts: &[SharedRollout]) -> Result<(), StoreError> {
        let done = self.db.transaction().and_then(|db| {
            put_rollouts(&db, rollouts)?;
            db.commit()
        });
        done.map_err(|source| StoreError::at(&self.path, "write the rollouts of the fleet", source))
    }

    /// Takes in what the fleet says. One transaction: what is there of it afterwards is all of it.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written; then nothing of it was.
    pub(crate) fn take_in(
        &mut self,
        update: &FleetUpdate,
        state: &SharedState,
        tables: &SharedTables,
    ) -> Result<(), StoreError> {
        if let Some(problem) = self.problem() {
            return Err(problem);
        }
        if self.fleet_mark()?.fleet.is_empty() {
            self.set_aside()?;
        }
        let before = self.load()?;
        let done = self.db.transaction().and_then(|db| {
            for revision in update.revisions.iter().filter(|revision| revision.number > before.revision) {
                put_shared(&db, revision)?;
            }
            // The history may have a hole; what is in force is never in it.
            if state.revision > before.revision && !has_revision(&db, state.revision)? {
                put_shared(&db, &SharedRevision::unknown(state.revision))?;
            }
            put_last(&db, state.revision, &before, tables)?;
            put_notes(&db, &tables.notes)?;
            put_rollouts(&db, &update.rollouts)?;
            let (fleet, generation) = (&state.fleet, state.generation.cast_signed());
            db.execute(schema::PUT_FLEET, params![fleet, generation])?;
            db.commit()
        });
        done.map_err(|source| StoreError::at(&self.path, "write what the fleet says", source))?;
        self.secure_written()
    }
}

/// What a record writes of its revision, if it makes one.
pub(crate) fn shared_revision(record: &Record<'_>) -> Option<SharedRevision> {
    let header = record.revision.as_ref()?;
    let split = |(service, traffic): &(&Name, &Traffic)| SplitRow {
        service: service.to_string(),
        salt: traffic.salt.to_string(),
        runs: traffic.slots.to_string(),
        mirror: traffic.mirror.as_ref().map(MirrorShare::to_string),
    };
    let flag = |row: &FlagRecord<'_>| FlagStateRow {
        flag: row.flag.to_string(),
        state: row.state.to_string(),
        default: row.default.map(Name::to_string),
        followers: row.followers.map(Weight::slots),
    };
    let experiments = record.experiments.iter().map(|change| RunRow {
        experiment: change.experiment.to_string(),
        run: change.after.to_string(),
        moved: change.moved.map(Weight::slots),
        ended: change.end.map(RunEnd::word).map(str::to_owned),
    });
    let endpoints = record.difference.iter().flat_map(|difference| {
        difference.endpoints.iter().map(|change| EndpointRow {
            service: difference.service.to_string(),
            version: change.version.to_string(),
            address: change.address.to_string(),
            drained: change.drained,
        })
    });
    Some(SharedRevision {
        number: header.number,
        at_ms: header.at_ms,
        author: header.author.to_owned(),
        reason: header.reason.map(str::to_owned),
        action: header.action.word().to_owned(),
        restores: header.restores,
        forced: header.forced.map(str::to_owned),
        splits: record.splits.iter().map(split).collect(),
        flags: record.flags.iter().map(flag).collect(),
        experiments: experiments.collect(),
        endpoints: endpoints.collect(),
    })
}

fn put_notes(db: &Transaction<'_>, notes: &BTreeMap<String, String>) -> rusqlite::Result<()> {
    db.execute(schema::FORGET_WEIGHT_NOTES, [])?;
    let mut put = db.prepare_cached(schema::PUT_WEIGHT_NOTE)?;
    notes.iter().try_for_each(|(about, note)| put.execute([about, note]).map(drop))
}

fn put_rollouts(db: &Transaction<'_>, rollouts: &[SharedRollout]) -> rusqlite::Result<()> {
    let mut put = db.prepare_cached(schema::PUT_ROLLOUT)?;
    rollouts.iter().try_for_each(|rollout| put.execute(params![rollout.id.cast_signed(), rollout.state]).map(drop))
}

fn has_revision(db: &Transaction<'_>, number: u64) -> rusqlite::Result<bool> {
    db.prepare_cached(schema::HAS_REVISION)?.query_row([number.cast_signed()], |row| row.get(0))
}

/// Writes a revision that was made elsewhere.
fn put_shared(db: &Transaction<'_>, revision: &SharedRevision) -> rusqlite::Result<()> {
    let number = revision.number.cast_signed();
    // What it restored may be in a hole of the history.
    let restores = revision.restores.map(|restores| has_revision(db, restores).map(|has| has.then_some(restores)));
    let restores = restores.transpose()?.flatten().map(u64::cast_signed);
    let SharedRevision { at_ms, author, reason, action, forced, splits, flags, experiments, endpoints, .. } = revision;
    db.prepare_cached(schema::PUT_REVISION)?.execute(params![number, at_ms, author, reason, action, restores])?;
    db.prepare_cached(schema::FORGET_FORCED)?.execute([number])?;
    if let Some(forced) = forced {
        db.prepare_cached(schema::PUT_FORCED)?.execute(params![number, forced])?;
    }
    for row in splits {
        let values = params![number, row.service, row.salt, row.runs, row.mirror];
        db.prepare_cached(schema::PUT_SPLIT)?.execute(values)?;
    }
    for row in flags {
        let values = params![number, row.flag, row.state, row.default, row.followers];
        db.prepare_cached(schema::PUT_FLAG_STATE)?.execute(values)?;
    }
    for row in experiments {
        let values = params![number, row.experiment, row.run, row.moved, row.ended];
        db.prepare_cached(schema::PUT_EXPERIMENT_RUN)?.execute(values)?;
    }
    for row in endpoints {
        let values = params![number, row.service, row.version, row.address, row.drained];
        db.prepare_cached(schema::PUT_ENDPOINT_CHANGE)?.execute(values)?;
    }
    Ok(())
}

/// Writes what is in force where the rows of the revisions do not say it yet, and what is drained.
fn put_last(db: &Transaction<'_>, revision: u64, before: &Loaded, tables: &SharedTables) -> rusqlite::Result<()> {
    let number = revision.cast_signed();
    for (name, traffic) in &tables.traffic {
        let (runs, mirror) = (traffic.slots.to_string(), traffic.mirror.as_ref().map(MirrorShare::to_string));
        let values = params![number, name.as_str(), &*traffic.salt, runs, mirror];
        db.prepare_cached(schema::PUT_LAST_SPLIT)?.execute(values)?;
        if before.traffic.get(name).is_none_or(|old| old.drained != traffic.drained) {
            db.prepare_cached(schema::CLEAR_DRAINED)?.execute([name.as_str()])?;
            for (version, address) in &traffic.drained {
                let values = params![name.as_str(), version.as_str(), address.to_string()];
                db.prepare_cached(schema::PUT_DRAINED)?.execute(values)?;
            }
        }
    }
    for (name, state) in &tables.flags {
        let values = params![number, name.as_str(), state.to_string()];
        db.prepare_cached(schema::PUT_LAST_FLAG)?.execute(values)?;
    }
    for (name, run) in &tables.experiments {
        db.prepare_cached(schema::PUT_LAST_RUN)?.execute(params![number, name.as_str(), run.to_string()])?;
    }
    Ok(())
}

/// The rows of a revision, as they are shared.
mod shared_rows {
    use rusqlite::{Connection, params};

    use super::super::{Revision, schema};
    use crate::control::fleet::shared_state::{EndpointRow, FlagStateRow, RunRow, SharedRevision, SplitRow};

    pub(super) fn of(db: &Connection, head: Revision) -> rusqlite::Result<SharedRevision> {
        let number = params![head.number.cast_signed()];
        let mut splits = db.prepare_cached(schema::SPLITS_OF)?;
        let splits = splits.query_map(number, |row| {
            Ok(SplitRow { service: row.get(0)?, salt: row.get(1)?, runs: row.get(2)?, mirror: row.get(3)? })
        })?;
        let mut flags = db.prepare_cached(schema::FLAGS_OF)?;
        let flags = flags.query_map(number, |row| {
            Ok(FlagStateRow { flag: row.get(0)?, state: row.get(1)?, default: row.get(2)?, followers: row.get(3)? })
        })?;
        let mut runs = db.prepare_cached(schema::EXPERIMENTS_OF)?;
        let runs = runs.query_map(number, |row| {
            Ok(RunRow { experiment: row.get(0)?, run: row.get(1)?, moved: row.get(2)?, ended: row.get(3)? })
        })?;
        let mut endpoints = db.prepare_cached(schema::ENDPOINT_CHANGES_OF)?;
        let endpoints = endpoints.query_map(number, |row| {
            Ok(EndpointRow { service: row.get(0)?, version: row.get(1)?, address: row.get(2)?, drained: row.get(3)? })
        })?;
        Ok(SharedRevision {
            number: head.number,
            at_ms: head.at_ms,
            author: head.author,
            reason: head.reason,
            action: head.action,
            restores: head.restores,
            forced: head.forced,
            splits: splits.collect::<Result<_, _>>()?,
            flags: flags.collect::<Result<_, _>>()?,
            experiments: runs.collect::<Result<_, _>>()?,
            endpoints: endpoints.collect::<Result<_, _>>()?,
        })
    }
}
