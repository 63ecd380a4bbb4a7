//! What takes batches: reads one, hands it to the ledger, and waits until it is on disk.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use super::event_batch::parse_batch;
use super::event_names::EventNames;
use super::event_refusal::EventRefusal;
use crate::experiment::experiment_state::Recorded;
use crate::ledger::ledger_handle::{EventReceipt, LedgerHandle};
use crate::stats::{EventCallOutcome, EventOutcome, EventStats};

/// How long a sender is kept waiting for a disk. What is recorded after that counts as repeated when it comes again.
const RECORD_TIMEOUT: Duration = Duration::from_secs(10);

/// Takes batches; clones hand them to the same ledger.
#[derive(Clone)]
pub(crate) struct EventRecorder {
    /// Where they go.
    pub(crate) ledger: LedgerHandle,
    /// Which events mean something at this moment.
    pub(crate) names: Arc<dyn Fn() -> EventNames + Send + Sync>,
    /// What became of calls and events.
    pub(crate) stats: Arc<EventStats>,
}

impl EventRecorder {
    /// Records the batch of a body. What became of it is counted.
    ///
    /// # Errors
    /// The refusal: nothing of the batch is acknowledged.
    pub(crate) async fn record(&self, body: &[u8]) -> Result<EventReceipt, EventRefusal> {
        let recorded = self.try_record(body).await;
        match &recorded {
            Ok(receipt) => {
                self.stats.called(EventCallOutcome::Recorded);
                receipt.events.iter().for_each(|recorded| self.stats.sent(outcome(*recorded)));
            }
            Err(refusal) => self.stats.called(refusal.outcome),
        }
        recorded
    }

    async fn try_record(&self, body: &[u8]) -> Result<EventReceipt, EventRefusal> {
        let now_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
        let events = parse_batch(body, &(self.names)(), now_ms).map_err(EventRefusal::of_batch)?;
        let recorded = timeout(RECORD_TIMEOUT, self.ledger.record(events)).await;
        let recorded = recorded.map_err(|_elapsed| EventRefusal::late())?;
        recorded.map_err(|error| EventRefusal::of_ledger(&error))
    }
}

impl fmt::Debug for EventRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventRecorder").finish_non_exhaustive()
    }
}

/// The word for what became of an event.
fn outcome(recorded: Recorded) -> EventOutcome {
    match recorded {
        Recorded::Counted => EventOutcome::Counted,
        Recorded::Repeated => EventOutcome::SentAgain,
        Recorded::NoMetric => EventOutcome::NoMetric,
        Recorded::NotExposed => EventOutcome::NotExposed,
        Recorded::Crossed => EventOutcome::InBothArms,
        Recorded::Before => EventOutcome::Before,
        Recorded::After => EventOutcome::After,
    }
}
