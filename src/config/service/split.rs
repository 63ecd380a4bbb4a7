//! `split`: the weights of a service's versions.

use std::collections::BTreeMap;

use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::Setting;
use crate::problem::{Mismatch, listed, suggest};
use crate::table::{Name, Weight, Weights};

/// The weights of all `versions`: those that are not named get nothing, and a single version gets everything.
pub(crate) fn weights(
    raw: Option<&BTreeMap<String, Setting<Weight>>>,
    versions: &[Name],
    service: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Weights, ErrorGuaranteed> {
    let at = service.key("split");
    match (raw, versions) {
        (Some(raw), _) => named(raw, versions, service, report),
        (None, [only]) => report.touched(&at).map_or_else(|| Ok(Weights::all_on(only, [])), Err),
        (None, []) => Err(report.missing(&service.key("versions"), super::version::none())),
        (None, [first, rest @ ..]) => {
            let rest: String = rest.iter().map(|name| format!(", {} = 0", key(name))).collect();
            let names = listed(versions.iter().map(Name::as_str));
            let text = Mismatch::new(
                format!("no split over {names}"),
                "one for several versions",
                format!("add split = {{ {} = 100{rest} }}", key(first)),
            );
            Err(report.missing(&at, text))
        }
    }
}

/// The weights that are written.
fn named(
    raw: &BTreeMap<String, Setting<Weight>>,
    versions: &[Name],
    service: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Weights, ErrorGuaranteed> {
    let at = service.key("split");
    let unread = report.touched(&at);
    let mut weights: BTreeMap<Name, Weight> = versions.iter().map(|name| (name.clone(), Weight::ZERO)).collect();
    let mut uncounted = false;
    for (name, weight) in raw {
        let _told = version(name, versions, service, &at.key(name), report);
        // A version that is not there counts for the sum: it is misspelt, or not written yet.
        match Name::new(name) {
            Ok(name) => drop(weights.insert(name, weight.0)),
            Err(_told) => uncounted = true,
        }
    }
    let unknown = report.touched(&at);
    if let Some(reported) = unread {
        return Err(reported);
    }
    if versions.is_empty() {
        return Err(report.missing(&service.key("versions"), super::version::none()));
    }
    if let Some(reported) = unknown.filter(|_| uncounted) {
        return Err(reported);
    }
    let weights = Weights::new(weights).map_err(|bad| report.problem(&at, bad.mismatch()));
    unknown.map_or(weights, Err)
}

/// The version that `text` names at `at`.
pub(crate) fn version(
    text: &str,
    versions: &[Name],
    service: &ConfigPath<'_>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Name, ErrorGuaranteed> {
    let all = service.key("versions");
    if versions.is_empty() {
        return Err(report.missing(&all, super::version::none()));
    }
    if let Some(name) = versions.iter().find(|name| name.as_str() == text) {
        return Ok(name.clone());
    }
    let known = || versions.iter().map(Name::as_str);
    let remedy = match suggest(text, known()) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => format!("add [{}]", all.key(text)),
    };
    let problem = Mismatch::new(format!("{text:?}"), format!("a version of the service: {}", listed(known())), remedy);
    Err(report.unless(&all.key(text), at, problem))
}

/// A name as a key of TOML.
fn key(name: &Name) -> String {
    ConfigPath::Key(&ConfigPath::Root, name).to_string()
}
