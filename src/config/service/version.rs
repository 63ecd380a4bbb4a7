//! `[services.X.versions.NAME]`: one build of a service.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::edge::RawEdits;
use super::edge::header_lines::RawHeaderEdits;
use super::edge::prefix::RawPrefixReplacement;
use super::health::RawHealth;
use crate::config::check::{self, every};
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::tls::RawClientTls;
use crate::problem::{Mismatch, one_of, suggest};
use crate::shared::name::natural_cmp;
use crate::table::spec::edge::MessageEdits;
use crate::table::spec::{Protocol, VersionSpec};
use crate::table::{EndpointAddress, HostPort, Name};
use crate::tls::Alpn;

/// A service without versions.
pub(crate) fn none() -> Mismatch {
    Mismatch::new("none", "at least one version", "add [services.NAME.versions.v1] with endpoints")
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawVersion {
    endpoints: List<String>,
    zones: BTreeMap<String, String>,
    protocol: Option<RawProtocol>,
    health: Option<RawHealth>,
    tls: Option<RawClientTls>,
    request_headers: Option<RawHeaderEdits>,
    response_headers: Option<RawHeaderEdits>,
    strip_prefix: Option<String>,
    replace_prefix: Option<RawPrefixReplacement>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum RawProtocol {
    #[serde(rename = "http1")]
    Http1,
    #[serde(rename = "h2")]
    Http2,
}

/// All versions, in natural order of their names.
pub(crate) fn build_all(
    raw: &BTreeMap<String, RawVersion>,
    base: &Path,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Vec<VersionSpec>, ErrorGuaranteed> {
    if raw.is_empty() {
        return Err(report.missing(at, none()));
    }
    let mut versions = every(raw.iter().map(|(name, raw)| raw.build(name, base, &at.key(name), report)))?;
    versions.sort_by(|a, b| natural_cmp(&a.name, &b.name));
    Ok(versions)
}

/// What versions change of their messages, in natural order of their names; nothing where none of them does.
pub(crate) fn edits(
    raw: &BTreeMap<String, RawVersion>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Vec<MessageEdits>, ErrorGuaranteed> {
    if !raw.values().any(|version| version.edits().is_some()) {
        return Ok(Vec::new());
    }
    let mut named: Vec<(&String, &RawVersion)> = raw.iter().collect();
    named.sort_by(|(a, _), (b, _)| natural_cmp(a, b));
    every(named.into_iter().map(|(name, version)| version.edits().build(&at.key(name), report)))
}

fn twice(endpoint: &impl std::fmt::Display) -> Mismatch {
    Mismatch::new(format!("{endpoint} for the second time"), "each endpoint once", "remove one of the two")
}

impl RawVersion {
    /// What it changes of its messages.
    pub(crate) fn edits(&self) -> RawEdits<'_> {
        RawEdits {
            request_headers: self.request_headers.as_ref(),
            response_headers: self.response_headers.as_ref(),
            strip_prefix: self.strip_prefix.as_deref(),
            replace_prefix: self.replace_prefix.as_ref(),
        }
    }

    fn build(
        &self,
        name: &str,
        base: &Path,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<VersionSpec, ErrorGuaranteed> {
        let name = check::free_name(name, at, report);
        let protocol = self.protocol.map_or(Protocol::default(), |raw| match raw {
            RawProtocol::Http1 => Protocol::Http1,
            RawProtocol::Http2 => Protocol::Http2,
        });
        let alpn = match protocol {
            Protocol::Http1 => Alpn::Http11,
            Protocol::Http2 => Alpn::H2,
        };
        let tls = self.tls.as_ref().map(|tls| tls.build(&[alpn], base, &at.key("tls"), report)).transpose();
        let list = at.key("endpoints");
        let (mut endpoints, mut names) = (Vec::new(), Vec::new());
        let mut refused = Ok(());
        if self.endpoints.is_empty() {
            let text =
                Mismatch::new("none", "at least one IP:PORT or NAME:PORT", "add endpoints = [\"10.0.0.1:8080\"]");
            refused = Err(report.missing(&list, text));
        }
        for (index, text) in self.endpoints.iter() {
            let at = list.item(index);
            if let Some(name) = HostPort::new(text) {
                match names.contains(&name) {
                    true => refused = Err(report.problem(&at, twice(&name))),
                    false => names.push(name),
                }
                continue;
            }
            match check::endpoint(text, &at, report) {
                Err(reported) => refused = Err(reported),
                Ok(address) if address.port() == 0 || address.ip().is_unspecified() => {
                    let text =
                        Mismatch::new(format!("{address}"), "an address to connect to", "name its host and port");
                    refused = Err(report.problem(&at, text));
                }
                Ok(address) if endpoints.contains(&address) => {
                    refused = Err(report.problem(&at, twice(&address)));
                }
                Ok(address) => endpoints.push(address),
            }
        }
        let zones = self.zones(&at.key("zones"), report);
        let health = self.health.as_ref().map(|raw| raw.build(&at.key("health"), report)).transpose();
        refused?;
        let (name, zones, health, tls) = (name?, zones?, health?, tls?);
        Ok(VersionSpec { names, zones, health, protocol, tls, ..VersionSpec::new(name, endpoints) })
    }

    /// The zones of its endpoints, each by the text that it is defined by.
    fn zones(
        &self,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<BTreeMap<EndpointAddress, Name>, ErrorGuaranteed> {
        let known: Vec<(&str, EndpointAddress)> = {
            let texts = self.endpoints.iter().map(|(_, text)| text.as_str());
            texts.filter_map(|text| Some((text, EndpointAddress::new(text)?))).collect()
        };
        every(self.zones.iter().map(|(text, zone)| {
            let at = at.key(text);
            let zone = check::name(zone, &at, report);
            let endpoint = EndpointAddress::new(text).filter(|found| known.iter().any(|(_, known)| known == found));
            let endpoint = endpoint.ok_or_else(|| {
                let remedy = match suggest(text, known.iter().map(|(text, _)| *text)) {
                    Some(meant) => format!("did you mean {meant:?}?"),
                    None => "name an endpoint of this version".to_owned(),
                };
                let wanted = one_of(known.iter().map(|(text, _)| *text));
                report.problem(&at, Mismatch::new(format!("{text:?}"), wanted, remedy))
            });
            Ok((endpoint?, zone?))
        }))
        .map(|zones| zones.into_iter().collect())
    }
}
