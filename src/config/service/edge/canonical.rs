//! `canonical_host` and `redirect_https` of a service: the URL that it wants to be asked by.

use crate::config::listener::redirect::RawRedirect;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::service::route;
use crate::problem::Mismatch;
use crate::table::spec::HostPattern;
use crate::table::spec::edge::{CanonicalHost, CanonicalUrl};

/// What is written of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawCanonical<'a> {
    pub(crate) host: Option<&'a str>,
    pub(crate) https: Option<RawRedirect>,
}

impl RawCanonical<'_> {
    /// The URL; `hosts` are those that the service answers.
    pub(crate) fn build(
        self,
        hosts: &[HostPattern],
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<CanonicalUrl, ErrorGuaranteed> {
        let https_port = self.https.map_or(Ok(None), |raw| raw.build(&at.key("redirect_https"), report));
        let host_at = at.key("canonical_host");
        let host = self.host.map(|text| host(text, hosts, &host_at, report)).transpose();
        Ok(CanonicalUrl { host: host?, https_port: https_port? })
    }
}

/// A host with or without a port, which the service answers: else a redirect would lead away from it, or nowhere.
fn host(
    text: &str,
    hosts: &[HostPattern],
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<CanonicalHost, ErrorGuaranteed> {
    let port_of = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && !name.ends_with(':') && port_of(port).is_some() => {
            (name, port_of(port))
        }
        _ => (text, None),
    };
    let HostPattern::Exact(name) = route::host(name, at, report)? else {
        let mismatch = Mismatch::new(format!("{text:?}"), "one host", "write it without *");
        return Err(report.problem(at, mismatch));
    };
    if !hosts.is_empty() && !hosts.iter().any(|host| host.covers(&name)) {
        let mismatch = Mismatch::new(
            format!("{name:?}, which the service does not answer"),
            "one of the hosts of the service",
            "add it to hosts, or the redirect leads to another service",
        );
        return Err(report.problem(at, mismatch));
    }
    Ok(CanonicalHost { name, port })
}
