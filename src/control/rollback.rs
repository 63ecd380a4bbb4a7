//! Rollback: the splits, the mirrors, the flags and the experiments of an earlier revision, as a new revision.
//!
//! Without a number it undoes the last change. Then a revision that was itself a rollback, or with which a rollout was
//! turned back, counts as the one that it restored, so that pressing twice goes two steps back. The obvious "one
//! revision back" would go to and fro between two states for ever, and in an emergency an operator does not count.
//!
//! A version or a variant that is gone from the config is told, for what had it cannot be restored. A *rule* of a flag
//! that is gone reaches no user any more, so there is nothing to restore; one that has come since stays as it is.
//!
//! The last run of an experiment goes on: it keeps its number, and what was counted of it. An earlier one begins anew
//! as a run of its own, for its users are not known any more. One that compared something else than the config does now
//! is left stopped: an emergency must not wait for an experiment. Who names the experiment is told.

use std::collections::BTreeSet;

use crate::experiment::definition::ExperimentSpec;
use crate::table::experiment_run::ExperimentRun;
use crate::table::flag_state::FlagState;
use crate::table::spec::flag::FlagSpec;
use crate::table::{Name, Slots, Traffic};

use super::experiment_change;
use super::experiment_difference::RunEnd;
use super::experiment_states::{PlannedExperiments, is_of, shares_layer};
use super::planned::{Action, Entry, History, PlanError, Planned, State, versions};
use crate::problem::{Problem, one_of};

/// What is restored, if not everything.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RollbackScope {
    /// These services.
    pub services: BTreeSet<Name>,
    /// These flags.
    pub flags: BTreeSet<Name>,
    /// These experiments.
    pub experiments: BTreeSet<Name>,
}

/// What is looked at, or affected.
#[derive(Default)]
struct Affected<'a> {
    services: Vec<&'a Name>,
    flags: Vec<&'a Name>,
    experiments: Vec<&'a Name>,
}

/// The next states, and what is wrong.
#[derive(Default)]
struct Restored<'a> {
    traffic: Vec<(Name, Traffic)>,
    flags: Vec<(&'a FlagSpec, FlagState)>,
    experiments: Vec<RestoredRun<'a>>,
    problems: Vec<Problem>,
}

/// The next run of an experiment.
struct RestoredRun<'a> {
    spec: &'a ExperimentSpec,
    after: ExperimentRun,
    end: Option<RunEnd>,
}

/// Works out a rollback of what is in `scope` (none: everything) to revision `to` (none: undo the last change).
///
/// # Errors
/// [`PlanError`] when there is nothing to undo, the revision is not there, or it needs a version or a variant that is
/// gone.
pub(crate) fn plan<H: History>(
    state: &State,
    history: &H,
    to: Option<u64>,
    scope: Option<&RollbackScope>,
) -> Result<Planned, PlanError<H::Error>> {
    let looked_at = affected(state, scope, to)?;
    let (revision, affected) = match to {
        Some(revision) => (revision, looked_at),
        None => last_change(state, history, &looked_at)?,
    };
    let mut restored = Restored::default();
    let named = scope.is_some();
    for service in affected.services {
        let then = history.traffic_at(service, revision).map_err(PlanError::History)?;
        match then {
            Some(then) => restored.service(state, service, revision, &then),
            // A caller that asks for all gets those that were there; one that names some is told.
            None => restored.problems.extend(named.then(|| not_yet("services", service, revision))),
        }
    }
    for flag in affected.flags {
        match history.flag_at(flag, revision).map_err(PlanError::History)? {
            Some(then) => restored.flag(state, flag, revision, &then),
            None => restored.problems.extend(named.then(|| not_yet("flags", flag, revision))),
        }
    }
    for experiment in affected.experiments {
        let then = history.experiment_at(experiment, revision).map_err(PlanError::History)?;
        restored.experiment(state, experiment, then, named.then_some(revision));
    }
    restored.problems.extend(restored.overlaps(state));
    if !restored.problems.is_empty() {
        return Err(PlanError::Problems(restored.problems));
    }
    let flags = state.planned_flags(restored.flags);
    let planned = Planned { restores: Some(revision), flags, ..state.planned(Action::Rollback, restored.traffic) };
    let runs = restored.experiments.into_iter();
    let differences = runs.map(|run| experiment_change::difference(state, run.spec, run.after, run.end, &planned));
    let experiments = PlannedExperiments::of(differences);
    Ok(Planned { experiments, ..planned })
}

