//! One immutable generation of all routing.
//!
//! A table is built in two ways: whole, from the services of a config and their traffic; or from the table before, when
//! only the traffic of some services changed. The second is what a shift costs: the changed services are built anew,
//! their neighbours' records are copied, all other services and the router are shared with the generation before.
//! Counters and endpoint states belong to the process, not to a generation, so they are resolved here once and never
//! looked up by a request.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::shared::unhealthy_counters::UnhealthyCounters;
use crate::stats::{EndpointStats, Registry, ServiceStats, VersionStats};

use super::address::Addresses;
use super::canary_pair::CanaryPair;
use super::fast::intern::{Interned, Interner};
use super::fast::route_entry::{EntryDefinition, RouteEntry};
use super::hash::Salt;
use super::router::{Router, RouterBuilder};
use super::spec::{Protocol, ServiceSpec};
use super::traffic::Traffic;
use super::weights::{Weight, Weights};
use crate::shared::name::Name;
use crate::tls::ClientSettings;

mod rules;

pub(crate) use rules::Rules;

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

/// One service, ready for decisions.
#[derive(Debug)]
pub struct Service {
    /// Its definition.
    pub spec: Arc<ServiceSpec>,
    /// Its traffic, as the revision has it.
    pub traffic: Arc<Traffic>,
    /// What the names of its endpoints stand for.
    pub addresses: Arc<Addresses>,
    /// Its salt.
    pub salt: Salt,
    /// Its versions, in natural order.
    pub versions: Box<[Version]>,
    /// What happens to its requests at this moment.
    pub stats: Arc<ServiceStats>,
    /// Its rules.
    pub rules: Rules,
    /// Where requests are counted that a rollout is judged on, if there is one.
    pub canary: Option<CanaryPair>,
    /// First slot after each run and the owner's index, ascending.
    runs: Box<[(u32, u16)]>,
}

/// One version of a service.
#[derive(Debug)]
pub struct Version {
    /// Its name.
    pub name: Name,
    /// What its endpoints speak.
    pub protocol: Protocol,
    /// Its share of the split.
    pub weight: Weight,
    /// How long an endpoint that comes back takes to get all of its share; 0 is at once.
    pub slow_start_ms: u64,
    /// Its endpoints.
    pub endpoints: Box<[Endpoint]>,
    /// How TLS is spoken with them, if it is.
    pub tls: Option<Arc<ClientSettings>>,
    /// What happened to its requests.
    pub stats: Arc<VersionStats>,
}

/// One address of a version.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it is drained: it finishes what it has and gets nothing new.
    pub drained: bool,
    /// What is known of it at run time, shared by all generations and workers.
    pub stats: Arc<EndpointStats>,
}

/// Traffic that does not fit the services.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// A service without traffic.
    #[error("service {0} has no traffic state")]
    NoTraffic(Name),
    /// Traffic for a version that the service does not have.
    #[error("service {service} gives slots to version {version}, which the config does not have")]
    NoVersion {
        /// The service.
        service: Name,
        /// The version that is missing.
        version: Name,
    },
    /// Traffic for a service that the table does not have.
    #[error("there is no service {0}")]
    NoService(Name),
}

impl Table {
    /// A table without services: every request is refused.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Builds a table of `specs` under `traffic`. Of two services at one address the first one answers; a config does
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
            let traffic = traffic.get(&spec.name).ok_or_else(|| CompileError::NoTraffic(spec.name.clone()))?;
            places.add(&spec.hosts, &spec.paths, number);
            by_name.insert(spec.name.clone(), number);
            limits_in_flight |= spec.policy.limits.in_flight.is_some();
            let (definition, further_prefilters) = EntryDefinition::of(spec, &mut interner);
            let parts = (Rules::of(spec, further_prefilters)?, &addresses);
            let service = Service::compile(spec, traffic, registry, parts)?;
            records.push(RouteEntry::new(Arc::new(service), definition));
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
            let number = self.index.by_name.get(name).ok_or_else(|| CompileError::NoService(name.clone()))?;
            let service = &self.entry(*number).service;
            let parts = (service.rules.clone(), &self.addresses);
            let service = Service::compile(&service.spec, traffic, registry, parts)?;
            replace(&mut blocks, *number, service);
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
                let parts = (service.rules.clone(), addresses);
                let service = Service::compile(&service.spec, &service.traffic, registry, parts)?;
                replace(&mut blocks, number, service);
            }
        }
        Ok(Self { blocks, addresses: Arc::clone(addresses), ..self.shared() })
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
        }
    }

    /// The index of the service that answers `host` and `path`.
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

    /// The service of this name.
    #[must_use]
    pub fn service_named(&self, name: &str) -> Option<&Service> {
        self.index.by_name.get(name).map(|index| self.service(*index))
    }

    /// All services, in the order of the config.
    pub fn services(&self) -> impl ExactSizeIterator<Item = &Service> {
        (0..self.count).map(|index| self.service(index))
    }
}

