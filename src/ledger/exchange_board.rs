//! How far this replica knows what the others of its fleet have counted of users, for those who have to wait for that
//! or show it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// How long is waited for the others before an event is taken for one of a user that none of them knows.
const CATCH_UP: Duration = Duration::from_secs(1);

/// One that has said nothing for so long is silent.
const SILENCE: Duration = Duration::from_secs(5);

/// See the module; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct ExchangeBoard {
    /// The number of the last wish to know everything.
    wishes: Arc<watch::Sender<u64>>,
    replicas: Arc<watch::Sender<BTreeMap<String, KnownReplica>>>,
}

/// What is known of another replica.
#[derive(Clone, Debug)]
struct KnownReplica {
    /// The last wish that it has answered.
    answered: u64,
    /// When that was, or when it was asked first.
    heard: Instant,
    /// Whether it has said everything once.
    known: bool,
    /// Why it does not answer.
    fault: Option<Arc<str>>,
}

impl Default for ExchangeBoard {
    fn default() -> Self {
        Self { wishes: Arc::new(watch::Sender::new(0)), replicas: Arc::new(watch::Sender::new(BTreeMap::new())) }
    }
}

impl ExchangeBoard {
    /// Whether there are no others.
    pub(crate) fn is_empty(&self) -> bool {
        self.replicas.borrow().is_empty()
    }

    /// Waits until all others that answer have said what they had when this was called, but not for ever.
    pub(crate) async fn catch_up(&self) {
        let mut replicas = self.replicas.subscribe();
        self.wishes.send_modify(|wishes| *wishes += 1);
        let wish = *self.wishes.borrow();
        let known = |replica: &KnownReplica| replica.answered >= wish || replica.fault.is_some();
        // What has come until then is all that can be known.
        timeout(CATCH_UP, replicas.wait_for(|replicas| replicas.values().all(known))).await.ok();
    }

    /// Whether all others that answer have said everything once.
    pub(crate) fn heard_all(&self) -> bool {
        self.replicas.borrow().values().all(|replica| replica.known || replica.fault.is_some())
    }

    /// The number of the last wish, now and later.
    pub(crate) fn wishes(&self) -> watch::Receiver<u64> {
        self.wishes.subscribe()
    }

    /// These are the others.
    pub(crate) fn set_replicas(&self, names: &[&String]) {
        let now = Instant::now();
        self.replicas.send_modify(|replicas| {
            replicas.retain(|name, _| names.contains(&name));
            for name in names {
                let new = || KnownReplica { answered: 0, heard: now, known: false, fault: None };
                replicas.entry((*name).clone()).or_insert_with(new);
            }
        });
    }

    /// One has said all that it had after this wish.
    pub(crate) fn note_heard(&self, name: &str, wish: u64) {
        self.replicas.send_modify(|replicas| {
            if let Some(replica) = replicas.get_mut(name) {
                if replica.fault.take().is_some() {
                    tracing::info!(replica = name, "a replica says again whom it has counted");
                }
                (replica.answered, replica.heard, replica.known) = (wish, Instant::now(), true);
            }
        });
    }

    /// One has not answered.
    pub(crate) fn note_fault(&self, name: &str, fault: String) {
        self.replicas.send_modify(|replicas| {
            if let Some(replica) = replicas.get_mut(name) {
                if replica.fault.is_none() {
                    tracing::warn!(replica = name, problem = fault, "a replica does not say whom it has counted");
                }
                replica.fault = Some(fault.into());
            }
        });
    }

    /// Those who have not said for a while whom they have counted, and why.
    pub(crate) fn silent(&self) -> Vec<String> {
        let replicas = self.replicas.borrow();
        let silent = replicas.iter().filter(|(_, replica)| replica.heard.elapsed() > SILENCE);
        let told = silent.map(|(name, replica)| {
            let why = replica.fault.as_ref().map_or_else(String::new, |fault| format!(": {fault}"));
            format!("{name} has not said for {} s whom it has counted{why}", replica.heard.elapsed().as_secs())
        });
        told.collect()
    }
}
