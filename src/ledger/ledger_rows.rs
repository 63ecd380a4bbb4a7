//! Reads the ledger's file.

use rusqlite::{Connection, Row, params};

use super::ledger_columns::{arm_of, better_of, hash_of, measure_of, stored, values_of};
use super::ledger_file::LedgerFile;
use super::ledger_file_error::LedgerFileError;
use super::ledger_handle::{TrialCounts, TrialUser, UsersCall, UsersPage};
use super::ledger_schema as schema;
use super::seen::TrialKey;
use crate::experiment::experiment_result::{ExperimentCounts, MetricCounts, ShareUsers};
use crate::experiment::experiment_state::others::{OtherTotals, ReplicaName};
use crate::experiment::experiment_state::saving::{SavedTotals, SavedUser};
use crate::experiment::experiment_state::{EventTally, ExperimentState};
use crate::experiment::merged_user::{MergedUser, UserRow};
use crate::experiment::metric_result::{MetricPlan, ShareSums};
use crate::experiment::metric_sums::MetricSums;
use crate::experiment::name_hash::NameHash;
use crate::experiment::user_sums::UserSums;
use crate::shared::name::Name;
use crate::shared::per_arm::PerArm;
use crate::shared::probability::Probability;

const READING: &str = "read what experiments have counted";

/// A run of an experiment that the file has.
#[derive(Debug)]
pub(super) struct StoredRun {
    pub(super) id: i64,
    pub(super) since: u64,
    pub(super) began_ms: u64,
    pub(super) ended_ms: Option<u64>,
    pub(super) totals: SavedTotals,
    pub(super) plans: Vec<MetricPlan>,
    /// Whether its counts are kept only, and no users.
    pub(super) closed: bool,
}

impl LedgerFile {
    /// All runs of an experiment, the latest first.
    ///
    /// # Errors
    /// [`LedgerFileError`] when they cannot be read.
    pub(super) fn runs(&self, experiment: &Name) -> Result<Vec<StoredRun>, LedgerFileError> {
        self.read(|db| {
            let mut rows = db.prepare_cached(&schema::trials_of())?;
            let runs = rows.query_map([experiment.as_str()], run_of)?.collect::<Result<Vec<_>, _>>()?;
            runs.into_iter().map(|run| with_parts(db, run)).collect()
        })
    }

    /// Puts the users of a run into its state, what other replicas know of them, and the ids of events.
    ///
    /// # Errors
    /// [`LedgerFileError`] when they cannot be read.
    pub(super) fn load_into(&self, id: i64, state: &mut ExperimentState) -> Result<(), LedgerFileError> {
        self.read(|db| {
            let mut rows = db.prepare_cached(schema::OWN_USERS)?;
            for user in rows.query_map([id], user_of)? {
                state.put_back(user?);
            }
            for (replica, totals) in other_totals(db, id)? {
                state.put_totals_back(&replica, totals);
            }
            let mut rows = db.prepare_cached(schema::OTHER_USERS)?;
            let mut rows = rows.query([id])?;
            while let Some(row) = rows.next()? {
                let replica: String = row.get(6)?;
                state.put_other_back(&replica.into(), user_of(row)?);
            }
            let mut rows = db.prepare_cached(schema::EVENTS)?;
            for event in rows.query_map([id], |row| row.get(0))? {
                state.remember(hash_of(event?));
            }
            Ok(())
        })
    }

    /// What a run has counted.
    ///
    /// # Errors
    /// [`LedgerFileError`] when it cannot be read.
    pub(super) fn counts_of(&self, experiment: &Name, run: &StoredRun) -> Result<TrialCounts, LedgerFileError> {
        let counts = self.read(|db| if run.closed { closed_counts(db, run) } else { count(db, run.id) })?;
        Ok(TrialCounts {
            trial: TrialKey::Experiment { name: experiment.clone(), since: run.since },
            began_ms: run.began_ms,
            ended_ms: run.ended_ms,
            counts,
            tally: self.read(|db| tally_of_all(db, run))?,
        })
    }

