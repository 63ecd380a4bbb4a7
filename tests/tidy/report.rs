//! What the sources come to, in numbers.

use super::source::{Source, sources};
use super::{cycles, names, shape, sizes};

/// What the sources come to; `cargo test --test tidy -- --nocapture report` prints it.
#[test]
#[expect(clippy::print_stdout, reason = "that is its purpose")]
fn report() {
    let sources = sources();
    let ours: Vec<_> = sources.iter().filter(|source| !source.test).collect();
    let mut lengths: Vec<_> = ours.iter().flat_map(|source| sizes::functions(source)).map(|(_, lines)| lines).collect();
    lengths.sort_unstable();
    let at = |share: usize| lengths[(lengths.len() - 1) * share / 100];
    let public = |source: &&Source| source.bare.lines().filter(|line| line.trim_start().starts_with("pub ")).count();
    let count = |rule: fn(&Source) -> Vec<String>| ours.iter().flat_map(|source| rule(source)).count();
    let types: usize = ours.iter().map(|source| names::types(source).len()).sum();
    println!("files {}, lines {}", ours.len(), ours.iter().map(|source| source.code.lines().count()).sum::<usize>());
    println!("functions {}: median {}, p90 {}, max {} lines", lengths.len(), at(50), at(90), at(100));
    println!("types {types}, of them with a name used twice {}", names::doubled_types(&sources).len());
    println!("file stems used twice {}", names::doubled_stems(&sources).len());
    println!("tuples as parameters, or of three and more as results {}", count(shape::tuple_dodges));
    println!("rings of imports inside a module {}", cycles::cycles(&sources).len());
    println!("errors that are texts {}", count(shape::text_errors));
    println!("lines that begin with `pub ` {}", ours.iter().map(public).sum::<usize>());
    assert!(at(100) <= sizes::FUNCTION_LINES_MAX && !ours.is_empty());
}
