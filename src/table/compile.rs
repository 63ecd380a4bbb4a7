//! One immutable generation of all routing.
//!
//! A table is built in two ways: whole, from the services of a config and their traffic; or from the table before, when
//! only the traffic of some services changed. The second is what a shift costs: the changed services are built anew,
//! their neighbours' records are copied, all other services and the router are shared with the generation before.
//! Counters and endpoint states belong to the process, not to a generation, so they are resolved here once and never
//! looked up by a request.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::stats::{Alarms, EndpointStats, Registry, VersionStats};

use super::gate::Gate;
use super::hash::Salt;
use super::hot::{Fixed, Hot};
use super::intern::{Interned, Interner};
use super::name::Name;
use super::router::{Addresses, Router};
use super::spec::{Condition, ServiceSpec};
use super::traffic::Traffic;
use super::weights::{Weight, Weights};

/// All routing of one revision.
#[derive(Debug)]
pub struct Table {
    /// The revision of the traffic state that this table stands for.
    pub revision: u64,
    /// The services' records, in blocks: a shift copies one block instead of all of them.
    blocks: Box<[Arc<[Hot]>]>,
    /// How many services there are.
    count: u32,
    index: Arc<Index>,
    alarms: Arc<Alarms>,
}

/// Services of a block. With ten thousand services there are 157 blocks, whose addresses stay in a core's cache, and a
/// shift copies 8 KiB.
const BLOCK: usize = 64;

/// How services are found; changes with the config only.
#[derive(Debug, Default)]
struct Index {
    router: Router,
    by_name: HashMap<Name, u32>,
    interned: Interned,
}

/// One service, ready for decisions.
#[derive(Debug)]
pub struct Service {
    /// Its definition.
    pub spec: Arc<ServiceSpec>,
    /// Its traffic, as the revision has it.
    pub traffic: Arc<Traffic>,
    /// Its salt.
    pub salt: Salt,
    /// Its versions, in natural order.
    pub versions: Box<[Version]>,
    /// Its rules, in order.
    pub rules: Box<[Rule]>,
    /// The gates that find no place in the service's record.
    pub(super) later_gates: Arc<[Gate]>,
    /// First slot after each run and the owner's index, ascending.
    runs: Box<[(u32, u16)]>,
}

/// One version of a service.
#[derive(Debug)]
pub struct Version {
    /// Its name.
    pub name: Name,
    /// Its share of the split.
    pub weight: Weight,
    /// Its endpoints.
    pub endpoints: Box<[Endpoint]>,
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

/// A rule, with its version resolved.
#[derive(Debug)]
pub struct Rule {
    /// Its name.
    pub name: Name,
    /// When it applies.
    pub when: Arc<Condition>,
    /// Index of the version that it picks.
    pub version: u16,
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
        Self { revision: 0, blocks: Box::default(), count: 0, index: Arc::default(), alarms: Arc::default() }
    }

