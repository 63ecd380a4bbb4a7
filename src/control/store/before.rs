//! The state before a transaction, to take it out again: it was committed to a file that turned out to be lost, and was
//! never acknowledged.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Record, WeightNote, schema, weight_notes};

/// What was there before a [`Record`].
#[derive(Debug)]
pub(crate) struct Before {
    revision: Option<i64>,
    /// The drained endpoints of a service: version and address.
    drained: Vec<(String, Vec<(String, String)>)>,
    /// The file's split of a service.
    intent: Vec<(String, Option<String>)>,
    /// The file's state of a flag.
    flag_intent: Vec<(String, Option<String>)>,
    rollout: Option<(i64, Option<String>)>,
    notes: Vec<WeightNote>,
}

impl Before {
    /// What `record` will replace.
    pub(crate) fn of(db: &Connection, record: &Record<'_>) -> rusqlite::Result<Self> {
        let mut drained = Vec::new();
        for (service, _) in &record.drained {
            let mut rows = db.prepare_cached(schema::DRAINED_OF)?;
            let rows = rows.query_map([service.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            drained.push((service.to_string(), rows.collect::<Result<_, _>>()?));
        }
        let mut intent = Vec::new();
        for (service, _) in &record.intent {
            let mut split = db.prepare_cached(schema::INTENT_OF)?;
            intent.push((service.to_string(), split.query_row([service.as_str()], |row| row.get(0)).optional()?));
        }
        let mut flag_intent = Vec::new();
        for (flag, _) in &record.flag_intent {
            let mut state = db.prepare_cached(schema::FLAG_INTENT_OF)?;
            flag_intent.push((flag.to_string(), state.query_row([flag.as_str()], |row| row.get(0)).optional()?));
        }
        let rollout = record.rollout.map(|(id, _)| {
            let id = id.cast_signed();
            let state = db.query_row(schema::ROLLOUT_STATE, [id], |row| row.get(0)).optional();
            state.map(|state| (id, state))
        });
        let revision = record.revision.as_ref().map(|header| header.number.cast_signed());
        let note = |WeightNote { key, .. }: &WeightNote| {
            Ok(WeightNote { key: key.clone(), text: weight_notes::text(db, key)? })
        };
        let notes = record.notes.iter().map(note).collect::<rusqlite::Result<_>>()?;
        Ok(Self { revision, drained, intent, flag_intent, rollout: rollout.transpose()?, notes })
    }

    /// Puts it back.
    pub(crate) fn restore(&self, db: &mut Connection) -> rusqlite::Result<()> {
        let db = db.transaction()?;
        if let Some(revision) = self.revision {
            for statement in schema::FORGET_REVISION {
                db.execute(statement, [revision])?;
            }
        }
        for (service, drained) in &self.drained {
            db.execute(schema::CLEAR_DRAINED, [service])?;
            for (version, address) in drained {
                db.execute(schema::PUT_DRAINED, params![service, version, address])?;
            }
        }
        for (service, split) in &self.intent {
            match split {
                Some(split) => db.execute(schema::PUT_INTENT, params![service, split])?,
                None => db.execute(schema::FORGET_INTENT, [service])?,
            };
        }
        for (flag, state) in &self.flag_intent {
            match state {
                Some(state) => db.execute(schema::PUT_FLAG_INTENT, params![flag, state])?,
                None => db.execute(schema::FORGET_FLAG_INTENT, [flag])?,
            };
        }
        if let Some((id, state)) = &self.rollout {
            match state {
                Some(state) => db.execute(schema::PUT_ROLLOUT, params![id, state])?,
                None => db.execute(schema::FORGET_ROLLOUT, [id])?,
            };
        }
        self.notes.iter().try_for_each(|note| weight_notes::put(&db, note))?;
        db.commit()
    }
}
