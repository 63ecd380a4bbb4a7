//! What the writer shares with other replicas, and what it takes from them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::RngExt;

use super::super::change::Change;
use super::super::experiment_states::PlannedExperiments;
use super::super::file::{FileSpecs, fits, flag_is_news, mirror_is_news, split_is_news};
use super::super::fleet::fleet_link::{FleetFound, FleetLink, FleetPosition, FleetRefusal, FleetStanding};
use super::super::fleet::fleet_mark::FleetMark;
use super::super::fleet::fleet_port::{FleetUpdate, FleetWrite, FleetWriteError, REVISIONS_KEPT, SharedRollout};
use super::super::fleet::shared_state::{SharedState, SharedTables};
use super::super::handle::{ApplyError, ChangeRequest, FleetProblem};
use super::super::planned::{Action, Planned, State};
use super::super::store::Record;
use super::super::store::fleet_rows::shared_revision;
use super::super::weight_marks::WeightMarks;
use super::{StoreSlot, Writer};
use crate::problem::{Problem, chain};
use crate::table::Name;

/// How many revisions of before are written when a fleet begins.
const SEEDED: u32 = 50;

impl Writer {
    /// Goes on from what was found in the fleet, before the file is applied.
    pub(super) fn begin_in_fleet(&mut self, found: Option<FleetFound>) -> Result<(), ApplyError> {
        match found {
            None => {}
            Some(FleetFound::Apart(why)) => self.fleet_apart(why),
            Some(FleetFound::News(update)) => {
                if let Err(refusal) = self.take_in_news(&update) {
                    tracing::error!(problem = %refusal, "the fleet is not followed");
                    self.fleet_apart(refusal.to_string());
                }
            }
            Some(FleetFound::Nothing) => match self.fleet_seed(false) {
                Err(ApplyError::Fleet(FleetProblem::Outrun)) => self.catch_up()?,
                seeded => drop(seeded?),
            },
        }
        Ok(())
    }

    /// Goes on with what the other replicas have, after another one was faster.
    pub(super) fn catch_up(&mut self) -> Result<(), ApplyError> {
        let revision = self.state.revision;
        let Some(link) = &mut self.fleet else { return Ok(()) };
        let update = match link.port.read(revision) {
            Ok(Some(update)) => update,
            Ok(None) => return Err(FleetProblem::Apart("the shared state is gone from etcd".to_owned()).into()),
            Err(error) => return Err(FleetProblem::Apart(error.to_string()).into()),
        };
        self.take_in_news(&update).map_err(|refusal| FleetProblem::Apart(refusal.to_string()))?;
        Ok(())
    }

    /// Puts in force what the other replicas have, and then what the file says that they do not know yet.
    pub(super) fn fleet_news(&mut self, update: &FleetUpdate) -> Result<FleetStanding, FleetRefusal> {
        let was_apart = self.fleet.as_ref().is_some_and(|link| link.position.is_none());
        if let Err(refusal) = self.take_in_news(update) {
            self.fleet_apart(refusal.to_string());
            return Err(refusal);
        }
        if was_apart {
            let origin = self.fleet.as_mut().and_then(|link| link.untold.take());
            let specs = FileSpecs { origin, ..FileSpecs::in_force(&self.state) };
            if let Err(error) = self.apply(&ChangeRequest::of_file(specs, None)) {
                tracing::warn!(error = chain(&error), "what the config says cannot be told to the fleet yet");
            }
        }
        Ok(self.fleet_standing())
    }

    /// With a file that has what was missing, a service has the traffic of the fleet again.
    pub(super) fn follow_what_fits(&mut self, request: &ChangeRequest) {
        let (Some(link), Change::File(file)) = (&mut self.fleet, &request.change) else { return };
        if request.dry_run || link.position.is_none() || link.misfits.is_empty() {
            return;
        }
        for spec in file.services.iter().filter(|spec| link.misfits.contains_key(&spec.name)) {
            if let Some(traffic) = link.tables.traffic.get(&spec.name).filter(|traffic| fits(spec, traffic)) {
                self.state.traffic.insert(spec.name.clone(), Arc::clone(traffic));
            }
        }
    }

