//! What is counted: the trials that run in memory, and the file that has them as they were at the last commit.
//!
//! Nothing in here waits for a queue or a clock; [`ledger_thread`](super::ledger_thread) does. What was seen is in
//! memory until the next commit; an event is answered after it. Where a commit fails, what is in memory goes on to be
//! counted and is tried again, and events are refused: their sender has them still, and repeats them by their ids.
//! Without its file nothing is counted at all: whom it knows already is in there.

mod book_exchange;
mod book_reads;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use self::book_exchange::BookExchange;
use super::ledger_file::LedgerFile;
use super::ledger_file_error::LedgerFileError;
use super::ledger_handle::{EventReceipt, LedgerError, TrialCounts, UserEvent, UserEventKind};
use super::ledger_place::Secured;
use super::open_trial::OpenTrial;
use super::running_trials::TrialSpecs;
use super::seen::{Seen, SeenKind, TrialKey};
use crate::experiment::definition::ExperimentSpec;
use crate::experiment::experiment_state::{ActKind, EventTally, ExperimentState, Exposed, Recorded, UserAct};
use crate::shared::name::Name;

/// Where what is counted is kept.
#[derive(Debug)]
enum FileSlot {
    /// Nothing is to be kept yet.
    Unneeded,
    Open(Box<LedgerFile>),
    /// Another process has it.
    HandedOver,
    /// It could not be opened, and is tried again.
    Broken,
}

/// The trials and their file.
#[derive(Debug)]
pub(super) struct LedgerBook {
    /// None: in memory only.
    path: Option<PathBuf>,
    slot: FileSlot,
    /// What runs, as it was last told.
    specs: TrialSpecs,
    trials: BTreeMap<TrialKey, OpenTrial>,
    /// Counts of runs that have ended, which do not change any more.
    ended: BTreeMap<TrialKey, TrialCounts>,
    problem: Option<Arc<str>>,
    note: Option<Arc<str>>,
    /// What was seen of trials that run while there was no file.
    lost: u64,
    exchange: BookExchange,
}

