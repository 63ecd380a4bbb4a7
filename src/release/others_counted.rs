//! What the other replicas of a fleet have counted for a rollout, added to what this one has.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::evidence_collector::{CollectedEvidence, EvidenceCollector};
use super::replica_evidence::CountedRollout;
use crate::rollout::judge::evidence::RouteCounts;
use crate::rollout::judge::judge_settings::Multiple;
use crate::rollout::judge::pair_counts::PairCounts;
use crate::rollout::latency_looks::{LatencyLook, LatencyLooks};
use crate::rollout::replica_counts::{FirstHeard, FleetCounts};
use crate::shared::additive::Additive;

/// What a replica has counted for a rollout.
#[derive(Debug)]
pub(crate) struct HeardRollout {
    /// Stands for the replica, and for its counting.
    pub(crate) counting: Arc<str>,
    /// The counts.
    pub(crate) counted: CountedRollout,
}

/// What was heard, by service.
#[derive(Debug)]
pub(crate) struct OthersCounted {
    /// Since when this replica counts for the rollout.
    began: Instant,
    /// Stands for the judges of this replica.
    judge: u32,
    services: Vec<OtherCounts>,
}

/// What this replica has counted of a service since the last tick.
pub(crate) struct OwnReading<'r> {
    pub(crate) reading: &'r mut CollectedEvidence,
    /// What came of copies, while it is mirrored.
    pub(crate) pairs: &'r mut Option<PairCounts>,
    pub(crate) collector: &'r EvidenceCollector,
    /// What is tolerated of latency.
    pub(crate) slower: Option<Multiple>,
}

/// What was heard of one service.
#[derive(Debug, Default)]
struct OtherCounts {
    counts: FleetCounts,
    /// Of the latencies of all replicas, for people.
    looks: LatencyLooks,
    heard: bool,
}

impl OthersCounted {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), judge: rand::random(), services: Vec::new() }
    }

    /// What stands for the judges of this replica.
    pub(crate) fn judge(&self) -> u32 {
        self.judge
    }

    /// Takes what one of them has counted; the collectors are those of this replica.
    pub(crate) fn hear(&mut self, HeardRollout { counting, counted }: HeardRollout, collectors: &[EvidenceCollector]) {
        let before = Duration::from_millis(counted.counted_ms) > self.began.elapsed();
        let first = if before { FirstHeard::Before } else { FirstHeard::Anew };
        self.services.resize_with(collectors.len(), OtherCounts::default);
        for ((other, collector), said) in self.services.iter_mut().zip(collectors).zip(counted.services) {
            other.counts.take(&counting, said, first, &collector.canary);
            other.heard = true;
        }
    }

    /// Adds what was heard of a service since the last tick.
    pub(crate) fn add(
        &mut self,
        service: usize,
        now: Duration,
        OwnReading { reading, pairs, collector, slower }: OwnReading<'_>,
    ) {
        let Some(OtherCounts { counts, looks, .. }) = self.services.get_mut(service).filter(|other| other.heard) else {
            return;
        };
        for new in counts.take_new() {
            match reading.epochs.iter_mut().find(|epoch| epoch.share == new.share) {
                Some(epoch) => {
                    epoch.outcomes.add(&new.outcomes);
                    epoch.latencies.add(&new.latencies);
                    epoch.responses.add(&new.responses);
                }
                None => reading.epochs.push(new),
            }
        }
        for new in counts.take_new_on_routes() {
            let same = |of: &&mut RouteCounts| of.number == new.number && of.share == new.share;
            match reading.routes.iter_mut().find(same) {
                Some(route) => {
                    route.outcomes.add(&new.outcomes);
                    route.latencies.add(&new.latencies);
                }
                None => reading.routes.push(new),
            }
        }
        if let Some(routes) = collector.canary.routes() {
            // Some may have come with what was heard.
            reading.route_names = routes.names().collect();
        }
        let copied = counts.take_new_pairs();
        if let Some(pairs) = pairs {
            pairs.add(&copied);
        }
        if let Some(users) = &mut reading.users {
            counts.users().for_each(|more| users.add(more));
        }
        counts.add_endpoints(&mut reading.of_endpoints);
        counts.add_latencies(&mut reading.latencies);
        let LatencyLook { quantiles, thresholds } = looks.look(now, reading.latencies.clone(), slower);
        (reading.quantiles, reading.thresholds) = (quantiles, thresholds);
    }
}
