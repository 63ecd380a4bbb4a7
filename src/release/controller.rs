//! The controller of all rollouts: one task that looks four times a second, moves on or back, and tells everybody.
//!
//! What should happen is decided by the state machine ([`crate::rollout::run`]); here it is made to happen, always in
//! one order: the new state and the new split in one revision ([`crate::control::rollout_change`]), then the task that
//! belongs to it, then the telling. A move that could not be stored never happened, and is decided again at the next
//! look. After a crash the stored state is one that the machine was in, with the split that belongs to it.
//!
//! The controller is a client of the writer like everybody else, not a part of it: a disk flush for one rollout must
//! not keep another one's verdict waiting behind hooks, and an operator's shift needs no permission. What it costs is a
//! race, and the writer settles it: a move says which splits it was decided on.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::active::ActiveRollout;
use super::brief::RolloutBrief;
use super::evidence_over_time::EvidenceOverTime;
use super::fleet_evidence::FleetEvidence;
use super::guardrail_counting::GuardrailLedger;
use super::leader_telling::Onlooked;
use super::replica_evidence::NotCounted;
use super::rollout_handle::{Order, OrderedBy, RolloutCall, RolloutError, RolloutHandle};
use super::saved::Saved;
use super::task_answer::TaskAnswer;
use super::view::RolloutView;
use crate::config::ReleaseSettings;
use crate::control::clock::Clock;
use crate::control::handle::{ApplyError, Handle, OntoDead};
use crate::control::publish::Published;
use crate::fleet::fleet_handle::FleetHandle;
use crate::metrics::recent_rates::RecentRates;
use crate::metrics::rollout_gauges::RolloutGauge;
use crate::outbound::notify::Notifier;
use crate::outbound::prometheus::MetricsClient;
use crate::outbound::webhook::WebhookClient;
use crate::problem::chain;
use crate::rollout::TICK;
use crate::rollout::command::RolloutCommand;
use crate::rollout::event::Pause;
use crate::rollout::release::Notify;
use crate::rollout::run::{Phase, Rollout};
use crate::rollout::stage::TaskResult;
use crate::slo_keeper::SloHandle;
use crate::stats::{CanaryEnd, Registry};
use crate::table::Weight;
use crate::tls::Clients;

/// Rollouts that are remembered from earlier.
pub(crate) const KEPT: u32 = 100;

/// Answers of tasks that may wait.
const ANSWERS_MAX: usize = 64;

/// What the controller works with.
#[derive(Debug)]
pub struct Deps {
    /// The writer.
    pub handle: Handle,
    /// The table in force.
    pub published: Published,
    /// The counters.
    pub registry: Arc<Registry>,
    /// Rates of the last seconds.
    pub live: Arc<RecentRates>,
    /// What TLS with endpoints comes to.
    pub clients: Arc<Clients>,
    /// Asks webhooks.
    pub webhook_client: WebhookClient,
    /// Asks metrics servers.
    pub metrics_client: MetricsClient,
    /// The process's clock.
    pub clock: Clock,
    /// Tells what happens.
    pub notifier: Notifier,
    /// Counts users for guardrails.
    pub guardrails: GuardrailLedger,
    /// Error budgets of services.
    pub slo: SloHandle,
    /// The replicas of which one makes rollouts happen, if there are any.
    pub fleet: Option<FleetHandle>,
    /// How services are released, as the config says.
    pub known: watch::Receiver<Arc<ReleaseSettings>>,
    /// Whom the notifier tells.
    pub targets: watch::Sender<Vec<Arc<Notify>>>,
}

