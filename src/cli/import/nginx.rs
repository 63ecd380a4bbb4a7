//! nginx: each `location` that passes requests on is a service.
//!
//! What a server or a location does besides is said to be left out, but for what is done here too without being asked.

use std::collections::BTreeMap;

use super::config_draft::{ConfigDraft, PairDraft, ServiceDraft};
use super::measures::{duration, duration_ms, listen_address, size};
use super::nginx_blocks::{Directive, parse};
use super::nginx_targets::PassTargets;
use crate::problem::Problem;

/// What is about the process, or is done here too.
const SAME_HERE: [&str; 41] = [
    "user",
    "worker_processes",
    "worker_rlimit_nofile",
    "pid",
    "events",
    "error_log",
    "load_module",
    "daemon",
    "upstream",
    "split_clients",
    "map",
    "server",
    "http",
    "sendfile",
    "tcp_nopush",
    "tcp_nodelay",
    "types_hash_max_size",
    "server_names_hash_bucket_size",
    "map_hash_bucket_size",
    "default_type",
    "types",
    "server_tokens",
    "log_format",
    "listen",
    "server_name",
    "http2",
    "location",
    "proxy_pass",
    "grpc_pass",
    "proxy_http_version",
    "proxy_connect_timeout",
    "proxy_read_timeout",
    "proxy_send_timeout",
    "client_max_body_size",
    "ssl_certificate",
    "ssl_certificate_key",
    "ssl_protocols",
    "ssl_ciphers",
    "ssl_session_cache",
    "ssl_session_timeout",
    "ssl_prefer_server_ciphers",
];

/// Headers that are set here too.
const HEADERS_HERE: [&str; 9] = [
    "host",
    "x-real-ip",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "forwarded",
    "upgrade",
    "connection",
    "x-forwarded-port",
];

/// Why a directive has no counterpart, by how its name begins.
const REASONS: [(&str, &str); 22] = [
    ("gzip", "responses are not compressed: the origin or a CDN does it"),
    ("brotli", "responses are not compressed: the origin or a CDN does it"),
    ("proxy_cache", "there is no cache"),
    ("expires", "no headers of your own: the origin sets them"),
    ("add_header", "no headers of your own: the origin sets them"),
    ("proxy_hide_header", "no headers of your own: the origin leaves it out"),
    ("proxy_set_header", "no headers of your own"),
    ("proxy_buffer", "bodies are streamed, with bounded memory"),
    ("proxy_request_buffering", "bodies are streamed, with bounded memory"),
    ("proxy_next_upstream", "requests that were certainly not processed are retried; more with `shield`"),
    ("proxy_ssl", "TLS to endpoints is [services.X.versions.X.tls]"),
    ("limit_req", "requests of a client are limited by [listeners.X] rate"),
    ("limit_conn", "connections of a client are limited by connections_per_address_max"),
    ("access_log", "[access_log] is one for all"),
    ("include", "files that are included are not read: give what `nginx -T` prints"),
    ("auth_", "users are not authenticated here"),
    ("allow", "addresses are not refused here: rules can look at them"),
    ("deny", "addresses are not refused here: rules can look at them"),
    ("set_real_ip_from", "proxies in front are [listeners.X] trusted_proxies"),
    ("real_ip", "proxies in front are [listeners.X] trusted_proxies"),
    ("keepalive_timeout", "idle connections of clients end by [listeners.X] idle_timeout"),
    ("stream", "HTTP only: no TCP or UDP"),
];

/// Reads a text.
pub(super) fn import(text: &str) -> Result<ConfigDraft, Problem> {
    let directives = parse(text)?;
    let mut draft = ConfigDraft::default();
    let inside = directives.iter().find(|directive| directive.name == "http").map(Directive::inner);
    let http = inside.unwrap_or(&directives);
    let targets = PassTargets::of(http);
    leave_out(&directives, &mut draft);
    if inside.is_some() {
        leave_out(http, &mut draft);
    }
    let settings = NginxSettings::default().with(http);
    for server in http.iter().filter(|directive| directive.name == "server") {
        NginxServer { directive: server, outer: http, targets: &targets, settings: settings.with(server.inner()) }
            .import(&mut draft);
    }
    draft.whole("a server with a location that has a proxy_pass")
}

/// Says what of these directives has no counterpart.
fn leave_out(directives: &[Directive], draft: &mut ConfigDraft) {
    for directive in directives.iter().filter(|directive| !SAME_HERE.contains(&directive.name.as_str())) {
        if directive.name == "proxy_set_header" && HEADERS_HERE.contains(&&*directive.first().to_ascii_lowercase()) {
            continue;
        }
        let reason = REASONS.iter().find(|(name, _)| directive.name.starts_with(name));
        let why = reason.map_or("no counterpart", |(_, why)| why);
        draft.leave_out(directive.line, &directive.shown(), why);
    }
}

