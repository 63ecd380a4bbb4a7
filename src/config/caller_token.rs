//! A token of a caller that is no operator.

use std::path::PathBuf;

use crate::table::Name;

/// A token, by the file that holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallerToken {
    /// Its name.
    pub name: Name,
    /// The file.
    pub file: PathBuf,
}
