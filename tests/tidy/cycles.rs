//! The direction of imports inside a module: files that need each other in a ring cannot be understood one by one.
//!
//! A file and the folder below it may know each other (the page of a folder names its parts, and the parts use what the
//! page defines). A name that a folder's page only passes on is an import of the file that defines it.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, at_most, made, sources, words};

/// Rings that stay, by one of their files, and why.
const ALLOWED: [(&str, &str); 0] = [];

/// A module's path without the crate: `["table", "slots"]`.
type ModulePath = Vec<String>;

fn module_path(path: &str) -> ModulePath {
    let mut parts: ModulePath =
        path.trim_start_matches("src/").trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod" || last == "lib") {
        parts.pop();
    }
    parts
}

/// The leaves of what follows `crate::` or the like: `{a::B, c::{D, E}}` has three.
fn leaves(rest: &str) -> Vec<ModulePath> {
    fn walk(rest: &str, before: &ModulePath, found: &mut Vec<ModulePath>) -> usize {
        let mut path = before.clone();
        let mut at = 0;
        loop {
            let text = &rest[at..];
            if text.starts_with('{') {
                at += 1;
                while !rest[at..].starts_with('}') && at < rest.len() {
                    let skip = rest[at..].len() - rest[at..].trim_start_matches([' ', '\n', ',']).len();
                    at += skip;
                    if rest[at..].starts_with('}') || at >= rest.len() {
                        break;
                    }
                    at += walk(&rest[at..], &path, found).max(1);
                }
                return (at + 1).min(rest.len());
            }
            let len = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
            path.push(text[..len].to_owned());
            at += len;
            if rest[at..].starts_with("::") {
                at += 2;
            } else {
                path.retain(|name| name != "self" && !name.is_empty());
                found.push(path);
                return at + rest[at..].find([',', '}', ';', '\n']).unwrap_or(rest.len() - at);
            }
        }
    }
    let mut found = Vec::new();
    walk(rest, &Vec::new(), &mut found);
    found
}

/// What a source names by `crate::`, `super::` and `self::`, from the crate's root.
fn named(source: &Source, here: &ModulePath) -> Vec<ModulePath> {
    let mut found = Vec::new();
    for root in ["crate::", "super::", "self::"] {
        for at in words(&source.bare, root) {
            if source.bare[..at].ends_with("::") {
                continue;
            }
            let (mut base, mut rest) = (Vec::new(), &source.bare[at..]);
            if root != "crate::" {
                base.clone_from(here);
            }
            loop {
                if let Some(next) = rest.strip_prefix("super::") {
                    base.pop();
                    rest = next;
                } else if let Some(next) = rest.strip_prefix("self::").or_else(|| rest.strip_prefix("crate::")) {
                    rest = next;
                } else {
                    break;
                }
            }
            found.extend(leaves(rest).into_iter().map(|leaf| base.iter().cloned().chain(leaf).collect()));
        }
    }
    found
}

/// The imports between the files of the crate, by their modules' paths.
struct Graph {
    files: BTreeMap<ModulePath, String>,
    edges: BTreeMap<ModulePath, BTreeSet<ModulePath>>,
}

