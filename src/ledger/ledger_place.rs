//! Sees that the ledger's file is where its path leads, before and after each write.
//!
//! What is *gone* is made anew with everything that is known: no file of others is harmed. Where *another file* is now,
//! nothing is written, because a backup that was just put there must not be written over, and what goes to a file
//! without a name is gone with this process. A file that others have written to is written again from memory, as far as
//! its runs are under way.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::ledger_file::{LedgerFile, fault};
use super::ledger_file_error::LedgerFileError;
use crate::database::file_lock::MODE;
use crate::database::place::{PlaceFinding, StorePlace, beside};
use crate::database::sqlite::{abandon, give_name, keep_log, sync_folder};

/// What was found before a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secured {
    /// The file is as this process has left it.
    AsBefore,
    /// It was gone, and is made anew with everything that was written to it.
    MadeAnew,
    /// Others have written to it, and it is sound: what is known has to be written again.
    Edited,
}

impl LedgerFile {
    /// Makes sure that what is written next is on the files that the path leads to.
    ///
    /// # Errors
    /// [`LedgerFileError`] when it would not be.
    pub(super) fn secure(&mut self) -> Result<Secured, LedgerFileError> {
        let Some(place) = &self.place else { return Ok(Secured::AsBefore) };
        match place.look().map_err(|error| self.io(error))? {
            PlaceFinding::Ours if self.is_edited() => Ok(Secured::Edited),
            PlaceFinding::Ours => Ok(Secured::AsBefore),
            PlaceFinding::Written => self.take_as_edited(),
            PlaceFinding::Gone => self.make_anew(),
            PlaceFinding::LogGone => self.renew_log(),
            PlaceFinding::FolderGone => Err(self.misplaced("not even the folder")),
            PlaceFinding::Other => Err(self.misplaced("another file")),
            PlaceFinding::OtherLog => Err(self.misplaced("another write-ahead log (-wal)")),
        }
    }

    /// What was just written is where the path leads to.
    pub(super) fn secure_written(&mut self) -> Result<(), LedgerFileError> {
        let Some(place) = &mut self.place else { return Ok(()) };
        let path = self.path.clone();
        let io = |source| LedgerFileError::File { path: path.clone(), source };
        match place.look().map_err(io)? {
            // Our own checkpoint writes to the database, too.
            PlaceFinding::Ours | PlaceFinding::Written => place.adopt().map_err(io),
            PlaceFinding::Gone | PlaceFinding::LogGone => Err(self.misplaced("nothing")),
            PlaceFinding::FolderGone => Err(self.misplaced("not even the folder")),
            PlaceFinding::Other => Err(self.misplaced("another file")),
            PlaceFinding::OtherLog => Err(self.misplaced("another write-ahead log (-wal)")),
        }
    }

    fn misplaced(&self, found: &'static str) -> LedgerFileError {
        LedgerFileError::Misplaced { path: self.path.clone(), found }
    }

    fn io(&self, source: io::Error) -> LedgerFileError {
        LedgerFileError::File { path: self.path.clone(), source }
    }

    /// Whether another connection has written through SQLite since this was last asked.
    fn is_edited(&mut self) -> bool {
        let version = self.db.pragma_query_value(None, "data_version", |row| row.get::<_, i64>(0)).ok();
        let before = std::mem::replace(&mut self.version, version);
        before.is_some() && before != version
    }

    /// Something has written to the database past this process: if that left it sound, it is written again.
    fn take_as_edited(&mut self) -> Result<Secured, LedgerFileError> {
        let found = Self::connect(&self.path).and_then(|db| fault(&db)).map_err(|source| self.error(source))?;
        if let Some(found) = found {
            return Err(LedgerFileError::Damaged { path: self.path.clone(), found });
        }
        let adopted = self.place.as_mut().map_or(Ok(()), StorePlace::adopt);
        adopted.map_err(|error| self.io(error))?;
        Ok(Secured::Edited)
    }

    fn make_anew(&mut self) -> Result<Secured, LedgerFileError> {
        let new = beside(&self.path, "-new");
        let written = self.write_anew(&new);
        if written.is_err() {
            fs::remove_file(new).ok();
        }
        written.map(|()| Secured::MadeAnew)
    }

    fn write_anew(&mut self, new: &Path) -> Result<(), LedgerFileError> {
        remove(new).map_err(|error| self.io(error))?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(MODE).open(new);
        let file = file.map_err(|error| self.io(error))?;
        let name = new.to_str().ok_or_else(|| self.io(io::Error::other("its path is not UTF-8")))?;
        self.db.execute("VACUUM INTO ?1", [name]).map_err(|source| self.error(source))?;
        let locked = file.sync_all().and_then(|()| file.try_lock().map_err(io::Error::from));
        locked.map_err(|error| self.io(error))?;
        let sidecars: Vec<PathBuf> = self.place.iter().flat_map(StorePlace::sidecars).collect();
        // A log beside a database is taken for its own: the old one must be gone before the new database is there.
        let named = sidecars.iter().try_for_each(|sidecar| remove(sidecar)).and_then(|()| give_name(new, &self.path));
        named.and_then(|()| sync_folder(&self.path)).map_err(|error| self.io(error))?;
        let db = Self::connect(&self.path).map_err(|source| self.error(source))?;
        abandon(std::mem::replace(&mut self.db, db));
        self.version = None;
        let real = self.path.canonicalize().map_err(|error| self.io(error))?;
        if let Some(lock) = &mut self.lock {
            lock.go_over(file, &real);
        }
        self.place = Some(StorePlace::of(&self.path).map_err(|error| self.io(error))?);
        Ok(())
    }

    /// The log is gone by its name only: everything in it is put into the database, and there is a new one.
    fn renew_log(&mut self) -> Result<Secured, LedgerFileError> {
        let busy: i64 = self
            .db
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .map_err(|source| self.error(source))?;
        if busy != 0 {
            return Err(LedgerFileError::InUse { path: self.path.clone() });
        }
        // Two connections of a process share a log: the one without a name must be closed before there is another one.
        let placeholder = Connection::open_in_memory().map_err(|source| self.error(source))?;
        abandon(std::mem::replace(&mut self.db, placeholder));
        self.db = Self::connect(&self.path).map_err(|source| self.error(source))?;
        self.version = None;
        self.place = Some(StorePlace::of(&self.path).map_err(|error| self.io(error))?);
        Ok(Secured::MadeAnew)
    }
}

impl Drop for LedgerFile {
    fn drop(&mut self) {
        let ours = |finding| matches!(finding, PlaceFinding::Ours | PlaceFinding::Written | PlaceFinding::LogGone);
        // Before it is closed: the log by that name may be that of the file that is there now.
        if self.place.as_ref().is_some_and(|place| place.look().is_ok_and(|finding| !ours(finding))) {
            keep_log(&self.db);
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
