//! A service of a table, ready for decisions: what its definition, its traffic and its counters come to.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

use super::active_mirror::ActiveMirror;
use super::canary_pair::CanaryPair;
use super::compile_error::{CompileError, position};
use super::hash::Salt;
use super::host_addresses::Addresses;
use super::rules::Rules;
use super::spec::slo::SloSpec;
use super::spec::{Protocol, ServiceSpec};
use super::traffic::Traffic;
use super::vary::Vary;
use super::weights::{Weight, Weights};
use crate::shared::canary_stats::Arm;
use crate::shared::name::Name;
use crate::stats::{EndpointStats, Registry, ServiceStats, SloStats, VersionStats};
use crate::tls::ClientSettings;

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
    /// Index of the version that a rollout would replace which goes on when what makes it happen is there again.
    kept_stable: Option<u16>,
    /// What is copied of its requests, if anything is.
    pub mirror: Option<Box<ActiveMirror>>,
    /// Where requests are counted by its objectives, if it has any.
    pub slo: Option<Box<ActiveSlo>>,
    /// Whether its key or a rule looks at the bearer token.
    pub(crate) reads_tokens: bool,
    /// The headers that decide which version a request gets, if caches are to be told of any.
    pub(crate) vary: Option<Box<Vary>>,
    /// First slot after each run and the owner's index, ascending.
    runs: Box<[(u32, u16)]>,
}

/// The objectives of a service, with where its requests are counted by them.
#[derive(Debug)]
pub struct ActiveSlo {
    /// They.
    pub spec: Arc<SloSpec>,
    /// What takes longer is slow, in microseconds.
    pub under_us: u64,
    /// What is counted, shared by all generations.
    pub stats: Arc<SloStats>,
}

impl ActiveSlo {
    fn of(spec: &ServiceSpec, registry: &Registry) -> Option<Box<Self>> {
        let slo = spec.slo.as_ref()?;
        let (spec, under_us, stats) = (Arc::clone(slo), slo.under_us(), registry.slo(&spec.name));
        Some(Box::new(Self { spec, under_us, stats }))
    }
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
    /// The zone that it is in, if that is said.
    pub zone: Option<Name>,
    /// What is known of it at run time, shared by all generations and workers.
    pub stats: Arc<EndpointStats>,
}

