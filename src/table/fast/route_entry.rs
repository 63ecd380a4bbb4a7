//! The part of a service that a decision reads, in two cache lines.
//!
//! A [`Service`] is a tree of allocations, good to read for people and for code that writes a status page. With ten
//! thousand services none of it is in a core's cache, and a decision would wait for a dozen of its parts, one behind
//! the other. So what nearly every decision needs is repeated here in a compact form, and the records stand side by
//! side in a table. What does not fit (a fifth run of slots, a fourth key source, a twelfth rule) is read from the
//! service, which is slower and as right.

use std::sync::Arc;

use crate::shared::unhealthy_counters::CounterIndex;

use super::intern::{Interned, Interner};
use super::rule_prefilter::RulePrefilter;
use crate::shared::murmur3::Murmur3;
use crate::table::hash::scale;
use crate::table::service::Service;
use crate::table::spec::{KeySource, ServiceSpec};

/// Runs of slots: four are what three versions have after some shifts.
const RUNS_MAX: usize = 4;

/// Key sources.
const SOURCES_MAX: usize = 3;

/// Prefilters: what is left of two cache lines.
const PREFILTERS_MAX: usize = 11;

/// The compact form of a service.
// Aligned, so that it never takes a third line; 128 bytes are the pair of lines that processors fetch together.
#[repr(align(128))]
#[derive(Clone, Debug)]
pub(crate) struct RouteEntry {
    /// All of it.
    pub(crate) service: Arc<Service>,
    /// The hash after the salt.
    salted: Murmur3,
    runs: EntryRuns,
    /// What the definition says, which no shift changes.
    definition: EntryDefinition,
    /// Where the service's unhealthy endpoints are counted.
    pub(crate) counter_index: CounterIndex,
    /// Whether every version has an endpoint that takes requests while none is unhealthy.
    pub(crate) in_rotation: bool,
    /// Whether paths are normalised.
    pub(crate) normalize_path: bool,
}

/// The owners of the slots. Runs that are not there are empty and never reached.
#[derive(Clone, Copy, Debug)]
struct EntryRuns {
    /// First slot after each run but the last.
    until: [u32; RUNS_MAX - 1],
    owners: [u16; RUNS_MAX],
    /// Whether there are more runs than that, or an experiment is asked before them: one look tells both.
    spilled: bool,
}

/// The part of a record that comes from the definition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryDefinition {
    prefilters: [RulePrefilter; PREFILTERS_MAX],
    sources: [u16; SOURCES_MAX],
    /// How many of `prefilters` are there.
    prefilters_len: u8,
    /// How many of `sources` are there.
    sources_len: u8,
    /// Whether the definition has more sources than that.
    sources_spilled: bool,
}

// The records of ten thousand services are 1.3 MB: as large as a core's own cache. They must not grow by accident.
const _: () = assert!(size_of::<RouteEntry>() == 128, "a record is two cache lines");

impl EntryDefinition {
    /// The compact form of a definition, and the prefilters that find no place in it.
    pub(crate) fn of(spec: &ServiceSpec, interner: &mut Interner) -> (Self, Arc<[RulePrefilter]>) {
        let mut definition = Self {
            prefilters: [RulePrefilter::OPEN; PREFILTERS_MAX],
            sources: [0; SOURCES_MAX],
            prefilters_len: 0,
            sources_len: 0,
            sources_spilled: false,
        };
        let mut prefilters = spec.rules.iter().map(|rule| RulePrefilter::of(&rule.when, |name| interner.header(name)));
        for (place, prefilter) in definition.prefilters.iter_mut().zip(&mut prefilters) {
            *place = prefilter;
            definition.prefilters_len += 1;
        }
        let further_prefilters = if spec.rules.len() > PREFILTERS_MAX { prefilters.collect() } else { Arc::default() };
        for (place, source) in definition.sources.iter_mut().zip(&spec.sticky) {
            let Some(source) = interner.source(source) else { break };
            *place = source;
            definition.sources_len += 1;
        }
        definition.sources_spilled = spec.sticky.len() > usize::from(definition.sources_len);
        (definition, further_prefilters)
    }
}

impl EntryRuns {
    fn of(runs: &[(u32, u16)], experiment: bool) -> Self {
        let (mut until, mut owners) = ([u32::MAX; RUNS_MAX - 1], [0; RUNS_MAX]);
        for (place, (end, _)) in until.iter_mut().zip(runs) {
            *place = *end;
        }
        for (place, (_, owner)) in owners.iter_mut().zip(runs) {
            *place = *owner;
        }
        Self { until, owners, spilled: experiment || runs.len() > RUNS_MAX }
    }
}

impl RouteEntry {
    /// The record of a service; `experiment` says whether one decides on its requests.
    pub(crate) fn new(service: Arc<Service>, definition: EntryDefinition, experiment: bool) -> Self {
        Self {
            salted: service.salt.primed(),
            runs: EntryRuns::of(service.runs(), experiment),
            counter_index: CounterIndex::of(&service.spec.name),
            in_rotation: service.versions.iter().all(|version| version.endpoints.iter().any(|e| !e.drained)),
            normalize_path: service.spec.policy.normalize_path,
            definition,
            service,
        }
    }

    /// The part that the next generation has again, as long as the definition is the same.
    pub(crate) fn definition(&self) -> EntryDefinition {
        self.definition
    }

    /// The slot of a key, as [`Salt::slot`](crate::table::hash::Salt::slot) has it.
    pub(crate) fn slot(&self, key: &[u8]) -> u32 {
        scale(self.salted.with(key).finish())
    }

    /// Index of the version that owns `slot` by the split.
    pub(crate) fn owner(&self, slot: u32) -> u16 {
        self.sole_owner(slot).unwrap_or_else(|| self.service.owner(slot))
    }

    /// The same if it stands here, and no experiment has to be asked before the split.
    pub(crate) fn sole_owner(&self, slot: u32) -> Option<u16> {
        if self.runs.spilled {
            return None;
        }
        // Counted, not searched: a user's slot is random, so a branch on it is guessed wrong as often as not.
        let index = self.runs.until.iter().filter(|until| **until <= slot).count();
        Some(self.runs.owners[index])
    }

    /// The prefilters of the rules, in order.
    pub(crate) fn prefilters(&self) -> impl Iterator<Item = &RulePrefilter> {
        let here = &self.definition.prefilters[..usize::from(self.definition.prefilters_len)];
        let later = if here.len() == PREFILTERS_MAX { &*self.service.rules.further_prefilters } else { &[] };
        here.iter().chain(later)
    }

    /// The sources of keys, in order.
    pub(crate) fn sources<'a>(&'a self, interned: &'a Interned) -> impl Iterator<Item = &'a KeySource> {
        let here = &self.definition.sources[..usize::from(self.definition.sources_len)];
        let more = if self.definition.sources_spilled { &self.service.spec.sticky[here.len()..] } else { &[] };
        here.iter().map(|place| &interned.sources[usize::from(*place)]).chain(more)
    }
}
