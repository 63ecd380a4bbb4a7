//! What forges call when there is something new: a hook that is believed wakes the keeper, and nothing else comes of
//! it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::Notify;

use super::hook_signature::{HookFault, HookHeaders, believe};
use crate::files::watcher::in_background;
use crate::outbound::secret::Secret;
use crate::problem::chain;

/// Takes hooks.
#[derive(Clone, Debug)]
pub(crate) struct HookReceiver {
    secret_file: Option<PathBuf>,
    /// Wakes the keeper. However many hooks come while it looks, it looks once more.
    wake: Arc<Notify>,
    counts: Arc<HookCounts>,
}

/// Hooks since the start, by what became of them.
#[derive(Debug, Default)]
struct HookCounts {
    believed: AtomicU64,
    refused: AtomicU64,
}

/// Why a hook wakes nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HookRefusal {
    /// No secret is configured.
    #[error("found no gitops.hook_secret_file, want one: the secret of the hook is in it; or leave the hook out")]
    Off,
    /// The secret cannot be read. Why is for the log: a caller is known by nothing yet.
    #[error("the secret of hooks cannot be read now; the log of the proxy says why")]
    Secret(String),
    /// The signature is wrong.
    #[error(transparent)]
    Signature(#[from] HookFault),
}

impl HookReceiver {
    /// Believes what is signed with the secret in this file; none: nothing.
    pub(super) fn new(secret_file: Option<PathBuf>, wake: Arc<Notify>) -> Self {
        Self { secret_file, wake, counts: Arc::default() }
    }

    /// Has the repository looked at, if the hook is signed well. The secret is read each time: it may be another one.
    ///
    /// # Errors
    /// [`HookRefusal`] when it is not.
    pub(crate) async fn take(&self, headers: HookHeaders<'_>, body: &[u8]) -> Result<(), HookRefusal> {
        let file = self.secret_file.clone().ok_or(HookRefusal::Off)?;
        let read = in_background(move || Secret::read(&file).map_err(|fault| chain(&fault))).await;
        let secret = read.unwrap_or_else(|| Err("it was not read".to_owned())).map_err(HookRefusal::Secret)?;
        if let Err(fault) = believe(&secret.bytes, headers, body, jiff::Timestamp::now().as_second()) {
            self.counts.refused.fetch_add(1, Relaxed);
            return Err(fault.into());
        }
        self.counts.believed.fetch_add(1, Relaxed);
        self.wake.notify_one();
        Ok(())
    }

    /// How many hooks were believed, and how many were not, each with its word.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 2] {
        let HookCounts { believed, refused } = &*self.counts;
        [("believed", believed.load(Relaxed)), ("refused", refused.load(Relaxed))]
    }
}
