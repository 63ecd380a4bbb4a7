//! Each metric has a row in `docs/metrics.md`, and the page names no other.

use std::collections::BTreeSet;

/// The names of metrics in a text: what begins with `pointsman_`, in backquotes or quotes.
fn metrics_in(text: &str, quote: char) -> BTreeSet<&str> {
    text.split(quote).filter(|part| part.starts_with("pointsman_") && !part.contains([' ', '{', '\n'])).collect()
}

/// What one side names and the other does not.
fn undocumented(names: &str, page: &str) -> Vec<String> {
    let rows: String =
        page.lines().filter(|line| line.starts_with("| `pointsman_")).map(|row| format!("{row}\n")).collect();
    let (defined, told) = (metrics_in(names, '"'), metrics_in(&rows, '`'));
    let missing = defined.difference(&told).map(|name| format!("docs/metrics.md: found no row for {name}, want one"));
    let gone =
        told.difference(&defined).map(|name| format!("docs/metrics.md: found {name}, want a metric of names.rs"));
    missing.chain(gone).collect()
}

#[test]
fn metrics_are_documented() {
    let names = include_str!("../../src/metrics/names.rs");
    assert_eq!(undocumented(names, include_str!("../../docs/metrics.md")), [""; 0]);
    let found = undocumented("const A: &str = \"pointsman_a\";", "| `pointsman_b` | counter |\n");
    assert_eq!(found.len(), 2, "{found:?}");
}
