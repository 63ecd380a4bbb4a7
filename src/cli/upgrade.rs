//! `pointsman upgrade`: the binary on disk takes over from the one that runs.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::{Map, Value};

use super::client::Call;
use super::{CommandError, Remote};

/// Longer than any `proxy.upgrade_timeout` that a person would wait for; the proxy is the one that gives up.
const PATIENCE: Duration = Duration::from_secs(2 * 86_400);

/// Let the binary on disk take over from the process that runs, without losing a request
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  install -m 755 pointsman-new /usr/local/bin/pointsman && pointsman upgrade\n\n\
    The process starts the file that it was itself started from, with the same arguments. If the new process\n\
    does not come to serve, the old one goes on and this command says why. SIGUSR2 does the same.")]
pub struct UpgradeArgs {
    /// Why, for the log
    #[arg(long)]
    reason: Option<String>,
}

/// Upgrades.
///
/// # Errors
/// [`CommandError`] when the old process goes on.
pub fn run(remote: &Remote, args: UpgradeArgs) -> Result<(), CommandError> {
    let body = args.reason.map(|reason| ("reason".to_owned(), Value::from(reason)));
    let body = Some(Value::Object(Map::from_iter(body)));
    let call = Call { method: Method::POST, path: "/v1/upgrade", body, if_match: None };
    remote.call_for(PATIENCE, call, |answer| {
        let process = answer.get("process").and_then(Value::as_u64).unwrap_or_default();
        format!("process {process} has taken over; the old one ends when its requests have ended\n")
    })
}

/// The file that this process was started from, as it was called, so that a link that points elsewhere by now is
/// followed anew.
pub(crate) fn program(called: &Path) -> Option<PathBuf> {
    if called.components().count() > 1 {
        return std::path::absolute(called).ok();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let runs =
        |file: &PathBuf| file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    std::env::split_paths(&path).map(|folder| folder.join(called)).find(runs).or_else(|| std::env::current_exe().ok())
}
