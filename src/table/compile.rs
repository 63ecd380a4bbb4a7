//! One immutable generation of all routing.
//!
//! A table is built in two ways: whole, from the services of a config and their traffic; or from the table before, when
//! only the traffic of some services changed. The second is what a shift costs: the changed services are built anew,
//! all others and the router are shared with the generation before. Counters and endpoint states belong to the process,
//! not to a generation, so they are resolved here once and never looked up by a request.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::stats::{EndpointStats, Registry, ServiceStats, VersionStats};

use super::address::Addresses;
use super::gate::Gates;
use super::hash::Salt;
use super::name::Name;
use super::router::Router;
use super::spec::{Condition, KeySource, OnUnhealthy, Protocol, ServiceSpec};
use super::traffic::Traffic;
use super::weights::{Weight, Weights};
use crate::tls::ClientSettings;

/// All routing of one revision.
#[derive(Debug)]
pub struct Table {
    /// The revision of the traffic state that this table stands for.
    pub revision: u64,
    services: Box<[Arc<Service>]>,
    index: Arc<Index>,
    /// What the names of endpoints stand for.
    addresses: Arc<Addresses>,
}

/// How services are found; changes with the config only.
#[derive(Debug, Default)]
struct Index {
    router: Router,
    by_name: HashMap<Name, u32>,
    /// Whether any service limits its requests in flight.
    limits_in_flight: bool,
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
    /// Its rules, in order.
    pub rules: Box<[Rule]>,
    /// Turns most rules away before they are read.
    pub(super) gates: Gates,
    /// Where keys come from: a copy, because the definition is two more cache misses away.
    pub(super) sticky: Box<[KeySource]>,
    /// What happens to requests whose version is unusable, as a copy too.
    pub(super) on_unhealthy: OnUnhealthy,
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
        Self { revision: 0, services: Box::default(), index: Arc::default(), addresses: Arc::default() }
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
        let mut index = Index::default();
        let addresses = Arc::<Addresses>::default();
        let mut services = Vec::with_capacity(specs.len());
        for (number, spec) in (0..).zip(specs) {
            let traffic = traffic.get(&spec.name).ok_or_else(|| CompileError::NoTraffic(spec.name.clone()))?;
            index.router.add(&spec.hosts, &spec.paths, number);
            index.by_name.insert(spec.name.clone(), number);
            index.limits_in_flight |= spec.policy.limits.in_flight.is_some();
            services.push(Arc::new(Service::compile(spec, traffic, registry, &addresses)?));
        }
        Ok(Self { revision, services: services.into(), index: Arc::new(index), addresses })
    }

    /// The same table with other traffic for some services.
    ///
    /// # Errors
    /// [`CompileError`] when the traffic does not fit the services.
    pub fn with_traffic<'a>(
        &self,
        revision: u64,
        changed: impl IntoIterator<Item = (&'a Name, &'a Arc<Traffic>)>,
        registry: &Registry,
    ) -> Result<Self, CompileError> {
        let mut services = self.services.clone();
        for (name, traffic) in changed {
            let number = self.index.by_name.get(name).ok_or_else(|| CompileError::NoService(name.clone()))?;
            let place = &mut services[*number as usize];
            *place = Arc::new(Service::compile(&place.spec, traffic, registry, &self.addresses)?);
        }
        Ok(Self { revision, services, index: Arc::clone(&self.index), addresses: Arc::clone(&self.addresses) })
    }

    /// The same table with other addresses behind the names of endpoints; services that use none of the names that
    /// changed are shared.
    ///
    /// # Errors
    /// Never: what compiled before compiles with any addresses.
    pub fn with_addresses(&self, addresses: &Arc<Addresses>, registry: &Registry) -> Result<Self, CompileError> {
        let mut services = self.services.clone();
        for place in &mut services {
            let mut names = place.spec.versions.iter().flat_map(|version| &version.names);
            if names.any(|name| self.addresses.of(&name.host) != addresses.of(&name.host)) {
                *place = Arc::new(Service::compile(&place.spec, &place.traffic, registry, addresses)?);
            }
        }
        let index = Arc::clone(&self.index);
        Ok(Self { revision: self.revision, services, index, addresses: Arc::clone(addresses) })
    }

    /// The index of the service that answers `host` and `path`.
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<u32> {
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
        &self.services[index as usize]
    }

    /// The service of this name.
    #[must_use]
    pub fn service_named(&self, name: &str) -> Option<&Service> {
        self.index.by_name.get(name).map(|index| self.service(*index))
    }

    /// All services, in the order of the config.
    pub fn services(&self) -> impl ExactSizeIterator<Item = &Service> {
        self.services.iter().map(|service| &**service)
    }
}

impl Service {
    fn compile(
        spec: &Arc<ServiceSpec>,
        traffic: &Arc<Traffic>,
        registry: &Registry,
        addresses: &Arc<Addresses>,
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
            let transport = version.tls.as_ref().map_or(0, transport);
            let endpoint = |address: &SocketAddr| Endpoint {
                address: *address,
                drained: traffic.drained.contains(&(version.name.clone(), *address)),
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
            rules: rules.collect::<Result<_, _>>()?,
            gates: Gates::of(spec.rules.iter().map(|rule| &*rule.when)),
            sticky: spec.sticky.as_slice().into(),
            on_unhealthy: spec.policy.on_unhealthy,
            versions: versions.collect(),
            stats: registry.service(&spec.name),
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

impl Version {
    /// Whether an endpoint takes requests at `now_ms` (milliseconds on the process's clock), if only as the last resort.
    #[must_use]
    pub fn usable(&self, now_ms: u64) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.usable(now_ms))
            || self.endpoints.iter().any(Endpoint::is_last_resort)
    }
}

impl Endpoint {
    /// Whether this endpoint takes requests at `now_ms`.
    #[must_use]
    pub fn usable(&self, now_ms: u64) -> bool {
        !self.drained && self.stats.rotation.reachable(now_ms)
    }

    /// Whether this endpoint is taken when no other one can be: nothing but an ejection speaks against it.
    #[must_use]
    pub fn is_last_resort(&self) -> bool {
        !self.drained && self.stats.rotation.is_only_ejected()
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
