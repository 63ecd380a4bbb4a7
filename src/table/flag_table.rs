//! The flags of a table.
//!
//! They are part of the table although another module decides with them ([`crate::flags`]): a request keeps one
//! snapshot, so that a change of a service and of a flag that is drawn or follows with it is never half seen.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::canary_pair::CanaryPair;
use super::compiled_flag::{Flag, FlagIndices};
use super::experiment_table::{ExperimentSubjects, ExperimentTable};
use super::flag_inputs::{FlagInput, FlagInputs};
use super::flag_state::FlagState;
use super::spec::ServiceSpec;
use super::spec::experiment::AssignmentSpec;
use super::spec::flag::{FlagSpec, FlagSpecs};
use super::vary::Vary;
use crate::shared::name::Name;
use crate::stats::Registry;

/// The most flags of a service: each is a header of every request.
pub(crate) const TOLD_MAX: usize = 16;

/// The flags of a table.
#[derive(Clone, Debug, Default)]
pub struct FlagTable {
    /// All flags, in order of their names.
    pub flags: Box<[Flag]>,
    by_name: HashMap<Name, u32>,
    /// What requests carry, by the index of the service; empty if no service has a flag, and no experiment runs.
    told: Box<[Option<Box<ToldFlags>>]>,
}

/// What is looked at for requests of a service besides its own definition: the flags that they carry to the upstream,
/// and experiments.
#[derive(Clone, Debug, Default)]
pub struct ToldFlags {
    /// The indices of the flags, at most [`TOLD_MAX`], in the order of the service.
    pub indices: Box<[u32]>,
    /// Whether experiments run that decide on its requests, or count them.
    pub(crate) experiments: bool,
    /// Whether one of them looks at the bearer token.
    pub reads_tokens: bool,
    /// The headers that decide on them, beside those that decide on the version, if caches are to be told of any.
    pub(crate) vary: Option<Vary>,
    /// The one that is being released, if one is.
    pub(crate) released: Option<Arc<ReleasedFlag>>,
}

/// A flag that is being released, for the service whose requests it is judged by.
#[derive(Debug)]
pub(crate) struct ReleasedFlag {
    /// Its index.
    pub(crate) flag: u32,
    /// The index of the rule that is moved.
    pub(crate) rule: u16,
    /// The variants that are compared.
    pub(crate) pair: CanaryPair,
}

impl FlagTable {
    /// Compiles `specs` under `states`; a flag without a state has the one of the file. `services` are those of the
    /// table, in its order.
    pub(crate) fn compile(
        specs: &FlagSpecs,
        states: &BTreeMap<Name, Arc<FlagState>>,
        services: &[Arc<ServiceSpec>],
    ) -> Self {
        let indices = FlagIndices {
            services: (0..).zip(services).map(|(index, spec)| (spec.name.as_str(), (index, &**spec))).collect(),
            flags: (0..).zip(&specs.flags).map(|(index, spec)| (spec.name.as_str(), (index, &**spec))).collect(),
        };
        let flag = |spec: &Arc<FlagSpec>| {
            let state = states.get(&spec.name).map_or_else(|| Arc::new(FlagState::first(spec)), Arc::clone);
            Flag::compile(spec, state, &indices)
        };
        let flags: Box<[Flag]> = specs.flags.iter().map(flag).collect();
        let told_of = |spec: &Arc<ServiceSpec>| {
            let names = specs.told.get(&spec.name)?.iter().take(TOLD_MAX);
            let told = names.filter_map(|name| indices.flags.get(name.as_str()).map(|(index, _)| *index)).collect();
            ToldFlags::of(told).map(Box::new)
        };
        let told: Box<[_]> =
            if specs.told.is_empty() { Box::default() } else { services.iter().map(told_of).collect() };
        let by_name = (0..).zip(&flags).map(|(index, flag)| (flag.spec.name.clone(), index)).collect();
        Self { flags, by_name, told }
    }

    /// Has these experiments decide on flags and on requests of `services`, for which it was compiled. Called once on
    /// what [`FlagTable::compile`] makes, also if none runs.
    pub(crate) fn note_experiments(&mut self, experiments: &ExperimentTable, services: &[Arc<ServiceSpec>]) {
        for flag in &mut self.flags {
            flag.experiments = experiments.on_flag(&flag.spec.name);
        }
        let mut told = std::mem::take(&mut self.told).into_vec();
        if !experiments.is_empty() {
            told.resize_with(services.len(), || None);
        }
        let noted = |(number, told): (u32, Option<Box<ToldFlags>>)| {
            let inputs = FlagInputs { flags: &self.flags, services, service: number, experiments };
            told.map_or_else(ToldFlags::default, |told| *told).looking_at(&inputs).map(Box::new)
        };
        self.told = (0..).zip(told).map(noted).collect();
    }

