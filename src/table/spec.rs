//! The specification of a service: the definition that a config yields and a table compiles. Nothing here can hold a
//! value that would have to be refused later; what can change while traffic flows (the split, drained endpoints) is in
//! [`Traffic`](super::Traffic).

pub(crate) mod attribute;
pub(crate) mod condition_text;
pub(crate) mod edge;
pub(crate) mod error_page;
pub(crate) mod experiment;
pub(crate) mod fault;
pub(crate) mod fixed_response;
pub(crate) mod flag;
pub(crate) mod health_check;
mod host_pattern;
pub(crate) mod limits;
pub(crate) mod mirror;
pub(crate) mod outlier;
pub(crate) mod own_cookie;
pub(crate) mod pattern;
pub(crate) mod slo;
pub(crate) mod template;
pub(crate) mod version_range;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};
use ipnet::IpNet;

use self::edge::{EdgeSpec, RuleTarget, ToldClients};
use self::health_check::HealthSpec;
use self::limits::Limits;
use self::mirror::MirrorSpec;
use self::own_cookie::OwnCookieSpec;
use super::address::{EndpointAddress, HostPort};
use super::weights::Weights;
use crate::shared::name::Name;
use crate::tls::ClientSettings;
use outlier::OutlierSpec;
use slo::SloSpec;

pub use attribute::Attribute;
pub use host_pattern::HostPattern;
pub use pattern::Pattern;

/// One service, as the file defines it.
#[derive(Clone, Debug)]
pub struct ServiceSpec {
    /// Its name in the file, in metrics and in the admin API.
    pub name: Name,
    /// Hosts that it serves; empty means any.
    pub hosts: Vec<HostPattern>,
    /// Path prefixes that it serves, at least one.
    pub paths: Vec<PathPrefix>,
    /// Where the key of a user comes from, first present wins; empty: every request is drawn anew.
    pub sticky: Vec<KeySource>,
    /// A fixed salt; `None`: a new one for each release (see [`Traffic`](super::Traffic)).
    pub salt: Option<Arc<str>>,
    /// The split that the file asks for.
    pub split: Weights,
    /// The versions, at least one, in natural order of their names.
    pub versions: Vec<VersionSpec>,
    /// The rules, in order.
    pub rules: Vec<RuleSpec>,
    /// The mirror that the file asks for, if it does.
    pub mirror: Option<Arc<MirrorSpec>>,
    /// How requests are forwarded.
    pub policy: Policy,
    /// What it has promised its users, if anything.
    pub slo: Option<Arc<SloSpec>>,
    /// What is changed of its messages, if anything.
    pub edge: Option<Arc<EdgeSpec>>,
}

impl ServiceSpec {
    /// How requests are mirrored to the version `to`: as the file says, if it says anything.
    #[must_use]
    pub fn mirror_to(&self, to: &Name) -> Arc<MirrorSpec> {
        match &self.mirror {
            Some(spec) if spec.to == *to => Arc::clone(spec),
            Some(spec) => Arc::new(MirrorSpec { to: to.clone(), ..MirrorSpec::clone(spec) }),
            None => Arc::new(MirrorSpec::to_version(to.clone())),
        }
    }

    /// Whether the rule with this index edits messages.
    #[must_use]
    pub fn edits_by(&self, rule: u16) -> bool {
        let edits = self.edge.as_ref().and_then(|edge| edge.of_rule(Some(rule)));
        edits.is_some_and(|edits| !edits.is_empty())
    }

    /// Whether its key or a rule looks at the bearer token.
    #[must_use]
    pub fn reads_tokens(&self) -> bool {
        self.sticky.iter().any(|source| matches!(source, KeySource::Jwt(_)))
            || self.rules.iter().any(|rule| rule.when.reads_tokens())
    }
}

/// A version's definition.
#[derive(Clone, Debug)]
pub struct VersionSpec {
    /// The version's name.
    pub name: Name,
    /// Its endpoints by address, each once; at least one, or a name.
    pub endpoints: Vec<SocketAddr>,
    /// What they speak.
    pub protocol: Protocol,
    /// Its endpoints by name, each once.
    pub names: Vec<HostPort>,
    /// Which part of the installation an endpoint is in, such as a data centre, by the address or name that it is
    /// defined by; not all of them need one.
    pub zones: BTreeMap<EndpointAddress, Name>,
    /// How they are checked, if they are.
    pub health: Option<Arc<HealthSpec>>,
    /// How TLS is spoken with them, if it is.
    pub tls: Option<Arc<ClientSettings>>,
    /// The listener of this process that one of them is, as far as the file says so.
    pub own_listener: Option<OwnListener>,
}

