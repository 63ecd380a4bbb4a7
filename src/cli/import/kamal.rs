//! Kamal: its `deploy.yml`, or the state of kamal-proxy, which has the rollout that is under way.

use std::collections::BTreeMap;

use super::config_draft::{ConfigDraft, PairDraft, RuleDraft, ServiceDraft, VersionDraft, quoted, quoted_list, table};
use super::measures::{duration, endpoint};
use super::misfit;
use super::yaml::{YamlNode, parse};
use crate::problem::Problem;

/// The cookie that says who takes part in a rollout.
const COOKIE: &str = "kamal-rollout";

/// How often a check is made here, unless it is said.
const HEALTH_INTERVAL_MS: u64 = 2000;

/// Reads a text.
pub(super) fn import(text: &str) -> Result<ConfigDraft, Problem> {
    let documents = parse(text)?;
    let wanted = "deploy.yml of Kamal, or kamal-proxy.state";
    let Some(document) = documents.first() else {
        return Err(misfit(1, "nothing", wanted, "give the file"));
    };
    let mut draft = ConfigDraft::default();
    match document.items() {
        [] if document.text(&["service"]).is_some() => deploy(document, &mut draft),
        [] => return Err(misfit(document.line, "neither `service` nor a list of services", wanted, "give the file")),
        services => state(services, &mut draft),
    }
    draft.whole(wanted)
}

/// The services of kamal-proxy.
fn state(services: &[YamlNode], draft: &mut ConfigDraft) {
    let redirects = services.iter().all(|service| service.is_true(&["options", "tls_redirect"]));
    draft.listener("0.0.0.0:80").redirects = redirects;
    for service in services {
        let name = service.text(&["name"]).unwrap_or("app");
        let files = ["tls_certificate_path", "tls_private_key_path"].map(|key| service.text(&["options", key]));
        if let [Some(cert), Some(key)] = files {
            let pair = PairDraft { cert: cert.to_owned(), key: key.to_owned() };
            draft.listener("0.0.0.0:443").pairs.push(pair);
        } else if service.is_true(&["options", "tls_enabled"]) {
            draft.leave_out(service.line, name, "certificates are not ordered here: name files in [listeners.X.tls]");
        }
        if service.is_true(&["options", "strip_prefix"]) && !service.list(&["options", "path_prefixes"]).is_empty() {
            draft.leave_out(service.line, &format!("{name}: strip_prefix"), "paths are passed on as they are");
        }
        if !service.texts(&["rollout_targets"]).is_empty() {
            let why = "users without it stay with the active targets there; here they have their part of the split too";
            draft.leave_out(service.line, &format!("{name}: the cookie {COOKIE}"), why);
        }
        for (key, why) in
            [("error_page_path", "no answers of your own"), ("writer_affinity_timeout", "no servers for reading alone")]
        {
            if service.text(&["options", key]).is_some_and(|value| value != "0") {
                draft.leave_out(service.line, &format!("{name}: {key}"), why);
            }
        }
        draft.add(of_state(name, service));
    }
}

fn of_state(name: &str, service: &YamlNode) -> ServiceDraft {
    let health = service.at(&["target_options", "health_check_config"]);
    let version = |version: &str, keys: [&str; 2], weight| {
        let targets = keys.iter().flat_map(|key| service.texts(&[key]));
        VersionDraft {
            name: version.to_owned(),
            weight,
            endpoints: targets.filter_map(|target| endpoint(&target, 80)).collect(),
            settings: health.map(|health| of_health(health, 1_000_000)).into_iter().collect(),
        }
    };
    let per_cent = service.number(&["rollout_controller", "percentage"]).unwrap_or(0).min(100);
    let has_rollout = !service.texts(&["rollout_targets"]).is_empty() || service.text(&["rollout_target"]).is_some();
    let is_open = has_rollout && !service.is_true(&["rollout_controller", "disabled"]);
    let per_cent = if is_open { per_cent } else { 0 };
    let mut versions = vec![version("active", ["active_targets", "active_target"], 100 - per_cent)];
    let mut draft = ServiceDraft {
        name: name.to_owned(),
        line: service.line,
        hosts: service.texts(&["options", "hosts"]).into_iter().filter(|host| !host.is_empty()).collect(),
        paths: paths(service.texts(&["options", "path_prefixes"])),
        settings: of_times(service.number(&["target_options", "response_timeout"]).map(|ns| ns / 1_000_000)),
        ..ServiceDraft::default()
    };
    if let Some(bytes) = service.number(&["target_options", "max_request_body_size"]).filter(|bytes| *bytes > 0) {
        draft.settings.insert("body_bytes_max", format!("\"{bytes}B\""));
    }
    if has_rollout {
        versions.push(version("rollout", ["rollout_targets", "rollout_target"], per_cent));
        draft.sticky = vec![format!("cookie:{COOKIE}")];
        let allowed = service.texts(&["rollout_controller", "allowlist"]);
        if !allowed.is_empty() && is_open {
            draft.rules.push(RuleDraft::on("cookie", table(COOKIE, &quoted_list(&allowed)), "rollout"));
        }
    }
    draft.versions = versions;
    draft
}

