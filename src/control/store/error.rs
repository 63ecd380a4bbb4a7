//! The errors of the store, each with what to do about it.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::schema::FORMAT;
use crate::database::file_lock::LockError;

/// Why the store could not be opened, read or written. Nothing on disk was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused the file.
    #[error("{path}: cannot open the revision store; want a file in a folder that this user can write to, see [state] path", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// Another process, or this one, has it open.
    #[error("{path}: found the revision store in use by another process; stop that one, or give this one its own [state] path", path = path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Another program holds a lock on it, for longer than a write waits.
    #[error("{path}: cannot {doing}: another program has locked the revision store; try again, and end what holds the lock (a backup, or a shell of sqlite3)", path = path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
    },
    /// It is not a store.
    #[error("{path}: found {found}, want a revision store of pointsman; move the file away, or set another [state] path", path = path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
    },
    /// It was written by a newer program.
    #[error("{path}: found a revision store of format {found}, want format {FORMAT}; run the newer pointsman that wrote it, or set another [state] path", path = path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i32,
    },
    /// It is damaged.
    #[error("{path}: found a damaged revision store: {found}; restore the file from a backup, or move it away to start from the config's weights", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        found: String,
    },
    /// Its path leads to something else than the file that is open.
    #[error("{path}: found {found} where the revision store was; changes are refused, they would be gone with this process; {remedy}", path = path.display())]
    Misplaced {
        /// The file.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What to do.
        remedy: &'static str,
    },
    /// It is not the one that was lent to another process, or an older copy of it.
    #[error("{path}: found {found} where the revision store was that is in force up to revision {wanted}; put it back, or restart to go on from what is there", path = path.display())]
    NotReturned {
        /// The file.
        path: PathBuf,
        /// What is there.
        found: String,
        /// The revision in force.
        wanted: u64,
    },
    /// There is no room to write.
    #[error("{path}: cannot {doing}: the disk is full; free some space and try again", path = path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// It cannot be written.
    #[error("{path}: cannot {doing}: the file or its folder is read-only; make both writable for this user and try again", path = path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// It could only be read when it was opened.
    #[error("{path}: cannot write a revision: the file or its folder was read-only when the proxy started; make both writable for this user and restart", path = path.display())]
    Frozen {
        /// The file.
        path: PathBuf,
    },
    /// Anything else that SQLite says.
    #[error("{path}: cannot {doing}; see what the system's log says of the disk", path = path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl StoreError {
    pub(crate) fn of_lock(path: &Path, error: LockError) -> Self {
        let path = path.to_owned();
        match error {
            LockError::InUse => Self::InUse { path },
            LockError::File(source) => Self::File { path, source },
        }
    }

    /// What SQLite said while `doing` something with the store at `path`.
    pub(crate) fn at(path: &Path, doing: &'static str, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path, doing, source },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                Self::ReadOnly { path, doing, source }
            }
            Some(ErrorCode::NotADatabase) => Self::NotOurs { path, found: "a file that is not a database".to_owned() },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, found: source.to_string() },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path, doing },
            _ => Self::Sqlite { path, doing, source },
        }
    }

    /// Whether its file is gone or another one.
    #[must_use]
    pub fn is_misplaced(&self) -> bool {
        matches!(self, Self::Misplaced { .. } | Self::NotReturned { .. })
    }

    /// Whether it may be over in a moment: another program has it now, or its file system does not answer.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        let silent = |source: &std::io::Error| source.kind() == std::io::ErrorKind::TimedOut;
        matches!(self, Self::Locked { .. } | Self::InUse { .. })
            || matches!(self, Self::File { source, .. } if silent(source))
    }

    /// Whether it is what the file holds, and not that it could not be read just now.
    pub(crate) fn is_of_contents(&self) -> bool {
        matches!(self, Self::NotOurs { .. } | Self::Newer { .. } | Self::Damaged { .. })
    }

    /// Whether it is for want of room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }
}
