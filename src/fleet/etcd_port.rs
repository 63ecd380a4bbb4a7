//! The writer's way to the document in etcd: one transaction a change, on the writer's own thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Acquire};

use serde_json::Value;
use tokio::runtime::Runtime;

use super::etcd_client::{EtcdClient, EtcdError};
use super::etcd_words::{self, EtcdResponse, EtcdTxn};
use super::fleet_keys::FleetKeys;
use crate::config::FleetConfig;
use crate::control::fleet::fleet_port::{
    FleetPort, FleetUnread, FleetUpdate, FleetWrite, FleetWriteError, REVISIONS_KEPT, ROLLOUTS_KEPT,
};
use crate::control::fleet::shared_state::SharedState;

/// The revision of etcd that made the leader's key, if this replica is the leader; 0 otherwise.
pub(crate) type LeaderMark = Arc<AtomicU64>;

/// See the module.
#[derive(Debug)]
pub(crate) struct EtcdPort {
    client: EtcdClient,
    keys: FleetKeys,
    leader: LeaderMark,
    /// Of the writer's thread alone.
    runtime: Runtime,
}

impl EtcdPort {
    /// # Errors
    /// When the system has nothing to wait with.
    pub(crate) fn new(config: &FleetConfig, leader: LeaderMark) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { client: EtcdClient::new(config), keys: FleetKeys::below(&config.prefix), leader, runtime })
    }

    fn transaction(&self, seen: Option<u64>, write: &FleetWrite) -> Result<Parts, FleetWriteError> {
        let failed = |error: serde_json::Error| FleetWriteError::Refused(error.to_string());
        let state = self.keys.state();
        let mut parts = Parts::default();
        parts.compare.push(match seen {
            Some(seen) => etcd_words::is_version(&state, seen),
            None => etcd_words::is_made_by(&state, 0),
        });
        if write.leads {
            match self.leader.load(Acquire) {
                0 => return Err(FleetWriteError::NotLeader),
                made_by => parts.compare.push(etcd_words::is_made_by(&self.keys.leader(), made_by)),
            }
        }
        if let Some(document) = &write.state {
            parts.success.push(etcd_words::put(
                &state,
                &serde_json::to_string::<SharedState>(document).map_err(failed)?,
                0,
            ));
        }
        for revision in &write.revisions {
            let text = serde_json::to_string(revision).map_err(failed)?;
            parts.success.push(etcd_words::put(&self.keys.revision(revision.number), &text, 0));
        }
        if let [revision] = &*write.revisions
            && let Some(old) = revision.number.checked_sub(REVISIONS_KEPT)
        {
            parts.success.push(etcd_words::delete(&self.keys.revision(old)));
        }
        for rollout in &write.rollouts {
            parts.success.push(etcd_words::put(&self.keys.rollout(rollout.id), &rollout.state, 0));
            // Everybody reads all of them when it comes back.
            if let Some(old) = rollout.id.checked_sub(ROLLOUTS_KEPT) {
                parts.success.push(etcd_words::delete(&self.keys.rollout(old)));
            }
        }
        Ok(parts)
    }

    /// Why a transaction was not done.
    fn refused(&self, write: &FleetWrite, responses: &[EtcdResponse]) -> FleetWriteError {
        let leader = responses.first().and_then(|response| response.response_range.kvs.first());
        let leads = leader.is_some_and(|leader| leader.create_revision == self.leader.load(Acquire));
        if write.leads && !leads { FleetWriteError::NotLeader } else { FleetWriteError::Outrun }
    }
}

/// The parts of a transaction.
#[derive(Default)]
struct Parts {
    compare: Vec<Value>,
    success: Vec<Value>,
}

impl FleetPort for EtcdPort {
    fn put(&mut self, seen: Option<u64>, write: &FleetWrite) -> Result<u64, FleetWriteError> {
        let Parts { compare, success } = self.transaction(seen, write)?;
        let failure = vec![etcd_words::read(&self.keys.leader())];
        match self.runtime.block_on(self.client.txn(compare, success, failure)) {
            Ok(EtcdTxn { header, succeeded: true, .. }) => Ok(header.revision),
            Ok(EtcdTxn { responses, .. }) => Err(self.refused(write, &responses)),
            Err(EtcdError::Lost(why)) => Err(FleetWriteError::Unknown(why)),
            Err(error) => Err(FleetWriteError::Refused(error.to_string())),
        }
    }

    fn read(&mut self, revision: u64) -> Result<Option<FleetUpdate>, FleetUnread> {
        self.runtime.block_on(read(&mut self.client, &self.keys, revision))
    }
}

/// The document and what a replica that knows `revision` has missed; none: there is no document.
///
/// # Errors
/// Why it cannot be read.
pub(crate) async fn read(
    client: &mut EtcdClient,
    keys: &FleetKeys,
    revision: u64,
) -> Result<Option<FleetUpdate>, FleetUnread> {
    let live = client.range(&etcd_words::all(&keys.live())).await.map_err(|error| FleetUnread(error.to_string()))?;
    let missed = etcd_words::from(&keys.revision(revision + 1), &keys.revisions());
    let missed = client.range(&missed).await.map_err(|error| FleetUnread(error.to_string()))?;
    let update = keys.update(live.kvs.iter().chain(&missed.kvs));
    let mut update = update.map_err(|error| FleetUnread(error.to_string()))?;
    if let Some(FleetUpdate { state: Some(state), revisions, .. }) = &mut update {
        // What was made after the document was read comes with the next news.
        revisions.retain(|revision| revision.number <= state.revision);
    }
    Ok(update.filter(|update| update.state.is_some()))
}
