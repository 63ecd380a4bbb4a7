//! The claim of this process on a database file.
//!
//! The file is locked with `flock`. That lock does not clash with SQLite's own (POSIX locks), and an operator can still
//! read the file with the SQLite shell. POSIX locks have a trap: closing *any* descriptor of the file drops those of
//! the whole process. So a file that this process has open is refused by [`OPEN`] before a second descriptor exists.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::place::beside;

/// The files that this process has open.
static OPEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The mode of a database. SQLite gives its log and its index the same; other users may not read who made changes and
/// why, nor what users did.
pub(crate) const MODE: u32 = 0o600;

/// A database file that is this process's own, until this is dropped.
#[derive(Debug)]
pub(crate) struct FileLock {
    /// Until it is closed.
    file: Option<File>,
    path: PathBuf,
}

/// A file that was claimed.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) lock: FileLock,
    /// Whether it can only be read.
    pub(crate) read_only: bool,
}

/// Why a file cannot be claimed.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another process, or this one, has it open.
    InUse,
    /// The operating system refused it.
    File(io::Error),
}

/// Makes the file if it is missing, and claims it for this process.
///
/// # Errors
/// [`LockError`] when it cannot be opened, or another process, or this one, has it.
pub(crate) fn claim(path: &Path) -> Result<Claimed, LockError> {
    let failed = LockError::File;
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if path.canonicalize().is_ok_and(|canonical| open.contains(&canonical)) {
        return Err(LockError::InUse);
    }
    let written = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(MODE).open(path);
    let (file, read_only) = match written {
        Ok(file) => (file, false),
        Err(error) if is_read_only(&error) => (File::open(path).map_err(|_missing| failed(error))?, true),
        Err(error) => return Err(failed(error)),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(LockError::InUse),
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    let canonical = path.canonicalize().map_err(failed)?;
    open.insert(canonical.clone());
    if !read_only {
        make_private(&file, &canonical);
    }
    Ok(Claimed { lock: FileLock { file: Some(file), path: canonical }, read_only })
}

/// Takes a database that others could read away from them, with its log and index.
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
            tracing::warn!(path = %sidecar.display(), %error, "others can read a database's log, want mode 0600");
        }
    }
    if let Err(error) = made {
        tracing::warn!(path = %path.display(), %error, "others can read a database, want mode 0600");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_with_its_owner_whoever_else_has_the_file_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pointsman.db");
        let first = claim(&path).expect("a new file").lock;
        let inherited = first.file.as_ref().expect("open").try_clone().expect("as a new process has it");
        assert!(matches!(claim(&path), Err(LockError::InUse)));
        drop(first);
        assert!(claim(&path).is_ok());
        drop(inherited);
    }
}
