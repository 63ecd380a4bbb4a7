//! One immutable generation of all routing.
//!
//! A table is built in two ways: whole, from the services of a config and their traffic; or from the table before, when
//! only the traffic of some services changed. The second is what a shift costs: the changed services are built anew,
//! their neighbours' records are copied, all other services and the router are shared with the generation before.
//! Counters and endpoint states belong to the process, not to a generation, so they are resolved here once and never
//! looked up by a request.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::shared::unhealthy_counters::UnhealthyCounters;
use crate::stats::Registry;

use super::canary_pair::CanaryPair;
use super::compile_error::CompileError;
use super::experiment_run::ExperimentRun;
use super::experiment_table::ExperimentTable;
use super::fast::intern::{Interned, Interner};
use super::fast::route_entry::{EntryDefinition, RouteEntry};
use super::fault_table::{FaultInForce, FaultTable};
use super::flag_state::FlagState;
use super::flag_table::FlagTable;
use super::host_addresses::Addresses;
use super::router::{Router, RouterBuilder};
use super::rules::Rules;
use super::service::Service;
use super::spec::ServiceSpec;
use super::spec::experiment::AssignmentSpec;
use super::spec::flag::FlagSpecs;
use super::traffic::Traffic;
use crate::shared::name::Name;

/// All routing of one revision.
#[derive(Debug, Default)]
pub struct Table {
    /// The revision of the traffic state that this table stands for.
    pub revision: u64,
    /// The services' records, in blocks: a shift copies one block instead of all of them.
    blocks: Box<[Arc<[RouteEntry]>]>,
    /// How many services there are.
    count: u32,
    index: Arc<Index>,
    /// What the names of endpoints stand for.
    addresses: Arc<Addresses>,
    unhealthy_counters: Arc<UnhealthyCounters>,
    /// What users get that does not depend on a version alone.
    flags: Arc<FlagTable>,
    /// What is compared among users, beside releases.
    experiments: Arc<ExperimentTable>,
    /// What chaos runs do to requests; no part of a revision.
    faults: Arc<FaultTable>,
}

/// Services of a block. With ten thousand services there are 157 blocks, whose addresses stay in a core's cache, and a
/// shift copies 8 KiB.
const BLOCK: usize = 64;

/// How services are found; changes with the config only.
#[derive(Debug, Default)]
struct Index {
    router: Router,
    by_name: HashMap<Name, u32>,
    /// Whether any service limits its requests in flight.
    limits_in_flight: bool,
    interned: Interned,
}

impl Table {
    /// A table without services: every request is refused.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Builds a table of `specs` under `traffic`. Of two services at one address the first one serves; a config does
    /// not let that happen. Names of endpoints stand for nothing yet (see [`Table::with_addresses`]).
    ///
    /// # Errors
    /// [`CompileError`] when the traffic does not fit the services.
    pub fn compile(
        revision: u64,
        specs: &[Arc<ServiceSpec>],
        traffic: &BTreeMap<Name, Arc<Traffic>>,
        registry: &Registry,
    ) -> Result<Self, CompileError> {
        let addresses = Arc::<Addresses>::default();
        let (mut places, mut interner) = (RouterBuilder::default(), Interner::default());
        let mut by_name = HashMap::with_capacity(specs.len());
        let mut records = Vec::with_capacity(specs.len());
        let (mut count, mut limits_in_flight) = (0, false);
        for (number, spec) in (0..).zip(specs) {
            count = number + 1;
            let traffic = traffic.get(&spec.name).ok_or_else(|| CompileError::WithoutTraffic(spec.name.clone()))?;
            places.add(&spec.hosts, &spec.paths, number);
            by_name.insert(spec.name.clone(), number);
            limits_in_flight |= spec.policy.limits.in_flight.is_some();
            let (definition, further_prefilters) = EntryDefinition::of(spec, &mut interner);
            let rules = Rules::of(spec, further_prefilters)?;
            let service = Service::compile(spec, traffic, registry, rules, &addresses)?;
            records.push(RouteEntry::new(Arc::new(service), definition, false));
        }
        let index = Index { router: places.router(), by_name, limits_in_flight, interned: interner.finish() };
        let blocks = records.chunks(BLOCK).map(Arc::from).collect();
        Ok(Self {
            revision,
            blocks,
            count,
            index: Arc::new(index),
            addresses,
            unhealthy_counters: registry.unhealthy_counters(),
            flags: Arc::default(),
            experiments: Arc::default(),
            faults: Arc::default(),
        })
    }

