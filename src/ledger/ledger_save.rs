//! Writes to the ledger's file: all that has changed, in one transaction.

use std::collections::BTreeMap;

use rusqlite::{Transaction, params};

use super::ledger_columns::{better_word, bytes_of, measure_word, stored};
use super::ledger_file::LedgerFile;
use super::ledger_file_error::LedgerFileError;
use super::ledger_rows;
use super::ledger_schema as schema;
use super::open_trial::OpenTrial;
use crate::experiment::experiment_result::ExperimentCounts;
use crate::experiment::experiment_state::others::{OtherTotals, ReplicaName};
use crate::experiment::experiment_state::saving::{SavedTotals, SavedUser};
use crate::experiment::metric_result::MetricPlan;
use crate::shared::per_arm::ExperimentArm;

impl LedgerFile {
    /// Writes what has changed of all these trials, in one transaction. When this returns without an error, it is on
    /// disk, in the file that the path leads to.
    ///
    /// # Errors
    /// [`LedgerFileError`]; what was written may be lost then, and has to be written again.
    pub(super) fn save(&mut self, trials: &[&OpenTrial]) -> Result<(), LedgerFileError> {
        let done = self.db.transaction().and_then(|transaction| {
            for trial in trials {
                put_trial(&transaction, trial)?;
            }
            transaction.commit()
        });
        done.map_err(|source| self.error(source))?;
        self.secure_written()
    }

    /// Ends the runs that have no end and are not under way: the process was down when their experiment was stopped, or
    /// left the config.
    ///
    /// # Errors
    /// [`LedgerFileError`] when that cannot be written.
    pub(super) fn end_others(&mut self, runs: &[(&str, u64)], at_ms: u64) -> Result<(), LedgerFileError> {
        let done = self.db.transaction().and_then(|transaction| {
            let mut known = Vec::new();
            let mut rows = transaction.prepare_cached(schema::RUNNING)?;
            for row in rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))? {
                known.push(row?);
            }
            drop(rows);
            let runs_on = |name: &str, since: i64| runs.iter().any(|run| *run == (name, since.cast_unsigned()));
            for (name, since) in known.iter().filter(|(name, since)| !runs_on(name, *since)) {
                transaction.prepare_cached(schema::END)?.execute(params![name, since, at_ms.cast_signed()])?;
            }
            transaction.commit()
        });
        done.map_err(|source| self.error(source))
    }
}

