//! The rule of a flag that a rollout moves, and what a table has of it.

use super::saved_flag::{SavedFlag, SavedGroupFlag};
use crate::control::rollout_change::{FlagMove, same};
use crate::shared::name::BadName;
use crate::table::{Name, Slots, Table, Weight, Weights};

/// What candidate and baseline have at a weight of the candidate.
pub(crate) fn of_both(candidate: &Name, baseline: &Name, weight: Weight) -> Option<Weights> {
    let rest = Weight::from_slots(Weight::FULL.slots() - weight.slots()).unwrap_or_default();
    Weights::new([(candidate.clone(), weight), (baseline.clone(), rest)].into()).ok()
}

/// The rule of a flag that a rollout moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReleasedRule {
    /// The flag.
    pub(crate) flag: Name,
    /// Its rule.
    pub(crate) rule: Name,
}

impl ReleasedRule {
    /// What was stored of it.
    ///
    /// # Errors
    /// If one of them cannot be called so.
    pub(crate) fn of_saved(saved: &SavedFlag) -> Result<Self, BadName> {
        Ok(Self { flag: Name::new(&saved.name)?, rule: Name::new(&saved.rule)? })
    }

    /// What is stored of it.
    pub(crate) fn saved(&self) -> SavedFlag {
        SavedFlag { name: self.flag.as_str().to_owned(), rule: self.rule.as_str().to_owned() }
    }

    /// What the rule serves; none while the flag is disabled, and if the flag or the rule is gone.
    pub(crate) fn serves(&self, table: &Table) -> Option<Weights> {
        let flag = table.flags().named(&self.flag).filter(|flag| flag.state.enabled)?;
        flag.spec.rules().iter().find(|rule| rule.name == self.rule)?;
        flag.state.rules.get(&self.rule).map(Slots::weights)
    }

    /// Whether the flag has the rule and these variants.
    pub(crate) fn has(&self, table: &Table, variants: [&Name; 2]) -> bool {
        table.flags().named(&self.flag).is_some_and(|flag| {
            flag.spec.rules().iter().any(|rule| rule.name == self.rule)
                && variants.iter().all(|variant| flag.spec.variant(variant).is_some())
        })
    }
}

/// A flag that a rollout moves, from one variant to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MovedFlag {
    /// The flag, and its rule.
    pub(crate) released: ReleasedRule,
    /// The baseline.
    pub(crate) from: Name,
    /// The candidate.
    pub(crate) to: Name,
    /// The services in which its variants are compared.
    pub(crate) services: Vec<Name>,
}

impl MovedFlag {
    /// What was stored of one of a group.
    ///
    /// # Errors
    /// If something of it cannot be called so.
    pub(crate) fn of_group(saved: &SavedGroupFlag) -> Result<Self, BadName> {
        let SavedGroupFlag { flag, from, to, services } = saved;
        let services = services.iter().map(|service| Name::new(service)).collect::<Result<_, _>>()?;
        Ok(Self { released: ReleasedRule::of_saved(flag)?, from: Name::new(from)?, to: Name::new(to)?, services })
    }

    /// What is stored of one of a group.
    pub(crate) fn saved(&self) -> SavedGroupFlag {
        let Self { released, from, to, services } = self;
        let text = |name: &Name| name.as_str().to_owned();
        SavedGroupFlag {
            flag: released.saved(),
            from: text(from),
            to: text(to),
            services: services.iter().map(text).collect(),
        }
    }

    /// What becomes of the rule at a weight of the candidate; none: as before. `expects` is the weight that it was
    /// decided on.
    pub(crate) fn to_weight(&self, weight: Option<Weight>, expects: Weight) -> FlagMove {
        let ReleasedRule { flag, rule } = self.released.clone();
        let serve = weight.and_then(|weight| self.weights(weight));
        let expects = serve.as_ref().and_then(|_| self.weights(expects));
        FlagMove { flag, rule, serve, expects, needs_enabled: false }
    }

    /// Whether the rule serves something else than it should at a weight of the candidate, or nothing.
    pub(crate) fn is_shifted(&self, weight: Weight, table: &Table) -> bool {
        let (expected, found) = (self.weights(weight), self.released.serves(table));
        expected.zip(found).is_none_or(|(expected, found)| !same(&expected, &found))
    }

    /// Whether the flag has the rule and both variants.
    pub(crate) fn is_there(&self, table: &Table) -> bool {
        self.released.has(table, [&self.from, &self.to])
    }

    fn weights(&self, weight: Weight) -> Option<Weights> {
        of_both(&self.to, &self.from, weight)
    }
}
