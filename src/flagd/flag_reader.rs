//! The flags of a file, one by one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::compile_rule::{RuleCompiler, kind_of};
use super::file_report::{FileReport, Reported};
use super::imported_flag::{ImportedFlag, ImportedVariant};
use super::json_pointer::JsonPointer;
use super::outcomes::OutcomeFinder;
use crate::problem::{Mismatch, listed, suggest};
use crate::shared::name::Name;

/// The most flags of a file.
pub(crate) const IMPORTED_FLAGS_MAX: usize = 2_000;

/// The most variants of a flag.
pub(crate) const IMPORTED_VARIANTS_MAX: usize = 100;

/// The longest value, in bytes of JSON: it is sent to clients with every answer.
pub(crate) const IMPORTED_VALUE_BYTES_MAX: usize = 16 << 10;

const FLAG_MEMBERS: [&str; 6] = ["state", "variants", "defaultVariant", "targeting", "metadata", "key"];

/// Reads flags.
pub(crate) struct FlagReader<'a> {
    rules: RuleCompiler<'a>,
    outcomes: OutcomeFinder<'a>,
    /// Whether the rules that others refer to are good: only then is it known what a rule can end with.
    evaluators_good: bool,
    /// The metadata of the file, which each flag has as well.
    metadata: Map<String, Value>,
}

impl<'a> FlagReader<'a> {
    /// With these rules, for a file with this metadata.
    pub(crate) fn new(rules: RuleCompiler<'a>, metadata: Map<String, Value>, evaluators_good: bool) -> Self {
        let outcomes = OutcomeFinder::new(rules.evaluators);
        Self { rules, outcomes, evaluators_good, metadata }
    }

    /// What was wrong.
    pub(crate) fn into_report(self) -> FileReport {
        self.rules.report
    }

    /// All flags: an object by their keys, or a list of flags that say their own.
    pub(crate) fn flags(&mut self, members: &'a Map<String, Value>) -> Result<Vec<ImportedFlag>, Reported> {
        let root = JsonPointer::Root;
        let at = root.key("flags");
        let wanted = "an object of flags, or a list of flags with a `key` each";
        let count = match members.get("flags") {
            Some(Value::Object(flags)) => flags.len(),
            Some(Value::Array(flags)) => flags.len(),
            Some(other) => return Err(self.rules.report.problem(&at, kind_of(other), wanted, "write one")),
            None => return Err(self.rules.report.problem(&at, "none", wanted, "add it")),
        };
        if count > IMPORTED_FLAGS_MAX {
            let wanted = format!("at most {IMPORTED_FLAGS_MAX}");
            return Err(self.rules.report.problem(&at, format!("{count} flags"), wanted, "remove some"));
        }
        let mut good = BTreeMap::new();
        let mut refused = None;
        let mut add = |flag: Result<ImportedFlag, Reported>, at: &JsonPointer<'_>, report: &mut FileReport| {
            let flag = match flag {
                Ok(flag) => flag,
                Err(reported) => {
                    refused = Some(reported);
                    return;
                }
            };
            if let Some(flag) = good.insert(flag.key.clone(), flag) {
                let found = format!("{:?} for the second time", flag.key.as_str());
                refused = Some(report.problem(at, found, "each key once", "rename one of the two"));
            }
        };
        match members.get("flags") {
            Some(Value::Object(flags)) => {
                for (key, flag) in flags {
                    let at = at.key(key);
                    let flag = self.flag(Some(key), flag, &at);
                    add(flag, &at, &mut self.rules.report);
                }
            }
            Some(Value::Array(flags)) => {
                for (index, flag) in flags.iter().enumerate() {
                    let at = at.item(index);
                    let flag = self.flag(None, flag, &at);
                    add(flag, &at, &mut self.rules.report);
                }
            }
            Some(_) | None => {}
        }
        refused.map_or_else(|| Ok(good.into_values().collect()), Err)
    }

    /// The flag at `at`; without a key beside it, it says it itself.
    fn flag(&mut self, key: Option<&str>, flag: &'a Value, at: &JsonPointer<'_>) -> Result<ImportedFlag, Reported> {
        let report = &mut self.rules.report;
        let Value::Object(members) = flag else {
            return Err(report.problem(at, kind_of(flag), "an object with `state` and `variants`", "write one"));
        };
        check_names(members, &FLAG_MEMBERS, at, report);
        let key = flag_key(key, members, at, report);
        let enabled = state(members, at, report);
        let variants = variants(members, at, report);
        let metadata = metadata_of(members, at, report);
        let targeting = self.targeting(members, at);
        let variants = variants?;
        let outcomes = self.check_outcomes(members, &variants, at);
        let default = default_variant(members, &variants, at, &mut self.rules.report);
        let mut merged = self.metadata.clone();
        merged.extend(metadata?);
        outcomes?;
        let (targeting, asked) = targeting?.map(|rule| (rule.logic, rule.asked)).unzip();
        let (key, enabled, default) = (key?, enabled?, default?);
        Ok(ImportedFlag {
            key,
            enabled,
            variants,
            default,
            metadata: merged,
            asked: asked.unwrap_or_default(),
            version: self.rules.version,
            targeting,
        })
    }

    /// The rule of a flag; an empty object is none.
    fn targeting(
        &mut self,
        members: &'a Map<String, Value>,
        at: &JsonPointer<'_>,
    ) -> Result<Option<super::compile_rule::LogicRule>, Reported> {
        match members.get("targeting") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(rule)) if rule.is_empty() => Ok(None),
            Some(rule) => self.rules.rule(rule, &at.key("targeting")).map(Some),
        }
    }

    /// What the rule can end with are variants.
    fn check_outcomes(
        &mut self,
        members: &'a Map<String, Value>,
        variants: &[ImportedVariant],
        at: &JsonPointer<'_>,
    ) -> Result<(), Reported> {
        let Some(rule @ Value::Object(_)) = members.get("targeting").filter(|_| self.evaluators_good) else {
            return Ok(());
        };
        let mut checked = Ok(());
        for outcome in self.outcomes.of(rule, &at.key("targeting")) {
            if !variants.iter().any(|variant| variant.name.as_str() == outcome.variant) {
                let mismatch = unknown_variant(&outcome.variant, variants);
                checked = Err(self.rules.report.add(outcome.at, mismatch));
            }
        }
        checked
    }
}

