//! The task of all chaos runs: it looks four times a second, and puts in force what the state machines say.
//!
//! Why not a timer for each run: what ends a fault must not depend on one that was set when all was well. A look that
//! finds the table to be other than what the runs say mends it, whatever led to that, and workers keep a fault's end by
//! themselves if this task does not come to look.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::chaos_handle::{ChaosBy, ChaosCall, ChaosEnds, ChaosError, ChaosHandle};
use super::chaos_shown::ChaosShown;
use super::chaos_tasks::{ChaosTaskEnd, ChaosUndoing, OwnTask, WebhookAsking};
use super::chaos_vitals::ChaosVitals;
use super::saved_chaos::{SavedChaos, SavedCommand};
use crate::chaos::chaos_ending::ChaosEndedBy;
use crate::chaos::chaos_record::{ChaosRecord, ChaosUndo, ChaosUndoState};
use crate::chaos::chaos_run::{ChaosEvent, ChaosRun};
use crate::chaos::chaos_time::ChaosTime;
use crate::config::{ChaosConfig, ReleaseSettings};
use crate::control::clock::Clock;
use crate::control::handle::{ApplyError, Handle};
use crate::control::publish::Published;
use crate::fleet::fleet_handle::FleetHandle;
use crate::metrics::recent_rates::RecentRates;
use crate::outbound::notify::Notifier;
use crate::outbound::webhook::WebhookClient;
use crate::problem::chain;
use crate::rollout::TICK;
use crate::stats::Registry;
use crate::table::fault_table::FaultInForce;

/// Runs that are remembered from earlier.
pub(crate) const CHAOS_KEPT: u32 = 100;

/// Answers of tasks that may wait.
const ENDS_MAX: usize = 64;

/// How often the counts of a run are stored while it goes on: so old are they at most after a power cut.
const KEEP_EVERY_MS: u64 = 10_000;

/// What undoes commands may take when the process is told to end. The next start does what is left.
const LAST_UNDO: Duration = Duration::from_secs(5);

/// What the task works with.
#[derive(Debug)]
pub(crate) struct ChaosDeps {
    /// The writer.
    pub(crate) handle: Handle,
    /// The table in force.
    pub(crate) published: Published,
    /// The counters.
    pub(crate) registry: Arc<Registry>,
    /// Rates of the last seconds.
    pub(crate) live: Arc<RecentRates>,
    /// Asks webhooks.
    pub(crate) webhook_client: WebhookClient,
    /// The process's clock.
    pub(crate) clock: Clock,
    /// Tells what happens.
    pub(crate) notifier: Notifier,
    /// Knows how services are.
    pub(crate) vitals: ChaosVitals,
    /// The experiments, as the config says.
    pub(crate) known: watch::Receiver<Arc<ReleaseSettings>>,
    /// The replicas of which one makes runs happen, if there are any.
    pub(crate) fleet: Option<FleetHandle>,
}

/// See the module.
pub(crate) struct ChaosController {
    pub(super) deps: ChaosDeps,
    ends: ChaosEnds,
    pub(super) answers: (mpsc::Sender<ChaosTaskEnd>, mpsc::Receiver<ChaosTaskEnd>),
    pub(super) running: BTreeMap<u64, ActiveChaos>,
    /// Those that have ended.
    pub(super) over: BTreeMap<u64, Arc<SavedChaos>>,
    /// What is being undone.
    pub(super) undoing: BTreeMap<u64, ChaosUndoing>,
    /// What has to be stored yet.
    pub(super) unkept: BTreeSet<u64>,
    /// Whether the last try to store something failed: it is told once.
    pub(super) keeps_failing: bool,
    /// The faults that the table has; none: not known.
    pub(super) in_force: Option<Vec<Arc<FaultInForce>>>,
    /// The number of the last run; none until the stored ones have been read.
    pub(super) last_id: Option<u64>,
    /// Whether another process has the store.
    pub(super) lent: bool,
    /// Whether it ran before: it is begun again after a panic.
    begun: bool,
}

/// A run that has not ended.
pub(super) struct ActiveChaos {
    pub(super) run: ChaosRun,
    pub(super) command: Option<SavedCommand>,
    /// What undoes its command; none until that is about to run.
    pub(super) undo: Option<ChaosUndo>,
    /// Its command. Dropped, it is ended.
    pub(super) task: Option<OwnTask>,
    /// Why it cannot go on, found by a task.
    pub(super) failed: Option<(ChaosEndedBy, String)>,
    pub(super) asking: WebhookAsking,
    pub(super) kept_ms: u64,
}

impl ActiveChaos {
    /// It as it is now.
    pub(super) fn saved(&self) -> SavedChaos {
        let mut record = self.run.record();
        record.undo = self.undo.clone();
        SavedChaos { record, command: self.command.clone() }
    }
}

