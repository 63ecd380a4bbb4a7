//! What has one meaning in the whole crate: the name of a type, and the name of a file.

use std::collections::BTreeMap;

use super::source::{Source, at_most, made, sources};

/// Types that share a name, and why.
const SAME_TYPES: [(&str, &str); 0] = [];

/// File stems that stand in several folders, and why.
const SAME_STEMS: [(&str, &str); 3] = [
    ("error", "what can go wrong in the folder"),
    ("http1", "the connections of HTTP/1.1: to clients, and to endpoints"),
    ("http2", "the connections of HTTP/2: to clients, and to endpoints"),
];

/// Folders whose files are called by what users say: sections of the config, subcommands, resources of the admin API.
const NAMED_BY_USERS: [&str; 3] = ["src/config/", "src/cli/", "src/admin/"];

/// The types that a source defines, by their names.
pub(crate) fn types(source: &Source) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    for word in ["struct ", "enum ", "trait ", "union ", "type "] {
        for (at, _) in source.bare.match_indices(word) {
            let line = &source.bare[source.bare[..at].rfind('\n').map_or(0, |end| end + 1)..at];
            let public = line.strip_prefix("pub").map(|rest| rest.trim_start_matches("(crate)"));
            // An associated type is indented, and belongs to its trait.
            let defines = public.unwrap_or(line).trim().is_empty() && !line.starts_with("    ");
            let rest = &source.bare[at + word.len()..];
            let name = &rest[..rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())];
            if defines && name.starts_with(|c: char| c.is_ascii_uppercase()) {
                found.push((name, at));
            }
        }
    }
    found
}

/// Names of types that stand for two things.
pub(crate) fn doubled_types(sources: &[Source]) -> Vec<String> {
    let mut by_name = BTreeMap::<&str, Vec<String>>::new();
    for source in sources.iter().filter(|source| !source.test) {
        for (name, at) in types(source) {
            let line = source.bare[..at].matches('\n').count() + 1;
            by_name.entry(name).or_default().push(format!("{}:{line}", source.path));
        }
    }
    findings(&by_name, &SAME_TYPES, "type")
}

/// Stems of files that stand in several folders.
pub(crate) fn doubled_stems(sources: &[Source]) -> Vec<String> {
    let mut by_name = BTreeMap::<&str, Vec<String>>::new();
    let named_by_us =
        |path: &str| path.starts_with("src/") && !NAMED_BY_USERS.iter().any(|folder| path.starts_with(folder));
    for source in sources.iter().filter(|source| !source.test && named_by_us(&source.path)) {
        let stem = source.path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs")).unwrap_or_default();
        if stem != "mod" {
            by_name.entry(stem).or_default().push(source.path.clone());
        }
    }
    findings(&by_name, &SAME_STEMS, "file")
}

fn findings(by_name: &BTreeMap<&str, Vec<String>>, allowed: &[(&str, &str)], what: &str) -> Vec<String> {
    let excused = |name: &str| allowed.iter().any(|(known, _)| *known == name);
    let stale = allowed.iter().filter(|(name, _)| by_name.get(name).is_none_or(|places| places.len() < 2));
    let stale =
        stale.map(|(name, _)| format!("tests/tidy/names.rs:1: found {name}, want only names that are used twice"));
    let doubled = by_name.iter().filter(|(name, places)| places.len() > 1 && !excused(name));
    let doubled = doubled.map(|(name, places)| {
        format!("{}: found {what} {name} also at {}, want one name for one thing", places[0], places[1..].join(", "))
    });
    doubled.chain(stale).collect()
}

#[test]
fn a_type_name_is_defined_once() {
    let bad =
        made(&[("src/a/x.rs", "pub(crate) struct Place;"), ("src/b.rs", "enum Place {}\ntrait T { type Item; }")]);
    assert_eq!(doubled_types(&bad).len(), 1);
    at_most(0, &doubled_types(&sources()));
}

#[test]
fn a_file_stem_stands_for_one_thing() {
    let bad = made(&[("src/a/x.rs", ""), ("src/b/x.rs", ""), ("src/a/mod.rs", ""), ("src/b/mod.rs", "")]);
    let found = doubled_stems(&bad);
    assert_eq!(found.iter().filter(|found| found.starts_with("src/")).count(), 1, "{found:?}");
    at_most(0, &doubled_stems(&sources()));
}
