//! The ledger of experiments: its file, and its thread.

use std::io;
use std::thread::JoinHandle;

use super::{Options, RunError};
use crate::config::Config;
use crate::ledger::ledger_handle::LedgerHandle;
use crate::ledger::ledger_thread::Ledger;
use crate::ledger::running_trials::RunningTrials;
use crate::supervise::{Kind, Supervisor};

/// Opens it beside the revision store.
pub(super) fn open(config: &Config, options: &Options, trials: RunningTrials) -> Ledger {
    let path = (!options.in_memory).then(|| Ledger::path_beside(&config.state.path));
    Ledger::open(path, trials)
}

/// Starts its thread. Requests are served without it, so it is never a reason to end the process.
pub(super) fn start(ledger: Ledger, supervisor: &Supervisor) -> Result<(LedgerHandle, JoinHandle<()>), RunError> {
    let handle = ledger.handle();
    let failed = |source: io::Error| RunError::Part { part: "ledger", source };
    let thread = ledger.start(supervisor.part("ledger", Kind::Log)).map_err(failed)?;
    Ok((handle, thread))
}