/// Index of the version of this name.
fn position(spec: &ServiceSpec, name: &Name) -> Result<u16, CompileError> {
    let found = (0..).zip(&spec.versions).find(|(_, version)| version.name == *name).map(|(index, _)| index);
    found.ok_or_else(|| CompileError::NoVersion { service: spec.name.clone(), version: name.clone() })
}

/// Puts a service in the place of its own generation before, in a copy of its block.
fn replace(blocks: &mut [Arc<[RouteEntry]>], number: u32, service: Service) {
    let place = &mut Arc::make_mut(&mut blocks[number as usize / BLOCK])[number as usize % BLOCK];
    *place = RouteEntry::new(Arc::new(service), place.definition());
}

impl Service {
    fn compile(
        spec: &Arc<ServiceSpec>,
        traffic: &Arc<Traffic>,
        registry: &Registry,
        (rules, addresses): (Rules, &Arc<Addresses>),
    ) -> Result<Self, CompileError> {
        let runs = traffic.slots.iter().map(|(_, run)| Ok((run.until, position(spec, &run.version)?)));
        let versions = spec.versions.iter().map(|version| {
            let transport = version.tls.as_ref().map_or(0, transport);
            let endpoint = |address: &SocketAddr| Endpoint {
                address: *address,
                drained: traffic.drains(version, *address, addresses),
                stats: registry.endpoint(&spec.name, &version.name, (*address, transport)),
            };
            Version {
                name: version.name.clone(),
                protocol: version.protocol,
                weight: Weight::from_slots(traffic.slots.count(&version.name)).unwrap_or(Weight::FULL),
                slow_start_ms: u64::try_from(spec.policy.slow_start.as_millis()).unwrap_or(u64::MAX),
                endpoints: addresses.endpoints(version).iter().map(endpoint).collect(),
                tls: version.tls.clone(),
                stats: registry.version(&spec.name, &version.name),
            }
        });
        Ok(Self {
            salt: Salt::new(&traffic.salt),
            runs: runs.collect::<Result<_, _>>()?,
            rules,
            versions: versions.collect(),
            stats: registry.service(&spec.name),
            canary: registry.canary(&spec.name).and_then(|canary| CanaryPair::new(&canary, spec, traffic)),
            addresses: Arc::clone(addresses),
            traffic: Arc::clone(traffic),
            spec: Arc::clone(spec),
        })
    }

    /// Index of the version that owns `slot`.
    #[must_use]
    pub fn owner(&self, slot: u32) -> u16 {
        let index = self.runs.partition_point(|(until, _)| *until <= slot);
        self.runs[index.min(self.runs.len() - 1)].1
    }

    /// First slot after each run and the owner's index, ascending.
    pub(crate) fn runs(&self) -> &[(u32, u16)] {
        &self.runs
    }

    /// The split in force.
    #[must_use]
    pub fn weights(&self) -> Weights {
        Weights::from_counted(self.versions.iter().map(|v| (v.name.clone(), v.weight)).collect())
    }

    /// The version that failed attempts on others are replayed on, if the service is shielded.
    #[must_use]
    pub fn stable(&self) -> Option<u16> {
        let shield = self.spec.policy.shield.as_ref()?;
        let versions = || (0..).zip(&*self.versions);
        let named = shield.stable.as_ref().and_then(|name| versions().find(|(_, version)| version.name == *name));
        // Of equal weights the first one: natural order puts v1 before v2.
        let largest = || versions().min_by_key(|(_, version)| std::cmp::Reverse(version.weight.slots()));
        named.or_else(largest).map(|(index, _)| index)
    }

    /// The version of this name.
    #[must_use]
    pub fn version_named(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name.as_str() == name)
    }
}

/// A number for how an endpoint is spoken to: under other settings it is another endpoint, with connections and a state
/// of its own.
fn transport(tls: &Arc<ClientSettings>) -> u64 {
    let mut hasher = DefaultHasher::new();
    tls.hash(&mut hasher);
    // Plain connections have the zero.
    hasher.finish().max(1)
}

#[cfg(test)]
mod tests;