impl std::fmt::Debug for ChaosController {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChaosController").field("running", &self.running.keys()).finish_non_exhaustive()
    }
}

impl ChaosController {
    /// A task with nothing to do yet, and how it is asked.
    #[must_use]
    pub(crate) fn new(deps: ChaosDeps) -> (Self, ChaosHandle) {
        let (handle, ends) = ChaosHandle::channel();
        let controller = Self {
            deps,
            ends,
            answers: mpsc::channel(ENDS_MAX),
            running: BTreeMap::new(),
            over: BTreeMap::new(),
            undoing: BTreeMap::new(),
            unkept: BTreeSet::new(),
            keeps_failing: false,
            in_force: Some(Vec::new()),
            last_id: None,
            lent: false,
            begun: false,
        };
        controller.show();
        (controller, handle)
    }

    /// Ends what was under way when the process before ended, and undoes what it has left; then works until `shutdown`
    /// ends. Called again after a panic, it begins with what was stored.
    pub(crate) async fn run(&mut self, shutdown: impl Future<Output = ()>) {
        if std::mem::replace(&mut self.begun, true) {
            self.forget();
        }
        self.restore().await;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return self.shut_down().await,
                Some(call) = self.ends.inbox.recv() => self.call(call).await,
                Some(end) = self.answers.1.recv() => self.task_ended(end),
                _ = ticks.tick() => self.tick().await,
            }
        }
    }

    /// As it was before anything was read. What the table has is not known any more.
    fn forget(&mut self) {
        self.running.clear();
        self.over.clear();
        self.undoing.clear();
        self.unkept.clear();
        (self.last_id, self.in_force, self.answers) = (None, None, mpsc::channel(ENDS_MAX));
    }

    pub(super) fn now(&self) -> ChaosTime {
        ChaosTime { ms: self.deps.clock.now_ms(), at: Timestamp::now() }
    }

    pub(super) fn config(&self) -> Arc<ChaosConfig> {
        Arc::clone(&self.deps.known.borrow().chaos)
    }

    /// Reads what was stored. A run that had not ended has, with the process that had it.
    pub(super) async fn restore(&mut self) {
        let stored = match self.deps.handle.chaos_runs(CHAOS_KEPT).await {
            Ok(stored) => stored,
            Err(error) => {
                tracing::error!(error = chain(&error), "the chaos runs of before cannot be read, it is tried again");
                return;
            }
        };
        self.last_id = Some(stored.iter().map(|(id, _)| *id).max().unwrap_or(0));
        let now = self.now();
        for (id, text) in stored {
            match serde_json::from_str::<SavedChaos>(&text) {
                Ok(saved) => self.take_up(saved, now),
                Err(error) => tracing::error!(run = id, %error, "a stored chaos run cannot be read"),
            }
        }
        self.finish_look().await;
    }

    fn take_up(&mut self, mut saved: SavedChaos, now: ChaosTime) {
        let (id, was_over, is_to_undo) = (saved.record.id, saved.is_over(), saved.is_to_undo());
        saved.record.end_by_restart(now.at);
        if let Some(undo) = saved.record.undo.as_mut().filter(|_| is_to_undo) {
            // One that failed is tried again: what was in its way may be gone.
            undo.state = ChaosUndoState::Waiting;
            self.undoing.insert(id, ChaosUndoing::default());
        }
        self.over.insert(id, Arc::new(saved));
        if !was_over {
            self.unkept.insert(id);
            self.tell_end(id);
        }
    }

    async fn call(&mut self, call: ChaosCall) {
        // The caller that asked may have gone; what was done stays done.
        match call {
            ChaosCall::Start(request, answer) => drop(answer.send(self.start(*request).await)),
            ChaosCall::Stop(id, by, answer) => drop(answer.send(self.stop(id, &by).await)),
            ChaosCall::StopAll(by, answer) => drop(answer.send(self.stop_all(&by).await)),
            ChaosCall::Release(answer) => {
                self.release().await;
                answer.send(()).ok();
            }
            ChaosCall::TakeBack(answer) => {
                self.take_back().await;
                answer.send(()).ok();
            }
        }
    }

    async fn stop(&mut self, id: u64, by: &ChaosBy) -> Result<Arc<SavedChaos>, ChaosError> {
        let is_left = self.over.get(&id).is_some_and(|saved| saved.is_to_undo());
        if !self.running.contains_key(&id) && !is_left {
            self.led()?;
        }
        if self.running.contains_key(&id) {
            self.end(id, ChaosEndedBy::Operator, Some(by.text()));
        } else {
            self.undo_again(id);
        }
        self.finish_look().await;
        self.over.get(&id).map(Arc::clone).ok_or(ChaosError::Unknown(id))
    }

    async fn stop_all(&mut self, by: &ChaosBy) -> Result<Vec<u64>, ChaosError> {
        if self.running.is_empty() {
            self.led()?;
        }
        let ids: Vec<u64> = self.running.keys().copied().collect();
        for id in &ids {
            self.end(*id, ChaosEndedBy::Operator, Some(by.text()));
        }
        self.finish_look().await;
        Ok(ids)
    }

    /// Whether it is for this replica: the leader has the runs, so that there is one at a time on a service of the
    /// fleet, and none beside a rollout. What is left on one that led before is mended there.
    pub(super) fn led(&self) -> Result<(), ChaosError> {
        match &self.deps.fleet {
            Some(fleet) if !fleet.leads() => Err(ChaosError::Elsewhere(fleet.leader())),
            Some(_) | None => Ok(()),
        }
    }

    /// One look at every run.
    async fn tick(&mut self) {
        if self.lent {
            return;
        }
        if self.last_id.is_none() {
            self.restore().await;
        }
        for id in self.running.keys().copied().collect::<Vec<_>>() {
            self.look(id).await;
        }
        self.finish_look().await;
    }

    async fn look(&mut self, id: u64) {
        let now = self.now();
        if let Some((by, why)) = self.ends_now(id) {
            self.end(id, by, Some(why));
            return;
        }
        self.ask_webhook(id, now.ms);
        let Some(active) = self.running.get_mut(&id) else { return };
        match active.run.tick(now) {
            Some(ChaosEvent::Injecting) => {
                self.unkept.insert(id);
                self.begin_command(id).await;
            }
            Some(ChaosEvent::Ended) => self.put_away(id),
            None => {}
        }
        if let Some(active) = self.running.get_mut(&id)
            && now.ms >= active.kept_ms.saturating_add(KEEP_EVERY_MS)
        {
            active.kept_ms = now.ms;
            self.unkept.insert(id);
        }
    }

    /// What has to be done after anything has happened, in this order: a fault is taken away before it is stored or
    /// told, and nothing waits for a disk before that.
    pub(super) async fn finish_look(&mut self) {
        if let Err(error) = self.put_in_force().await {
            tracing::error!(
                error = chain(&error),
                "the faults of chaos runs cannot be put in force, it is tried again"
            );
        }
        self.note_restored();
        self.keep().await;
        self.undo_what_is_due();
        self.show();
    }

    /// Makes the table have what the runs say.
    pub(super) async fn put_in_force(&mut self) -> Result<(), ApplyError> {
        let wanted: Vec<_> = self.running.values().filter_map(|active| active.run.in_force().map(Arc::clone)).collect();
        let same = |found: &Vec<Arc<FaultInForce>>| {
            found.len() == wanted.len() && found.iter().zip(&wanted).all(|(one, other)| Arc::ptr_eq(one, other))
        };
        if self.in_force.as_ref().is_some_and(same) {
            return Ok(());
        }
        self.deps.handle.set_faults(wanted.clone()).await?;
        self.in_force = Some(wanted);
        Ok(())
    }

    pub(super) fn show(&self) {
        let running = self.running.values().rev().map(|active| Arc::new(active.saved()));
        let mut runs: Vec<_> = running.chain(self.over.values().rev().map(Arc::clone)).collect();
        runs.sort_by_key(|saved| std::cmp::Reverse(saved.record.id));
        runs.truncate(CHAOS_KEPT as usize);
        self.deps.registry.set_chaos_stuck(stuck(&runs));
        let (is_read, config) = (self.last_id.is_some(), self.config());
        self.ends.shown.send_replace(Arc::new(ChaosShown { is_read, config, runs }));
    }

    /// Ends what runs. What is to be undone has a moment; the rest is done at the next start.
    async fn shut_down(&mut self) {
        if self.lent {
            return;
        }
        for id in self.running.keys().copied().collect::<Vec<_>>() {
            self.end(id, ChaosEndedBy::Restart, None);
        }
        self.finish_look().await;
        let undone = async {
            while self.undoing.values().any(ChaosUndoing::is_at_work) {
                if let Some(end) = self.answers.1.recv().await {
                    self.task_ended(end);
                }
                self.note_restored();
                self.keep().await;
            }
        };
        timeout(LAST_UNDO, undone).await.ok();
    }
}

/// On which services something was done that could not be undone, and by how many runs; 0 where all of it was.
fn stuck(runs: &[Arc<SavedChaos>]) -> BTreeMap<Box<str>, u64> {
    let mut stuck = BTreeMap::new();
    for ChaosRecord { service, undo, .. } in runs.iter().map(|saved| &saved.record) {
        let Some(undo) = undo else { continue };
        *stuck.entry(service.as_str().into()).or_default() += u64::from(undo.state == ChaosUndoState::Failed);
    }
    stuck
}

impl ChaosBy {
    /// Who and why, for people.
    fn text(&self) -> String {
        match &self.reason {
            Some(reason) => format!("by {}: {reason}", self.author),
            None => format!("by {}", self.author),
        }
    }
}