    /// The fleet cannot be asked.
    pub(super) fn fleet_apart(&mut self, why: String) {
        if let Some(link) = &mut self.fleet {
            (link.position, link.apart) = (None, why);
        }
    }

    /// Where this replica stands.
    pub(super) fn fleet_standing(&self) -> FleetStanding {
        let mark = self.slot.open().ok().and_then(|store| store.fleet_mark().ok()).unwrap_or_default();
        let misfits = self.fleet.iter().flat_map(|link| &link.misfits);
        let misfits = misfits.map(|(name, why)| format!("services.{name}: {why}")).collect();
        FleetStanding { mark, revision: self.state.revision, misfits }
    }

    /// Writes what this replica has as the first document of a fleet.
    pub(super) fn fleet_seed(&mut self, again: bool) -> Result<FleetStanding, ApplyError> {
        let State { revision, traffic, intent, flags, experiments, .. } = &self.state;
        let store = self.slot.open()?;
        let mark = store.fleet_mark()?;
        let Some(link) = &mut self.fleet else { return Ok(FleetStanding::default()) };
        let found = if again { link.port.read(*revision) } else { Ok(None) };
        let found = found.map_err(|error| FleetProblem::Apart(error.to_string()))?;
        let stranger = found.as_ref().and_then(|found| found.state.as_ref()).map(|state| &state.fleet);
        if let Some(stranger) = stranger.filter(|fleet| !mark.fleet.is_empty() && **fleet != mark.fleet) {
            return Err(FleetProblem::Stranger { found: stranger.clone(), own: mark.fleet }.into());
        }
        let seen = found.map(|found| found.seen);
        let mut tables = SharedTables {
            traffic: traffic.clone(),
            flags: flags.states.clone(),
            experiments: experiments.runs.clone(),
            notes: store.weight_notes()?,
            ..SharedTables::default()
        };
        intent.iter().for_each(|(name, said)| tables.intent.say_service(name.clone(), said.clone()));
        flags.intent.iter().for_each(|(name, said)| tables.intent.say_flag(name.clone(), said.clone()));
        let fleet = if mark.fleet.is_empty() { drawn() } else { mark.fleet };
        let document = SharedState {
            fleet: fleet.clone(),
            // Above whatever another replica may have seen and this one not.
            generation: if again { mark.generation + REVISIONS_KEPT } else { 1 },
            by: link.name.clone(),
            mark: drawn(),
            ..SharedState::of(&tables, *revision)
        };
        let rollouts = store.rollouts(SEEDED)?.into_iter().map(|(id, state)| SharedRollout { id, state }).collect();
        let revisions = store.shared_revisions(SEEDED)?;
        let generation = document.generation;
        let write = FleetWrite { state: Some(document), revisions, rollouts, leads: false };
        let seen = link.port.put(seen, &write).map_err(problem)?;
        link.position = Some(FleetPosition { seen, fleet: fleet.clone(), generation });
        self.state.told = Some(Arc::new(tables.intent.clone()));
        link.tables = tables;
        if let StoreSlot::Owned(store) = &mut self.slot {
            store.mark_fleet(&FleetMark { fleet, generation })?;
        }
        Ok(self.fleet_standing())
    }

    pub(super) fn take_in_news(&mut self, update: &FleetUpdate) -> Result<(), FleetRefusal> {
        let StoreSlot::Owned(store) = &mut self.slot else { return Err(FleetRefusal::Upgrading) };
        let Some(link) = &mut self.fleet else { return Ok(()) };
        let known = link.position.as_ref().is_some_and(|position| position.seen >= update.seen);
        let Some(state) = update.state.as_ref().filter(|_| !known || link.store_lags) else {
            // Its own writes come back as news.
            let taken = store.take_in_rollouts(&update.rollouts);
            return taken.map_err(|error| FleetRefusal::Bad(chain(&error)));
        };
        let mark = store.fleet_mark().map_err(|error| FleetRefusal::Bad(chain(&error)))?;
        let known = mark.generation.max(link.position.as_ref().map_or(0, |position| position.generation));
        let SharedState { fleet, generation, revision, .. } = state;
        if !mark.fleet.is_empty() && mark.fleet != *fleet {
            return Err(FleetRefusal::Other { found: fleet.clone(), wanted: mark.fleet });
        }
        if !mark.fleet.is_empty() && *generation < known {
            return Err(FleetRefusal::Back { found: *generation, known });
        }
        let tables = state.tables().map_err(|error| FleetRefusal::Bad(error.to_string()))?;
        let taken = store.take_in(update, state, &tables);
        link.store_lags = taken.is_err();
        self.store_problem.send_replace(taken.err().map(|error| chain(&error)));
        link.position = Some(FleetPosition { seen: update.seen, fleet: fleet.clone(), generation: *generation });
        for name in std::mem::take(&mut link.provisional) {
            if !tables.traffic.contains_key(&name) {
                self.state.traffic.remove(&name);
            }
        }
        let (revision, intent) = (*revision, tables.intent.clone());
        self.state.marks = WeightMarks::of_notes(&tables.notes);
        let planned = entered(&self.state, &tables, &mut link.misfits);
        link.tables = tables;
        self.state.told = Some(Arc::new(intent));
        let done = self.put_in_force(revision, &planned);
        self.tell_weights();
        done
    }