/// See the module.
pub struct RolloutController {
    pub(crate) deps: Deps,
    pub(crate) clock: Instant,
    pub(crate) inbox: mpsc::Receiver<RolloutCall>,
    pub(crate) answers: (mpsc::Sender<TaskAnswer>, mpsc::Receiver<TaskAnswer>),
    pub(crate) running: BTreeMap<u64, ActiveRollout>,
    pub(crate) finished: BTreeMap<u64, Saved>,
    /// Those that the leader of the fleet makes happen: the workers of this replica count for them.
    pub(crate) beside: BTreeMap<u64, Onlooked>,
    /// Those of them that they do not count for.
    pub(crate) not_counted: BTreeMap<u64, NotCounted>,
    /// What the other replicas have counted, while this one leads.
    pub(crate) others: Option<FleetEvidence>,
    pub(crate) gauges: watch::Sender<Vec<RolloutGauge>>,
    pub(crate) briefs: watch::Sender<RolloutBriefs>,
    /// The number of the last rollout; none until the stored ones have been read.
    pub(crate) last_id: Option<u64>,
    /// When what was found over time was stored last, of any rollout that made no move.
    pub(crate) points_kept_at: Duration,
}

/// What is told of the rollouts under way, by service.
pub(crate) type RolloutBriefs = Arc<BTreeMap<String, RolloutBrief>>;

/// How a controller is asked, and what it shows.
#[derive(Debug)]
pub struct ControllerEnds {
    /// Asks it.
    pub rollouts: RolloutHandle,
    /// What the metrics show.
    pub gauges: watch::Receiver<Vec<RolloutGauge>>,
    /// What is said beside the services.
    pub briefs: watch::Receiver<RolloutBriefs>,
}

impl std::fmt::Debug for RolloutController {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RolloutController").field("running", &self.running.keys()).finish_non_exhaustive()
    }
}

impl RolloutController {
    /// A controller with nothing to do yet, and its other ends.
    #[must_use]
    pub fn new(deps: Deps) -> (Self, ControllerEnds) {
        let (rollouts, inbox) = RolloutHandle::channel();
        let ((gauges, seen_gauges), (briefs, seen_briefs)) =
            (watch::channel(Vec::new()), watch::channel(Arc::default()));
        let controller = Self {
            deps,
            clock: Instant::now(),
            inbox,
            answers: mpsc::channel(ANSWERS_MAX),
            running: BTreeMap::new(),
            finished: BTreeMap::new(),
            beside: BTreeMap::new(),
            not_counted: BTreeMap::new(),
            others: None,
            gauges,
            briefs,
            last_id: None,
            points_kept_at: Duration::ZERO,
        };
        (controller, ControllerEnds { rollouts, gauges: seen_gauges, briefs: seen_briefs })
    }

    /// Goes on with what was stored, then works until `shutdown` ends. Rollouts under way stay so in the store.
    /// Called again after a panic, it begins with what was stored. In a fleet it does so while this replica leads, and
    /// looks on otherwise: a new leader begins as after a restart, on the safe side.
    pub async fn run(&mut self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        loop {
            self.forget();
            if let Some(fleet) = self.deps.fleet.clone().filter(|fleet| !fleet.leads()) {
                if self.look_on(&fleet, &mut shutdown).await.is_break() {
                    return;
                }
                self.forget();
            }
            self.restore().await;
            let fleet = self.deps.fleet.clone();
            self.others = fleet.clone().map(FleetEvidence::new);
            let led = async {
                match &fleet {
                    Some(fleet) => fleet.while_it_leads().await,
                    None => std::future::pending().await,
                }
            };
            if self.lead(&mut shutdown, led).await.is_break() {
                return self.keep_all_points().await;
            }
        }
    }

    /// Works until `shutdown` ends, or this replica leads no more.
    async fn lead(
        &mut self,
        mut shutdown: impl Future<Output = ()> + Unpin,
        led: impl Future<Output = ()>,
    ) -> ControlFlow<()> {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(led);
        loop {
            tokio::select! {
                () = &mut shutdown => return ControlFlow::Break(()),
                () = &mut led => return ControlFlow::Continue(()),
                Some(call) = self.inbox.recv() => self.call(call).await,
                Some(answered) = self.answers.1.recv() => self.answered(answered).await,
                _ = ticks.tick() => self.tick().await,
            }
        }
    }

