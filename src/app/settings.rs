//! From the config's words to those of the planes, which do not know the config.

use std::sync::Arc;

use tokio::time::Instant;

use super::descriptors;
use crate::admin;
use crate::config::{self, Config, FlagAnswers};
use crate::jwt::JwtVerifier;
use crate::ledger::seen::SeenSender;
use crate::proxy::accept::connection_limit::ConnectionLimit;
use crate::proxy::accept::global_limit::GlobalConnectionLimit;
use crate::proxy::accept::listener_policy::ListenerPolicy;
use crate::proxy::accept::proxy_protocol::ProxyProtocolPolicy;
use crate::proxy::access_log::LogSender;
use crate::proxy::connection::park::PARK_AFTER;
use crate::proxy::limits::concurrency::ConcurrencyLimit;
use crate::proxy::limits::rate::{RateKey, RateLimiter};
use crate::proxy::request::header_edits::EditSettings;
use crate::proxy::worker::WorkerSettings;
use crate::tls::Clients;
use crate::tokens::{AccessRole, AccessToken};
use crate::upstream::budget::Budget;
use crate::upstream::{HeadLimits, PoolSettings};

/// What the workers of a process have in common and the config does not say.
pub(crate) struct CommonParts {
    /// How many connections of clients there may be.
    pub connection_limit: Arc<GlobalConnectionLimit>,
    /// How many connections to endpoints there may be.
    pub budget: Arc<Budget>,
    /// What TLS with endpoints comes to.
    pub tls: Arc<Clients>,
    /// What verifies tokens, if they are verified.
    pub jwt: Option<Arc<JwtVerifier>>,
    /// Where requests are logged, if they are.
    pub log: Option<LogSender>,
    /// Where what is seen of users in experiments is counted.
    pub seen: SeenSender,
    /// When the clock of the process began.
    pub clock_start: Instant,
    /// How many workers there are.
    pub workers: usize,
}

/// The settings of every worker.
pub(crate) fn worker(config: &Config, parts: CommonParts) -> WorkerSettings {
    let CommonParts { connection_limit, budget, tls, jwt, log, seen, clock_start, workers } = parts;
    let proxy = &config.proxy;
    let share = u32::try_from(config::IN_FLIGHT_DEFAULT.div_ceil(workers)).unwrap_or(u32::MAX);
    let capacity = proxy.requests_in_flight_max.map_or(ConcurrencyLimit::Worker(share), ConcurrencyLimit::of_process);
    let process = rand::random();
    WorkerSettings {
        pools: PoolSettings {
            idle_timeout: proxy.upstream_idle_timeout,
            age_max: proxy.upstream_max_age,
            idle_max: proxy.upstream_idle_max,
        },
        edit: EditSettings::new(proxy.via.as_str(), process, proxy.refuse_loops, proxy.revision_header),
        head_bytes_max: proxy.request_heads.bytes_max,
        headers_max: proxy.request_heads.lines_max,
        response_heads: HeadLimits {
            bytes_max: proxy.response_heads.bytes_max,
            headers_max: proxy.response_heads.lines_max,
        },
        connection_limit,
        budget,
        concurrency: capacity,
        queues: Arc::default(),
        tls,
        jwt,
        log,
        seen,
        park_after: PARK_AFTER,
        clock_start,
    }
}

/// Who gets in at a listener.
pub(crate) fn door(listener: &config::ListenerConfig, workers: usize) -> ListenerPolicy {
    let proxy_protocol = listener.proxy_protocol.as_ref();
    let proxy_protocol = proxy_protocol.map(|how| ProxyProtocolPolicy { from: how.from.clone(), timeout: how.timeout });
    let limits = &listener.limits;
    let rate = limits.rate.as_ref().map(|rate| {
        let by = match rate.by {
            config::RateBy::Address => RateKey::Address,
            config::RateBy::Listener => RateKey::Listener,
        };
        Arc::new(RateLimiter::new(by, rate.requests, rate.per, rate.burst))
    });
    let crowd = Arc::new(ConnectionLimit::new(limits.connections_max, limits.connections_per_address_max, workers));
    ListenerPolicy { proxy_protocol, connections: crowd, rate }
}

/// Where the admin API listens.
pub(crate) fn admin_address(admin: &config::AdminConfig) -> admin::Address {
    match &admin.address {
        config::AdminAddress::Tcp(address) => admin::Address::Tcp(*address),
        config::AdminAddress::Unix(path) => admin::Address::Unix(path.clone()),
    }
}

/// Who gets in there.
pub(crate) fn access(config: &config::Config) -> admin::AccessSettings {
    let admin = &config.admin;
    // Other replicas, and people, come by the name that this one gives.
    let advertised = config.fleet.as_ref().and_then(|fleet| Some(fleet.advertise.as_ref()?.host()?.to_owned()));
    let client = |client: &config::CertificateClient| (client.name.clone(), role(client.role));
    admin::AccessSettings {
        hosts: admin.hosts.iter().cloned().chain(advertised).collect(),
        tokens: admin.tokens.iter().map(token).collect(),
        clients: admin.clients.iter().map(client).collect(),
        connections_max: Some(descriptors::admin_connections_max()),
    }
}

/// A token and its file.
pub(crate) fn token(token: &config::AdminToken) -> admin::AccessToken {
    admin::AccessToken { name: token.name.to_string(), role: role(token.role), file: token.file.clone() }
}

/// The same of callers that are no operators.
pub(crate) fn caller_token(token: &config::CallerToken) -> AccessToken {
    AccessToken { name: token.name.to_string(), role: AccessRole::Read, file: token.file.clone() }
}

fn role(role: config::AdminRole) -> admin::AccessRole {
    match role {
        config::AdminRole::Read => admin::AccessRole::Read,
        config::AdminRole::Operate => admin::AccessRole::Operate,
    }
}

/// The keys that differ between the config that runs and another one, and that only a restart can change.
pub(crate) fn needs_restart(running: &Config, other: &Config) -> Vec<String> {
    let own = |config: &Config, wanted: bool| -> Vec<config::ListenerConfig> {
        let listeners = config.listeners.iter();
        listeners.filter(|listener| matches!(listener.flags, FlagAnswers::OfContexts(_)) == wanted).cloned().collect()
    };
    let sections = [
        ("listeners", own(running, false) != own(other, false)),
        ("ofrep", running.ofrep != other.ofrep || own(running, true) != own(other, true)),
        ("events", running.events != other.events),
        ("admin", running.admin != other.admin),
        ("state", running.state != other.state),
        ("fleet", running.fleet != other.fleet),
        ("proxy", running.proxy != other.proxy),
        ("jwt", running.jwt != other.jwt),
        ("access_log", running.access_log != other.access_log),
    ];
    sections.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_owned()).collect()
}
