//! The errors of the ledger's file, each with what to do about it.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::ledger_schema::FORMAT;
use crate::database::file_lock::LockError;

/// Why the ledger could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerFileError {
    /// The operating system refused the file.
    #[error("{path}: cannot open the experiments' ledger: {source}; want a file in a folder that this user can write to, beside that of [state] path", path = path.display())]
    File { path: PathBuf, source: std::io::Error },
    /// Another process, or this one, has it open.
    #[error("{path}: found the experiments' ledger in use by another process; stop that one, or give this one its own [state] path", path = path.display())]
    InUse { path: PathBuf },
    /// It is another program's.
    #[error("{path}: found {found}, want an experiments' ledger of pointsman; move the file away", path = path.display())]
    NotOurs { path: PathBuf, found: String },
    /// It was written by a newer program.
    #[error("{path}: found an experiments' ledger of format {found}, want format {FORMAT}; run the newer pointsman that wrote it, or move the file away", path = path.display())]
    Newer { path: PathBuf, found: i32 },
    /// It is damaged.
    #[error("{path}: found a damaged experiments' ledger: {found}; restore the file from a backup, or move it away and start the experiments again", path = path.display())]
    Damaged { path: PathBuf, found: String },
    /// Its path leads to something else than the file that is open.
    #[error("{path}: found {found} where the experiments' ledger was; put it back, or restart to go on from what is there", path = path.display())]
    Misplaced { path: PathBuf, found: &'static str },
    /// There is no room to write.
    #[error("{path}: cannot {doing}: the disk is full; free some space", path = path.display())]
    Full { path: PathBuf, doing: &'static str },
    /// Another program holds a lock on it, for longer than a write waits.
    #[error("{path}: cannot {doing}: another program has locked the experiments' ledger; end what holds the lock (a backup, or a shell of sqlite3)", path = path.display())]
    Locked { path: PathBuf, doing: &'static str },
    /// It cannot be written.
    #[error("{path}: cannot {doing}: the file or its folder is read-only; make both writable for this user", path = path.display())]
    ReadOnly { path: PathBuf, doing: &'static str },
    /// Anything else that SQLite says.
    #[error("{path}: cannot {doing}: {source}; see what the system's log says of the disk", path = path.display())]
    Sqlite { path: PathBuf, doing: &'static str, source: rusqlite::Error },
}

impl LedgerFileError {
    pub(super) fn of_lock(path: &Path, error: LockError) -> Self {
        let path = path.to_owned();
        match error {
            LockError::InUse => Self::InUse { path },
            LockError::File(source) => Self::File { path, source },
        }
    }

    /// What SQLite said while something was done with the file at `path`.
    pub(super) fn at(path: &Path, doing: &'static str, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path, doing },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                Self::ReadOnly { path, doing }
            }
            Some(ErrorCode::NotADatabase) => Self::NotOurs { path, found: "a file that is not a database".to_owned() },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, found: source.to_string() },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path, doing },
            _ => Self::Sqlite { path, doing, source },
        }
    }
}