    /// Puts in force what was decided elsewhere.
    fn put_in_force(&mut self, revision: u64, planned: &Planned) -> Result<(), FleetRefusal> {
        let none = planned.next.is_empty() && planned.flags.next.is_empty() && planned.experiments.next.is_empty();
        if none && revision == self.state.revision {
            return Ok(());
        }
        let table = self.compile_entered(revision, planned);
        let table =
            table.map_err(|error| FleetRefusal::Bad(format!("it does not compile, a bug: {}", chain(&error))))?;
        // A replica that begins has no table yet: its file makes the first one.
        let before = self.state.revision;
        self.enter(revision, None, planned);
        if !self.state.specs.is_empty() {
            self.publisher.publish(table);
            tracing::info!(revision, before, services = planned.next.len(), "the traffic has changed by the fleet");
        }
        Ok(())
    }
}

/// What of the fleet's tables is new here, and can be had.
fn entered(state: &State, tables: &SharedTables, misfits: &mut BTreeMap<Name, String>) -> Planned {
    misfits.clear();
    let mut next = Vec::new();
    for (name, traffic) in &tables.traffic {
        match state.specs.get(name) {
            Some(spec) if !fits(spec, traffic) => {
                let split = traffic.slots.weights();
                misfits.insert(name.clone(), format!("the fleet has {split}, and not all of it is in this config"));
            }
            Some(_) | None => next.push((name.clone(), (**traffic).clone())),
        }
    }
    let mut planned = state.planned(Action::File, next);
    let anew = |(name, flag): &(&Name, &Arc<_>)| state.flags.states.get(*name) != Some(*flag);
    let flags = tables.flags.iter().filter(anew).map(|(name, flag)| (name.clone(), Arc::clone(flag)));
    planned.flags.next = flags.collect();
    let runs = tables.experiments.iter().filter(|(name, run)| state.experiments.runs.get(*name) != Some(*run));
    let next = runs.map(|(name, run)| (name.clone(), Arc::clone(run))).collect();
    planned.experiments = PlannedExperiments { next, ..PlannedExperiments::default() };
    planned
}

