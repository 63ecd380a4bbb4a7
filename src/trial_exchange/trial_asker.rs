//! Asks one replica for the users that it has counted.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::time::{sleep, timeout};

use super::MemberIdentity;
use crate::fleet::fleet_handle::FleetHandle;
use crate::fleet::replica_client::{ReplicaCall, ReplicaClient, ReplicaFault};
use crate::ledger::ledger_handle::{HeardTrials, LedgerError, LedgerHandle};
use crate::ledger::told_trials::TrialsAnswer;
use crate::problem::chain;

/// Time between two questions in a small fleet.
const PERIOD: Duration = Duration::from_secs(1);

/// So much is added by each replica of a larger one: each has all others to answer.
const EACH: Duration = Duration::from_millis(100);

/// Time between two questions when an event waits for the answer, and what each replica adds to that: events of users
/// who are in no experiment come all the time, and each question is a commit over there.
const HASTE: Duration = Duration::from_millis(100);
const HASTE_OF_EACH: Duration = Duration::from_millis(20);

/// Longest wait for an answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// Longest answer, in bytes: a page of users for each of some trials.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// See the module.
pub(super) struct TrialAsker {
    pub(super) name: String,
    pub(super) member: MemberIdentity,
    pub(super) ledger: LedgerHandle,
    pub(super) client: ReplicaClient,
    pub(super) fleet: FleetHandle,
}

/// Why it is not known what a replica has counted.
#[derive(Debug, thiserror::Error)]
enum ExchangeFault {
    #[error(transparent)]
    Replica(#[from] ReplicaFault),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Their configs differ.
    #[error("it counts something else for {0} than this replica does: their configs differ")]
    Metrics(String),
}

impl TrialAsker {
    /// Until it is ended.
    pub(super) async fn run(self) {
        let board = self.ledger.exchange().clone();
        let mut wishes = board.wishes();
        loop {
            let wish = *wishes.borrow_and_update();
            match self.ask_for_all().await {
                Ok(()) => {
                    board.note_heard(&self.name, wish);
                    // Ended early by a wish.
                    timeout(self.period(), wishes.changed()).await.ok();
                    sleep(HASTE.max(HASTE_OF_EACH.saturating_mul(self.replicas()))).await;
                }
                Err(fault) => {
                    board.note_fault(&self.name, chain(&fault));
                    sleep(self.period()).await;
                }
            }
        }
    }

    fn replicas(&self) -> u32 {
        u32::try_from(self.fleet.facts.borrow().members.len()).unwrap_or(u32::MAX)
    }

    fn period(&self) -> Duration {
        PERIOD.max(EACH.saturating_mul(self.replicas()))
    }

    /// Asks for what is new until there is nothing more.
    async fn ask_for_all(&self) -> Result<(), ExchangeFault> {
        loop {
            let question = self.ledger.asks(&self.member.replica).await?;
            if question.trials.is_empty() {
                return Ok(());
            }
            let body = Bytes::from(serde_json::to_vec(&question).unwrap_or_default());
            let (method, path) = (Method::POST, "/v1/evidence/users");
            let call = ReplicaCall { method, path, body, time: ANSWER_TIME, bytes_max: ANSWER_BYTES_MAX };
            let answer = self.client.ask(self.member.address.as_deref(), call).await?;
            let answer: TrialsAnswer = serde_json::from_slice(&answer).map_err(ReplicaFault::Answer)?;
            if answer.replica != self.member.replica {
                return Err(ReplicaFault::Other(self.member.address.clone().unwrap_or_default()).into());
            }
            let HeardTrials { more, others } = self.ledger.hear(answer).await?;
            if !more {
                return others.first().map_or(Ok(()), |other| Err(ExchangeFault::Metrics(other.clone())));
            }
        }
    }
}
