//! Conditions of HAProxy: named and nameless ACLs, as what a service or a rule of ours looks at.

use std::collections::BTreeMap;

use super::config_draft::{quoted, quoted_list, table};
use super::haproxy_lines::{HaproxyLine, HaproxySection};

/// What a request must have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum HaproxyTest {
    /// One of these hosts.
    Hosts(Vec<String>),
    /// A path below one of these.
    Paths(Vec<String>),
    /// What a rule looks at, and the pattern in TOML.
    Part(&'static str, String),
    /// Luck: this part, in thousandths of a per cent.
    Chance(u64),
}

/// All of these.
pub(super) type HaproxyCondition = Vec<HaproxyTest>;

/// The named conditions of a section.
pub(super) struct HaproxyAcls<'s>(BTreeMap<&'s str, Vec<&'s HaproxyLine>>);

/// How a value is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HaproxyMatch {
    Exact,
    Begins,
    Ends,
    Contains,
    Regex,
    Found,
    Domain,
}

impl<'s> HaproxyAcls<'s> {
    /// Those of a section.
    pub(super) fn of(section: &'s HaproxySection) -> Self {
        let mut acls = BTreeMap::<_, Vec<_>>::new();
        for line in section.all("acl") {
            acls.entry(line.word(1)).or_default().push(line);
        }
        Self(acls)
    }

    /// The conditions one of which must hold, of the words after `if`; none if they say what no rule of ours can.
    pub(super) fn conditions(&self, words: &[String]) -> Option<Vec<HaproxyCondition>> {
        words
            .split(|word| matches!(word.as_str(), "or" | "||"))
            .map(|all| self.all_of(all))
            .collect::<Option<Vec<_>>>()
            .map(|all| all.concat())
    }

    /// Conditions for tests that must all hold, of which those with one name may be several.
    fn all_of(&self, words: &[String]) -> Option<Vec<HaproxyCondition>> {
        let mut conditions: Vec<HaproxyCondition> = vec![Vec::new()];
        let mut rest = words;
        while let Some((first, after)) = rest.split_first() {
            let alternatives: Vec<HaproxyTest> = if first == "{" {
                let end = after.iter().position(|word| word == "}")?;
                let test = test(&after[..end])?;
                rest = &after[end + 1..];
                vec![test]
            } else {
                rest = after;
                let named = self.0.get(first.as_str())?;
                joined(named.iter().map(|line| test(&line.words[2..])).collect::<Option<Vec<_>>>()?)
            };
            let each = |condition: &HaproxyCondition| {
                let with = |test: &HaproxyTest| condition.iter().cloned().chain([test.clone()]).collect();
                alternatives.iter().map(with).collect::<Vec<HaproxyCondition>>()
            };
            conditions = conditions.iter().flat_map(each).collect();
        }
        Some(conditions)
    }
}

