//! What was understood of another proxy's config, and how it is written as one of ours.
//!
//! The draft sees to what a config must not have: names that are none of ours, two services for one host and path,
//! weights that do not sum to 100.

use std::collections::{BTreeMap, BTreeSet};

use toml_edit::{Key, Value};

use super::misfit;
use crate::config::RESERVED_NAMES;
use crate::problem::Problem;

/// All of a split, in thousandths of a per cent.
const WHOLE: u64 = 100_000;

/// Longest line of a comment.
const COMMENT_WIDTH: usize = 118;

/// What a config is to say.
#[derive(Debug, Default)]
pub(super) struct ConfigDraft {
    pub(super) listeners: Vec<ListenerDraft>,
    services: Vec<ServiceDraft>,
    left_out: Vec<LeftOut>,
}

/// Where users come in.
#[derive(Clone, Debug, Default)]
pub(super) struct ListenerDraft {
    pub(super) address: String,
    /// Certificates and their keys.
    pub(super) pairs: Vec<PairDraft>,
    /// Whether it sends everybody to https.
    pub(super) redirects: bool,
    /// Whether it passes requests on.
    pub(super) serves: bool,
}

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PairDraft {
    pub(super) cert: String,
    pub(super) key: String,
}

/// What users address.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceDraft {
    pub(super) name: String,
    pub(super) line: usize,
    /// None is any.
    pub(super) hosts: Vec<String>,
    pub(super) paths: Vec<String>,
    pub(super) sticky: Vec<String>,
    /// Further keys and their values, in TOML.
    pub(super) settings: BTreeMap<&'static str, String>,
    pub(super) rules: Vec<RuleDraft>,
    pub(super) versions: Vec<VersionDraft>,
}

/// A version of a service.
#[derive(Clone, Debug, Default)]
pub(super) struct VersionDraft {
    pub(super) name: String,
    /// Its weight, beside those of the others.
    pub(super) weight: u64,
    pub(super) endpoints: Vec<String>,
    /// Further keys and their values, in TOML.
    pub(super) settings: BTreeMap<&'static str, String>,
}

/// A rule of a service.
#[derive(Clone, Debug)]
pub(super) struct RuleDraft {
    /// What a request must have, by the part of it, such as `header`, in TOML.
    pub(super) when: BTreeMap<&'static str, String>,
    /// The name of a version.
    pub(super) version: String,
}

/// A server among others, with its weight.
#[derive(Clone, Debug)]
pub(super) struct WeightedServer {
    /// What it is called, or its address.
    pub(super) name: String,
    pub(super) address: String,
    pub(super) weight: u64,
}

/// Versions of servers that have the same weight: balanced evenly within a version, each server gets what it got.
pub(super) fn by_weight(servers: &[WeightedServer]) -> Vec<VersionDraft> {
    let mut weights: Vec<u64> = servers.iter().map(|server| server.weight).collect();
    weights.sort_unstable_by(|a, b| b.cmp(a));
    weights.dedup();
    let version = |(number, weight): (usize, u64)| {
        let same: Vec<&WeightedServer> = servers.iter().filter(|server| server.weight == weight).collect();
        let name = match same.as_slice() {
            [one] if one.name != one.address => one.name.clone(),
            _ => format!("v{}", number + 1),
        };
        let endpoints = same.iter().map(|server| server.address.clone()).collect();
        VersionDraft { name, weight: weight * same.len() as u64, endpoints, ..VersionDraft::default() }
    };
    weights.into_iter().enumerate().map(version).collect()
}

/// What has no counterpart.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct LeftOut {
    line: usize,
    text: String,
}

/// A text in TOML.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A list of texts in TOML.
pub(super) fn quoted_list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
}

/// A table with one key in TOML.
pub(super) fn table(key: &str, value: &str) -> String {
    format!("{{ {} = {value} }}", Key::new(key))
}

/// A text as a name of ours.
pub(super) fn as_name(text: &str) -> String {
    let good = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String = text.chars().map(good).take(60).collect();
    let name = name.trim_matches(['-', '.', '_']).to_owned();
    match name.as_str() {
        "" => "app".to_owned(),
        reserved if RESERVED_NAMES.contains(&reserved) => format!("{reserved}-1"),
        _ => name,
    }
}

/// A name that none of `taken` has.
fn free(name: &str, taken: &BTreeSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or_default()
}

/// Parts of a whole, in thousandths of a per cent, that sum to it: what is lost by rounding goes to those that lose
/// most.
fn shares(weights: &[u64]) -> Vec<u64> {
    let sum = weights.iter().sum::<u64>();
    if sum == 0 {
        return (0..).zip(weights).map(|(index, _)| if index == 0 { WHOLE } else { 0 }).collect();
    }
    let mut shares: Vec<u64> = weights.iter().map(|weight| weight * WHOLE / sum).collect();
    let mut by_loss: Vec<usize> = (0..weights.len()).collect();
    by_loss.sort_by_key(|index| std::cmp::Reverse(weights[*index] * WHOLE % sum));
    let lost = WHOLE - shares.iter().sum::<u64>();
    for index in by_loss.into_iter().take(usize::try_from(lost).unwrap_or(0)) {
        shares[index] += 1;
    }
    shares
}

