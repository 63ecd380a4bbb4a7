//! What is compiled into the binary: only licences, sources and releases that `deny.toml` allows, and nothing that
//! needs a newer Rust than we promise. `cargo deny check` reads the same file; it also knows advisories, which change
//! by themselves.

use std::process::Command;

use serde_json::Value;

const DENY: &str = include_str!("../../../deny.toml");

/// All packages that a build for Linux can have, as cargo tells them.
fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut metadata = Command::new(cargo);
    metadata.args(["metadata", "--format-version=1", "--locked", "--offline"]);
    metadata.args(["--filter-platform", "x86_64-unknown-linux-gnu"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = metadata.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let used: Vec<_> = told["resolve"]["nodes"].as_array().expect("nodes").iter().map(|node| &node["id"]).collect();
    let all = told["packages"].as_array().expect("packages").iter();
    all.filter(|package| used.contains(&&package["id"])).cloned().collect()
}

fn text<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

/// What is wrong with a package, by the rules of `deny`.
fn faults(package: &Value, deny: &toml::Table, rust: &str) -> Vec<String> {
    let (name, version) = (text(package, "name"), text(package, "version"));
    let mut found = Vec::new();
    let allowed: Vec<_> =
        deny["licenses"]["allow"].as_array().expect("a list").iter().filter_map(toml::Value::as_str).collect();
    let license = text(package, "license").replace('/', " OR ");
    let good = spdx::Expression::parse(&license)
        .is_ok_and(|expression| expression.evaluate(|need| allowed.iter().any(|allowed| need.to_string() == *allowed)));
    if !good {
        found.push(format!("{name} {version}: found the licence {license:?}, want one that deny.toml allows"));
    }
    let source = text(package, "source");
    if !source.is_empty() && !source.starts_with("registry+https://github.com/rust-lang/crates.io-index") {
        found.push(format!("{name} {version}: found the source {source}, want crates.io"));
    }
    for banned in deny["bans"]["deny"].as_array().expect("a list") {
        let (crate_name, versions) =
            banned["crate"].as_str().and_then(|text| text.split_once('@')).expect("name@versions");
        let below = versions.strip_prefix('<').expect("a floor");
        if name == crate_name && numbers(version) < numbers(below) {
            found.push(format!("{name} {version}: found a release with known faults, want {below} or later"));
        }
    }
    let needs = text(package, "rust_version");
    if numbers(needs) > numbers(rust) {
        found.push(format!("{name} {version}: found that it needs Rust {needs}, want {rust} at most (rust-version)"));
    }
    found
}

/// A version as numbers; what follows a hyphen or a plus is left out.
fn numbers(version: &str) -> Vec<u64> {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let mut numbers: Vec<_> = core.split('.').filter_map(|part| part.parse().ok()).collect();
    numbers.resize(3, 0);
    numbers
}

#[test]
fn dependencies_are_allowed_and_old_enough_for_our_rust() {
    let deny: toml::Table = DENY.parse().expect("deny.toml is TOML");
    let packages = packages();
    assert!(packages.len() > 100, "cargo tells {} packages", packages.len());
    let found: Vec<_> =
        packages.iter().flat_map(|package| faults(package, &deny, env!("CARGO_PKG_RUST_VERSION"))).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn a_dependency_that_is_not_allowed_is_found() {
    let deny: toml::Table = DENY.parse().expect("deny.toml is TOML");
    let bad = serde_json::json!({
        "name": "hyper", "version": "1.11.9", "license": "MIT AND GPL-3.0-only", "source": "git+https://example.com/hyper",
        "rust_version": "1.99",
    });
    assert_eq!(faults(&bad, &deny, "1.92").len(), 4, "{:?}", faults(&bad, &deny, "1.92"));
    let good = serde_json::json!({
        "name": "hyper", "version": "1.12.0", "license": "GPL-3.0-only OR MIT/Apache-2.0", "source": null, "rust_version": null,
    });
    assert!(faults(&good, &deny, "1.92").is_empty(), "{:?}", faults(&good, &deny, "1.92"));
}
