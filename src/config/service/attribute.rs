//! `[attributes]`: what is known of a user from a request, by names that rules and segments use.

use std::collections::BTreeMap;

use super::definition_index::DefinitionIndex;
use super::sticky;
use crate::config::check::{self, every};
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::Texts;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::problem::Mismatch;
use crate::table::spec::{Attribute, KeySource};

/// What a user's key is called beside the attributes, by those who ask for flags.
const KEY_NAME: &str = "targetingKey";

/// Builds every attribute.
pub(crate) fn build_all(
    raw: &BTreeMap<String, Texts>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> DefinitionIndex<Attribute> {
    let mut index = index();
    for (name, sources) in raw {
        index.add(name, attribute(name, sources, &at.key(name), report));
    }
    index
}

/// Of a config without attributes.
pub(crate) fn index() -> DefinitionIndex<Attribute> {
    let remedy = |name: &str| {
        let key = ConfigPath::Root;
        format!("add {} = \"header:NAME\" to [attributes]", key.key(name))
    };
    DefinitionIndex::new("attributes", "an attribute", remedy)
}

fn attribute(
    name: &str,
    raw: &Texts,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Attribute, ErrorGuaranteed> {
    if name == KEY_NAME {
        let wanted = "another name, for this one is the user's key, which comes from `sticky`";
        return Err(report.problem(at, Mismatch::new(format!("{name:?}"), wanted, "rename it")));
    }
    let own_name = check::name(name, at, report);
    if raw.is_empty() {
        let mismatch = Mismatch::new("an empty list", "at least one source", "add one or remove the attribute");
        return Err(report.problem(at, mismatch));
    }
    let mut known: Vec<KeySource> = Vec::new();
    let sources = every(raw.each(at, |at, text| {
        let source = source(text, at, report)?;
        if known.contains(&source) {
            let mismatch = Mismatch::new("it for the second time", "each source once", "remove one of the two");
            return Err(report.problem(at, mismatch));
        }
        known.push(source.clone());
        Ok(source)
    }));
    Ok(Attribute { name: own_name?, sources: sources? })
}

/// One source.
fn source(text: &str, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<KeySource, ErrorGuaranteed> {
    let remedy = match sticky::parse(text) {
        Some(found @ (KeySource::Header(_) | KeySource::Cookie(_) | KeySource::Query(_) | KeySource::Jwt(_))) => {
            return Ok(found);
        }
        Some(KeySource::Ip) => "use `client` in a condition for addresses".to_owned(),
        Some(KeySource::OwnCookie | KeySource::NamedOwnCookie(_)) => {
            "write \"cookie:NAME\"; our own cookie says nothing of a user".to_owned()
        }
        None => sticky::remedy(text),
    };
    let wanted = "\"header:NAME\", \"cookie:NAME\", \"query:NAME\" or \"jwt:CLAIM\"";
    Err(report.problem(at, Mismatch::new(format!("{text:?}"), wanted, remedy)))
}
