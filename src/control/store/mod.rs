//! Revisions on disk: what was changed when, by whom and why, and the exact slots of each, of services, flags and
//! experiments.
//!
//! SQLite in WAL mode with full sync: when [`Store::commit`] returns, the revision survives a kill and a power cut, and
//! it is there whole or not at all. `open` refuses what is not ours, `schema` is the format, `read`, `read_flags`,
//! `read_experiments` and `rows` get things out again, and `slo_rows` has what objectives have counted. A write that
//! fails (a full disk, say) leaves the store as it was and usable. [`place`](crate::database::place) tells (and `look`
//! has it tell in time) whether the path still leads to the files that are written, `findings` decides what is done
//! when it does not, `mend` does it, and `before` takes out what was written to a file that was lost.

mod before;
mod chaos_rows;
pub(crate) mod error;
mod findings;
pub(crate) mod fleet_rows;
mod look;
mod mend;
mod open;
mod read;
mod read_experiments;
mod read_flags;
mod rows;
pub(crate) mod schema;
pub(crate) mod slo_rows;
mod weight_notes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, Transaction, params};

use crate::table::experiment_run::ExperimentRun;
use crate::table::flag_state::FlagState;
use crate::table::{EndpointAddress, MirrorShare, Name, Traffic, Weight};

use super::difference::Difference;
use super::experiment_difference::{ExperimentDifference, RunEnd};
use super::flag_difference::FlagDifference;
use super::fleet::fleet_mark::FleetMark;
use super::planned::{Action, PlannedFlags};
use super::service_intent::ServiceIntent;
use super::weight_marks::WeightMarks;
use crate::database::file_lock::FileLock;
use crate::database::place::StorePlace;
use before::Before;
use findings::Link;
use look::Looker;

pub(crate) use error::StoreError;
pub(crate) use mend::KnownState;
pub(crate) use weight_notes::WeightNote;

/// The revisions of a proxy.
#[derive(Debug)]
pub struct Store {
    /// Closed before the lock is: closing any descriptor of the file would drop SQLite's own locks on it.
    db: Connection,
    path: PathBuf,
    /// Whether the file could only be read when it was opened.
    read_only: bool,
    /// What its files are; none for a store in memory, and one that can only be read.
    place: Option<StorePlace>,
    looker: Looker,
    /// What a change has replaced that was written to a lost file and not acknowledged, and could not be put back.
    undone: Option<Before>,
    /// Whether `db` is the connection to it.
    link: Link,
    /// What is in the database since something has written over it; it is no source of what is known any more.
    spoiled: Option<String>,
    /// SQLite's number of what others have written through it, when that was last known to be right.
    version: Option<i64>,
    /// What was done to its files.
    note: Option<&'static str>,
    lock: Option<FileLock>,
}

/// What the store holds, to start from.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The last revision; 0 when there is none.
    pub revision: u64,
    /// The last traffic of every service that ever was.
    pub traffic: BTreeMap<Name, Arc<Traffic>>,
    /// What the file asked for, per service.
    pub intent: BTreeMap<Name, ServiceIntent>,
    /// The last state of every flag that ever was.
    pub flags: BTreeMap<Name, Arc<FlagState>>,
    /// The state that the file asked for, per flag.
    pub flag_intent: BTreeMap<Name, FlagState>,
    /// The last run of every experiment that ever ran.
    pub experiments: BTreeMap<Name, Arc<ExperimentRun>>,
    /// Who set weights, and which commits were taken back.
    pub marks: WeightMarks,
}

/// One transaction.
#[derive(Debug, Default)]
pub struct Record<'a> {
    /// The revision; none when only the file's intent or endpoints that are gone change.
    pub revision: Option<Header<'a>>,
    /// Services whose split or mirror changes.
    pub splits: Vec<(&'a Name, &'a Traffic)>,
    /// Services whose drained endpoints change, and all endpoints that are drained then.
    pub drained: Vec<(&'a Name, &'a BTreeSet<(Name, EndpointAddress)>)>,
    /// What the file asks for, to remember.
    pub intent: Vec<(&'a Name, &'a ServiceIntent)>,
    /// What the change does, for the audit trail.
    pub difference: &'a [Difference],
    /// Flags whose state changes.
    pub flags: Vec<FlagRecord<'a>>,
    /// The file's states of flags to remember.
    pub flag_intent: Vec<(&'a Name, &'a FlagState)>,
    /// Experiments whose run changes.
    pub experiments: &'a [ExperimentDifference],
    /// A rollout's number and its state.
    pub rollout: Option<(u64, &'a str)>,
    /// What is noted of weights.
    pub notes: Vec<WeightNote>,
    /// How far the document of the fleet was written with it.
    pub fleet: Option<FleetMark>,
}