/// What servers and locations inherit.
#[derive(Clone, Debug, Default)]
struct NginxSettings(BTreeMap<&'static str, String>);

impl NginxSettings {
    /// The same with what these directives say.
    fn with(&self, directives: &[Directive]) -> Self {
        let mut settings = self.clone();
        for directive in directives {
            let time = || duration_ms(directive.first(), 1000).and_then(duration);
            let keys: &[&'static str] = match directive.name.as_str() {
                "proxy_connect_timeout" => &["connect_timeout"],
                "proxy_read_timeout" => &["response_timeout", "body_idle_timeout"],
                "client_max_body_size" => &["body_bytes_max"],
                _ => continue,
            };
            let value = if keys == ["body_bytes_max"] { size(directive.first()) } else { time() };
            for key in keys {
                match &value {
                    Some(value) => settings.0.insert(key, value.clone()),
                    None => settings.0.remove(key),
                };
            }
        }
        settings
    }
}

/// A `server`.
struct NginxServer<'d> {
    directive: &'d Directive,
    /// What stands beside all servers.
    outer: &'d [Directive],
    targets: &'d PassTargets<'d>,
    settings: NginxSettings,
}

impl NginxServer<'_> {
    fn all(&self, name: &'static str) -> impl Iterator<Item = &Directive> {
        self.directive.inner().iter().filter(move |directive| directive.name == name)
    }

    fn import(&self, draft: &mut ConfigDraft) {
        leave_out(&self.without_redirect(), draft);
        self.listeners(draft);
        let (hosts, is_default) = self.hosts(draft);
        let hosts = if is_default { Vec::new() } else { hosts };
        for location in self.all("location") {
            self.location(location, &hosts, draft);
        }
    }

    /// What is in it, but for a redirect to https.
    fn without_redirect(&self) -> Vec<Directive> {
        let others = self.directive.inner().iter().filter(|directive| !is_redirect(directive));
        others.map(|directive| Directive { block: None, ..copy(directive) }).collect()
    }

    fn listeners(&self, draft: &mut ConfigDraft) {
        let (redirects, serves) = (self.redirects(), self.serves());
        let pairs = self.pairs();
        for listen in self.all("listen") {
            let Some(address) = listen_address(listen.first()) else {
                draft.leave_out(listen.line, &listen.shown(), "only IP:PORT");
                continue;
            };
            let has = |flag: &str| listen.arguments.iter().any(|argument| argument == flag);
            if has("proxy_protocol") {
                draft.leave_out(listen.line, &listen.shown(), "name the balancer in [listeners.X] proxy_protocol");
            }
            let Some(address) = beside(&address, draft) else { continue };
            let listener = draft.listener(&address);
            listener.redirects |= redirects;
            listener.serves |= serves;
            if has("ssl") {
                let new: Vec<PairDraft> = pairs.iter().filter(|pair| !listener.pairs.contains(pair)).cloned().collect();
                listener.pairs.extend(new);
                if pairs.is_empty() {
                    let why = "TLS, and no certificate of it is named here: write [listeners.X.tls] before it is used";
                    draft.leave_out(listen.line, &listen.shown(), why);
                }
            }
        }
    }

    /// Its certificates with their keys: its own, or those that stand outside of all servers.
    fn pairs(&self) -> Vec<PairDraft> {
        let named = |directives: &[Directive], name: &str| -> Vec<String> {
            let named = directives.iter().filter(|directive| directive.name == name);
            named.map(|directive| directive.first().to_owned()).collect()
        };
        let of = |directives: &[Directive]| -> Vec<PairDraft> {
            let (certs, keys) = (named(directives, "ssl_certificate"), named(directives, "ssl_certificate_key"));
            certs.into_iter().zip(keys).map(|(cert, key)| PairDraft { cert, key }).collect()
        };
        let own = of(self.directive.inner());
        if own.is_empty() { of(self.outer) } else { own }
    }

    /// Whether it passes requests on.
    fn serves(&self) -> bool {
        self.all("location").flat_map(Directive::inner).any(|inner| matches!(&*inner.name, "proxy_pass" | "grpc_pass"))
    }

    /// Whether it sends everybody to https.
    fn redirects(&self) -> bool {
        let root = self.all("location").filter(|location| location.first() == "/");
        let inside = root.flat_map(Directive::inner);
        self.directive.inner().iter().chain(inside).any(is_redirect)
    }

    /// Its hosts, and whether it takes those that no server names.
    fn hosts(&self, draft: &mut ConfigDraft) -> (Vec<String>, bool) {
        let mut is_default =
            self.all("listen").any(|listen| listen.arguments.iter().any(|argument| argument == "default_server"));
        let mut hosts = Vec::new();
        for names in self.all("server_name") {
            for name in &names.arguments {
                match name.as_str() {
                    "_" | "" => is_default = true,
                    name if name.starts_with('~') || name.ends_with(".*") => {
                        draft.leave_out(names.line, name, "hosts are exact or begin with \"*.\"");
                    }
                    name => match name.strip_prefix('.') {
                        Some(domain) => hosts.extend([domain.to_owned(), format!("*.{domain}")]),
                        None => hosts.push(name.to_owned()),
                    },
                }
            }
        }
        let is_nameless = hosts.is_empty();
        (hosts, is_default || is_nameless)
    }

    fn location(&self, location: &Directive, hosts: &[String], draft: &mut ConfigDraft) {
        let inner: Vec<Directive> =
            location.inner().iter().filter(|directive| !is_redirect(directive)).map(copy).collect();
        let passes = inner.iter().find(|directive| matches!(&*directive.name, "proxy_pass" | "grpc_pass"));
        let Some(pass) = passes else {
            if !inner.is_empty() || !location.inner().iter().any(is_redirect) {
                let why = "requests are passed on here: no files and no answers of your own";
                draft.leave_out(location.line, &location.shown(), why);
            }
            return;
        };
        let Some(path) = path(location, draft) else { return };
        leave_out(&inner, draft);
        let Some((scheme, rest)) = pass.first().split_once("://") else {
            draft.leave_out(pass.line, &pass.shown(), "want http://, https:// or grpc://");
            return;
        };
        let (authority, uri) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        if !uri.is_empty() && uri.trim_end_matches('/') != path.trim_end_matches('/') {
            draft.leave_out(pass.line, &pass.shown(), "paths are passed on as they are");
        }
        let port = if matches!(scheme, "https" | "grpcs") { 443 } else { 80 };
        let mut target = self.targets.resolve(authority, port, pass.line, draft);
        for version in &mut target.versions {
            if port == 443 {
                version.settings.insert("tls", "{ ca = \"system\" }".to_owned());
            }
            if scheme.starts_with("grpc") {
                version.settings.insert("protocol", "\"h2\"".to_owned());
            }
        }
        let settings = self.settings.with(&inner);
        let host = self.all("server_name").next().map_or("", Directive::first);
        draft.add(ServiceDraft {
            name: service_name(host, &path),
            line: location.line,
            hosts: hosts.to_vec(),
            paths: vec![path],
            sticky: target.sticky,
            settings: settings.0,
            rules: target.rules,
            versions: target.versions,
        });
    }
}