impl Service {
    pub(crate) fn compile(
        spec: &Arc<ServiceSpec>,
        traffic: &Arc<Traffic>,
        registry: &Registry,
        rules: Rules,
        addresses: &Arc<Addresses>,
    ) -> Result<Self, CompileError> {
        let runs = traffic.slots.iter().map(|(_, run)| Ok((run.until, position(spec, &run.version)?)));
        let versions = spec.versions.iter().map(|version| {
            let transport = version.tls.as_ref().map_or(0, transport);
            let endpoint = |address: &SocketAddr| Endpoint {
                address: *address,
                drained: traffic.drains(version, *address, addresses),
                zone: addresses.zone_of(version, *address).cloned(),
                stats: registry.endpoint(&spec.name, &version.name, *address, transport),
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
        let versions: Box<[_]> = versions.collect();
        let index_of = |name: Box<str>| (0..).zip(&versions).find(|(_, version)| *version.name.as_str() == *name);
        let kept_stable = registry.stable(&spec.name).and_then(index_of).map(|(index, _)| index);
        Ok(Self {
            reads_tokens: spec.reads_tokens(),
            vary: Vary::of(spec, &rules, versions.iter().map(|version| version.weight.slots() > 0)).map(Box::new),
            salt: Salt::new(&traffic.salt),
            runs: runs.collect::<Result<_, _>>()?,
            rules,
            versions,
            stats: registry.service(&spec.name),
            slo: ActiveSlo::of(spec, registry),
            canary: registry.canary(&spec.name).and_then(|canary| CanaryPair::new(&canary, spec, traffic)),
            kept_stable,
            mirror: ActiveMirror::compile(spec, traffic, registry)?,
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

    /// What a rollout compares of its versions, while there is one.
    #[must_use]
    pub(crate) fn compared(&self) -> Option<&CanaryPair> {
        self.canary.as_ref().filter(|canary| !canary.is_over())
    }

    /// The version that failed attempts on others are replayed on, if the service is shielded: the one that is named;
    /// else, while one is rolled out and until it has everything for good, the one that it would replace, however small
    /// its share has become.
    #[must_use]
    pub fn stable(&self) -> Option<u16> {
        let shield = self.spec.policy.shield.as_ref()?;
        let versions = || (0..).zip(&*self.versions);
        let named = shield.stable.as_ref().and_then(|name| versions().find(|(_, version)| version.name == *name));
        let canary = self.canary.as_ref().filter(|canary| !canary.is_replaced());
        let replaced = || canary.map(|canary| canary.versions(Arm::Baseline)[0]).or(self.kept_stable);
        // Of equal weights the first one: natural order puts v1 before v2.
        let largest = || versions().min_by_key(|(_, version)| std::cmp::Reverse(version.weight.slots()));
        named.map(|(index, _)| index).or_else(replaced).or_else(|| largest().map(|(index, _)| index))
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
mod tests {
    use super::*;
    use crate::shared::canary_stats::{CanaryStats, CanaryTerms};
    use crate::stats::CanaryEnd;
    use crate::table::Table;
    use crate::table::fixture::{first_traffic, shared, spec};
    use crate::table::spec::{On500, Shield};

    /// A table of a shielded service with everything on v2.
    fn all_on_v2(registry: &Registry) -> Table {
        let mut spec = spec("shop", "v1=0 v2=100");
        spec.policy.shield = Some(Shield { stable: None, on_500: On500::Never, body_bytes_max: 0 });
        let specs = shared([spec]);
        Table::compile(1, &specs, &first_traffic(&specs), registry).expect("it fits")
    }

    fn stable(table: &Table) -> Option<&str> {
        let service = table.service(0);
        service.stable().map(|index| service.versions[usize::from(index)].name.as_str())
    }

    /// A table of a service at the last step of a rollout, in which v2 replaces v1.
    fn at_its_last_step(registry: &Registry) -> Table {
        let terms = CanaryTerms {
            candidate: "v2".into(),
            baseline: "v1".into(),
            per_key: false,
            slow_us: None,
            failed_calls: 0,
            burst_ticks: 0,
            responses: false,
            except: [].into(),
            routes: false,
            flag: None,
            flags: [].into(),
        };
        registry.begin_canary("shop", Arc::new(CanaryStats::new(terms, 1)));
        all_on_v2(registry)
    }

    /// Requests on their way when a rollout turns back have a table in which v2 has everything, and are replayed on v1.
    #[test]
    fn the_version_that_was_to_be_replaced_stays_stable_until_it_is_replaced_for_good() {
        for (end, stable) in [(CanaryEnd::Interrupted, "v1"), (CanaryEnd::Back, "v1"), (CanaryEnd::Replaced, "v2")] {
            let registry = Registry::new(1);
            let table = at_its_last_step(&registry);
            assert_eq!(self::stable(&table), Some("v1"));
            registry.end_canary("shop", end);
            assert!(table.service(0).compared().is_none());
            assert_eq!(self::stable(&table), Some(stable), "{end:?}");
        }
    }

    /// After a start, or when the part that makes rollouts happen begins anew, tables are made before it is there.
    #[test]
    fn the_version_that_was_to_be_replaced_stays_stable_until_its_rollout_goes_on() {
        let registry = Registry::new(1);
        assert_eq!(stable(&all_on_v2(&registry)), Some("v2"));
        registry.keep_stable("shop", "v1");
        assert_eq!(stable(&all_on_v2(&registry)), Some("v1"));
        at_its_last_step(&registry);
        registry.end_canary("shop", CanaryEnd::Interrupted);
        assert_eq!(stable(&all_on_v2(&registry)), Some("v1"));
        at_its_last_step(&registry);
        registry.end_canary("shop", CanaryEnd::Back);
        assert_eq!(stable(&all_on_v2(&registry)), Some("v2"), "as the weights say");
        registry.keep_stable("shop", "gone");
        assert_eq!(stable(&all_on_v2(&registry)), Some("v2"));
    }
}
