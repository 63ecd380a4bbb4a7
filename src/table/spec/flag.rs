//! The definition of a flag: which variants it has, and who gets which.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Attribute, Condition};
use crate::flagd::imported_flag::ImportedFlag;
use crate::shared::name::Name;
use crate::table::slots::{SlotOrder, Slots};
use crate::table::weights::Weights;

/// The flags of a config.
#[derive(Clone, Debug, Default)]
pub struct FlagSpecs {
    /// All of them, in order of their names; those that follow others follow flags of this list, and in no circle.
    pub flags: Vec<Arc<FlagSpec>>,
    /// The flags that the requests of a service carry, by the service.
    pub told: BTreeMap<Name, Vec<Name>>,
}

impl FlagSpecs {
    /// The flag of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<FlagSpec>> {
        let found = self.flags.binary_search_by(|flag| flag.name.as_str().cmp(name)).ok()?;
        self.flags.get(found)
    }
}

/// One flag, as the file defines it.
#[derive(Clone, Debug)]
pub struct FlagSpec {
    /// Its name.
    pub name: Name,
    /// Its variants, at least one, each name once, their values all of one type.
    pub variants: Vec<Variant>,
    /// Index of the variant when it is disabled, or when nothing else says which. An imported flag may have none, and
    /// says so itself ([`FlagSpec::default_variant`]).
    pub default: u16,
    /// Whether it is enabled, as the file has it.
    pub enabled: bool,
    /// Who gets which variant.
    pub source: FlagSource,
}

/// One thing that a flag can be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Variant {
    /// Its name.
    pub name: Name,
    /// Its value, as the text of JSON.
    pub json: Box<str>,
}

/// What decides on the variant.
#[derive(Clone, Debug)]
pub enum FlagSource {
    /// Rules, in order; the first that holds.
    Rules {
        /// How users are drawn where a rule serves several variants.
        draw: DrawSpec,
        /// The rules.
        rules: Vec<FlagRuleSpec>,
    },
    /// The version of this service that a user gets.
    Service(Name, FollowedVariants),
    /// The variant of another flag.
    Flag(Name, FollowedVariants),
    /// The rule that it has in a file of flagd's format.
    Imported(ImportedSource),
}

/// What decides on a flag that was imported.
#[derive(Clone, Debug)]
pub struct ImportedSource {
    /// The flag, as its file has it.
    pub flag: Arc<ImportedFlag>,
    /// Where a request has what the rule looks at, of the attributes that the config defines.
    pub attributes: Vec<Arc<Attribute>>,
}

/// The index of the variant for each name of what is followed; the default for others.
pub(crate) type FollowedVariants = Vec<(Name, u16)>;

/// How users are drawn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DrawSpec {
    /// By the key that the request's service has, under this salt.
    Salt(Arc<str>),
    /// As this service draws them: by its keys, under its salt.
    Service(Name),
}

/// A rule of a flag.
#[derive(Clone, Debug)]
pub struct FlagRuleSpec {
    /// Its name.
    pub name: Name,
    /// When it holds; none: always.
    pub when: Option<Arc<Condition>>,
    /// What it serves, as the file has it: weights of all variants.
    pub serve: Weights,
}

impl FlagSpec {
    /// Index of the variant of this name.
    #[must_use]
    pub fn variant(&self, name: &str) -> Option<u16> {
        (0..).zip(&self.variants).find(|(_, variant)| variant.name.as_str() == name).map(|(index, _)| index)
    }

    /// Index of the variant when nothing else says which; none: the code that asks has a default.
    #[must_use]
    pub fn default_variant(&self) -> Option<u16> {
        match &self.source {
            FlagSource::Imported(source) => source.flag.default,
            FlagSource::Rules { .. } | FlagSource::Service(..) | FlagSource::Flag(..) => Some(self.default),
        }
    }

    /// The owners of the slots of a rule that serves these weights, laid afresh.
    ///
    /// The default variant owns the high end and the others the low one, as the stable version and the new one of a
    /// service do. So a flag that is drawn as a service reaches the users of its new version, whatever its variants are
    /// called.
    #[must_use]
    pub fn laid(&self, serve: &Weights) -> Slots {
        Slots::fresh_in(self.slot_order(), serve)
    }

    /// The same, laid over the owners before: no user moves who does not have to.
    #[must_use]
    pub fn relaid(&self, before: &Slots, serve: &Weights) -> Slots {
        before.relaid_in(self.slot_order(), serve)
    }

    fn slot_order(&self) -> SlotOrder<'_> {
        let default = self.variants.get(usize::from(self.default));
        default.map_or(SlotOrder::Natural, |variant| SlotOrder::First(&variant.name))
    }

    /// The rules, none of a flag that follows.
    #[must_use]
    pub fn rules(&self) -> &[FlagRuleSpec] {
        match &self.source {
            FlagSource::Rules { rules, .. } => rules,
            FlagSource::Service(..) | FlagSource::Flag(..) | FlagSource::Imported(_) => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flag_is_found_by_its_name_and_nothing_else_is() {
        let name = |text: &str| Name::new(text).expect("a name");
        let flag = |n: usize| {
            let source = FlagSource::Rules { draw: DrawSpec::Salt("s".into()), rules: Vec::new() };
            let variants = vec![Variant { name: name("on"), json: "true".into() }];
            Arc::new(FlagSpec { name: name(&format!("flag-{n:03}")), variants, default: 0, enabled: true, source })
        };
        for count in [0, 1, 2, 100] {
            let specs = FlagSpecs { flags: (0..count).map(flag).collect(), told: BTreeMap::new() };
            for spec in &specs.flags {
                assert!(specs.named(&spec.name).is_some_and(|found| Arc::ptr_eq(found, spec)), "{}", spec.name);
            }
            for other in ["", "flag-", "flag-100", "flag-0000", "a", "z"] {
                assert!(specs.named(other).is_none(), "{other}");
            }
        }
    }
}
