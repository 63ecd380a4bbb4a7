//! How the replica that leads a fleet comes to know what the others have counted.
//!
//! Each is asked by a task of its own, four times a second in a small fleet and once a second in one of fifty, so that
//! one that hangs keeps no other waiting. What it answers lies here until the next tick of the judge. One that has not
//! answered for [`SILENCE`] is silent: nothing is taken back of what it has said, and no candidate gets more until it
//! speaks again or its lease in etcd has ended.
//!
//! Why pulled and not pushed, or put into etcd: who leads knows at once who is silent, a new leader is noticed by
//! none, and etcd is written when traffic changes and not when requests come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::others_counted::HeardRollout;
use super::replica_evidence::{CountedRollout, EvidenceAnswer, EvidenceQuestion, NotCounted};
use crate::fleet::FleetMember;
use crate::fleet::fleet_handle::FleetHandle;
use crate::fleet::replica_client::{ReplicaCall, ReplicaClient, ReplicaFault};
use crate::problem::chain;
use crate::rollout::TICK;
use crate::rollout::replica_counts::ReplicaCounts;

/// A replica that has said nothing for so long is silent.
const SILENCE: Duration = Duration::from_secs(3);

/// Longest wait for an answer.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// So much is added to the time between two questions by each replica: the leader has others to ask.
const EACH: Duration = Duration::from_millis(20);

/// Longest answer, in bytes: all users of the key space, once by each kind, for a few rollouts.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Answers that may wait for a tick.
const ANSWERS_MAX: usize = 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct FleetEvidence {
    fleet: FleetHandle,
    client: ReplicaClient,
    question: watch::Sender<Arc<PacedQuestion>>,
    answers: (mpsc::Sender<Heard>, mpsc::Receiver<Heard>),
    asked: BTreeMap<String, AskedReplica>,
}

/// What is asked, and how often.
#[derive(Clone, Debug, Default)]
struct PacedQuestion {
    question: EvidenceQuestion,
    period: Duration,
}

