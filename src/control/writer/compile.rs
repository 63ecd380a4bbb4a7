//! The next table, compiled before anything is recorded.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::change::Change;
use super::super::experiment_states::ExperimentStates;
use super::super::planned::{FlagStates, Planned, State};
use super::Writer;
use crate::table::{CompileError, Name, Table};

impl Writer {
    /// Makes the tables of services anew, from the same traffic.
    pub(super) fn compile_again(&self, services: &BTreeSet<Name>) {
        let State { revision, specs, traffic, flags, .. } = &self.state;
        let known = services.iter().filter(|name| specs.contains_key(*name));
        let same = known.filter_map(|name| Some((name, traffic.get(name)?)));
        match self.publisher.table().with_traffic(*revision, same, &self.registry) {
            Ok(table) => {
                self.publisher.publish(table.with_counted_flags(
                    *revision,
                    &flags.specs,
                    &flags.states,
                    &self.registry,
                ));
            }
            Err(error) => tracing::error!(%error, "the traffic in force does not compile, which is a bug"),
        }
    }

    /// The next table, of what was decided elsewhere.
    pub(super) fn compile_entered(&self, revision: u64, planned: &Planned) -> Result<Table, CompileError> {
        let state = &self.state;
        let known = planned.next.iter().filter(|(name, _)| state.specs.contains_key(*name));
        let mut table = self.publisher.table().with_traffic(revision, known, &self.registry)?;
        if !planned.flags.next.is_empty() {
            let mut states = state.flags.states.clone();
            states.extend(planned.flags.next.iter().map(|(name, next)| (name.clone(), Arc::clone(next))));
            table = table.with_counted_flags(revision, &state.flags.specs, &states, &self.registry);
        }
        if !planned.experiments.next.is_empty() {
            let mut runs = state.experiments.runs.clone();
            runs.extend(planned.experiments.next.iter().map(|(name, next)| (name.clone(), Arc::clone(next))));
            let specs: Vec<_> = state.experiments.specs.iter().map(|spec| Arc::clone(&spec.assignment)).collect();
            table = table.with_experiments(revision, &specs, &runs);
        }
        Ok(table)
    }

    /// The next table; none when the change changes nothing. Services, flags and experiments are in it together.
    pub(super) fn compile(
        &self,
        revision: u64,
        change: &Change,
        planned: &Planned,
    ) -> Result<Option<Table>, CompileError> {
        let table = self.compile_flags(revision, change, planned)?;
        let ExperimentStates { specs, runs, guardrails: _ } = &self.state.experiments;
        let (specs, unchanged) = if let Change::File(file) = change {
            // Its table has no experiments yet; that of another change has those before.
            (&file.experiments, file.experiments.is_empty())
        } else {
            (specs, planned.experiments.next.is_empty())
        };
        if unchanged {
            return Ok(table);
        }
        let mut runs = runs.clone();
        runs.extend(planned.experiments.next.iter().map(|(name, next)| (name.clone(), Arc::clone(next))));
        let specs: Vec<_> = specs.iter().map(|spec| Arc::clone(&spec.assignment)).collect();
        let with_experiments = |table: &Table| table.with_experiments(revision, &specs, &runs);
        Ok(Some(table.map_or_else(|| with_experiments(&self.publisher.table()), |table| with_experiments(&table))))
    }

    /// The next table with the experiments of the one before; none when the change changes no traffic and no flag.
    fn compile_flags(&self, revision: u64, change: &Change, planned: &Planned) -> Result<Option<Table>, CompileError> {
        let table = self.compile_traffic(revision, change, planned)?;
        let FlagStates { specs, states, .. } = &self.state.flags;
        let (specs, unchanged) = if let Change::File(file) = change {
            // Its table has no flags yet; that of another change has those before.
            (&file.flags, file.flags.flags.is_empty())
        } else {
            // A rollout of flags counts from the table on that it makes.
            let releases = change.rollout().is_some_and(|change| !change.flags.is_empty());
            (specs, planned.flags.next.is_empty() && !releases)
        };
        if unchanged {
            return Ok(table);
        }
        let mut states = states.clone();
        states.extend(planned.flags.next.iter().map(|(name, next)| (name.clone(), Arc::clone(next))));
        let with_flags = |table: &Table| table.with_counted_flags(revision, specs, &states, &self.registry);
        Ok(Some(table.map_or_else(|| with_flags(&self.publisher.table()), |table| with_flags(&table))))
    }

    /// The next table with the flags of the one before; none when the change changes no traffic.
    fn compile_traffic(
        &self,
        revision: u64,
        change: &Change,
        planned: &Planned,
    ) -> Result<Option<Table>, CompileError> {
        if let Change::File(specs) = change {
            let mut traffic = self.state.traffic.clone();
            traffic.extend(planned.next.iter().map(|(name, next)| (name.clone(), Arc::clone(next))));
            let table = Table::compile(revision, &specs.services, &traffic, &self.registry)?;
            let table = table.with_addresses(&self.state.addresses, &self.registry)?;
            let faults: Vec<_> = self.state.faults.values().map(Arc::clone).collect();
            return Ok(Some(table.with_faults(&faults, &self.registry)));
        }
        if let Change::Rollout(change) = change {
            if change.services.is_empty() {
                return Ok(None);
            }
            let now = change.services.iter().filter_map(|name| Some((name, self.state.traffic.get(name)?)));
            let next = now.map(|(name, traffic)| (name, planned.next.get(name).unwrap_or(traffic)));
            return self.publisher.table().with_traffic(revision, next, &self.registry).map(Some);
        }
        if planned.next.is_empty() {
            return Ok(None);
        }
        self.publisher.table().with_traffic(revision, &planned.next, &self.registry).map(Some)
    }
}