impl<'a> Restored<'a> {
    fn service(&mut self, state: &State, name: &Name, revision: u64, then: &Traffic) {
        self.problems.extend(gone_versions(state, name, revision, &then.slots));
        let (Some(today), Some(spec)) = (state.traffic.get(name), state.specs.get(name)) else { return };
        let mut next = today.restored(then);
        // Its users got nothing of it: the way back does not wait for a version that was only looked at.
        next.mirror = next.mirror.filter(|mirror| versions(spec).any(|known| known == mirror.to.as_str()));
        self.traffic.push((name.clone(), next));
    }

    fn flag(&mut self, state: &'a State, name: &Name, revision: u64, then: &FlagState) {
        let Ok((spec, today)) = state.flag("flags", name) else { return };
        let next = restored(today, then);
        self.problems.extend(next.rules.iter().flat_map(|(rule, slots)| gone_variants(spec, rule, revision, slots)));
        self.flags.push((spec, next));
    }

    /// `named` is the revision, if the caller has named the experiment.
    fn experiment(&mut self, state: &'a State, name: &Name, then: Option<ExperimentRun>, named: Option<u64>) {
        let Ok(spec) = state.experiments.named("experiments", name) else { return };
        let then = then.filter(|then| then.running);
        let is_other = then.as_ref().is_some_and(|then| !is_of(then, spec));
        if let Some(revision) = named.filter(|_| is_other) {
            self.problems.push(compared_another(name, revision));
        }
        let Some(today) = state.experiments.runs.get(name) else { return };
        let after = match then.filter(|_| !is_other) {
            None => today.ended(),
            Some(then) if then.since == today.since => then,
            Some(then) => ExperimentRun { since: state.revision + 1, ..then },
        };
        let end = (today.running && !after.running).then_some(RunEnd::RolledBack);
        self.experiments.push(RestoredRun { spec, after, end });
    }

    /// Runs that would own slots of their layer that other runs own.
    fn overlaps(&self, state: &State) -> Vec<Problem> {
        let next_of = |name: &Name| self.experiments.iter().find(|next| next.spec.name() == name);
        let overlap = |next: &RestoredRun<'_>| {
            let spec = next.spec;
            let mut others = state.experiments.specs.iter().filter(|other| shares_layer(spec, other));
            let other = others.find(|other| {
                let today = || state.experiments.runs.get(other.name()).map(|run| &run.slots);
                let slots = next_of(other.name()).map(|next| &next.after.slots).or_else(today);
                other.name() != spec.name() && slots.is_some_and(|slots| slots.overlaps(&next.after.slots))
            })?;
            Some(overlapping(spec.name(), other.name()))
        };
        self.experiments.iter().filter_map(overlap).collect()
    }
}

/// The state of a flag that has the rules of `today` when it is as it was `then`.
fn restored(today: &FlagState, then: &FlagState) -> FlagState {
    let rules = today.rules.iter().map(|(rule, now)| (rule.clone(), then.rules.get(rule).unwrap_or(now).clone()));
    FlagState { enabled: then.enabled, rules: rules.collect() }
}

