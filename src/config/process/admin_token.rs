//! The tokens of the admin API, and what they allow.

use std::path::PathBuf;

use serde::Deserialize;

use crate::table::Name;

/// A bearer token, by the file that holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdminToken {
    /// The author of the changes made with it.
    pub name: Name,
    /// What it allows.
    pub role: AdminRole,
    /// The file that holds the token.
    pub file: PathBuf,
}

/// What a token or a client certificate allows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdminRole {
    /// To look.
    Read,
    /// To look and to change.
    Operate,
}
