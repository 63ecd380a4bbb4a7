//! Backends of HAProxy as versions: their servers, checks and times.

use std::collections::BTreeMap;

use super::config_draft::{ConfigDraft, VersionDraft, WeightedServer, by_weight, quoted, table};
use super::haproxy_lines::{HaproxyLine, HaproxySection};
use super::measures::{duration, duration_ms, endpoint};

/// Lines that are about the process, or are done here too.
const SAME_HERE: [&str; 24] = [
    "acl",
    "use_backend",
    "default_backend",
    "bind",
    "server",
    "default-server",
    "mode",
    "timeout",
    "log",
    "balance",
    "maxconn",
    "option",
    "http-check",
    "cookie",
    "retries",
    "description",
    "id",
    "redirect",
    "http-request",
    "log-format",
    "errorfile",
    "stats",
    "http-reuse",
    "backlog",
];

/// All sections of a config.
pub(super) struct HaproxyPools<'c> {
    pub(super) sections: &'c [HaproxySection],
}

/// No weight is larger.
const WEIGHT_MAX: u64 = 256;

impl HaproxyPools<'_> {
    pub(super) fn backend(&self, name: &str) -> Option<&HaproxySection> {
        let is_it = |section: &&HaproxySection| matches!(&*section.kind, "backend" | "listen") && section.name == name;
        self.sections.iter().find(is_it)
    }

    /// The last line of this kind in the section, or in the defaults before it.
    pub(super) fn setting<'s>(
        &'s self,
        section: &'s HaproxySection,
        word: &'s str,
        second: &'s str,
    ) -> Option<&'s HaproxyLine> {
        let has = move |line: &&HaproxyLine| second.is_empty() || line.word(1) == second;
        let mut defaults = self.sections.iter().filter(|other| other.kind == "defaults" && other.line < section.line);
        section.all(word).rfind(has).or_else(|| defaults.next_back()?.all(word).rfind(has))
    }

    /// A version that is a whole backend.
    pub(super) fn version(
        &self,
        backend: &str,
        weight: u64,
        line: usize,
        draft: &mut ConfigDraft,
    ) -> Option<VersionDraft> {
        let Some(section) = self.backend(backend) else {
            draft.leave_out(line, backend, "there is no such backend");
            return None;
        };
        let parts = self.versions(section, draft);
        if parts.len() > 1 {
            let why = "its servers have other weights, and are balanced evenly here: it is one version of a service";
            draft.leave_out(section.line, &format!("backend {backend}"), why);
        }
        let settings = parts.first().map(|part| part.settings.clone()).unwrap_or_default();
        let endpoints = parts.into_iter().flat_map(|part| part.endpoints).collect();
        Some(VersionDraft { name: backend.to_owned(), weight, endpoints, settings })
    }

    /// The versions that the servers of a backend are.
    pub(super) fn versions(&self, section: &HaproxySection, draft: &mut ConfigDraft) -> Vec<VersionDraft> {
        if section.kind == "backend" {
            leave_out(section, draft);
        }
        let weight = self.setting(section, "default-server", "").map_or(1, |line| weight_of(line).unwrap_or(1));
        let servers: Vec<WeightedServer> =
            section.all("server").filter_map(|line| server(line, weight, draft)).collect();
        let mut versions = by_weight(&servers);
        if let [one] = versions.as_mut_slice() {
            one.name.clone_from(&section.name);
        }
        let checks = section.all("server").chain(section.all("default-server")).any(|line| line.has("check"));
        let health = checks.then(|| self.health(section)).flatten();
        let tls = section.all("server").find(|line| line.has("ssl"));
        for version in &mut versions {
            version.settings.extend(health.clone().map(|health| ("health", health)));
            if let Some(tls) = tls {
                let ca =
                    tls.after("ca-file").map_or("system", |file| if file.starts_with('@') { "system" } else { file });
                version.settings.insert("tls", table("ca", &quoted(ca)));
            }
        }
        versions
    }

    /// How its servers are checked, if it is by HTTP.
    fn health(&self, section: &HaproxySection) -> Option<String> {
        let option = self.setting(section, "option", "httpchk")?;
        let send = section.all("http-check").find(|line| line.word(1) == "send");
        let old = option.words.iter().skip(2).find(|word| word.starts_with('/')).map(String::as_str);
        let path = send.and_then(|send| send.after("uri")).or(old).unwrap_or("/");
        let lines: Vec<&HaproxyLine> = section.all("default-server").chain(section.all("server")).collect();
        let value = |word: &str| lines.iter().find_map(|line| line.after(word));
        let mut keys = vec![format!("path = {}", quoted(path))];
        keys.extend(
            value("inter").and_then(|inter| duration(duration_ms(inter, 1)?)).map(|it| format!("interval = {it}")),
        );
        keys.extend(["rise", "fall"].iter().filter_map(|key| Some(format!("{key} = {}", value(key)?))));
        Some(format!("{{ {} }}", keys.join(", ")))
    }

    pub(super) fn settings(&self, section: &HaproxySection) -> BTreeMap<&'static str, String> {
        let keys = [
            ("connect", "connect_timeout"),
            ("server", "response_timeout"),
            ("server", "body_idle_timeout"),
            ("tunnel", "tunnel_idle_timeout"),
        ];
        let time = |kind| duration(duration_ms(self.setting(section, "timeout", kind)?.word(2), 1)?);
        keys.into_iter().filter_map(|(kind, key)| Some((key, time(kind)?))).collect()
    }
}

