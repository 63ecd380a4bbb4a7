//! One query. hickory-resolver and not the C library's `getaddrinfo`, because that has no time to live, and a thread
//! waits for each of its answers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::time::{Instant, timeout};

use crate::table::ResolveError;

/// How long an answer to one question may take: the datagram is sent again within it, and a name is two questions at
/// the most, for both kinds of addresses.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// How long all of it may take, with a system's list of domains to search: a start waits for it, and so does the word
/// that a name server is silent. resolv.conf alone would let it be minutes.
const ASK_MAX: Duration = Duration::from_secs(5);

/// Asks name servers.
#[derive(Clone)]
pub(crate) struct Dns(Result<TokioResolver, ResolveError>);

impl Dns {
    /// Asks `server`, or those that the system is configured with.
    pub(crate) fn new(server: Option<SocketAddr>) -> Self {
        let resolver = resolver(server).map_err(|error| match server {
            Some(server) => format!("cannot ask {server}: {error}"),
            None => format!("cannot read the system's name servers ({error}); set proxy.resolver"),
        });
        Self(resolver.map_err(|why| ResolveError::NoServer(why.into())))
    }

    /// The addresses of `host`, sorted and at least one, and how long they hold.
    pub(crate) async fn ask(&self, host: &str) -> Result<(Vec<IpAddr>, Duration), ResolveError> {
        let asked = timeout(ASK_MAX, self.look_up(host)).await;
        asked.unwrap_or(Err(ResolveError::Timeout(ASK_MAX)))
    }

    async fn look_up(&self, host: &str) -> Result<(Vec<IpAddr>, Duration), ResolveError> {
        let resolver = self.0.as_ref().map_err(ResolveError::clone)?;
        let answer = resolver.lookup_ip(host).await.map_err(|error| problem(&error))?;
        let mut addresses: Vec<IpAddr> = answer.iter().collect();
        addresses.sort_unstable();
        if addresses.is_empty() {
            return Err(ResolveError::NoAddress);
        }
        let ttl = Instant::from_std(answer.valid_until()).saturating_duration_since(Instant::now());
        Ok((addresses, ttl))
    }
}

fn resolver(server: Option<SocketAddr>) -> Result<TokioResolver, NetError> {
    let mut builder = match server {
        None => TokioResolver::builder_tokio()?,
        Some(server) => {
            let mut name_server = NameServerConfig::udp_and_tcp(server.ip());
            name_server.connections.iter_mut().for_each(|connection| connection.port = server.port());
            let config = ResolverConfig::from_name_servers(vec![name_server]);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    let options = builder.options_mut();
    // A host with both kinds of addresses is one endpoint, not two.
    options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
    // We ask when an answer has run out, so a cache would only hold what is not asked for.
    options.cache_size = 0;
    // The caller asks again, with pauses of our own.
    (options.timeout, options.attempts) = (options.timeout.min(ANSWER_MAX), 0);
    builder.build()
}

fn problem(error: &NetError) -> ResolveError {
    if error.is_nx_domain() {
        ResolveError::NoName
    } else if error.is_no_records_found() {
        ResolveError::NoAddress
    } else {
        ResolveError::Failed(error.to_string())
    }
}
