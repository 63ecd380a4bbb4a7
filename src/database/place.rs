//! The check that the path of the store still leads to the files that this process writes.
//!
//! A file that is deleted or replaced while it is open can be written as before: every flush succeeds, and all of it is
//! gone with the process. So the numbers of the files at the path (device and inode) are compared with those of the
//! files that were opened: of the database, of its write-ahead log, where the newest revisions are, and of the log's
//! index, by which SQLite keeps two writers apart.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a file is on its system, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

/// When a file was last written, and how long it is then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: (i64, i64),
}

/// The files of a store, as they were found at its path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct StoreFiles {
    folder: bool,
    database: Option<FileId>,
    stamp: Option<Stamp>,
    log: Option<FileId>,
    index: Option<FileId>,
}

/// What is at the path, seen from the store that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlaceFinding {
    /// The files that are open.
    Ours,
    /// The same, but another program has written to the database.
    Written,
    /// No database.
    Gone,
    /// Not even its folder.
    FolderGone,
    /// Another database.
    Other,
    /// No log or no index.
    LogGone,
    /// Another log.
    OtherLog,
}

/// Where a store is, and what it was there when it was last known to be right.
#[derive(Clone, Debug)]
pub(crate) struct StorePlace {
    /// As the config has it: links on the way are followed anew at each look.
    path: PathBuf,
    /// Without links, as SQLite opened it: its log is beside it.
    real: PathBuf,
    files: StoreFiles,
}

impl StorePlace {
    /// The files that are at `path` now, which were just opened.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let real = path.canonicalize()?;
        let files = StoreFiles::at(path, &real)?;
        Ok(Self { path: path.to_owned(), real, files })
    }

    /// Looks at the path.
    pub(crate) fn look(&self) -> io::Result<PlaceFinding> {
        StoreFiles::at(&self.path, &self.real).map(|found| judge(&self.files, &found))
    }

    /// What is there now is right: it was just written.
    pub(crate) fn adopt(&mut self) -> io::Result<()> {
        self.files = StoreFiles::at(&self.path, &self.real)?;
        Ok(())
    }

    /// Whether the log that is there is still that of the files that are open.
    pub(crate) fn has_our_log(&self) -> bool {
        let found = StoreFiles::at(&self.path, &self.real);
        self.files.log.is_some() && found.is_ok_and(|found| found.log == self.files.log)
    }

    /// Whether another look found the same database.
    pub(crate) fn has_same_database(&self, other: &Self) -> bool {
        self.files.database == other.files.database
    }

    /// The log and its index.
    pub(crate) fn sidecars(&self) -> [PathBuf; 2] {
        [beside(&self.real, "-wal"), beside(&self.real, "-shm")]
    }
}

impl StoreFiles {
    fn at(path: &Path, real: &Path) -> io::Result<Self> {
        let database = found(path)?;
        let folder = database.is_some() || found(parent(path))?.is_some();
        Ok(Self {
            folder,
            database: database.as_ref().map(FileId::of),
            stamp: database.as_ref().map(Stamp::of),
            log: found(&beside(real, "-wal"))?.as_ref().map(FileId::of),
            index: found(&beside(real, "-shm"))?.as_ref().map(FileId::of),
        })
    }
}

impl FileId {
    fn of(found: &Metadata) -> Self {
        Self { device: found.dev(), inode: found.ino() }
    }
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self { bytes: found.size(), modified: (found.mtime(), found.mtime_nsec()) }
    }
}

/// What was found against what was there. A log that was not there yet is ours when it comes.
fn judge(ours: &StoreFiles, found: &StoreFiles) -> PlaceFinding {
    let gone = |was: Option<FileId>, is: Option<FileId>| was.is_some() && is.is_none();
    let other = |was: Option<FileId>, is: Option<FileId>| was.is_some() && is.is_some() && was != is;
    if other(ours.database, found.database) {
        PlaceFinding::Other
    } else if other(ours.log, found.log) {
        PlaceFinding::OtherLog
    } else if found.database.is_none() {
        if found.folder { PlaceFinding::Gone } else { PlaceFinding::FolderGone }
    } else if gone(ours.log, found.log) || ours.index.is_some() && ours.index != found.index {
        PlaceFinding::LogGone
    } else if ours.stamp != found.stamp {
        PlaceFinding::Written
    } else {
        PlaceFinding::Ours
    }
}

/// What is at a path; none if there is nothing.
fn found(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The folder of a path.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file of the same folder, whose name has `suffix` at its end.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_at_the_path_is_told_apart() {
        let id = |inode| Some(FileId { device: 1, inode });
        let stamp = |bytes| Some(Stamp { bytes, modified: (1, 0) });
        let ours = StoreFiles { folder: true, database: id(1), stamp: stamp(1), log: id(2), index: id(3) };
        for (found, wanted) in [
            (ours, PlaceFinding::Ours),
            (StoreFiles { stamp: stamp(2), ..ours }, PlaceFinding::Written),
            (StoreFiles { database: None, stamp: None, ..ours }, PlaceFinding::Gone),
            (StoreFiles::default(), PlaceFinding::FolderGone),
            (StoreFiles { database: id(4), ..ours }, PlaceFinding::Other),
            (StoreFiles { database: id(4), log: None, index: None, ..ours }, PlaceFinding::Other),
            (StoreFiles { log: None, ..ours }, PlaceFinding::LogGone),
            (StoreFiles { index: None, ..ours }, PlaceFinding::LogGone),
            (StoreFiles { index: id(5), ..ours }, PlaceFinding::LogGone),
            (StoreFiles { log: id(5), ..ours }, PlaceFinding::OtherLog),
            (StoreFiles { database: None, stamp: None, log: id(5), ..ours }, PlaceFinding::OtherLog),
        ] {
            assert_eq!(judge(&ours, &found), wanted, "{found:?}");
        }
        let new = StoreFiles { log: None, index: None, ..ours };
        assert_eq!(judge(&new, &ours), PlaceFinding::Ours, "the log comes with the first write");
    }
}