/// A flag whose state changes.
#[derive(Clone, Copy, Debug)]
pub struct FlagRecord<'a> {
    /// The flag.
    pub flag: &'a Name,
    /// Its state.
    pub state: &'a FlagState,
    /// The variant of all while it is disabled, as the config has it: without it the audit trail could not tell later
    /// how many users a kill switch has moved.
    pub default: Option<&'a Name>,
    /// How many users a switch of a flag moves that follows a service, for the same reason.
    pub followers: Option<Weight>,
}

impl<'a> FlagRecord<'a> {
    /// All that are planned.
    pub(crate) fn all(planned: &'a PlannedFlags) -> Vec<Self> {
        let record = |difference: &'a FlagDifference| {
            let state = planned.next.get(&difference.flag)?;
            Some(Self {
                flag: &difference.flag,
                state,
                default: difference.default.as_ref(),
                followers: difference.followers,
            })
        };
        planned.difference.iter().filter_map(record).collect()
    }
}

impl Record<'_> {
    /// Whether there is nothing to write.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        let Self { revision, drained, intent, flag_intent, rollout, notes, .. } = self;
        let of_file = drained.is_empty() && intent.is_empty() && flag_intent.is_empty();
        // The others come with a revision only.
        revision.is_none() && of_file && rollout.is_none() && notes.is_empty()
    }
}

/// Who made a revision, when and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its number: the last one and 1.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Who.
    pub author: &'a str,
    /// Why, if they said so.
    pub reason: Option<&'a str>,
    /// What, in one word.
    pub action: Action,
    /// The revision whose split it restored.
    pub restores: Option<u64>,
    /// What spoke against it, if its caller insisted.
    pub forced: Option<&'a str>,
}

/// A revision as it is read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Its number.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Who.
    pub author: String,
    /// Why, if they said so.
    pub reason: Option<String>,
    /// What, in one word.
    pub action: String,
    /// The revision whose split it restored.
    pub restores: Option<u64>,
    /// What spoke against it, if its caller insisted.
    pub forced: Option<String>,
    /// What it changed of services.
    pub difference: Vec<Difference>,
    /// What it changed of flags.
    pub flags: Vec<FlagDifference>,
    /// What it changed of experiments.
    pub experiments: Vec<ExperimentDifference>,
}

impl Store {
    /// Opens the database at `path`, or makes it. One that can only be read is opened all the same, and refuses
    /// [`Store::commit`]: a disk that went read-only must not keep a proxy from routing by what is on it.
    ///
    /// # Errors
    /// [`StoreError`] when the file is not a store of this format, is damaged, is in use or cannot be written. The file
    /// is then as it was.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        open::open(path)
    }

    /// A store without files to look after.
    fn unplaced(db: Connection, path: &Path) -> Self {
        Self {
            db,
            path: path.to_owned(),
            read_only: false,
            place: None,
            looker: Looker::default(),
            undone: None,
            link: Link::Kept,
            spoiled: None,
            version: None,
            note: None,
            lock: None,
        }
    }

    /// A store that is gone with the process.
    ///
    /// # Errors
    /// [`StoreError`] when SQLite has no memory.
    pub fn in_memory() -> Result<Self, StoreError> {
        open::in_memory()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is gone when it is closed.
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        self.lock.is_none()
    }

    /// Why nothing can be written, if that was known when it was opened.
    #[must_use]
    pub fn problem(&self) -> Option<StoreError> {
        self.read_only.then(|| StoreError::Frozen { path: self.path.clone() })
    }

    /// Writes one transaction. When this returns without an error, it is on disk, in the files that the path leads to.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written; then nothing of it was.
    pub fn commit(&mut self, record: &Record<'_>) -> Result<(), StoreError> {
        if let Some(problem) = self.problem() {
            return Err(problem);
        }
        let at = |source| StoreError::at(&self.path, "write a revision", source);
        let before = Before::of(&self.db, record).map_err(at)?;
        self.write(record)?;
        let secured = self.secure_written();
        if secured.is_err()
            && let Err(error) = before.restore(&mut self.db)
        {
            tracing::error!(%error, "a change that was not acknowledged could not be taken out, it is tried again");
            self.undone = Some(before);
        }
        secured
    }

    fn write(&mut self, record: &Record<'_>) -> Result<(), StoreError> {
        let done = self.db.transaction().and_then(|transaction| {
            if let Some(header) = &record.revision {
                put_revision(&transaction, header, record)?;
            }
            put_state(&transaction, record)?;
            transaction.commit()
        });
        done.map_err(|source| StoreError::at(&self.path, "write a revision", source))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.leave_what_is_not_ours();
    }
}