/// An endpoint that is a listener of this process.
#[derive(Clone, Debug)]
pub struct OwnListener {
    /// Its address.
    pub endpoint: SocketAddr,
    /// The name of the listener.
    pub listener: Name,
}

impl VersionSpec {
    /// A version with these endpoints, and nothing else.
    #[must_use]
    pub fn new(name: Name, endpoints: Vec<SocketAddr>) -> Self {
        let (protocol, names, zones) = (Protocol::default(), Vec::new(), BTreeMap::new());
        Self { name, endpoints, protocol, names, zones, health: None, tls: None, own_listener: None }
    }
}

/// What the endpoints of a version speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, without asking: with prior knowledge on plain connections.
    Http2,
}

/// How a service's requests are forwarded.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What happens to requests whose version has no usable endpoint.
    pub on_unhealthy: OnUnhealthy,
    /// Longest wait for a TCP connection to an endpoint.
    pub connect_timeout: Duration,
    /// Longest wait from the end of the request's head to the head of the response.
    pub response_timeout: Duration,
    /// Longest silence inside a body, in either direction.
    pub body_idle_timeout: Duration,
    /// Whether `//`, `/./`, `/../` and encoded unreserved characters are resolved before routing and forwarding.
    pub normalize_path: bool,
    /// When endpoints that fail their requests are left alone, if ever.
    pub outlier: Option<OutlierSpec>,
    /// How long an endpoint that comes back takes to get all of its share; zero is at once.
    pub slow_start: Duration,
    /// How much of it is worked on at a time.
    pub limits: Limits,
    /// Whether responses tell caches that they are for one user, and which headers decide between versions.
    pub cache_headers: bool,
    /// Whether clients may open WebSockets; otherwise the request for one is forwarded as a plain one.
    pub websockets: bool,
    /// Longest silence on a WebSocket.
    pub tunnel_idle_timeout: Duration,
    /// What becomes of WebSockets and streams whose version has lost its share.
    pub on_shift: OnShift,
    /// Whether failed attempts on a version under rollout are replayed on the stable one, and which.
    pub shield: Option<Shield>,
    /// Which clients are told the version that responds.
    pub version_to_clients: ToldClients,
    /// Which clients are told the id of their request.
    pub request_id_to_clients: ToldClients,
    /// The cookie of users without another key; none: the usual one.
    pub cookie: Option<Arc<OwnCookieSpec>>,
}

/// Which failed attempts are replayed on the stable version, so that users of a version under rollout do not see them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shield {
    /// The stable version; `None`: in a rollout the one that is replaced, else the one with the largest weight, the
    /// first of several.
    pub stable: Option<Name>,
    /// Of which requests a 500 is a failed attempt, besides 502, 503, 504 and no response at all.
    pub on_500: On500,
    /// The longest body that is kept for a replay, in bytes.
    pub body_bytes_max: usize,
}

/// Requests whose 500 is a failed attempt: those that may be replayed at all, or some of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum On500 {
    /// None: a 500 is a response.
    Never,
    /// Those that ask for nothing to be changed (RFC 9110, 9.2.1: `GET`, `HEAD`, `OPTIONS`): whatever the application
    /// did before it failed, doing it once more is what its users would do.
    #[default]
    Safe,
    /// All idempotent ones, `PUT` and `DELETE` too: an application that failed halfway is asked for the other half.
    Idempotent,
}

/// What becomes of WebSockets and streams whose version has lost its share.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnShift {
    /// They go on until they end by themselves.
    #[default]
    Keep,
    /// They are closed; clients open them anew, on the version that they have by then.
    Close,
    /// They are closed after this time.
    After(Duration),
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            on_unhealthy: OnUnhealthy::Pass,
            // Three tries of a SYN fit in: Linux sends them at 0, 1 and 3 s.
            connect_timeout: Duration::from_secs(4),
            // What nginx, HAProxy's examples and most load balancers use.
            response_timeout: Duration::from_secs(60),
            body_idle_timeout: Duration::from_secs(60),
            normalize_path: false,
            cache_headers: true,
            websockets: true,
            // Longer than any heartbeat; a peer that vanished is found out within the hour.
            tunnel_idle_timeout: Duration::from_secs(3600),
            on_shift: OnShift::Keep,
            shield: None,
            version_to_clients: ToldClients::Trusted,
            request_id_to_clients: ToldClients::Trusted,
            cookie: None,
            limits: Limits::default(),
            outlier: None,
            slow_start: Duration::ZERO,
        }
    }
}