impl LedgerBook {
    /// Without trials; `path` is none when everything is in memory only.
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        let (specs, trials, ended) = (TrialSpecs::new(), BTreeMap::new(), BTreeMap::new());
        let (slot, exchange) = (FileSlot::Unneeded, BookExchange::default());
        Self { path, slot, specs, trials, ended, problem: None, note: None, lost: 0, exchange }
    }

    /// These trials run, and no other. Also called again from time to time while something is wrong.
    pub(super) fn run(&mut self, specs: TrialSpecs, now_ms: u64) {
        self.specs = specs;
        if matches!(self.slot, FileSlot::HandedOver) {
            return;
        }
        let Self { specs, trials, exchange, .. } = self;
        for trial in trials.values_mut().filter(|trial| trial.ended_ms.is_none()) {
            match specs.get(&trial.key) {
                Some(spec) => trial.state.set_spec(Arc::clone(spec)),
                None => {
                    (trial.ended_ms, trial.changed) = (Some(now_ms), true);
                    trial.closing = exchange.shares;
                }
            }
        }
        trials.retain(|_, trial| trial.ended_ms.is_none() || trial.run().is_some());
        self.open_file(now_ms);
        let new: Vec<_> = self.specs.iter().map(|(key, spec)| (key.clone(), Arc::clone(spec))).collect();
        for (key, spec) in new {
            match self.trials.get_mut(&key) {
                // It goes on before its end was written.
                Some(trial) if trial.ended_ms.is_some() => (trial.ended_ms, trial.changed) = (None, true),
                Some(_) => {}
                None => self.begin(&key, spec, now_ms),
            }
        }
        self.look_soon();
    }

    fn begin(&mut self, key: &TrialKey, spec: Arc<ExperimentSpec>, now_ms: u64) {
        let trial = match (key, &self.slot) {
            (TrialKey::Rollout { .. }, _) => Ok(OpenTrial::new(key.clone(), ExperimentState::new(spec), now_ms)),
            (TrialKey::Experiment { name, since }, FileSlot::Open(file)) => {
                restored(file, name, *since, Arc::clone(&spec)).map(|found| {
                    found.unwrap_or_else(|| OpenTrial::new(key.clone(), ExperimentState::new(spec), now_ms))
                })
            }
            (TrialKey::Experiment { .. }, FileSlot::Unneeded | FileSlot::HandedOver | FileSlot::Broken) => return,
        };
        match trial {
            Ok(mut trial) => {
                // The books of the run before are closed with its successor's first words: it hears no more.
                let before = self.trials.values_mut().filter(|before| is_same_experiment(&before.key, key));
                before.for_each(|before| before.closing = false);
                if self.exchange.shares {
                    trial.state.tell_changes(rand::random());
                }
                self.ended.remove(key);
                self.trials.insert(key.clone(), trial);
            }
            Err(error) => self.tell_problem(&error),
        }
    }

    /// Opens the file if there is one, or something to keep.
    fn open_file(&mut self, now_ms: u64) {
        if matches!(self.slot, FileSlot::Open(_) | FileSlot::HandedOver) {
            return;
        }
        let runs: Vec<_> = self.specs.keys().filter_map(run_of).collect();
        let kept = self.trials.values().any(|trial| trial.run().is_some());
        if runs.is_empty() && !kept && !self.path.as_ref().is_some_and(|path| path.exists()) {
            return;
        }
        let opened = self.path.as_deref().map_or_else(LedgerFile::in_memory, LedgerFile::open);
        let opened = opened.and_then(|mut file| file.end_others(&runs, now_ms).map(|()| file));
        match opened {
            Ok(file) => {
                self.slot = FileSlot::Open(Box::new(file));
                // What was counted since another file was closed, because something was wrong with it.
                self.trials.values_mut().for_each(OpenTrial::set_unsaved);
                self.ended.clear();
                self.all_is_well();
            }
            Err(error) => {
                self.slot = FileSlot::Broken;
                self.tell_problem(&error);
            }
        }
    }

    /// Takes in what a worker has seen.
    pub(super) fn see(&mut self, seen: &Seen) {
        if self.is_early(seen) { self.wait(seen.clone()) } else { self.count(seen) }
    }

    fn count(&mut self, seen: &Seen) {
        let Some(trial) = self.trials.get_mut(&*seen.trial).filter(|trial| trial.ended_ms.is_none()) else {
            // What comes after the end of its trial was under way then.
            self.lost += u64::from(self.specs.contains_key(&*seen.trial));
            return;
        };
        let Seen { user, at_ms, .. } = *seen;
        match seen.what {
            SeenKind::Exposed { arm, share } => {
                let exposed = trial.state.expose(user, arm, share, at_ms);
                if exposed == Exposed::Full && !std::mem::replace(&mut trial.full_told, true) {
                    let (trial, users) = (sentence_of(&trial.key), trial.state.users());
                    tracing::warn!(trial, users, "it has all users that it admits, new ones are turned away");
                }
            }
            SeenKind::Requested { metrics } => {
                let what = ActKind::Requested { metrics };
                trial.state.record(&UserAct { id: None, user, at_ms, what });
            }
        }
    }

    /// Takes in events. They are not kept before the next commit.
    pub(super) fn record(&mut self, events: &[UserEvent]) -> EventReceipt {
        let mut fates = vec![Recorded::NoMetric; events.len()];
        let mut trials = Vec::new();
        for trial in self.trials.values_mut().filter(|trial| trial.ended_ms.is_none()) {
            let mut tally = EventTally::default();
            for (fate, event) in fates.iter_mut().zip(events) {
                let recorded = recorded(&mut trial.state, event);
                tally.count(recorded);
                if rank(recorded) > rank(*fate) {
                    *fate = recorded;
                }
            }
            trials.push((trial.key.clone(), tally));
        }
        EventReceipt { events: fates, trials }
    }

    /// Whether something is in memory only.
    pub(super) fn is_unsaved(&self) -> bool {
        self.trials.values().any(OpenTrial::is_unsaved)
    }

    /// Whether something is wrong, so that it has to be tried again.
    pub(super) fn is_troubled(&self) -> bool {
        self.problem.is_some()
    }

    /// Why events cannot be recorded now, if they cannot.
    pub(super) fn refusal(&mut self) -> Option<LedgerError> {
        match &self.slot {
            FileSlot::HandedOver => return Some(LedgerError::Upgrading),
            // With no trial that runs there is nothing to keep.
            FileSlot::Unneeded | FileSlot::Open(_) => {}
            FileSlot::Broken => return self.problem.clone().map(LedgerError::Unsaved),
        }
        self.problem.as_ref()?;
        self.commit().err()
    }

    /// Writes what is in memory only. When this returns without an error, all of it is on disk.
    pub(super) fn commit(&mut self) -> Result<(), LedgerError> {
        let FileSlot::Open(file) = &mut self.slot else {
            return if self.is_unsaved() { Err(self.unsaved()) } else { Ok(()) };
        };
        let secured = file.secure();
        match &secured {
            Ok(Secured::MadeAnew) => {
                self.note = Some(noted("it was gone, and was made anew with everything that was counted"));
                tracing::warn!(path = %file.path.display(), "the experiments' ledger was gone, and was made anew");
            }
            Ok(Secured::Edited) => {
                tracing::warn!(path = %file.path.display(), "others have written to the experiments' ledger: what is under way is written again");
                self.trials.values_mut().for_each(OpenTrial::set_unsaved);
            }
            Ok(Secured::AsBefore) | Err(_) => {}
        }
        let unsaved: Vec<_> = self.trials.values().filter(|trial| trial.is_unsaved()).collect();
        let saved = secured.and_then(|_secured| if unsaved.is_empty() { Ok(()) } else { file.save(&unsaved) });
        if let Err(error) = saved {
            return Err(self.failed(&error));
        }
        self.trials.values_mut().filter(|trial| trial.is_unsaved()).for_each(OpenTrial::set_saved);
        self.trials.retain(|_, trial| trial.ended_ms.is_none() || trial.closing);
        self.all_is_well();
        Ok(())
    }

    /// A write has failed: of what was written it is not known whether it is there.
    fn failed(&mut self, error: &LedgerFileError) -> LedgerError {
        match error {
            // Its transaction was taken back.
            LedgerFileError::Full { .. } | LedgerFileError::Locked { .. } | LedgerFileError::ReadOnly { .. } => {}
            LedgerFileError::Misplaced { .. } => self.trials.values_mut().for_each(OpenTrial::set_unsaved),
            LedgerFileError::File { .. }
            | LedgerFileError::InUse { .. }
            | LedgerFileError::NotOurs { .. }
            | LedgerFileError::Newer { .. }
            | LedgerFileError::Damaged { .. }
            | LedgerFileError::Sqlite { .. } => {
                self.trials.values_mut().for_each(OpenTrial::set_unsaved);
                if self.path.is_some() {
                    self.slot = FileSlot::Broken;
                }
            }
        }
        self.tell_problem(error);
        self.unsaved()
    }

    fn unsaved(&self) -> LedgerError {
        let none = || Arc::from("the experiments' ledger has no file; repeat the call in a moment");
        LedgerError::Unsaved(self.problem.clone().unwrap_or_else(none))
    }

    fn tell_problem(&mut self, error: &LedgerFileError) {
        let problem = error.to_string();
        if self.problem.as_deref() != Some(problem.as_str()) {
            tracing::error!(problem, "what experiments count is not kept, and events are refused");
        }
        self.problem = Some(problem.into());
    }

    fn all_is_well(&mut self) {
        if self.problem.take().is_some() {
            tracing::info!("what experiments count is kept again");
        }
    }

    /// Begins again with what is in the file, after a bug.
    pub(super) fn begin_again(&mut self, now_ms: u64) {
        self.trials.clear();
        self.ended.clear();
        if self.path.is_some() && matches!(self.slot, FileSlot::Open(_)) {
            self.slot = FileSlot::Unneeded;
        }
        self.run(self.specs.clone(), now_ms);
    }

    /// Writes everything and closes the file.
    pub(super) fn hand_over(&mut self) -> Result<(), LedgerError> {
        if self.path.is_none() {
            return Ok(());
        }
        self.wait_no_more();
        let committed = self.commit();
        self.slot = FileSlot::HandedOver;
        self.trials.retain(|key, _| run_of(key).is_none());
        self.ended.clear();
        committed
    }

    /// Opens the file again that was handed over.
    pub(super) fn take_back(&mut self, now_ms: u64) -> Result<(), LedgerError> {
        if matches!(self.slot, FileSlot::HandedOver) {
            self.slot = FileSlot::Unneeded;
            self.run(self.specs.clone(), now_ms);
        }
        if matches!(self.slot, FileSlot::Broken) { Err(self.unsaved()) } else { Ok(()) }
    }
}

