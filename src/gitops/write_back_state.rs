//! When something is written to the repository, and what is known of that.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::control::weight_marks::WeightFacts;
use crate::fleet::fleet_handle::FleetHandle;

/// What is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteBackFacts {
    /// How many commits were pushed since the start.
    pub written: u64,
    /// The last one.
    pub last: Option<WrittenCommit>,
    /// Why what is in force could not be written the last time.
    pub problem: Option<String>,
}

/// A commit of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenCommit {
    /// Its hash.
    pub commit: String,
    /// The branch that it was pushed to.
    pub branch: String,
    /// The revision that it writes down.
    pub revision: u64,
}

/// When something is written.
#[derive(Debug)]
pub(super) struct WriteBack {
    weights: watch::Receiver<Arc<WeightFacts>>,
    /// When it is looked at whether there is something to write.
    pub(super) due: Option<Instant>,
    /// Branches that were proposed; the clone has marks of them too.
    pub(super) proposed: BTreeSet<String>,
    /// The commits that have brought the weights of files, as they were last known, of any replica.
    pub(super) brought: BTreeSet<String>,
    /// The replicas that follow the same repository, of which the leader writes.
    fleet: Option<FleetHandle>,
    /// Whether this one wrote when it was last looked at.
    writes: bool,
}

impl WriteBack {
    /// There may be something to write from before the start.
    pub(super) fn new(weights: watch::Receiver<Arc<WeightFacts>>, fleet: Option<FleetHandle>) -> Self {
        Self {
            weights,
            due: Some(Instant::now()),
            proposed: BTreeSet::new(),
            brought: BTreeSet::new(),
            fleet,
            writes: false,
        }
    }

    /// Whether this replica writes: what one of a fleet has written is no other one's to write again.
    pub(super) fn is_own(&mut self) -> bool {
        self.writes = self.fleet.as_ref().is_none_or(FleetHandle::leads);
        if !self.writes {
            self.due = None;
        }
        self.writes
    }

    /// Waits until there may be something to write.
    pub(super) async fn wanted(&mut self) {
        let due = self.due;
        let time = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let (fleet, writes) = (self.fleet.as_ref(), self.writes);
        let elected = async {
            match fleet {
                // What the leader before has not written is this one's.
                Some(fleet) if !writes => fleet.until_it_leads().await,
                Some(_) | None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = time => {}
            () = elected => {}
            changed = self.weights.changed() => if changed.is_err() {
                std::future::pending::<()>().await;
            },
        }
    }
}
