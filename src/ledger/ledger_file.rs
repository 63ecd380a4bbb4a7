//! The ledger's file: opened, and opened again.
//!
//! It is a file of its own and no part of the revision store: it grows with users and is written several times a second
//! while they come, and neither may stand in the way of a change that turns traffic back. `ledger_save` writes it in
//! one transaction at a time, `ledger_rows` reads it, `ledger_place` sees that it is where its path leads.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::ledger_file_error::LedgerFileError;
use super::ledger_schema as schema;
use crate::database::file_lock::{self, Claimed, FileLock};
use crate::database::place::StorePlace;
use crate::database::sqlite::{BUSY_WAIT, is_empty, prepare, sync_folder, touch_log};

const OPENING: &str = "open the experiments' ledger";

const SAVING: &str = "write what experiments have counted";

/// An open file.
#[derive(Debug)]
pub(super) struct LedgerFile {
    /// Closed before the lock is: closing any descriptor of the file would drop SQLite's own locks on it.
    pub(super) db: Connection,
    pub(super) path: PathBuf,
    /// What its files are; none in memory.
    pub(super) place: Option<StorePlace>,
    /// SQLite's number of what others have written through it, when that was last known to be right.
    pub(super) version: Option<i64>,
    pub(super) lock: Option<FileLock>,
}

impl LedgerFile {
    /// Opens the file at `path`, or makes it.
    ///
    /// # Errors
    /// [`LedgerFileError`] when it is no ledger of this format, is damaged, is in use or cannot be written. It is then
    /// as it was.
    pub(super) fn open(path: &Path) -> Result<Self, LedgerFileError> {
        let at = |source| LedgerFileError::at(path, OPENING, source);
        let io = |source| LedgerFileError::File { path: path.to_owned(), source };
        let Claimed { lock, read_only } =
            file_lock::claim(path).map_err(|error| LedgerFileError::of_lock(path, error))?;
        if read_only {
            return Err(LedgerFileError::ReadOnly { path: path.to_owned(), doing: OPENING });
        }
        let db = Connection::open(path).map_err(at)?;
        db.busy_timeout(BUSY_WAIT).map_err(at)?;
        let empty = is_empty(&db).map_err(at)?;
        if !empty {
            check(path, &db)?;
        }
        db.pragma_update(None, "journal_mode", "WAL").map_err(at)?;
        prepare(&db).map_err(at)?;
        if empty {
            db.execute_batch(schema::CREATE).map_err(at)?;
        }
        db.execute_batch(schema::ADD_OTHERS).map_err(at)?;
        sync_folder(path).map_err(io)?;
        touch_log(&db).map_err(at)?;
        let place = Some(StorePlace::of(path).map_err(io)?);
        Ok(Self { db, path: path.to_owned(), place, version: None, lock: Some(lock) })
    }

    /// One that is gone with the process.
    ///
    /// # Errors
    /// [`LedgerFileError`] when SQLite has no memory.
    pub(super) fn in_memory() -> Result<Self, LedgerFileError> {
        let path = PathBuf::from(":memory:");
        let made = Connection::open_in_memory().and_then(|db| {
            prepare(&db)?;
            db.execute_batch(schema::CREATE)?;
            db.execute_batch(schema::ADD_OTHERS).map(|()| db)
        });
        let db = made.map_err(|source| LedgerFileError::at(&path, OPENING, source))?;
        Ok(Self { db, path, place: None, version: None, lock: None })
    }

    /// Opens it again, which this process has locked.
    pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
        let db = Connection::open_with_flags(path, OpenFlags::default() & !OpenFlags::SQLITE_OPEN_CREATE)?;
        db.busy_timeout(BUSY_WAIT)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        prepare(&db)?;
        touch_log(&db)?;
        Ok(db)
    }

    pub(super) fn error(&self, source: rusqlite::Error) -> LedgerFileError {
        LedgerFileError::at(&self.path, SAVING, source)
    }
}

/// Refuses what is no sound file of ours. Only reads.
fn check(path: &Path, db: &Connection) -> Result<(), LedgerFileError> {
    let at = |source| LedgerFileError::at(path, "check the experiments' ledger", source);
    let number = |pragma: &str| db.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0)).map_err(at);
    let (application, format) = (number("application_id")?, number("user_version")?);
    let path = || path.to_owned();
    if application != schema::APPLICATION {
        let found = format!("a database of another application (application_id {application:#010x})");
        return Err(LedgerFileError::NotOurs { path: path(), found });
    }
    if format > schema::FORMAT {
        return Err(LedgerFileError::Newer { path: path(), found: format });
    }
    if format < schema::FORMAT {
        return Err(LedgerFileError::Damaged { path: path(), found: format!("format {format}, which never was one") });
    }
    fault(db).map_err(at)?.map_or(Ok(()), |found| Err(LedgerFileError::Damaged { path: path(), found }))
}

/// What SQLite finds wrong in it, if it finds something.
pub(super) fn fault(db: &Connection) -> rusqlite::Result<Option<String>> {
    let verdict = db.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))?;
    Ok(Some(verdict).filter(|verdict| verdict != "ok"))
}