/// `95`, `0.5`
fn per_cent(share: u64) -> String {
    let text = format!("{}.{:03}", share / 1000, share % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl RuleDraft {
    /// A rule on one thing.
    pub(super) fn on(part: &'static str, wanted: String, version: &str) -> Self {
        Self { when: BTreeMap::from([(part, wanted)]), version: version.to_owned() }
    }
}

impl ConfigDraft {
    /// Says that something has no counterpart.
    pub(super) fn leave_out(&mut self, line: usize, what: &str, why: &str) {
        self.left_out.push(LeftOut { line, text: format!("{what}: {why}") });
    }

    /// Has a listener at `address`, and changes it.
    pub(super) fn listener(&mut self, address: &str) -> &mut ListenerDraft {
        let index = self.listeners.iter().position(|known| known.address == address).unwrap_or_else(|| {
            self.listeners.push(ListenerDraft { address: address.to_owned(), ..ListenerDraft::default() });
            self.listeners.len() - 1
        });
        &mut self.listeners[index]
    }

    /// Adds a service, unless another one has its hosts and paths.
    pub(super) fn add(&mut self, mut service: ServiceDraft) {
        if service.versions.iter().all(|version| version.endpoints.is_empty()) {
            let why = "no server of it has an address that can be taken over";
            self.leave_out(service.line, &service.name, why);
            return;
        }
        let same = |known: &ServiceDraft| {
            let hosts = known.hosts.iter().any(|host| service.hosts.contains(host))
                || (known.hosts.is_empty() && service.hosts.is_empty());
            hosts && known.paths.iter().any(|path| service.paths.contains(path))
        };
        if let Some(known) = self.services.iter().find(|known| same(known)) {
            let why = format!("service {} answers its hosts and paths already", known.name);
            self.leave_out(service.line, &service.name, &why);
            return;
        }
        let taken = self.services.iter().map(|service| service.name.clone()).collect();
        service.name = free(&as_name(&service.name), &taken);
        let mut names = BTreeSet::new();
        let empty = service.versions.iter().filter(|version| version.endpoints.is_empty());
        let empty: Vec<String> = empty.map(|version| version.name.clone()).collect();
        for name in &empty {
            self.leave_out(service.line, name, "a version without an address that can be taken over");
        }
        service.versions.retain(|version| !version.endpoints.is_empty());
        service.rules.retain(|rule| !empty.contains(&rule.version));
        for version in &mut service.versions {
            let name = free(&as_name(&version.name), &names);
            for rule in service.rules.iter_mut().filter(|rule| rule.version == version.name) {
                rule.version.clone_from(&name);
            }
            version.name.clone_from(&name);
            names.insert(name);
        }
        self.services.push(service);
    }

    /// Whether a service answers all requests for this host.
    pub(super) fn answers(&self, host: &str) -> bool {
        self.services.iter().any(|service| service.paths == ["/"] && service.hosts.iter().any(|known| known == host))
    }

    /// The draft, if there is something in it.
    pub(super) fn whole(mut self, wanted: &str) -> Result<Self, Problem> {
        if self.services.is_empty() {
            let why: Vec<String> =
                self.left_out.iter().map(|left| format!("line {}: {}", left.line, left.text)).collect();
            let found = match why.is_empty() {
                true => "nothing of it".to_owned(),
                false => format!("nothing that can be taken over ({})", why.join("; ")),
            };
            return Err(misfit(1, found, wanted, "give the file that has them"));
        }
        if self.listeners.is_empty() {
            self.listener("0.0.0.0:8080");
        }
        let mixed: Vec<String> = self
            .listeners
            .iter()
            .filter(|listener| listener.redirects && listener.serves)
            .map(|listener| listener.address.clone())
            .collect();
        for address in mixed {
            self.listener(&address).redirects = false;
            self.leave_out(
                1,
                &format!("redirects to https on {address}"),
                "a listener sends all hosts to https, or none",
            );
        }
        Ok(self)
    }

    /// The config.
    pub(super) fn text(&self, from: &str) -> String {
        let mut text =
            format!("# From {from}, by `pointsman import {from}`. Read it, and then: pointsman check --config FILE\n");
        let mut left_out = self.left_out.clone();
        left_out.sort();
        left_out.dedup();
        if !left_out.is_empty() {
            text.push_str("#\n# What has no counterpart here, by its line there:\n");
        }
        for LeftOut { line, text: what } in &left_out {
            text.push_str(&comment(&format!("{line}: {what}")));
        }
        for (index, listener) in self.listeners.iter().enumerate() {
            let name = match index {
                0 => "public".to_owned(),
                _ => format!("public-{}", index + 1),
            };
            text.push_str(&listener.text(&name));
        }
        self.services.iter().for_each(|service| text.push_str(&service.text()));
        text
    }
}

/// A line of a comment, or more of them if it is long.
fn comment(text: &str) -> String {
    let mut lines = vec![String::from("#   ")];
    for word in text.split_whitespace() {
        let word: String = word.chars().filter(|c| !c.is_control()).collect();
        let last = lines.last_mut().filter(|last| last.chars().count() + word.chars().count() < COMMENT_WIDTH);
        match last {
            Some(last) if last.ends_with(' ') => last.push_str(&word),
            Some(last) => last.push_str(&format!(" {word}")),
            None => lines.push(format!("#     {word}")),
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

impl ListenerDraft {
    fn text(&self, name: &str) -> String {
        let mut text = format!("\n[listeners.{name}]\naddress = {}\n", quoted(&self.address));
        if self.redirects {
            text.push_str("redirect_https = true\n");
        }
        let Some((first, others)) = self.pairs.split_first() else { return text };
        let pair = |pair: &PairDraft| format!("cert = {}, key = {}", quoted(&pair.cert), quoted(&pair.key));
        text.push_str(&format!("\n[listeners.{name}.tls]\n{}\n", pair(first).replace(", key", "\nkey")));
        if !others.is_empty() {
            let others: String = others.iter().map(|other| format!("    {{ {} }},\n", pair(other))).collect();
            text.push_str(&format!("certificates = [\n{others}]\n"));
        }
        text
    }
}

impl ServiceDraft {
    fn text(&self) -> String {
        let name = Key::new(&self.name);
        let mut text = format!("\n[services.{name}]\n");
        if !self.hosts.is_empty() {
            text.push_str(&format!("hosts = {}\n", quoted_list(&self.hosts)));
        }
        if !self.paths.is_empty() && self.paths != ["/"] {
            text.push_str(&format!("paths = {}\n", quoted_list(&self.paths)));
        }
        if !self.sticky.is_empty() {
            text.push_str(&format!("sticky = {}\n", quoted_list(&self.sticky)));
        }
        self.settings.iter().for_each(|(key, value)| text.push_str(&format!("{key} = {value}\n")));
        if self.versions.len() > 1 {
            let weights: Vec<u64> = self.versions.iter().map(|version| version.weight).collect();
            let split = self.versions.iter().zip(shares(&weights));
            let split = split.map(|(version, share)| format!("{} = {}", Key::new(&version.name), per_cent(share)));
            text.push_str(&format!("split = {{ {} }}\n", split.collect::<Vec<_>>().join(", ")));
        }
        for version in &self.versions {
            text.push_str(&format!("\n[services.{name}.versions.{}]\n", Key::new(&version.name)));
            text.push_str(&format!("endpoints = {}\n", quoted_list(&version.endpoints)));
            version.settings.iter().for_each(|(key, value)| text.push_str(&format!("{key} = {value}\n")));
        }
        for rule in &self.rules {
            let when: Vec<String> = rule.when.iter().map(|(part, wanted)| format!("{part} = {wanted}")).collect();
            let (when, version) = (when.join(", "), quoted(&rule.version));
            text.push_str(&format!("\n[[services.{name}.rules]]\nwhen = {{ {when} }}\nuse = {version}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares_keep_what_weights_say() {
        assert_eq!(shares(&[1, 1, 1]), [33_334, 33_333, 33_333]);
        assert_eq!(shares(&[90, 10]), [90_000, 10_000]);
        assert_eq!(shares(&[0, 0]), [100_000, 0]);
        assert_eq!([95_000, 500, 33_334, 0].map(per_cent), ["95", "0.5", "33.334", "0"]);
    }

    proptest! {
        #[test]
        fn shares_sum_to_the_whole(weights in prop::collection::vec(0_u64..1000, 1..9)) {
            let found = shares(&weights);
            prop_assert_eq!(found.iter().sum::<u64>(), WHOLE);
            let sum = weights.iter().sum::<u64>();
            for (share, weight) in found.iter().zip(&weights).filter(|_| sum > 0) {
                prop_assert!(share.abs_diff(weight * WHOLE / sum) <= 1);
            }
        }
    }

    #[test]
    fn names_are_ours_and_comments_are_comments() {
        assert_eq!(
            ["a b/c", "--", "hold", "föö"].map(as_name),
            ["a-b-c", "app", "hold-1", "f--"].map(|name| name.trim_end_matches('-').to_owned())
        );
        let long = comment(&"word\u{7} ".repeat(60));
        assert!(
            long.lines().count() > 2 && long.lines().all(|line| line.starts_with('#') && line.len() <= 120),
            "{long}"
        );
    }
}