/// What to look at, or what is wrong with the call.
fn affected<'a>(
    state: &'a State,
    scope: Option<&'a RollbackScope>,
    to: Option<u64>,
) -> Result<Affected<'a>, Vec<Problem>> {
    let mut problems = Vec::new();
    if let Some(to) = to.filter(|to| !(1..=state.revision).contains(to)) {
        let wanted = match state.revision {
            0 => "nothing: there is no revision yet".to_owned(),
            last => format!("a revision from 1 to {last}"),
        };
        problems.push(Problem::invalid(
            "to",
            format!("revision {to}"),
            wanted,
            "take a number from the list of revisions",
        ));
    }
    let affected = match scope {
        Some(scope) => Affected {
            services: scope.services.iter().collect(),
            flags: scope.flags.iter().collect(),
            experiments: scope.experiments.iter().collect(),
        },
        None => Affected {
            services: state.specs.keys().collect(),
            flags: state.flags.specs.flags.iter().map(|spec| &spec.name).collect(),
            experiments: state.experiments.specs.iter().map(|spec| spec.name()).collect(),
        },
    };
    problems.extend(affected.services.iter().filter_map(|name| state.service("services", name).err()));
    problems.extend(affected.flags.iter().filter_map(|name| state.flag("flags", name).err()));
    let experiments = affected.experiments.iter();
    problems.extend(experiments.filter_map(|name| state.experiments.named("experiments", name).err()));
    if problems.is_empty() { Ok(affected) } else { Err(problems) }
}

/// The last change of what is looked at.
#[derive(Default)]
struct LastChange<'a> {
    revision: u64,
    affected: Affected<'a>,
}

impl<'a> LastChange<'a> {
    /// Takes in the last change of one service, flag or experiment; the list of those that the last one of all
    /// affected, if it is that one.
    fn take_in(&mut self, change: Option<Entry>) -> Option<&mut Affected<'a>> {
        let revision = change?.revision;
        if revision > self.revision {
            *self = Self { revision, affected: Affected::default() };
        }
        (revision == self.revision).then_some(&mut self.affected)
    }
}

/// The revision to restore so that the last change is undone, and what it changed.
///
/// Counted per service, flag and experiment, because a rollback of one must not hide the younger change of another.
fn last_change<'a, H: History>(
    state: &State,
    history: &H,
    looked_at: &Affected<'a>,
) -> Result<(u64, Affected<'a>), PlanError<H::Error>> {
    let mut last = LastChange::default();
    for name in &looked_at.services {
        let entries = history.entries(name).map_err(PlanError::History)?;
        if let Some(affected) = last.take_in(undoable(&entries).map(|at| entries[at])) {
            affected.services.push(*name);
        }
    }
    for name in &looked_at.flags {
        let change = last_change_of_flag(state, history, name).map_err(PlanError::History)?;
        if let Some(affected) = last.take_in(change) {
            affected.flags.push(*name);
        }
    }
    for name in &looked_at.experiments {
        let change = last_change_of_experiment(state, history, name).map_err(PlanError::History)?;
        if let Some(affected) = last.take_in(change) {
            affected.experiments.push(*name);
        }
    }
    match last.revision.checked_sub(1) {
        Some(before) => Ok((before, last.affected)),
        None => Err(PlanError::Problems(vec![nothing()])),
    }
}

/// The last change of a flag that can be undone. A file that only adds a rule, or removes one, changes the state, and
/// there is nothing to restore of it: a rollback that stopped there would never get to the launch before it.
fn last_change_of_flag<H: History>(state: &State, history: &H, flag: &Name) -> Result<Option<Entry>, H::Error> {
    let Ok((_, today)) = state.flag("flags", flag) else { return Ok(None) };
    let entries = history.flag_entries(flag)?;
    let mut earlier = &entries[..];
    while let Some(at) = undoable(earlier) {
        let before = history.flag_at(flag, entries[at].revision.saturating_sub(1))?;
        if before.is_some_and(|before| restored(today, &before) != **today) {
            return Ok(Some(entries[at]));
        }
        earlier = &entries[..at];
    }
    Ok(None)
}

