//! The addresses that the names of endpoints stand for. It is found out while the process runs and handed to each
//! table.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::address::{EndpointAddress, HostPort};
use super::spec::VersionSpec;
use crate::shared::name::Name;

/// What is known of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostAddresses {
    /// Its addresses, sorted; those of the last answer that had any.
    pub addresses: Arc<[IpAddr]>,
    /// Why there was no good answer the last time.
    pub problem: Option<Arc<str>>,
}

/// Why a name gave no addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No name server can be asked.
    #[error("{0}")]
    NoServer(Arc<str>),
    /// None has answered in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// Nothing has the name.
    #[error("there is no such name")]
    NoName,
    /// What has it has no address.
    #[error("the name has no address")]
    NoAddress,
    /// Anything else, in the words of the resolver.
    #[error("no answer: {0}")]
    Failed(String),
}

/// What is known of all hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(BTreeMap<Arc<str>, HostAddresses>);

impl Addresses {
    /// The same with an answer for `host`. Without a good answer the addresses from before stay: a name server that is
    /// away takes nothing down, and an address that is really gone fails by itself.
    #[must_use]
    pub fn with(&self, host: &Arc<str>, answer: Result<Vec<IpAddr>, ResolveError>) -> Self {
        let mut next = self.clone();
        let found = next.0.entry(Arc::clone(host)).or_default();
        match answer {
            Ok(mut addresses) => {
                addresses.sort_unstable();
                addresses.dedup();
                *found = HostAddresses { addresses: addresses.into(), problem: None };
            }
            Err(problem) => found.problem = Some(problem.to_string().into()),
        }
        next
    }

    /// What is known of a host; none before the first answer.
    #[must_use]
    pub fn of(&self, host: &str) -> Option<&HostAddresses> {
        self.0.get(host)
    }

    /// The addresses of a version: those of its definition, then those that its names stand for, each once.
    #[must_use]
    pub fn endpoints(&self, version: &VersionSpec) -> Vec<SocketAddr> {
        let mut endpoints = version.endpoints.clone();
        for name in &version.names {
            for ip in self.of(&name.host).into_iter().flat_map(|found| &*found.addresses) {
                let address = SocketAddr::new(*ip, name.port);
                if !endpoints.contains(&address) {
                    endpoints.push(address);
                }
            }
        }
        endpoints
    }

    /// Whether `name` stands for `address`.
    #[must_use]
    pub fn stands(&self, name: &HostPort, address: SocketAddr) -> bool {
        name.port == address.port() && self.of(&name.host).is_some_and(|found| found.addresses.contains(&address.ip()))
    }

    /// The name of a version's definition that `address` is there for; none if it stands there by itself.
    #[must_use]
    pub fn name_of<'v>(&self, version: &'v VersionSpec, address: SocketAddr) -> Option<&'v HostPort> {
        version.names.iter().find(|name| !version.endpoints.contains(&address) && self.stands(name, address))
    }

    /// The zone of the endpoint of a version with this address, if it is in one.
    #[must_use]
    pub fn zone_of<'v>(&self, version: &'v VersionSpec, address: SocketAddr) -> Option<&'v Name> {
        if version.zones.is_empty() {
            return None;
        }
        let name = self.name_of(version, address).map(|name| EndpointAddress::Name(name.clone()));
        version.zones.get(&name.unwrap_or(EndpointAddress::Ip(address)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::fixture::name;

    #[test]
    fn what_was_known_stays_when_there_is_no_answer() {
        let backend = HostPort::new("backend:80").expect("a name");
        let fixed: SocketAddr = ([10, 0, 0, 2], 80).into();
        let mut version = VersionSpec::new(name("v1"), vec![fixed]);
        version.names = vec![backend.clone(), HostPort::new("backend:81").expect("a name")];
        let known = Addresses::default();
        assert_eq!(known.endpoints(&version), [fixed]);
        let ips = |last: &[u8]| last.iter().map(|last| IpAddr::from([10, 0, 0, *last])).collect::<Vec<_>>();
        let known = known.with(&backend.host, Ok(ips(&[3, 2, 3])));
        let all: Vec<_> = known.endpoints(&version).iter().map(ToString::to_string).collect();
        assert_eq!(all, ["10.0.0.2:80", "10.0.0.3:80", "10.0.0.2:81", "10.0.0.3:81"], "each once");
        assert_eq!(known.name_of(&version, ([10, 0, 0, 3], 80).into()), Some(&backend));
        assert_eq!(known.name_of(&version, fixed), None, "it stands there by itself");
        version.zones = [(fixed.into(), name("a")), (EndpointAddress::Name(backend.clone()), name("b"))].into();
        let zone = |last, port| known.zone_of(&version, ([10, 0, 0, last], port).into()).map(Name::as_str);
        assert_eq!([zone(2, 80), zone(3, 80), zone(3, 81)], [Some("a"), Some("b"), None]);
        let lost = known.with(&backend.host, Err(ResolveError::NoName));
        assert_eq!(
            (lost.endpoints(&version).len(), lost.of("backend").and_then(|f| f.problem.as_deref())),
            (4, Some("there is no such name"))
        );
        assert_eq!(lost.with(&backend.host, Ok(ips(&[2, 3]))), known);
    }
}
