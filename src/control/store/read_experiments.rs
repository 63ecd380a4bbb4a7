//! Reads of the store about experiments. Their table may be missing: in a store of an earlier format that can only be
//! read.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{OptionalExtension, Row, params};

use crate::control::experiment_difference::ExperimentDifference;
use crate::control::planned::Entry;
use crate::table::Name;
use crate::table::experiment_run::ExperimentRun;

use super::read::entry;
use super::rows::{experiment_run, name, run_end, share};
use super::{Store, schema};

impl Store {
    fn has_experiments(&self) -> rusqlite::Result<bool> {
        self.db.prepare_cached(schema::HAS_EXPERIMENTS)?.query_row([], |row| row.get(0))
    }

    /// The last run of every experiment that ever ran.
    pub(super) fn last_runs(&self) -> rusqlite::Result<BTreeMap<Name, Arc<ExperimentRun>>> {
        if !self.has_experiments()? {
            return Ok(BTreeMap::new());
        }
        let mut runs = self.db.prepare(schema::LAST_EXPERIMENT_RUNS)?;
        runs.query_map([], |row| Ok((name(row, 0)?, Arc::new(experiment_run(row, 1)?))))?.collect()
    }

    /// The revisions that changed the run of an experiment, ascending.
    pub(super) fn entries_of_experiment(&self, experiment: &Name) -> rusqlite::Result<Vec<Entry>> {
        if !self.has_experiments()? {
            return Ok(Vec::new());
        }
        self.db.prepare_cached(schema::EXPERIMENT_ENTRIES)?.query_map([experiment.as_str()], entry)?.collect()
    }

    /// The run of an experiment up to a revision.
    pub(super) fn run_before(&self, experiment: &Name, revision: u64) -> rusqlite::Result<Option<ExperimentRun>> {
        if !self.has_experiments()? {
            return Ok(None);
        }
        let mut run = self.db.prepare_cached(schema::EXPERIMENT_AT)?;
        run.query_row(params![experiment.as_str(), revision.cast_signed()], |row| experiment_run(row, 0)).optional()
    }

    /// What a revision changed of experiments, against the one before it.
    pub(super) fn experiment_difference(&self, revision: u64) -> rusqlite::Result<Vec<ExperimentDifference>> {
        if !self.has_experiments()? {
            return Ok(Vec::new());
        }
        let mut rows = self.db.prepare_cached(schema::EXPERIMENTS_OF)?;
        let row = |row: &Row<'_>| {
            let (experiment, after) = (name(row, 0)?, experiment_run(row, 1)?);
            let (moved, end) = (share(row, 2)?, run_end(row, 3)?);
            Ok(ExperimentDifference { experiment, before: None, after, moved, end })
        };
        let rows = rows.query_map([revision.cast_signed()], row)?.collect::<Result<Vec<_>, _>>()?;
        let with_before = |row: ExperimentDifference| {
            let before = self.run_before(&row.experiment, revision.saturating_sub(1))?;
            Ok(ExperimentDifference { before, ..row })
        };
        rows.into_iter().map(with_before).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::experiment_difference::RunEnd;
    use crate::control::planned::{Action, History};
    use crate::control::store::{Header, Record};
    use crate::table::Weight;

    const RUNS: [&str; 2] =
        ["on;since=1;share=40;of=0000000000000007;slots=0-40000", "off;since=1;share=40;of=0000000000000007"];

    fn run(text: &str) -> ExperimentRun {
        ExperimentRun::parse(text).expect("a run")
    }

    #[test]
    fn each_difference_is_read_back_and_no_other_word() {
        let mut store = Store::in_memory().expect("memory");
        let experiment = Name::new("button").expect("a name");
        let moves = [None, Weight::from_percent(0.0), Weight::from_percent(12.5)];
        let ends = RunEnd::ALL.map(Some).into_iter().chain([None]);
        let mut before = None;
        for (number, (moved, end)) in (1..).zip(moves.into_iter().cycle().zip(ends)) {
            let after = run(RUNS[usize::from(number % 2 == 0)]);
            let difference = [ExperimentDifference { experiment: experiment.clone(), before, after, moved, end }];
            let action = Action::Stop;
            let header = Header { number, at_ms: 0, author: "ada", reason: None, action, restores: None, forced: None };
            let record = Record { revision: Some(header), experiments: &difference, ..Record::default() };
            store.commit(&record).expect("a write");
            let read = store.revision(number).expect("a read").expect("it is there");
            assert_eq!(read.experiments, difference);
            let loaded = store.load().expect("a read").experiments;
            assert_eq!(loaded.get(&experiment).map(|run| &**run), Some(&difference[0].after));
            before = Some(difference[0].after.clone());
        }
        store.db.execute_batch("UPDATE experiment_runs SET ended = 'somehow' WHERE revision = 1").expect("a write");
        assert!(store.revision(1).is_err() && store.revision(2).is_ok());
    }

    #[test]
    fn a_store_without_a_table_of_experiments_has_none() {
        let store = Store::in_memory().expect("memory");
        // As a store of an earlier format is that can only be read.
        store.db.execute_batch("DROP TABLE experiment_runs").expect("it is there");
        assert!(store.load().expect("a read").experiments.is_empty());
        let experiment = Name::new("button").expect("a name");
        assert_eq!(store.experiment_entries(&experiment).expect("a read"), []);
        assert_eq!(store.experiment_at(&experiment, 1).expect("a read"), None);
        assert_eq!(store.revisions(None, 5).expect("a read"), []);
    }
}
