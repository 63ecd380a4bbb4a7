//! A flag as the API shows it: its definition, and what users get of it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::control::flag_difference::{FlagDifference, RuleDifference};
use crate::table::compiled_flag::Flag;
use crate::table::spec::flag::{DrawSpec, FlagRuleSpec, FlagSource, FlagSpec, FollowedVariants, Variant};
use crate::table::{Name, Table, Weight};

use super::view::percents;

/// A flag: what it is, and what users get of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Flag)]
pub(crate) struct FlagView {
    /// Its name.
    name: String,
    /// Whether it is enabled; if not, all users have the default.
    enabled: bool,
    /// Its variants, in natural order.
    variants: Vec<VariantView>,
    /// The variant of those whom nothing else gives one; none of an imported flag that leaves it to the code that asks.
    default: Option<String>,
    /// What `fractional` hashes, `v2` or `v3`, in the rule that it has of the imported file; none of other flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    imported: Option<String>,
    /// What keys are hashed with; `service:NAME`: as that service draws its users. None of a flag that follows or is
    /// imported.
    salt: Option<String>,
    /// What it follows; none of a flag with rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    follows: Option<FollowedView>,
    /// Its rules, in order; the first that holds decides.
    rules: Vec<FlagRuleView>,
    /// Whether the config file has it enabled.
    file_enabled: bool,
    /// Whether it is enabled, or what its rules serve, is another than the file says.
    differs_from_file: bool,
    /// The services whose requests carry it to the upstream.
    services: Vec<String>,
}

/// A variant of a flag.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Variant)]
pub(crate) struct VariantView {
    /// Its name.
    name: String,
    /// Its value.
    value: Value,
}

/// What a flag follows.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Followed)]
pub(crate) struct FollowedView {
    /// The service whose version decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    /// The flag whose variant decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    flag: Option<String>,
    /// The variant, by version of the service or by variant of the flag; the default for others.
    variants: BTreeMap<String, String>,
}

/// A rule of a flag.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FlagRule)]
pub(crate) struct FlagRuleView {
    /// Its name.
    name: String,
    /// Whether it has a condition; if not, it is for all whom the rules before it leave.
    conditional: bool,
    /// Its condition in words; none if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<String>,
    /// What it serves, in per cent by variant.
    serve: BTreeMap<String, f64>,
    /// What the config file has it serve.
    file_serve: BTreeMap<String, f64>,
}

/// What changes for a flag.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FlagDifference)]
pub(crate) struct FlagDifferenceView {
    /// The flag.
    pub(crate) flag: String,
    /// Whether it was enabled; none when the flag is new.
    was_enabled: Option<bool>,
    /// Whether it is enabled.
    enabled: bool,
    /// The variant of all while it is disabled; none if the code that asks has a default of its own.
    default: Option<String>,
    /// Its rules that give some users another variant, or would if it were enabled.
    rules: Vec<RuleDifferenceView>,
    /// Of a flag that follows a service, and is enabled or disabled: share of the users whom the split draws that get another
    /// variant, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    followers_moved_ratio: Option<f64>,
}

/// What changes for the users whom a rule of a flag reaches.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RuleDifference)]
pub(crate) struct RuleDifferenceView {
    /// The rule.
    rule: String,
    /// The weights of the variants.
    weights: Vec<VariantWeights>,
    /// Share of those users that get another variant, 0 to 1; while the flag is disabled no user does.
    moved_ratio: f64,
    /// The least share that the change allows.
    minimum_ratio: f64,
}

/// The weights of a variant, in per cent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct VariantWeights {
    /// The variant.
    variant: String,
    /// Before; none when the rule is new.
    from: Option<f64>,
    /// After; none when the rule is gone.
    to: Option<f64>,
}

impl FlagView {
    /// All flags of a table.
    pub(crate) fn all(table: &Table) -> Vec<Self> {
        table.flags().flags.iter().map(|flag| Self::of(flag, table)).collect()
    }

    /// A flag of a table.
    pub(crate) fn of(flag: &Flag, table: &Table) -> Self {
        let spec = &flag.spec;
        let rules: Vec<_> = spec.rules().iter().map(|rule| FlagRuleView::of(rule, flag)).collect();
        let moved = rules.iter().any(|rule| rule.serve != rule.file_serve);
        let default = spec.default_variant().and_then(|index| spec.variants.get(usize::from(index)));
        Self {
            name: spec.name.to_string(),
            enabled: flag.state.enabled,
            variants: spec.variants.iter().map(VariantView::of).collect(),
            default: default.map(|default| default.name.to_string()),
            imported: imported(spec),
            salt: salt(spec),
            follows: FollowedView::of(spec),
            differs_from_file: moved || flag.state.enabled != spec.enabled,
            rules,
            file_enabled: spec.enabled,
            services: services(flag, table),
        }
    }
}

