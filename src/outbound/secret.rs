//! Files that hold the secrets of notifications.

use std::fs;
use std::path::{Path, PathBuf};

use crate::tls::private_file::{KeptFrom, warning};

/// More is not a secret but another file.
const BYTES_MAX: u64 = 65_536;

/// A file that holds a secret; the secret itself is read again for each message.
#[derive(Debug)]
pub(crate) struct Secret {
    /// What its owner should know: others can read it.
    pub warning: Option<String>,
}

/// Why a file holds no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretFault {
    /// It cannot be read.
    #[error("cannot read {file} ({source}); make it exist and be readable by the user of this process", file = .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is nothing in it, or too much.
    #[error("found {found} in {file}, want a secret of 1 to {BYTES_MAX} bytes", file = .file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// What is there.
        found: String,
    },
}

impl Secret {
    /// Reads the file.
    ///
    /// # Errors
    /// [`SecretFault`] when it cannot be read, or is empty or huge.
    pub(crate) fn read(file: &Path) -> Result<Self, SecretFault> {
        let unreadable = |source| SecretFault::Unreadable { file: file.to_owned(), source };
        let bad = |found: String| SecretFault::Content { file: file.to_owned(), found };
        let metadata = fs::metadata(file).map_err(unreadable)?;
        if metadata.len() > BYTES_MAX {
            return Err(bad(format!("{} bytes", metadata.len())));
        }
        let bytes = fs::read(file).map_err(unreadable)?;
        let warning = warning(file, KeptFrom::All);
        match bytes.trim_ascii() {
            [] => Err(bad("nothing".to_owned())),
            _ => Ok(Self { warning }),
        }
    }
}