    /// The same table with other traffic for some services; `registry` is the one that it was compiled with.
    ///
    /// # Errors
    /// [`CompileError`] when the traffic does not fit the services.
    pub fn with_traffic<'a>(
        &self,
        revision: u64,
        changed: impl IntoIterator<Item = (&'a Name, &'a Arc<Traffic>)>,
        registry: &Registry,
    ) -> Result<Self, CompileError> {
        let mut blocks = self.blocks.clone();
        for (name, traffic) in changed {
            let number = self.index.by_name.get(name).ok_or_else(|| CompileError::UnknownService(name.clone()))?;
            let service = &self.entry(*number).service;
            let rules = service.rules.clone();
            let service = Service::compile(&service.spec, traffic, registry, rules, &self.addresses)?;
            self.replace(&mut blocks, *number, Arc::new(service));
        }
        Ok(Self { revision, blocks, ..self.shared() })
    }

    /// The same table with other addresses behind the names of endpoints; services that use none of the names that
    /// changed are shared.
    ///
    /// # Errors
    /// Never: what compiled before compiles with any addresses.
    pub fn with_addresses(&self, addresses: &Arc<Addresses>, registry: &Registry) -> Result<Self, CompileError> {
        let mut blocks = self.blocks.clone();
        for (number, service) in (0..).zip(self.services()) {
            let mut names = service.spec.versions.iter().flat_map(|version| &version.names);
            if names.any(|name| self.addresses.of(&name.host) != addresses.of(&name.host)) {
                let rules = service.rules.clone();
                let service = Service::compile(&service.spec, &service.traffic, registry, rules, addresses)?;
                self.replace(&mut blocks, number, Arc::new(service));
            }
        }
        Ok(Self { blocks, addresses: Arc::clone(addresses), ..self.shared() })
    }

    /// The same table with these flags under these states.
    #[must_use]
    pub fn with_flags(&self, revision: u64, specs: &FlagSpecs, states: &BTreeMap<Name, Arc<FlagState>>) -> Self {
        let services = self.specs();
        self.under_flags(revision, FlagTable::compile(specs, states, &services), &services)
    }

    /// The same, whose requests are counted for the rollouts of flags that `registry` knows.
    #[must_use]
    pub fn with_counted_flags(
        &self,
        revision: u64,
        specs: &FlagSpecs,
        states: &BTreeMap<Name, Arc<FlagState>>,
        registry: &Registry,
    ) -> Self {
        let services = self.specs();
        let mut flags = FlagTable::compile(specs, states, &services);
        flags.count(&services, registry);
        self.under_flags(revision, flags, &services)
    }

    fn under_flags(&self, revision: u64, mut flags: FlagTable, services: &[Arc<ServiceSpec>]) -> Self {
        // Of other flags experiments may have other arms, or none.
        let experiments = self.experiments.under(&flags.subjects(services));
        flags.note_experiments(&experiments, services);
        self.with(revision, flags, experiments)
    }

    /// The same table with the experiments of `specs` that run.
    #[must_use]
    pub fn with_experiments(
        &self,
        revision: u64,
        specs: &[Arc<AssignmentSpec>],
        runs: &BTreeMap<Name, Arc<ExperimentRun>>,
    ) -> Self {
        let services = self.specs();
        let mut flags = FlagTable::clone(&self.flags);
        let experiments = ExperimentTable::compile(specs, runs, &flags.subjects(&services));
        flags.note_experiments(&experiments, &services);
        self.with(revision, flags, experiments)
    }

    /// The same table with other flags and experiments. The records of services say whether an experiment decides on
    /// their requests.
    fn with(&self, revision: u64, flags: FlagTable, experiments: ExperimentTable) -> Self {
        let mut table = Self { revision, flags: Arc::new(flags), experiments: Arc::new(experiments), ..self.shared() };
        let mut changed = self.blocks.clone();
        for number in 0..self.count {
            let decides = |table: &Self| table.experiments.deciding(number).next().is_some();
            if decides(self) != decides(&table) {
                table.replace(&mut changed, number, Arc::clone(&self.entry(number).service));
            }
        }
        table.blocks = changed;
        table
    }

    /// The experiments that run.
    #[must_use]
    pub fn experiments(&self) -> &ExperimentTable {
        &self.experiments
    }

    /// The same table, of the same revision, with these faults and no others. One whose service is not there is left
    /// out.
    #[must_use]
    pub fn with_faults(&self, faults: &[Arc<FaultInForce>], registry: &Registry) -> Self {
        let faults = FaultTable::compile(faults, self.count, registry, |name| self.index_of(name.as_str()));
        Self { blocks: self.blocks.clone(), faults: Arc::new(faults), ..self.shared() }
    }

    /// The faults in force.
    #[must_use]
    pub fn faults(&self) -> &FaultTable {
        &self.faults
    }

    /// The services' definitions, in order.
    fn specs(&self) -> Vec<Arc<ServiceSpec>> {
        self.services().map(|service| Arc::clone(&service.spec)).collect()
    }

    /// What a rollout compares of the requests of the service with this index: its versions, or variants of a flag.
    #[must_use]
    pub(crate) fn compared(&self, service: u32) -> Option<&CanaryPair> {
        let of_flag = || self.flags.told(service)?.released().map(|released| &released.pair);
        self.service(service).compared().or_else(of_flag)
    }

    /// The flags.
    #[must_use]
    pub fn flags(&self) -> &FlagTable {
        &self.flags
    }

    /// Whether requests of the service with this index may be decided by their bearer token, or flags that they carry.
    #[must_use]
    pub fn reads_tokens(&self, service: u32) -> bool {
        self.service(service).reads_tokens
            || self.flags.told(service).is_some_and(|told| told.reads_tokens)
            || self.faults.of(service).is_some_and(|fault| fault.reads_tokens())
    }

    /// Puts a service in the place of its own generation before, in a copy of its block.
    fn replace(&self, blocks: &mut [Arc<[RouteEntry]>], number: u32, service: Arc<Service>) {
        let place = &mut Arc::make_mut(&mut blocks[number as usize / BLOCK])[number as usize % BLOCK];
        let decided = self.experiments.deciding(number).next().is_some();
        *place = RouteEntry::new(service, place.definition(), decided);
    }

    /// The parts that one generation has from the one before; without records.
    fn shared(&self) -> Self {
        Self {
            revision: self.revision,
            blocks: Box::default(),
            count: self.count,
            index: Arc::clone(&self.index),
            addresses: Arc::clone(&self.addresses),
            unhealthy_counters: Arc::clone(&self.unhealthy_counters),
            flags: Arc::clone(&self.flags),
            experiments: Arc::clone(&self.experiments),
            faults: Arc::clone(&self.faults),
        }
    }

    /// The index of the service that serves `host` and `path`.
    #[must_use]
    pub fn find(&self, host: &str, path: impl AsRef<[u8]>) -> Option<u32> {
        self.index.router.find(host, path)
    }

    /// Whether any service limits its requests in flight.
    #[must_use]
    pub fn limits_in_flight(&self) -> bool {
        self.index.limits_in_flight
    }

    /// The service with an index that [`Table::find`] gave.
    #[must_use]
    pub fn service(&self, index: u32) -> &Service {
        &self.entry(index).service
    }

    /// The record of the service with an index that [`Table::find`] gave.
    pub(crate) fn entry(&self, index: u32) -> &RouteEntry {
        &self.blocks[index as usize / BLOCK][index as usize % BLOCK]
    }

    /// Header names and key sources that the records point to.
    pub(crate) fn interned(&self) -> &Interned {
        &self.index.interned
    }

    /// Whether every version of the service surely has an endpoint that takes requests.
    pub(crate) fn all_healthy(&self, entry: &RouteEntry) -> bool {
        entry.in_rotation && self.unhealthy_counters.all_healthy(entry.counter_index)
    }

    /// The services of which an endpoint may be out of rotation at run time; of those that are well hardly any.
    pub fn with_unhealthy_endpoints(&self) -> impl Iterator<Item = &Service> {
        let count = if self.unhealthy_counters.everything_healthy() { 0 } else { self.count };
        let records = (0..count).map(|index| self.entry(index));
        records.filter(|entry| !self.unhealthy_counters.all_healthy(entry.counter_index)).map(|entry| &*entry.service)
    }

    /// The index of the service of this name.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<u32> {
        self.index.by_name.get(name).copied()
    }

    /// The service of this name.
    #[must_use]
    pub fn service_named(&self, name: &str) -> Option<&Service> {
        self.index_of(name).map(|index| self.service(index))
    }

    /// All services, in the order of the config.
    pub fn services(&self) -> impl ExactSizeIterator<Item = &Service> {
        (0..self.count).map(|index| self.service(index))
    }
}

#[cfg(test)]
mod tests;
