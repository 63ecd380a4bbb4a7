//! Each dependency says why it is here: a comment above it or above its group.

use std::collections::BTreeSet;

/// More dependencies than this under one comment are not a group that the comment explains.
const DEPENDENCIES_PER_COMMENT_MAX: usize = 4;

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

#[test]
fn dependencies_say_why() {
    let manifest = include_str!("../../Cargo.toml");
    assert_eq!(unexplained_dependencies(manifest), [""; 0]);
    let bad = "[dependencies]\na = \"1\"\n# Why b and its like.\nb = \"1\"\nc = \"1\"\n\nd = \"1\"\n[dev-dependencies]\ne = \"1\"";
    let found = unexplained_dependencies(bad);
    let at: BTreeSet<_> = found.iter().filter_map(|finding| finding.split(": ").next()).collect();
    assert_eq!(at, BTreeSet::from(["Cargo.toml:2", "Cargo.toml:7"]));
}
