//! `[[services.X.rules]]`: requests that go to a version before the split is asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;

use super::condition::RawCondition;
use super::definition_index::DefinitionIndex;
use super::split;
use crate::config::build::Build;
use crate::config::check::{self, every};
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::ErrorGuaranteed;
use crate::problem::Mismatch;
use crate::table::Name;
use crate::table::spec::{RuleSpec, Segment};

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawRule {
    name: Option<String>,
    when: Option<RawCondition>,
    #[serde(rename = "use")]
    version: Option<String>,
}

/// What the rules of a service refer to.
pub(crate) struct RuleScope<'a> {
    /// The segments of the file.
    pub(crate) segments: &'a DefinitionIndex<Segment>,
    /// Where the service stands.
    pub(crate) service: &'a ConfigPath<'a>,
    /// The versions of the service.
    pub(crate) versions: &'a [Name],
}

/// All rules of a service, in order, with names of their own.
pub(crate) fn build_all(
    raw: &List<RawRule>,
    known: &RuleScope<'_>,
    build: &mut Build<'_>,
) -> Result<Vec<RuleSpec>, ErrorGuaranteed> {
    let at = known.service.key("rules");
    let mut names = BTreeSet::new();
    every(raw.iter().map(|(index, raw)| {
        let at = at.item(index);
        let name = raw.name.clone().unwrap_or_else(|| format!("rule-{}", index + 1));
        let rule = raw.build(&name, known, &at, build);
        if names.insert(name.clone()) {
            return rule;
        }
        let text = Mismatch::new(format!("{name:?} for the second time"), "a name of its own", "rename one of the two");
        Err(build.report.problem(&at.key("name"), text))
    }))
}

impl RawRule {
    fn build(
        &self,
        name: &str,
        known: &RuleScope<'_>,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<RuleSpec, ErrorGuaranteed> {
        let catches = Mismatch::new(
            "no match",
            "at least one, for the rule would catch every request",
            "add one, or remove the rule and use split",
        );
        let when_at = at.key("when");
        let name = check::name(name, &at.key("name"), &mut build.report);
        let when = match &self.when {
            Some(raw) => raw.build(known.segments, catches, &when_at, build).map(Arc::new),
            None => Err(build.report.missing(&when_at, catches)),
        };
        let use_at = at.key("use");
        let version = match &self.version {
            Some(text) => split::version(text, known.versions, known.service, &use_at, &mut build.report),
            None => Err(build
                .report
                .missing(&use_at, Mismatch::new("none", "the version to go to", "add use = \"VERSION\""))),
        };
        Ok(RuleSpec { name: name?, when: when?, version: version? })
    }
}