/// A replica that is asked.
#[derive(Debug)]
struct AskedReplica {
    /// Who it is: another one of its name is asked anew.
    identity: ReplicaIdentity,
    asking: AbortHandle,
    /// When it has answered last.
    heard: Instant,
    /// Why it did not the last time.
    fault: Option<String>,
    /// Rollouts that it does not count for although it has users of theirs, since when, and why.
    not_counted: BTreeMap<u64, (Instant, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ReplicaIdentity {
    replica: String,
    started_ms: i64,
    address: Option<String>,
}

/// What came of a question.
#[derive(Debug)]
struct Heard {
    name: String,
    answer: Result<EvidenceAnswer, ReplicaFault>,
}

impl Drop for AskedReplica {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

impl FleetEvidence {
    /// None was asked yet.
    pub(crate) fn new(fleet: FleetHandle) -> Self {
        let client = ReplicaClient::new(&fleet.config);
        let question = watch::Sender::new(Arc::default());
        Self { fleet, client, question, answers: mpsc::channel(ANSWERS_MAX), asked: BTreeMap::new() }
    }

    /// Asks all live replicas this from now on, and gives what they have said since the last call.
    pub(crate) fn hear(&mut self, question: EvidenceQuestion) -> Vec<HeardRollout> {
        let now = Instant::now();
        self.know_members(now);
        let mut said = Vec::new();
        while let Ok(Heard { name, answer }) = self.answers.1.try_recv() {
            // One that has left is not asked any more, and what it has counted counts.
            let asked = self.asked.get_mut(&name);
            match answer {
                Ok(answer) => {
                    if let Some(asked) = asked {
                        asked.note_heard(&name, now);
                        asked.note_not_counted(&question, &answer, now);
                    }
                    let heard = answer.rollouts.into_iter().map(|counted| {
                        let counting = format!("{name} {}", counted.counting).into();
                        HeardRollout { counting, counted }
                    });
                    said.extend(heard);
                }
                Err(fault) => {
                    if let Some(asked) = asked {
                        asked.note_fault(&name, &fault);
                    }
                }
            }
        }
        if question.rollouts.is_empty() {
            // One that is not asked is not silent.
            self.asked.values_mut().for_each(|asked| asked.heard = now);
        }
        let period = self.period();
        self.question.send_replace(Arc::new(PacedQuestion { question, period }));
        said
    }

    /// The time between two questions.
    fn period(&self) -> Duration {
        TICK.max(EACH.saturating_mul(u32::try_from(self.asked.len()).unwrap_or(u32::MAX)))
    }

    /// The replicas that are silent, and why; none: all speak.
    pub(crate) fn silent(&self) -> Option<Arc<str>> {
        let (now, patience) = (Instant::now(), SILENCE.max(self.period() * 3));
        let is_long = |since: Instant| now.saturating_duration_since(since) > patience;
        let mut silent = Vec::new();
        for (name, asked) in &self.asked {
            let not_counted = asked.not_counted.values().find(|(since, _)| is_long(*since));
            if is_long(asked.heard) {
                let for_long = now.saturating_duration_since(asked.heard).as_secs();
                let why = asked.fault.as_ref().map_or_else(String::new, |fault| format!(": {fault}"));
                silent.push(format!("{name} has not said what it has counted for {for_long} s{why}"));
            } else if let Some((_, why)) = not_counted {
                silent.push(format!("{name} does not count for the rollout: {why}"));
            }
        }
        (!silent.is_empty()).then(|| silent.join("; ").into())
    }

    /// Asks those that have come, and no more those that have gone.
    fn know_members(&mut self, now: Instant) {
        let facts = self.fleet.facts.borrow().clone();
        let others: BTreeMap<&String, &FleetMember> =
            facts.members.iter().filter(|(name, _)| **name != facts.name).collect();
        let identity = |member: &FleetMember| ReplicaIdentity {
            replica: member.replica.clone(),
            started_ms: member.started_ms,
            address: member.address.clone(),
        };
        self.asked.retain(|name, asked| others.get(name).is_some_and(|member| identity(member) == asked.identity));
        for (name, member) in others {
            if self.asked.contains_key(name) {
                continue;
            }
            let asker = ReplicaAsker {
                name: name.clone(),
                identity: identity(member),
                client: self.client.clone(),
                question: self.question.subscribe(),
                answers: self.answers.0.clone(),
            };
            let asking = tokio::spawn(asker.run()).abort_handle();
            let identity = identity(member);
            self.asked.insert(
                name.clone(),
                AskedReplica { identity, asking, heard: now, fault: None, not_counted: BTreeMap::new() },
            );
        }
    }
}

impl AskedReplica {
    fn note_heard(&mut self, name: &str, now: Instant) {
        self.heard = now;
        if self.fault.take().is_some() {
            tracing::info!(replica = name, "a replica says again what it has counted");
        }
    }

    /// Notes which of the rollouts it does not count for.
    fn note_not_counted(&mut self, asked: &EvidenceQuestion, answer: &EvidenceAnswer, now: Instant) {
        let said = |id: u64| answer.rollouts.iter().any(|counted| counted.id == id);
        let missing = asked.rollouts.iter().map(|rollout| rollout.id).filter(|id| !said(*id));
        let missing = missing.filter(|id| answer.not_counted.get(id).is_none_or(|why| !why.is_absent));
        let why = |id: u64| match answer.not_counted.get(&id) {
            Some(NotCounted { why, .. }) => why.clone(),
            None => "it does not know of it".to_owned(),
        };
        let before = std::mem::take(&mut self.not_counted);
        let since = |id: u64| before.get(&id).map_or(now, |(since, _)| *since);
        self.not_counted = missing.map(|id| (id, (since(id), why(id)))).collect();
    }

    fn note_fault(&mut self, name: &str, fault: &ReplicaFault) {
        let fault = chain(fault);
        if self.fault.is_none() {
            tracing::warn!(replica = name, problem = fault, "a replica does not say what it has counted");
        }
        self.fault = Some(fault);
    }
}

/// What of a replica's counting for a rollout is known.
struct KnownCounting {
    counting: String,
    /// How many of those who were new, by service.
    told: Vec<u64>,
}

impl KnownCounting {
    /// After this answer.
    fn of(counted: &CountedRollout) -> Self {
        let told = counted.services.iter().map(ReplicaCounts::told).collect();
        Self { counting: counted.counting.clone(), told }
    }
}

/// Asks one replica.
struct ReplicaAsker {
    name: String,
    identity: ReplicaIdentity,
    client: ReplicaClient,
    question: watch::Receiver<Arc<PacedQuestion>>,
    answers: mpsc::Sender<Heard>,
}

impl ReplicaAsker {
    /// Until it is ended, or its answers are not taken any more.
    async fn run(mut self) {
        let mut known: BTreeMap<u64, KnownCounting> = BTreeMap::new();
        loop {
            let began = Instant::now();
            let asks = self.question.wait_for(|paced| !paced.question.rollouts.is_empty()).await;
            let Ok(PacedQuestion { mut question, period }) = asks.map(|paced| PacedQuestion::clone(&paced)) else {
                return;
            };
            for rollout in &mut question.rollouts {
                let Some(KnownCounting { counting, told }) = known.get(&rollout.id) else { continue };
                rollout.counting.clone_from(counting);
                rollout.services.iter_mut().zip(told).for_each(|(service, told)| service.told = *told);
            }
            let answer = self.ask(&question).await;
            if let Ok(EvidenceAnswer { rollouts, .. }) = &answer {
                known = rollouts.iter().map(|rollout| (rollout.id, KnownCounting::of(rollout))).collect();
            }
            if self.answers.send(Heard { name: self.name.clone(), answer }).await.is_err() {
                return;
            }
            sleep_until(began + period).await;
        }
    }

    async fn ask(&self, question: &EvidenceQuestion) -> Result<EvidenceAnswer, ReplicaFault> {
        let body = Bytes::from(serde_json::to_vec(question).unwrap_or_default());
        let (method, path) = (Method::POST, "/v1/evidence");
        let call = ReplicaCall { method, path, body, time: ANSWER_TIME, bytes_max: ANSWER_BYTES_MAX };
        let answer = self.client.ask(self.identity.address.as_deref(), call).await?;
        let answer: EvidenceAnswer = serde_json::from_slice(&answer).map_err(ReplicaFault::Answer)?;
        if answer.replica != self.identity.replica {
            return Err(ReplicaFault::Other(self.identity.address.clone().unwrap_or_default()));
        }
        // For a moment both may.
        if answer.is_told { Ok(answer) } else { Err(ReplicaFault::Leads) }
    }
}
