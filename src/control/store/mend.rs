//! Finds out whether the path of the store still leads to its files, and does what has to be done when it does not,
//! before anything is acknowledged. What that is, is decided by [`findings`](super::findings).

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use crate::table::experiment_run::ExperimentRun;
use crate::table::flag_state::FlagState;
use crate::table::{Name, Traffic};

use super::findings::{Action, Contents, Findings, Link, Refusal, decide};
use super::look::Seen;
use super::{Store, StoreError, open, schema};
use crate::database::file_lock::MODE;
use crate::database::place::{PlaceFinding, StorePlace, beside, parent};
use crate::database::sqlite::{abandon, give_name, keep_log, sync_folder};

/// What has to be in the store: the state in force.
#[derive(Clone, Copy, Debug)]
pub struct KnownState<'a> {
    /// The last revision.
    pub revision: u64,
    /// The traffic of every service that ever was.
    pub traffic: &'a BTreeMap<Name, Arc<Traffic>>,
    /// The state of every flag that ever was.
    pub flags: &'a BTreeMap<Name, Arc<FlagState>>,
    /// The last run of every experiment that ever ran.
    pub experiments: &'a BTreeMap<Name, Arc<ExperimentRun>>,
}

const LOOKING: &str = "look at the revision store";

const OTHER_REVISIONS: &str = "other revisions than those in force";

const OVERWRITTEN: &str = "something has written over it while it was in use; restart to go on from it, or put the right file there before that";

const MOVE_AWAY: &str = "move it away to keep what is in force, or restart to go on from it";

impl Store {
    /// Makes sure that what is written next is on the files that the path leads to.
    ///
    /// # Errors
    /// [`StoreError`] when it would not be, and the files cannot or must not be made anew.
    pub fn secure(&mut self, known: &KnownState<'_>) -> Result<(), StoreError> {
        self.pass(false, Some(known))
    }