/// A service of `deploy.yml`.
fn deploy(document: &YamlNode, draft: &mut ConfigDraft) {
    draft.listener("0.0.0.0:80");
    let name = document.text(&["service"]).unwrap_or("app");
    let proxy = document.get("proxy");
    let text = |keys: &[&str]| proxy.and_then(|proxy| proxy.text(keys));
    let texts = |keys: [&str; 2]| proxy.map(|proxy| keys.map(|key| proxy.texts(&[key])).concat()).unwrap_or_default();
    let port = text(&["app_port"]).and_then(|port| port.parse().ok()).unwrap_or(80);
    let hosts = web_hosts(document, draft);
    let health = proxy.and_then(|proxy| proxy.get("healthcheck"));
    let default = ("health", format!("{{ path = {} }}", quoted("/up")));
    let settings = BTreeMap::from([health.map_or(default, |health| of_health(health, 0))]);
    let version = VersionDraft {
        name: "v1".to_owned(),
        weight: 1,
        endpoints: hosts.iter().filter_map(|host| endpoint(host, port)).collect(),
        settings,
    };
    let seconds = text(&["response_timeout"]).and_then(|seconds| seconds.parse::<u64>().ok());
    let mut service = ServiceDraft {
        name: name.to_owned(),
        line: document.line,
        hosts: texts(["host", "hosts"]).into_iter().flat_map(|hosts| comma(&hosts)).collect(),
        paths: paths(texts(["path_prefix", "path_prefixes"])),
        settings: of_times(seconds.map(|seconds| seconds.saturating_mul(1000))),
        versions: vec![version],
        ..ServiceDraft::default()
    };
    if let Some(bytes) = text(&["buffering", "max_request_body"]).filter(|bytes| *bytes != "0") {
        service.settings.insert("body_bytes_max", format!("\"{bytes}B\""));
    }
    draft.add(service);
    let line = |key: &str| proxy.and_then(|proxy| proxy.get(key)).map_or(document.line, |node| node.line);
    if text(&["ssl"]).is_some_and(|ssl| ssl == "true")
        || proxy.is_some_and(|proxy| proxy.at(&["ssl", "certificate_pem"]).is_some())
    {
        let why = "certificates are not ordered here: name files in [listeners.X.tls]";
        draft.leave_out(line("ssl"), "proxy.ssl", why);
    }
    let why = "kamal-proxy reaches containers by their names: publish this port on each host, or write other endpoints";
    draft.leave_out(line("app_port"), &format!("the endpoints are those hosts with port {port}"), why);
    for (key, why) in [
        ("strip_path_prefix", "paths are passed on as they are"),
        ("forward_headers", "proxies in front are [listeners.X] trusted_proxies"),
        ("logging", "[access_log] is one for all"),
    ] {
        if let Some(node) = proxy.and_then(|proxy| proxy.get(key)) {
            draft.leave_out(node.line, &format!("proxy.{key}"), why);
        }
    }
}

/// The hosts of the servers that the proxy is on.
fn web_hosts(document: &YamlNode, draft: &mut ConfigDraft) -> Vec<String> {
    let Some(servers) = document.get("servers") else { return Vec::new() };
    let host = |node: &YamlNode| {
        let labelled = node.entries().next().map(|(host, _)| host);
        node.as_text().or(labelled).map(str::to_owned)
    };
    let mut hosts: Vec<String> = servers.items().iter().filter_map(host).collect();
    for (role, node) in servers.entries() {
        let has_proxy = role == "web" || node.get("proxy").is_some_and(|proxy| proxy.as_text() != Some("false"));
        if has_proxy {
            let list = if node.items().is_empty() { node.list(&["hosts"]) } else { node.items() };
            hosts.extend(list.iter().filter_map(host));
        } else {
            draft.leave_out(node.line, &format!("servers.{role}"), "a role without the proxy");
        }
    }
    hosts
}

/// How servers are checked. `ns` is how many nanoseconds a millisecond has there; with 0 the times are seconds.
fn of_health(health: &YamlNode, ns: u64) -> (&'static str, String) {
    let mut keys = vec![format!("path = {}", quoted(health.text(&["path"]).unwrap_or("/up")))];
    let ms =
        |key: &str| health.number(&[key]).map(|number| number.checked_div(ns).unwrap_or(number.saturating_mul(1000)));
    let (interval, timeout) = (ms("interval"), ms("timeout"));
    // A check has to end before the next one begins here, so that a longer wait is left to the default.
    let timeout = timeout.filter(|timeout| *timeout < interval.unwrap_or(HEALTH_INTERVAL_MS));
    for (key, ms) in [("interval", interval), ("timeout", timeout)] {
        keys.extend(ms.and_then(duration).map(|time| format!("{key} = {time}")));
    }
    ("health", format!("{{ {} }}", keys.join(", ")))
}

fn of_times(response_ms: Option<u64>) -> BTreeMap<&'static str, String> {
    response_ms.and_then(duration).map(|time| ("response_timeout", time)).into_iter().collect()
}

fn paths(prefixes: Vec<String>) -> Vec<String> {
    let mut paths: Vec<String> = prefixes.into_iter().flat_map(|prefixes| comma(&prefixes)).collect();
    for path in &mut paths {
        let trimmed = path.trim_end_matches('/');
        *path = if trimmed.starts_with('/') { trimmed.to_owned() } else { format!("/{trimmed}") };
    }
    if paths.is_empty() { vec!["/".to_owned()] } else { paths }
}

fn comma(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}
