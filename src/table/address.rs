//! Endpoints by name: which addresses a name stands for is run-time state, found by a resolver and handed to the table.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