    /// What was done to the files since this was last asked, for people.
    pub fn take_note(&mut self) -> Option<&'static str> {
        self.note.take()
    }

    /// What was just written is where the path leads to.
    pub(super) fn secure_written(&mut self) -> Result<(), StoreError> {
        self.pass(true, None)
    }

    /// Goes from one finding to the next until it is known that all is well, or that nothing may be written.
    fn pass(&mut self, just_written: bool, known: Option<&KnownState<'_>>) -> Result<(), StoreError> {
        if self.place.is_none() {
            return Ok(());
        }
        let mut found = Findings {
            overwritten: self.spoiled.is_some(),
            unacknowledged: self.undone.is_some(),
            link: self.link,
            just_written,
            ..Findings::default()
        };
        let mut why = OTHER_REVISIONS.to_owned();
        loop {
            match decide(&found) {
                Action::Proceed => return Ok(()),
                Action::Adopt => return self.adopt(),
                Action::MakeAnew => return self.make_anew(),
                Action::RenewLog => return self.renew_log(),
                Action::Forsake { log_aside } => return Err(self.forsake(log_aside, why)),
                Action::Refuse(refusal) => return Err(self.refuse(refusal)),
                Action::Look => self.look_into(&mut found)?,
                Action::Connect => {
                    self.connect()?;
                    (found.link, found.files) = (self.link, None);
                }
                Action::TakeOut => {
                    self.take_out()?;
                    (found.unacknowledged, found.files) = (false, None);
                }
                Action::CompareAll => found.contents = Some(self.compare_all(known, &mut why)?),
                Action::CompareState => found.contents = Some(self.compare_state(known)?),
            }
        }
    }

    fn look_into(&mut self, found: &mut Findings) -> Result<(), StoreError> {
        let Seen { files, our_log } = self.look()?;
        (found.files, found.our_log) = (Some(files), our_log);
        found.edited = files == PlaceFinding::Ours && found.link == Link::Kept && self.is_edited();
        Ok(())
    }

    fn look(&mut self) -> Result<Seen, StoreError> {
        let Self { place, looker, .. } = self;
        let seen =
            place.as_ref().map_or(Ok(Seen { files: PlaceFinding::Ours, our_log: false }), |place| looker.look(place));
        seen.map_err(|error| self.file_error(error))
    }

    fn adopt(&mut self) -> Result<(), StoreError> {
        let adopted = self.place.as_mut().map(StorePlace::adopt).transpose();
        adopted.map(drop).map_err(|error| self.file_error(error))
    }

    fn file_error(&self, source: io::Error) -> StoreError {
        StoreError::File { path: self.path.clone(), source }
    }

    fn refuse(&self, refusal: Refusal) -> StoreError {
        let (found, remedy) = match refusal {
            Refusal::Overwritten => (self.spoiled.as_deref().unwrap_or(OTHER_REVISIONS), OVERWRITTEN),
            Refusal::NoFolder => ("not even the folder", "make the folder again, or move it back"),
            Refusal::Lost => ("nothing", "put the file back, or restart to begin with the config's weights"),
            Refusal::OtherDatabase { log_aside } => {
                if log_aside {
                    self.set_log_aside();
                }
                ("another file", MOVE_AWAY)
            }
            Refusal::OtherLog => ("another write-ahead log (-wal)", MOVE_AWAY),
        };
        StoreError::Misplaced { path: self.path.clone(), found: found.to_owned(), remedy }
    }

    /// The database is no source of what is known any more.
    fn forsake(&mut self, log_aside: bool, why: String) -> StoreError {
        if log_aside {
            self.set_log_aside();
        }
        self.spoiled = Some(why);
        self.refuse(Refusal::Overwritten)
    }

    fn take_out(&mut self) -> Result<(), StoreError> {
        let Some(before) = self.undone.take() else { return Ok(()) };
        before.restore(&mut self.db).map_err(|source| {
            self.undone = Some(before);
            StoreError::at(&self.path, "take out a change that was not acknowledged", source)
        })
    }

    /// Another program has written to the database: an operator's checkpoint is harmless, a copy over it is not. Says
    /// why it is unsound, if it is.
    fn compare_all(&mut self, known: Option<&KnownState<'_>>, why: &mut String) -> Result<Contents, StoreError> {
        let path = self.path.clone();
        let at = |source| StoreError::at(&path, LOOKING, source);
        let sound = open::connect(&path).map_err(at).and_then(|db| open::check(&path, &db).map(|_format| db));
        let had = sound.and_then(|db| {
            // Without the pages that the connection before remembers.
            (self.db, self.version) = (db, None);
            known.map_or(Ok(false), |known| self.has(known))
        });
        match had {
            Ok(true) => {
                self.link = Link::Kept;
                Ok(Contents::Same)
            }
            Ok(false) => Ok(Contents::Other),
            Err(error) if error.is_of_contents() => {
                *why = error.to_string();
                Ok(Contents::Unsound)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether others have written to it as they should, by SQLite: that is in the log, and changes no file's numbers.
    fn is_edited(&mut self) -> bool {
        // A lock of another program is no change.
        let Ok(version) = data_version(&self.db) else { return false };
        *self.version.get_or_insert(version) != version
    }

    /// A backup that was read into it, or a statement in the shell: it is sound, but perhaps not what is in force.
    fn compare_state(&mut self, known: Option<&KnownState<'_>>) -> Result<Contents, StoreError> {
        let version = data_version(&self.db).map_err(|source| StoreError::at(&self.path, LOOKING, source))?;
        if known.map_or(Ok(false), |known| self.has_state(known))? {
            self.version = Some(version);
            return Ok(Contents::Same);
        }
        Ok(Contents::Other)
    }

    /// Takes the log away from a database that it was not written for: the next start would put it into that.
    fn set_log_aside(&self) {
        keep_log(&self.db);
        let Some([log, index]) = self.place.as_ref().map(StorePlace::sidecars) else { return };
        let aside = fs::rename(&log, beside(&log, ".lost")).and_then(|()| fs::remove_file(index));
        if let Err(error) = aside {
            tracing::warn!(path = %log.display(), %error, "cannot set the log aside; move it away before the next start");
        }
    }

    fn has(&self, known: &KnownState<'_>) -> Result<bool, StoreError> {
        // Pages of the copy and of the log may fit together, and leave revisions out: there is one of each number.
        let whole = |db: &Connection| -> rusqlite::Result<bool> {
            let verdict: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
            let count: i64 = db.query_row(schema::COUNT_REVISIONS, [], |row| row.get(0))?;
            Ok(verdict == "ok" && count.cast_unsigned() == known.revision)
        };
        if !whole(&self.db).map_err(|source| StoreError::at(&self.path, LOOKING, source))? {
            return Ok(false);
        }
        self.has_state(known)
    }

    fn has_state(&self, known: &KnownState<'_>) -> Result<bool, StoreError> {
        let loaded = self.load()?;
        let same = |(name, traffic): (&Name, &Arc<Traffic>)| {
            loaded.traffic.get(name).is_some_and(|found| {
                found.salt == traffic.salt && found.slots == traffic.slots && found.mirror == traffic.mirror
            })
        };
        let same_flags = known.flags.iter().all(|(name, state)| loaded.flags.get(name) == Some(state));
        let mut runs = known.experiments.iter();
        let same_runs = runs.all(|(name, run)| loaded.experiments.get(name) == Some(run));
        Ok(loaded.revision == known.revision && known.traffic.iter().all(same) && same_flags && same_runs)
    }

    /// A new file with everything that the connection knows, whose own file has no name any more.
    fn make_anew(&mut self) -> Result<(), StoreError> {
        let target = end_of(&self.path).map_err(|error| self.file_error(error))?;
        let new = beside(&target, ".anew");
        let made = self.write_anew(&target, &new);
        if made.is_err() {
            // Perhaps it was not there yet.
            fs::remove_file(&new).ok();
        }
        made?;
        self.note = Some("the file was gone and is made anew with everything known");
        Ok(())
    }

    fn write_anew(&mut self, target: &Path, new: &Path) -> Result<(), StoreError> {
        let io = |source| StoreError::File { path: target.to_owned(), source };
        match fs::remove_file(new) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(MODE).open(new);
        let file = file.map_err(io)?;
        let name = new.to_str().ok_or_else(|| io(io::Error::other("its path is not UTF-8")))?;
        let copied = self.db.execute("VACUUM INTO ?1", [name]);
        copied.map_err(|source| StoreError::at(&self.path, "make the revision store anew", source))?;
        file.sync_all().and_then(|()| file.try_lock().map_err(io::Error::from)).map_err(io)?;
        // A log beside a database is taken for its own: the old one must be gone before the new database is there.
        for sidecar in self.place.iter().flat_map(StorePlace::sidecars) {
            match fs::remove_file(sidecar) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io(error)),
            }
        }
        give_name(new, target).map_err(io)?;
        let opened = sync_folder(target).map_err(io).and_then(|()| {
            let db = open::connect(&self.path).map_err(|source| StoreError::at(&self.path, LOOKING, source))?;
            Ok((db, StorePlace::of(&self.path).map_err(io)?))
        });
        // So that the next try finds nothing again.
        let (db, place) = opened.inspect_err(|_error| drop(fs::remove_file(target)))?;
        abandon(std::mem::replace(&mut self.db, db));
        self.version = None;
        if let Some(lock) = &mut self.lock {
            lock.go_over(file, &target.canonicalize().map_err(io)?);
        }
        self.place = Some(place);
        Ok(())
    }

    /// The log is gone by its name only: everything in it is put into the database, and there is a new one.
    fn renew_log(&mut self) -> Result<(), StoreError> {
        let at = |source| StoreError::at(&self.path, "put the write-ahead log into the database", source);
        let busy: i64 = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map_err(at)?;
        if busy != 0 {
            return Err(StoreError::InUse { path: self.path.clone() });
        }
        // Two connections of a process share a log: the one without a name must be closed before there is another one.
        let placeholder = Connection::open_in_memory().map_err(at)?;
        abandon(std::mem::replace(&mut self.db, placeholder));
        self.link = Link::Closed;
        self.connect()?;
        // It is the same database, and what was in its log is in it.
        self.link = Link::Kept;
        self.note = Some("the write-ahead log was gone; everything is in the database, and there is a new log");
        Ok(())
    }

    fn connect(&mut self) -> Result<(), StoreError> {
        let db = open::connect(&self.path).map_err(|source| StoreError::at(&self.path, LOOKING, source))?;
        let place = StorePlace::of(&self.path).map_err(|error| self.file_error(error))?;
        if !self.place.as_ref().is_some_and(|before| before.has_same_database(&place)) {
            keep_log(&db);
            return Err(self.refuse(Refusal::OtherDatabase { log_aside: false }));
        }
        (self.db, self.place) = (db, Some(place));
        (self.link, self.version) = (Link::New, None);
        Ok(())
    }

    /// Before it is closed: the log by that name may be that of the file that is there now.
    pub(crate) fn leave_what_is_not_ours(&mut self) {
        if self
            .look()
            .is_ok_and(|seen| !matches!(seen.files, PlaceFinding::Ours | PlaceFinding::Written | PlaceFinding::LogGone))
        {
            keep_log(&self.db);
        }
    }
}