fn unknown_variant(name: &str, variants: &[ImportedVariant]) -> Mismatch {
    let known = || variants.iter().map(|variant| variant.name.as_str());
    let remedy = suggest(name, known())
        .map_or("name one, or add this one".to_owned(), |meant| format!("did you mean {meant:?}?"));
    Mismatch::new(format!("unknown variant {name:?}"), format!("one of {}", listed(known())), remedy)
}

/// Members that are not known are a problem: they are misspelt, or mean something that would not happen.
pub(crate) fn check_names(
    members: &Map<String, Value>,
    known: &[&'static str],
    at: &JsonPointer<'_>,
    report: &mut FileReport,
) {
    for name in members.keys().filter(|name| !known.contains(&name.as_str())) {
        let names = || known.iter().copied();
        let remedy = suggest(name, names()).map_or("remove it".to_owned(), |meant| format!("did you mean {meant:?}?"));
        let (found, wanted) = (format!("unknown member {name:?}"), format!("one of {}", listed(names())));
        report.problem(&at.key(name), found, wanted, remedy);
    }
}

/// The member of this name, which is an object.
pub(crate) fn object_member<'a>(
    members: &'a Map<String, Value>,
    name: &str,
    at: &JsonPointer<'_>,
    report: &mut FileReport,
) -> Result<Option<&'a Map<String, Value>>, Reported> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members)),
        Some(other) => Err(report.problem(&at.key(name), kind_of(other), "an object", "write one")),
    }
}

/// The metadata of a flag or of the file: texts, numbers and truths by their names.
pub(crate) fn metadata_of(
    members: &Map<String, Value>,
    at: &JsonPointer<'_>,
    report: &mut FileReport,
) -> Result<Map<String, Value>, Reported> {
    let Some(metadata) = object_member(members, "metadata", at, report)? else { return Ok(Map::new()) };
    let at = at.key("metadata");
    let mut checked = Ok(metadata.clone());
    for (name, value) in metadata {
        if name.is_empty() {
            checked = Err(report.problem(&at.key(name), "an empty name", "a name", "give it one"));
        }
        if !(value.is_string() || value.is_number() || value.is_boolean()) {
            checked =
                Err(report.problem(&at.key(name), kind_of(value), "a text, a number, true or false", "write one"));
        }
    }
    checked
}