    /// Builds a table of `specs` under `traffic`. Of two services at one address the first one answers; a config does
    /// not let that happen.
    ///
    /// # Errors
    /// [`CompileError`] when the traffic does not fit the services.
    pub fn compile(
        revision: u64,
        specs: &[Arc<ServiceSpec>],
        traffic: &BTreeMap<Name, Arc<Traffic>>,
        registry: &Registry,
    ) -> Result<Self, CompileError> {
        let (mut addresses, mut interner) = (Addresses::default(), Interner::default());
        let mut by_name = HashMap::with_capacity(specs.len());
        let mut records = Vec::with_capacity(specs.len());
        let mut count = 0;
        for (number, spec) in (0..).zip(specs) {
            count = number + 1;
            let traffic = traffic.get(&spec.name).ok_or_else(|| CompileError::NoTraffic(spec.name.clone()))?;
            addresses.add(&spec.hosts, &spec.paths, number);
            by_name.insert(spec.name.clone(), number);
            let (fixed, later_gates) = Fixed::of(spec, &mut interner);
            records.push(Hot::new(Arc::new(Service::compile(spec, traffic, registry, later_gates)?), fixed));
        }
        let index = Index { router: addresses.router(), by_name, interned: interner.finish() };
        let blocks = records.chunks(BLOCK).map(Arc::from).collect();
        Ok(Self { revision, blocks, count, index: Arc::new(index), alarms: registry.alarms() })
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
            let hot = self.hot(*number);
            let later_gates = Arc::clone(&hot.service.later_gates);
            let service = Service::compile(&hot.service.spec, traffic, registry, later_gates)?;
            let block = Arc::make_mut(&mut blocks[*number as usize / BLOCK]);
            block[*number as usize % BLOCK] = Hot::new(Arc::new(service), hot.fixed());
        }
        Ok(Self {
            revision,
            blocks,
            count: self.count,
            index: Arc::clone(&self.index),
            alarms: Arc::clone(&self.alarms),
        })
    }

    /// The index of the service that answers `host` and `path`.
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<u32> {
        self.index.router.find(host, path)
    }

    /// The service with an index that [`Table::find`] gave.
    #[must_use]
    pub fn service(&self, index: u32) -> &Service {
        &self.hot(index).service
    }

    /// The record of the service with an index that [`Table::find`] gave.
    pub(super) fn hot(&self, index: u32) -> &Hot {
        &self.blocks[index as usize / BLOCK][index as usize % BLOCK]
    }

    /// Header names and key sources that the records point to.
    pub(super) fn interned(&self) -> &Interned {
        &self.index.interned
    }

    /// Whether every version of the service surely has an endpoint that takes requests.
    pub(super) fn calm(&self, hot: &Hot) -> bool {
        hot.in_rotation && self.alarms.silent(hot.bell)
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

impl Service {
    fn compile(
        spec: &Arc<ServiceSpec>,
        traffic: &Arc<Traffic>,
        registry: &Registry,
        later_gates: Arc<[Gate]>,
    ) -> Result<Self, CompileError> {
        let position = |name: &Name| {
            let found = (0..).zip(&spec.versions).find(|(_, version)| version.name == *name);
            found
                .map(|(index, _)| index)
                .ok_or_else(|| CompileError::NoVersion { service: spec.name.clone(), version: name.clone() })
        };
        let runs = traffic.slots.iter().map(|(_, run)| Ok((run.until, position(&run.version)?)));
        let rules = spec.rules.iter().map(|rule| {
            Ok(Rule { name: rule.name.clone(), when: Arc::clone(&rule.when), version: position(&rule.version)? })
        });
        let versions = spec.versions.iter().map(|version| {
            let endpoint = |address: &SocketAddr| Endpoint {
                address: *address,
                drained: traffic.drained.contains(&(version.name.clone(), *address)),
                stats: registry.endpoint(&spec.name, &version.name, *address),
            };
            Version {
                name: version.name.clone(),
                weight: Weight::from_slots(traffic.slots.count(&version.name)).unwrap_or(Weight::FULL),
                endpoints: version.endpoints.iter().map(endpoint).collect(),
                stats: registry.version(&spec.name, &version.name),
            }
        });
        Ok(Self {
            salt: Salt::new(&traffic.salt),
            runs: runs.collect::<Result<_, _>>()?,
            rules: rules.collect::<Result<_, _>>()?,
            later_gates,
            versions: versions.collect(),
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
    pub(super) fn runs(&self) -> &[(u32, u16)] {
        &self.runs
    }

    /// The split in force.
    #[must_use]
    pub fn weights(&self) -> Weights {
        Weights::from_counted(self.versions.iter().map(|v| (v.name.clone(), v.weight)).collect())
    }

    /// The version of this name.
    #[must_use]
    pub fn version_named(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name.as_str() == name)
    }
}

impl Version {
    /// Whether an endpoint takes requests at `now_ms` (milliseconds on the process's clock).
    #[must_use]
    pub fn usable(&self, now_ms: u64) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.usable(now_ms))
    }
}

impl Endpoint {
    /// Whether this endpoint takes requests at `now_ms`.
    #[must_use]
    pub fn usable(&self, now_ms: u64) -> bool {
        !self.drained && self.stats.reachable(now_ms)
    }
}

#[cfg(test)]
mod tests;
