//! Ingresses with the annotations of ingress-nginx: a backend is a version, and a canary is another one of the same
//! service.

use std::collections::BTreeMap;

use super::config_draft::{ConfigDraft, RuleDraft, ServiceDraft, VersionDraft, quoted, table};
use super::measures::{duration, size};
use super::yaml::{YamlNode, parse};
use crate::problem::Problem;

/// What all annotations begin with.
const PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// Annotations that are read.
const KNOWN: [&str; 17] = [
    "canary",
    "canary-weight",
    "canary-weight-total",
    "canary-by-header",
    "canary-by-header-value",
    "canary-by-header-pattern",
    "canary-by-cookie",
    "proxy-connect-timeout",
    "proxy-read-timeout",
    "proxy-send-timeout",
    "proxy-body-size",
    "affinity",
    "affinity-mode",
    "backend-protocol",
    "session-cookie-path",
    "session-cookie-max-age",
    "session-cookie-expires",
];

/// Why others have no counterpart, by how they begin.
const REASONS: [(&str, &str); 13] = [
    ("rewrite-target", "paths are passed on as they are"),
    ("app-root", "no answers of your own"),
    ("permanent-redirect", "no answers of your own"),
    ("temporal-redirect", "no answers of your own"),
    ("ssl-redirect", "[listeners.X] redirect_https = true"),
    ("force-ssl-redirect", "[listeners.X] redirect_https = true"),
    ("limit-", "requests of a client are limited by [listeners.X] rate"),
    ("whitelist-source-range", "addresses are not refused here: rules can look at them"),
    ("auth-", "users are not authenticated here"),
    ("enable-cors", "no headers of your own: the origin sets them"),
    ("configuration-snippet", "no lines of nginx"),
    ("server-snippet", "no lines of nginx"),
    ("session-cookie", "the cookie of a sticky service has a name of its own"),
];

/// An Ingress.
struct Ingress<'y> {
    node: &'y YamlNode,
}

/// A backend of an Ingress.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct IngressBackend {
    service: String,
    namespace: String,
    port: u16,
}

/// What paths of a host have in common that are one service.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct IngressRoute {
    backend: IngressBackend,
    /// The number of the canary among those of the file, and its backend.
    canary: Option<(usize, IngressBackend)>,
}

/// Reads a text.
pub(super) fn import(text: &str) -> Result<ConfigDraft, Problem> {
    let documents = parse(text)?;
    let all = documents.iter().flat_map(|document| match document.text(&["kind"]) {
        Some(kind) if kind.ends_with("List") => document.list(&["items"]).iter().collect(),
        _ => vec![document],
    });
    let (ingresses, others): (Vec<_>, Vec<_>) = all.partition(|node| node.text(&["kind"]) == Some("Ingress"));
    let mut draft = ConfigDraft::default();
    for other in others {
        if let Some(kind) = other.text(&["kind"]) {
            draft.leave_out(other.line, kind, "only Ingresses are read");
        }
    }
    let ingresses = ingresses.into_iter().map(|node| Ingress { node });
    let (canaries, mains): (Vec<_>, Vec<_>) =
        ingresses.partition(|ingress| ingress.annotation("canary") == Some("true"));
    draft.listener("0.0.0.0:80");
    for ingress in canaries.iter().chain(&mains) {
        ingress.leave_out(&mut draft);
    }
    for ingress in &mains {
        ingress.services(&canaries, &mut draft);
    }
    let wanted = "an Ingress with a host or a path, that is no canary";
    draft.whole(wanted)
}

