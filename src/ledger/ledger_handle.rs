//! The handle of the ledger: what happened is recorded by it, and counts and users are read.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::exchange_board::ExchangeBoard;
use super::seen::{SeenSender, TrialKey};
use super::told_trials::{TrialsAnswer, TrialsQuestion};
use crate::experiment::experiment_result::ExperimentCounts;
use crate::experiment::experiment_state::{EventTally, Recorded};
use crate::experiment::name_hash::NameHash;
use crate::shared::name::Name;
use crate::shared::per_arm::ExperimentArm;
use crate::shared::probability::Probability;

/// How many calls may wait for the ledger; a call that finds no room is refused, and its sender comes again.
const CALLS_MAX: usize = 256;

/// How long a caller is kept waiting for a disk.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// The same for who asks how everything is: the answer is about more than the ledger.
const FACTS_WAIT: Duration = Duration::from_secs(1);

/// Asks the ledger; clones ask the same.
#[derive(Clone, Debug)]
pub(crate) struct LedgerHandle {
    calls: mpsc::Sender<LedgerCall>,
    seen: SeenSender,
    exchange: ExchangeBoard,
}

/// What a client says of a user.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UserEvent {
    /// What makes it the same if it comes again.
    pub(crate) id: NameHash,
    /// Whether it happened, or was known before.
    pub(crate) kind: UserEventKind,
    /// Its name.
    pub(crate) event: Box<str>,
    /// Whose it is: the hash of the key that the arm was drawn by.
    pub(crate) user: NameHash,
    /// Finite; 1 if none was sent.
    pub(crate) value: f64,
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: u64,
}

/// What kind of thing it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserEventKind {
    /// Something happened; its name is that of an event.
    Happened,
    /// What was known of the user before, for a metric that is adjusted by it; its name is that of the metric. It is
    /// [`Recorded::Counted`] where it is taken.
    KnownBefore,
}

/// What became of a batch of events. It is on disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EventReceipt {
    /// What became of each, in their order: counted if it counts for any trial, and otherwise why it counts for none.
    /// Without a trial that runs no metric is about it.
    pub(crate) events: Vec<Recorded>,
    /// How many of each there were, for each trial that runs.
    pub(crate) trials: Vec<(TrialKey, EventTally)>,
}

/// What a trial has counted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TrialCounts {
    /// Which trial.
    pub(crate) trial: TrialKey,
    /// When the ledger has first heard of it, in milliseconds since 1970.
    pub(crate) began_ms: u64,
    /// When it ended; none while it runs.
    pub(crate) ended_ms: Option<u64>,
    /// Its sums.
    pub(crate) counts: ExperimentCounts,
    /// What became of events and requests.
    pub(crate) tally: EventTally,
}

/// Some users of a trial, in the order of their hashes, as far as they are on disk.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UsersPage {
    /// Which trial.
    pub(crate) trial: TrialKey,
    /// The names of its metrics, in the order of a user's values.
    pub(crate) metrics: Vec<String>,
    /// The users.
    pub(crate) users: Vec<TrialUser>,
    /// Where the next page goes on; none if there is none.
    pub(crate) next: Option<NameHash>,
}

/// What is known of one user.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TrialUser {
    /// The hash of its key.
    pub(crate) user: NameHash,
    /// The arm that it was first seen in.
    pub(crate) arm: ExperimentArm,
    /// Whether it was seen in the other one too: it is in no sum.
    pub(crate) crossed: bool,
    /// The share of the treatment when it was first seen.
    pub(crate) share: Probability,
    /// When it was first seen, in milliseconds since 1970.
    pub(crate) first_ms: u64,
    /// Its value and its second value, of each metric; empty before the first.
    pub(crate) values: Vec<(f64, f64)>,
}

/// How the ledger is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LedgerFacts {
    /// Its file; none when all is in memory only.
    pub(crate) path: Option<String>,
    /// Why nothing is written; none while it is.
    pub(crate) problem: Option<Arc<str>>,
    /// What was last done to its file, and when: it was gone, and was made anew.
    pub(crate) note: Option<Arc<str>>,
    /// Trials that run.
    pub(crate) running: u64,
    /// Users of these.
    pub(crate) users: u64,
    /// Trials that run and admit no more users.
    pub(crate) full: Vec<TrialKey>,
    /// What workers have seen and the ledger has not: its queue was full, or it has not had its file.
    pub(crate) lost: u64,
}

impl LedgerFacts {
    /// The experiments that run and admit no more users.
    pub(crate) fn full_experiments(&self) -> impl Iterator<Item = &Name> {
        self.full.iter().filter_map(|trial| match trial {
            TrialKey::Experiment { name, .. } => Some(name),
            TrialKey::Rollout { .. } => None,
        })
    }
}

