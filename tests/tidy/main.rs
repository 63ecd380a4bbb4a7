//! The invariants of the architecture that the compiler cannot see, checked on the sources themselves: which module may
//! import which, what the pure modules must not touch, sizes, and the things of which there is exactly one. Reading
//! text is enough for that and needs no dependency; each check is also run on a small text that breaks it.

mod cycles;
mod once;
mod plain;
mod shape;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::path::Path;

/// What each module may import. `proxy` and `upstream` meet `control` in `app` only; `cli` stands above `app`
/// and is used by `main`, never from below.
const MAY_IMPORT: [(&str, &[&str]); 24] = [
    ("problem", &[]),
    ("supervise", &[]),
    ("log", &["supervise"]),
    ("shared", &["problem"]),
    ("stats", &["shared"]),
    ("tls", &[]),
    ("message", &[]),
    ("http1", &["message"]),
    ("table", &["problem", "shared", "stats", "tls", "message"]),
    ("upstream", &["shared", "stats", "tls", "message", "http1", "table"]),
    ("proxy", &["supervise", "log", "shared", "stats", "tls", "message", "http1", "table", "upstream"]),
    ("rollout", &["problem", "shared", "stats", "table"]),
    ("config", &["problem", "shared", "stats", "tls", "table", "rollout"]),
    ("files", &["table"]),
    ("outbound", &["problem", "tls", "table", "rollout"]),
    ("control", &["problem", "supervise", "shared", "stats", "files", "table", "rollout", "config"]),
    ("endpoints", &["problem", "shared", "stats", "tls", "table", "outbound", "control"]),
    ("metrics", &["supervise", "log", "shared", "stats", "tls", "table", "rollout", "control"]),
    (
        "release",
        &[
            "problem",
            "shared",
            "stats",
            "tls",
            "table",
            "rollout",
            "config",
            "outbound",
            "control",
            "endpoints",
            "metrics",
        ],
    ),
    (
        "admin",
        &[
            "supervise",
            "problem",
            "shared",
            "stats",
            "tls",
            "message",
            "table",
            "rollout",
            "config",
            "control",
            "endpoints",
            "metrics",
            "release",
        ],
    ),
    (
        "app",
        &[
            "supervise",
            "log",
            "problem",
            "shared",
            "stats",
            "tls",
            "table",
            "rollout",
            "config",
            "files",
            "outbound",
            "control",
            "endpoints",
            "metrics",
            "release",
            "admin",
            "proxy",
            "upstream",
        ],
    ),
    ("cli", &["problem", "supervise", "log", "tls", "table", "rollout", "config", "outbound", "control", "app"]),
    (
        "testing",
        &[
            "problem",
            "admin",
            "control",
            "files",
            "http1",
            "message",
            "metrics",
            "outbound",
            "proxy",
            "release",
            "rollout",
            "shared",
            "stats",
            "supervise",
            "table",
        ],
    ),
    ("main", &["cli"]),
];

/// Modules without async, I/O, clock and randomness of their own: time and chance are arguments (`impl rand::Rng` is
/// one).
const PURE: [&str; 6] = ["problem", "shared", "stats", "table", "rollout", "config"];

/// What the pure modules must not name.
const IMPURE: [&str; 11] = [
    "async",
    "await",
    "tokio",
    "rand::random",
    "rand::rng",
    "rand::rngs",
    "std::fs",
    "TcpStream",
    "TcpListener",
    "Instant",
    "SystemTime",
];

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// More dependencies than this under one comment are not a group that the comment explains.
const DEPENDENCIES_PER_COMMENT_MAX: usize = 4;

/// Status codes that are read, not answered: they decide how an upstream's answer is framed.
const STATUS_OF_FRAMING: [&str; 4] = ["CONTINUE", "SWITCHING_PROTOCOLS", "NO_CONTENT", "NOT_MODIFIED"];

/// Texts that begin like a metric and are none: our own cookie.
const NO_METRICS: [&str; 1] = ["\"pointsman_id\""];

