//! The identity of a file: what tells it from the one that was there before, and from itself before it was written.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::problem::utf8;

/// The numbers of a file. The time of the last change of anything (`ctime`) is among them, which no program can set:
/// one that puts the time of writing back (`touch -r`, `rsync -t`) is seen all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
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
    pub(crate) fn of(path: &Path) -> Option<Self> {
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

/// More is not a config but another file, and would be held several times: ten times what 10,000 services take.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Reads a regular file as text. Anything else is refused before it is opened: a pipe would be waited for.
///
/// # Errors
/// When it is missing, no file, too large, not readable or not UTF-8.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let refused = |why: String| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    let found = fs::metadata(path)?;
    if !found.is_file() {
        return refused("not a regular file".to_owned());
    }
    if found.size() > BYTES_MAX {
        return refused(format!("found {} bytes, want at most {BYTES_MAX}", found.size()));
    }
    utf8::text(fs::read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_file_is_refused_before_it_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pointsman.toml");
        let file = fs::File::create(&path).expect("a new file");
        file.set_len(BYTES_MAX + 1).expect("a hole");
        let error = read(&path).expect_err("it is too large").to_string();
        assert_eq!(error, "found 67108865 bytes, want at most 67108864");
        file.set_len(3).expect("a hole");
        assert_eq!(read(&path).expect("it is small").len(), 3);
    }
}