/// The run that the file has, to go on with it; none if it has none.
fn restored(
    file: &LedgerFile,
    name: &Name,
    since: u64,
    spec: Arc<ExperimentSpec>,
) -> Result<Option<OpenTrial>, LedgerFileError> {
    let Some(run) = file.runs(name)?.into_iter().find(|run| run.since == since) else { return Ok(None) };
    if !run.plans.iter().eq(spec.metrics.iter().map(|metric| &metric.plan)) {
        let found = format!("other metrics of run {since} of the experiment {name} than the config has");
        return Err(LedgerFileError::NotOurs { path: file.path.clone(), found });
    }
    if run.closed {
        let found = format!("the counts only of run {since} of the experiment {name}, which goes on");
        return Err(LedgerFileError::NotOurs { path: file.path.clone(), found });
    }
    let mut state = ExperimentState::restore(spec, run.totals);
    file.load_into(run.id, &mut state)?;
    state.set_saved();
    let key = TrialKey::Experiment { name: name.clone(), since };
    let mut trial = OpenTrial::new(key, state, run.began_ms);
    (trial.kept, trial.changed) = (true, run.ended_ms.is_some());
    Ok(Some(trial))
}

fn run_of(key: &TrialKey) -> Option<(&str, u64)> {
    match key {
        TrialKey::Experiment { name, since } => Some((name.as_str(), *since)),
        TrialKey::Rollout { .. } => None,
    }
}

