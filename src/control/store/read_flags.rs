//! Reads of the store about flags. Their tables may be missing: in a store of an earlier format that can only be read.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{OptionalExtension, Row, params};

use crate::control::flag_difference::FlagDifference;
use crate::control::planned::Entry;
use crate::table::flag_state::FlagState;
use crate::table::{Name, Weight};

use super::read::entry;
use super::rows::{flag_state, name, name_if_any, share};
use super::{Store, schema};

/// The state of a flag that a revision made.
struct FlagRow {
    flag: Name,
    state: FlagState,
    default: Option<Name>,
    followers: Option<Weight>,
}

impl Store {
    fn has_flags(&self) -> rusqlite::Result<bool> {
        self.db.prepare_cached(schema::HAS_FLAGS)?.query_row([], |row| row.get(0))
    }

    /// The last state of every flag that ever was.
    pub(super) fn last_flag_states(&self) -> rusqlite::Result<BTreeMap<Name, Arc<FlagState>>> {
        if !self.has_flags()? {
            return Ok(BTreeMap::new());
        }
        let mut states = self.db.prepare(schema::LAST_FLAG_STATES)?;
        states.query_map([], |row| Ok((name(row, 0)?, Arc::new(flag_state(row, 1)?))))?.collect()
    }

    /// The state that the file asked for, per flag.
    pub(super) fn flag_intent(&self) -> rusqlite::Result<BTreeMap<Name, FlagState>> {
        if !self.has_flags()? {
            return Ok(BTreeMap::new());
        }
        let mut states = self.db.prepare(schema::FLAG_INTENT)?;
        states.query_map([], |row| Ok((name(row, 0)?, flag_state(row, 1)?)))?.collect()
    }

    /// The revisions that changed the state of a flag, ascending.
    pub(super) fn entries_of_flag(&self, flag: &Name) -> rusqlite::Result<Vec<Entry>> {
        if !self.has_flags()? {
            return Ok(Vec::new());
        }
        self.db.prepare_cached(schema::FLAG_ENTRIES)?.query_map([flag.as_str()], entry)?.collect()
    }

    /// The state of a flag up to a revision.
    pub(super) fn flag_before(&self, flag: &Name, revision: u64) -> rusqlite::Result<Option<FlagState>> {
        if !self.has_flags()? {
            return Ok(None);
        }
        let mut state = self.db.prepare_cached(schema::FLAG_AT)?;
        state.query_row(params![flag.as_str(), revision.cast_signed()], |row| flag_state(row, 0)).optional()
    }

    /// What a revision changed of flags, against the one before it.
    pub(super) fn flag_difference(&self, revision: u64) -> rusqlite::Result<Vec<FlagDifference>> {
        if !self.has_flags()? {
            return Ok(Vec::new());
        }
        let mut rows = self.db.prepare_cached(schema::FLAGS_OF)?;
        let row = |row: &Row<'_>| {
            let (flag, state) = (name(row, 0)?, flag_state(row, 1)?);
            Ok(FlagRow { flag, state, default: name_if_any(row, 2)?, followers: share(row, 3)? })
        };
        let rows = rows.query_map([revision.cast_signed()], row)?.collect::<Result<Vec<_>, _>>()?;
        let difference = |FlagRow { flag, state, default, followers }: FlagRow| {
            let before = self.flag_before(&flag, revision.saturating_sub(1))?;
            Ok(FlagDifference { followers, ..FlagDifference::of(&flag, default.as_ref(), before.as_ref(), &state) })
        };
        rows.into_iter().map(difference).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::planned::{Action, History};
    use crate::control::store::{FlagRecord, Header, Record};

    #[test]
    fn what_may_be_missing_of_a_flag_is_missing_or_kept() {
        let mut store = Store::in_memory().expect("memory");
        let (flag, off) = (Name::new("new").expect("a name"), Name::new("off").expect("a name"));
        let state = FlagState::parse("off").expect("a state");
        for (number, default, followers) in [(1, None, None), (2, Some(&off), Weight::from_percent(10.0))] {
            let action = Action::Flag;
            let header = Header { number, at_ms: 0, author: "ada", reason: None, action, restores: None, forced: None };
            let flags = vec![FlagRecord { flag: &flag, state: &state, default, followers }];
            store.commit(&Record { revision: Some(header), flags, ..Record::default() }).expect("a write");
            let read = store.revision(number).expect("a read").expect("it is there");
            assert_eq!((read.flags[0].default.as_ref(), read.flags[0].followers), (default, followers));
        }
        store.db.execute_batch("UPDATE flag_states SET followers = 100001").expect("a write");
        assert!(store.revision(2).is_err(), "more than all users is no share");
    }

    #[test]
    fn a_store_without_tables_of_flags_has_no_flags() {
        let store = Store::in_memory().expect("memory");
        // As a store of an earlier format is that can only be read.
        store.db.execute_batch("DROP TABLE flag_states; DROP TABLE flag_intent").expect("they are there");
        let loaded = store.load().expect("a read");
        assert!(loaded.flags.is_empty() && loaded.flag_intent.is_empty());
        let flag = Name::new("new").expect("a name");
        assert_eq!(store.flag_entries(&flag).expect("a read"), []);
        assert_eq!(store.flag_at(&flag, 1).expect("a read"), None);
        assert_eq!(store.revisions(None, 5).expect("a read"), []);
    }
}