/// Tests one of which must hold, with those of hosts and paths together.
fn joined(tests: Vec<HaproxyTest>) -> Vec<HaproxyTest> {
    let (mut hosts, mut paths, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for test in tests {
        match test {
            HaproxyTest::Hosts(more) => hosts.extend(more),
            HaproxyTest::Paths(more) => paths.extend(more),
            other @ (HaproxyTest::Part(..) | HaproxyTest::Chance(_)) => others.push(other),
        }
    }
    others.extend((!hosts.is_empty()).then_some(HaproxyTest::Hosts(hosts)));
    others.extend((!paths.is_empty()).then_some(HaproxyTest::Paths(paths)));
    others
}

/// `hdr(x-canary) -i -m str always`
fn test(words: &[String]) -> Option<HaproxyTest> {
    let (fetch, rest) = words.split_first()?;
    let fetch = fetch.split(',').next()?;
    let (name, argument) = match fetch.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')')?),
        None => (fetch, ""),
    };
    let name = name.strip_prefix("req.").unwrap_or(name);
    let mut ignores_case = false;
    let (base, suffix) = name.rsplit_once('_').unwrap_or((name, ""));
    let mut compares = compares(suffix).filter(|_| matches!(base, "hdr" | "path" | "cook" | "url"));
    let base = if compares.is_some() { base } else { name };
    let mut values = Vec::new();
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "-i" => ignores_case = true,
            "-m" => compares = Some(self::compares(rest.next()?)?),
            "-f" | "-M" | "-n" => return None,
            "--" => {}
            value => values.push(value.to_owned()),
        }
    }
    let how = compares.unwrap_or(HaproxyMatch::Exact);
    match base {
        "hdr" if argument.eq_ignore_ascii_case("host") => hosts(values, how),
        "path" | "url" => paths(values, how, ignores_case),
        "hdr" => named("header", argument, &pattern(&values, how, ignores_case)?),
        "cook" => named("cookie", argument, &pattern(&values, how, ignores_case)?),
        "url_param" | "urlp" => named("query", argument, &pattern(&values, how, ignores_case)?),
        "src" => Some(HaproxyTest::Part("client", quoted_list(&values))).filter(|_| !values.is_empty()),
        "method" => Some(HaproxyTest::Part("method", quoted_list(&values))).filter(|_| !values.is_empty()),
        "rand" => chance(argument, &values),
        _ => None,
    }
}

fn compares(word: &str) -> Option<HaproxyMatch> {
    Some(match word {
        "str" => HaproxyMatch::Exact,
        "beg" | "dir" => HaproxyMatch::Begins,
        "end" => HaproxyMatch::Ends,
        "sub" => HaproxyMatch::Contains,
        "reg" => HaproxyMatch::Regex,
        "found" => HaproxyMatch::Found,
        "dom" => HaproxyMatch::Domain,
        _ => return None,
    })
}

/// Hosts, without their ports.
fn hosts(values: Vec<String>, how: HaproxyMatch) -> Option<HaproxyTest> {
    let host = |value: String| {
        let value = value.split(':').next().unwrap_or_default().to_ascii_lowercase();
        match how {
            HaproxyMatch::Exact => Some(vec![value]),
            HaproxyMatch::Ends => value.strip_prefix('.').map(|domain| vec![format!("*.{domain}")]),
            HaproxyMatch::Domain => Some(vec![format!("*.{value}"), value]),
            HaproxyMatch::Begins | HaproxyMatch::Contains | HaproxyMatch::Regex | HaproxyMatch::Found => None,
        }
    };
    let hosts: Vec<String> = values.into_iter().map(host).collect::<Option<Vec<_>>>()?.concat();
    (!hosts.is_empty()).then_some(HaproxyTest::Hosts(hosts))
}

/// Prefixes of paths, which end at a `/` here and lead to a service; what is no prefix is a part of a rule.
fn paths(values: Vec<String>, how: HaproxyMatch, ignores_case: bool) -> Option<HaproxyTest> {
    let is_prefix = matches!(how, HaproxyMatch::Begins) && !ignores_case;
    if !is_prefix {
        return pattern(&values, how, ignores_case).map(|pattern| HaproxyTest::Part("path", pattern));
    }
    let trimmed = |value: String| match value.trim_end_matches('/') {
        "" => "/".to_owned(),
        trimmed => trimmed.to_owned(),
    };
    let paths: Vec<String> = values.into_iter().map(trimmed).collect();
    (!paths.is_empty() && paths.iter().all(|path| path.starts_with('/'))).then_some(HaproxyTest::Paths(paths))
}

fn named(part: &'static str, name: &str, pattern: &str) -> Option<HaproxyTest> {
    (!name.is_empty() && !name.contains(',')).then(|| HaproxyTest::Part(part, table(name, pattern)))
}

