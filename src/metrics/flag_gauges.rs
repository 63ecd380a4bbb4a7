//! The gauges of flags: what they serve, and their kill switches.

use metrics::gauge;

use super::names;
use crate::table::{SLOTS, Table};

/// Sets the gauges of every flag of `table`. Inside the local recorder. Flags, rules and variants are names of the
/// config, so their number is what the operator wrote.
pub(crate) fn update(table: &Table) {
    for flag in &table.flags().flags {
        let name = || flag.spec.name.shared();
        gauge!(names::FLAG_ENABLED, "flag" => name()).set(if flag.state.enabled { 1.0 } else { 0.0 });
        for (rule, slots) in &flag.state.rules {
            for variant in flag.spec.variants.iter().map(|variant| &variant.name) {
                let labels = [("flag", name()), ("rule", rule.shared()), ("variant", variant.shared())];
                let share = f64::from(slots.count(variant)) / f64::from(SLOTS);
                gauge!(names::FLAG_WEIGHT, &labels).set(share);
            }
        }
    }
}
