//! `[proxy]`: workers, upstream connections and limits. Every limit of the request path is here and nowhere else.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::Deserialize;

use crate::config::check::{self, setting};
use crate::config::limits;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{ByteSize, Quantity, Setting, TimeSpan};
use crate::problem::Mismatch;
use crate::table::Name;

/// How requests are worked on, whatever their service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyConfig {
    /// Threads of the data plane; `None` is one a core.
    pub workers: Option<NonZeroUsize>,
    /// Longest wait for open requests at the end.
    pub shutdown_timeout: Duration,
    /// How long requests are still taken after the end was announced to load balancers.
    pub shutdown_delay: Duration,
    /// How long a new process may take to take over in an upgrade in place.
    pub upgrade_timeout: Duration,
    /// Most client connections at a time; `None` is what the limit of open files allows.
    pub connections_max: Option<NonZeroUsize>,
    /// How long an idle connection to an endpoint is kept.
    pub upstream_idle_timeout: Duration,
    /// How long a connection to an endpoint is used.
    pub upstream_max_age: Duration,
    /// Idle connections kept for each endpoint and worker.
    pub upstream_idle_max: usize,
    /// Who is asked for the names of endpoints; `None` is who the system asks.
    pub resolver: Option<SocketAddr>,
    /// Whether the upstream request carries `x-pointsman-revision`.
    pub revision_header: bool,
    /// Our name in `Via`.
    pub via: Name,
    /// What the head of a request may have.
    pub request_heads: RequestHeads,
    /// What the head of an endpoint's answer may have.
    pub response_heads: ResponseHeads,
    /// Whether a request that has been through this process already is refused.
    pub refuse_loops: bool,
    /// Most requests in flight, over all workers; `None` is [`IN_FLIGHT_DEFAULT`](crate::config::IN_FLIGHT_DEFAULT),
    /// dealt out evenly.
    pub requests_in_flight_max: Option<usize>,
}

/// The bounds of the heads of requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestHeads {
    /// Of the target, in bytes; at most those of the whole head.
    pub target_bytes_max: usize,
    /// In bytes.
    pub bytes_max: usize,
    /// In header lines.
    pub lines_max: usize,
}

/// The bounds of the heads of endpoints' answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResponseHeads {
    /// In bytes.
    pub bytes_max: usize,
    /// In header lines.
    pub lines_max: usize,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawProxy {
    workers: Option<Setting<Quantity>>,
    shutdown_timeout: Option<Setting<TimeSpan>>,
    shutdown_delay: Option<Setting<TimeSpan>>,
    upgrade_timeout: Option<Setting<TimeSpan>>,
    connections_max: Option<Setting<Quantity>>,
    upstream_idle_timeout: Option<Setting<TimeSpan>>,
    upstream_max_age: Option<Setting<TimeSpan>>,
    upstream_idle_max: Option<Setting<Quantity>>,
    resolver: Option<String>,
    revision_header: Option<bool>,
    via: Option<String>,
    target_bytes_max: Option<Setting<ByteSize>>,
    head_bytes_max: Option<Setting<ByteSize>>,
    headers_max: Option<Setting<Quantity>>,
    response_head_bytes_max: Option<Setting<ByteSize>>,
    response_headers_max: Option<Setting<Quantity>>,
    refuse_loops: Option<bool>,
    requests_in_flight_max: Option<Setting<Quantity>>,
}

/// Nothing waits longer than a day.
const DAY: TimeSpan = TimeSpan::secs(86_400);

