//! What tells a file from the one that was there before, and from itself before it was written.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The numbers of a file. The time of the last change of anything (`ctime`) is among them, which no program can set: one
/// that puts the time of writing back (`touch -r`, `rsync -t`) is seen all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    /// Names of the file: a new one with two was linked, not written.
    pub links: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    /// The numbers of the regular file that `path` leads to; none when there is none.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            links: found.nlink(),
            bytes: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

/// Reads a regular file as text. Anything else is refused before it is opened: a pipe would be waited for.
///
/// # Errors
/// When it is missing, no file, not readable or not UTF-8.
pub fn read(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    fs::read_to_string(path)
}