    /// Some users of a run.
    ///
    /// # Errors
    /// [`LedgerFileError`] when they cannot be read.
    pub(super) fn users(&self, call: &UsersCall, run: &StoredRun) -> Result<UsersPage, LedgerFileError> {
        // One that is at the end of the page may have rows behind it.
        let from = call.after.map_or(Some(NameHash::from_number(0)), NameHash::next);
        let mut page: Vec<SavedUser> = Vec::new();
        let put = |user| {
            page.push(user);
            page.len() < call.limit
        };
        if let Some(from) = from {
            self.read(|db| each_user(db, RunUsers { id: run.id, plans: &run.plans, from }, put))?;
        }
        let next = page.last().filter(|_| page.len() >= call.limit).map(|user| user.user);
        let users = page.into_iter().filter_map(|user| trial_user(user, &run.totals.shares)).collect();
        let trial = TrialKey::Experiment { name: call.experiment.clone(), since: run.since };
        Ok(UsersPage { trial, metrics: run.plans.iter().map(|plan| plan.name.clone()).collect(), users, next })
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, LedgerFileError> {
        read(&self.db).map_err(|source| LedgerFileError::at(&self.path, READING, source))
    }
}

fn run_of(row: &Row<'_>) -> rusqlite::Result<StoredRun> {
    let number = |index: usize| row.get::<_, i64>(index).map(i64::cast_unsigned);
    let tally = tally_from(row, 6)?;
    let totals = SavedTotals { shares: Vec::new(), turned_away: number(4)?, tally, first_id: number(5)? };
    let ended_ms = row.get::<_, Option<i64>>(3)?.map(i64::cast_unsigned);
    let (id, since, began_ms) = (row.get(0)?, number(1)?, number(2)?);
    Ok(StoredRun { id, since, began_ms, ended_ms, totals, plans: Vec::new(), closed: false })
}

fn with_parts(db: &Connection, mut run: StoredRun) -> rusqlite::Result<StoredRun> {
    run.totals.shares = shares_of(db, run.id)?;
    run.plans = plans_of(db, run.id)?;
    run.closed = is_closed(db, run.id)?;
    Ok(run)
}

fn shares_of(db: &Connection, id: i64) -> rusqlite::Result<Vec<Probability>> {
    let mut rows = db.prepare_cached(schema::SHARES)?;
    rows.query_map([id], |row| checked(Probability::new(row.get(0)?)))?.collect()
}

fn plans_of(db: &Connection, id: i64) -> rusqlite::Result<Vec<MetricPlan>> {
    let mut rows = db.prepare_cached(schema::METRICS)?;
    let plan = |row: &Row<'_>| {
        let (measure, better): (String, String) = (row.get(1)?, row.get(2)?);
        let (measure, better) = (checked(measure_of(&measure))?, better_of(&better));
        Ok(MetricPlan { name: row.get(0)?, measure, better, guardrail: row.get(3)? })
    };
    rows.query_map([id], plan)?.collect()
}

fn user_of(row: &Row<'_>) -> rusqlite::Result<SavedUser> {
    let values: Vec<u8> = row.get(5)?;
    Ok(SavedUser {
        user: hash_of(row.get(0)?),
        arm: arm_of(row.get(1)?),
        crossed: row.get(2)?,
        share: row.get(3)?,
        first_ms: row.get::<_, i64>(4)?.cast_unsigned(),
        values: values_of(&values),
    })
}

fn trial_user(user: SavedUser, shares: &[Probability]) -> Option<TrialUser> {
    let SavedUser { user, arm, crossed, share, first_ms, values } = user;
    let share = *shares.get(usize::from(share))?;
    let values = values.iter().map(|values| (values.x, values.y)).collect();
    Some(TrialUser { user, arm, crossed, share, first_ms, values })
}

/// Which users of a run.
struct RunUsers<'r> {
    id: i64,
    plans: &'r [MetricPlan],
    /// The first.
    from: NameHash,
}

/// Each user of a run as all replicas know it, in the order of their hashes, for as long as more are wanted.
fn each_user(
    db: &Connection,
    RunUsers { id, plans, from }: RunUsers<'_>,
    mut put: impl FnMut(SavedUser) -> bool,
) -> rusqlite::Result<()> {
    let measure = |number: usize| plans.get(number).map(|plan| plan.measure);
    let mut rows = db.prepare_cached(schema::ROWS_FROM)?;
    let mut rows = rows.query(params![id, stored(from)])?;
    let mut open: Option<(NameHash, MergedUser)> = None;
    while let Some(row) = rows.next()? {
        let row = user_of(row)?;
        match &mut open {
            Some((user, merged)) if *user == row.user => merged.add(UserRow::from(&row), measure),
            _ => {
                let new = (row.user, MergedUser::of(UserRow::from(&row)));
                if let Some((user, merged)) = open.replace(new)
                    && !put(merged.saved(user))
                {
                    return Ok(());
                }
            }
        }
    }
    if let Some((user, merged)) = open {
        put(merged.saved(user));
    }
    Ok(())
}

