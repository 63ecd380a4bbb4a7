//! The one thread that changes the traffic: plan, compile, commit, publish, answer, in this order.
//!
//! Compiling comes before the commit, so that nothing is recorded that cannot be routed; the commit comes before the
//! pointer, so that no request is ever routed by a revision that a power cut could take back; the answer comes last, so
//! that a caller that has it can rely on both. A plain thread, because a disk flush blocks, and requests must not wait.

mod chaos_writes;
mod compile;
mod faults;
mod fleet_writes;
pub(crate) mod marked_weights;
mod record_change;
mod released;
mod slo_hours;
mod thread;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use crate::ledger::running_trials::RunningTrials;
use crate::stats::Registry;
use crate::table::{ResolveError, Table};

use super::change::{Change, plan};
use super::experiment_states::ExperimentStates;
use super::file::FileSpecs;
use super::fleet::fleet_link::{FleetBegin, FleetFound, FleetLink};
use super::handle::{Applied, ApplyError, ChangeRequest, FleetProblem, OntoDead, ReadError, Upgrading, WriterFacts};
use super::planned::{FlagStates, Planned, State};
use super::publish::{Published, Publisher};
use super::store::{KnownState, Loaded, Store, StoreError};
use super::table_reclaimer::TableReclaimer;
use super::unusable;
use super::weight_marks::WeightFacts;
use crate::problem::chain;

/// So often a change is planned again because another replica was faster.
const OUTRUN_MAX: u32 = 10;

/// The state, the store and the table, before the thread has them.
#[derive(Debug)]
pub struct Writer {
    slot: StoreSlot,
    path: PathBuf,
    state: State,
    publisher: Publisher,
    registry: Arc<Registry>,
    /// Why nothing can be written to the store, as far as is known.
    store_problem: watch::Sender<Option<String>>,
    /// The experiments in force, told before the table that they are in.
    experiments: watch::Sender<Arc<ExperimentStates>>,
    /// The same, for what counts their users.
    trials: RunningTrials,
    /// Who set the weights in force, told after the table that has them: what is woken by it looks at that.
    weights: watch::Sender<Arc<WeightFacts>>,
    /// Whether that is because its files are not where they were.
    misplaced: bool,
    /// What was last done to its files, and when.
    store_note: Option<String>,
    /// The replicas that it shares the traffic with, if there are any.
    fleet: Option<FleetLink>,
}

/// Where the store is.
#[derive(Debug)]
enum StoreSlot {
    /// Here.
    Owned(Box<Store>),
    /// With a process that takes over.
    HandedOver,
    /// Nowhere: it could not be opened again.
    Unavailable,
}

impl StoreSlot {
    /// The store, if it is here.
    fn open(&self) -> Result<&Store, Upgrading> {
        match self {
            Self::Owned(store) => Ok(store),
            Self::HandedOver | Self::Unavailable => Err(Upgrading),
        }
    }
}

