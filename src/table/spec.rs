//! What a service *is*: the definition that a config yields and a table compiles. Nothing here can hold a value that
//! would have to be refused later; what can change while traffic flows (the split, drained endpoints) is in
//! [`Traffic`](super::Traffic).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};
use ipnet::IpNet;
use regex::Regex;

use super::name::Name;
use super::weights::Weights;

/// One service, as the file defines it.
#[derive(Clone, Debug)]
pub struct ServiceSpec {
    /// Its name in the file, in metrics and in the admin API.
    pub name: Name,
    /// Hosts that it answers; empty means any.
    pub hosts: Vec<HostPattern>,
    /// Path prefixes that it answers, at least one.
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
    /// How requests are forwarded.
    pub policy: Policy,
}

/// A version's definition.
#[derive(Clone, Debug)]
pub struct VersionSpec {
    /// The version's name.
    pub name: Name,
    /// Its endpoints, at least one, each once.
    pub endpoints: Vec<SocketAddr>,
}

/// How a service's requests are forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What happens to requests whose version has no usable endpoint.
    pub on_unhealthy: OnUnhealthy,
    /// Longest wait for a TCP connection to an endpoint.
    pub connect_timeout: Duration,
    /// Longest wait from the end of the request's head to the head of the answer.
    pub response_timeout: Duration,
    /// Longest silence inside a body, in either direction.
    pub body_idle_timeout: Duration,
    /// Whether `//`, `/./`, `/../` and encoded unreserved characters are resolved before routing and forwarding.
    pub normalize_path: bool,
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

/// A host that a service answers: lower case, without a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HostPattern {
    /// This host only.
    Exact(Box<str>),
    /// Every host below this one (`*.example.com` is stored as `example.com`), at any depth, but not itself.
    Below(Box<str>),
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
    /// A claim of the bearer token. **The signature is not verified**: a user who forges it chooses a version, no more.
    Jwt(Box<str>),
    /// The client's address.
    Ip,
    /// A cookie of our own with a random key; it names the user, never the version.
    OwnCookie,
}

/// A rule: which requests go to a version before the split is asked.
#[derive(Clone, Debug)]
pub struct RuleSpec {
    /// Its name, for `explain` and the log.
    pub name: Name,
    /// All of it must hold.
    pub when: Arc<Condition>,
    /// The version.
    pub version: Name,
}

/// A match on the request: it holds if every part that is not empty holds.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    /// Headers: any value of the header fits the pattern.
    pub headers: Vec<(HeaderName, Pattern)>,
    /// Cookies, by name.
    pub cookies: Vec<(Box<str>, Pattern)>,
    /// Query parameters, by name, as they stand (not decoded).
    pub query: Vec<(Box<str>, Pattern)>,
    /// Methods, one of which fits.
    pub methods: Vec<Method>,
    /// The path (without the query), as it is forwarded.
    pub path: Option<Pattern>,
    /// Address blocks, one of which holds the client.
    pub clients: Vec<IpNet>,
    /// Segments, one of which holds.
    pub segments: Vec<Arc<Segment>>,
}

/// A named match that rules share.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Its name.
    pub name: Name,
    /// What it matches; segments do not nest.
    pub when: Condition,
}

/// What a value must look like.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// The whole value.
    Exact(Box<str>),
    /// Its beginning.
    Prefix(Box<str>),
    /// A regular expression, found anywhere unless anchored; compiled once, shared by equal texts.
    Regex(Regex),
    /// Any value, as long as there is one.
    Present,
}

impl Pattern {
    /// Whether `value` fits. Bytes that are not UTF-8 fit [`Pattern::Present`] only, and patterns compared as bytes.
    #[must_use]
    pub fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => text.as_bytes() == value,
            Self::Prefix(text) => value.starts_with(text.as_bytes()),
            Self::Regex(regex) => std::str::from_utf8(value).is_ok_and(|text| regex.is_match(text)),
            Self::Present => true,
        }
    }
}
