//! What is counted, for those who ask.

use super::super::ledger_handle::{LedgerError, LedgerFacts, TrialCounts, UsersCall, UsersPage};
use super::super::ledger_rows::StoredRun;
use super::super::open_trial::OpenTrial;
use super::super::seen::TrialKey;
use super::{FileSlot, LedgerBook};
use crate::shared::name::Name;

impl LedgerBook {
    /// What the latest run of an experiment has counted.
    pub(in crate::ledger) fn latest(&mut self, experiment: &Name) -> Result<Option<TrialCounts>, LedgerError> {
        if let Some(trial) = self.latest_open(experiment) {
            return Ok(Some(trial.counts()));
        }
        let Some(run) = self.stored(experiment)?.into_iter().next() else { return Ok(None) };
        self.counts_of_stored(experiment, &run).map(Some)
    }

    fn latest_open(&self, experiment: &Name) -> Option<&OpenTrial> {
        self.trials.values().rfind(|trial| trial.run().is_some_and(|(name, _)| *name == **experiment))
    }

    /// What a trial has counted.
    pub(in crate::ledger) fn counts_of(&mut self, key: &TrialKey) -> Result<Option<TrialCounts>, LedgerError> {
        if let Some(trial) = self.trials.get(key) {
            return Ok(Some(trial.counts()));
        }
        let TrialKey::Experiment { name, since } = key else { return Ok(None) };
        let Some(run) = self.stored(name)?.into_iter().find(|run| run.since == *since) else { return Ok(None) };
        self.counts_of_stored(name, &run).map(Some)
    }

    /// What all runs of an experiment have counted, the latest first.
    pub(in crate::ledger) fn runs(&mut self, experiment: &Name) -> Result<Vec<TrialCounts>, LedgerError> {
        let of_experiment = |trial: &&OpenTrial| trial.run().is_some_and(|(name, _)| *name == **experiment);
        let mut all: Vec<_> = self.trials.values().filter(of_experiment).map(OpenTrial::counts).collect();
        for run in self.stored(experiment)? {
            let key = TrialKey::Experiment { name: experiment.clone(), since: run.since };
            if !self.trials.contains_key(&key) {
                all.push(self.counts_of_stored(experiment, &run)?);
            }
        }
        all.sort_by(|one, other| other.trial.cmp(&one.trial));
        Ok(all)
    }

    /// Some users of the latest run of an experiment.
    pub(in crate::ledger) fn users(&mut self, call: &UsersCall) -> Result<Option<UsersPage>, LedgerError> {
        // A page is read from the file, which has then what is in memory.
        self.commit()?;
        let Some(run) = self.stored(&call.experiment)?.into_iter().next() else { return Ok(None) };
        let FileSlot::Open(file) = &self.slot else { return Ok(None) };
        file.users(call, &run).map(Some).map_err(|error| LedgerError::Unsaved(error.to_string().into()))
    }

    fn stored(&self, experiment: &Name) -> Result<Vec<StoredRun>, LedgerError> {
        match &self.slot {
            FileSlot::Open(file) => {
                file.runs(experiment).map_err(|error| LedgerError::Unsaved(error.to_string().into()))
            }
            FileSlot::Unneeded => Ok(Vec::new()),
            FileSlot::HandedOver => Err(LedgerError::Upgrading),
            FileSlot::Broken => Err(self.unsaved()),
        }
    }

    fn counts_of_stored(&mut self, experiment: &Name, run: &StoredRun) -> Result<TrialCounts, LedgerError> {
        let key = TrialKey::Experiment { name: experiment.clone(), since: run.since };
        if let Some(known) = self.ended.get(&key) {
            return Ok(known.clone());
        }
        let FileSlot::Open(file) = &self.slot else { return Err(self.unsaved()) };
        let counts = file.counts_of(experiment, run);
        let counts = counts.map_err(|error| LedgerError::Unsaved(error.to_string().into()))?;
        self.ended.insert(key, counts.clone());
        Ok(counts)
    }

    /// How it is; `lost` is what the queue has lost.
    pub(in crate::ledger) fn facts(&self, lost: u64) -> LedgerFacts {
        let running = || self.trials.values().filter(|trial| trial.ended_ms.is_none());
        LedgerFacts {
            path: self.path.as_ref().map(|path| path.display().to_string()),
            problem: self.problem.clone(),
            note: self.note.clone(),
            running: running().count() as u64,
            users: running().map(|trial| trial.state.users() as u64).sum(),
            full: running().filter(|trial| trial.state.is_full()).map(|trial| trial.key.clone()).collect(),
            lost: lost + self.lost,
        }
    }
}