/// One source file.
struct Source {
    /// Its path from the root of the crate, e.g. `src/table/slots.rs`.
    path: String,
    /// Its text without comments and without the inline test module; lines keep their numbers.
    code: String,
    /// The same without what is inside string literals.
    bare: String,
    /// Whether the whole file is test code.
    test: bool,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
        let (code, bare) = (without_comments(&text[..end], true), without_comments(&text[..end], false));
        let test = !path.starts_with("src/") || path.ends_with("/tests.rs") || path.ends_with("/fixture.rs");
        Self { path: path.to_owned(), code, bare, test }
    }

    /// The module below the crate: `table` for `src/table/slots.rs`, `app` for `src/app.rs`.
    fn module(&self) -> &str {
        let below = self.path.trim_start_matches("src/");
        below.split('/').next().unwrap_or(below).trim_end_matches(".rs")
    }

    /// Where `part`, a slice of one of the texts, stands and what is wrong with it.
    fn finding(&self, text: &str, offset: usize, found: impl Display, want: &str) -> String {
        let line = text[..offset].matches('\n').count() + 1;
        format!("{}:{line}: found {found}, want {want}", self.path)
    }
}

/// Blanks comments and, unless `strings`, the insides of string literals; newlines stay.
fn without_comments(text: &str, strings: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let blank = |out: &mut String, part: &str, keep: bool| {
        out.extend(part.chars().map(|c| if keep || c == '\n' { c } else { ' ' }));
    };
    while let Some(first) = rest.chars().next() {
        let raw = rest.strip_prefix('r').map(|r| r.len() - r.trim_start_matches('#').len());
        let raw = raw.filter(|hashes| rest[1 + hashes..].starts_with('"') && !out.ends_with(is_word));
        let (len, keep) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), false)
        } else if rest.starts_with("/*") {
            (rest.find("*/").map_or(rest.len(), |end| end + 2), false)
        } else if let Some(hashes) = raw {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = hashes + 2;
            (rest[open..].find(&close).map_or(rest.len(), |end| open + end + close.len()), strings)
        } else if first == '"' {
            (1 + literal_end(&rest[1..]), strings)
        } else if let Some(len) = char_literal(rest) {
            (len, strings)
        } else {
            (first.len_utf8(), true)
        };
        blank(&mut out, &rest[..len], keep);
        rest = &rest[len..];
    }
    out
}

/// The length of a string literal's rest, its closing quote included.
fn literal_end(rest: &str) -> usize {
    let mut escaped = false;
    let end = rest.char_indices().find(|(_, c)| {
        let closes = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        closes
    });
    end.map_or(rest.len(), |(index, _)| index + 1)
}

