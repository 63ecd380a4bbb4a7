//! Where nginx passes requests on: upstreams, and the variables of `split_clients` and `map` that choose between them.

use std::collections::BTreeMap;

use super::config_draft::{ConfigDraft, RuleDraft, VersionDraft, WeightedServer, by_weight, quoted, table};
use super::measures::endpoint;
use super::nginx_blocks::Directive;

/// No weight is larger.
const WEIGHT_MAX: u64 = 65_535;

/// Variables that are chosen by variables, and so on.
const CHAIN_MAX: usize = 4;

/// What a config defines beside its servers.
#[derive(Debug, Default)]
pub(super) struct PassTargets<'d> {
    upstreams: BTreeMap<&'d str, &'d Directive>,
    /// `split_clients`, by the variable that they set.
    splits: BTreeMap<&'d str, &'d Directive>,
    /// `map`, by the variable that they set.
    maps: BTreeMap<&'d str, &'d Directive>,
}

/// What a `proxy_pass` comes to.
#[derive(Debug, Default)]
pub(super) struct PassTarget {
    pub(super) versions: Vec<VersionDraft>,
    pub(super) rules: Vec<RuleDraft>,
    pub(super) sticky: Vec<String>,
}

/// What a text leads to, such as `app_${variant}`.
#[derive(Clone, Copy)]
struct PassChoice<'c> {
    template: &'c str,
    port: u16,
    line: usize,
    /// How many variables may follow on each other.
    left: usize,
}

/// What was found so far, and what was not.
struct PassOutcome<'o> {
    target: PassTarget,
    draft: &'o mut ConfigDraft,
}

impl PassChoice<'_> {
    /// The text with a value for its variable.
    fn with(&self, variable: &str, value: &str) -> String {
        let (plain, braced) = (format!("${variable}"), format!("${{{variable}}}"));
        self.template.replace(&braced, value).replace(&plain, value)
    }
}

impl<'d> PassTargets<'d> {
    /// Those that stand in `http`.
    pub(super) fn of(directives: &'d [Directive]) -> Self {
        let mut targets = Self::default();
        for directive in directives {
            let set = directive.arguments.get(1).map_or("", |variable| variable.trim_start_matches('$'));
            match directive.name.as_str() {
                "upstream" => drop(targets.upstreams.insert(directive.first(), directive)),
                "split_clients" => drop(targets.splits.insert(set, directive)),
                "map" => drop(targets.maps.insert(set, directive)),
                _ => {}
            }
        }
        targets
    }

    /// Where `authority`, the part of a `proxy_pass` between the scheme and the path, leads.
    pub(super) fn resolve(&self, authority: &str, port: u16, line: usize, draft: &mut ConfigDraft) -> PassTarget {
        let mut outcome = PassOutcome { target: PassTarget::default(), draft };
        self.follow(PassChoice { template: authority, port, line, left: CHAIN_MAX }, 1, &mut outcome);
        if outcome.target.versions.len() == 1 {
            self.weigh(&mut outcome);
        } else {
            self.leave_weights_out(&mut outcome);
        }
        outcome.target
    }

    /// Follows a text to a version with this weight, or to the versions that its variable chooses from.
    fn follow(&self, choice: PassChoice<'_>, weight: u64, outcome: &mut PassOutcome<'_>) {
        let Some(name) = variable(choice.template) else {
            if let Some(index) = self.version(choice, outcome) {
                outcome.target.versions[index].weight += weight;
            }
            return;
        };
        match (self.splits.get(name), self.maps.get(name)) {
            (Some(split), _) if choice.left > 0 => self.follow_split(name, split, choice, outcome),
            (None, Some(map)) if choice.left > 0 => self.follow_map(name, map, choice, outcome),
            _ => {
                let why = "its value is not known before a request comes: write the endpoints by hand";
                outcome.draft.leave_out(choice.line, &format!("${name}"), why);
            }
        }
    }

    fn follow_split(&self, name: &str, split: &Directive, choice: PassChoice<'_>, outcome: &mut PassOutcome<'_>) {
        outcome.target.sticky = sticky(split.first(), split.line, outcome.draft);
        let mut left = 100_000_u64;
        for part in split.inner() {
            let weight = match part.name.strip_suffix('%').map(thousandths) {
                Some(Some(weight)) => weight.min(left),
                None if part.name == "*" => left,
                Some(None) | None => {
                    outcome.draft.leave_out(part.line, &part.shown(), "no share in per cent");
                    continue;
                }
            };
            left -= weight;
            let named = choice.with(name, part.first());
            match variable(&named) {
                None => self.follow(PassChoice { template: &named, line: part.line, ..choice }, weight, outcome),
                Some(_) => {
                    outcome.draft.leave_out(part.line, &part.shown(), "a variable within a share: name an upstream");
                }
            }
        }
        if left > 0 {
            let why = "the shares sum to less than 100, and the rest had no upstream";
            outcome.draft.leave_out(split.line, &split.shown(), why);
        }
    }