/// A pattern in TOML.
fn pattern(values: &[String], how: HaproxyMatch, ignores_case: bool) -> Option<String> {
    let escaped: Vec<String> = values.iter().map(|value| regex::escape(value)).collect();
    let any = format!("(?:{})", escaped.join("|"));
    let case = if ignores_case { "(?i)" } else { "" };
    match (how, values) {
        (HaproxyMatch::Found, _) => Some("{ present = true }".to_owned()),
        (_, []) => None,
        (HaproxyMatch::Exact, [one]) if !ignores_case => Some(quoted(one)),
        (HaproxyMatch::Exact, many) if !ignores_case => Some(quoted_list(many)),
        (HaproxyMatch::Begins, [one]) if !ignores_case => Some(table("prefix", &quoted(one))),
        (HaproxyMatch::Ends, [one]) if !ignores_case => Some(table("suffix", &quoted(one))),
        (HaproxyMatch::Exact, _) => Some(table("regex", &quoted(&format!("{case}^{any}$")))),
        (HaproxyMatch::Begins, _) => Some(table("regex", &quoted(&format!("{case}^{any}")))),
        (HaproxyMatch::Ends, _) => Some(table("regex", &quoted(&format!("{case}{any}$")))),
        (HaproxyMatch::Contains, _) => Some(table("regex", &quoted(&format!("{case}{any}")))),
        (HaproxyMatch::Regex, [one]) => Some(table("regex", &quoted(&format!("{case}{one}")))),
        (HaproxyMatch::Regex | HaproxyMatch::Domain, _) => None,
    }
}

/// `rand(100) lt 10` is a tenth.
fn chance(range: &str, values: &[String]) -> Option<HaproxyTest> {
    let range: u64 = if range.is_empty() { 1 << 32 } else { range.parse().ok().filter(|range| *range > 0)? };
    let [comparison, bound] = values else { return None };
    let bound: u64 = bound.parse().ok()?;
    let hits = match comparison.as_str() {
        "lt" => bound,
        "le" => bound.saturating_add(1),
        "ge" => range.checked_sub(bound)?,
        "gt" => range.checked_sub(bound.saturating_add(1))?,
        _ => return None,
    };
    Some(HaproxyTest::Chance(hits.min(range).checked_mul(100_000)? / range))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<HaproxyTest> {
        test(&text.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn tests_are_what_rules_and_services_look_at() {
        let hosts = |all: &[&str]| Some(HaproxyTest::Hosts(all.iter().map(|host| (*host).to_owned()).collect()));
        let part = |part, toml: &str| Some(HaproxyTest::Part(part, toml.to_owned()));
        for (text, wanted) in [
            ("hdr(host) -i Shop.example.com:80 b", hosts(&["shop.example.com", "b"])),
            ("req.hdr(host),lower a", hosts(&["a"])),
            ("hdr_end(host) .example.com", hosts(&["*.example.com"])),
            ("hdr_dom(host) example.com", hosts(&["*.example.com", "example.com"])),
            ("path_beg /api/ /v2", Some(HaproxyTest::Paths(vec!["/api".to_owned(), "/v2".to_owned()]))),
            ("hdr(x-canary) always", part("header", "{ x-canary = \"always\" }")),
            ("req.cook(beta) -m found", part("cookie", "{ beta = { present = true } }")),
            ("hdr_sub(user-agent) -i bot", part("header", "{ user-agent = { regex = \"(?i)(?:bot)\" } }")),
            ("src 10.0.0.0/8", part("client", "[\"10.0.0.0/8\"]")),
            ("rand(100) lt 10", Some(HaproxyTest::Chance(10_000))),
            ("rand(1000) ge 995", Some(HaproxyTest::Chance(500))),
            ("rand lt 1", Some(HaproxyTest::Chance(0))),
            ("src -f /etc/list", None),
            ("ssl_fc", None),
            ("path_end .php", part("path", "{ suffix = \".php\" }")),
            ("path /", part("path", "\"/\"")),
            ("path_reg -i \\.php$", part("path", "{ regex = '(?i)\\.php$' }")),
        ] {
            assert_eq!(found(text), wanted, "{text}");
        }
    }
}