impl VariantView {
    fn of(variant: &Variant) -> Self {
        let value = serde_json::from_str(&variant.json).unwrap_or(Value::Null);
        Self { name: variant.name.to_string(), value }
    }
}

/// The services whose requests carry a flag.
fn services(flag: &Flag, table: &Table) -> Vec<String> {
    let carries = |index: u32| table.flags().told_flags(index).any(|told| told.spec.name == flag.spec.name);
    let carrying = (0..).zip(table.services()).filter(|(index, _)| carries(*index));
    carrying.map(|(_, service)| service.spec.name.to_string()).collect()
}

/// What the flag's keys are hashed with, as the config writes it.
fn salt(spec: &FlagSpec) -> Option<String> {
    match &spec.source {
        FlagSource::Rules { draw: DrawSpec::Salt(salt), .. } => Some(salt.to_string()),
        FlagSource::Rules { draw: DrawSpec::Service(service), .. } => Some(format!("service:{service}")),
        FlagSource::Service(..) | FlagSource::Flag(..) | FlagSource::Imported(_) => None,
    }
}

/// What `fractional` hashes in the rule of an imported flag.
fn imported(spec: &FlagSpec) -> Option<String> {
    match &spec.source {
        FlagSource::Imported(source) => Some(source.flag.version().to_string()),
        FlagSource::Rules { .. } | FlagSource::Service(..) | FlagSource::Flag(..) => None,
    }
}

impl FollowedView {
    fn of(spec: &FlagSpec) -> Option<Self> {
        let variants = |followed: &FollowedVariants| {
            let pairs =
                followed.iter().filter_map(|(name, index)| Some((name, spec.variants.get(usize::from(*index))?)));
            pairs.map(|(name, variant)| (name.to_string(), variant.name.to_string())).collect()
        };
        let name = |name: &Name| Some(name.to_string());
        match &spec.source {
            FlagSource::Rules { .. } | FlagSource::Imported(_) => None,
            FlagSource::Service(service, followed) => {
                Some(Self { service: name(service), flag: None, variants: variants(followed) })
            }
            FlagSource::Flag(flag, followed) => {
                Some(Self { service: None, flag: name(flag), variants: variants(followed) })
            }
        }
    }
}

impl FlagRuleView {
    fn of(rule: &FlagRuleSpec, flag: &Flag) -> Self {
        let slots = flag.state.rules.get(&rule.name);
        let share = |name: &Name| Weight::from_slots(slots?.count(name)).map(Weight::percent);
        let serve = flag.spec.variants.iter().map(|variant| &variant.name);
        Self {
            name: rule.name.to_string(),
            conditional: rule.when.is_some(),
            when: rule.when.as_ref().map(ToString::to_string),
            serve: serve.map(|name| (name.to_string(), share(name).unwrap_or_default())).collect(),
            file_serve: percents(&rule.serve),
        }
    }
}

impl FlagDifferenceView {
    /// The view of a difference.
    pub(crate) fn of(difference: &FlagDifference) -> Self {
        Self {
            flag: difference.flag.to_string(),
            was_enabled: difference.was_enabled,
            enabled: difference.enabled,
            default: difference.default.as_ref().map(ToString::to_string),
            rules: difference.rules.iter().map(RuleDifferenceView::of).collect(),
            followers_moved_ratio: difference.followers.map(Weight::ratio),
        }
    }
}

impl RuleDifferenceView {
    fn of(difference: &RuleDifference) -> Self {
        let (is_new, is_gone) = (difference.from.is_none(), difference.to.is_none());
        let weights = difference.weights().into_iter().map(|share| VariantWeights {
            variant: share.version.to_string(),
            from: (!is_new).then(|| share.from.percent()),
            to: (!is_gone).then(|| share.to.percent()),
        });
        Self {
            rule: difference.rule.to_string(),
            weights: weights.collect(),
            moved_ratio: difference.moved,
            minimum_ratio: difference.minimum,
        }
    }
}