/// A number that is another one when another connection has written something.
fn data_version(db: &Connection) -> rusqlite::Result<i64> {
    db.pragma_query_value(None, "data_version", |row| row.get(0))
}

/// Where a path leads to, of which the last part may not be there: a link that leads nowhere is followed.
fn end_of(path: &Path) -> io::Result<PathBuf> {
    let mut end = path.to_owned();
    // As many links as the kernel follows.
    for _ in 0..40 {
        let Ok(target) = fs::read_link(&end) else { break };
        end = parent(&end).join(target);
    }
    let name = end.file_name().ok_or_else(|| io::Error::other("it ends in no name"))?;
    Ok(parent(&end).canonicalize()?.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::planned::Action as Change;
    use crate::control::store::{Before, Header, Record};
    use crate::table::Weights;

    /// A store with two revisions, of which the second one is not acknowledged.
    fn unacknowledged(path: &Path) -> (Store, BTreeMap<Name, Arc<Traffic>>) {
        let name = |text: &str| Name::new(text).expect("a name");
        let shop = name("shop");
        let weights = Weights::all_on(&name("v1"), [name("v2")]);
        let (first, second) = (Traffic::first("first".into(), &weights), Traffic::first("second".into(), &weights));
        let record = |number, traffic| {
            let header = Header {
                number,
                at_ms: 0,
                author: "ada",
                reason: None,
                action: Change::Flip,
                restores: None,
                forced: None,
            };
            Record { revision: Some(header), splits: vec![(&shop, traffic)], ..Record::default() }
        };
        let mut store = Store::open(path).expect("a new store");
        store.commit(&record(1, &first)).expect("there is room");
        let next = record(2, &second);
        let before = Before::of(&store.db, &next).expect("a read");
        store.commit(&next).expect("there is room");
        store.undone = Some(before);
        (store, BTreeMap::from([(shop.clone(), Arc::new(first))]))
    }

    /// The log was put into the database and closed, and the next connection could not be opened.
    fn close(store: &mut Store) {
        store.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
        abandon(std::mem::replace(&mut store.db, Connection::open_in_memory().expect("memory")));
        store.link = Link::Closed;
    }

    #[test]
    fn a_change_is_taken_out_also_when_the_connection_was_lost_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pointsman.db");
        let (mut store, traffic) = unacknowledged(&path);
        close(&mut store);
        let known =
            KnownState { revision: 1, traffic: &traffic, flags: &BTreeMap::new(), experiments: &BTreeMap::new() };
        store.secure(&known).expect("it is put right");
        assert_eq!(store.load().expect("a read").revision, 1);
        store.secure(&known).expect("and stays so");
    }

    #[test]
    fn a_lost_connection_goes_back_to_the_same_database_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pointsman.db");
        let (mut store, traffic) = unacknowledged(&path);
        let known =
            KnownState { revision: 1, traffic: &traffic, flags: &BTreeMap::new(), experiments: &BTreeMap::new() };
        close(&mut store);
        let aside = folder.path().join("aside.db");
        fs::rename(&path, &aside).expect("a rename");
        let error = store.secure(&known).expect_err("there is none").to_string();
        assert!(error.contains("found nothing") && !path.exists(), "{error}");
        fs::copy(&aside, &path).expect("a copy");
        let error = store.secure(&known).expect_err("it is another one").to_string();
        assert!(error.contains("found another file"), "{error}");
        fs::rename(&aside, &path).expect("a rename");
        store.secure(&known).expect("it is back");
        assert_eq!(store.load().expect("a read").revision, 1);
    }
}
