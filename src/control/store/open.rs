//! Opening: what is not ours is refused before anything is written.
//!
//! The file is locked with `flock` for as long as the store is open, so that two proxies never write one history. That
//! lock does not clash with SQLite's own (POSIX locks), and an operator can still read the file with the SQLite shell.
//! POSIX locks have a trap: closing *any* descriptor of the file drops those of the whole process. So a file that this
//! process has open is refused by [`OPEN`] before a second descriptor exists.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::place::{StorePlace, beside, parent};
use super::schema::{ADD_FORCED, APPLICATION, CREATE, FORMAT, FROM_1_TO_2};
use super::{FileLock, Store, StoreError};

/// The files that this process has open.
static OPEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// How long a write waits for an operator who holds a lock in the SQLite shell.
const BUSY_WAIT: Duration = Duration::from_secs(2);

/// What the write-ahead log is cut to after a checkpoint, in bytes: after a burst the disk space comes back.
const WAL_BYTES_KEPT: i64 = 4 << 20;

/// The mode of the database. SQLite gives its log and its index the same; other users may not read who made changes,
/// and why.
pub(crate) const MODE: u32 = 0o600;

pub(crate) fn open(path: &Path) -> Result<Store, StoreError> {
    let (lock, read_only) = lock(path)?;
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
        db.execute_batch(ADD_FORCED).map_err(at)?;
        sync_folder(path).map_err(|source| StoreError::File { path: path.to_owned(), source })?;
    }
    let place = if read_only {
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

/// Reads something, so that the log and its index are there.
fn touch_log(db: &Connection) -> rusqlite::Result<()> {
    db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)).map(drop)
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
        Ok(db)
    });
    match made {
        Ok(db) => Ok(Store::unplaced(db, &path)),
        Err(source) => Err(StoreError::at(&path, "make a store in memory", source)),
    }
}

/// Whether there is nothing in the database: a new file, or one whose maker was killed before it made the tables.
fn is_empty(db: &Connection) -> rusqlite::Result<bool> {
    let marks = "SELECT (SELECT count(*) FROM sqlite_schema)
        + (SELECT application_id <> 0 FROM pragma_application_id)
        + (SELECT user_version <> 0 FROM pragma_user_version)";
    db.query_row(marks, [], |row| Ok(row.get::<_, i64>(0)? == 0))
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

fn prepare(db: &Connection) -> rusqlite::Result<()> {
    // FULL: in WAL mode each commit flushes the log, so that an answered change survives a power cut.
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)
}

/// Makes the file if it is missing, and claims it for this process. Also tells whether it can only be read.
fn lock(path: &Path) -> Result<(FileLock, bool), StoreError> {
    let failed = |source| StoreError::File { path: path.to_owned(), source };
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if path.canonicalize().is_ok_and(|canonical| open.contains(&canonical)) {
        return Err(StoreError::InUse { path: path.to_owned() });
    }
    let written = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(MODE).open(path);
    let (file, read_only) = match written {
        Ok(file) => (file, false),
        Err(error) if is_read_only(&error) => (File::open(path).map_err(|_missing| failed(error))?, true),
        Err(error) => return Err(failed(error)),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StoreError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    let canonical = path.canonicalize().map_err(failed)?;
    open.insert(canonical.clone());
    if !read_only {
        make_private(&file, &canonical);
    }
    Ok((FileLock { file: Some(file), path: canonical }, read_only))
}

/// Takes a store that others could read away from them, with its log and index.
fn make_private(file: &File, path: &Path) {
    let private = || fs::Permissions::from_mode(MODE);
    let open_to_others = |mode: u32| mode & 0o077 != 0;
    let made = file.metadata().and_then(|found| {
        let others = open_to_others(found.permissions().mode());
        if others { file.set_permissions(private()) } else { Ok(()) }
    });
    for sidecar in ["-wal", "-shm"].map(|suffix| beside(path, suffix)) {
        let others = fs::metadata(&sidecar).is_ok_and(|found| open_to_others(found.permissions().mode()));
        if others && let Err(error) = fs::set_permissions(&sidecar, private()) {
            tracing::warn!(path = %sidecar.display(), %error, "others can read the revision store's log, want mode 0600");
        }
    }
    if let Err(error) = made {
        tracing::warn!(path = %path.display(), %error, "others can read the revision store, want mode 0600");
    }
}

impl FileLock {
    /// Claims `file`, which is locked already, in place of the one that has no name any more.
    pub(crate) fn go_over(&mut self, file: File, path: &Path) {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&self.path);
        open.insert(path.to_owned());
        path.clone_into(&mut self.path);
        self.file = Some(file);
    }
}

fn is_read_only(error: &io::Error) -> bool {
    [io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::PermissionDenied].contains(&error.kind())
}

impl Drop for FileLock {
    fn drop(&mut self) {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = self.file.take() {
            // Not by closing it: a process that this one is about to start has the file open until it runs its own
            // program. If it cannot be unlocked, it is by closing it all the same.
            let _unlocked = file.unlock();
        }
        // Closed by now: a store that opens it next must not lose its locks to that.
        open.remove(&self.path);
    }
}

/// Makes the name of a new file durable too: a synced file in an unsynced folder is lost with the power.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(parent(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_with_its_owner_whoever_else_has_the_file_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pointsman.db");
        let (first, _) = lock(&path).expect("a new file");
        let inherited = first.file.as_ref().expect("open").try_clone().expect("as a new process has it");
        assert!(matches!(lock(&path), Err(StoreError::InUse { .. })));
        drop(first);
        assert!(lock(&path).is_ok());
        drop(inherited);
    }
}
