//! What `explain` says of the flags that a request would carry.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::flags::{FlagCause, RequestUser, evaluate, of_version, reason};
use crate::table::compiled_flag::Flag;
use crate::table::spec::flag::FlagSource;
use crate::table::{Cause, Decision, RequestView, Table};

/// A flag that the upstream is told with the request.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct ExplainedFlag {
    /// The variant; none when chance decides.
    variant: Option<String>,
    /// The value of the variant.
    value: Option<Value>,
    /// The rule that decides.
    rule: Option<String>,
    /// The slot of the user's key.
    slot: Option<u32>,
    /// When chance decides by a rule: the variants and how likely they are, in per cent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    chances: BTreeMap<String, f64>,
    /// Why it is this variant, in words.
    why: String,
}

/// The flags of the request that `decision` is about, by their names.
pub(crate) fn explained_flags(
    table: &Table,
    view: &RequestView<'_>,
    decision: &Decision<'_>,
) -> BTreeMap<String, ExplainedFlag> {
    let Decision { service_index: service, version, slot, new_key, .. } = *decision;
    let clock = || jiff::Timestamp::now().as_second();
    let user = RequestUser { table, view, service, version, slot, new_key, clock };
    // The key is a random one that the request is about to get, or there is none and the slot is a random one.
    let by_chance = new_key.is_some() || decision.cause == Cause::Chance;
    let flags = table.flags().told_flags(service);
    let explained = |flag: &Flag| (flag.spec.name.to_string(), ExplainedFlag::of(flag, &user, by_chance));
    flags.map(explained).collect()
}

impl ExplainedFlag {
    fn of(flag: &Flag, user: &RequestUser<'_>, by_chance: bool) -> Self {
        let evaluation = evaluate(user.table, flag, user);
        let spec = &flag.spec;
        let name_of = |index: u16| spec.rules().get(usize::from(index)).map(|rule| rule.name.to_string());
        let (rule, slot) = match evaluation.why {
            FlagCause::Rule(rule) => (name_of(rule), None),
            FlagCause::Slot { rule, slot } => (name_of(rule), Some(slot)),
            FlagCause::Disabled
            | FlagCause::Experiment(_)
            | FlagCause::NoKey
            | FlagCause::Default
            | FlagCause::Followed
            | FlagCause::Static
            | FlagCause::Targeting
            | FlagCause::NoVariant
            | FlagCause::TooMuchWork => (None, None),
        };
        let by_key = matches!(evaluation.why, FlagCause::Experiment(_) | FlagCause::Slot { .. } | FlagCause::Default);
        if user.new_key.is_some() && !flag.experiments.indices.is_empty() && by_key {
            let why =
                "the request has no key: the one that it is about to get decides, by an experiment first".to_owned();
            return Self { why, ..Self::default() };
        }
        if by_chance && slot.is_some() {
            let slots = rule.as_deref().and_then(|rule| flag.state.rules.get(rule));
            let weights = slots.into_iter().flat_map(|slots| {
                let weights = slots.weights();
                weights.iter().map(|(name, weight)| (name.to_string(), weight.percent())).collect::<Vec<_>>()
            });
            let why = "the request has no key: chance decides, as it does on the version".to_owned();
            return Self { rule, chances: weights.collect(), why, ..Self::default() };
        }
        if by_chance && flag.state.enabled && of_version(user.table, flag, user.service, user.version).is_some() {
            let why = "it follows the version, on which chance decides".to_owned();
            return Self { why, ..Self::default() };
        }
        let by_rule = matches!(&spec.source, FlagSource::Imported(source) if source.flag.has_rule());
        if by_chance && by_rule && flag.state.enabled && user.new_key.is_some() {
            let why = "the request has no key: where the rule draws by it, the one that it is about to get decides";
            return Self { why: why.to_owned(), ..Self::default() };
        }
        let variant = evaluation.variant.and_then(|index| spec.variants.get(usize::from(index)));
        Self {
            variant: variant.map(|variant| variant.name.to_string()),
            value: variant.and_then(|variant| serde_json::from_str(&variant.json).ok()),
            rule,
            slot,
            chances: BTreeMap::new(),
            why: reason(flag, evaluation),
        }
    }
}
