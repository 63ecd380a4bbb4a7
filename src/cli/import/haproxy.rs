//! HAProxy: what a frontend chooses by host and path is a service each, and what it chooses by anything else before
//! that is a rule, or a share, of the services that come after it.

use std::collections::BTreeMap;

use super::config_draft::{ConfigDraft, PairDraft, RuleDraft, ServiceDraft, VersionDraft, quoted, quoted_list, table};
use super::haproxy_lines::{HaproxyLine, HaproxySection, parse};
use super::haproxy_pools::{HaproxyPools, leave_out, redirects, sticky};
use super::haproxy_rules::{HaproxyAcls, HaproxyCondition, HaproxyTest};
use super::measures::listen_address;
use crate::problem::Problem;

/// Reads a text; `beside` reads a map that it names.
pub(super) fn import(text: &str, beside: &dyn Fn(&str) -> Option<String>) -> Result<ConfigDraft, Problem> {
    let sections = parse(text)?;
    let mut draft = ConfigDraft::default();
    let all = HaproxyConfig { pools: HaproxyPools { sections: &sections }, beside };
    for section in &sections {
        match section.kind.as_str() {
            "frontend" | "listen" => all.frontend(section, &mut draft),
            "global" | "defaults" | "backend" => {}
            _ => {
                let what = format!("{} {}", section.kind, section.name);
                draft.leave_out(section.line, &what, "no counterpart");
            }
        }
    }
    draft.whole("a frontend of mode http with a backend that has servers")
}

struct HaproxyConfig<'c> {
    pools: HaproxyPools<'c>,
    beside: &'c dyn Fn(&str) -> Option<String>,
}

/// What a frontend has chosen by so far.
#[derive(Default)]
struct HaproxyChoices {
    /// Further tests, and where those go that pass them.
    rules: Vec<(HaproxyCondition, String)>,
    /// Shares in thousandths of a per cent, of those who are still there, and where they go.
    chances: Vec<(u64, String)>,
}