/// Says what of a section has no counterpart.
pub(super) fn leave_out(section: &HaproxySection, draft: &mut ConfigDraft) {
    for line in &section.lines {
        let why = match line.word(0) {
            "redirect" | "http-request" if redirects(line) => continue,
            "http-request" | "http-response" if line.word(1).ends_with("-header") => "no headers of your own",
            "http-request" | "http-response" | "redirect" => "no counterpart",
            "compression" => "responses are not compressed: the origin or a CDN does it",
            "stick-table" | "stick" => "users keep their version here (sticky), and not their server",
            "balance" if !matches!(line.word(1), "roundrobin" | "leastconn" | "random" | "static-rr" | "first") => {
                "users keep their version here (sticky), and not their server"
            }
            "server-template" => "names are followed as they change: write NAME:PORT into endpoints",
            known if SAME_HERE.contains(&known) => continue,
            _ => "no counterpart",
        };
        draft.leave_out(line.line, &line.shown(), why);
    }
}

/// Whether it sends everybody to https.
pub(super) fn redirects(line: &HaproxyLine) -> bool {
    line.has("redirect") && line.after("scheme") == Some("https")
}

/// Users stay with a version, where they stayed with a server.
pub(super) fn sticky(section: &HaproxySection, draft: &mut ConfigDraft) -> Vec<String> {
    let Some(cookie) = section.all("cookie").next() else { return Vec::new() };
    draft.leave_out(cookie.line, &cookie.shown(), "users keep their version here (sticky), and not their server");
    vec!["cookie".to_owned()]
}

/// The weight that a line says. HAProxy takes up to 256.
fn weight_of(line: &HaproxyLine) -> Option<u64> {
    line.after("weight").and_then(|weight| weight.parse().ok()).map(|weight: u64| weight.min(WEIGHT_MAX))
}

/// `2001:db8::6:8080` with the brackets that the port needs: HAProxy takes what follows the last colon for it.
fn bracketed(address: &str) -> String {
    match address.rsplit_once(':') {
        Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => format!("[{host}]:{port}"),
        _ => address.to_owned(),
    }
}

/// A server of a backend, whose default weight this is.
fn server(line: &HaproxyLine, default: u64, draft: &mut ConfigDraft) -> Option<WeightedServer> {
    if line.has("disabled") {
        draft.leave_out(line.line, &line.shown(), "a server that is disabled");
        return None;
    }
    if line.has("backup") {
        let why = "no servers for when all others are down: on_unhealthy, or a version of its own";
        draft.leave_out(line.line, &line.shown(), why);
        return None;
    }
    let port = if line.has("ssl") { 443 } else { 80 };
    let Some(address) = endpoint(&bracketed(line.word(2)), port) else {
        draft.leave_out(line.line, &line.shown(), "only IP:PORT and NAME:PORT");
        return None;
    };
    let weight = weight_of(line).unwrap_or(default);
    Some(WeightedServer { name: line.word(1).to_owned(), address, weight })
}
