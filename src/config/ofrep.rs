//! `[ofrep]`: flags for those who ask for them by OpenFeature's remote evaluation protocol, on a listener of its own.
//!
//! The section is a listener with more keys. So it is built as one, and has the same limits and the same defaults.

use std::net::SocketAddr;

use serde::Deserialize;

use super::build::Build;
use super::callers::{self, RawCallerTokens, TokenNotes};
use super::check;
use super::flag_answers::{FlagAnswers, OFREP, OfrepAccess};
use super::limits::RawRate;
use super::listener::{ListenerConfig, RawListener};
use super::reader::config_path::ConfigPath;
use super::reader::list::List;
use super::reader::report::{ErrorGuaranteed, Report};
use super::reader::units::{Quantity, Setting};
use super::tls::RawServerTls;
use crate::problem::Mismatch;

/// Clients that may wait for changes: what the default of a listener's connections lets in.
const EVENT_STREAMS_MAX: Quantity = Quantity(10_000);

/// What is common to all listeners that answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfrepConfig {
    /// How many clients may wait for changes at a time, over all listeners.
    pub event_streams_max: usize,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawOfrep {
    address: Option<String>,
    origins: List<String>,
    tokens: RawCallerTokens,
    event_streams_max: Option<Setting<Quantity>>,
    trusted_proxies: List<String>,
    connections_max: Option<Setting<Quantity>>,
    connections_per_address_max: Option<Setting<Quantity>>,
    rate: Option<RawRate>,
    tls: Option<RawServerTls>,
}

impl RawOfrep {
    /// The address that it listens on, if it has one that can be read.
    pub(crate) fn socket(&self) -> Option<SocketAddr> {
        self.address.as_ref()?.parse().ok()
    }

    /// What is common to all listeners that answer.
    pub(crate) fn build(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<OfrepConfig, ErrorGuaranteed> {
        let range = Quantity(1)..=Quantity(10_000_000);
        let streams =
            check::setting(self.event_streams_max, EVENT_STREAMS_MAX, range, &at.key("event_streams_max"), report);
        Ok(OfrepConfig { event_streams_max: streams?.0 })
    }

    /// The listener of its own, if there is one. `listeners` are the names of the others.
    pub(crate) fn listener<'l>(
        &self,
        mut listeners: impl Iterator<Item = &'l String>,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<Option<ListenerConfig>, ErrorGuaranteed> {
        let origins = callers::origins(&self.origins, &at.key("origins"), build);
        let notes: TokenNotes = |files| &mut files.flag_tokens;
        let tokens = callers::tokens(&self.tokens, notes, &at.key("tokens"), build);
        if self.address.is_none() {
            let alone = self.tls.is_some()
                || self.rate.is_some()
                || [&self.connections_max, &self.connections_per_address_max].iter().any(|key| key.is_some())
                || !(self.origins.is_empty() && self.tokens.is_empty() && self.trusted_proxies.is_empty());
            if alone {
                let wanted = "the address that the other keys are about";
                let remedy = "add address = \"127.0.0.1:8016\", or leave the section out: listeners with ofrep = true do \
                              not need it";
                return Err(build.report.missing(&at.key("address"), Mismatch::new("none", wanted, remedy)));
            }
            return Ok(None);
        }
        if listeners.any(|name| name == OFREP) {
            let found = "a listener of this name beside the section [ofrep], which is one";
            let mismatch = Mismatch::new(found, "a name of its own", "rename the listener");
            build.report.problem(&ConfigPath::Root.key("listeners").key(OFREP), mismatch);
        }
        let raw = RawListener {
            address: self.address.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            connections_max: self.connections_max,
            connections_per_address_max: self.connections_per_address_max,
            rate: self.rate.clone(),
            tls: self.tls.clone(),
            ..RawListener::default()
        };
        let listener = raw.build(OFREP, at, build);
        let (origins, tokens) = (origins?, tokens?);
        Ok(Some(ListenerConfig { flags: FlagAnswers::OfContexts(OfrepAccess { origins, tokens }), ..listener? }))
    }
}