/// What happens to requests whose version has no usable endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnUnhealthy {
    /// They go to the other versions, in proportion to their weights.
    #[default]
    Pass,
    /// They are refused with 503.
    Refuse,
}

/// A path prefix: begins with `/`, has no `/` at its end (the root is empty), and matches at `/` boundaries.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PathPrefix(Box<str>);

impl PathPrefix {
    /// A prefix from text as a user writes it; `None` unless it begins with `/` and has only visible ASCII without
    /// `?` and `#`.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let visible = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#'));
        (text.starts_with('/') && visible).then(|| Self(text.trim_end_matches('/').into()))
    }

    /// The text; empty for the root.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows it in a path; `None` if the path is not at or below it.
    #[must_use]
    pub fn rest<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        path.strip_prefix(self.0.as_bytes()).filter(|rest| matches!(rest.first(), None | Some(b'/')))
    }

    /// The segments, in order; none for the root.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').skip(1)
    }
}

impl std::fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

/// Where the key of a user comes from.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum KeySource {
    /// The first value of a header.
    Header(HeaderName),
    /// A cookie that the service sets.
    Cookie(Box<str>),
    /// A query parameter, as it stands (not decoded).
    Query(Box<str>),
    /// A claim of the bearer token. **Where no keys are configured its signature is not verified**: a user who forges
    /// it chooses a version, no more.
    Jwt(Box<str>),
    /// The client's address.
    Ip,
    /// A cookie of our own with a random key; it names the user, never the version.
    OwnCookie,
    /// The same by another name than the usual one.
    NamedOwnCookie(Box<str>),
}

/// A rule: which requests the split is not asked about, or which it is asked about with edits.
#[derive(Clone, Debug)]
pub struct RuleSpec {
    /// Its name, for `explain` and the log.
    pub name: Name,
    /// All of it must hold.
    pub when: Arc<Condition>,
    /// What becomes of them.
    pub target: RuleTarget,
}

impl RuleSpec {
    /// A rule that picks a version.
    #[must_use]
    pub fn to_version(name: Name, when: Condition, version: Name) -> Self {
        Self { name, when: Arc::new(when), target: RuleTarget::Version(version) }
    }
}

/// A match on the request: it holds if every part that is not empty holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    /// Headers: any value of the header fits the pattern.
    pub headers: Vec<(HeaderName, Pattern)>,
    /// Cookies, by name.
    pub cookies: Vec<(Box<str>, Pattern)>,
    /// Query parameters, by name, as they stand (not decoded).
    pub query: Vec<(Box<str>, Pattern)>,
    /// Methods, one of which fits.
    pub methods: Vec<Method>,
    /// The path (without the query), as it is routed. A prefix ends at a `/`.
    pub path: Option<Pattern>,
    /// Address blocks, one of which holds the client.
    pub clients: Vec<IpNet>,
    /// Segments, one of which holds.
    pub segments: Vec<Arc<Segment>>,
    /// Attributes of the user.
    pub attributes: Vec<(Arc<Attribute>, Pattern)>,
    /// Conditions, one of which holds.
    pub any: Vec<Self>,
    /// A condition that does not hold.
    pub not: Option<Box<Self>>,
}

impl Condition {
    /// Whether it looks at the bearer token. Each part is named here, so that a new one cannot be forgotten.
    #[must_use]
    pub fn reads_tokens(&self) -> bool {
        let Self { headers: _, cookies: _, query: _, attributes, methods: _, path: _, clients: _, segments, any, not } =
            self;
        let mut sources = attributes.iter().flat_map(|(attribute, _)| &attribute.sources);
        sources.any(|source| matches!(source, KeySource::Jwt(_)))
            || segments.iter().any(|segment| segment.when.reads_tokens())
            || any.iter().chain(not.as_deref()).any(Self::reads_tokens)
    }
}

/// A named match that rules share.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Its name.
    pub name: Name,
    /// What it matches; segments do not nest.
    pub when: Condition,
}