impl HaproxyConfig<'_> {
    fn frontend(&self, section: &HaproxySection, draft: &mut ConfigDraft) {
        let what = format!("{} {}", section.kind, section.name);
        if self.pools.setting(section, "mode", "").is_some_and(|mode| mode.word(1) == "tcp") {
            draft.leave_out(section.line, &what, "HTTP only: no TCP");
            return;
        }
        if section.all("stats").any(|line| line.word(1) == "enable") {
            draft.leave_out(section.line, &what, "the status is `pointsman status` and the console");
            return;
        }
        leave_out(section, draft);
        bind(section, draft);
        let acls = HaproxyAcls::of(section);
        let mut choices = HaproxyChoices::default();
        for line in section.all("use_backend") {
            self.choose(line, &acls, &mut choices, draft);
        }
        let stable = match section.kind.as_str() {
            "listen" => Some(section.name.as_str()),
            _ => self.pools.setting(section, "default_backend", "").map(|line| line.word(1)),
        };
        if let Some(stable) = stable {
            self.service(ServiceDraft { line: section.line, ..ServiceDraft::default() }, stable, &choices, draft);
        }
    }

    fn choose(
        &self,
        line: &HaproxyLine,
        acls: &HaproxyAcls<'_>,
        choices: &mut HaproxyChoices,
        draft: &mut ConfigDraft,
    ) {
        let backend = line.word(1);
        let conditions = match line.word(2) {
            "" => Some(vec![Vec::new()]),
            "if" => acls.conditions(&line.words[3..]),
            _ => None,
        };
        let Some(conditions) = conditions else {
            let why = "a condition that no service and no rule can have: a negation, or a test that is not known here";
            draft.leave_out(line.line, &line.shown(), why);
            return;
        };
        if backend.starts_with("%[") {
            match conditions.as_slice() {
                [all] if all.is_empty() => self.choose_by_map(line, choices, draft),
                _ => draft.leave_out(line.line, &line.shown(), "a map under a condition"),
            }
            return;
        }
        for condition in conditions {
            let is_route = |test: &HaproxyTest| matches!(test, HaproxyTest::Hosts(_) | HaproxyTest::Paths(_));
            let is_chance = |test: &HaproxyTest| matches!(test, HaproxyTest::Chance(_));
            if condition.iter().all(is_route) {
                let mut route = ServiceDraft { line: line.line, ..ServiceDraft::default() };
                for test in condition {
                    match test {
                        HaproxyTest::Hosts(hosts) => route.hosts = hosts,
                        HaproxyTest::Paths(paths) => route.paths = paths,
                        HaproxyTest::Part(..) | HaproxyTest::Chance(_) => {}
                    }
                }
                self.service(route, backend, choices, draft);
            } else if let [HaproxyTest::Chance(share)] = condition.as_slice() {
                choices.chances.push((*share, backend.to_owned()));
            } else if condition.iter().any(is_chance) {
                draft.leave_out(line.line, &line.shown(), "a share of those only who pass another test");
            } else {
                choices.rules.push((condition, backend.to_owned()));
            }
        }
    }

    /// `use_backend %[req.hdr(host),lower,map(/etc/haproxy/hosts.map,web)]`
    fn choose_by_map(&self, line: &HaproxyLine, choices: &mut HaproxyChoices, draft: &mut ConfigDraft) {
        let unknown = |draft: &mut ConfigDraft, why: &str| draft.leave_out(line.line, &line.shown(), why);
        let inner = line.word(1).trim_start_matches("%[").trim_end_matches(']');
        let Some((fetch, map)) = inner.split_once(",map").map(|(fetch, map)| (fetch.split(',').next(), map)) else {
            return unknown(draft, "a backend that is computed, and not looked up in a map");
        };
        let Some((how, arguments)) = map.split_once('(').map(|(how, rest)| (how, rest.trim_end_matches(')'))) else {
            return unknown(draft, "a map without a file");
        };
        let (file, default) = arguments.split_once(',').unwrap_or((arguments, ""));
        let Some(content) = (self.beside)(file) else {
            return unknown(draft, "the map cannot be read: put it beside the config, by the same name");
        };
        let fetch = fetch.unwrap_or_default();
        let words = |key: &str| {
            let suffix = how.trim_start_matches('_').split('_').next().unwrap_or_default();
            let by = if suffix.is_empty() { "str" } else { suffix };
            vec!["{".to_owned(), fetch.to_owned(), "-m".to_owned(), by.to_owned(), key.to_owned(), "}".to_owned()]
        };
        let none = HaproxySection { kind: String::new(), name: String::new(), line: 0, lines: Vec::new() };
        let acls = HaproxyAcls::of(&none);
        for (number, entry) in (1..).zip(content.lines()) {
            let mut parts = entry.split('#').next().unwrap_or_default().split_whitespace();
            let (Some(key), Some(backend)) = (parts.next(), parts.next()) else { continue };
            let words = ["use_backend".to_owned(), backend.to_owned(), "if".to_owned()].into_iter().chain(words(key));
            let entry = HaproxyLine { words: words.collect(), line: line.line };
            if acls.conditions(&entry.words[3..]).is_none() {
                let what = format!("line {number} of {file}: {key}");
                draft.leave_out(line.line, &what, "a key that no service and no rule can have");
                continue;
            }
            self.choose(&entry, &acls, choices, draft);
        }
        if !default.is_empty() {
            self.service(ServiceDraft { line: line.line, ..ServiceDraft::default() }, default, choices, draft);
        }
    }

    /// The service that a backend is, for these hosts and paths, with what was chosen by before.
    fn service(&self, route: ServiceDraft, stable: &str, choices: &HaproxyChoices, draft: &mut ConfigDraft) {
        let Some(section) = self.pools.backend(stable) else {
            draft.leave_out(route.line, stable, "there is no such backend");
            return;
        };
        let still = |(tests, backend): &(HaproxyCondition, String)| rule(&still(tests, &route, draft)?, backend);
        let rules: Vec<RuleDraft> = choices.rules.iter().filter_map(still).collect();
        let mut own = self.pools.versions(section, draft);
        if own.len() > 1 {
            let why = "servers with other weights are versions of their own here, so that a share can be moved";
            draft.leave_out(section.line, &format!("{} {stable}", section.kind), why);
        }
        // All weights are in parts of the sum of the servers' own, so that none is rounded.
        let sum = own.iter().map(|version| version.weight).sum::<u64>().max(1);
        let mut left = 100_000;
        let mut versions = Vec::new();
        for (share, backend) in &choices.chances {
            let weight = left * share / 100_000;
            left -= weight;
            put(&mut versions, self.pools.version(backend, weight * sum, route.line, draft));
        }
        for rule in &rules {
            put(&mut versions, self.pools.version(&rule.version, 0, route.line, draft));
        }
        match versions.iter_mut().find(|version| version.name == stable) {
            Some(known) => known.weight += left * sum,
            None => {
                own.iter_mut().for_each(|version| version.weight *= left);
                versions.splice(0..0, own);
            }
        }
        let rules = rules.into_iter().filter(|rule| versions.iter().any(|version| version.name == rule.version));
        let service = ServiceDraft {
            name: stable.to_owned(),
            paths: if route.paths.is_empty() { vec!["/".to_owned()] } else { route.paths },
            sticky: sticky(section, draft),
            settings: self.pools.settings(section),
            rules: rules.collect(),
            versions,
            ..route
        };
        draft.add(service);
    }
}

