//! Where a config comes from, if that is more than a file.

/// Who has written a config, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOrigin {
    /// Who.
    pub author: String,
    /// Why.
    pub reason: String,
    /// The commit that it is from, if it is from one.
    pub commit: Option<String>,
    /// Whether its weights count also where they were taken back.
    pub insists: bool,
}
