//! `[[services.X.rules]]`: requests that go to a version before the split is asked, that the proxy responds to, or
//! whose messages are edited.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;

use super::condition::RawCondition;
use super::definition_index::DefinitionIndex;
use super::edge::RawEdits;
use super::edge::header_lines::RawHeaderEdits;
use super::edge::prefix::RawPrefixReplacement;
use super::edge::respond::RawRespond;
use super::edge::rule_redirect::RawRuleRedirect;
use super::split;
use crate::config::build::Build;
use crate::config::check::{self, every};
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::ErrorGuaranteed;
use crate::problem::Mismatch;
use crate::table::Name;
use crate::table::spec::edge::{MessageEdits, RuleTarget};
use crate::table::spec::fixed_response::RuleResponse;
use crate::table::spec::{Condition, HostPattern, RuleSpec, Segment};

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawRule {
    name: Option<String>,
    when: Option<RawCondition>,
    #[serde(rename = "use")]
    version: Option<String>,
    respond: Option<RawRespond>,
    redirect: Option<RawRuleRedirect>,
    request_headers: Option<RawHeaderEdits>,
    response_headers: Option<RawHeaderEdits>,
    strip_prefix: Option<String>,
    replace_prefix: Option<RawPrefixReplacement>,
}

/// What the rules of a service refer to.
pub(crate) struct RuleScope<'a> {
    /// The segments of the file.
    pub(crate) segments: &'a DefinitionIndex<Segment>,
    /// Where the service stands.
    pub(crate) service: &'a ConfigPath<'a>,
    /// The versions of the service.
    pub(crate) versions: &'a [Name],
    /// Its hosts.
    pub(crate) hosts: &'a [HostPattern],
}

/// A rule, and what it edits.
pub(crate) struct EditingRule {
    pub(crate) rule: RuleSpec,
    pub(crate) edits: MessageEdits,
}

/// All rules of a service, in order, with names of their own.
pub(crate) fn build_all(
    raw: &List<RawRule>,
    known: &RuleScope<'_>,
    build: &mut Build<'_>,
) -> Result<Vec<EditingRule>, ErrorGuaranteed> {
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
    ) -> Result<EditingRule, ErrorGuaranteed> {
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
        let edits = self.edits().build(at, &mut build.report);
        let target = self.target(when.as_deref().ok(), known, at, build);
        let (name, when, target, edits) = (name?, when?, target?, edits?);
        if matches!(target, RuleTarget::Respond(_)) && (!edits.request.is_empty() || edits.prefix.is_some()) {
            let mismatch = Mismatch::new(
                "edits of a request that no endpoint gets",
                "response_headers alone beside respond and redirect",
                "remove them",
            );
            return Err(build.report.problem(at, mismatch));
        }
        Ok(EditingRule { rule: RuleSpec { name, when, target }, edits })
    }

    /// What becomes of the requests: one thing. With edits alone the split decides.
    fn target(
        &self,
        when: Option<&Condition>,
        known: &RuleScope<'_>,
        at: &ConfigPath<'_>,
        build: &mut Build<'_>,
    ) -> Result<RuleTarget, ErrorGuaranteed> {
        let use_at = at.key("use");
        match (&self.version, &self.respond, &self.redirect) {
            (Some(text), None, None) => {
                let version = split::version(text, known.versions, known.service, &use_at, &mut build.report);
                version.map(RuleTarget::Version)
            }
            (None, Some(respond), None) => {
                let page = respond.build(&at.key("respond"), build)?;
                Ok(RuleTarget::Respond(RuleResponse::Page(page)))
            }
            (None, None, Some(redirect)) => {
                // What the rule asks for decides whether it leads back; a rule without that has been reported.
                let catches = Mismatch::new("none", "a match", "add one");
                let redirect_at = at.key("redirect");
                let redirect = match when {
                    Some(when) => redirect.build(when, known.hosts, &redirect_at, &mut build.report),
                    None => Err(build.report.missing(&at.key("when"), catches)),
                };
                redirect.map(|redirect| RuleTarget::Respond(RuleResponse::Redirect(redirect)))
            }
            (None, None, None) if self.edits().is_some() => Ok(RuleTarget::Split),
            (None, None, None) => {
                let mismatch = Mismatch::new("none", "the version to go to", "add use = \"VERSION\"");
                Err(build.report.missing(&use_at, mismatch))
            }
            _ => {
                let wanted = "one of use, respond and redirect";
                Err(build.report.problem(at, Mismatch::new("several of them", wanted, "keep one")))
            }
        }
    }

    fn edits(&self) -> RawEdits<'_> {
        RawEdits {
            request_headers: self.request_headers.as_ref(),
            response_headers: self.response_headers.as_ref(),
            strip_prefix: self.strip_prefix.as_deref(),
            replace_prefix: self.replace_prefix.as_ref(),
        }
    }
}
