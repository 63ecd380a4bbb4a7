//! The fingerprint of the flags of a table: it is another one when a call could be answered differently.

use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hasher};

use crate::shared::name::Name;
use crate::table::Table;
use crate::table::spec::flag::{DrawSpec, FlagSource};

/// Hashes what is written.
#[derive(Default)]
struct WriteHasher(DefaultHasher);

impl Write for WriteHasher {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// The fingerprint of the flags of a table.
///
/// It is made of what the definitions and states say, and not of where they are in memory: a config that is read again
/// and says the same makes other objects of it, and two processes have to come to the same. Of a service that flags are
/// drawn as, or that they follow, its users' versions count as well, and of all others where their users' keys are: a
/// drained endpoint moves no user.
#[must_use]
pub(crate) fn fingerprint(table: &Table) -> u64 {
    let mut hasher = WriteHasher::default();
    if table.flags().flags.is_empty() {
        return hasher.0.finish();
    }
    for service in table.services() {
        // Writing to a hasher does not fail.
        let _written = writeln!(hasher, "{} {:?}", service.spec.name, service.spec.sticky);
    }
    for experiment in table.experiments().running() {
        let _written = writeln!(hasher, "{:?} {}", experiment.spec, experiment.run);
    }
    for flag in &table.flags().flags {
        let _written = writeln!(hasher, "{:?} {}", flag.spec, flag.state);
        let service = match &flag.spec.source {
            FlagSource::Service(service, _) | FlagSource::Rules { draw: DrawSpec::Service(service), .. } => service,
            FlagSource::Imported(source) => {
                source.flag.asked.services.keys().for_each(|service| write_service(&mut hasher, table, service));
                continue;
            }
            FlagSource::Rules { draw: DrawSpec::Salt(_), .. } | FlagSource::Flag(..) => continue,
        };
        write_service(&mut hasher, table, service);
    }
    hasher.0.finish()
}

/// Writes what decides which version a user of the service gets.
fn write_service(hasher: &mut WriteHasher, table: &Table, name: &Name) {
    let Some(service) = table.service_named(name.as_str()) else { return };
    let traffic = &service.traffic;
    let _written = writeln!(hasher, "{} {} {:?}", traffic.salt, traffic.slots, service.spec.rules);
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::net::SocketAddr;
    use std::sync::Arc;

    use super::*;
    use crate::stats::Registry;
    use crate::table::experiment_run::ExperimentRun;
    use crate::table::fixture::{first_traffic, name, shared, spec, weights};
    use crate::table::flag_state::FlagState;
    use crate::table::spec::experiment::{AssignmentSpec, CountedRequests, ExperimentSubject, PerArm};
    use crate::table::spec::flag::{FlagRuleSpec, FlagSpec, FlagSpecs, Variant};
    use crate::table::{Traffic, Weight};

    fn specs(serve: &str, theme: &str) -> FlagSpecs {
        let variants = || ["off", "on"].map(|variant| Variant { name: name(variant), json: "1".into() }).to_vec();
        let rule = FlagRuleSpec { name: name("launch"), when: None, serve: weights(serve) };
        let draw = DrawSpec::Salt("own".into());
        let flag =
            |flag: &str, source| FlagSpec { name: name(flag), variants: variants(), default: 0, enabled: true, source };
        let own = flag("own", FlagSource::Rules { draw, rules: vec![rule] });
        let theme = flag("theme", FlagSource::Service(name(theme), vec![(name("v2"), 1)]));
        FlagSpecs { flags: vec![Arc::new(own), Arc::new(theme)], told: BTreeMap::new() }
    }

    #[test]
    fn it_changes_with_flags_and_with_what_they_follow_and_with_nothing_else() {
        let registry = Registry::new(1);
        let services = shared([spec("shop", "v1=90 v2=10"), spec("cart", "v1=100 v2=0")]);
        let first = first_traffic(&services);
        let table = Table::compile(1, &services, &first, &registry).expect("the traffic fits");
        let flags = specs("on=10 off=90", "shop");
        let now = table.with_flags(1, &flags, &BTreeMap::new());
        let known = fingerprint(&now);
        let again = Table::compile(9, &services, &first, &Registry::new(1)).expect("the traffic fits");
        let again = again.with_flags(9, &specs("on=10 off=90", "shop"), &BTreeMap::new());
        assert_eq!(fingerprint(&again), known, "the same, read again by another process");
        let shift = |service: &str, split: &str, drained: BTreeSet<_>| {
            let traffic = Traffic { drained, ..Traffic::first("salt".into(), &weights(split)) };
            let traffic = BTreeMap::from([(name(service), Arc::new(traffic))]);
            fingerprint(&now.with_traffic(2, &traffic, &registry).expect("the traffic fits"))
        };
        assert_eq!(shift("cart", "v1=50 v2=50", BTreeSet::new()), known, "a service that no flag follows");
        let endpoint = (name("v1"), SocketAddr::from(([10, 0, 0, 1], 80)).into());
        let mut drained = Traffic::clone(&first[&name("shop")]);
        drained.drained.insert(endpoint);
        let drained = BTreeMap::from([(name("shop"), Arc::new(drained))]);
        let drained = now.with_traffic(2, &drained, &registry).expect("the traffic fits");
        assert_eq!(fingerprint(&drained), known, "a drained endpoint");
        assert_ne!(shift("shop", "v1=80 v2=20", BTreeSet::new()), known, "the service that it follows");
        assert_ne!(fingerprint(&table.with_flags(1, &specs("on=11 off=89", "shop"), &BTreeMap::new())), known);
        assert_ne!(fingerprint(&table.with_flags(1, &specs("on=10 off=90", "cart"), &BTreeMap::new())), known);
        let off = FlagState { enabled: false, ..FlagState::first(&flags.flags[0]) };
        let off = table.with_flags(1, &flags, &BTreeMap::from([(name("own"), Arc::new(off))]));
        assert_ne!(fingerprint(&off), known, "the kill switch");
        assert_ne!(fingerprint(&table), known, "no flag at all");
        let assignment = AssignmentSpec {
            name: name("button"),
            subject: ExperimentSubject::Flag(name("own")),
            arms: PerArm { control: name("off"), treatment: name("on") },
            share: Weight::FULL,
            segment: None,
            layer: None,
            requests: CountedRequests::default(),
        };
        let runs = BTreeMap::from([(name("button"), Arc::new(ExperimentRun::of_everybody(3)))]);
        let compared = now.with_experiments(2, &[Arc::new(assignment)], &runs);
        assert_ne!(fingerprint(&compared), known, "an experiment");
        assert_eq!(fingerprint(&compared.with_experiments(3, &[], &BTreeMap::new())), known, "its end");
    }
}