fn copy(directive: &Directive) -> Directive {
    let Directive { name, arguments, line, .. } = directive;
    Directive { name: name.clone(), arguments: arguments.clone(), block: None, line: *line }
}

/// An address that does not take the port of another listener: nginx listens on all addresses of IPv4 and of IPv6 by
/// two directives, which is one listener here.
fn beside(address: &str, draft: &mut ConfigDraft) -> Option<String> {
    let both = |port: &str| (format!("0.0.0.0:{port}"), format!("[::]:{port}"));
    let (four, six) = both(address.rsplit_once(':')?.1);
    if address == six
        && let Some(known) = draft.listeners.iter_mut().find(|known| known.address == four)
    {
        known.address.clone_from(&six);
    }
    let has_six = draft.listeners.iter().any(|known| known.address == six);
    Some(if address == four && has_six { six } else { address.to_owned() })
}

/// Whether it sends everybody to the same URL with https.
fn is_redirect(directive: &Directive) -> bool {
    let url = |url: &String| url.starts_with("https://") && url.contains("$request_uri");
    directive.name == "return" && directive.arguments.last().is_some_and(url)
}

/// The prefix that a location is.
fn path(location: &Directive, draft: &mut ConfigDraft) -> Option<String> {
    let (modifier, path) = match location.arguments.as_slice() {
        [path] => ("", path.as_str()),
        [modifier, path] => (modifier.as_str(), path.as_str()),
        _ => ("~", ""),
    };
    match modifier {
        "" | "^~" if path.starts_with('/') => {}
        "=" => draft.leave_out(location.line, &location.shown(), "a path is a prefix, so all below it is meant too"),
        _ => {
            draft.leave_out(
                location.line,
                &location.shown(),
                "paths of services are prefixes: use a rule with a regex",
            );
            return None;
        }
    }
    let trimmed = path.trim_end_matches('/');
    if !trimmed.is_empty() && trimmed.len() == path.len() && modifier != "=" {
        let why = format!("a prefix ends at a / here, so that {path}x is another path");
        draft.leave_out(location.line, &location.shown(), &why);
    }
    Some(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() })
}

/// `shop-api` of `shop.example.com` and `/api`.
fn service_name(host: &str, path: &str) -> String {
    let label = host.trim_start_matches(['*', '.']).split('.').next().filter(|label| !matches!(*label, "" | "_"));
    let label = label.filter(|label| !label.starts_with('~')).unwrap_or("app");
    let path: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    std::iter::once(label).chain(path).collect::<Vec<_>>().join("-")
}
