//! `[access_log]`: what is written about each request.

use std::path::PathBuf;

use serde::Deserialize;

use crate::config::build::Build;
use crate::config::check;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::ErrorGuaranteed;
use crate::config::reader::units::{Ratio, Setting};

/// What is written about each request.
#[derive(Clone, PartialEq, Debug)]
pub struct AccessLog {
    /// How.
    pub format: LogFormat,
    /// The file; `None` is standard output.
    pub path: Option<PathBuf>,
    /// The share of requests that is written, 0 to 1.
    pub sample: f64,
}

/// How an access log is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Not at all.
    #[default]
    Off,
    /// One JSON object a line.
    Json,
    /// One line a request, for people.
    Text,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawAccessLog {
    format: Option<LogFormat>,
    path: Option<String>,
    sample: Option<Setting<Ratio>>,
}

impl RawAccessLog {
    pub(crate) fn build(&self, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<AccessLog, ErrorGuaranteed> {
        // Without a log nothing is made.
        let written = self.format.unwrap_or_default() != LogFormat::Off;
        let file = if written { check::made_file } else { check::file };
        let path = self.path.as_deref();
        let path = path.map(|text| file(text, build.base, &at.key("path"), &mut build.report)).transpose()?;
        let sample = self.sample.map_or(1.0, |read| read.0.0);
        Ok(AccessLog { format: self.format.unwrap_or_default(), path, sample })
    }
}
