//! What other replicas of a fleet are asked for and told, and what waits for what they say.

use std::collections::VecDeque;

use super::super::ledger_handle::UserEvent;
use super::super::open_trial::OpenTrial;
use super::super::seen::{Seen, TrialKey};
use super::super::told_trials::{AnsweredTrial, AskedTrial, TrialsAnswer, TrialsQuestion, measured};
use super::{LedgerBook, SeenKind, concerns};
use crate::experiment::experiment_state::others::ReplicaName;

/// Users, and ids of events, that are told of a trial at a time: some megabyte.
const TOLD_MAX: usize = 10_000;

/// For so long what was seen waits for what comes from another replica: a few times what it takes to be told.
const WAITS_MS: u64 = 5_000;

/// So much waits at the most, some 3 MiB.
const WAITING_MAX: usize = 65_536;

/// For so long a run that has ended is told to others, and hears them: they have the end a moment later or earlier.
const CLOSES_MS: u64 = 10_000;

/// What there is of a fleet.
#[derive(Debug, Default)]
pub(super) struct BookExchange {
    /// Whether there is one.
    pub(super) shares: bool,
    /// Requests of users whom no replica has exposed, as far as it is known, and what was seen of trials that are not
    /// known yet.
    waiting: VecDeque<Seen>,
}

impl LedgerBook {
    /// There are other replicas: what changes is remembered for them from now on.
    pub(in crate::ledger) fn share(&mut self) {
        self.exchange.shares = true;
        self.trials.values_mut().for_each(|trial| trial.state.tell_changes(rand::random()));
    }

    /// What a replica is to be asked.
    pub(in crate::ledger) fn asks(&mut self, replica: &str, now_ms: u64) -> TrialsQuestion {
        self.let_go(now_ms);
        let asked = |trial: &OpenTrial| AskedTrial::new(&trial.key, trial.state.heard(replica));
        TrialsQuestion { trials: self.trials.values().map(asked).collect() }
    }

    /// Ends the runs that have been kept open for the last words of others.
    fn let_go(&mut self, now_ms: u64) {
        let over = |trial: &OpenTrial| trial.ended_ms.is_some_and(|ended| ended + CLOSES_MS <= now_ms);
        self.trials.values_mut().filter(|trial| over(trial)).for_each(|trial| trial.closing = false);
        self.trials.retain(|_, trial| trial.ended_ms.is_none() || trial.closing || trial.is_unsaved());
    }

    /// What this replica tells one that asks: what is on disk, of what the other lacks.
    pub(in crate::ledger) fn tell(&mut self, question: &TrialsQuestion) -> TrialsAnswer {
        if self.is_unsaved() {
            // What was seen until now: an event may wait for it. If it cannot be kept, it is told once it is.
            self.commit().ok();
        }
        let mut trials = Vec::new();
        for asked in &question.trials {
            let Some(trial) = asked.trial.key().and_then(|key| self.trials.get_mut(&key)) else { continue };
            if trial.run().is_none() {
                // In memory only: all of it is kept as well as it ever will be.
                trial.state.set_saved();
            }
            let told = trial.state.tell(asked.heard(), TOLD_MAX);
            trials.push(AnsweredTrial::new(&trial.key, trial.state.spec(), told));
        }
        TrialsAnswer { replica: String::new(), trials }
    }

    /// Takes what another replica has told; the trials of which it counts something else.
    pub(in crate::ledger) fn hear(&mut self, answer: &TrialsAnswer, now_ms: u64) -> Vec<String> {
        let replica = ReplicaName::from(answer.replica.as_str());
        let (mut others, mut any) = (Vec::new(), false);
        for told in &answer.trials {
            let Some(trial) = told.trial.key().and_then(|key| self.trials.get_mut(&key)) else { continue };
            if measured(trial.state.spec()) == told.metrics {
                any |= trial.state.hear(&replica, told.told());
            } else {
                others.push(super::sentence_of(&trial.key));
            }
        }
        self.look_again(any, now_ms);
        others
    }

    /// Whether an event is about a user whom a trial does not know that counts such events.
    pub(in crate::ledger) fn lacks_users(&self, events: &[UserEvent]) -> bool {
        let running = || self.trials.values().filter(|trial| trial.ended_ms.is_none());
        let lacks =
            |event: &UserEvent| running().any(|trial| concerns(&trial.state, event) && !trial.state.knows(event.user));
        self.exchange.shares && events.iter().any(lacks)
    }

    /// Keeps what was seen until its user or its trial is known.
    pub(super) fn wait(&mut self, seen: Seen) {
        self.exchange.waiting.push_back(seen);
        if self.exchange.waiting.len() > WAITING_MAX
            && let Some(oldest) = self.exchange.waiting.pop_front()
        {
            self.count(&oldest);
        }
    }

    /// Counts what waits of users who are known by now, if there are `new` ones, and what has waited long enough.
    pub(super) fn look_again(&mut self, new: bool, now_ms: u64) {
        let is_old = |seen: &Seen| seen.at_ms.saturating_add(WAITS_MS) < now_ms;
        if !new && !self.exchange.waiting.front().is_some_and(is_old) {
            return;
        }
        for seen in std::mem::take(&mut self.exchange.waiting) {
            if self.is_early(&seen) && !is_old(&seen) {
                self.exchange.waiting.push_back(seen);
            } else {
                self.count(&seen);
            }
        }
    }

    /// Whether it was seen before what it needs is known here: its trial, which another replica has begun, or its user,
    /// whom another one has exposed.
    pub(super) fn is_early(&self, seen: &Seen) -> bool {
        match (self.trials.get(&*seen.trial), seen.what) {
            _ if !self.exchange.shares => false,
            (Some(trial), SeenKind::Requested { .. }) => trial.ended_ms.is_none() && !trial.state.knows(seen.user),
            (Some(_), SeenKind::Exposed { .. }) => false,
            (None, _) => matches!(*seen.trial, TrialKey::Rollout { .. }),
        }
    }
}