    /// As it was before anything was read.
    fn forget(&mut self) {
        let (running, beside) = (std::mem::take(&mut self.running), std::mem::take(&mut self.beside));
        for run in running.values().chain(beside.values().map(|Onlooked { run, .. }| run)) {
            run.count_out(&self.deps.registry, CanaryEnd::Interrupted);
            run.count_users(Weight::ZERO, &self.deps.guardrails);
        }
        self.finished.clear();
        self.not_counted.clear();
        (self.last_id, self.answers, self.others) = (None, mpsc::channel(ANSWERS_MAX), None);
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    async fn restore(&mut self) {
        let stored = match self.deps.handle.rollouts(KEPT).await {
            Ok(stored) => stored,
            Err(error) => {
                tracing::error!(error = chain(&error), "the rollouts of before cannot be read, it is tried again");
                return;
            }
        };
        self.last_id = Some(stored.iter().map(|(id, _)| *id).max().unwrap_or(0));
        for (id, text) in stored {
            match serde_json::from_str::<Saved>(&text) {
                Ok(saved) if saved.is_finished() => drop(self.finished.insert(id, saved)),
                Ok(saved) => self.go_on(saved).await,
                Err(error) => tracing::error!(rollout = id, %error, "a stored rollout cannot be read"),
            }
        }
    }

    /// Goes on with a rollout that was under way.
    async fn go_on(&mut self, saved: Saved) {
        let id = saved.id;
        let table = self.deps.published.load_full();
        match self.restored(saved, &table) {
            Ok(run) => {
                run.count_in(&self.deps.registry);
                run.count_users(run.rollout.weight(), &self.deps.guardrails);
                let shifted = run.is_shifted(&table);
                let paused_by = self.pauses_for_its_hooks(&run).filter(|_| !shifted);
                if let Some(OrderedBy { reason, .. }) = &paused_by {
                    tracing::warn!(rollout = id, reason, "a rollout of before is paused");
                }
                self.running.insert(id, run);
                let now = self.now();
                let by_hand = |phase| matches!(phase, Phase::Paused { why: Pause::Shifted, .. });
                let resumed = |rollout: &mut Rollout| match shifted {
                    true if by_hand(rollout.phase()) => None,
                    true => rollout.command(now, RolloutCommand::Shifted).ok(),
                    false if paused_by.is_some() => rollout.command(now, RolloutCommand::Pause).ok(),
                    false => rollout.resumed(now),
                };
                let moved = self.advance(id, resumed, paused_by.as_ref()).await;
                if let Err(error) = moved.and(self.count_from_now(id).await) {
                    tracing::error!(rollout = id, error = chain(&error), "a rollout of before cannot go on yet");
                }
            }
            Err(error) => {
                tracing::error!(
                    rollout = id,
                    error = chain(&error),
                    "a rollout of before cannot go on; the split and the mirror stay as they are"
                )
            }
        }
    }

    async fn call(&mut self, call: RolloutCall) {
        // The caller that asked may have gone; what was done stays done.
        match call {
            RolloutCall::Start(request, answer) => drop(answer.send(self.start(*request).await)),
            RolloutCall::Preview(request, answer) => drop(answer.send(self.preview(*request))),
            RolloutCall::Order(id, order, by, answer) => drop(answer.send(self.order_and_show(id, order, &by).await)),
            RolloutCall::List(over_max, answer) => {
                self.see_shifts().await;
                drop(answer.send(self.list(over_max)));
            }
            RolloutCall::OverTime(id, answer) => drop(answer.send(self.over_time(id))),
            RolloutCall::Evidence(_, answer) => drop(answer.send(self.counted())),
            RolloutCall::Keep(answer) => {
                self.keep_all_points().await;
                answer.send(()).ok();
            }
            RolloutCall::One(id, answer) => {
                self.see_shifts().await;
                drop(answer.send(self.one(id)));
            }
        }
    }

    /// Who shifts by hand and then looks sees the rollout that this has paused, not the one of the last tick.
    async fn see_shifts(&mut self) {
        let (now, table) = (self.now(), self.deps.published.load_full());
        let taken: Vec<u64> = self.running.iter().filter(|(_, run)| run.is_taken(&table)).map(|(id, _)| *id).collect();
        for id in taken {
            // If it cannot be stored, the next tick says so and tries again.
            self.advance(id, |rollout| rollout.command(now, RolloutCommand::Shifted).ok(), None).await.ok();
        }
    }

    pub(crate) fn one(&self, id: u64) -> Option<RolloutView> {
        let running = self.running.get(&id).map(|run| run.view(self.now()));
        running.or_else(|| self.finished.get(&id).map(RolloutView::over))
    }

    pub(crate) fn over_time(&self, id: u64) -> Option<EvidenceOverTime> {
        let running = self.running.get(&id).map(|run| &run.saved);
        running.or_else(|| self.finished.get(&id)).map(EvidenceOverTime::of)
    }

    pub(crate) fn list(&self, over_max: usize) -> Vec<RolloutView> {
        let over = self.finished.keys().rev().take(over_max);
        let ids: std::collections::BTreeSet<u64> = self.running.keys().chain(over).copied().collect();
        ids.into_iter().rev().filter_map(|id| self.one(id)).collect()
    }

    pub(super) async fn order(&mut self, id: u64, order: Order, by: &OrderedBy) -> Result<RolloutView, RolloutError> {
        let now = self.now();
        // Who shifts and then says something means the rollout that the shift has paused, not the one of the last look.
        let table = self.deps.published.load_full();
        if self.running.get(&id).is_some_and(|run| run.is_taken(&table)) {
            self.advance(id, |rollout| rollout.command(now, RolloutCommand::Shifted).ok(), None).await?;
        }
        let Some(run) = self.running.get(&id) else {
            return Err(match self.finished.get(&id).map(|saved| saved.phase) {
                Some(Phase::Finished { ending, .. }) => crate::rollout::command::Unfit::Over(ending).into(),
                _ => RolloutError::Unknown(id),
            });
        };
        match order {
            Order::Command(command) => {
                // The way back is never barred, not even to a version in trouble.
                let onward = matches!(command, RolloutCommand::Promote | RolloutCommand::Resume) && !run.is_back();
                let onto_dead = if onward { by.onto_dead } else { OntoDead::Ignore };
                let by = OrderedBy { onto_dead, ..by.clone() };
                run.rollout.clone().command(now, command)?;
                self.advance(id, |rollout| rollout.command(now, command).ok(), Some(&by)).await?;
            }
            Order::Acknowledge => {
                let task = run.rollout.task().filter(|task| run.waits_for_somebody(*task));
                let task = task.ok_or(RolloutError::NothingToAcknowledge)?;
                self.advance(id, |rollout| rollout.answer(now, task, &TaskResult::Done), Some(by)).await?;
            }
        }
        self.one(id).ok_or(RolloutError::Unknown(id))
    }

    /// One look at every rollout.
    async fn tick(&mut self) {
        if self.last_id.is_none() {
            self.restore().await;
        }
        let now = self.now();
        if self.deps.known.has_changed().unwrap_or(false) {
            let notify = self.deps.known.borrow_and_update().notify.clone();
            self.deps.targets.send_replace(notify);
        }
        self.hear_others();
        for id in self.running.keys().copied().collect::<Vec<_>>() {
            let table = self.deps.published.load_full();
            self.look_at(id, now, &table);
            self.ask_metrics(id);
            self.ask_ledger(id);
            self.tell_verdicts(id);
            let Some(run) = self.running.get(&id) else { continue };
            let moved = match run.is_taken(&table) {
                true => self.advance(id, |rollout| rollout.command(now, RolloutCommand::Shifted).ok(), None).await,
                false => self.advance(id, |rollout| rollout.proceed(now), None).await,
            };
            match moved {
                Ok(()) => self.unbar(id, &table),
                Err(ApplyError::Unusable(dead)) => self.bar(id, &dead).await,
                Err(error) => {
                    tracing::error!(rollout = id, error = chain(&error), "a rollout cannot go on, it is tried again");
                }
            }
        }
        self.keep_points(now).await;
        self.show();
    }
}

/// The time, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
