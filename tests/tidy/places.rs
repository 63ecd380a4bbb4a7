//! Of what there is exactly one place: the store of the table, our own responses, the names of metrics.

use super::source::{Source, heads, holds, sources};

/// Status codes that are read, not sent: they decide how an upstream's response is framed.
const STATUS_OF_FRAMING: [&str; 4] = ["CONTINUE", "SWITCHING_PROTOCOLS", "NO_CONTENT", "NOT_MODIFIED"];

/// Texts that begin like a metric and are none: our own cookie.
const NO_METRICS: [&str; 1] = ["\"pointsman_id\""];

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
    let homes = ["src/proxy/request/local_reply.rs", "src/ofrep/protocol_error.rs", "src/events/event_refusal.rs"];
    let home = homes.contains(&source.path.as_str()) || source.path.starts_with("src/admin");
    if source.test || home || ["cli", "demo"].contains(&source.module()) {
        return Vec::new();
    }
    let constants = source.bare.match_indices("StatusCode::").filter_map(|(at, path)| {
        let name = heads(&source.bare[at + path.len()..])[0];
        let constant = name.len() >= 3 && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        let built = constant && !STATUS_OF_FRAMING.contains(&name);
        built.then(|| {
            source.finding(&source.bare, at, name, "our own responses in proxy/request/local_reply.rs or admin")
        })
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
fn our_own_responses_are_built_in_one_place() {
    holds(statuses, &[("src/proxy/forward.rs", "x(\n    http::StatusCode::NOT_FOUND, // BAD\n)")]);
    let reading = Source::new("src/proxy/forward.rs", "status == StatusCode::NO_CONTENT || StatusCode::from_u16(7)");
    assert_eq!(statuses(&reading), [""; 0]);
    assert_eq!(statuses(&Source::new("src/proxy/request/local_reply.rs", "StatusCode::NOT_FOUND")), [""; 0]);
}

#[test]
fn metric_names_stand_in_one_file() {
    holds(metric_names, &[("src/control/metrics.rs", "gauge!(\"pointsman_new_total\"); // BAD")]);
}