/// Why the ledger does not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LedgerError {
    /// Too many calls wait.
    #[error("found too many calls that wait for the experiments' ledger; repeat the call in a moment")]
    Busy,
    /// Nothing can be written. Of this batch nothing is acknowledged, and it may be repeated with the same ids.
    #[error("{0}")]
    Unsaved(Arc<str>),
    /// It has not answered in time.
    #[error("the experiments' ledger has not answered in time, its disk may be slow; repeat the call in a moment")]
    Late,
    /// The file is handed over to a process that takes over.
    #[error("an upgrade in place is going on; repeat the call in a moment")]
    Upgrading,
    /// Other replicas may know users whom this one does not. Of this batch nothing is recorded.
    #[error("the other replicas have to be asked first; repeat the call in a moment")]
    Unheard,
    /// The ledger has ended: the process is shutting down, or a bug stopped it.
    #[error("the proxy has lost this call: a part of it has ended, and begins again; repeat the call in a moment")]
    Gone,
}

/// A call to the ledger, with where the answer goes.
#[derive(Debug)]
pub(crate) enum LedgerCall {
    Record(RecordCall, oneshot::Sender<Result<EventReceipt, LedgerError>>),
    Share,
    Asks(String, oneshot::Sender<TrialsQuestion>),
    Tell(TrialsQuestion, oneshot::Sender<TrialsAnswer>),
    Hear(TrialsAnswer, oneshot::Sender<HeardTrials>),
    Latest(Name, oneshot::Sender<Result<Option<TrialCounts>, LedgerError>>),
    CountsOf(TrialKey, oneshot::Sender<Result<Option<TrialCounts>, LedgerError>>),
    Runs(Name, oneshot::Sender<Result<Vec<TrialCounts>, LedgerError>>),
    Users(UsersCall, oneshot::Sender<Result<Option<UsersPage>, LedgerError>>),
    Facts(oneshot::Sender<LedgerFacts>),
    HandOver(oneshot::Sender<Result<(), LedgerError>>),
    TakeBack(oneshot::Sender<Result<(), LedgerError>>),
}

/// What came of what another replica has told.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeardTrials {
    /// Whether it has more to tell.
    pub(crate) more: bool,
    /// The trials of which it counts something else.
    pub(crate) others: Vec<String>,
}

/// Events to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct RecordCall {
    pub(crate) events: Vec<UserEvent>,
    /// Whether it is [`LedgerError::Unheard`] when other replicas may know users whom this one does not.
    pub(crate) unless_unheard: bool,
}

/// Which users are wanted.
#[derive(Clone, Debug)]
pub(crate) struct UsersCall {
    pub(crate) experiment: Name,
    pub(crate) after: Option<NameHash>,
    pub(crate) limit: usize,
}

impl LedgerHandle {
    /// A handle, and where its calls go. `seen` is the queue of the workers.
    pub(crate) fn new(seen: SeenSender) -> (Self, mpsc::Receiver<LedgerCall>) {
        let (calls, inbox) = mpsc::channel(CALLS_MAX);
        (Self { calls, seen, exchange: ExchangeBoard::default() }, inbox)
    }

    /// How far other replicas are known.
    pub(crate) fn exchange(&self) -> &ExchangeBoard {
        &self.exchange
    }

    /// Where workers hand over what they have seen.
    pub(crate) fn seen(&self) -> &SeenSender {
        &self.seen
    }

    /// Records events for all trials that run. When this returns without an error, they are on disk. It does not wait
    /// for room: a sender of events that is told to come again is better than one that hangs.
    ///
    /// # Errors
    /// [`LedgerError`] when nothing is acknowledged: the batch may be sent again, with the same ids.
    pub(crate) async fn record(&self, events: Vec<UserEvent>) -> Result<EventReceipt, LedgerError> {
        let again = (!self.exchange.is_empty()).then(|| events.clone());
        match (self.try_record(RecordCall { events, unless_unheard: again.is_some() }).await, again) {
            (Err(LedgerError::Unheard), Some(events)) => {
                self.exchange.catch_up().await;
                // One that has not been heard since this process began may know them: the sender comes again.
                self.try_record(RecordCall { events, unless_unheard: !self.exchange.heard_all() }).await
            }
            (recorded, _) => recorded,
        }
    }

    async fn try_record(&self, call: RecordCall) -> Result<EventReceipt, LedgerError> {
        let (answer, answered) = oneshot::channel();
        self.calls.try_send(LedgerCall::Record(call, answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => LedgerError::Busy,
            mpsc::error::TrySendError::Closed(_) => LedgerError::Gone,
        })?;
        answered.await.unwrap_or(Err(LedgerError::Gone))
    }