impl Graph {
    fn new(sources: &[Source]) -> Self {
        let ours = |source: &&Source| source.path.starts_with("src/") && !source.test && source.path != "src/main.rs";
        let files: BTreeMap<_, _> =
            sources.iter().filter(ours).map(|source| (module_path(&source.path), source.path.clone())).collect();
        // What each module's page passes on: the last name of `pub use a::B` leads to `a`.
        let mut passed = BTreeMap::<ModulePath, ModulePath>::new();
        for source in sources.iter().filter(ours) {
            let here = module_path(&source.path);
            for (at, _) in source.bare.match_indices("use ") {
                let line = &source.bare[source.bare[..at].rfind('\n').map_or(0, |end| end + 1)..at];
                if !line.starts_with("pub") {
                    continue;
                }
                let rest = source.bare[at + "use ".len()..].trim_start_matches("self::");
                let (rest, base) = match rest.strip_prefix("crate::") {
                    Some(rest) => (rest, Vec::new()),
                    None => (rest, here.clone()),
                };
                for leaf in leaves(rest) {
                    let full: ModulePath = base.iter().cloned().chain(leaf).collect();
                    if let Some(name) = full.last() {
                        let seen = here.iter().cloned().chain([name.clone()]).collect::<ModulePath>();
                        if seen != full {
                            passed.insert(seen, full);
                        }
                    }
                }
            }
        }
        let mut edges = BTreeMap::<ModulePath, BTreeSet<ModulePath>>::new();
        for source in sources.iter().filter(ours) {
            let here = module_path(&source.path);
            for mut path in named(source, &here) {
                for _ in 0..4 {
                    let Some(next) = (1..=path.len()).rev().find_map(|len| Some((len, passed.get(&path[..len])?)))
                    else {
                        break;
                    };
                    path = next.1.iter().cloned().chain(path[next.0..].iter().cloned()).collect();
                }
                let target =
                    (1..=path.len()).rev().map(|len| path[..len].to_vec()).find(|path| files.contains_key(path));
                if let Some(target) = target {
                    let same_module = target.first() == here.first();
                    let family = target.starts_with(&here) || here.starts_with(&target);
                    if same_module && !family {
                        edges.entry(here.clone()).or_default().insert(target);
                    }
                }
            }
        }
        Self { files, edges }
    }

    /// What can be reached from `start`.
    fn reach(&self, start: &ModulePath) -> BTreeSet<ModulePath> {
        let (mut seen, mut open) = (BTreeSet::new(), vec![start.clone()]);
        while let Some(at) = open.pop() {
            for next in self.edges.get(&at).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        seen
    }
}

/// Rings of files: each is told once, with all files in it.
pub(crate) fn cycles(sources: &[Source]) -> Vec<String> {
    let graph = Graph::new(sources);
    let reach: BTreeMap<_, _> = graph.files.keys().map(|path| (path, graph.reach(path))).collect();
    let (mut told, mut found) = (BTreeSet::new(), Vec::new());
    for (path, reached) in &reach {
        if !reached.contains(*path) || told.contains(*path) {
            continue;
        }
        let ring: Vec<_> = reached.iter().filter(|other| reach[other].contains(*path)).collect();
        told.extend(ring.iter().map(|path| (*path).clone()));
        let files: Vec<_> = ring.iter().map(|path| graph.files[*path].as_str()).collect();
        if !ALLOWED.iter().any(|(file, _)| files.contains(file)) {
            let edges: Vec<_> = ring
                .iter()
                .flat_map(|from| graph.edges.get(*from).into_iter().flatten().map(move |to| (*from, to)))
                .filter(|(_, to)| ring.contains(to))
                .map(|(from, to)| format!("{} -> {}", from.join("::"), to.join("::")))
                .collect();
            let files = files.join(", ");
            found.push(format!("{files}: found a ring of imports, want one direction ({})", edges.join("; ")));
        }
    }
    found
}

#[test]
fn files_of_a_module_import_in_one_direction() {
    let ring = made(&[
        ("src/a/mod.rs", "mod x;\nmod y;\npub(crate) use y::{Y, Z};"),
        ("src/a/x.rs", "use super::{Y, other};\npub struct X;"),
        ("src/a/y.rs", "fn f(x: crate::a::x::X) {}"),
    ]);
    let found = cycles(&ring);
    assert!(found.len() == 1 && found[0].starts_with("src/a/x.rs, src/a/y.rs: "), "{found:?}");
    let family = made(&[("src/a/mod.rs", "mod x;\nuse x::X;"), ("src/a/x.rs", "use super::Own;")]);
    assert_eq!(cycles(&family), [""; 0]);
    at_most(0, &cycles(&sources()));
}
