//! How others ask of the fleet.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::FleetMember;
use super::fleet_facts::{FleetFacts, FleetState};
use crate::config::FleetConfig;
use crate::control::Handle;
use crate::control::fleet::fleet_link::FleetStanding;
use crate::control::handle::{ApplyError, FleetProblem};

/// See the module.
#[derive(Clone, Debug)]
pub struct FleetHandle {
    /// Where the fleet is.
    pub(crate) config: Arc<FleetConfig>,
    /// What is known of it.
    pub(crate) facts: watch::Receiver<FleetFacts>,
    /// Stands for this replica: another one of its name has another one.
    pub(crate) replica: Arc<str>,
    pub(super) writer: Handle,
    /// Has the keeper look at once.
    pub(super) again: Arc<Notify>,
}

/// How far a change has come when its caller is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FleetReach {
    /// The live replicas.
    pub(crate) replicas: usize,
    /// Those of them that had not put it in force in time.
    pub(crate) lagging: Vec<String>,
    /// How long was waited.
    pub(crate) waited: Duration,
}

impl FleetHandle {
    /// Waits until all live replicas have put a revision in force, for as long as the config says.
    pub(crate) async fn reach(&self, revision: u64) -> FleetReach {
        let began = Instant::now();
        let mut facts = self.facts.clone();
        // This replica has it: who asks is answered for a change that is in force here, told to the others or not.
        let lagging = |facts: &FleetFacts| {
            let mut lagging = facts.lagging(revision);
            lagging.retain(|name| *name != facts.name);
            lagging
        };
        let all = facts.wait_for(|facts| lagging(facts).is_empty());
        // Who has not come in time is named.
        let _in_time = timeout(self.config.wait, all).await;
        let facts = self.facts.borrow();
        FleetReach { replicas: facts.members.len(), lagging: lagging(&facts), waited: began.elapsed() }
    }

    /// Whether this replica leads.
    #[must_use]
    pub(crate) fn leads(&self) -> bool {
        self.facts.borrow().leads()
    }

    /// Waits until it does.
    pub(crate) async fn until_it_leads(&self) {
        // Without its keeper a replica never leads any more: the process ends, or the keeper begins again.
        if self.facts.clone().wait_for(FleetFacts::leads).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until it does not any more, by its own clock if nothing else says so.
    pub(crate) async fn while_it_leads(&self) {
        let mut facts = self.facts.clone();
        loop {
            let until = facts.borrow_and_update().leads_until;
            let Some(until) = until.filter(|until| Instant::now() < *until) else { return };
            tokio::select! {
                () = sleep_until(until) => {}
                changed = facts.changed() => if changed.is_err() { return },
            }
        }
    }

    /// The leader, as it is told: `edge-2 (https://10.0.0.12:9900)`; none while one is elected.
    #[must_use]
    pub(crate) fn leader(&self) -> Option<String> {
        let facts = self.facts.borrow();
        let name = facts.leader.as_ref()?;
        let address = facts.members.get(name).and_then(|member| member.address.clone());
        Some(address.map_or_else(|| name.clone(), |address| format!("{name} ({address})")))
    }

    /// Puts the state of this replica where the shared one is lost, or is older than what was acknowledged.
    ///
    /// # Errors
    /// [`ApplyError`] when it is not there: also where another replica has a newer one, or the shared one is of another
    /// fleet.
    pub(crate) async fn restore(&self) -> Result<FleetStanding, ApplyError> {
        let FleetStanding { mark, revision: own, .. } = self.writer.fleet_standing().await?;
        let newest = {
            let facts = self.facts.borrow();
            let others = facts.members.values().filter(|member| member.name != facts.name);
            let newest = others.max_by_key(|member| (member.generation, member.revision)).cloned();
            newest.filter(|member| (member.generation, member.revision) > (mark.generation, own))
        };
        if let Some(FleetMember { name: replica, revision: found, .. }) = newest {
            return Err(FleetProblem::Newer { replica, found, own }.into());
        }
        let standing = self.writer.fleet_seed(true).await?;
        self.again.notify_one();
        let mut facts = self.facts.clone();
        let together = facts.wait_for(|facts| facts.standing == FleetState::Together);
        // Who asks is shown how it is.
        let _in_time = timeout(self.config.wait, together).await;
        Ok(standing)
    }
}