    fn follow_map(&self, name: &str, map: &Directive, choice: PassChoice<'_>, outcome: &mut PassOutcome<'_>) {
        let left = choice.left - 1;
        match map.inner().iter().find(|entry| entry.name == "default") {
            Some(default) => {
                let named = choice.with(name, default.first());
                self.follow(PassChoice { template: &named, line: default.line, left, ..choice }, 1, outcome);
            }
            None => {
                outcome.draft.leave_out(map.line, &map.shown(), "no default: what no entry matches had no upstream");
            }
        }
        for entry in map.inner().iter().filter(|entry| entry.name != "default") {
            let named = choice.with(name, entry.first());
            let Some(when) = condition(map.first(), &entry.name).filter(|_| variable(&named).is_none()) else {
                let why = "an entry that is no comparison with one header, cookie, argument, path or address";
                let what = format!("map {}: {}", map.first(), entry.shown());
                outcome.draft.leave_out(entry.line, &what, why);
                continue;
            };
            if let Some(index) =
                self.version(PassChoice { template: &named, line: entry.line, left, ..choice }, outcome)
            {
                let version = outcome.target.versions[index].name.clone();
                outcome.target.rules.push(RuleDraft { version, ..when });
            }
        }
    }

    /// The version that stands for an upstream or an address, a new one if there is none yet.
    fn version(&self, choice: PassChoice<'_>, outcome: &mut PassOutcome<'_>) -> Option<usize> {
        let named = choice.template;
        let versions = &mut outcome.target.versions;
        if let Some(index) = versions.iter().position(|version| version.name == named) {
            return Some(index);
        }
        let endpoints = match (self.upstreams.get(named), endpoint(named, choice.port)) {
            (Some(upstream), _) => servers(upstream, outcome.draft).into_iter().map(|server| server.address).collect(),
            (None, Some(endpoint)) => vec![endpoint],
            (None, None) => {
                outcome.draft.leave_out(choice.line, named, "no upstream and no address of a server");
                return None;
            }
        };
        versions.push(VersionDraft { name: named.to_owned(), endpoints, ..VersionDraft::default() });
        Some(versions.len() - 1)
    }

    /// Servers of one upstream with other weights, beside other upstreams: a version is one of those.
    fn leave_weights_out(&self, outcome: &mut PassOutcome<'_>) {
        for version in &outcome.target.versions {
            let Some(upstream) = self.upstreams.get(version.name.as_str()) else { continue };
            if by_weight(&servers(upstream, &mut ConfigDraft::default())).len() > 1 {
                let why = "servers of one version get the same part of its requests, whatever their weights";
                outcome.draft.leave_out(upstream.line, &upstream.shown(), why);
            }
        }
    }

    /// Servers of one upstream with other weights are versions of their own.
    fn weigh(&self, outcome: &mut PassOutcome<'_>) {
        let Some(upstream) = self.upstreams.get(outcome.target.versions[0].name.as_str()) else { return };
        // What has no counterpart was said when they were read first.
        let versions = by_weight(&servers(upstream, &mut ConfigDraft::default()));
        if versions.len() > 1 {
            let why = "servers with other weights are versions of their own here, so that a share can be moved";
            outcome.draft.leave_out(upstream.line, &upstream.shown(), why);
            outcome.target.versions = versions;
        }
    }
}