/// What is kept of other replicas beside their rows.
fn other_totals(db: &Connection, id: i64) -> rusqlite::Result<Vec<(ReplicaName, OtherTotals)>> {
    let mut rows = db.prepare_cached(schema::OTHER_TOTALS)?;
    let totals = |row: &Row<'_>| {
        let replica: String = row.get(0)?;
        let turned_away = row.get::<_, i64>(1)?.cast_unsigned();
        Ok((replica.into(), OtherTotals { turned_away, tally: tally_from(row, 2)? }))
    };
    rows.query_map([id], totals)?.collect()
}

/// What became of events on all replicas.
fn tally_of_all(db: &Connection, run: &StoredRun) -> rusqlite::Result<EventTally> {
    let others = other_totals(db, run.id)?;
    Ok(others.iter().fold(run.totals.tally, |sum, (_, other)| sum.plus(other.tally)))
}

fn tally_from(row: &Row<'_>, first: usize) -> rusqlite::Result<EventTally> {
    let number = |index: usize| row.get::<_, i64>(first + index).map(i64::cast_unsigned);
    Ok(EventTally {
        counted: number(0)?,
        repeated: number(1)?,
        no_metric: number(2)?,
        not_exposed: number(3)?,
        crossed: number(4)?,
        before: number(5)?,
        after: number(6)?,
    })
}

/// The sums over the users of a run, in the order of their hashes.
pub(super) fn count(db: &Connection, id: i64) -> rusqlite::Result<ExperimentCounts> {
    let (plans, shares) = (plans_of(db, id)?, shares_of(db, id)?);
    let mut sums = UserSums::new(plans.iter(), &shares);
    each_user(db, RunUsers { id, plans: &plans, from: NameHash::from_number(0) }, |user| {
        sums.add(user.arm, user.crossed, user.share, &user.values);
        true
    })?;
    let turned_away: i64 = db.prepare_cached(schema::TURNED_AWAY)?.query_row([id], |row| row.get(0))?;
    Ok(sums.counts(turned_away.cast_unsigned()))
}

/// Whether only the counts of a run are kept.
fn is_closed(db: &Connection, id: i64) -> rusqlite::Result<bool> {
    db.prepare_cached(schema::COUNTS)?.exists([id])
}

/// The sums that were kept of a run whose users are not.
fn closed_counts(db: &Connection, run: &StoredRun) -> rusqlite::Result<ExperimentCounts> {
    let StoredRun { id, totals, plans, .. } = run;
    let number = |row: &Row<'_>, index: usize| row.get::<_, i64>(index).map(i64::cast_unsigned);
    let turned_away: i64 = db.prepare_cached(schema::TURNED_AWAY)?.query_row([id], |row| row.get(0))?;
    let mut counts = UserSums::new(plans.iter(), &totals.shares).counts(turned_away.cast_unsigned());
    let put = |row: &Row<'_>| {
        (counts.seen, counts.crossed) = (number(row, 0)?, number(row, 1)?);
        Ok(())
    };
    db.prepare_cached(schema::COUNTS)?.query_row([id], put)?;
    let mut rows = db.prepare_cached(schema::ARM_USERS)?;
    let mut rows = rows.query([id])?;
    while let Some(row) = rows.next()? {
        let of_share: &mut ShareUsers = checked(counts.users.get_mut(usize::from(row.get::<_, u16>(0)?)))?;
        *of_share.users.get_mut(arm_of(row.get(1)?)) = number(row, 2)?;
    }
    let mut rows = db.prepare_cached(schema::ARM_SUMS)?;
    let mut rows = rows.query([id])?;
    while let Some(row) = rows.next()? {
        let metric: &mut MetricCounts = checked(counts.metrics.get_mut(usize::from(row.get::<_, u16>(0)?)))?;
        let of_share: &mut ShareSums = checked(metric.sums.get_mut(usize::from(row.get::<_, u16>(1)?)))?;
        let arms: &mut PerArm<MetricSums> = &mut of_share.arms;
        *arms.get_mut(arm_of(row.get(2)?)) = MetricSums {
            users: number(row, 3)?,
            x: row.get(4)?,
            x_squares: row.get(5)?,
            y: row.get(6)?,
            y_squares: row.get(7)?,
            products: row.get(8)?,
        };
    }
    Ok(counts)
}

/// What must be there in a file of ours.
fn checked<T>(found: Option<T>) -> rusqlite::Result<T> {
    found.ok_or(rusqlite::Error::InvalidQuery)
}
