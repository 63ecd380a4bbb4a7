//! Endpoints by name: which addresses a name stands for is run-time state, found by a resolver and handed to the table.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::spec::VersionSpec;

/// A host to be resolved, and the port of its endpoints.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostPort {
    /// The host, in lower case.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
}

impl HostPort {
    /// A name from `host:port`; `None` unless the host is one that DNS could know (and no address).
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port > 0)?;
        let labels = || host.strip_suffix('.').unwrap_or(host).split('.');
        let label = |label: &str| {
            let word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            (1..=63).contains(&label.len()) && label.bytes().all(word) && !label.starts_with('-')
        };
        // A last label of digits would be an address with a mistake in it.
        let numeric = labels().next_back().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        let good = host.len() <= 253 && labels().all(label) && !numeric;
        good.then(|| Self { host: host.to_ascii_lowercase().into(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Endpoints as people write them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EndpointAddress {
    /// One endpoint.
    Ip(SocketAddr),
    /// Whatever a name stands for, now and later.
    Name(HostPort),
}

impl EndpointAddress {
    /// Endpoints from `IP:PORT` or `NAME:PORT`; `None` if the text is neither.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        text.parse().map(Self::Ip).ok().or_else(|| HostPort::new(text).map(Self::Name))
    }
}

impl From<SocketAddr> for EndpointAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// What is known of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostAddresses {
    /// Its addresses, sorted; those of the last answer that had any.
    pub addresses: Arc<[IpAddr]>,
    /// Why there was no good answer the last time.
    pub problem: Option<Arc<str>>,
}

/// What is known of all hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(BTreeMap<Arc<str>, HostAddresses>);

impl Addresses {
    /// The same with an answer for `host`. Without a good answer the addresses from before stay: a name server that is
    /// away takes nothing down, and an address that is really gone fails by itself.
    #[must_use]
    pub fn with(&self, host: &Arc<str>, answer: Result<Vec<IpAddr>, String>) -> Self {
        let mut next = self.clone();
        let found = next.0.entry(Arc::clone(host)).or_default();
        match answer {
            Ok(mut addresses) => {
                addresses.sort_unstable();
                addresses.dedup();
                *found = HostAddresses { addresses: addresses.into(), problem: None };
            }
            Err(problem) => found.problem = Some(problem.into()),
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::fixture::name;

    #[test]
    fn names_are_hosts_with_a_port() {
        for (text, shown) in [("Backend:80", "backend:80"), ("a_b.c-d.example.com.:8080", "a_b.c-d.example.com.:8080")]
        {
            assert_eq!(HostPort::new(text).map(|name| name.to_string()).as_deref(), Some(shown));
        }
        let long = format!("{}:80", "a".repeat(64));
        for bad in ["", "a", "a:0", "a:65536", "a:", ":80", "10.0.0.256:80", "a..b:80", "a b:80", "http://a:80", &long]
        {
            assert_eq!(HostPort::new(bad), None, "{bad}");
        }
    }

    #[test]
    fn endpoints_are_written_by_address_or_by_name() {
        for text in ["10.0.0.1:80", "[::1]:80", "backend.internal:80"] {
            assert_eq!(EndpointAddress::new(text).map(|address| address.to_string()).as_deref(), Some(text));
        }
        assert!(matches!(EndpointAddress::new("10.0.0.1:80"), Some(EndpointAddress::Ip(_))));
        for bad in ["", "10.0.0.1", "10.0.0.256:80", "backend", "::1:80"] {
            assert_eq!(EndpointAddress::new(bad), None, "{bad}");
        }
    }

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
        let lost = known.with(&backend.host, Err("timeout".into()));
        assert_eq!(
            (lost.endpoints(&version).len(), lost.of("backend").and_then(|f| f.problem.as_deref())),
            (4, Some("timeout"))
        );
        assert_eq!(lost.with(&backend.host, Ok(ips(&[2, 3]))), known);
    }
}
