//! Who leads: the replica whose key it is, under its lease.

use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

use rand::RngExt;
use tokio::time::Instant;

use super::etcd_words::{self, EtcdPair};
use super::fleet_keeper::{Apart, FleetKeeper, LEASE, MARGIN};
use super::fleet_keys::FleetMember;

/// After the end of a leader the others wait for a time of chance, up to this, so that they do not all ask at once.
const CAMPAIGN_MAX: Duration = Duration::from_millis(300);

impl FleetKeeper {
    pub(super) fn note_leader(&mut self, leader: Option<&EtcdPair>) {
        let name = leader.and_then(|pair| serde_json::from_str::<FleetMember>(&pair.value).ok());
        let is_own = leader.is_some_and(|pair| pair.create_revision == self.leader.load(Acquire));
        if !is_own {
            self.lead_no_more();
        }
        self.campaign_at = match leader {
            Some(_) => None,
            None => Some(Instant::now() + CAMPAIGN_MAX.mul_f64(rand::rng().random_range(0.0..1.0))),
        };
        let name = name.map(|leader| leader.name);
        self.facts.send_if_modified(|facts| {
            let is_new = facts.leader != name;
            if is_new {
                tracing::info!(leader = name.as_deref(), "the fleet has another leader");
            }
            facts.leader.clone_from(&name);
            is_new
        });
    }

    /// Stands for election.
    pub(super) async fn campaign(&mut self) -> Result<(), Apart> {
        let (Some(_), Some(lease)) = (self.campaign_at.take(), self.lease) else { return Ok(()) };
        let key = self.keys.leader();
        let text = serde_json::to_string(&self.own).map_err(|error| Apart::Refused(error.to_string()))?;
        let asked = Instant::now();
        let free = vec![etcd_words::is_made_by(&key, 0)];
        let won = self.client.txn(free, vec![etcd_words::put(&key, &text, lease)], Vec::new()).await?;
        if won.succeeded {
            self.leader.store(won.header.revision, Release);
            tracing::info!(name = self.own.name, "this replica leads the fleet");
            let name = self.own.name.clone();
            self.facts.send_modify(|facts| {
                (facts.leader, facts.leads_until) = (Some(name), Some(asked + LEASE - MARGIN));
            });
        }
        Ok(())
    }

    pub(super) fn lead_no_more(&self) {
        self.leader.store(0, Release);
        let led = self.facts.borrow().leads_until.is_some();
        if led {
            tracing::info!(name = self.own.name, "this replica does not lead the fleet any more");
            self.facts.send_modify(|facts| facts.leads_until = None);
        }
    }
}