/// The last change of an experiment that can be undone, its first start as well: before it, it did not run. There is
/// nothing to restore of a change before which something else was compared, or which only ended what had ended.
fn last_change_of_experiment<H: History>(
    state: &State,
    history: &H,
    experiment: &Name,
) -> Result<Option<Entry>, H::Error> {
    let (Some(spec), Some(today)) = (state.experiments.spec(experiment), state.experiments.runs.get(experiment)) else {
        return Ok(None);
    };
    let entries = history.experiment_entries(experiment)?;
    let mut earlier = &entries[..];
    while let Some(at) = position(earlier) {
        let before = history.experiment_at(experiment, entries[at].revision.saturating_sub(1))?;
        let before = before.filter(|before| before.running && is_of(before, spec));
        if before.as_ref().map_or(today.running, |before| before != &**today) {
            return Ok(Some(entries[at]));
        }
        earlier = &entries[..at];
    }
    Ok(None)
}

/// Index of the entry that is in force. The first entry is the arrival; there is nothing before it.
fn undoable(entries: &[Entry]) -> Option<usize> {
    position(entries).filter(|at| *at > 0)
}

/// Index of the entry that is in force, with rollbacks followed to what they restored.
fn position(entries: &[Entry]) -> Option<usize> {
    let mut at = entries.len().checked_sub(1)?;
    while let Some(restored) = entries[at].restores {
        at = entries[..at].partition_point(|entry| entry.revision <= restored).checked_sub(1)?;
    }
    Some(at)
}

fn nothing() -> Problem {
    Problem::conflict(
        "to",
        "no change of traffic that could be undone",
        "a revision to go back to",
        "name one with \"to\"",
    )
}

fn not_yet(place: &str, name: &Name, revision: u64) -> Problem {
    Problem::conflict(
        place,
        format!("{name}, which was not there at revision {revision}"),
        format!("{place} that were there then"),
        "leave it out, or go back to a later revision",
    )
}

fn compared_another(experiment: &Name, revision: u64) -> Problem {
    Problem::conflict(
        format!("experiments.{experiment}"),
        format!("a run of revision {revision} that compared something else than the config does now"),
        "a run of the same comparison",
        "start another run, or restore the config first",
    )
}

fn overlapping(experiment: &Name, other: &Name) -> Problem {
    Problem::conflict(
        format!("experiments.{experiment}"),
        format!("users that {other} has by now, in the same layer"),
        "users that are free",
        format!("stop {other} first (pointsman experiment stop {other}), or start another run"),
    )
}

/// Versions that had slots then and are not in the config now.
fn gone_versions(state: &State, service: &Name, revision: u64, slots: &Slots) -> Vec<Problem> {
    let Some(spec) = state.specs.get(service) else {
        return Vec::new();
    };
    let weights = slots.weights();
    let gone = weights.iter().filter(|(name, _)| versions(spec).all(|known| known != name.as_str()));
    let problem = |(name, weight)| {
        Problem::conflict(
            format!("services.{service}"),
            format!("revision {revision} gives {weight} % to {name}, which the config does not have any more"),
            one_of(versions(spec)),
            format!("add {name} to the config again, or go back to another revision"),
        )
    };
    gone.map(problem).collect()
}

/// Variants that had slots of a rule then and are not in the config now.
fn gone_variants(spec: &FlagSpec, rule: &Name, revision: u64, slots: &Slots) -> Vec<Problem> {
    let weights = slots.weights();
    let gone = weights.iter().filter(|(name, _)| spec.variant(name).is_none());
    let problem = |(name, weight)| {
        Problem::conflict(
            format!("flags.{}.rules.{rule}", spec.name),
            format!("revision {revision} gives {weight} % to {name}, which the config does not have any more"),
            one_of(spec.variants.iter().map(|variant| variant.name.as_str())),
            format!("add {name} to the config again, or go back to another revision"),
        )
    };
    gone.map(problem).collect()
}
