//! The decision on a flag.

use super::user::{FlagUser, RequestUser, VersionUser};
use super::user_context::UserContext;
use crate::flagd::imported_flag::{Resolution, ResolutionCause};
use crate::table::Table;
use crate::table::compiled_flag::{Flag, FlagAssignment};
use crate::table::spec::flag::FlagSource;

/// Which variant, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Evaluation {
    /// Index of the variant; none: the default of the code that asks.
    pub(crate) variant: Option<u16>,
    /// Why that one.
    pub(crate) why: FlagCause,
}

/// What chose the variant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FlagCause {
    /// The flag is disabled.
    Disabled,
    /// The rule with this index, which serves one variant.
    Rule(u16),
    /// The rule with this index, and the slot of the user's key.
    Slot {
        /// Index of the rule.
        rule: u16,
        /// The slot.
        slot: u32,
    },
    /// The experiment with this index took the user in.
    Experiment(u16),
    /// A rule would have drawn, and there is no key to draw by.
    NoKey,
    /// No rule holds, or what is followed is none of those that the flag knows.
    Default,
    /// The version of the service, or the variant of the flag, that it follows.
    Followed,
    /// An imported flag has no rule.
    Static,
    /// The rule of an imported flag.
    Targeting,
    /// The rule of an imported flag gives something that is no variant.
    NoVariant,
    /// The rule of an imported flag was ended: it does too much for this user.
    TooMuchWork,
}

impl RequestUser<'_> {
    /// Index of the variant that the user has of a flag; none: the default of the code that asks.
    #[must_use]
    pub fn variant(&self, flag: &Flag) -> Option<u16> {
        evaluate(self.table, flag, self).variant
    }
}

/// Decides on a flag of `table` for a user.
#[must_use]
pub(crate) fn evaluate(table: &Table, flag: &Flag, user: &impl FlagUser) -> Evaluation {
    let default = |why| Evaluation { variant: flag.spec.default_variant(), why };
    let mapped = |variants: &[Option<u16>], index: u16| {
        let variant = variants.get(usize::from(index)).copied().flatten();
        variant.map_or(default(FlagCause::Default), |_| Evaluation { variant, why: FlagCause::Followed })
    };
    if !flag.state.enabled {
        return disabled(flag);
    }
    match &flag.assignment {
        FlagAssignment::Default => default(FlagCause::Default),
        FlagAssignment::Service { service, variants } => match user.version(*service) {
            Some(version) => mapped(variants, version),
            None => default(FlagCause::NoKey),
        },
        FlagAssignment::Flag { flag, variants } => {
            let followed = evaluate(table, &table.flags().flags[*flag as usize], user);
            followed.variant.map_or(default(FlagCause::Default), |variant| mapped(variants, variant))
        }
        FlagAssignment::Imported => imported(table, flag, user),
        FlagAssignment::Rules { draw, rules } => {
            let mut why = FlagCause::Default;
            let mut asked = false;
            for (index, rule) in (0..).zip(rules) {
                match &rule.when {
                    Some(when) if !when.holds(user) => continue,
                    Some(_) => {}
                    // What holds for all comes after experiments: those whom a condition names are not theirs.
                    None if !asked => {
                        asked = true;
                        if let Some(given) = by_experiment(table, flag, user) {
                            return given;
                        }
                    }
                    None => {}
                }
                if let Some(variant) = rule.only() {
                    return Evaluation { variant: Some(variant), why: FlagCause::Rule(index) };
                }
                let drawn = user.slot(draw).and_then(|slot| Some((slot, rule.owner(slot)?)));
                if let Some((slot, variant)) = drawn {
                    return Evaluation { variant: Some(variant), why: FlagCause::Slot { rule: index, slot } };
                }
                why = FlagCause::NoKey;
            }
            let given = if asked { None } else { by_experiment(table, flag, user) };
            given.unwrap_or(default(why))
        }
    }
}

/// The variant of an experiment that takes the user in.
fn by_experiment(table: &Table, flag: &Flag, user: &impl FlagUser) -> Option<Evaluation> {
    let experiments = &flag.experiments.indices;
    if experiments.is_empty() {
        return None;
    }
    let given = user.with_user_key(|key| table.experiments().given(experiments, user, key))??;
    Some(Evaluation { variant: Some(given.choice), why: FlagCause::Experiment(given.experiment) })
}

/// A flag that is disabled has its default; an imported one has none then, as in flagd.
fn disabled(flag: &Flag) -> Evaluation {
    let imported = matches!(flag.assignment, FlagAssignment::Imported);
    let variant = flag.spec.default_variant().filter(|_| !imported);
    Evaluation { variant, why: FlagCause::Disabled }
}

/// Decides on a flag by the rule that it has in a file.
fn imported(table: &Table, flag: &Flag, user: &impl FlagUser) -> Evaluation {
    let FlagSource::Imported(source) = &flag.spec.source else {
        return Evaluation { variant: flag.spec.default_variant(), why: FlagCause::Default };
    };
    let context = UserContext { table, user, attributes: &source.attributes };
    let Resolution { variant, cause } = source.flag.resolve(&context);
    let why = match cause {
        ResolutionCause::Static => FlagCause::Static,
        ResolutionCause::TargetingMatch => FlagCause::Targeting,
        ResolutionCause::Default => FlagCause::Default,
        ResolutionCause::NoVariant(_) => FlagCause::NoVariant,
        ResolutionCause::TooMuchWork(_) => FlagCause::TooMuchWork,
    };
    Evaluation { variant, why }
}

/// The variant of a user, and the slot that it was drawn by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DrawnVariant {
    /// Index of the variant.
    pub(crate) variant: u16,
    /// The slot.
    pub(crate) slot: u32,
}

/// What the rule with this index has drawn for a user; `None`: something else decides, or there is no key. One that
/// gives a single variant to everybody draws as well: it is the last step of a release.
#[must_use]
pub(crate) fn drawn(table: &Table, flag: &Flag, rule: u16, user: &impl FlagUser) -> Option<DrawnVariant> {
    let Evaluation { variant, why } = evaluate(table, flag, user);
    match (why, &flag.assignment) {
        (FlagCause::Slot { rule: by, slot }, _) if by == rule => Some(DrawnVariant { variant: variant?, slot }),
        (FlagCause::Rule(by), FlagAssignment::Rules { draw, .. }) if by == rule => {
            Some(DrawnVariant { variant: variant?, slot: user.slot(draw)? })
        }
        _ => None,
    }
}

/// The variant of a flag for those who get this version of the service with this index, if the flag follows that
/// service, or another flag that does; `None`: something else decides.
#[must_use]
pub(crate) fn of_version(table: &Table, flag: &Flag, service: u32, version: u16) -> Option<Evaluation> {
    let mut followed = flag;
    loop {
        match &followed.assignment {
            FlagAssignment::Flag { flag, .. } => followed = &table.flags().flags[*flag as usize],
            FlagAssignment::Service { service: other, .. } if *other == service => {
                return Some(evaluate(table, flag, &VersionUser { service, version }));
            }
            FlagAssignment::Service { .. }
            | FlagAssignment::Rules { .. }
            | FlagAssignment::Imported
            | FlagAssignment::Default => return None,
        }
    }
}

#[cfg(test)]
mod tests;