/// What of a plan all replicas are told, if that is not all of it; the rest is of this replica alone.
pub(super) fn told(
    link: Option<&mut FleetLink>,
    state: &State,
    change: &Change,
    planned: &mut Planned,
) -> Option<Planned> {
    let (Some(link), Change::File(file)) = (link, change) else { return None };
    let spec = |name: &Name| file.services.iter().find(|spec| spec.name == *name);
    if link.position.is_none() {
        link.untold.clone_from(&file.origin);
        // What the file says is not told, and so is news when the fleet is there again.
        let known = |name: &Name| {
            let old = state.traffic.get(name);
            old.is_some_and(|old| spec(name).is_some_and(|spec| fits(spec, old)))
        };
        planned.next.retain(|name, _| !known(name));
        planned.flags.next.retain(|name, _| !state.flags.states.contains_key(name));
        planned.experiments = PlannedExperiments::default();
        planned.intent.clear();
        planned.flags.intent.clear();
        let fresh: BTreeSet<_> = planned.next.keys().filter(|name| !link.tables.traffic.contains_key(*name)).collect();
        link.provisional.extend(fresh.into_iter().cloned());
        let nothing = Planned { restores: None, ..state.planned(Action::File, []) };
        return Some(nothing);
    }
    // At a start nothing is known of what the file said before, and it may be older than those of the others.
    if state.specs.is_empty() {
        planned.experiments = PlannedExperiments::default();
    }
    let mut told = planned.clone();
    let insists = file.origin.as_ref().is_some_and(|origin| origin.insists);
    let told_of = |name: &Name| {
        let of = spec(name);
        insists
            || !link.tables.traffic.contains_key(name)
            || of.is_some_and(|spec| split_is_news(state, spec) || mirror_is_news(state, spec))
    };
    told.next.retain(|name, _| told_of(name));
    told.difference.retain(|difference| told.next.contains_key(&difference.service));
    let flag = |name: &Name| file.flags.flags.iter().find(|spec| spec.name == *name);
    let told_of_flag = |name: &Name| {
        insists || !link.tables.flags.contains_key(name) || flag(name).is_some_and(|spec| flag_is_news(state, spec))
    };
    told.flags.next.retain(|name, _| told_of_flag(name));
    told.flags.difference.retain(|difference| told.flags.next.contains_key(&difference.flag));
    for (name, spec) in file.services.iter().map(|spec| (&spec.name, spec)) {
        let fleet = link.tables.traffic.get(name).filter(|fleet| !fits(spec, fleet) && !told.next.contains_key(name));
        match fleet {
            Some(fleet) => {
                let split = fleet.slots.weights();
                link.misfits
                    .insert(name.clone(), format!("the fleet has {split}, and not all of it is in this config"));
            }
            None => drop(link.misfits.remove(name)),
        }
    }
    Some(told)
}

/// Tells the other replicas of a change, before it is written here. The mark is for the store.
pub(super) fn share(
    link: &mut FleetLink,
    state: &State,
    record: &Record<'_>,
    told: &Planned,
    revision: u64,
) -> Result<Option<FleetMark>, ApplyError> {
    let is_more = record.revision.is_some() || record.rollout.is_some();
    let Some(position) = &mut link.position else {
        return if is_more { Err(FleetProblem::Apart(link.apart.clone()).into()) } else { Ok(None) };
    };
    if let Some((name, why)) = told.next.keys().find_map(|name| link.misfits.get_key_value(name)) {
        let remedy = "give this replica the config of the others, or ask one of those";
        let wanted = "a config with all versions that get requests";
        let place = format!("services.{name}");
        return Err(ApplyError::Problems(vec![Problem::conflict(place, why.clone(), wanted, remedy)]));
    }
    let mut tables = link.tables.after(state, told);
    record.notes.iter().for_each(|note| note.apply(&mut tables.notes));
    let is_new = record.revision.is_some() || !record.drained.is_empty() || tables != link.tables;
    let rollouts = record.rollout.map(|(id, text)| SharedRollout { id, state: text.to_owned() });
    if !is_new && rollouts.is_none() {
        return Ok(None);
    }
    let document = is_new.then(|| SharedState {
        fleet: position.fleet.clone(),
        generation: position.generation + 1,
        by: link.name.clone(),
        mark: drawn(),
        ..SharedState::of(&tables, revision)
    });
    let write = FleetWrite {
        state: document,
        revisions: shared_revision(record).into_iter().collect(),
        leads: rollouts.is_some(),
        rollouts: rollouts.into_iter().collect(),
    };
    let seen = link.port.put(Some(position.seen), &write).map_err(problem)?;
    if is_new {
        (position.seen, position.generation) = (seen, position.generation + 1);
        link.tables = tables;
    }
    Ok(Some(FleetMark { fleet: position.fleet.clone(), generation: position.generation }))
}

fn problem(error: FleetWriteError) -> FleetProblem {
    match error {
        FleetWriteError::Outrun => FleetProblem::Outrun,
        FleetWriteError::NotLeader => FleetProblem::NotLeader,
        FleetWriteError::Refused(why) => FleetProblem::Apart(why),
        FleetWriteError::Unknown(why) => FleetProblem::Unknown(why),
    }
}

/// Sixteen bytes of chance, in hex.
fn drawn() -> String {
    format!("{:032x}", rand::rng().random::<u128>())
}
