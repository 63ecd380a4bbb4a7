//! The change of flags at run time: who gets which variant by a rule, and the kill switch.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::problem::{Mismatch, Problem, ProblemKind, one_of, suggest};
use crate::table::flag_state::FlagState;
use crate::table::spec::flag::{FlagSource, FlagSpec};
use crate::table::{Name, Weights};

use super::planned::{Action, Planned, State};

/// What becomes of one flag.
#[derive(Clone, Debug, Default)]
pub struct FlagChange {
    /// Whether it is enabled; none: as before.
    pub enabled: Option<bool>,
    /// The new weights of some of its rules. Variants that are not named get nothing.
    pub rules: BTreeMap<Name, Weights>,
}

/// Works out what the changes of some flags come to, all of them in one revision.
///
/// # Errors
/// All problems: flags, rules and variants that are not there.
pub(crate) fn plan(state: &State, changes: &BTreeMap<Name, FlagChange>) -> Result<Planned, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut next = Vec::new();
    for (name, change) in changes {
        match state.flag(&format!("flags.{name}"), name) {
            Ok((spec, before)) => next.push((&**spec, changed(spec, before, change, &mut problems))),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Planned { flags: state.planned_flags(next), ..state.planned(Action::Flag, []) })
}

/// The state of a flag after a change; what is wrong with that is in `problems`.
fn changed(spec: &FlagSpec, before: &Arc<FlagState>, change: &FlagChange, problems: &mut Vec<Problem>) -> FlagState {
    let mut next = FlagState::clone(before);
    next.enabled = change.enabled.unwrap_or(next.enabled);
    for (rule, serve) in &change.rules {
        if let Err(problem) = find_rule(spec, format!("flags.{}.rules", spec.name), rule) {
            problems.push(problem);
            continue;
        }
        problems.extend(unknown_variants(spec, rule, serve));
        next = next.serving(spec, rule, serve).unwrap_or(next);
    }
    next
}

/// The state of a flag after the file counts for all of it, whatever it said before.
#[must_use]
pub(crate) fn as_the_file_says(before: &FlagState, spec: &FlagSpec) -> FlagState {
    let said_nothing = FlagState { enabled: !spec.enabled, rules: BTreeMap::new() };
    before.under_file(&said_nothing, spec)
}

/// The name of a rule of a flag, that `text` names at `place`.
///
/// # Errors
/// That there is no such rule, or no rule at all.
pub(crate) fn find_rule<'s>(spec: &'s FlagSpec, place: String, text: &str) -> Result<&'s Name, Problem> {
    if let Some(problem) = without_rules(spec, &place) {
        return Err(problem);
    }
    let names = || spec.rules().iter().map(|rule| rule.name.as_str());
    let found = spec.rules().iter().find(|rule| rule.name.as_str() == text);
    found.map(|rule| &rule.name).ok_or_else(|| {
        let remedy = match suggest(text, names()) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => "name a rule of the flag".to_owned(),
        };
        Problem::invalid(place, format!("unknown rule {text:?}"), one_of(names()), remedy)
    })
}

/// The rule that a flag is launched by, if the caller does not say: the last one, which is for all that are left.
///
/// # Errors
/// That the flag has no rules.
pub(crate) fn last_rule(spec: &FlagSpec, place: &str) -> Result<Name, Problem> {
    let none = || {
        let remedy =
            format!("add one to flags.{}.rules in the config, such as {{ name = \"launch\", serve = ... }}", spec.name);
        Problem::conflict(place, format!("no rule of {}", spec.name), "a rule to serve by", remedy)
    };
    match without_rules(spec, place) {
        Some(problem) => Err(problem),
        None => spec.rules().last().map(|rule| rule.name.clone()).ok_or_else(none),
    }
}

/// The problem with rules of a flag that has something else to decide by.
fn without_rules(spec: &FlagSpec, place: &str) -> Option<Problem> {
    let (what, followed, remedy) = match &spec.source {
        FlagSource::Rules { .. } => return None,
        FlagSource::Imported(_) => {
            let remedy = "change its file, or disable the flag";
            return Some(Problem::invalid(
                place,
                "an imported flag, whose file has its rule",
                "a flag with rules",
                remedy,
            ));
        }
        FlagSource::Service(service, _) => ("the service", service, format!("shift {service}, or disable the flag")),
        FlagSource::Flag(flag, _) => ("the flag", flag, format!("change {flag}, or disable this one")),
    };
    let found = format!("a flag that follows {what} {followed}, and has no rules");
    Some(Problem::invalid(place, found, "a flag with rules", remedy))
}

/// The variants of `serve` that the flag does not have.
pub(crate) fn unknown_variants<'a>(
    spec: &'a FlagSpec,
    rule: &'a Name,
    serve: &'a Weights,
) -> impl Iterator<Item = Problem> + 'a {
    let unknown = serve.iter().filter(|(name, _)| spec.variant(name).is_none());
    unknown.map(move |(name, _)| {
        let place = format!("flags.{}.rules.{rule}.serve.{name}", spec.name);
        let known = spec.variants.iter().map(|variant| variant.name.as_str());
        let remedy = match suggest(name, spec.variants.iter().map(|variant| variant.name.as_str())) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => "name a variant of the flag, or add this one to the config".to_owned(),
        };
        Mismatch::new(format!("unknown variant {name:?}"), one_of(known), remedy).at(place, ProblemKind::Invalid)
    })
}
