//! `variants`: what a flag can be, values of JSON that are all of one type.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::check::{self, every};
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::problem::Mismatch;
use crate::shared::name::natural_cmp;
use crate::table::Name;
use crate::table::spec::flag::Variant;

/// The values by their names.
pub(crate) type RawVariants = BTreeMap<String, Value>;

/// The variants of a flag that does not say.
const ON: &str = "on";
pub(crate) const OFF: &str = "off";

/// The most variants of a flag.
const VARIANTS_MAX: usize = 100;

/// The longest value, in bytes of JSON: it is sent to clients with every answer.
const VALUE_BYTES_MAX: usize = 16 << 10;

/// All names that can be one, in natural order.
pub(crate) fn names(raw: Option<&RawVariants>) -> Vec<Name> {
    let texts: Vec<&str> = raw.map_or(vec![OFF, ON], |raw| raw.keys().map(String::as_str).collect());
    let mut names: Vec<Name> = texts.into_iter().filter_map(|text| Name::new(text).ok()).collect();
    names.sort_by(|a, b| natural_cmp(a, b));
    names
}

/// The variants, in natural order of their names.
pub(crate) fn build(
    raw: Option<&RawVariants>,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Vec<Variant>, ErrorGuaranteed> {
    let defaults: RawVariants = [(ON.to_owned(), true.into()), (OFF.to_owned(), false.into())].into();
    let raw = raw.unwrap_or(&defaults);
    let Some((first_name, first)) = raw.iter().next() else {
        return Err(report.missing(at, Mismatch::new("none", "at least one", "leave it out for on and off")));
    };
    if raw.len() > VARIANTS_MAX {
        let mismatch =
            Mismatch::new(format!("{} of them", raw.len()), format!("at most {VARIANTS_MAX}"), "leave some out");
        return Err(report.problem(at, mismatch));
    }
    let mut variants = every(raw.iter().map(|(name, value)| {
        let at = at.key(name);
        let own_name = check::name(name, &at, report);
        let problem = match kind(value) {
            None => Some(Mismatch::new("a value that is no number", "a finite number", "write another value")),
            Some(found) if kind(first).is_some_and(|wanted| wanted != found) => Some(Mismatch::new(
                format!("{found}, while {first_name} is {}", kind(first).unwrap_or_default()),
                "values of one type",
                "write both as the same",
            )),
            Some(_) => None,
        };
        let json = value.to_string();
        let problem = problem.or_else(|| {
            let found = format!("{} bytes of JSON", json.len());
            let long = json.len() > VALUE_BYTES_MAX;
            long.then(|| Mismatch::new(found, format!("at most {VALUE_BYTES_MAX}"), "shorten it"))
        });
        match problem {
            Some(problem) => Err(report.problem(&at, problem)),
            None => Ok(Variant { name: own_name?, json: json.into() }),
        }
    }))?;
    variants.sort_by(|a, b| natural_cmp(&a.name, &b.name));
    Ok(variants)
}

/// What the type of a value is called; none of what JSON cannot say.
fn kind(value: &Value) -> Option<&'static str> {
    match value {
        // What TOML writes as nan or inf.
        Value::Null => None,
        Value::Bool(_) => Some("true or false"),
        Value::Number(_) => Some("a number"),
        Value::String(_) => Some("a text"),
        Value::Array(list) => list.iter().all(|value| kind(value).is_some()).then_some("a list"),
        Value::Object(object) => object.values().all(|value| kind(value).is_some()).then_some("a table"),
    }
}
