//! Files that hold the secrets of notifications.

use std::fs;
use std::path::{Path, PathBuf};

use crate::tls::private_file::{KeptFrom, warning};

/// More is not a secret but another file.
const BYTES_MAX: u64 = 65_536;

/// A secret, without the white space around it.
pub struct Secret {
    /// What messages are signed with.
    pub bytes: Box<[u8]>,
    /// What its owner should know: others can read it.
    pub warning: Option<String>,
}

/// Without the secret.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("warning", &self.warning).finish_non_exhaustive()
    }
}

/// Why a file holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretFault {
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
    pub fn read(file: &Path) -> Result<Self, SecretFault> {
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
            secret => Ok(Self { bytes: secret.into(), warning }),
        }
    }
}
