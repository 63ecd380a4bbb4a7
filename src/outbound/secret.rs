//! Files that hold the secrets of notifications. They are read here only: when a config is checked, and for each
//! message.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::tls::private_file::{KeptFrom, short_secret, warning};

/// More is not a secret but another file.
const BYTES_MAX: u64 = 65_536;

/// What is in a file that holds a secret.
pub(crate) struct Secret {
    /// The secret, without the space and the line's end around it.
    pub bytes: Vec<u8>,
    /// What its owner should know: others can read it or guess it.
    pub warning: Option<String>,
}

/// Why a file holds no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretFault {
    /// It cannot be read.
    #[error("cannot read {file} ({why}); make it exist and be readable by the user of this process", file = .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        why: std::io::Error,
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

/// Without the secret.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("warning", &self.warning).finish_non_exhaustive()
    }
}

impl Secret {
    /// Reads the file.
    ///
    /// # Errors
    /// [`SecretFault`] when it cannot be read, or is empty or huge.
    pub(crate) fn read(file: &Path) -> Result<Self, SecretFault> {
        let unreadable = |why| SecretFault::Unreadable { file: file.to_owned(), why };
        let bad = |found: String| SecretFault::Content { file: file.to_owned(), found };
        let metadata = fs::metadata(file).map_err(unreadable)?;
        if metadata.len() > BYTES_MAX {
            return Err(bad(format!("{} bytes", metadata.len())));
        }
        let bytes = fs::read(file).map_err(unreadable)?;
        let warning = warning(file, KeptFrom::All);
        match bytes.trim_ascii() {
            [] => Err(bad("nothing".to_owned())),
            secret => Ok(Self { bytes: secret.to_vec(), warning: warning.or_else(|| short_secret(file, secret)) }),
        }
    }
}
