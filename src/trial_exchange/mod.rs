//! How the replicas of a fleet come to have the same users in their experiments, and in the guardrails of rollouts.
//!
//! A user who meets two replicas is one user, and an event may come to a replica that has never met its user. So each
//! replica asks each other one once a second (less often in a large fleet) for the rows that are new, and has copies of
//! all ([`crate::experiment::experiment_state::others`] says how rows become one user). Nothing of it goes through etcd
//! or the leader: without them users are counted as before. A replica that is silent keeps what it has, its copies go
//! on to count, and who looks at a result is told of it.
//!
//! An event of a user that a replica does not know is answered after the others were asked once more
//! ([`crate::ledger::exchange_board`]), and requests of such users wait for their exposure for some seconds. An event
//! that is sent to two replicas within that time counts twice, unless it is a conversion, which a user has once.

mod trial_asker;

use std::collections::BTreeMap;

use tokio::task::AbortHandle;

use self::trial_asker::TrialAsker;
use crate::fleet::FleetMember;
use crate::fleet::fleet_handle::FleetHandle;
use crate::fleet::replica_client::ReplicaClient;
use crate::ledger::ledger_handle::LedgerHandle;

/// Asks the other replicas, as long as it runs.
#[derive(Debug)]
pub(crate) struct TrialExchange {
    fleet: FleetHandle,
    ledger: LedgerHandle,
    client: ReplicaClient,
    asked: BTreeMap<String, AskedMember>,
}

/// Another replica that is asked.
#[derive(Debug)]
struct AskedMember {
    member: MemberIdentity,
    asking: AbortHandle,
}

/// Who that is: another one of its name is asked anew.
#[derive(Clone, Debug, PartialEq, Eq)]
struct MemberIdentity {
    replica: String,
    started_ms: i64,
    address: Option<String>,
}

impl MemberIdentity {
    fn of(member: &FleetMember) -> Self {
        let FleetMember { replica, started_ms, address, .. } = member;
        Self { replica: replica.clone(), started_ms: *started_ms, address: address.clone() }
    }
}

impl Drop for AskedMember {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

impl TrialExchange {
    /// None was asked yet.
    pub(crate) fn new(fleet: FleetHandle, ledger: LedgerHandle) -> Self {
        let client = ReplicaClient::new(&fleet.config);
        Self { fleet, ledger, client, asked: BTreeMap::new() }
    }

    /// Until it is told to stop, or the fleet is not followed any more.
    pub(crate) async fn run(&mut self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = self.follow() => {}
            () = stop => {}
        }
    }

    async fn follow(&mut self) {
        let mut facts = self.fleet.facts.clone();
        if self.ledger.share().await.is_err() {
            return;
        }
        loop {
            self.know_members();
            if facts.changed().await.is_err() {
                return;
            }
        }
    }

    /// Asks those that have come, and no more those that have gone.
    fn know_members(&mut self) {
        let facts = self.fleet.facts.borrow().clone();
        let others: BTreeMap<&String, MemberIdentity> = facts
            .members
            .iter()
            .filter(|(name, _)| **name != facts.name)
            .map(|(name, member)| (name, MemberIdentity::of(member)))
            .collect();
        // One that has ended by a bug is begun again.
        self.asked.retain(|name, asked| others.get(name) == Some(&asked.member) && !asked.asking.is_finished());
        let names: Vec<_> = others.keys().copied().collect();
        self.ledger.exchange().set_replicas(&names);
        for (name, member) in &others {
            if self.asked.contains_key(*name) {
                continue;
            }
            let (ledger, client) = (self.ledger.clone(), self.client.clone());
            let (fleet, name) = (self.fleet.clone(), (*name).clone());
            let asker = TrialAsker { name: name.clone(), member: member.clone(), ledger, client, fleet };
            let asking = tokio::spawn(asker.run()).abort_handle();
            self.asked.insert(name, AskedMember { member: member.clone(), asking });
        }
    }
}