impl Ingress<'_> {
    fn annotation(&self, name: &str) -> Option<&str> {
        self.node.at(&["metadata", "annotations"])?.text(&[format!("{PREFIX}{name}").as_str()])
    }

    fn name(&self) -> &str {
        self.node.text(&["metadata", "name"]).unwrap_or("app")
    }

    /// Says what of it has no counterpart.
    fn leave_out(&self, draft: &mut ConfigDraft) {
        let annotations = self.node.at(&["metadata", "annotations"]).into_iter().flat_map(YamlNode::entries);
        for (key, value) in annotations {
            let Some(name) = key.strip_prefix(PREFIX).filter(|name| !KNOWN.contains(name)) else { continue };
            let reason = REASONS.iter().find(|(known, _)| name.starts_with(known));
            let shown = format!("{name}: {}", value.as_text().unwrap_or_default());
            draft.leave_out(value.line, &shown, reason.map_or("no counterpart", |(_, why)| why));
        }
        if let Some(tls) = self.node.at(&["spec", "tls"]) {
            let why = "take the certificate of the secret out into files, and name them in [listeners.X.tls]";
            draft.leave_out(tls.line, "tls", why);
        }
        if let Some(default) = self.node.at(&["spec", "defaultBackend"]) {
            draft.leave_out(default.line, "defaultBackend", "write a service without hosts");
        }
    }

    fn namespace(&self) -> &str {
        self.node.text(&["metadata", "namespace"]).unwrap_or("default")
    }

    /// The backend of a path.
    fn backend(&self, path: &YamlNode, draft: &mut ConfigDraft) -> Option<IngressBackend> {
        let service = path.at(&["backend", "service"])?;
        let port = service.number(&["port", "number"]).and_then(|port| u16::try_from(port).ok());
        if port.is_none() {
            let named = service.text(&["port", "name"]).unwrap_or_default();
            draft.leave_out(service.line, &format!("port {named:?}"), "a port is a number: 80 was taken");
        }
        let name = service.text(&["name"])?.to_owned();
        Some(IngressBackend { service: name, namespace: self.namespace().to_owned(), port: port.unwrap_or(80) })
    }

    /// The backend of this host and path in a canary, if it has one.
    fn canary_backend(&self, host: Option<&str>, path: &str, draft: &mut ConfigDraft) -> Option<IngressBackend> {
        let rules = self.node.list(&["spec", "rules"]).iter().filter(|rule| rule.text(&["host"]) == host);
        let mut paths = rules.flat_map(|rule| rule.list(&["http", "paths"]));
        let found = paths.find(|candidate| candidate.text(&["path"]).unwrap_or("/") == path)?;
        self.backend(found, draft)
    }

    /// Adds its services: paths and hosts that lead to the same backends are one.
    fn services(&self, canaries: &[Ingress<'_>], draft: &mut ConfigDraft) {
        let mut by_host: Vec<(String, BTreeMap<IngressRoute, Vec<String>>)> = Vec::new();
        for rule in self.node.list(&["spec", "rules"]) {
            let host = rule.text(&["host"]);
            let mut routes = BTreeMap::<_, Vec<_>>::new();
            for path in rule.list(&["http", "paths"]) {
                let written = path.text(&["path"]).unwrap_or("/");
                let Some(prefix) = self.prefix(path, written, draft) else { continue };
                let Some(backend) = self.backend(path, draft) else { continue };
                let canary = canaries
                    .iter()
                    .enumerate()
                    .find_map(|(number, canary)| Some((number, canary.canary_backend(host, written, draft)?)));
                routes.entry(IngressRoute { backend, canary }).or_default().push(prefix);
            }
            by_host.push((host.unwrap_or_default().to_owned(), routes));
        }
        while let Some((_, routes)) = by_host.first() {
            let routes = routes.clone();
            let is_same = |other: &&(String, BTreeMap<IngressRoute, Vec<String>>)| other.1 == routes;
            let hosts: Vec<String> = by_host.iter().filter(is_same).map(|(host, _)| host.clone()).collect();
            by_host.retain(|(_, other)| *other != routes);
            for (route, paths) in routes {
                let hosts = if hosts.iter().any(String::is_empty) { Vec::new() } else { hosts.clone() };
                let canary =
                    route.canary.as_ref().and_then(|(number, backend)| Some((canaries.get(*number)?, backend)));
                draft.add(self.service(
                    &route.backend,
                    canary,
                    ServiceDraft { hosts, paths, ..ServiceDraft::default() },
                ));
            }
        }
    }

    /// The prefix that a path is.
    fn prefix(&self, path: &YamlNode, written: &str, draft: &mut ConfigDraft) -> Option<String> {
        let is_regex = self.annotation("use-regex") == Some("true") || written.contains(['(', '*', '$', '[']);
        if is_regex {
            let why = "paths of services are prefixes: use a rule with a regex";
            draft.leave_out(path.line, &format!("path {written}"), why);
            return None;
        }
        if path.text(&["pathType"]) == Some("Exact") {
            let why = "a path is a prefix, so all below it is meant too";
            draft.leave_out(path.line, &format!("path {written}, Exact"), why);
        }
        let trimmed = written.trim_end_matches('/');
        Some(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() })
    }

    fn service(
        &self,
        backend: &IngressBackend,
        canary: Option<(&Ingress<'_>, &IngressBackend)>,
        route: ServiceDraft,
    ) -> ServiceDraft {
        let total = canary.and_then(|(canary, _)| canary.number("canary-weight-total")).filter(|total| *total > 0);
        let total = total.unwrap_or(100);
        let weight = canary.and_then(|(canary, _)| canary.number("canary-weight")).unwrap_or(0).min(total);
        let mut versions = vec![self.version(backend, total - weight)];
        let mut rules = Vec::new();
        if let Some((canary, backend)) = canary {
            versions.push(canary.version(backend, weight));
            // Versions have names of their own also where services of two namespaces have not.
            if versions[1].name == versions[0].name {
                versions[1].name.push_str("-canary");
            }
            rules = canary.rules(&versions[0].name, &versions[1].name);
        }
        let is_sticky = self.annotation("affinity") == Some("cookie");
        ServiceDraft {
            name: self.name().to_owned(),
            line: self.node.line,
            sticky: is_sticky.then(|| "cookie".to_owned()).into_iter().collect(),
            settings: self.settings(),
            rules,
            versions,
            ..route
        }
    }

    fn number(&self, annotation: &str) -> Option<u64> {
        self.annotation(annotation)?.parse().ok()
    }

    fn version(&self, backend: &IngressBackend, weight: u64) -> VersionDraft {
        let IngressBackend { service, namespace, port } = backend;
        let mut version = VersionDraft {
            name: service.clone(),
            weight,
            endpoints: vec![format!("{service}.{namespace}.svc.cluster.local:{port}")],
            ..VersionDraft::default()
        };
        match self.annotation("backend-protocol").unwrap_or_default().to_ascii_uppercase().as_str() {
            "GRPC" => drop(version.settings.insert("protocol", quoted("h2"))),
            "GRPCS" => {
                version.settings.insert("protocol", quoted("h2"));
                version.settings.insert("tls", table("ca", &quoted("system")));
            }
            "HTTPS" => drop(version.settings.insert("tls", table("ca", &quoted("system")))),
            _ => {}
        }
        version
    }

    /// Who gets a canary, in the order in which ingress-nginx asks.
    fn rules(&self, stable: &str, canary: &str) -> Vec<RuleDraft> {
        let mut rules = Vec::new();
        if let Some(header) = self.annotation("canary-by-header") {
            let value = self.annotation("canary-by-header-value");
            let pattern = self.annotation("canary-by-header-pattern");
            let mut on = |pattern: &str, version: &str| {
                rules.push(RuleDraft::on("header", table(header, pattern), version));
            };
            match (value, pattern) {
                (Some(value), _) => on(&quoted(value), canary),
                (None, Some(regex)) => on(&table("regex", &quoted(regex)), canary),
                (None, None) => {
                    on(&quoted("always"), canary);
                    on(&quoted("never"), stable);
                }
            }
        }
        if let Some(cookie) = self.annotation("canary-by-cookie") {
            rules.push(RuleDraft::on("cookie", table(cookie, &quoted("always")), canary));
            rules.push(RuleDraft::on("cookie", table(cookie, &quoted("never")), stable));
        }
        rules
    }

    fn settings(&self) -> BTreeMap<&'static str, String> {
        let seconds = |name: &str| {
            duration(self.annotation(name)?.trim_end_matches('s').parse::<u64>().ok()?.saturating_mul(1000))
        };
        let read = seconds("proxy-read-timeout");
        [
            ("connect_timeout", seconds("proxy-connect-timeout")),
            ("response_timeout", read.clone()),
            ("body_idle_timeout", read),
            ("body_bytes_max", self.annotation("proxy-body-size").and_then(size)),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
    }
}
