//! The state of a flag: the part that changes while requests flow, and that revisions record.

use std::collections::BTreeMap;
use std::fmt;

use super::slots::{BadRuns, Slots};
use super::spec::flag::{FlagRuleSpec, FlagSpec};
use super::weights::Weights;
use crate::shared::name::Name;

/// Whether a flag is enabled, and which slots its rules give to which variant.
///
/// A rule that serves one variant to everybody has all slots on it: so it can be moved to several variants, and back,
/// by the same rule of least movement as a split.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlagState {
    /// Whether it is enabled; the kill switch.
    pub enabled: bool,
    /// The owners of the slots, by rule.
    pub rules: BTreeMap<Name, Slots>,
}

impl FlagState {
    /// The first state of a flag: what the file says.
    #[must_use]
    pub fn first(spec: &FlagSpec) -> Self {
        let rule = |rule: &FlagRuleSpec| (rule.name.clone(), spec.laid(&rule.serve));
        Self { enabled: spec.enabled, rules: spec.rules().iter().map(rule).collect() }
    }

    /// The state after a rule serves other weights, which move as few users as can be. `None`: the flag has no such
    /// rule.
    #[must_use]
    pub fn serving(&self, spec: &FlagSpec, rule: &str, serve: &Weights) -> Option<Self> {
        let rule = spec.rules().iter().find(|known| known.name.as_str() == rule)?;
        let slots = match self.rules.get(&rule.name) {
            Some(before) => spec.relaid(before, serve),
            None => spec.laid(serve),
        };
        let mut rules = self.rules.clone();
        rules.insert(rule.name.clone(), slots);
        Some(Self { rules, ..*self })
    }

    /// The state under a file that may say something new. `intent` is what the file said when it was last applied: what
    /// it still says does not take back what was changed at run time.
    #[must_use]
    pub fn under_file(&self, intent: &Self, spec: &FlagSpec) -> Self {
        let enabled = if spec.enabled == intent.enabled { self.enabled } else { spec.enabled };
        let rule = |rule: &FlagRuleSpec| {
            let Some(old) = self.rules.get(&rule.name) else { return (rule.name.clone(), spec.laid(&rule.serve)) };
            let fits = old.iter().all(|(_, run)| spec.variant(&run.version).is_some());
            // Weights, not owners: how the file's owners are laid depends on the default, which may be another one now.
            let said = intent.rules.get(&rule.name);
            let same = said.is_some_and(|said| rule.serve.iter().all(|(name, w)| said.count(name) == w.slots()));
            (rule.name.clone(), if fits && same { old.clone() } else { spec.relaid(old, &rule.serve) })
        };
        Self { enabled, rules: spec.rules().iter().map(rule).collect() }
    }

    /// Reads what [`Display`](fmt::Display) wrote.
    ///
    /// # Errors
    /// [`BadRuns`] when it is something else.
    pub fn parse(text: &str) -> Result<Self, BadRuns> {
        let bad = || BadRuns { found: text.to_owned() };
        let mut parts = text.split(';');
        let enabled = match parts.next() {
            Some("on") => true,
            Some("off") => false,
            Some(_) | None => return Err(bad()),
        };
        let mut rules = BTreeMap::new();
        for part in parts {
            let (name, runs) = part.split_once('=').ok_or_else(bad)?;
            let before = rules.insert(Name::new(name).ok().ok_or_else(bad)?, Slots::parse(runs)?);
            if before.is_some() {
                return Err(bad());
            }
        }
        Ok(Self { enabled, rules })
    }
}

