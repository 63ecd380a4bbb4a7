//! Ends weights that were set for a time, when it is over and nothing else has them in its hands.
//!
//! What has to end is in the marks of weights, which are durable: so it ends after a restart too, and in the process
//! that takes over and not in this one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::change::Change;
use super::handle::{ApplyError, ChangeRequest, Handle, OntoDead};
use super::overridden::{overridden_subjects, waits};
use super::publish::Published;
use super::weight_marks::{SetWeights, WeightFacts, WeightSubject};
use crate::problem::chain;
use crate::stats::Registry;
use crate::table::Table;

/// Who ends them.
const AUTHOR: &str = "expiry";

/// When it is looked at again at the latest: clocks are set.
const LOOK: Duration = Duration::from_secs(60);

/// When it is tried again while something has the weights in its hands.
const AGAIN: Duration = Duration::from_secs(1);

/// When it is tried again after the change was refused, which is told each time.
const REFUSED_AGAIN: Duration = Duration::from_secs(10);

/// Ends them.
#[derive(Debug)]
pub(crate) struct ExpiryClock {
    pub(crate) handle: Handle,
    pub(crate) published: Published,
    pub(crate) weights: watch::Receiver<Arc<WeightFacts>>,
    pub(crate) registry: Arc<Registry>,
}

/// Weights that were set for a time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TemporaryWeights {
    /// Whose.
    pub(crate) subject: WeightSubject,
    /// Who has set them.
    pub(crate) set: Arc<SetWeights>,
    /// When they end, in milliseconds since 1970.
    pub(crate) until_ms: i64,
    /// What they wait for when that is over.
    pub(crate) waits: Option<&'static str>,
}

/// All that were set for a time and are not as the config says.
#[must_use]
pub(crate) fn temporary(table: &Table, facts: &WeightFacts, registry: &Registry) -> Vec<TemporaryWeights> {
    let found = overridden_subjects(table).into_iter().filter_map(|subject| {
        let set = Arc::clone(facts.marks.set.get(&subject)?);
        let until_ms = set.until_ms?;
        let waits = waits(&subject, table, facts, registry);
        Some(TemporaryWeights { subject, set, until_ms, waits })
    });
    found.collect()
}

impl ExpiryClock {
    /// Ends what has to end, until `stop` ends.
    pub(crate) async fn run(&mut self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&mut self) {
        loop {
            let pause = self.look().await;
            // Whatever woke it, it looks.
            if let Ok(Err(_ended)) = timeout(pause, self.weights.changed()).await {
                sleep(pause).await;
            }
        }
    }

    /// Ends what has to end now; when to look again.
    async fn look(&self) -> Duration {
        let found = temporary(&self.published.load(), &self.weights.borrow(), &self.registry);
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let mut pause = LOOK;
        for TemporaryWeights { subject, set, until_ms, waits } in found {
            let left = u64::try_from(until_ms.saturating_sub(now_ms)).unwrap_or_default();
            if left > 0 {
                pause = pause.min(Duration::from_millis(left));
            } else if waits.is_some() {
                pause = pause.min(AGAIN);
            } else if let Err(error) = self.end(&subject, &set).await {
                tracing::warn!(%subject, error = chain(&error), "weights that were set for a time cannot end yet");
                pause = pause.min(REFUSED_AGAIN);
            }
        }
        pause
    }

    async fn end(&self, subject: &WeightSubject, set: &SetWeights) -> Result<(), ApplyError> {
        let SetWeights { revision, author, reason, .. } = set;
        let why = reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        let reason = Some(format!("the time is over that {author} has set them for in revision {revision}{why}"));
        let change = Change::Expire { subject: subject.clone(), revision: *revision };
        let (author, onto_dead) = (AUTHOR.to_owned(), OntoDead::Ignore);
        let request =
            ChangeRequest { change, dry_run: false, if_match: None, onto_dead, author, reason, until_ms: None };
        match self.handle.apply(request).await {
            // Something else has set them since, or the process that takes over ends them.
            Err(ApplyError::Problems(_) | ApplyError::Upgrading(_)) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