fn put_trial(db: &Transaction<'_>, trial: &OpenTrial) -> rusqlite::Result<()> {
    let Some((experiment, since)) = trial.run() else { return Ok(()) };
    let (since, began) = (since.cast_signed(), trial.began_ms.cast_signed());
    let id = put_totals(db, trial, experiment, since)?;
    if !trial.kept {
        for (number, metric) in (0_i64..).zip(&trial.state.spec().metrics) {
            put_metric(db, id, number, &metric.plan)?;
        }
        db.prepare_cached(schema::END_OTHERS)?.execute(params![experiment, since, began])?;
        let mut older = db.prepare_cached(schema::OLDER_WITH_USERS)?;
        let older: Vec<i64> =
            older.query_map(params![experiment, since], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for older in older {
            close_books(db, older)?;
        }
    }
    for (number, share) in (0_i64..).zip(trial.state.totals().shares) {
        db.prepare_cached(schema::PUT_SHARE)?.execute(params![id, number, share.value()])?;
    }
    put_users(db, id, trial)?;
    put_others(db, id, trial)
}

/// The row of the trial itself; its number.
fn put_totals(db: &Transaction<'_>, trial: &OpenTrial, experiment: &str, since: i64) -> rusqlite::Result<i64> {
    let SavedTotals { shares: _, turned_away, tally, first_id } = trial.state.totals();
    let (began, ended) = (trial.began_ms.cast_signed(), trial.ended_ms.map(u64::cast_signed));
    let row = params![
        experiment,
        since,
        began,
        ended,
        turned_away.cast_signed(),
        first_id.cast_signed(),
        tally.counted.cast_signed(),
        tally.repeated.cast_signed(),
        tally.no_metric.cast_signed(),
        tally.not_exposed.cast_signed(),
        tally.crossed.cast_signed(),
        tally.before.cast_signed(),
        tally.after.cast_signed(),
    ];
    db.prepare_cached(schema::PUT_TRIAL)?.query_row(row, |row| row.get(0))
}

fn put_users(db: &Transaction<'_>, id: i64, trial: &OpenTrial) -> rusqlite::Result<()> {
    let mut put = db.prepare_cached(schema::PUT_USER)?;
    for saved in trial.state.unsaved_users() {
        let SavedUser { user, arm, crossed, share, first_ms, values } = saved;
        let (user, first_ms) = (stored(user), first_ms.cast_signed());
        put.execute(params![id, user, arm == ExperimentArm::Treatment, crossed, share, first_ms, bytes_of(&values)])?;
    }
    let mut put = db.prepare_cached(schema::PUT_EVENT)?;
    for (number, event) in trial.state.unsaved_ids() {
        put.execute(params![id, number.cast_signed(), stored(event)])?;
    }
    let first = trial.state.totals().first_id.cast_signed();
    db.prepare_cached(schema::FORGET_EVENTS)?.execute(params![id, first]).map(drop)
}

/// What other replicas have told.
fn put_others(db: &Transaction<'_>, id: i64, trial: &OpenTrial) -> rusqlite::Result<()> {
    let number_of = |replica: &ReplicaName| -> rusqlite::Result<i64> {
        db.prepare_cached(schema::PUT_REPLICA)?.execute([&**replica])?;
        db.prepare_cached(schema::REPLICA)?.query_row([&**replica], |row| row.get(0))
    };
    let mut numbers = BTreeMap::new();
    let mut put = db.prepare_cached(schema::PUT_OTHER_TOTALS)?;
    for (replica, OtherTotals { turned_away, tally }) in trial.state.other_totals() {
        let number = number_of(replica)?;
        numbers.insert(replica, number);
        let counts = [tally.counted, tally.repeated, tally.no_metric, tally.not_exposed];
        let [counted, repeated, no_metric, not_exposed] = counts.map(u64::cast_signed);
        let [crossed, before, after] = [tally.crossed, tally.before, tally.after].map(u64::cast_signed);
        let turned_away = turned_away.cast_signed();
        put.execute(params![
            id,
            number,
            turned_away,
            counted,
            repeated,
            no_metric,
            not_exposed,
            crossed,
            before,
            after
        ])?;
    }
    let mut put = db.prepare_cached(schema::PUT_OTHER)?;
    for (replica, saved) in trial.state.unsaved_others() {
        let Some(number) = numbers.get(replica) else { continue };
        let SavedUser { user, arm, crossed, share, first_ms, values } = saved;
        let (user, is_treatment) = (stored(user), arm == ExperimentArm::Treatment);
        let (first_ms, values) = (first_ms.cast_signed(), bytes_of(&values));
        put.execute(params![id, user, number, is_treatment, crossed, share, first_ms, values])?;
    }
    Ok(())
}

fn put_metric(db: &Transaction<'_>, id: i64, number: i64, plan: &MetricPlan) -> rusqlite::Result<()> {
    let MetricPlan { name, measure, better, guardrail } = plan;
    let (measure, better) = (measure_word(*measure), better_word(*better));
    db.prepare_cached(schema::PUT_METRIC)?.execute(params![id, number, name, measure, better, guardrail]).map(drop)
}

/// Keeps the counts of a run that is no longer the latest, and none of its users.
fn close_books(db: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    let ExperimentCounts { users, seen, crossed, metrics, .. } = ledger_rows::count(db, id)?;
    db.prepare_cached(schema::PUT_COUNTS)?.execute(params![id, seen.cast_signed(), crossed.cast_signed()])?;
    let mut put_users = db.prepare_cached(schema::PUT_ARM_USERS)?;
    for (share, of_share) in (0_i64..).zip(&users) {
        for (arm, users) in [(false, of_share.users.control), (true, of_share.users.treatment)] {
            put_users.execute(params![id, share, arm, users.cast_signed()])?;
        }
    }
    let mut put_sums = db.prepare_cached(schema::PUT_ARM_SUMS)?;
    for (metric, counts) in (0_i64..).zip(&metrics) {
        for (share, of_share) in (0_i64..).zip(&counts.sums) {
            for (arm, sums) in [(false, &of_share.arms.control), (true, &of_share.arms.treatment)] {
                let (users, x, y) = (sums.users.cast_signed(), sums.x, sums.y);
                let (x_squares, y_squares, products) = (sums.x_squares, sums.y_squares, sums.products);
                put_sums.execute(params![id, metric, share, arm, users, x, x_squares, y, y_squares, products])?;
            }
        }
    }
    for forget in schema::FORGET_USERS {
        db.prepare_cached(forget)?.execute([id])?;
    }
    Ok(())
}
