//! How a database is opened, whatever is in it: SQLite in WAL mode with full sync.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::place::parent;

/// How long a write waits for an operator who holds a lock in the SQLite shell.
pub(crate) const BUSY_WAIT: Duration = Duration::from_secs(2);

/// What the write-ahead log is cut to after a checkpoint, in bytes: after a burst the disk space comes back.
const WAL_BYTES_KEPT: i64 = 4 << 20;

/// Reads something, so that the log and its index are there.
pub(crate) fn touch_log(db: &Connection) -> rusqlite::Result<()> {
    db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)).map(drop)
}

/// Whether there is nothing in the database: a new file, or one whose maker was killed before it made the tables.
pub(crate) fn is_empty(db: &Connection) -> rusqlite::Result<bool> {
    let marks = "SELECT (SELECT count(*) FROM sqlite_schema)
        + (SELECT application_id <> 0 FROM pragma_application_id)
        + (SELECT user_version <> 0 FROM pragma_user_version)";
    db.query_row(marks, [], |row| Ok(row.get::<_, i64>(0)? == 0))
}

/// Sets what each connection needs.
pub(crate) fn prepare(db: &Connection) -> rusqlite::Result<()> {
    // FULL: in WAL mode each commit flushes the log, so that an answered change survives a power cut.
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)
}

/// Makes the name of a new file durable too: a synced file in an unsynced folder is lost with the power.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(parent(path))?.sync_all()
}

/// Gives a file its name. Not by renaming it: what has come to be there in between is not ours to write over. Where the
/// file system has no second names, a look has to be enough.
pub(crate) fn give_name(new: &Path, target: &Path) -> io::Result<()> {
    match fs::hard_link(new, target) {
        Ok(()) => fs::remove_file(new),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists || target.exists() => Err(error),
        Err(_unsupported) => fs::rename(new, target),
    }
}

/// Closes a connection whose files have no name any more, and leaves those alone that have it now.
pub(crate) fn abandon(db: Connection) {
    keep_log(&db);
    drop(db);
}

/// SQLite deletes the log by its name when the last connection is closed, unless it does not empty it.
pub(crate) fn keep_log(db: &Connection) {
    if let Err(error) = db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
        tracing::warn!(%error, "cannot keep the write-ahead log of another file from being deleted");
    }
}
