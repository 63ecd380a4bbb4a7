//! The difference that a change makes to the users of a flag.
//!
//! What counts is what users *get*: a flag that is disabled gives its default to all of them. So a rule is compared as
//! it acts, and enabling or disabling a flag moves those of its users who do not have the default. Which users a rule
//! reaches is not known here (it may ask for headers), so all shares are of the users that the rule reaches.

use std::collections::BTreeSet;

use crate::table::flag_state::FlagState;
use crate::table::spec::flag::{FlagSource, FlagSpec};
use crate::table::{Name, SLOTS, Slots, Weight, Weights};

use super::difference::{WeightDifference, least_moved, weight_differences};

/// What a change does to one flag.
#[derive(Clone, Debug, PartialEq)]
pub struct FlagDifference {
    /// The flag.
    pub flag: Name,
    /// The variant of those whom nothing else gives one, and of all while the flag is disabled; none if the code that
    /// asks has a default of its own.
    pub default: Option<Name>,
    /// Whether it was enabled before; none when the flag is new.
    pub was_enabled: Option<bool>,
    /// Whether it is enabled after.
    pub enabled: bool,
    /// The rules that give some users another variant, or would if the flag were enabled.
    pub rules: Vec<RuleDifference>,
    /// Of a flag that follows a service, and is enabled or disabled: how many of the users whom the split draws get
    /// another variant. None of all others: rules, or another flag, say how many those are.
    pub followers: Option<Weight>,
}

/// What a change does to one rule of a flag.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleDifference {
    /// The rule.
    pub rule: Name,
    /// Its weights before; none when the rule is new.
    pub from: Option<Weights>,
    /// Its weights after; none when the rule is gone.
    pub to: Option<Weights>,
    /// Share of the users that the rule reaches who get another variant, 0 to 1.
    pub moved: f64,
    /// The least share that the weights allow.
    pub minimum: f64,
}

/// A flag as its users find it: its state, and the variant that it gives while it is disabled.
#[derive(Clone, Copy)]
struct Acting<'s> {
    state: &'s FlagState,
    default: Option<&'s Name>,
}

impl FlagDifference {
    /// What the change of a flag's state from `before` to `after` does, where `default` is its default.
    #[must_use]
    pub fn of(flag: &Name, default: Option<&Name>, before: Option<&FlagState>, after: &FlagState) -> Self {
        let before = before.map(|state| Acting { state, default });
        let after = Acting { state: after, default };
        let names: BTreeSet<&Name> =
            before.iter().flat_map(|before| before.state.rules.keys()).chain(after.state.rules.keys()).collect();
        Self {
            flag: flag.clone(),
            default: default.cloned(),
            was_enabled: before.map(|before| before.state.enabled),
            enabled: after.state.enabled,
            rules: names.into_iter().filter_map(|rule| RuleDifference::of(rule, before, after)).collect(),
            followers: None,
        }
    }

    /// Whether the flag is enabled, and was not, or the other way round.
    #[must_use]
    pub fn is_switched(&self) -> bool {
        self.was_enabled.is_some_and(|before| before != self.enabled)
    }
}

/// How many of the users whom the split of a service draws do not have the default of a flag that follows it.
pub(crate) fn off_default(spec: &FlagSpec, split_of: impl FnOnce(&Name) -> Option<Weights>) -> Option<Weight> {
    let FlagSource::Service(service, followed) = &spec.source else { return None };
    let split = split_of(service)?;
    let others = followed.iter().filter(|(_, variant)| *variant != spec.default);
    Weight::from_slots(others.map(|(version, _)| split.of(version).slots()).sum())
}

impl RuleDifference {
    /// What the change does to the rule; none if that is nothing.
    fn of(rule: &Name, before: Option<Acting<'_>>, after: Acting<'_>) -> Option<Self> {
        let weights = |acting: Acting<'_>| acting.state.rules.get(rule).map(Slots::weights);
        let (from, to) = (before.and_then(weights), weights(after));
        let (moved, minimum) = match (before.and_then(|before| before.slots(rule)), after.slots(rule)) {
            (Some(before), Some(after)) => {
                (share(before.moved(&after)), least_moved(&before.weights(), &after.weights()))
            }
            // Whom a rule reaches that is new or gone, and what they had before or get now, other rules say.
            (Some(_) | None, Some(_) | None) => (0.0, 0.0),
        };
        (from != to || moved > 0.0).then(|| Self { rule: rule.clone(), from, to, moved, minimum })
    }

    /// All variants that have a share before or after, in natural order, with both shares.
    #[must_use]
    pub fn weights(&self) -> Vec<WeightDifference<'_>> {
        weight_differences(self.from.as_ref(), self.to.as_ref())
    }
}

impl Acting<'_> {
    /// Who gets what by a rule.
    fn slots(&self, rule: &Name) -> Option<Slots> {
        let slots = self.state.rules.get(rule)?;
        let all_default = |default| Slots::fresh(&Weights::all_on(default, []));
        if self.state.enabled { Some(slots.clone()) } else { self.default.map(all_default) }
    }
}

fn share(slots: u32) -> f64 {
    f64::from(slots) / f64::from(SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    fn of(before: Option<&str>, after: &str) -> FlagDifference {
        let state = |text: &str| FlagState::parse(text).expect("a state");
        FlagDifference::of(&name("f"), Some(&name("off")), before.map(state).as_ref(), &state(after))
    }

    fn moved(difference: &FlagDifference) -> Vec<(&str, f64, f64)> {
        difference.rules.iter().map(|rule| (rule.rule.as_str(), rule.moved, rule.minimum)).collect()
    }

    #[test]
    fn a_launch_moves_the_least_it_can() {
        let launch = of(Some("on;a=on*10000 off*90000;b=on*100000"), "on;a=on*50000 off*50000;b=on*100000");
        assert_eq!(moved(&launch), [("a", 0.4, 0.4)], "a rule that stays is not named");
        assert_eq!((launch.was_enabled, launch.enabled), (Some(true), true));
        let around = of(Some("on;a=on*50000 off*50000"), "on;a=off*50000 on*50000");
        assert_eq!(moved(&around), [("a", 1.0, 0.0)], "the same weights for others");
    }

    #[test]
    fn the_kill_switch_moves_those_who_do_not_have_the_default() {
        let (on, off) =
            ("on;a=on*10000 off*90000;b=on*100000;c=off*100000", "off;a=on*10000 off*90000;b=on*100000;c=off*100000");
        for (before, after) in [(on, off), (off, on)] {
            assert_eq!(moved(&of(Some(before), after)), [("a", 0.1, 0.1), ("b", 1.0, 1.0)]);
        }
        let silent = of(Some("off;a=on*10000 off*90000"), "off;a=on*90000 off*10000");
        assert_eq!(moved(&silent), [("a", 0.0, 0.0)], "a flag that is disabled moves no user");
        assert_eq!(silent.rules[0].weights().len(), 2);
        let both = of(Some("off;a=on*10000 off*90000"), "on;a=on*30000 off*70000");
        assert_eq!(moved(&both), [("a", 0.3, 0.3)], "enabled with other weights in one change");
    }

    #[test]
    fn rules_that_come_and_go_are_named() {
        let changed = of(Some("on;old=on*100000"), "on;new=on*5000 off*95000");
        let sides: Vec<_> = changed.rules.iter().map(|rule| (rule.from.is_some(), rule.to.is_some())).collect();
        assert_eq!(sides, [(false, true), (true, false)]);
        let new = of(None, "on;a=on*5000 off*95000");
        assert_eq!((new.was_enabled, moved(&new)), (None, vec![("a", 0.0, 0.0)]));
    }
}
