//! Opening: what is not ours is refused before anything is written.
//!
//! The file is locked for as long as the store is open ([`file_lock`]), so that two proxies never write one history.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::schema::{
    ADD_MISSING, APPLICATION, CREATE, FORMAT, FROM_1_TO_2, FROM_2_TO_3, FROM_3_TO_4, FROM_4_TO_5, WITHOUT_MIRRORS,
};
use super::{Store, StoreError};
use crate::database::file_lock::{self, Claimed};
use crate::database::place::{StorePlace, beside};
use crate::database::sqlite::{BUSY_WAIT, is_empty, prepare, sync_folder, touch_log};

pub(crate) fn open(path: &Path) -> Result<Store, StoreError> {
    let Claimed { lock, read_only } = file_lock::claim(path).map_err(|error| StoreError::of_lock(path, error))?;
    let at = |source| StoreError::at(path, "open the revision store", source);
    let db = if read_only { read_only_connection(path)? } else { Connection::open(path).map_err(at)? };
    db.busy_timeout(BUSY_WAIT).map_err(at)?;
    let empty = is_empty(&db).map_err(at)?;
    let format = if empty { FORMAT } else { check(path, &db)? };
    if !read_only {
        db.pragma_update(None, "journal_mode", "WAL").map_err(at)?;
        prepare(&db).map_err(at)?;
        if empty {
            db.execute_batch(CREATE).map_err(at)?;
        }
        if format == 1 {
            db.execute_batch(FROM_1_TO_2).map_err(at)?;
        }
        if format <= 2 {
            db.execute_batch(FROM_2_TO_3).map_err(at)?;
        }
        if format <= 3 {
            db.execute_batch(FROM_3_TO_4).map_err(at)?;
        }
        if format <= 4 {
            db.execute_batch(FROM_4_TO_5).map_err(at)?;
        }
        db.execute_batch(ADD_MISSING).map_err(at)?;
        sync_folder(path).map_err(|source| StoreError::File { path: path.to_owned(), source })?;
    }
    let place = if read_only {
        if format <= 4 {
            db.execute_batch(WITHOUT_MIRRORS).map_err(at)?;
        }
        None
    } else {
        touch_log(&db).map_err(at)?;
        Some(StorePlace::of(path).map_err(|source| StoreError::File { path: path.to_owned(), source })?)
    };
    let mut store = Store::unplaced(db, path);
    (store.read_only, store.place, store.lock) = (read_only, place, Some(lock));
    Ok(store)
}

/// Opens a store of ours again, that this process has locked.
pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, OpenFlags::default() & !OpenFlags::SQLITE_OPEN_CREATE)?;
    db.busy_timeout(BUSY_WAIT)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    prepare(&db)?;
    touch_log(&db)?;
    Ok(db)
}

/// Reads a database that cannot be written. Without a log beside it nothing can be missing, so SQLite is told that
/// no process changes the file; with one it reads the log, or says that it cannot.
fn read_only_connection(path: &Path) -> Result<Connection, StoreError> {
    tracing::warn!(path = %path.display(), "the revision store is read-only: requests are routed, changes are refused");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let suffix = if beside(path, "-wal").exists() { "" } else { "&immutable=1" };
    let opened = path.to_str().map(|text| {
        let quoted = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        Connection::open_with_flags(format!("file:{quoted}?mode=ro{suffix}"), flags)
    });
    match opened {
        Some(opened) => opened.map_err(|source| StoreError::at(path, "read the revision store", source)),
        None => Err(StoreError::Frozen { path: path.to_owned() }),
    }
}

pub(crate) fn in_memory() -> Result<Store, StoreError> {
    let path = PathBuf::from(":memory:");
    let made = Connection::open_in_memory().and_then(|db| {
        prepare(&db)?;
        db.execute_batch(CREATE)?;
        db.execute_batch(ADD_MISSING)?;
        Ok(db)
    });
    match made {
        Ok(db) => Ok(Store::unplaced(db, &path)),
        Err(source) => Err(StoreError::at(&path, "make a store in memory", source)),
    }
}

/// The format of a sound store of ours, and a refusal of anything else. Only reads.
pub(crate) fn check(path: &Path, db: &Connection) -> Result<i32, StoreError> {
    let at = |source| StoreError::at(path, "check the revision store", source);
    let number = |pragma: &str| db.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0)).map_err(at);
    let (application, format) = (number("application_id")?, number("user_version")?);
    let path = || path.to_owned();
    if application != APPLICATION {
        let found = format!("a database of another application (application_id {application:#010x})");
        return Err(StoreError::NotOurs { path: path(), found });
    }
    if format > FORMAT {
        return Err(StoreError::Newer { path: path(), found: format });
    }
    if format < 1 {
        return Err(StoreError::Damaged { path: path(), found: format!("format {format}, which never was one") });
    }
    let verdict = db.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)).map_err(at)?;
    if verdict == "ok" { Ok(format) } else { Err(StoreError::Damaged { path: path(), found: verdict }) }
}
