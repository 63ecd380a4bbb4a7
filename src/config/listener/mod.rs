//! `[listeners.NAME]`: where users come in. [`proxy_protocol`] and [`redirect`] are keys of it, and [`port_conflict`]
//! finds two listeners that want the same address.

pub(crate) mod port_conflict;
pub(crate) mod proxy_protocol;
pub(crate) mod redirect;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use self::port_conflict::ListenAddress;
use self::proxy_protocol::{ProxyProtocol, RawProxyProtocol};
use self::redirect::RawRedirect;
use crate::config::build::Build;
use crate::config::check::{self, every};
use crate::config::flag_answers::{FlagAnswers, OFREP};
use crate::config::limits::{ListenerLimits, RawListenerLimits, RawRate};
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::ErrorGuaranteed;
use crate::config::reader::units::{Quantity, Setting, TimeSpan};
use crate::config::tls::RawServerTls;
use crate::problem::Mismatch;
use crate::table::Name;
use crate::tls::{Alpn, ServerSettings};

/// A little above the 60 s after which common load balancers and browsers drop an idle connection themselves: the
/// side that closes last loses no request.
const IDLE_TIMEOUT: TimeSpan = TimeSpan::secs(75);

/// One address that users connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenerConfig {
    /// Its name, for the log and metrics.
    pub name: Name,
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// Proxies whose forwarding headers are believed; none by default.
    pub trusted_proxies: Vec<IpNet>,
    /// Longest wait for the head of a request, also of the next one on a connection that is kept alive.
    pub head_read_timeout: Duration,
    /// Whether plain connections may speak HTTP/2 with prior knowledge.
    pub h2c: bool,
    /// Whether and from whom it takes the PROXY protocol.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Whether targets must be by the letter of RFC 3986.
    pub strict_targets: bool,
    /// How much it takes at a time.
    pub limits: ListenerLimits,
    /// TLS, if it is spoken.
    pub tls: Option<ServerSettings>,
    /// The port of the https URLs that every request is sent to, if none is forwarded.
    pub redirect_https: Option<u16>,
    /// Whether it answers calls for flags.
    pub flags: FlagAnswers,
    /// Whether it takes events of users.
    pub events: bool,
}

impl ListenerConfig {
    /// Its section of the config.
    #[must_use]
    pub fn section(&self) -> String {
        match self.flags {
            FlagAnswers::OfContexts(_) => OFREP.to_owned(),
            FlagAnswers::None | FlagAnswers::OfSite => format!("listeners.{}", self.name),
        }
    }
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawListener {
    pub(crate) address: Option<String>,
    pub(crate) trusted_proxies: List<String>,
    pub(crate) idle_timeout: Option<Setting<TimeSpan>>,
    pub(crate) h2c: Option<bool>,
    pub(crate) strict_targets: Option<bool>,
    pub(crate) proxy_protocol: Option<RawProxyProtocol>,
    pub(crate) connections_max: Option<Setting<Quantity>>,
    pub(crate) connections_per_address_max: Option<Setting<Quantity>>,
    pub(crate) rate: Option<RawRate>,
    pub(crate) tls: Option<RawServerTls>,
    pub(crate) redirect_https: Option<RawRedirect>,
    pub(crate) ofrep: Option<bool>,
    pub(crate) events: Option<bool>,
}

/// All listeners: at least one, each on an address of its own.
pub(crate) fn build_all(
    raw: &BTreeMap<String, RawListener>,
    at: &ConfigPath<'_>,
    build: &mut Build<'_>,
) -> Result<Vec<ListenerConfig>, ErrorGuaranteed> {
    if raw.is_empty() {
        let text = Mismatch::new("none", "at least one", "add [listeners.public] with address = \"0.0.0.0:8080\"");
        return Err(build.report.missing(at, text));
    }
    let all = addresses(raw);
    for (index, own) in all.iter().enumerate() {
        let conflict = all[..index].iter().find_map(|other| other.conflict(own.address));
        if let Some(conflict) = conflict {
            build.report.problem(&at.key(own.name).key("address"), conflict);
        }
    }
    every(raw.iter().map(|(name, raw)| raw.build(name, &at.key(name), build)))
}

/// The addresses, as far as they can be read.
pub(crate) fn addresses(raw: &BTreeMap<String, RawListener>) -> Vec<ListenAddress<'_>> {
    raw.iter().filter_map(|(name, raw)| ListenAddress::new(name, raw.address.as_ref())).collect()
}

impl RawListener {
    fn limits(&self) -> RawListenerLimits<'_> {
        RawListenerLimits {
            connections_max: self.connections_max,
            connections_per_address_max: self.connections_per_address_max,
            rate: self.rate.as_ref(),
        }
    }

    pub(crate) fn build(
        &self,
        name: &str,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<ListenerConfig, ErrorGuaranteed> {
        let (base, report) = (build.base, &mut build.report);
        let name = check::name(name, at, report);
        let address = match &self.address {
            Some(text) => check::socket(text, &at.key("address"), report),
            None => {
                let text = Mismatch::new("none", "IP:PORT", "add address = \"0.0.0.0:8080\"");
                Err(report.missing(&at.key("address"), text))
            }
        };
        let list = at.key("trusted_proxies");
        let trusted = every(self.trusted_proxies.iter().map(|(i, text)| check::network(text, &list.item(i), report)));
        let range = TimeSpan::millis(100)..=TimeSpan::secs(86_400);
        let idle = check::setting(self.idle_timeout, IDLE_TIMEOUT, range, &at.key("idle_timeout"), report);
        let proxy_protocol = proxy_protocol::build(self.proxy_protocol.as_ref(), &at.key("proxy_protocol"), report);
        let limits = self.limits().build(at, report);
        let tls = self.tls.as_ref().map(|tls| tls.build(&Alpn::ALL, base, &at.key("tls"), report)).transpose();
        let redirect_at = at.key("redirect_https");
        let redirect = match self.redirect_https.map_or(Ok(None), |raw| raw.build(&redirect_at, report)) {
            Ok(Some(_)) if self.tls.is_some() => {
                let text = Mismatch::new("it beside tls", "one of the two", "redirect on the listener without TLS");
                Err(report.problem(&redirect_at, text))
            }
            redirect => redirect,
        };
        let h2c = self.h2c.unwrap_or(false);
        if h2c && self.tls.is_some() {
            let text = Mismatch::new(
                "it beside tls",
                "it on plain listeners only",
                "remove it: on TLS, HTTP/2 is agreed on by alpn",
            );
            report.problem(&at.key("h2c"), text);
        }
        let (trusted_proxies, head_read_timeout) = (trusted?, idle?.0);
        let (tls, redirect_https) = (tls?, redirect?);
        let (name, address) = (name?, address?);
        let (proxy_protocol, limits) = (proxy_protocol?, limits?);
        Ok(ListenerConfig {
            name,
            address,
            trusted_proxies,
            head_read_timeout,
            h2c,
            strict_targets: self.strict_targets.unwrap_or(false),
            proxy_protocol,
            limits,
            tls,
            redirect_https,
            flags: if self.ofrep == Some(true) { FlagAnswers::OfSite } else { FlagAnswers::None },
            events: self.events == Some(true),
        })
    }
}
