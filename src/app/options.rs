//! What the one who starts the process decides, rather than the config.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{GitopsStart, Inherited, Program};
use crate::log::Losses;
use crate::supervise::Supervisor;

/// What a caller decides, rather than the config.
#[derive(Debug, Default)]
pub struct Options {
    /// Keep revisions in memory only: for demonstrations and tests.
    pub in_memory: bool,
    /// The config's file, to be watched and read again on SIGHUP.
    pub file: Option<ConfigFile>,
    /// What the config was read from, when that is a repository.
    pub gitops: Option<GitopsStart>,
    /// Sockets that the process was started with.
    pub inherited: Inherited,
    /// How to start this program again, for an upgrade in place.
    pub program: Option<Program>,
    /// How long an idle connection keeps its buffers, if not the usual time: for tests.
    pub park_after: Option<Duration>,
    /// What the process's own log has lost, to be shown.
    pub log_losses: Arc<Losses>,
    /// What must live.
    pub supervisor: Supervisor,
    /// Calls that the admin API answers below `/v1/demo`, behind its guard.
    pub extra_api: Option<axum::Router>,
}

/// The file that a config was read from.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    /// Where it is.
    pub path: PathBuf,
    /// What was in it.
    pub text: String,
}
