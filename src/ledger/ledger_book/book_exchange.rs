//! What other replicas of a fleet are asked for and told, and what waits for what they say.

use std::collections::{BTreeSet, VecDeque};

use super::super::ledger_handle::{HeardTrials, UserEvent};
use super::super::open_trial::OpenTrial;
use super::super::seen::{Seen, TrialKey};
use super::super::told_trials::{AnsweredTrial, AskedTrial, TrialsAnswer, TrialsQuestion, measured};
use super::{LedgerBook, SeenKind, concerns};
use crate::experiment::experiment_state::others::ReplicaName;

/// Users, and ids of events, that are told of a trial at a time: some megabyte.
const TOLD_MAX: usize = 10_000;

/// For so long what was seen waits for what comes from another replica: a few times what it takes to be told.
const WAITS_MS: u64 = 5_000;

/// What waits is looked at no more often than this: there may be much of it.
const LOOK_MS: u64 = 250;

/// So much waits at the most, some 3 MiB.
const WAITING_MAX: usize = 65_536;

/// For so long a run that has ended is told to others, and hears them: they have the end a moment later or earlier.
const CLOSES_MS: u64 = 10_000;

/// What there is of a fleet.
#[derive(Debug, Default)]
pub(super) struct BookExchange {
    /// Whether there is one.
    pub(super) shares: bool,
    /// When what waits was looked at last.
    looked_ms: u64,
    /// Whether there are users since who were not known then.
    new_users: bool,
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
    pub(in crate::ledger) fn asks(&mut self, replica: &str) -> TrialsQuestion {
        let asked = |trial: &OpenTrial| AskedTrial::new(&trial.key, trial.state.heard(replica));
        TrialsQuestion { trials: self.trials.values().map(asked).collect() }
    }

    /// What there is to do from time to time.
    pub(in crate::ledger) fn look_after_exchange(&mut self, now_ms: u64) {
        if self.exchange.shares {
            self.let_go(now_ms);
            self.look_again(now_ms);
        }
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
        let (mut trials, mut told) = (Vec::new(), BTreeSet::new());
        for asked in &question.trials {
            let Some(key) = asked.trial.key().filter(|key| told.insert(key.clone())) else { continue };
            let Some(trial) = self.trials.get_mut(&key) else { continue };
            if trial.run().is_none() {
                // In memory only: all of it is kept as well as it ever will be.
                trial.state.set_saved();
            }
            let said = trial.state.tell(asked.heard(), TOLD_MAX);
            trials.push(AnsweredTrial::new(&trial.key, trial.state.spec(), said));
        }
        TrialsAnswer { replica: String::new(), trials }
    }

    /// Takes what another replica has told.
    pub(in crate::ledger) fn hear(&mut self, answer: &TrialsAnswer) -> HeardTrials {
        let replica = ReplicaName::from(answer.replica.as_str());
        let mut heard = HeardTrials::default();
        for told in &answer.trials {
            let Some(trial) = told.trial.key().and_then(|key| self.trials.get_mut(&key)) else { continue };
            if measured(trial.state.spec()) == told.metrics {
                self.exchange.new_users |= trial.state.hear(&replica, told.told());
                heard.more |= told.more;
            } else {
                heard.others.push(super::sentence_of(&trial.key));
            }
        }
        heard
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

    /// Counts what waits of users who are known by now, and what has waited long enough.
    fn look_again(&mut self, now_ms: u64) {
        let is_old = |seen: &Seen| seen.at_ms.saturating_add(WAITS_MS) < now_ms;
        let waits = self.exchange.new_users || self.exchange.waiting.front().is_some_and(is_old);
        if !waits || now_ms.saturating_sub(self.exchange.looked_ms) < LOOK_MS {
            return;
        }
        (self.exchange.looked_ms, self.exchange.new_users) = (now_ms, false);
        for seen in std::mem::take(&mut self.exchange.waiting) {
            if self.is_early(&seen) && !is_old(&seen) {
                self.exchange.waiting.push_back(seen);
            } else {
                self.count(&seen);
            }
        }
    }

    /// Counts all that waits: the process ends, or hands over.
    pub(in crate::ledger) fn wait_no_more(&mut self) {
        for seen in std::mem::take(&mut self.exchange.waiting) {
            self.count(&seen);
        }
    }

    /// What was begun is known from now on.
    pub(super) fn look_soon(&mut self) {
        self.exchange.new_users = true;
    }

    /// Whether it was seen before what it needs is known here: its trial, which another replica has begun, or its user,
    /// whom another one has exposed.
    pub(super) fn is_early(&self, seen: &Seen) -> bool {
        if !self.exchange.shares {
            return false;
        }
        match (self.trials.get(&*seen.trial), seen.what) {
            (Some(trial), SeenKind::Requested { .. }) => trial.ended_ms.is_none() && !trial.state.knows(seen.user),
            (Some(_), SeenKind::Exposed { .. }) => false,
            (None, _) => matches!(*seen.trial, TrialKey::Rollout { .. }),
        }
    }
}
