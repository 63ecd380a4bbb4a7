//! Which attributes can decide on a flag: so that one that is misspelt in a question is not silently none.

use std::collections::BTreeSet;

use crate::flagd::asked_of::AskedOf;
use crate::table::spec::Condition;
use crate::table::spec::experiment::ExperimentSubject;
use crate::table::spec::flag::{FlagSource, FlagSpec};
use crate::table::{Name, Table};

/// The attributes that can decide on a flag, by the rules that it has, whatever state it is in.
#[derive(Debug, Default)]
pub(crate) struct AskedAttributes<'t> {
    names: BTreeSet<&'t str>,
    imported: Vec<&'t AskedOf>,
}

impl<'t> AskedAttributes<'t> {
    /// Those of a flag of the table.
    pub(crate) fn of(table: &'t Table, flag: &'t FlagSpec) -> Self {
        let mut asked = Self::default();
        asked.add_flag(table, flag);
        asked
    }

    /// Whether the attribute of this name can.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains(name) || self.imported.iter().any(|rule| rule.may_ask(name))
    }

    /// Their names, as far as they are known.
    pub(crate) fn names(&self) -> BTreeSet<&'t str> {
        let imported = self.imported.iter().flat_map(|rule| rule.attributes());
        self.names.iter().copied().chain(imported).collect()
    }

    fn add_flag(&mut self, table: &'t Table, flag: &'t FlagSpec) {
        self.add_experiments(table, &ExperimentSubject::Flag(flag.name.clone()));
        match &flag.source {
            FlagSource::Rules { rules, .. } => {
                rules.iter().filter_map(|rule| rule.when.as_deref()).for_each(|when| self.add_condition(when));
            }
            FlagSource::Service(service, _) => self.add_version(table, service),
            FlagSource::Flag(followed, _) => {
                table.flags().named(followed).into_iter().for_each(|flag| self.add_flag(table, &flag.spec));
            }
            FlagSource::Imported(source) => {
                self.imported.push(&source.flag.asked);
                source.flag.asked.services.keys().for_each(|service| self.add_version(table, service));
            }
        }
    }

    /// The version that a user gets of a service.
    fn add_version(&mut self, table: &'t Table, service: &Name) {
        self.add_experiments(table, &ExperimentSubject::Service(service.clone()));
        let rules = table.index_of(service).into_iter().flat_map(|index| &table.service(index).spec.rules);
        rules.for_each(|rule| self.add_condition(&rule.when));
    }

    /// The users that experiments take in.
    fn add_experiments(&mut self, table: &'t Table, subject: &ExperimentSubject) {
        let running = table.experiments().running().iter().filter(|running| running.spec.subject == *subject);
        running.filter_map(|running| running.spec.segment.as_deref()).for_each(|segment| self.add_condition(segment));
    }

    fn add_condition(&mut self, when: &'t Condition) {
        self.names.extend(when.attributes.iter().map(|(attribute, _)| attribute.name.as_str()));
        when.segments.iter().for_each(|segment| self.add_condition(&segment.when));
        when.any.iter().chain(when.not.as_deref()).for_each(|other| self.add_condition(other));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use http::HeaderName;

    use super::*;
    use crate::flagd::flag_file::parse;
    use crate::flagd::fractional_version::FractionalVersion;
    use crate::table::Weight;
    use crate::table::experiment_run::ExperimentRun;
    use crate::table::fixture::{name, spec, table, weights};
    use crate::table::spec::experiment::{AssignmentSpec, CountedRequests, PerArm};
    use crate::table::spec::flag::{DrawSpec, FlagRuleSpec, FlagSpecs, ImportedSource, Variant};
    use crate::table::spec::{Attribute, KeySource, Pattern, RuleSpec, Segment, ServiceSpec};

    fn looks_at(attribute: &str) -> Condition {
        let sources = vec![KeySource::Header(HeaderName::from_static("x-any"))];
        let attribute = Attribute { name: name(attribute), sources };
        Condition { attributes: vec![(Arc::new(attribute), Pattern::Present)], ..Condition::default() }
    }

    fn flag(flag: &str, source: FlagSource) -> Arc<FlagSpec> {
        let variants = ["off", "on"].map(|variant| Variant { name: name(variant), json: "1".into() }).to_vec();
        Arc::new(FlagSpec { name: name(flag), variants, default: 0, enabled: true, source })
    }

    #[test]
    fn rules_segments_and_what_is_followed_are_asked() {
        let segment = Arc::new(Segment { name: name("staff"), when: looks_at("email") });
        let when = Condition { segments: vec![segment], ..looks_at("plan") };
        let rule = FlagRuleSpec { name: name("r"), when: Some(Arc::new(when)), serve: weights("off=0 on=100") };
        let file = r#"{"flags":{"d":{"state":"ENABLED","variants":{"on":1},"defaultVariant":"on","targeting":
            {"if":[{"==":[{"var":"user.age"},1]},"on",{"==":[{"version_of":"shop"},"v2"]},"on","on"]}}}}"#;
        let mut file = parse(file, FractionalVersion::V3).unwrap_or_else(|problems| panic!("{problems}"));
        let imported = ImportedSource { flag: Arc::new(file.flags.remove(0)), attributes: Vec::new() };
        let follow = || vec![(name("v2"), 1)];
        let flags = vec![
            flag("a", FlagSource::Rules { draw: DrawSpec::Salt("s".into()), rules: vec![rule] }),
            flag("b", FlagSource::Service(name("shop"), follow())),
            flag("c", FlagSource::Flag(name("a"), follow())),
            flag("d", FlagSource::Imported(imported)),
        ];
        let specs = FlagSpecs { flags, told: BTreeMap::new() };
        let rule = RuleSpec::to_version(name("beta"), looks_at("country"), name("v2"));
        let shop = ServiceSpec { rules: vec![rule], ..spec("shop", "v1=50 v2=50") };
        let table = table([shop]).with_flags(1, &specs, &BTreeMap::new());
        let experiment = |experiment: &str, subject: ExperimentSubject, arms: [&str; 2]| {
            let segment = Some(Arc::new(looks_at(experiment)));
            let [control, treatment] = arms.map(name);
            let (arms, share, requests) = (PerArm { control, treatment }, Weight::FULL, CountedRequests::default());
            Arc::new(AssignmentSpec { name: name(experiment), subject, arms, share, segment, layer: None, requests })
        };
        let experiments = [
            experiment("tier", ExperimentSubject::Flag(name("a")), ["off", "on"]),
            experiment("region", ExperimentSubject::Service(name("shop")), ["v1", "v2"]),
        ];
        let runs = experiments.iter().map(|spec| (spec.name.clone(), Arc::new(ExperimentRun::of_everybody(1))));
        let table = table.with_experiments(2, &experiments, &runs.collect());
        for (flag, names) in [
            ("a", &["email", "plan", "tier"][..]),
            ("b", &["country", "region"]),
            ("c", &["email", "plan", "tier"]),
            ("d", &["country", "region", "user"]),
        ] {
            let asked = AskedAttributes::of(&table, &table.flags().named(flag).expect("a flag").spec);
            assert_eq!(asked.names().into_iter().collect::<Vec<_>>(), names, "{flag}");
            assert!(names.iter().all(|name| asked.has(name)) && !asked.has("plann"), "{flag}");
        }
    }
}
