//! What the caller of a change will want to know of flags, beside how many of their users move.

use crate::control::difference::Difference;
use crate::control::flag_difference::FlagDifference;
use crate::release::view::RolloutView;
use crate::table::compiled_flag::Flag;
use crate::table::spec::flag::{DrawSpec, FlagSource};
use crate::table::{Name, Slots, Table, Weight};

use super::view::percent;

/// A flag whose rules change, and that gives its default to all users before and after.
pub(crate) fn without_effect(difference: &FlagDifference) -> Option<String> {
    let FlagDifference { flag, default, was_enabled, enabled, rules, followers: _ } = difference;
    let silent = !enabled && *was_enabled == Some(false) && !rules.is_empty();
    let default = default.as_ref().map_or("the default of the code", |default| default.as_str());
    silent.then(|| format!("{flag} is disabled: all users have {default} until it is enabled"))
}

/// The flags that draw users as the service of a change does, if that draws them anew.
pub(crate) fn drawn_anew(difference: &Difference, table: &Table) -> Vec<String> {
    if difference.new_salt && difference.from.is_some() { redrawn(&difference.service, table) } else { Vec::new() }
}

/// The same for a rollout that begins, whose steps are changes that have no caller. `table` is the one before it.
pub(crate) fn drawn_anew_by_rollout(rollout: &RolloutView, table: &Table) -> Vec<String> {
    let share = |weight: f64| 0.0 < weight && weight < 100.0;
    if !rollout.stages.iter().any(|stage| stage.weight.is_some_and(share)) {
        return Vec::new();
    }
    // A flag moves its own rule only.
    let by_flag = |name: &&String| rollout.flags.iter().any(|flag| flag.services.contains(*name));
    let services = rollout.services.iter().filter(|name| !by_flag(name)).filter_map(|name| table.service_named(name));
    let anew = services.filter(|service| service.spec.salt.as_ref().is_none_or(|salt| *salt != service.traffic.salt));
    anew.flat_map(|service| redrawn(&service.spec.name, table)).collect()
}

fn redrawn(service: &Name, table: &Table) -> Vec<String> {
    let drawn_so = |flag: &&Flag| {
        flag.state.enabled
            && matches!(&flag.spec.source, FlagSource::Rules { draw: DrawSpec::Service(name), .. } if name == service)
    };
    let flags = table.flags().flags.iter().filter(drawn_so);
    let rules =
        flags.flat_map(|flag| flag.state.rules.iter().map(|(rule, slots)| (&flag.spec.name, rule, moved(slots))));
    let moves = rules.filter(|(_, _, moved)| *moved > 0.0);
    let warn = |(flag, rule, moved)| {
        let share = percent(moved);
        format!(
            "flag {flag} draws users as {service} does, which draws anew: {share} % of those of rule {rule} get another variant"
        )
    };
    moves.map(warn).collect()
}

/// The share of users who get another variant when they are drawn anew: both draws are independent.
fn moved(slots: &Slots) -> f64 {
    1.0 - slots.weights().iter().map(|(_, weight): (_, Weight)| weight.ratio() * weight.ratio()).sum::<f64>()
}
