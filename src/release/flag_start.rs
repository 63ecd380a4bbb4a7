//! The start of a flag's release: which rule it moves, from which variant to which, and what speaks against that.
//!
//! A flag is released by its last rule, the one for all whom no rule before it picks out. It is judged by the requests
//! of the services that list it, of users whom that rule draws: what happens to those whom a rule before it gives a
//! variant says nothing, for no lot has put them there.

use super::released_rule::{MovedFlag, ReleasedRule, of_both};
use crate::config::RolloutSection;
use crate::control::flag_change;
use crate::problem::{Mismatch, Problem, ProblemKind, one_of};
use crate::table::compiled_flag::{Flag, FlagAssignment, FlagDraw};
use crate::table::{Name, Service, Slots, Table, Weight, Weights};

/// A flag that is to be released.
pub(super) struct FlagStart<'t> {
    flag: &'t Flag,
    /// The rule that is moved.
    pub(super) rule: ReleasedRule,
    /// The services that list it.
    pub(super) services: Vec<&'t Service>,
    /// Those of them in which its variants are compared.
    pub(super) judges: Vec<&'t Service>,
}

impl<'t> FlagStart<'t> {
    /// The flag of this name, with its last rule.
    ///
    /// # Errors
    /// That there is none, or that it cannot be released.
    pub(super) fn of(table: &'t Table, name: &str) -> Result<Self, Vec<Problem>> {
        let known = table.flags().flags.iter().map(|flag| flag.spec.name.as_str());
        let flag = table.flags().named(name).ok_or_else(|| vec![Problem::no_flag("flag", name, known)])?;
        let place = format!("flags.{name}");
        let rule = flag_change::last_rule(&flag.spec, &place).map_err(|problem| vec![problem])?;
        let numbered = (0..).zip(table.services());
        let lists = |number| table.flags().told_flags(number).any(|told| told.spec.name == flag.spec.name);
        let services: Vec<&Service> = numbered.filter(|(number, _)| lists(*number)).map(|(_, found)| found).collect();
        let mut problems: Vec<Problem> =
            services.iter().filter_map(|service| without_key(table, flag, service)).collect();
        if !flag.state.enabled {
            let remedy = format!("enable it first: pointsman flag enable {name}");
            problems.push(Problem::conflict(&*place, "a disabled flag", "an enabled one", remedy));
        }
        if services.is_empty() {
            let remedy =
                format!("list it: flags = [\"{name}\"] in the section of a service that acts on it, and reload");
            let wanted = "one whose requests it can be judged by";
            problems.push(Problem::conflict(&*place, "a flag that no service lists", wanted, remedy));
        }
        match problems.is_empty() {
            true => {
                let (rule, judges) = (ReleasedRule { flag: flag.spec.name.clone(), rule }, services.clone());
                Ok(Self { flag, rule, services, judges })
            }
            false => Err(problems),
        }
    }

    /// The flag, with the variant that has everything in the rule and the one that is to have it, which the call names
    /// at `at` if it does.
    ///
    /// # Errors
    /// That there are none.
    pub(super) fn moved(&self, to: Option<&str>, at: &str) -> Result<MovedFlag, Vec<Problem>> {
        let (from, to) = self.variants(to, at)?;
        let services = self.judges.iter().map(|service| service.spec.name.clone()).collect();
        Ok(MovedFlag { released: self.rule.clone(), from, to, services })
    }

    /// Whether the candidate takes the low end of the users first.
    pub(super) fn begins_low(&self, moved: &MovedFlag) -> bool {
        let half = Weight::from_percent(50.0).and_then(|half| of_both(&moved.to, &moved.from, half));
        let next = half.and_then(|half| self.flag.state.serving(&self.flag.spec, &self.rule.rule, &half));
        next.is_some_and(|next| next.rules.get(&self.rule.rule).is_some_and(|slots| *slots.owner(0) == moved.to))
    }

    /// The variant of this name, which the call has at `at`.
    ///
    /// # Errors
    /// That there is none.
    pub(super) fn variant_named(&self, name: &str, at: &str) -> Result<&Name, Problem> {
        let names = || self.flag.spec.variants.iter().map(|variant| &variant.name);
        names().find(|known| known.as_str() == name).ok_or_else(|| {
            let remedy = "name a variant of the flag, or add this one to the config";
            let wanted = one_of(names().map(Name::as_str));
            Mismatch::new(format!("unknown variant {name:?}"), wanted, remedy).at(at, ProblemKind::Invalid)
        })
    }

    fn variants(&self, to: Option<&str>, at: &str) -> Result<(Name, Name), Vec<Problem>> {
        let (spec, ReleasedRule { flag, rule }) = (&self.flag.spec, &self.rule);
        let serves = self.flag.state.rules.get(rule).map(Slots::weights);
        let Some(from) = serves.as_ref().and_then(Weights::sole_holder) else {
            let found = serves.as_ref().map_or_else(String::new, Weights::to_string);
            let place = format!("flags.{flag}.rules.{rule}.serve");
            let remedy = format!("give it to one first: pointsman flag set {flag} VARIANT");
            let wanted = "one variant with everything, to begin from";
            return Err(vec![Problem::conflict(place, found, wanted, remedy)]);
        };
        let names = || spec.variants.iter().map(|variant| &variant.name);
        let others: Vec<&Name> = names().filter(|name| *name != from).collect();
        let wanted = || one_of(others.iter().map(|name| name.as_str()));
        let to = match (to, others.as_slice()) {
            (Some(to), _) => self.variant_named(to, at),
            (None, [other]) => Ok(*other),
            (None, _) => Err(Problem::invalid(at, "no variant", wanted(), "say which one is to have everything")),
        };
        let to = to.map_err(|problem| vec![problem])?;
        if to == from {
            let found = format!("{to}, which has everything already");
            return Err(vec![Problem::invalid(at, found, wanted(), "name another variant")]);
        }
        Ok((from.clone(), to.clone()))
    }
}

/// The problem with a service whose users have no key that the flag could draw by.
fn without_key(table: &Table, flag: &Flag, service: &Service) -> Option<Problem> {
    let FlagAssignment::Rules { draw, .. } = &flag.assignment else { return None };
    let keys = match draw {
        FlagDraw::Salt(_) => service,
        FlagDraw::Service(number) => table.service(*number),
    };
    keys.spec.sticky.is_empty().then(|| {
        Problem::conflict(
            format!("services.{}.sticky", keys.spec.name),
            "no key of users",
            "one: a flag gives part of the users another variant, and has to know them again",
            "add one, such as sticky = [\"cookie:session\"], and reload",
        )
    })
}

/// The problem with a plan that flags cannot be released by.
pub(super) fn unfit(section: &RolloutSection) -> Option<Problem> {
    if !section.is_rolling() {
        return None;
    }
    let wanted = "canary or blue_green: a flag has no endpoints of its own";
    Some(Problem::invalid("plan.strategy", "rolling, which upgrades endpoints", wanted, "leave it out"))
}
