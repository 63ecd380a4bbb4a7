//! What a module may import: the layers of the crate, and what the pure modules must not touch.
//!
//! One list for all modules and not a rule in each: the order of the layers is seen at one sight, and a new module has
//! to be put into it.

use super::source::{Source, heads, holds, words};

/// What each module may import. `proxy` and `upstream` meet `control` in `app` only; `cli` stands above `app`
/// and is used by `main`, never from below.
const MAY_IMPORT: [(&str, &[&str]); 44] = [
    ("problem", &[]),
    ("supervise", &[]),
    ("database", &[]),
    ("log", &["supervise"]),
    ("shared", &["problem"]),
    ("stats", &["shared"]),
    ("jwt", &["problem", "shared", "stats"]),
    ("flagd", &["problem", "shared"]),
    ("tls", &[]),
    ("tokens", &["tls"]),
    ("message", &[]),
    ("http1", &["message"]),
    ("http2", &[]),
    ("table", &["problem", "shared", "stats", "flagd", "tls", "message"]),
    ("flags", &["flagd", "table"]),
    ("mirror", &["shared", "table"]),
    ("rollout", &["problem", "shared", "stats", "table"]),
    ("experiment", &["problem", "shared", "table", "rollout"]),
    ("chaos", &["problem", "shared", "stats", "table", "rollout"]),
    ("slo", &["shared", "stats", "table"]),
    ("ledger", &["problem", "supervise", "database", "shared", "table", "rollout", "experiment"]),
    ("events", &["problem", "shared", "stats", "experiment", "ledger"]),
    ("ofrep", &["shared", "stats", "message", "flagd", "table", "flags", "tokens", "experiment", "ledger"]),
    ("upstream", &["shared", "stats", "tls", "message", "http1", "http2", "table"]),
    (
        "proxy",
        &[
            "supervise",
            "log",
            "shared",
            "stats",
            "jwt",
            "tls",
            "message",
            "http1",
            "http2",
            "table",
            "flags",
            "mirror",
            "ofrep",
            "tokens",
            "experiment",
            "ledger",
            "upstream",
            "events",
        ],
    ),
    ("config", &["problem", "shared", "stats", "jwt", "flagd", "tls", "table", "rollout", "experiment", "chaos"]),
    ("simulation", &["problem", "table", "rollout", "config"]),
    ("files", &["problem", "table"]),
    ("document", &["shared"]),
    ("outbound", &["problem", "jwt", "stats", "tls", "table", "rollout"]),
    (
        "control",
        &[
            "problem",
            "supervise",
            "shared",
            "stats",
            "database",
            "files",
            "table",
            "rollout",
            "experiment",
            "ledger",
            "config",
        ],
    ),
    ("slo_keeper", &["problem", "shared", "stats", "table", "slo", "control"]),
    ("endpoints", &["problem", "shared", "stats", "tls", "table", "outbound", "control"]),
    ("fleet", &["problem", "tls", "table", "config", "outbound", "control"]),
    ("trial_exchange", &["problem", "fleet", "ledger"]),
    ("gitops", &["problem", "files", "outbound", "stats", "table", "config", "control", "fleet"]),
    (
        "metrics",
        &[
            "gitops",
            "fleet",
            "supervise",
            "log",
            "shared",
            "stats",
            "jwt",
            "tls",
            "table",
            "rollout",
            "experiment",
            "ledger",
            "control",
            "slo",
            "slo_keeper",
        ],
    ),
    (
        "release",
        &[
            "problem",
            "fleet",
            "shared",
            "stats",
            "tls",
            "table",
            "rollout",
            "simulation",
            "config",
            "outbound",
            "control",
            "endpoints",
            "metrics",
            "experiment",
            "ledger",
            "slo_keeper",
        ],
    ),
    (
        "chaos_runner",
        &[
            "problem", "fleet", "shared", "stats", "table", "rollout", "chaos", "config", "outbound", "control",
            "metrics",
        ],
    ),
    (
        "admin",
        &[
            "gitops",
            "fleet",
            "supervise",
            "problem",
            "shared",
            "stats",
            "jwt",
            "tls",
            "tokens",
            "message",
            "table",
            "flags",
            "rollout",
            "config",
            "control",
            "document",
            "endpoints",
            "metrics",
            "release",
            "chaos",
            "chaos_runner",
            "simulation",
            "experiment",
            "ledger",
            "events",
            "slo",
            "slo_keeper",
        ],
    ),
    (
        "app",
        &[
            "gitops",
            "fleet",
            "supervise",
            "log",
            "problem",
            "shared",
            "stats",
            "jwt",
            "tls",
            "tokens",
            "ofrep",
            "table",
            "rollout",
            "config",
            "files",
            "outbound",
            "control",
            "endpoints",
            "metrics",
            "release",
            "chaos_runner",
            "admin",
            "proxy",
            "upstream",
            "experiment",
            "ledger",
            "events",
            "trial_exchange",
            "slo_keeper",
        ],
    ),
    (
        "cli",
        &[
            "problem",
            "supervise",
            "log",
            "document",
            "flagd",
            "tls",
            "table",
            "rollout",
            "simulation",
            "experiment",
            "config",
            "outbound",
            "control",
            "app",
        ],
    ),
    (
        "testing",
        &[
            "problem",
            "admin",
            "control",
            "experiment",
            "files",
            "flagd",
            "flags",
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
            "tokens",
            "ledger",
            "slo_keeper",
        ],
    ),
    ("main", &["cli"]),
];

/// Modules without async, I/O, clock and randomness of their own: time and chance are arguments (`impl rand::Rng` is
/// one).
const PURE: [&str; 12] = [
    "problem",
    "shared",
    "stats",
    "flagd",
    "table",
    "flags",
    "mirror",
    "rollout",
    "experiment",
    "chaos",
    "slo",
    "config",
];

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