/// The length of a character literal; lifetimes are none.
fn char_literal(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    let len = match inner.strip_prefix('\\') {
        Some(escape) => 1 + escape.char_indices().skip(1).find(|(_, c)| *c == '\'')?.0,
        None => inner.chars().next()?.len_utf8(),
    };
    inner[len..].starts_with('\'').then_some(len + 2)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` stands in `text`, not as a part of a longer word.
fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let whole = move |at: &usize| {
        let (before, after) = (&text[..*at], &text[at + word.len()..]);
        !(word.starts_with(is_word) && before.ends_with(is_word)
            || word.ends_with(is_word) && after.starts_with(is_word))
    };
    text.match_indices(word).map(|(at, _)| at).filter(whole)
}

/// The names at the head of what follows a path: one, or those of a group in braces.
fn heads(rest: &str) -> Vec<&str> {
    let name = |text: &str| text.find(|c| !is_word(c)).unwrap_or(text.len());
    let Some(group) = rest.strip_prefix('{') else {
        return vec![&rest[..name(rest)]];
    };
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (index, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                let item = group[start..index].trim();
                names.push(&item[..name(item)]);
                start = index + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

fn imports(source: &Source) -> Vec<String> {
    let (module, mut found) = (source.module(), Vec::new());
    if source.test || module == "lib" {
        return found;
    }
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{}:1: found module {module}, want its place in MAY_IMPORT", source.path)];
    };
    let inner = source.path.ends_with("/mod.rs") || source.path == "src/main.rs";
    let depth = source.path.matches('/').count() - usize::from(inner);
    let roots = ["crate::".to_owned(), "pointsman::".to_owned(), "super::".repeat(depth)];
    for root in roots.iter().filter(|root| !root.is_empty()) {
        for at in words(&source.bare, root) {
            if root.starts_with("super") && source.bare[..at].ends_with("super::") {
                continue;
            }
            for name in heads(&source.bare[at + root.len()..]) {
                let ours = MAY_IMPORT.iter().any(|(module, _)| *module == name);
                if ours && name != module && !allowed.contains(&name) {
                    let want = format!("{module} to use {allowed:?} only (the order in lib.rs)");
                    found.push(source.finding(&source.bare, at, format_args!("{root}{name}"), &want));
                }
            }
        }
    }
    found
}

fn purity(source: &Source) -> Vec<String> {
    if source.test || !PURE.contains(&source.module()) {
        return Vec::new();
    }
    let finding = |word: &str, at| source.finding(&source.bare, at, word, "time, chance and I/O as arguments in here");
    IMPURE.iter().flat_map(|word| words(&source.bare, word).map(move |at| finding(word, at))).collect()
}

fn file_length(source: &Source) -> Vec<String> {
    let lines = source.code.lines().count();
    let want = format!("at most {FILE_LINES_MAX} before the tests; split it by what it knows");
    let long = !source.test && lines > FILE_LINES_MAX;
    long.then(|| format!("{}:{lines}: found {lines} lines, want {want}", source.path)).into_iter().collect()
}

/// The functions with a body: where each begins, and how many lines it has.
fn functions(source: &Source) -> Vec<(usize, usize)> {
    let lines = |at: usize| {
        let body = &source.bare[at..];
        let open = body_start(body)?;
        let mut depth = 0;
        let close = body[open..].char_indices().find(|(_, c)| {
            depth += i32::from(*c == '{') - i32::from(*c == '}');
            depth == 0
        });
        let end = close.map_or(body.len(), |(index, _)| open + index);
        Some((at, body[..end].matches('\n').count() + 1))
    };
    words(&source.bare, "fn ").filter_map(lines).collect()
}

fn function_length(source: &Source) -> Vec<String> {
    let long = functions(source).into_iter().filter(|(_, lines)| *lines > FUNCTION_LINES_MAX);
    let finding = |(at, lines)| {
        let name = heads(&source.bare[at + "fn ".len()..])[0];
        let want = format!("at most {FUNCTION_LINES_MAX}");
        source.finding(&source.bare, at, format_args!("{lines} lines in {name}"), &want)
    };
    long.map(finding).collect()
}

/// Where a function's body opens; `None` for a signature alone. The semicolon of `[u8; 2]` ends no signature.
fn body_start(function: &str) -> Option<usize> {
    let mut brackets = 0;
    let first = function.char_indices().find(|(_, c)| {
        brackets += i32::from(matches!(c, '(' | '[')) - i32::from(matches!(c, ')' | ']'));
        brackets == 0 && matches!(c, '{' | ';')
    });
    first.filter(|(_, c)| *c == '{').map(|(index, _)| index)
}

/// Stores that publish a table: atomics say their ordering, an `ArcSwap` has none.
fn publishing_stores(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (at, call) in [".store(", ".swap(", ".rcu("].into_iter().flat_map(|call| source.bare.match_indices(call)) {
        let arguments = &source.bare[at..];
        let arguments = &arguments[..arguments.find(';').unwrap_or(arguments.len())];
        let atomic =
            ["Relaxed", "Acquire", "Release", "AcqRel", "SeqCst"].iter().any(|ordering| arguments.contains(ordering));
        if !source.test && !atomic {
            found.push(source.finding(&source.bare, at, call, "one store of a table in the whole program"));
        }
    }
    found
}

fn statuses(source: &Source) -> Vec<String> {
    let home = source.path == "src/proxy/request/local_reply.rs" || source.path.starts_with("src/admin");
    if source.test || home || ["cli", "demo"].contains(&source.module()) {
        return Vec::new();
    }
    let constants = source.bare.match_indices("StatusCode::").filter_map(|(at, path)| {
        let name = heads(&source.bare[at + path.len()..])[0];
        let constant = name.len() >= 3 && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        let built = constant && !STATUS_OF_FRAMING.contains(&name);
        built
            .then(|| source.finding(&source.bare, at, name, "our own answers in proxy/request/local_reply.rs or admin"))
    });
    constants.collect()
}

fn metric_names(source: &Source) -> Vec<String> {
    if source.test || source.path == "src/metrics/names.rs" {
        return Vec::new();
    }
    let names = source.code.match_indices("\"pointsman_").filter(|(at, _)| {
        let literal = &source.code[*at..];
        !NO_METRICS.iter().any(|name| literal.starts_with(name))
    });
    names.map(|(at, _)| source.finding(&source.code, at, "a metric name", "a constant of metrics/names.rs")).collect()
}

/// What panics when the reader of a standard stream has gone, or waits for one that does not read.
const PRINTING: [&str; 4] = ["println!", "print!", "eprintln!", "eprint!"];

fn printing(source: &Source) -> Vec<String> {
    if source.test {
        return Vec::new();
    }
    let want = "cli/text.rs to print; a log line elsewhere";
    let finding = |word: &str, at| source.finding(&source.bare, at, word, want);
    PRINTING.iter().flat_map(|word| words(&source.bare, word).map(move |at| finding(word, at))).collect()
}

/// Everywhere, tests too.
fn leftovers(source: &Source) -> Vec<String> {
    let finding = |word: &str, at| source.finding(&source.bare, at, word, "finished code and tests that run");
    let left = ["#[ignore", "todo!", "unimplemented!", "dbg!"];
    left.iter().flat_map(|word| words(&source.bare, word).map(move |at| finding(word, at))).collect()
}

/// Dependencies without a reason above them or above their group.
fn unexplained_dependencies(manifest: &str) -> Vec<String> {
    let (mut inside, mut room, mut found) = (false, 0, Vec::new());
    for (line, text) in (1..).zip(manifest.lines()) {
        match text.chars().next() {
            Some('[') => (inside, room) = (text == "[dependencies]", 0),
            Some('#') => room = DEPENDENCIES_PER_COMMENT_MAX,
            None => room = 0,
            Some(_) if inside && room == 0 => {
                let name = text.split(['=', ' ']).next().unwrap_or(text);
                let want = "a comment above it or its group that says why it is here";
                found.push(format!("Cargo.toml:{line}: found {name}, want {want}"));
            }
            Some(_) => room = room.saturating_sub(1),
        }
    }
    found
}

/// All that people read: the sources in `src`, `tests` and `benches`, the documents, and the configs that explain
/// themselves.
fn texts() -> Vec<(String, String)> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            let name = path.strip_prefix(root).expect("below the root").to_str().expect("a name in UTF-8");
            let name = name.replace('\\', "/");
            if path.is_dir() && !name.starts_with("tests/clients") && name != "tests/golden" {
                walk(root, &path, found);
            } else if path
                .extension()
                .is_some_and(|extension| ["rs", "md", "toml"].iter().any(|read| *read == extension))
            {
                found.push((name, fs::read_to_string(&path).expect("a readable file")));
            }
        }
    }
    let (root, mut found) = (Path::new(env!("CARGO_MANIFEST_DIR")), Vec::new());
    for folder in ["src", "tests", "benches", "docs", "config", "examples"] {
        walk(root, &root.join(folder), &mut found);
    }
    for name in ["README.md", "CONTRIBUTING.md", "SECURITY.md"] {
        found.push((name.to_owned(), fs::read_to_string(root.join(name)).expect("a readable file")));
    }
    found
}

/// All sources of the crate: `src`, `tests` and `benches`.
fn sources() -> Vec<Source> {
    let read = texts().into_iter().filter(|(path, _)| path.ends_with(".rs"));
    let found: Vec<_> = read.map(|(path, text)| Source::new(&path, &text)).collect();
    assert!(found.iter().any(|source| source.path == "src/lib.rs"), "the crate was found");
    found
}

/// Runs `check` over the crate, and over a text in which it must find something at the line that says `BAD`.
#[track_caller]
fn holds(check: impl Fn(&Source) -> Vec<String>, bad: &[(&str, &str)]) {
    for (path, text) in bad {
        let line = 1 + text.lines().position(|line| line.contains("BAD")).expect("a marked line");
        let found = check(&Source::new(path, &text.replace("BAD", "")));
        assert!(found.iter().any(|f| f.starts_with(&format!("{path}:{line}: "))), "blind to {text:?}: {found:?}");
    }
    let found: Vec<_> = sources().iter().flat_map(check).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn modules_import_downwards_only() {
    let bad = [
        ("src/table/x.rs", "use std::fmt;\nuse crate::config::Config; // BAD"),
        ("src/table/deep/x.rs", "BAD use super::super::super::proxy::Client;"),
        ("src/stats/mod.rs", "fn f() {}\nuse super::table::Table; // BAD"),
        ("src/proxy/x.rs", "use crate::{stats, table::{Table, x}, control}; // BAD"),
        ("src/control/x.rs", "fn f() { crate::app::run() } // BAD"),
        ("src/app.rs", "use super::cli; // BAD"),
        ("src/main.rs", "use pointsman::proxy; // BAD"),
        ("src/unknown.rs", "// BAD"),
    ];
    holds(imports, &bad);
    let good = Source::new("src/table/x.rs", "use super::stats_of;\n// crate::app\nuse crate::{stats::A, table::B};");
    assert_eq!(imports(&good), [""; 0]);
}

#[test]
fn pure_modules_stay_pure() {
    let bad = [
        ("src/table/x.rs", "/// async\npub async fn f() {} // BAD"),
        ("src/config/x.rs", "fn f() { std::fs::read(\"x\"); } // BAD"),
        ("src/rollout/x.rs", "BAD use std::time::Instant;"),
        ("src/stats/x.rs", "fn f() -> u8 { rand::random() } // BAD"),
    ];
    holds(purity, &bad);
}

#[test]
fn files_and_functions_are_short() {
    let long_file = format!("{}fn f() {{}} // BAD\n", "\n".repeat(FILE_LINES_MAX));
    holds(file_length, &[("src/table/x.rs", &long_file)]);
    let tests_after = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n", "\n".repeat(FILE_LINES_MAX));
    assert_eq!(file_length(&Source::new("src/table/x.rs", &tests_after)), [""; 0]);
    let long_function =
        format!("// fn\nfn f() -> [u8; 2] {{ // BAD\n{}}}\n", "    g(\"}\", '}');\n".repeat(FUNCTION_LINES_MAX));
    holds(function_length, &[("src/table/x.rs", &long_function)]);
}

#[test]
fn a_table_is_published_in_one_place() {
    let bad = [
        ("src/app.rs", "fn f() {\n    shared.store(Arc::new(table)); // BAD\n}"),
        ("src/app.rs", "fn f() {\n    let old = shared.swap(Arc::new(table)); // BAD\n}"),
        ("src/app.rs", "BAD a.rcu(f);"),
    ];
    // Each is a finding by itself here; the program is allowed one, and has it as soon as it has an `ArcSwap`.
    for (path, text) in bad {
        assert_eq!(publishing_stores(&Source::new(path, text)).len(), 1, "{text}");
    }
    assert_eq!(publishing_stores(&Source::new("src/stats/x.rs", "a.store(1, Ordering::Relaxed);")), [""; 0]);
    let sources = sources();
    let found: Vec<_> = sources.iter().flat_map(publishing_stores).collect();
    let wanted = usize::from(sources.iter().any(|source| !source.test && source.bare.contains("ArcSwap")));
    assert_eq!(found.len(), wanted, "\n{}\n", found.join("\n"));
}

#[test]
fn our_own_answers_are_built_in_one_place() {
    holds(statuses, &[("src/proxy/forward.rs", "x(\n    http::StatusCode::NOT_FOUND, // BAD\n)")]);
    let reading = Source::new("src/proxy/forward.rs", "status == StatusCode::NO_CONTENT || StatusCode::from_u16(7)");
    assert_eq!(statuses(&reading), [""; 0]);
    assert_eq!(statuses(&Source::new("src/proxy/request/local_reply.rs", "StatusCode::NOT_FOUND")), [""; 0]);
}

#[test]
fn metric_names_stand_in_one_file() {
    holds(metric_names, &[("src/control/metrics.rs", "gauge!(\"pointsman_new_total\"); // BAD")]);
}

#[test]
fn nothing_prints_in_a_way_that_can_panic() {
    let bad = [
        ("src/proxy/x.rs", "fn f() {\n    println!(\"x\"); // BAD\n}"),
        ("src/cli/x.rs", "fn f() {\n    eprintln!(\"x\"); // BAD\n}"),
    ];
    holds(printing, &bad);
    assert_eq!(printing(&Source::new("src/app.rs", "f(\"x\"); // println!()")), [""; 0]);
}

#[test]
fn nothing_is_left_for_later() {
    holds(
        leftovers,
        &[("src/x.rs", "fn f() { todo!() } // BAD"), ("tests/x.rs", "#[test]\n#[ignore = \"slow\"] // BAD\n")],
    );
}

#[test]
fn dependencies_say_why() {
    let manifest = include_str!("../../Cargo.toml");
    assert_eq!(unexplained_dependencies(manifest), [""; 0]);
    let bad = "[dependencies]\na = \"1\"\n# Why b and its like.\nb = \"1\"\nc = \"1\"\n\nd = \"1\"\n[dev-dependencies]\ne = \"1\"";
    let found = unexplained_dependencies(bad);
    let at: BTreeSet<_> = found.iter().filter_map(|finding| finding.split(": ").next()).collect();
    assert_eq!(at, BTreeSet::from(["Cargo.toml:2", "Cargo.toml:7"]));
}

#[test]
fn the_reader_of_sources_knows_comments_and_literals() {
    let text = "a \"x // \\\" y\" b // c\n/* d\n*/ '\"' e r#\"f \" g\"# 'h' '\\'' <'i>";
    let bare = without_comments(text, false);
    assert_eq!(bare.split_whitespace().collect::<Vec<_>>(), ["a", "b", "e", "<'i>"]);
    assert_eq!(bare.matches('\n').count(), 2);
    assert!(without_comments(text, true).contains("f \" g") && !without_comments(text, true).contains('c'));
    assert_eq!(heads("{a::b, c::{d, e}, f as g};"), ["a", "c", "f"]);
}

/// What the sources come to; `cargo test --test tidy -- --nocapture report` prints it.
#[test]
#[expect(clippy::print_stdout, reason = "that is its purpose")]
fn report() {
    let sources = sources();
    let ours: Vec<_> = sources.iter().filter(|source| !source.test).collect();
    let mut lengths: Vec<_> = ours.iter().flat_map(|source| functions(source)).map(|(_, lines)| lines).collect();
    lengths.sort_unstable();
    let at = |share: usize| lengths[(lengths.len() - 1) * share / 100];
    let public = |source: &&Source| source.bare.lines().filter(|line| line.trim_start().starts_with("pub ")).count();
    let count = |rule: fn(&Source) -> Vec<String>| ours.iter().flat_map(|source| rule(source)).count();
    let types: usize = ours.iter().map(|source| once::types(source).len()).sum();
    println!("files {}, lines {}", ours.len(), ours.iter().map(|source| source.code.lines().count()).sum::<usize>());
    println!("functions {}: median {}, p90 {}, max {} lines", lengths.len(), at(50), at(90), at(100));
    println!("types {types}, of them with a name used twice {}", once::doubled_types(&sources).len());
    println!("file stems used twice {}", once::doubled_stems(&sources).len());
    println!("tuples as parameters, or of three and more as results {}", count(shape::tuple_dodges));
    println!("rings of imports inside a module {}", cycles::cycles(&sources).len());
    println!("errors that are texts {}", count(shape::text_errors));
    println!("lines that begin with `pub ` {}", ours.iter().map(public).sum::<usize>());
    assert!(at(100) <= FUNCTION_LINES_MAX && !ours.is_empty());
}

/// All findings of a rule that looks at the crate as a whole.
#[track_caller]
fn at_most(max: usize, found: &[String]) {
    assert!(found.len() <= max, "\n{}\nfound {}, want at most {max}\n", found.join("\n"), found.len());
}

fn made(sources: &[(&str, &str)]) -> Vec<Source> {
    sources.iter().map(|(path, text)| Source::new(path, text)).collect()
}

#[test]
fn values_that_travel_together_have_a_name() {
    let bad = [
        ("src/x.rs", "fn f<A: Fn(u8) -> u8>(\n    a: A,\n    (b, c): (u8, u8),\n) {} BAD"),
        ("src/x.rs", "fn f(a: &(u8, String)) {} // BAD"),
        ("src/x.rs", "fn f() -> Result<(u8, u8, Vec<u8>), Error> { // BAD\n}"),
    ];
    for (path, text) in bad {
        assert_eq!(shape::tuple_dodges(&Source::new(path, text)).len(), 1, "{text}");
    }
    let good = "fn f(a: impl Fn(u8, u8) -> u8, b: [(u8, u8); 2], (): ()) -> (u8, u8) {}";
    assert_eq!(shape::tuple_dodges(&Source::new("src/x.rs", good)), [""; 0]);
    at_most(0, &sources().iter().flat_map(shape::tuple_dodges).collect::<Vec<_>>());
}

#[test]
fn errors_are_types() {
    let bad = Source::new("src/x.rs", "fn f() -> Result<Vec<(u8, u8)>, String> { g() }");
    assert_eq!(shape::text_errors(&bad).len(), 1);
    assert_eq!(shape::text_errors(&Source::new("src/x.rs", "fn f() -> Result<String, E> { g() }")), [""; 0]);
    at_most(0, &sources().iter().flat_map(shape::text_errors).collect::<Vec<_>>());
}

#[test]
fn a_type_name_is_defined_once() {
    let bad =
        made(&[("src/a/x.rs", "pub(crate) struct Place;"), ("src/b.rs", "enum Place {}\ntrait T { type Item; }")]);
    assert_eq!(once::doubled_types(&bad).len(), 1);
    at_most(0, &once::doubled_types(&sources()));
}

#[test]
fn a_file_stem_stands_for_one_thing() {
    let bad = made(&[("src/a/x.rs", ""), ("src/b/x.rs", ""), ("src/a/mod.rs", ""), ("src/b/mod.rs", "")]);
    let found = once::doubled_stems(&bad);
    assert_eq!(found.iter().filter(|found| found.starts_with("src/")).count(), 1, "{found:?}");
    at_most(0, &once::doubled_stems(&sources()));
}

#[test]
fn files_of_a_module_import_in_one_direction() {
    let ring = made(&[
        ("src/a/mod.rs", "mod x;\nmod y;\npub(crate) use y::{Y, Z};"),
        ("src/a/x.rs", "use super::{Y, other};\npub struct X;"),
        ("src/a/y.rs", "fn f(x: crate::a::x::X) {}"),
    ]);
    let found = cycles::cycles(&ring);
    assert!(found.len() == 1 && found[0].starts_with("src/a/x.rs, src/a/y.rs: "), "{found:?}");
    let family = made(&[("src/a/mod.rs", "mod x;\nuse x::X;"), ("src/a/x.rs", "use super::Own;")]);
    assert_eq!(cycles::cycles(&family), [""; 0]);
    at_most(0, &cycles::cycles(&sources()));
}

#[test]
fn comments_are_plain() {
    let word = ["no", "body"].concat();
    let vague = format!("let {word} = 1; // for {word} who comes\n/// {word}.");
    assert_eq!(plain::vague_words("a.rs", &vague).len(), 2);
    assert_eq!(plain::vague_words("a.md", &format!("{word}'s\nany{word}")).len(), 1);
    assert_eq!(plain::long_lines("a.rs", &format!("// {}\nlet x;", "word ".repeat(24))).len(), 1);
    let texts = texts();
    let vague = texts.iter().flat_map(|(path, text)| plain::vague_words(path, text));
    let sources = texts.iter().filter(|(path, _)| path.ends_with(".rs"));
    at_most(0, &vague.chain(sources.flat_map(|(path, text)| plain::long_lines(path, text))).collect::<Vec<_>>());
}