/// `on;dogfood=on*100000;launch=on*10000 off*90000`
impl fmt::Display for FlagState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.enabled { "on" } else { "off" })?;
        self.rules.iter().try_for_each(|(name, slots)| write!(f, ";{name}={slots}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::fixture::{name, weights};
    use crate::table::spec::flag::{DrawSpec, FlagSource, Variant};

    /// A flag with these variants, of which the one of that name is the default, and one rule.
    fn flag(variants: &[&str], default: &str, serve: &str) -> FlagSpec {
        let variant = |variant: &&str| Variant { name: name(variant), json: format!("{variant:?}").into() };
        let rules = vec![FlagRuleSpec { name: name("launch"), when: None, serve: weights(serve) }];
        let default = variants.iter().position(|name| *name == default).expect("a variant");
        FlagSpec {
            name: name("f"),
            variants: variants.iter().map(variant).collect(),
            default: u16::try_from(default).expect("a few"),
            enabled: true,
            source: FlagSource::Rules { draw: DrawSpec::Salt("f".into()), rules },
        }
    }

    #[test]
    fn the_default_owns_the_high_end_whatever_it_is_called() {
        for (variants, default, serve, laid) in [
            (&["off", "on"][..], "off", "off=90 on=10", "on*10000 off*90000"),
            (&["off", "on"], "on", "off=90 on=10", "off*90000 on*10000"),
            (&["blue", "red"], "red", "blue=10 red=90", "blue*10000 red*90000"),
            (&["blue", "red"], "blue", "blue=90 red=10", "red*10000 blue*90000"),
            (&["a", "b", "c"], "b", "a=20 b=50 c=30", "c*30000 a*20000 b*50000"),
            (&["a", "b", "c"], "c", "a=20 b=50 c=30", "b*50000 a*20000 c*30000"),
            (&["a", "b", "c"], "a", "a=20 b=50 c=30", "c*30000 b*50000 a*20000"),
            (&["v2", "v10"], "v10", "v2=1 v10=99", "v2*1000 v10*99000"),
        ] {
            let spec = flag(variants, default, serve);
            assert_eq!(spec.laid(&weights(serve)).to_string(), laid, "{variants:?}, default {default}");
        }
    }

    #[test]
    fn a_rule_is_moved_at_run_time_and_others_stay() {
        let spec = flag(&["blue", "red"], "red", "blue=10 red=90");
        let first = FlagState::first(&spec);
        let more = first.serving(&spec, "launch", &weights("blue=50 red=50")).expect("a rule");
        assert_eq!(more.to_string(), "on;launch=blue*50000 red*50000");
        let all = more.serving(&spec, "launch", &weights("blue=100 red=0")).expect("a rule");
        assert_eq!(all.serving(&spec, "launch", &weights("blue=10 red=90")), Some(first.clone()), "and back");
        assert_eq!(first.serving(&spec, "lunch", &weights("blue=50 red=50")), None);
    }

    #[test]
    fn what_a_file_still_says_takes_nothing_back() {
        let spec = flag(&["a", "b"], "b", "a=10 b=90");
        let intent = FlagState::first(&spec);
        let moved = intent.serving(&spec, "launch", &weights("a=50 b=50")).expect("a rule");
        let off = FlagState { enabled: false, ..moved.clone() };
        assert_eq!(off.under_file(&intent, &spec), off);
        // Another default is no other weight: no user moves for it.
        assert_eq!(moved.under_file(&intent, &flag(&["a", "b"], "a", "a=10 b=90")), moved);
        let said = moved.under_file(&intent, &flag(&["a", "b"], "b", "a=20 b=80"));
        assert_eq!(said.to_string(), "on;launch=a*20000 b*80000");
        // A variant that is gone owns nothing.
        let gone = moved.under_file(&intent, &flag(&["b", "c"], "b", "b=90 c=10"));
        assert_eq!(gone.to_string(), "on;launch=c*10000 b*90000");
    }

    #[test]
    fn the_stored_text_is_read_back_and_nothing_else_is_read() {
        for text in ["on", "off", "on;launch=on*10000 off*90000", "off;a=x*100000;b=y*1 x*99999"] {
            assert_eq!(FlagState::parse(text).map(|state| state.to_string()).as_deref(), Ok(text));
        }
        for bad in ["", "On", "on;", "on;launch", "on;launch=", "on;a=x*1", "on;a=x*100000;a=x*100000", "on;?=x*100000"]
        {
            assert!(FlagState::parse(bad).is_err(), "{bad:?}");
        }
    }
}
