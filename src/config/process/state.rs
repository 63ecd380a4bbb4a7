//! `[state]`: where revisions are kept.

use std::path::PathBuf;

use serde::Deserialize;

use crate::config::build::Build;
use crate::config::check;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::ErrorGuaranteed;

/// Where revisions are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateConfig {
    /// The database, created if it is missing.
    pub path: PathBuf,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawState {
    path: Option<String>,
}

impl RawState {
    pub(crate) fn build(&self, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<StateConfig, ErrorGuaranteed> {
        let (path, base) = match self.path.as_deref() {
            Some(path) => (path, build.base),
            None => ("pointsman.db", build.state.unwrap_or(build.base)),
        };
        let path = check::made_file(path, base, &at.key("path"), &mut build.report)?;
        Ok(StateConfig { path })
    }
}