fn flag_key(
    key: Option<&str>,
    members: &Map<String, Value>,
    at: &JsonPointer<'_>,
    report: &mut FileReport,
) -> Result<Name, Reported> {
    let at_key = at.key("key");
    let text = match (key, members.get("key")) {
        (Some(key), None) => return Name::new(key).map_err(|bad| report.add(at.to_string(), bad.mismatch())),
        (Some(_), Some(_)) => {
            let wanted = "the name before the flag alone";
            return Err(report.problem(&at_key, "a key inside of the flag", wanted, "remove `key`"));
        }
        (None, Some(Value::String(key))) => key,
        (None, other) => {
            let found = other.map_or("none".to_owned(), kind_of);
            return Err(report.problem(&at_key, found, "the key of the flag, a text", "add it"));
        }
    };
    Name::new(text).map_err(|bad| report.add(at_key.to_string(), bad.mismatch()))
}

fn state(members: &Map<String, Value>, at: &JsonPointer<'_>, report: &mut FileReport) -> Result<bool, Reported> {
    match members.get("state").map(Value::as_str) {
        Some(Some("ENABLED")) => Ok(true),
        Some(Some("DISABLED")) => Ok(false),
        _ => {
            let found = members.get("state").map_or("none".to_owned(), kind_of);
            Err(report.problem(&at.key("state"), found, "\"ENABLED\" or \"DISABLED\"", "write one of the two"))
        }
    }
}

/// The variants, at least one, their values all of one type.
fn variants(
    members: &Map<String, Value>,
    at: &JsonPointer<'_>,
    report: &mut FileReport,
) -> Result<Vec<ImportedVariant>, Reported> {
    let at_variants = at.key("variants");
    let raw = object_member(members, "variants", at, report)?.filter(|raw| !raw.is_empty());
    let Some(raw) = raw else {
        return Err(report.problem(&at_variants, "no variant", "at least one", "add one"));
    };
    if raw.len() > IMPORTED_VARIANTS_MAX {
        let (found, wanted) = (format!("{} variants", raw.len()), format!("at most {IMPORTED_VARIANTS_MAX}"));
        return Err(report.problem(&at_variants, found, wanted, "remove some"));
    }
    let mut kinds = BTreeSet::new();
    let mut checked = Ok(());
    let mut good = Vec::new();
    for (name, value) in raw {
        let at = at_variants.key(name);
        match variant_kind(value) {
            Some(kind) => {
                kinds.insert(kind);
            }
            None => {
                let wanted = "true or false, a text, a number, an object or a list";
                checked = Err(report.problem(&at, kind_of(value), wanted, "write one"));
            }
        }
        let bytes = value.to_string().len();
        if bytes > IMPORTED_VALUE_BYTES_MAX {
            let wanted = format!("at most {IMPORTED_VALUE_BYTES_MAX}");
            checked = Err(report.problem(&at, format!("{bytes} bytes"), wanted, "make it shorter"));
        }
        match Name::new(name) {
            Ok(name) => good.push(ImportedVariant { name, value: value.clone() }),
            Err(bad) => checked = Err(report.add(at.to_string(), bad.mismatch())),
        }
    }
    if kinds.len() > 1 {
        let found = format!("values of different types: {}", listed(kinds));
        checked = Err(report.problem(&at_variants, found, "values of one type", "make two flags of it"));
    }
    checked.map(|()| good)
}

fn variant_kind(value: &Value) -> Option<&'static str> {
    match value {
        Value::Bool(_) => Some("true or false"),
        Value::Number(_) => Some("numbers"),
        Value::String(_) => Some("texts"),
        Value::Object(_) => Some("objects"),
        Value::Array(_) => Some("lists"),
        Value::Null => None,
    }
}

/// The index of the variant that holds when no rule says which; none: the default of the code that asks.
fn default_variant(
    members: &Map<String, Value>,
    variants: &[ImportedVariant],
    at: &JsonPointer<'_>,
    report: &mut FileReport,
) -> Result<Option<u16>, Reported> {
    let at = at.key("defaultVariant");
    let name = match members.get("defaultVariant") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(name)) if name.is_empty() => return Ok(None),
        Some(Value::String(name)) => name,
        Some(other) => return Err(report.problem(&at, kind_of(other), "the name of a variant, or null", "write one")),
    };
    let index = (0..).zip(variants).find(|(_, variant)| variant.name.as_str() == name).map(|(index, _)| index);
    index.map_or_else(|| Err(report.add(at.to_string(), unknown_variant(name, variants))), |index| Ok(Some(index)))
}