/// The servers of an upstream.
fn servers(upstream: &Directive, draft: &mut ConfigDraft) -> Vec<WeightedServer> {
    let mut servers = Vec::new();
    for directive in upstream.inner() {
        match directive.name.as_str() {
            "server" => {
                let has = |flag: &str| directive.arguments.iter().any(|argument| argument == flag);
                let value = |key: &str| directive.arguments.iter().find_map(|argument| argument.strip_prefix(key));
                let weight = value("weight=").and_then(|weight| weight.parse().ok()).unwrap_or(1);
                let weight: u64 = u64::min(weight, WEIGHT_MAX);
                match endpoint(directive.first(), 80) {
                    _ if has("down") => draft.leave_out(directive.line, &directive.shown(), "a server that is down"),
                    _ if has("backup") => {
                        let why = "no servers for when all others are down: on_unhealthy, or a version of its own";
                        draft.leave_out(directive.line, &directive.shown(), why);
                    }
                    Some(address) => {
                        let name = directive.first().to_owned();
                        servers.push(WeightedServer { name, address, weight });
                    }
                    None => draft.leave_out(directive.line, &directive.shown(), "only IP:PORT and NAME:PORT"),
                }
            }
            "ip_hash" | "hash" | "sticky" => {
                let why = "users keep their version here (sticky), and not their endpoint";
                draft.leave_out(directive.line, &directive.shown(), why);
            }
            "keepalive" | "keepalive_timeout" | "keepalive_requests" | "keepalive_time" | "zone" | "least_conn"
            | "random" => {}
            _ => draft.leave_out(directive.line, &directive.shown(), "no counterpart"),
        }
    }
    servers
}

/// The first variable in a text, without its `$`.
fn variable(text: &str) -> Option<&str> {
    let rest = &text[text.find('$')? + 1..];
    let rest = rest.strip_prefix('{').unwrap_or(rest);
    Some(&rest[..rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len())])
}

/// `0.5` in thousandths.
fn thousandths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = format!("{fraction:0<3}");
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(whole) && digits(&fraction) && fraction.len() == 3)
        .then(|| Some(whole.parse::<u64>().ok()?.checked_mul(1000)? + fraction.parse::<u64>().ok()?))
        .flatten()
}

/// Where a key of `split_clients` comes from.
fn sticky(key: &str, line: usize, draft: &mut ConfigDraft) -> Vec<String> {
    let mut sources = Vec::new();
    let mut rest = key;
    while let Some(name) = variable(rest) {
        let after = rest.find('$').map_or(rest.len(), |at| at + 1);
        rest = &rest[after..];
        match source(name) {
            Some(source) => sources.push(source),
            None if matches!(name, "request_id" | "msec" | "connection" | "connection_requests" | "date_gmt") => {}
            None => draft.leave_out(line, &format!("${name} in the key of split_clients"), "no source of keys"),
        }
    }
    if sources.len() > 1 {
        // All have an address, so that nothing after it would ever be asked for; and many users have one browser.
        sources.sort_by_key(|source| source == "ip");
        sources.dedup();
        sources.retain(|source| source != "header:user-agent");
        let why = format!("a key is one value here: {}", sources.join(", else "));
        draft.leave_out(line, &format!("split_clients {key:?}"), &why);
    }
    sources
}

/// A source of keys.
fn source(variable: &str) -> Option<String> {
    match variable {
        "remote_addr" | "binary_remote_addr" | "http_x_forwarded_for" | "http_x_real_ip" => Some("ip".to_owned()),
        _ => variable
            .strip_prefix("cookie_")
            .map(|name| format!("cookie:{name}"))
            .or_else(|| variable.strip_prefix("arg_").map(|name| format!("query:{name}")))
            .or_else(|| variable.strip_prefix("http_").map(|name| format!("header:{}", name.replace('_', "-")))),
    }
}

/// A rule on what a `map` looks at, without a version.
fn condition(looks_at: &str, wanted: &str) -> Option<RuleDraft> {
    let variable = looks_at.strip_prefix('$')?;
    let pattern = match (wanted.strip_prefix("~*"), wanted.strip_prefix('~')) {
        (Some(regex), _) => table("regex", &quoted(&format!("(?i){regex}"))),
        (None, Some(regex)) => table("regex", &quoted(regex)),
        // Without a value: the empty text is also what is not there, and that is the default here.
        (None, None) if wanted.is_empty() => return None,
        (None, None) => quoted(wanted),
    };
    let (part, wanted) = if let Some(name) = variable.strip_prefix("cookie_") {
        ("cookie", table(name, &pattern))
    } else if let Some(name) = variable.strip_prefix("arg_") {
        ("query", table(name, &pattern))
    } else if matches!(variable, "host" | "http_host") {
        ("header", table("host", &pattern))
    } else if let Some(name) = variable.strip_prefix("http_") {
        ("header", table(&name.replace('_', "-"), &pattern))
    } else if matches!(variable, "uri" | "request_uri") {
        ("path", pattern)
    } else if variable == "request_method" {
        ("method", quoted(wanted))
    } else if variable == "remote_addr" && !wanted.starts_with('~') {
        ("client", quoted(wanted))
    } else {
        return None;
    };
    Some(RuleDraft::on(part, wanted, ""))
}
