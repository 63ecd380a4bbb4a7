//! `hosts` and `paths` of a service: what it answers, each host and path by one service only.

use crate::config::build::Build;
use crate::config::check::every;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::problem::Mismatch;
use crate::table::spec::{HostPattern, PathPrefix};

/// The hosts, each once; none means any.
pub(crate) fn hosts(
    raw: &List<String>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Vec<HostPattern>, ErrorGuaranteed> {
    let hosts = every(raw.iter().map(|(index, text)| host(text, &at.item(index), report)))?;
    once(hosts, at, report)
}

/// The path prefixes, each once; the root when there is no such key.
pub(crate) fn paths(
    raw: Option<&List<String>>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Vec<PathPrefix>, ErrorGuaranteed> {
    let Some(raw) = raw else {
        return Ok(PathPrefix::new("/").into_iter().collect());
    };
    if raw.is_empty() {
        return Err(report.problem(at, Mismatch::new("an empty list", "at least one path", "write [\"/\"] for all")));
    }
    let paths = every(raw.iter().map(|(index, text)| {
        PathPrefix::new(text).ok_or_else(|| {
            let remedy = if text.starts_with('/') { "encode other characters with %" } else { "begin it with /" };
            let wanted = "a path that begins with / and has only visible ASCII without ? and #";
            report.problem(&at.item(index), Mismatch::new(format!("{text:?}"), wanted, remedy))
        })
    }))?;
    once(paths, at, report)
}

/// `items`, unless one is there twice.
fn once<T: PartialEq>(items: Vec<T>, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Vec<T>, ErrorGuaranteed> {
    let twice = items.iter().enumerate().filter(|(index, item)| items[..*index].contains(item));
    let refused = twice.map(|(index, _)| {
        report.problem(&at.item(index), Mismatch::new("it for the second time", "each once", "remove one of the two"))
    });
    refused.last().map_or(Ok(()), Err).map(|()| items)
}

/// The hosts and paths that a service wants for itself.
pub(crate) struct RouteClaim<'a> {
    /// The service's name.
    pub(crate) service: &'a str,
    /// Where the service is written.
    pub(crate) at: &'a ConfigPath<'a>,
    /// Its hosts; none means any.
    pub(crate) hosts: &'a [HostPattern],
    /// Its paths.
    pub(crate) paths: &'a [PathPrefix],
}

/// Takes every host and path for the service, or names the service that has it.
pub(crate) fn claim(wanted: &RouteClaim<'_>, build: &mut Build<'_>) -> Result<(), ErrorGuaranteed> {
    let RouteClaim { service, at, hosts, paths } = *wanted;
    let hosts_at = at.key("hosts");
    // Hosts that are not known yet are not any host.
    if let Some(reported) = build.report.touched(&hosts_at).or(build.report.touched(&at.key("paths"))) {
        return Err(reported);
    }
    let mut refused = Ok(());
    let each = hosts.iter().enumerate().map(|(index, host)| (hosts_at.item(index), Some(host)));
    for (place, host) in each.chain(hosts.is_empty().then_some((*at, None))) {
        for path in paths {
            let Some(other) = build.routes.insert((host.cloned(), path.clone()), service.to_owned()) else { continue };
            let shown = match host {
                None => "any host".to_owned(),
                Some(HostPattern::Exact(host)) => host.to_string(),
                Some(HostPattern::Below(host)) => format!("*.{host}"),
            };
            let text = Mismatch::new(
                format!("{shown} with path {path}, which services.{other} answers too"),
                "it in one service",
                "remove it from one",
            );
            refused = Err(build.report.problem(&place, text));
        }
    }
    refused
}

/// One host: exact or `*.example.com`.
pub(crate) fn host(text: &str, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<HostPattern, ErrorGuaranteed> {
    let lower = text.to_ascii_lowercase();
    let (wildcard, name) = lower.strip_prefix("*.").map_or((false, lower.as_str()), |rest| (true, rest));
    let literal = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let v6 = !wildcard && literal.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    if !v6 && !is_host_name(name) {
        let remedy = host_remedy(&lower);
        let text =
            Mismatch::new(format!("{text:?}"), "a host such as \"shop.example.com\" or \"*.example.com\"", remedy);
        return Err(report.problem(at, text));
    }
    Ok(if wildcard { HostPattern::Below(name.into()) } else { HostPattern::Exact(name.into()) })
}

/// Whether a service for these hosts answers `name`; one without hosts answers any, of which nothing is known here.
pub(crate) fn answers(hosts: &[HostPattern], name: &str) -> bool {
    hosts.iter().any(|host| host.covers(&name.to_ascii_lowercase()))
}

/// Labels of letters, digits, `-` and (it happens inside companies) `_`.
fn is_host_name(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(good);
    name.len() <= 253 && name.split('.').all(label)
}

/// What to do about a text that is not a host.
fn host_remedy(text: &str) -> &'static str {
    let port = text.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    if text == "*" {
        "leave hosts out for any host"
    } else if text.contains("://") {
        "leave the scheme out"
    } else if text.contains('/') {
        "put the path into paths"
    } else if text.matches(':').count() > 1 && !text.starts_with('[') {
        "put an IPv6 address into brackets"
    } else if port {
        "leave the port out"
    } else if text.contains('*') {
        "a wildcard stands for whole labels at the beginning"
    } else if text.ends_with('.') {
        "leave the dot at the end out"
    } else if !text.is_ascii() {
        "write it in its xn-- form"
    } else {
        "use letters, digits, '-' and '.'"
    }
}
