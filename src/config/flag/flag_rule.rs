//! `rules` of a flag: whom they hold for, and what they serve.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::variant;
use crate::config::build::Build;
use crate::config::check::{self, every};
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::Setting;
use crate::config::service::condition::RawCondition;
use crate::config::service::definition_index::DefinitionIndex;
use crate::problem::Mismatch;
use crate::table::spec::Segment;
use crate::table::spec::flag::FlagRuleSpec;
use crate::table::{Name, Weight, Weights};

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawFlagRule {
    name: Option<String>,
    when: Option<RawCondition>,
    serve: Option<RawServe>,
}

/// `"on"`, or the weights of variants.
#[derive(Debug)]
pub(crate) enum RawServe {
    One(String),
    Weights(BTreeMap<String, Setting<Weight>>),
}

impl<'de> Deserialize<'de> for RawServe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ServeVisitor)
    }
}

struct ServeVisitor;

impl<'de> Visitor<'de> for ServeVisitor {
    type Value = RawServe;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a variant such as \"on\", or weights such as { on = 10, off = 90 }")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawServe, E> {
        Ok(RawServe::One(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<RawServe, A::Error> {
        BTreeMap::deserialize(MapAccessDeserializer::new(table)).map(RawServe::Weights)
    }
}

/// The most rules of a flag: one after the other is asked.
const RULES_MAX: usize = 100;

/// All rules of the flag at `flag`, in order, with names of their own.
pub(crate) fn build_all(
    raw: &List<RawFlagRule>,
    variants: &[Name],
    segments: &DefinitionIndex<Segment>,
    flag: &ConfigPath<'_>,
    build: &mut Build<'_>,
) -> Result<Vec<FlagRuleSpec>, ErrorGuaranteed> {
    let at = flag.key("rules");
    let count = raw.iter().count();
    if count > RULES_MAX {
        let mismatch = Mismatch::new(format!("{count} rules"), format!("at most {RULES_MAX}"), "leave some out");
        return Err(build.report.problem(&at, mismatch));
    }
    let mut names = BTreeSet::new();
    every(raw.iter().map(|(index, raw)| {
        let at = at.item(index);
        let name = raw.name.clone().unwrap_or_else(|| format!("rule-{}", index + 1));
        let own_name = check::name(&name, &at.key("name"), &mut build.report);
        let catches =
            Mismatch::new("no match", "at least one", "add one, or remove `when` for a rule that always holds");
        let when = raw.when.as_ref().map(|raw| raw.build(segments, catches, &at.key("when"), build)).transpose();
        let serve = match &raw.serve {
            Some(serve) => serve.build(variants, flag, &at.key("serve"), &mut build.report),
            None => {
                let wanted = "the variant that it serves, or weights of several";
                let mismatch = Mismatch::new("none", wanted, "add serve = \"VARIANT\"");
                Err(build.report.missing(&at.key("serve"), mismatch))
            }
        };
        if !names.insert(name.clone()) {
            let found = format!("{name:?} for the second time");
            let mismatch = Mismatch::new(found, "a name of its own", "rename one of the two");
            return Err(build.report.problem(&at.key("name"), mismatch));
        }
        Ok(FlagRuleSpec { name: own_name?, when: when?.map(Arc::new), serve: serve? })
    }))
}

impl RawServe {
    /// The weights of all variants.
    pub(crate) fn build(
        &self,
        variants: &[Name],
        flag: &ConfigPath<'_>,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<Weights, ErrorGuaranteed> {
        match self {
            Self::One(text) => {
                let index = variant(text, variants, flag, at, report)?;
                Ok(Weights::all_on(&variants[usize::from(index)], variants.iter().cloned()))
            }
            Self::Weights(raw) => {
                let unread = report.touched(at);
                let mut weights: BTreeMap<Name, Weight> =
                    variants.iter().map(|name| (name.clone(), Weight::ZERO)).collect();
                let known = every(raw.iter().map(|(name, weight)| {
                    let index = variant(name, variants, flag, &at.key(name), report)?;
                    weights.insert(variants[usize::from(index)].clone(), weight.0);
                    Ok(())
                }));
                unread.map_or(known, Err)?;
                Weights::new(weights).map_err(|bad| report.problem(at, bad.mismatch()))
            }
        }
    }
}
