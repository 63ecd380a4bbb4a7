//! The registry of counters: hands out the counters of a version or an endpoint, the same ones to every table
//! generation.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::admin::AdminStats;
use super::chaos_counters::ChaosCounters;
use super::endpoint_counters::EndpointStats;
use super::events::EventStats;
use super::release_counters::ReleaseStats;
use super::service_counters::ServiceStats;
use super::slo_counters::SloStats;
use super::version_counters::VersionStats;
use super::worker_counters::{WorkerStats, WorkerTotals};
use crate::shared::canary_stats::CanaryStats;
use crate::shared::mirror_stats::MirrorStats;
use crate::shared::unhealthy_counters::{UnhealthyCounter, UnhealthyCounters};

/// How the judging of a service's versions ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CanaryEnd {
    /// The rollout is still under way, and is taken up again later.
    Interrupted,
    /// The baseline has what it had before.
    Back,
    /// The candidate has replaced the baseline.
    Replaced,
}

/// All counters of a process. Asked when a table is built and when a caller looks, never by a request.
#[derive(Debug)]
pub struct Registry {
    workers: Box<[Arc<WorkerStats>]>,
    known: Mutex<KnownCounters>,
    unhealthy_counters: Arc<UnhealthyCounters>,
    store_mended: AtomicU64,
    admin: AdminStats,
    events: Arc<EventStats>,
    releases: ReleaseStats,
}

/// Chaos experiments that have counters of their own.
const CHAOS_NAMES_MAX: usize = 256;

/// What the counters of a chaos experiment are of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChaosLabels {
    /// The service.
    pub service: Box<str>,
    /// The experiment.
    pub experiment: Box<str>,
}

#[derive(Debug, Default)]
struct KnownCounters {
    versions: HashMap<Box<str>, HashMap<Box<str>, VersionEntry>>,
    endpoint_ids: u32,
    services: HashMap<Box<str>, Arc<ServiceStats>>,
    canaries: HashMap<Box<str>, Arc<CanaryStats>>,
    /// The versions that rollouts would replace which are under way and not gone on with yet, by service.
    stable: HashMap<Box<str>, Box<str>>,
    mirrors: HashMap<Box<str>, HashMap<Box<str>, Arc<MirrorStats>>>,
    /// By service and experiment.
    chaos: BTreeMap<(Box<str>, Box<str>), Arc<ChaosCounters>>,
    slos: HashMap<Box<str>, Arc<SloStats>>,
    /// By service.
    chaos_stuck: BTreeMap<Box<str>, u64>,
}

#[derive(Debug)]
struct VersionEntry {
    stats: Arc<VersionStats>,
    endpoints: HashMap<(SocketAddr, u64), Arc<EndpointStats>>,
}