fn put_revision(db: &Transaction<'_>, header: &Header<'_>, record: &Record<'_>) -> rusqlite::Result<()> {
    let number = header.number.cast_signed();
    let restores = header.restores.map(u64::cast_signed);
    db.prepare_cached(schema::PUT_REVISION)?.execute(params![
        number,
        header.at_ms,
        header.author,
        header.reason,
        header.action.word(),
        restores
    ])?;
    // An earlier program may have taken this number back without knowing of this table.
    db.prepare_cached(schema::FORGET_FORCED)?.execute([number])?;
    if let Some(forced) = header.forced {
        db.prepare_cached(schema::PUT_FORCED)?.execute(params![number, forced])?;
    }
    let mut split = db.prepare_cached(schema::PUT_SPLIT)?;
    for (service, traffic) in &record.splits {
        let (runs, mirror) = (traffic.slots.to_string(), traffic.mirror.as_ref().map(MirrorShare::to_string));
        split.execute(params![number, service.as_str(), &*traffic.salt, runs, mirror])?;
    }
    let mut put_flag = db.prepare_cached(schema::PUT_FLAG_STATE)?;
    for FlagRecord { flag, state, default, followers } in &record.flags {
        let followers = followers.map(Weight::slots);
        put_flag.execute(params![number, flag.as_str(), state.to_string(), default.map(Name::as_str), followers])?;
    }
    let mut put_run = db.prepare_cached(schema::PUT_EXPERIMENT_RUN)?;
    for ExperimentDifference { experiment, after, moved, end, before: _ } in record.experiments {
        let (moved, end) = (moved.map(Weight::slots), end.map(RunEnd::word));
        put_run.execute(params![number, experiment.as_str(), after.to_string(), moved, end])?;
    }
    let mut endpoint = db.prepare_cached(schema::PUT_ENDPOINT_CHANGE)?;
    for difference in record.difference {
        for change in &difference.endpoints {
            let address = change.address.to_string();
            let service = difference.service.as_str();
            endpoint.execute(params![number, service, change.version.as_str(), address, change.drained])?;
        }
    }
    Ok(())
}

fn put_state(db: &Transaction<'_>, record: &Record<'_>) -> rusqlite::Result<()> {
    for (service, drained) in &record.drained {
        db.prepare_cached(schema::CLEAR_DRAINED)?.execute(params![service.as_str()])?;
        let mut put = db.prepare_cached(schema::PUT_DRAINED)?;
        for (version, address) in *drained {
            put.execute(params![service.as_str(), version.as_str(), address.to_string()])?;
        }
    }
    let mut put = db.prepare_cached(schema::PUT_INTENT)?;
    for (service, said) in &record.intent {
        put.execute(params![service.as_str(), said.to_string()])?;
    }
    let mut put = db.prepare_cached(schema::PUT_FLAG_INTENT)?;
    for (flag, state) in &record.flag_intent {
        put.execute(params![flag.as_str(), state.to_string()])?;
    }
    if let Some(FleetMark { fleet, generation }) = &record.fleet {
        db.prepare_cached(schema::PUT_FLEET)?.execute(params![fleet, generation.cast_signed()])?;
    }
    if let Some((id, state)) = record.rollout {
        db.prepare_cached(schema::PUT_ROLLOUT)?.execute(params![id.cast_signed(), state])?;
    }
    record.notes.iter().try_for_each(|note| weight_notes::put(db, note))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Weights;

    fn put(store: &mut Store, number: u64) -> Result<(), StoreError> {
        let name = |text: &str| Name::new(text).expect("a name");
        let weights = Weights::all_on(&name("v1"), [name("v2")]);
        // Long enough that every revision takes pages of its own.
        let reason = "x".repeat(20_000);
        let header = Header {
            number,
            at_ms: 0,
            author: "ada",
            reason: Some(&reason),
            action: Action::Flip,
            restores: None,
            forced: None,
        };
        let traffic = Traffic::first("salt".into(), &weights);
        let said = ServiceIntent { split: weights, mirror: None };
        store.commit(&Record {
            revision: Some(header),
            splits: vec![(&name("shop"), &traffic)],
            intent: vec![(&name("shop"), &said)],
            ..Record::default()
        })
    }

    #[test]
    fn a_full_disk_refuses_whole_and_room_helps() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = Store::open(&folder.path().join("pointsman.db")).expect("a new store");
        put(&mut store, 1).expect("there is room");
        let pages = |store: &Store, most: u32| store.db.pragma_update(None, "max_page_count", most).expect("a limit");
        let used: u32 = store.db.pragma_query_value(None, "page_count", |row| row.get(0)).expect("a count");
        pages(&store, used + 1);
        let error = put(&mut store, 2).expect_err("no room");
        assert!(error.is_full() && error.to_string().contains("free some space"), "{error}");
        assert_eq!(store.load().expect("a read").revision, 1, "nothing of it is there");
        pages(&store, used + 100);
        put(&mut store, 2).expect("there is room again");
    }

    #[test]
    fn a_read_only_store_says_so() {
        let mut store = Store::in_memory().expect("memory");
        store.db.pragma_update(None, "query_only", true).expect("a pragma");
        let error = put(&mut store, 1).expect_err("read-only");
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
        assert!(std::error::Error::source(&error).is_some(), "it keeps what SQLite said");
        store.db.pragma_update(None, "query_only", false).expect("a pragma");
        put(&mut store, 1).expect("writable again");
    }
}
