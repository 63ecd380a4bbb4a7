//! What decides on a flag: the conditions and the sources of keys that are looked at for it.
//!
//! Two parts of the proxy have to know, and must not know different things: a token is verified where something looks
//! at it, and a cache is told of the headers that decide. So both ask this one walk.

use std::sync::Arc;

use super::compiled_flag::{Flag, FlagAssignment, FlagDraw, FlagRule};
use super::experiment_table::{Experiment, ExperimentTable};
use super::spec::flag::FlagSource;
use super::spec::{Condition, KeySource, ServiceSpec};

/// One thing that is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FlagInput<'t> {
    /// The condition of a rule.
    Condition(&'t Condition),
    /// A source of the user's key.
    Source(&'t KeySource),
}

impl FlagInput<'_> {
    /// Whether it is the bearer token, or looks at it.
    pub(crate) fn reads_tokens(self) -> bool {
        match self {
            Self::Condition(condition) => condition.reads_tokens(),
            Self::Source(source) => matches!(source, KeySource::Jwt(_)),
        }
    }
}

/// The flags and services of a table, and the service whose requests are meant, by its index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlagInputs<'t> {
    pub(crate) flags: &'t [Flag],
    pub(crate) services: &'t [Arc<ServiceSpec>],
    pub(crate) service: u32,
    /// Those that run.
    pub(crate) experiments: &'t ExperimentTable,
}

impl<'t> FlagInputs<'t> {
    /// What is looked at for a flag in its present state.
    pub(crate) fn now(&self, flag: &'t Flag) -> Vec<FlagInput<'t>> {
        let mut found = Vec::new();
        self.add(flag, false, &mut found);
        found
    }

    /// What may be looked at, whatever state the flag is in.
    pub(crate) fn ever(&self, flag: &'t Flag) -> Vec<FlagInput<'t>> {
        let mut found = Vec::new();
        self.add(flag, true, &mut found);
        found
    }

    fn add(&self, flag: &'t Flag, ever: bool, found: &mut Vec<FlagInput<'t>>) {
        if !flag.state.enabled && !ever {
            return;
        }
        match &flag.assignment {
            FlagAssignment::Default => {}
            // The version is decided already, and by what is of no concern here.
            FlagAssignment::Service { service, .. } if *service == self.service => {}
            FlagAssignment::Service { service, .. } => self.add_version(*service, found),
            FlagAssignment::Imported => self.add_imported(flag, found),
            FlagAssignment::Flag { flag, .. } => self.add(&self.flags[*flag as usize], ever, found),
            FlagAssignment::Rules { draw, rules } => {
                self.add_rules(draw, rules, ever, found);
                let experiments = flag.experiments.indices.iter().map(|index| self.experiments.at(*index));
                self.add_experiments(experiments, self.service, found);
            }
        }
    }

    /// What is looked at for the experiments on versions of the service. Their users are those whom no rule sends
    /// elsewhere.
    pub(crate) fn of_experiments(&self) -> Vec<FlagInput<'t>> {
        let mut found = Vec::new();
        if self.experiments.deciding(self.service).next().is_some() {
            self.add_version(self.service, &mut found);
        }
        found
    }

    /// Whom experiments take in, by the key that the service with this index has.
    fn add_experiments(
        &self,
        experiments: impl Iterator<Item = &'t Experiment>,
        service: u32,
        found: &mut Vec<FlagInput<'t>>,
    ) {
        for experiment in experiments {
            found.extend(experiment.spec.segment.iter().map(|segment| FlagInput::Condition(segment)));
            found.extend(self.services[service as usize].sticky.iter().map(FlagInput::Source));
        }
    }

    /// The version that a user gets of a service.
    fn add_version(&self, service: u32, found: &mut Vec<FlagInput<'t>>) {
        let spec = &*self.services[service as usize];
        self.add_experiments(self.experiments.deciding(service), service, found);
        found.extend(spec.rules.iter().map(|rule| FlagInput::Condition(&rule.when)));
        found.extend(spec.sticky.iter().map(FlagInput::Source));
    }

    /// A rule of a file may look at the key, and looks at what it names.
    fn add_imported(&self, flag: &'t Flag, found: &mut Vec<FlagInput<'t>>) {
        let FlagSource::Imported(source) = &flag.spec.source else { return };
        if !source.flag.has_rule() {
            return;
        }
        found.extend(self.services[self.service as usize].sticky.iter().map(FlagInput::Source));
        let sources = source.attributes.iter().flat_map(|attribute| &attribute.sources);
        found.extend(sources.map(FlagInput::Source));
        let asked = &source.flag.asked.services;
        let others = (0..).zip(self.services).filter(|(number, _)| *number != self.service);
        for (number, _) in others.filter(|(_, spec)| asked.contains_key(&spec.name)) {
            self.add_version(number, found);
        }
    }

    fn add_rules(&self, draw: &FlagDraw, rules: &'t [FlagRule], ever: bool, found: &mut Vec<FlagInput<'t>>) {
        let drawn_as = match draw {
            FlagDraw::Salt(_) => self.service,
            FlagDraw::Service(service) => *service,
        };
        for rule in rules {
            found.extend(rule.when.iter().map(|when| FlagInput::Condition(when)));
            let draws = rule.only().is_none();
            if draws || ever {
                found.extend(self.services[drawn_as as usize].sticky.iter().map(FlagInput::Source));
            }
            if rule.when.is_none() && !draws && !ever {
                // It holds for all: no rule after it is asked.
                break;
            }
        }
    }
}