impl Registry {
    /// Counters for this many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers).map(|_| Arc::default()).collect(),
            known: Mutex::default(),
            unhealthy_counters: Arc::default(),
            store_mended: AtomicU64::new(0),
            admin: AdminStats::default(),
            events: Arc::default(),
            releases: ReleaseStats::default(),
        }
    }

    /// Files of the store were gone, and are made anew.
    pub fn count_store_mended(&self) {
        self.store_mended.fetch_add(1, Relaxed);
    }

    /// How often files of the store were gone, and were made anew.
    #[must_use]
    pub fn store_mended(&self) -> u64 {
        self.store_mended.load(Relaxed)
    }

    /// Number of workers.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// The own counters of a worker, which is below [`Registry::workers`].
    #[must_use]
    pub fn worker(&self, worker: usize) -> Arc<WorkerStats> {
        Arc::clone(&self.workers[worker])
    }

    /// The counters of the admin API.
    #[must_use]
    pub fn admin(&self) -> &AdminStats {
        &self.admin
    }

    /// The counters of events of users.
    #[must_use]
    pub fn events(&self) -> Arc<EventStats> {
        Arc::clone(&self.events)
    }

    /// The counters of rollouts and revisions.
    #[must_use]
    pub fn releases(&self) -> &ReleaseStats {
        &self.releases
    }

    /// The counts of endpoints that are out of rotation.
    #[must_use]
    pub fn unhealthy_counters(&self) -> Arc<UnhealthyCounters> {
        Arc::clone(&self.unhealthy_counters)
    }

    /// The sums of the workers' own counters.
    #[must_use]
    pub fn worker_totals(&self) -> WorkerTotals {
        let mut totals = WorkerTotals::default();
        for worker in &self.workers {
            worker.add_to(&mut totals);
        }
        totals
    }

    /// The gauges of a service.
    #[must_use]
    pub fn service(&self, service: &str) -> Arc<ServiceStats> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stats) = known.services.get(service) {
            return Arc::clone(stats);
        }
        let id = u32::try_from(known.services.len()).unwrap_or(u32::MAX);
        let stats = Arc::new(ServiceStats::new(id, self.workers.len()));
        known.services.insert(service.into(), Arc::clone(&stats));
        stats
    }

    /// The counters behind the objectives of a service.
    #[must_use]
    pub fn slo(&self, service: &str) -> Arc<SloStats> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stats) = known.slos.get(service) {
            return Arc::clone(stats);
        }
        let stats = Arc::new(SloStats::new(self.workers.len()));
        known.slos.insert(service.into(), Arc::clone(&stats));
        stats
    }

    /// What the service's rollout is judged on, if there is one.
    #[must_use]
    pub fn canary(&self, service: &str) -> Option<Arc<CanaryStats>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.canaries.get(service).map(Arc::clone)
    }

    /// Judges a service's versions from the next table on.
    pub fn begin_canary(&self, service: &str, canary: Arc<CanaryStats>) {
        self.end_canary(service, CanaryEnd::Back);
        canary.go_on();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.canaries.insert(service.into(), canary);
    }

    /// Judges them no more. Tables that were made before have what was judged until their service changes, and must not
    /// go by it.
    pub fn end_canary(&self, service: &str, end: CanaryEnd) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.stable.remove(service);
        let Some(before) = known.canaries.remove(service) else { return };
        before.end(end == CanaryEnd::Replaced);
        if end == CanaryEnd::Interrupted && before.terms().flag.is_none() {
            known.stable.insert(service.into(), before.terms().baseline.as_ref().into());
        }
    }

    /// Remembers the version that a rollout would replace which is under way, until that goes on.
    pub fn keep_stable(&self, service: &str, version: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.stable.insert(service.into(), version.into());
    }

    /// What [`Registry::keep_stable`] remembers.
    #[must_use]
    pub fn stable(&self, service: &str) -> Option<Box<str>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.stable.get(service).cloned()
    }

    /// What the mirror of a service to the version `to` finds.
    #[must_use]
    pub fn mirror(&self, service: &str, to: &str) -> Arc<MirrorStats> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mirrors = known.mirrors.entry(service.into()).or_default();
        Arc::clone(mirrors.entry(to.into()).or_insert_with(|| Arc::new(MirrorStats::new(self.workers.len()))))
    }

    /// The counters of a chaos experiment on a service. Experiments need not stand in a config, so there may be any
    /// number of names: after the first [`CHAOS_NAMES_MAX`] they are counted together, as `other`.
    #[must_use]
    pub fn chaos(&self, service: &str, experiment: &str) -> Arc<ChaosCounters> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let full = known.chaos.len() >= CHAOS_NAMES_MAX;
        let name = (Box::from(service), Box::from(experiment));
        let name = if full && !known.chaos.contains_key(&name) { (name.0, Box::from("other")) } else { name };
        let counters = known.chaos.entry(name).or_insert_with(|| Arc::new(ChaosCounters::new(self.workers.len())));
        Arc::clone(counters)
    }

    /// The counters of all chaos experiments so far, by service and experiment.
    #[must_use]
    pub fn all_chaos(&self) -> Vec<(ChaosLabels, Arc<ChaosCounters>)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = |(service, experiment): &(Box<str>, Box<str>)| ChaosLabels {
            service: service.clone(),
            experiment: experiment.clone(),
        };
        known.chaos.iter().map(|(name, counters)| (labels(name), Arc::clone(counters))).collect()
    }

    /// Notes how many chaos runs of each service could not be undone.
    pub fn set_chaos_stuck(&self, stuck: BTreeMap<Box<str>, u64>) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).chaos_stuck = stuck;
    }

    /// How many chaos runs could not be undone, by service: of those that had something to undo.
    #[must_use]
    pub fn chaos_stuck(&self) -> BTreeMap<Box<str>, u64> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).chaos_stuck.clone()
    }

    /// What the mirrors of a service have found, by the version that got the copies.
    #[must_use]
    pub fn mirrors(&self, service: &str) -> Vec<(Box<str>, Arc<MirrorStats>)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mirrors = known.mirrors.get(service).into_iter().flatten();
        mirrors.map(|(to, stats)| (to.clone(), Arc::clone(stats))).collect()
    }

    /// The counters of a version.
    #[must_use]
    pub fn version(&self, service: &str, version: &str) -> Arc<VersionStats> {
        self.with(service, version, |entry, _| Arc::clone(&entry.stats))
    }

    /// The live state of an endpoint of a version: its address, and a number that is another one when it is spoken to
    /// in another way.
    #[must_use]
    pub fn endpoint(&self, service: &str, version: &str, address: SocketAddr, transport: u64) -> Arc<EndpointStats> {
        self.with(service, version, |entry, ids| {
            if !entry.endpoints.contains_key(&(address, transport)) {
                // Addresses behind a name come and go: those that are not held any more are forgotten.
                entry.endpoints.retain(|_, endpoint| Arc::strong_count(endpoint) > 1);
            }
            let endpoint = entry.endpoints.entry((address, transport)).or_insert_with(|| {
                *ids += 1;
                let counter = UnhealthyCounter::new(self.unhealthy_counters(), service);
                Arc::new(EndpointStats::new(*ids, address).with_counter(counter))
            });
            Arc::clone(endpoint)
        })
    }

    fn with<R>(&self, service: &str, version: &str, then: impl FnOnce(&mut VersionEntry, &mut u32) -> R) -> R {
        // Nothing in here can panic half-way, so a poisoned lock still guards whole maps.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let KnownCounters { versions, endpoint_ids, .. } = &mut *known;
        if !versions.contains_key(service) {
            versions.insert(service.into(), HashMap::new());
        }
        let versions = versions.get_mut(service).expect("inserted above");
        if !versions.contains_key(version) {
            let stats = Arc::new(VersionStats::new(self.workers.len()));
            versions.insert(version.into(), VersionEntry { stats, endpoints: HashMap::new() });
        }
        then(versions.get_mut(version).expect("inserted above"), endpoint_ids)
    }
}
