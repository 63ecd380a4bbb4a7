//! Chaos runs, by their numbers: a text for each, in the words of who stores it.

use rusqlite::params;

use super::rows::number;
use super::{Store, StoreError, schema};

impl Store {
    /// Up to `limit` chaos runs with their states, youngest first.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    pub(crate) fn chaos_runs(&self, limit: u32) -> Result<Vec<(u64, String)>, StoreError> {
        self.read(|| {
            // It may be missing: in a store of an earlier program that can only be read.
            let there: bool = self.db.query_row(schema::HAS_CHAOS_RUNS, [], |row| row.get(0))?;
            if !there {
                return Ok(Vec::new());
            }
            let mut list = self.db.prepare(schema::CHAOS_RUNS)?;
            list.query_map([limit], |row| Ok((number(row, 0)?, row.get(1)?)))?.collect()
        })
    }

    /// Writes the state of a chaos run; none: the run is forgotten. When this returns without an error, it is on disk.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub(crate) fn put_chaos_run(&mut self, id: u64, state: Option<&str>) -> Result<(), StoreError> {
        if let Some(problem) = self.problem() {
            return Err(problem);
        }
        let id = id.cast_signed();
        let put = match state {
            Some(state) => self.db.execute(schema::PUT_CHAOS_RUN, params![id, state]),
            None => self.db.execute(schema::FORGET_CHAOS_RUN, [id]),
        };
        put.map_err(|source| StoreError::at(self.path(), "write a chaos run", source))?;
        self.secure_written()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_written_over_forgotten_and_read_youngest_first() {
        let mut store = Store::in_memory().expect("memory");
        assert!(store.chaos_runs(10).expect("a read").is_empty());
        for (id, state) in [(1, "a"), (2, "b"), (3, "c")] {
            store.put_chaos_run(id, Some(state)).expect("there is room");
        }
        store.put_chaos_run(2, Some("b2")).expect("there is room");
        store.put_chaos_run(3, None).expect("there is room");
        let runs = store.chaos_runs(10).expect("a read");
        assert_eq!(runs, [(2, "b2".to_owned()), (1, "a".to_owned())]);
        assert_eq!(store.chaos_runs(1).expect("a read").len(), 1);
    }
}