/// Why the writer could not start.
#[derive(Debug, thiserror::Error)]
pub enum WriterStartError {
    /// The services of the file could not be put in force.
    #[error("cannot put the services of the config in force")]
    Apply(#[from] ApplyError),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no thread for it.
    #[error("cannot start the writer's thread")]
    Thread(#[from] std::io::Error),
}

/// What a change that is one makes.
#[derive(Debug)]
struct NewRevision {
    number: u64,
    /// What spoke against it, if its caller insisted.
    forced: Option<String>,
}

impl Writer {
    /// Restores the state from `store` and puts what the file defines in force.
    ///
    /// # Errors
    /// [`WriterStartError`] when the state cannot be read or written.
    pub fn new(store: Store, registry: Arc<Registry>, specs: impl Into<FileSpecs>) -> Result<Self, WriterStartError> {
        Self::in_fleet(store, registry, specs, None)
    }

    /// The same in a fleet, from what it was just told of it.
    ///
    /// # Errors
    /// [`WriterStartError`] when the state cannot be read or written.
    pub(crate) fn in_fleet(
        store: Store,
        registry: Arc<Registry>,
        specs: impl Into<FileSpecs>,
        fleet: Option<FleetBegin>,
    ) -> Result<Self, WriterStartError> {
        let publisher = Publisher::new(Table::empty());
        let path = store.path().to_owned();
        let (slot, state) = (StoreSlot::HandedOver, State::default());
        let (fleet, found) = fleet.map(|FleetBegin { link, found }| (link, found)).unzip();
        let mut writer = Self {
            slot,
            path,
            state,
            publisher,
            registry,
            store_problem: watch::Sender::default(),
            experiments: watch::Sender::default(),
            trials: RunningTrials::default(),
            weights: watch::Sender::default(),
            misplaced: false,
            store_note: None,
            fleet,
        };
        writer.restore(store, specs.into(), found)?;
        Ok(writer)
    }

    /// Goes on from what is in `store` and what the fleet has made of it, under what the file defines.
    fn restore(&mut self, store: Store, specs: FileSpecs, found: Option<FleetFound>) -> Result<(), ApplyError> {
        let Loaded { revision, traffic, intent, flags, flag_intent, experiments, marks } = store.load()?;
        // What names stand for was found out since the start, and is not in the store.
        let (addresses, faults) = (Arc::clone(&self.state.addresses), std::mem::take(&mut self.state.faults));
        let flags = FlagStates { states: flags, intent: flag_intent, ..FlagStates::default() };
        let experiments = ExperimentStates { runs: experiments, ..ExperimentStates::default() };
        let told = self.state.told.take();
        let none = State::default();
        self.state = State { revision, traffic, intent, flags, experiments, addresses, faults, marks, told, ..none };
        self.tell_weights();
        self.store_problem.send_replace(store.problem().map(|problem| chain(&problem)));
        self.slot = StoreSlot::Owned(Box::new(store));
        self.begin_in_fleet(found)?;
        self.apply(&ChangeRequest::of_file(specs, None))?;
        Ok(())
    }

    /// Opens the store again. The process that had it may have changed the traffic, and told its callers so.
    fn take_store_back(&mut self) -> Result<(), ApplyError> {
        if matches!(self.slot, StoreSlot::Owned(_)) {
            return Ok(());
        }
        let before = self.state.clone();
        let specs = FileSpecs::in_force(&before);
        self.slot = StoreSlot::Unavailable;
        let restored =
            self.open_returned().map_err(ApplyError::from).and_then(|store| self.restore(store, specs, None));
        if let Err(error) = &restored {
            (self.slot, self.state) = (StoreSlot::Unavailable, before);
            self.store_problem.send_replace(Some(chain(error)));
        }
        restored
    }

    /// Opens the store that was handed over. Another file in its place would take back what was acknowledged.
    fn open_returned(&self) -> Result<Store, StoreError> {
        let wanted = self.state.revision;
        let other = |found: String| StoreError::NotReturned { path: self.path.clone(), found, wanted };
        if !self.path.exists() {
            return Err(other("nothing".to_owned()));
        }
        let store = Store::open(&self.path)?;
        let found = store.load()?.revision;
        if found < wanted { Err(other(format!("revision {found}"))) } else { Ok(store) }
    }

    /// Sees that what is written next is on the files that the path of the store leads to.
    fn look_after_store(&mut self) -> Result<(), StoreError> {
        let StoreSlot::Owned(store) = &mut self.slot else { return Ok(()) };
        let State { revision, traffic, flags, experiments, .. } = &self.state;
        let known = KnownState { revision: *revision, traffic, flags: &flags.states, experiments: &experiments.runs };
        let secured = store.secure(&known);
        self.tell_note();
        match &secured {
            Ok(()) if self.misplaced => {
                tracing::info!(path = %self.path.display(), "the revision store is where it was again");
                self.misplaced = false;
                self.store_problem.send_replace(None);
            }
            Ok(()) => {}
            Err(error) => {
                let problem = chain(error);
                if self.store_problem.borrow().as_ref() != Some(&problem) {
                    tracing::error!(problem, "changes are refused");
                }
                self.misplaced = true;
                self.store_problem.send_replace(Some(problem));
            }
        }
        secured
    }

    /// Says what was done to the files of the store.
    fn tell_note(&mut self) {
        let StoreSlot::Owned(store) = &mut self.slot else { return };
        let Some(note) = store.take_note() else { return };
        tracing::warn!(path = %self.path.display(), "revision store: {note}");
        self.registry.count_store_mended();
        self.store_note = Some(format!("{}: {note}", jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ")));
    }

    /// The table for the data plane.
    #[must_use]
    pub fn published(&self) -> Published {
        self.publisher.published()
    }

    /// Told after each table that is put in force.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.publisher.changes()
    }

    /// What frees the tables that are replaced.
    #[must_use]
    pub fn reclaimer(&mut self) -> TableReclaimer {
        self.publisher.reclaimer()
    }

    /// The experiments in force: told before the table that they are in, so that no user is seen in a run that is not
    /// known.
    #[must_use]
    pub fn experiments(&self) -> watch::Receiver<Arc<ExperimentStates>> {
        self.experiments.subscribe()
    }

    /// What users are counted for: told before the table that they are seen by.
    #[must_use]
    pub(crate) fn running_trials(&self) -> RunningTrials {
        self.trials.clone()
    }

    /// Why nothing can be written to the store; none while it can, as far as is known.
    #[must_use]
    pub fn store_problem(&self) -> watch::Receiver<Option<String>> {
        self.store_problem.subscribe()
    }

    fn read<T>(&self, read: impl FnOnce(&Store) -> Result<T, StoreError>) -> Result<T, ReadError> {
        Ok(read(self.slot.open()?)?)
    }

    /// Puts the addresses of a host in force.
    pub fn resolved(&mut self, host: &Arc<str>, found: Result<Vec<IpAddr>, ResolveError>) {
        self.state.addresses = Arc::new(self.state.addresses.with(host, found));
        match self.publisher.table().with_addresses(&self.state.addresses, &self.registry) {
            Ok(table) => self.publisher.publish(table),
            Err(error) => tracing::error!(%error, "addresses do not compile, which is a bug"),
        }
    }

    fn facts(&self) -> WriterFacts {
        let store = self.path.display().to_string();
        let (store_problem, store_note) = (self.store_problem.borrow().clone(), self.store_note.clone());
        WriterFacts { revision: self.state.revision, store, store_problem, store_note }
    }

    /// Applies a change; in a fleet again on what another replica has made of the traffic meanwhile.
    fn apply(&mut self, request: &ChangeRequest) -> Result<Applied, ApplyError> {
        for _ in 0..OUTRUN_MAX {
            match self.apply_once(request) {
                Err(ApplyError::Fleet(FleetProblem::Outrun)) => self.catch_up()?,
                done => return done,
            }
        }
        Err(FleetProblem::Outrun.into())
    }

    fn apply_once(&mut self, request: &ChangeRequest) -> Result<Applied, ApplyError> {
        if matches!(self.slot, StoreSlot::Unavailable) {
            self.take_store_back()?;
        }
        if !request.dry_run {
            self.look_after_store()?;
        }
        let found = self.state.revision;
        if let Some(wanted) = request.if_match.filter(|wanted| *wanted != found) {
            return Err(ApplyError::Outdated { wanted, found });
        }
        self.follow_what_fits(request);
        let mut planned = plan(&self.state, self.slot.open()?, &request.change)?;
        self.refuse_released(&request.change)?;
        let mut told = fleet_writes::told(self.fleet.as_mut(), &self.state, &request.change, &mut planned);
        let changed = told.as_ref().unwrap_or(&planned).is_revision(&self.state);
        let revision = if changed { found + 1 } else { found };
        planned.marks = self.marks(request, told.as_ref().unwrap_or(&planned), revision);
        if let Some(told) = &mut told {
            told.marks = planned.marks.clone();
        }
        let told = told.as_ref().unwrap_or(&planned);
        let table = self.compile(revision, &request.change, &planned)?;
        let forced = self.insisted(request, &planned, table.as_ref())?;
        let applied = |revision, told: &Planned| Applied {
            revision,
            changed,
            restores: told.restores,
            difference: told.difference.clone(),
            flags: told.flags.difference.clone(),
            experiments: told.experiments.difference.clone(),
        };
        if request.dry_run {
            return Ok(applied(found, told));
        }
        let new = changed.then_some(NewRevision { number: revision, forced });
        self.commit(request, told, new.as_ref())?;
        let defined = if let Change::File(specs) = &request.change { Some(specs) } else { None };
        let applied = applied(revision, told);
        self.enter(revision, defined, &planned);
        if let Some(table) = table {
            self.publisher.publish(table);
        }
        self.enter_marks(&mut planned);
        if changed {
            self.registry.releases().changed(planned.action.word());
            record_change::log(&applied, request, &planned);
        }
        Ok(applied)
    }

    /// What is known of the versions that the change gives more requests to all the same, if its caller insists.
    fn insisted(
        &self,
        request: &ChangeRequest,
        planned: &Planned,
        after: Option<&Table>,
    ) -> Result<Option<String>, ApplyError> {
        let Some(after) = after.filter(|_| request.onto_dead != OntoDead::Ignore) else { return Ok(None) };
        let dead = match self.started(&request.change) {
            Some(spec) => unusable::of_arms(spec, after),
            None => unusable::of_change(&request.change, &self.publisher.table(), after, planned.next.keys()),
        };
        match request.onto_dead {
            OntoDead::Refuse if !dead.is_empty() => Err(ApplyError::Unusable(dead)),
            OntoDead::Refuse | OntoDead::Ignore => Ok(None),
            OntoDead::Insist => Ok(unusable::insisted(&dead)),
        }
    }

    /// Takes what was committed into the state.
    fn enter(&mut self, revision: u64, defined: Option<&FileSpecs>, planned: &Planned) {
        let state = &mut self.state;
        state.revision = revision;
        state.traffic.extend(planned.next.iter().map(|(name, next)| (name.clone(), Arc::clone(next))));
        state.intent.extend(planned.intent.iter().map(|(name, said)| (name.clone(), said.clone())));
        state.flags.enter(&planned.flags);
        state.experiments.enter(&planned.experiments);
        let defines = if let Some(FileSpecs { services, flags, experiments, guardrails, origin: _ }) = defined {
            state.specs = services.iter().map(|spec| (spec.name.clone(), Arc::clone(spec))).collect();
            state.flags.specs = Arc::clone(flags);
            state.experiments.specs = Arc::clone(experiments);
            state.experiments.guardrails = Arc::clone(guardrails);
            true
        } else {
            false
        };
        if defines || !planned.experiments.next.is_empty() {
            self.trials.set_experiments(state.experiments.trials());
            self.experiments.send_replace(Arc::new(state.experiments.clone()));
        }
    }
}