/// Adds a version, or its weight to the one that is there.
fn put(versions: &mut Vec<VersionDraft>, version: Option<VersionDraft>) {
    let Some(version) = version else { return };
    match versions.iter_mut().find(|known| known.name == version.name) {
        Some(known) => known.weight += version.weight,
        None => versions.push(version),
    }
}

/// The tests that a service of these hosts still has to make; none if another one gets the requests that pass them.
fn still(tests: &[HaproxyTest], route: &ServiceDraft, draft: &ConfigDraft) -> Option<Vec<HaproxyTest>> {
    let mut left = Vec::new();
    for test in tests {
        if let HaproxyTest::Hosts(hosts) = test {
            let is_route = !route.hosts.is_empty() && route.hosts.iter().all(|host| hosts.contains(host));
            if is_route {
                continue;
            }
            if hosts.iter().all(|host| draft.answers(host)) {
                return None;
            }
        }
        left.push(test.clone());
    }
    (!left.is_empty()).then_some(left)
}

/// The rule that tests are.
fn rule(tests: &[HaproxyTest], backend: &str) -> Option<RuleDraft> {
    let mut when = BTreeMap::new();
    for test in tests {
        let (part, pattern) = match test {
            HaproxyTest::Part(part, pattern) => (*part, pattern.clone()),
            HaproxyTest::Hosts(hosts) => ("header", table("host", &quoted_list(hosts))),
            HaproxyTest::Paths(paths) => {
                let any: Vec<String> = paths.iter().map(|path| regex::escape(path.trim_end_matches('/'))).collect();
                ("path", table("regex", &quoted(&format!("^(?:{})(?:/|$)", any.join("|")))))
            }
            HaproxyTest::Chance(_) => return None,
        };
        let both = |known: &String| {
            format!("{}, {}", known.trim_end_matches([' ', '}']), pattern.trim_start_matches(['{', ' ']))
        };
        let together = when.get(part).map_or(pattern.clone(), both);
        when.insert(part, together);
    }
    Some(RuleDraft { when, version: backend.to_owned() })
}

/// The listeners of a frontend.
fn bind(section: &HaproxySection, draft: &mut ConfigDraft) {
    let redirect = section.lines.iter().any(redirects);
    for line in section.all("bind") {
        for address in line.word(1).split(',') {
            let Some(address) = listen_address(address) else {
                draft.leave_out(line.line, &line.shown(), "only IP:PORT");
                continue;
            };
            if line.has("accept-proxy") {
                draft.leave_out(line.line, &line.shown(), "name the balancer in [listeners.X] proxy_protocol");
            }
            let listener = draft.listener(&address);
            listener.redirects |= redirect && !line.has("ssl");
            listener.serves |= !redirect || line.has("ssl");
            let pair = line.after("crt").map(|file| PairDraft { cert: file.to_owned(), key: file.to_owned() });
            listener.pairs.extend(pair.filter(|pair| !listener.pairs.contains(pair)));
        }
    }
}