    /// What experiments can be on.
    pub(crate) fn subjects<'t>(&'t self, services: &'t [Arc<ServiceSpec>]) -> ExperimentSubjects<'t> {
        let told_by = |number| self.told_flags(number).map(|flag| flag.spec.name.as_str()).collect();
        let told = (0..).zip(services).map(|(number, _)| told_by(number)).collect();
        let flags = self.flags.iter().map(|flag| (flag.spec.name.as_str(), &*flag.spec)).collect();
        ExperimentSubjects { services, flags, told }
    }

    /// Has requests counted for the rollouts of flags that are under way; it was compiled for `services`.
    pub(crate) fn count(&mut self, services: &[Arc<ServiceSpec>], registry: &Registry) {
        for (told, service) in self.told.iter_mut().zip(services) {
            if let Some(told) = told {
                told.released = registry.canary(&service.name).and_then(|canary| {
                    let terms = canary.terms().flag.as_ref()?;
                    let number = *self.by_name.get(&*terms.flag).filter(|number| told.indices.contains(number))?;
                    let flag = &self.flags[number as usize];
                    let rules = (0..).zip(flag.spec.rules());
                    let (rule, _) = rules.into_iter().find(|(_, rule)| rule.name.as_str() == &*terms.rule)?;
                    let pair = CanaryPair::of_variants(&canary, flag)?;
                    Some(Arc::new(ReleasedFlag { flag: number, rule, pair }))
                });
            }
        }
    }

    /// What requests of the service with this index carry; `None`: no flag.
    #[must_use]
    pub fn told(&self, service: u32) -> Option<&ToldFlags> {
        self.told.get(service as usize)?.as_deref()
    }

    /// The flags that requests of the service with this index carry.
    pub fn told_flags(&self, service: u32) -> impl ExactSizeIterator<Item = &Flag> {
        let indices = self.told(service).map_or(&[][..], |told| &told.indices);
        indices.iter().map(|index| &self.flags[*index as usize])
    }

    /// The flag of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Flag> {
        self.by_name.get(name).map(|index| &self.flags[*index as usize])
    }
}

/// The services whose requests may be decided by their bearer tokens, or flags that they carry, with all experiments
/// under way.
#[must_use]
pub(crate) fn token_readers<'s>(
    services: &'s [Arc<ServiceSpec>],
    flags: &FlagSpecs,
    experiments: &[Arc<AssignmentSpec>],
) -> Vec<&'s ServiceSpec> {
    let mut table = FlagTable::compile(flags, &BTreeMap::new(), services);
    let experiments = ExperimentTable::of_all(experiments, &table.subjects(services));
    table.note_experiments(&experiments, services);
    let read_besides = |number| table.told(number).is_some_and(|told| told.reads_tokens);
    let reads = (0..).zip(services).filter(|(number, spec)| spec.reads_tokens() || read_besides(*number));
    reads.map(|(_, spec)| &**spec).collect()
}

impl ToldFlags {
    /// The flag that is being released, while one is.
    pub(crate) fn released(&self) -> Option<&ReleasedFlag> {
        self.released.as_deref().filter(|released| !released.pair.is_over())
    }

    fn of(indices: Box<[u32]>) -> Option<Self> {
        (!indices.is_empty()).then(|| Self { indices, ..Self::default() })
    }

    /// The same, with what is looked at for it; `None` if it is nothing.
    fn looking_at(self, inputs: &FlagInputs<'_>) -> Option<Self> {
        let flags = || self.indices.iter().map(|index| &inputs.flags[*index as usize]);
        let experiments = inputs.experiments.of(inputs.service).is_some();
        if self.indices.is_empty() && !experiments {
            return None;
        }
        let of_experiments = inputs.of_experiments();
        let ever = flags().flat_map(|flag| inputs.ever(flag)).chain(of_experiments.iter().copied());
        let reads_tokens = ever.into_iter().any(FlagInput::reads_tokens);
        let vary = inputs.services[inputs.service as usize].policy.cache_headers.then(|| {
            let now: Vec<_> = flags().flat_map(|flag| inputs.now(flag)).chain(of_experiments).collect();
            Vary::of_flags(&now)
        });
        Some(Self { reads_tokens, vary: vary.flatten(), experiments, ..self })
    }
}