    /// There are other replicas, which follow what changes.
    ///
    /// # Errors
    /// [`LedgerError::Gone`] when it has ended.
    pub(crate) async fn share(&self) -> Result<(), LedgerError> {
        self.calls.send(LedgerCall::Share).await.map_err(|_closed| LedgerError::Gone)
    }

    /// What the replica whose store is called so is to be asked.
    ///
    /// # Errors
    /// [`LedgerError`] when it has ended, or does not answer.
    pub(crate) async fn asks(&self, replica: &str) -> Result<TrialsQuestion, LedgerError> {
        self.ask(|answer| LedgerCall::Asks(replica.to_owned(), answer)).await
    }

    /// What another replica is told that asks this.
    ///
    /// # Errors
    /// [`LedgerError`] when it has ended, or does not answer.
    pub(crate) async fn tell(&self, question: TrialsQuestion) -> Result<TrialsAnswer, LedgerError> {
        self.ask(|answer| LedgerCall::Tell(question, answer)).await
    }

    /// Takes what another replica has told.
    ///
    /// # Errors
    /// [`LedgerError`] when it has ended, or does not answer.
    pub(crate) async fn hear(&self, told: TrialsAnswer) -> Result<HeardTrials, LedgerError> {
        self.ask(|answer| LedgerCall::Hear(told, answer)).await
    }

    /// What the latest run of an experiment has counted; none if there was none.
    ///
    /// # Errors
    /// [`LedgerError`] when it cannot be read.
    pub(crate) async fn counts(&self, experiment: &Name) -> Result<Option<TrialCounts>, LedgerError> {
        self.ask(|answer| LedgerCall::Latest(experiment.clone(), answer)).await?
    }

    /// What a trial has counted; none if it is not known.
    ///
    /// # Errors
    /// [`LedgerError`] when it cannot be read.
    pub(crate) async fn counts_of(&self, trial: &TrialKey) -> Result<Option<TrialCounts>, LedgerError> {
        self.ask(|answer| LedgerCall::CountsOf(trial.clone(), answer)).await?
    }

    /// All runs of an experiment with what they have counted, the latest first.
    ///
    /// # Errors
    /// [`LedgerError`] when they cannot be read.
    pub(crate) async fn runs(&self, experiment: &Name) -> Result<Vec<TrialCounts>, LedgerError> {
        self.ask(|answer| LedgerCall::Runs(experiment.clone(), answer)).await?
    }

    /// Up to `limit` users of the latest run of an experiment, those behind `after`; none if there was no run. Of older
    /// runs the counts are kept only.
    ///
    /// # Errors
    /// [`LedgerError`] when they cannot be read.
    pub(crate) async fn users(
        &self,
        experiment: &Name,
        after: Option<NameHash>,
        limit: usize,
    ) -> Result<Option<UsersPage>, LedgerError> {
        let call = UsersCall { experiment: experiment.clone(), after, limit };
        self.ask(|answer| LedgerCall::Users(call, answer)).await?
    }

    /// How the ledger is.
    ///
    /// # Errors
    /// [`LedgerError`] when it has ended, or does not answer.
    pub(crate) async fn facts(&self) -> Result<LedgerFacts, LedgerError> {
        self.ask_within(FACTS_WAIT, LedgerCall::Facts).await
    }

    /// Writes everything and closes the file, for a process that takes over. What is seen from then on is lost here.
    ///
    /// # Errors
    /// [`LedgerError`] when something could not be written; the file is closed all the same.
    pub(crate) async fn hand_over(&self) -> Result<(), LedgerError> {
        self.ask(LedgerCall::HandOver).await?
    }

    /// Opens the file again that was handed over.
    ///
    /// # Errors
    /// [`LedgerError`] when that is not possible; it is tried again from time to time.
    pub(crate) async fn take_back(&self) -> Result<(), LedgerError> {
        self.ask(LedgerCall::TakeBack).await?
    }

    async fn ask<T>(&self, call: impl FnOnce(oneshot::Sender<T>) -> LedgerCall) -> Result<T, LedgerError> {
        self.ask_within(ANSWER_WAIT, call).await
    }

    async fn ask_within<T>(
        &self,
        wait: Duration,
        call: impl FnOnce(oneshot::Sender<T>) -> LedgerCall,
    ) -> Result<T, LedgerError> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.calls.send(call(answer)).await.map_err(|_closed| LedgerError::Gone)?;
            answered.await.map_err(|_dropped| LedgerError::Gone)
        };
        timeout(wait, asked).await.unwrap_or(Err(LedgerError::Late))
    }
}
