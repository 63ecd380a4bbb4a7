//! What must not be in a source at all: prints that can panic, and work that is left for later.

use super::source::{Source, holds, words};

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
