//! Why a user has a variant, in words: for `explain`, and for those who ask for a flag by a key.

use super::evaluate::{Evaluation, FlagCause};
use crate::table::compiled_flag::Flag;
use crate::table::spec::flag::FlagSource;

/// Why a user has a variant of `flag`, such as `the key falls on slot 4711, which on owns in rule launch`.
#[must_use]
pub(crate) fn reason(flag: &Flag, evaluation: Evaluation) -> String {
    let spec = &flag.spec;
    let variant = evaluation.variant.and_then(|index| spec.variants.get(usize::from(index)));
    let variant = variant.map_or("the default of the code", |variant| variant.name.as_str());
    let rule = |index: u16| spec.rules().get(usize::from(index)).map_or("", |rule| rule.name.as_str());
    match evaluation.why {
        FlagCause::Disabled if evaluation.variant.is_none() => format!("the flag is disabled, so {variant}"),
        FlagCause::Disabled => format!("the flag is disabled, so {variant}, its default"),
        FlagCause::Rule(index) => format!("rule {} serves {variant}", rule(index)),
        FlagCause::Slot { rule: index, slot } => {
            format!("the key falls on slot {slot}, which {variant} owns in rule {}", rule(index))
        }
        FlagCause::Experiment(index) => {
            let experiment = flag.experiments.name(index).map_or("", |name| name.as_str());
            format!("experiment {experiment} gives {variant}")
        }
        FlagCause::NoKey => format!("there is no key to draw by, so {variant}, the default"),
        FlagCause::Followed => format!("{} has {variant}", followed(&spec.source)),
        FlagCause::Static => format!("the flag has no rule, so {variant}, its default"),
        FlagCause::Targeting => format!("the rule of {} gives {variant}", imported(&spec.source)),
        FlagCause::NoVariant => {
            format!("the rule of {} gives something that is no variant, so {variant}", imported(&spec.source))
        }
        FlagCause::TooMuchWork => {
            format!("the rule of {} does too much for this user and was ended, so {variant}", imported(&spec.source))
        }
        FlagCause::Default if evaluation.variant.is_none() => {
            format!("{} gives no variant and the flag has no default, so {variant}", imported(&spec.source))
        }
        FlagCause::Default => match &spec.source {
            FlagSource::Rules { .. } => format!("no rule holds, so {variant}, the default"),
            FlagSource::Imported(_) => format!("{} gives none, so {variant}, the default", imported(&spec.source)),
            source @ (FlagSource::Service(..) | FlagSource::Flag(..)) => {
                format!("{} has no variant of its own, so {variant}, the default", followed(source))
            }
        },
    }
}

/// The file's rule, with what `fractional` hashes in it: another version would give most users another variant.
fn imported(source: &FlagSource) -> String {
    match source {
        FlagSource::Imported(source) => format!("the imported file (fractional {})", source.flag.version()),
        FlagSource::Rules { .. } | FlagSource::Service(..) | FlagSource::Flag(..) => "a rule".to_owned(),
    }
}

/// What decides on a flag that follows.
fn followed(source: &FlagSource) -> String {
    match source {
        FlagSource::Rules { .. } | FlagSource::Imported(_) => "a rule".to_owned(),
        FlagSource::Service(name, _) => format!("the version of {name} that the user gets"),
        FlagSource::Flag(name, _) => format!("the user's variant of {name}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::table::fixture::{name, spec, table, weights};
    use crate::table::spec::flag::{DrawSpec, FlagRuleSpec, FlagSpec, FlagSpecs, Variant};

    #[test]
    fn every_cause_has_words() {
        let variant = |(variant, json): (&str, &str)| Variant { name: name(variant), json: json.into() };
        let flag = |flag: &str, source| {
            let variants = [("off", "false"), ("on", "true")].map(variant).to_vec();
            Arc::new(FlagSpec { name: name(flag), variants, default: 0, enabled: true, source })
        };
        let rule = |rule, serve| FlagRuleSpec { name: name(rule), when: None, serve: weights(serve) };
        let rules = vec![rule("dogfood", "off=0 on=100"), rule("launch", "off=90 on=10")];
        let drawn = FlagSource::Rules { draw: DrawSpec::Salt("a".into()), rules };
        let follow = || vec![(name("v1"), 1)];
        let flags = vec![
            flag("a", drawn),
            flag("b", FlagSource::Service(name("shop"), follow())),
            flag("c", FlagSource::Flag(name("a"), follow())),
        ];
        let table = table([spec("shop", "v1=100")]);
        let table = table.with_flags(1, &FlagSpecs { flags, told: BTreeMap::new() }, &BTreeMap::new());
        for (flag, variant, why, words) in [
            ("a", 0, FlagCause::Disabled, "the flag is disabled, so off, its default"),
            ("a", 1, FlagCause::Rule(0), "rule dogfood serves on"),
            ("a", 1, FlagCause::Slot { rule: 1, slot: 7 }, "the key falls on slot 7, which on owns in rule launch"),
            ("a", 0, FlagCause::NoKey, "there is no key to draw by, so off, the default"),
            ("a", 0, FlagCause::Default, "no rule holds, so off, the default"),
            ("b", 1, FlagCause::Followed, "the version of shop that the user gets has on"),
            (
                "b",
                0,
                FlagCause::Default,
                "the version of shop that the user gets has no variant of its own, so off, the default",
            ),
            ("c", 1, FlagCause::Followed, "the user's variant of a has on"),
        ] {
            let flag = table.flags().named(flag).expect("a flag");
            assert_eq!(reason(flag, Evaluation { variant: Some(variant), why }), words);
        }
    }
}