fn is_same_experiment(one: &TrialKey, other: &TrialKey) -> bool {
    run_of(one).zip(run_of(other)).is_some_and(|((one, _), (other, _))| one == other)
}

fn sentence_of(key: &TrialKey) -> String {
    match key {
        TrialKey::Experiment { name, since } => format!("run {since} of the experiment {name}"),
        TrialKey::Rollout { id, slots: _ } => format!("a step of rollout {id}"),
    }
}

fn noted(what: &str) -> Arc<str> {
    format!("{}: {what}", jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ")).into()
}

/// Whether a trial counts such events.
fn concerns(state: &ExperimentState, event: &UserEvent) -> bool {
    match event.kind {
        UserEventKind::Happened => state.counts_event(&event.event),
        UserEventKind::KnownBefore => state.adjusts(&event.event),
    }
}

fn recorded(state: &mut ExperimentState, event: &UserEvent) -> Recorded {
    let UserEvent { id, kind, event: name, user, value, at_ms } = event;
    match kind {
        UserEventKind::Happened => {
            let what = ActKind::Event { name, value: *value };
            state.record(&UserAct { id: Some(*id), user: *user, at_ms: *at_ms, what })
        }
        UserEventKind::KnownBefore if !state.adjusts(name) => Recorded::NoMetric,
        UserEventKind::KnownBefore if state.known_before(*user, name, *value) => Recorded::Counted,
        UserEventKind::KnownBefore => Recorded::NotExposed,
    }
}

/// Of what became of an event in several trials, the one with the highest rank is told.
fn rank(recorded: Recorded) -> u8 {
    match recorded {
        Recorded::NoMetric => 0,
        Recorded::NotExposed => 1,
        Recorded::Before => 2,
        Recorded::After => 3,
        Recorded::Crossed => 4,
        Recorded::Repeated => 5,
        Recorded::Counted => 6,
    }
}

#[cfg(test)]
mod tests;