impl RawProxy {
    pub(crate) fn build(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<ProxyConfig, ErrorGuaranteed> {
        let workers = self.workers(&at.key("workers"), report);
        let via = check::name(self.via.as_deref().unwrap_or("pointsman"), &at.key("via"), report);
        // Longer than nearly every request, shorter than the patience of a service manager.
        let shutdown = self.shutdown_timeout;
        let shutdown =
            setting(shutdown, TimeSpan::secs(30), TimeSpan::secs(0)..=DAY, &at.key("shutdown_timeout"), report);
        // None: most load balancers are told by the sender of the signal, and Ctrl-C should not take long.
        let delay =
            setting(self.shutdown_delay, TimeSpan::secs(0), TimeSpan::secs(0)..=DAY, &at.key("shutdown_delay"), report);
        // A large store is checked page by page when it is opened; only the caller of the upgrade waits for it.
        let (upgrade, range) = (self.upgrade_timeout, TimeSpan::secs(1)..=DAY);
        let upgrade = setting(upgrade, TimeSpan::secs(60), range, &at.key("upgrade_timeout"), report);
        // 2^22 connections are two times what a process may have of open files on the largest systems.
        let (connections, range) = (self.connections_max, Quantity(1)..=Quantity(1 << 22));
        let connections = setting(connections, Quantity(1), range, &at.key("connections_max"), report);
        // A little below the 60 s of common origins: we close first, and lose no request to their closing.
        let (idle, short) = (self.upstream_idle_timeout, TimeSpan::millis(1));
        let idle = setting(idle, TimeSpan::secs(55), short..=DAY, &at.key("upstream_idle_timeout"), report);
        // New connections follow what moved behind an address, within the hour.
        let age =
            setting(self.upstream_max_age, TimeSpan::secs(3600), short..=DAY, &at.key("upstream_max_age"), report);
        // As many as were busy at once under a load that a worker can bear: a connection that returns to a full pool is
        // closed, and the next request pays for a new connection. Those that are not needed any more time out.
        let most = self.upstream_idle_max;
        let most = setting(most, Quantity(1024), Quantity(0)..=Quantity(65_536), &at.key("upstream_idle_max"), report);
        let in_flight = limits::optional_count(self.requests_in_flight_max, &at.key("requests_in_flight_max"), report);
        let resolver = self.resolver.as_ref().map(|text| check::socket(text, &at.key("resolver"), report)).transpose();
        let request_heads = self.request_heads(at, report);
        let response_heads = self.response_heads(at, report);
        Ok(ProxyConfig {
            workers: workers?,
            shutdown_timeout: shutdown?.0,
            shutdown_delay: delay?.0,
            upgrade_timeout: upgrade?.0,
            connections_max: self.connections_max.and(NonZeroUsize::new(connections?.0)),
            upstream_idle_timeout: idle?.0,
            upstream_max_age: age?.0,
            upstream_idle_max: most?.0,
            resolver: resolver?,
            revision_header: self.revision_header.unwrap_or(true),
            via: via?,
            request_heads: request_heads?,
            response_heads: response_heads?,
            refuse_loops: self.refuse_loops.unwrap_or(true),
            requests_in_flight_max: in_flight?,
        })
    }

    fn workers(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Option<NonZeroUsize>, ErrorGuaranteed> {
        // More than the largest machines have.
        let count = setting(self.workers, Quantity(1), Quantity(1)..=Quantity(1024), at, report)?;
        Ok(self.workers.and(NonZeroUsize::new(count.0)))
    }

    fn response_heads(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<ResponseHeads, ErrorGuaranteed> {
        // Twice what a request may have: origins set cookies and policies of some kilobytes each.
        let (raw, range) = (self.response_head_bytes_max, ByteSize::kib(8)..=ByteSize::kib(1024));
        let bytes = setting(raw, ByteSize::kib(64), range, &at.key("response_head_bytes_max"), report);
        // More lines have no room where they are parsed.
        let (raw, range) = (self.response_headers_max, Quantity(1)..=Quantity(256));
        let lines = setting(raw, Quantity(100), range, &at.key("response_headers_max"), report);
        Ok(ResponseHeads { bytes_max: bytes?.0, lines_max: lines?.0 })
    }

    fn request_heads(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<RequestHeads, ErrorGuaranteed> {
        // RFC 9110 asks for 8,000 bytes at least; beyond 64 KiB the URI type ends.
        let (raw, range) = (self.target_bytes_max, ByteSize(64)..=ByteSize::kib(63));
        let target = setting(raw, ByteSize::kib(8), range, &at.key("target_bytes_max"), report);
        // The codec's buffer is never below 8 KiB.
        let (raw, range) = (self.head_bytes_max, ByteSize::kib(8)..=ByteSize::kib(1024));
        let head = setting(raw, ByteSize::kib(32), range, &at.key("head_bytes_max"), report);
        let range = Quantity(1)..=Quantity(4096);
        let headers = setting(self.headers_max, Quantity(100), range, &at.key("headers_max"), report);
        let (target, head) = (target?, head?);
        if target > head {
            let text = Mismatch::new(
                format!("{target}"),
                format!("at most head_bytes_max, {head}, whose part it is"),
                "lower it or raise that",
            );
            return Err(report.problem(&at.key("target_bytes_max"), text));
        }
        Ok(RequestHeads { target_bytes_max: target.0, bytes_max: head.0, lines_max: headers?.0 })
    }
}
