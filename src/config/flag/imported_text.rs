//! The file that a config imports flags from, as it was read.

use std::path::PathBuf;

/// A file of flags that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImportedText {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it, or why it cannot be read.
    pub text: Result<String, UnreadableImport>,
}

/// Why a file of flags cannot be read. A text, because two reads with one outcome are the same to who compares them.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct UnreadableImport(pub String);
