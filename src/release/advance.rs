//! A transition, carried out: stored with its split, then its task begun, then told.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::active::ActiveRollout;
use super::controller::{KEPT, RolloutController, now_ms};
use super::evidence_series::EvidencePoint;
use super::evidence_view::EvidenceView;
use super::points_stored::PointsStored;
use super::provenance;
use super::rollout_handle::OrderedBy;
use super::saved::SavedEvent;
use super::task_answer::TaskAnswer;
use super::task_runner::TaskRunner;
use super::view;
use super::view::RolloutView;
use crate::control::change::Change;
use crate::control::handle::{Applied, ApplyError, ChangeRequest, OntoDead, WriterGone};
use crate::control::rollout_change::RolloutChange;
use crate::outbound::notify::Notification;
use crate::rollout::event::{EventWord, Pause, RolloutEnding, RolloutEvent, StageCause, Transition};
use crate::rollout::run::{Phase, Rollout};
use crate::rollout::stage::{StageTask, TaskResult};
use crate::stats::{CanaryEnd, EndingLabels};
use crate::table::Weight;

/// A move that is to be stored.
struct RolloutMove<'m> {
    /// The rollout after it.
    next: &'m Rollout,
    made: Transition,
    /// The same as it is remembered.
    event: SavedEvent,
    /// Who ordered it; none: it goes on by itself.
    by: Option<&'m OrderedBy>,
}

impl RolloutController {
    /// Makes a move happen: stores it with its split, then begins its task and tells everybody. If it cannot be stored,
    /// the rollout is as it was.
    pub(crate) async fn advance(
        &mut self,
        id: u64,
        decide: impl FnOnce(&mut Rollout) -> Option<Transition>,
        by: Option<&OrderedBy>,
    ) -> Result<(), ApplyError> {
        let now = self.now();
        let Some(run) = self.running.get(&id) else { return Ok(()) };
        let mut next = run.rollout.clone();
        let Some(made) = decide(&mut next) else {
            // Answers may change what is waited for without a move.
            if let Some(run) = self.running.get_mut(&id) {
                run.rollout = next;
            }
            return Ok(());
        };
        if made.event != RolloutEvent::AskedAgain {
            let event = event(run, made, now, by);
            let (before, word, cause) = (run.saved.weight(), event.word.clone(), event.text.clone());
            let (service, from, to) = (run.saved.title().to_owned(), run.from.clone(), run.to.clone());
            if let Some(weight) = made.weight {
                run.count_users(weight, &self.deps.guardrails);
            }
            let applied = self.record(id, RolloutMove { next: &next, made, event, by }).await?;
            self.count_ending(id, made.event);
            tracing::info!(
                rollout = id,
                revision = applied.revision,
                %service,
                %from,
                %to,
                event = %word,
                weight_before = %before,
                weight = %next.weight(),
                %cause,
                "a rollout has moved"
            );
        }
        if let Some(run) = self.running.get_mut(&id) {
            run.rollout = next;
            run.count_pairs_from_now(&self.deps.registry);
            run.barred.take_if(|_| made.event != RolloutEvent::AskedAgain);
            // A hook that runs when an operator pauses may end; its answer is not asked for any more.
            if !matches!(run.rollout.phase(), Phase::Paused { .. }) {
                run.does(None);
            }
        }
        self.begin(id, made.task);
        self.close(id).await;
        // At once: a shift that comes before the next look has to be told what it pauses.
        self.show();
        Ok(())
    }

    /// Stores the state after a move, and puts its split in force.
    async fn record(
        &mut self,
        id: u64,
        RolloutMove { next, made, event, by }: RolloutMove<'_>,
    ) -> Result<Applied, ApplyError> {
        let stored_at = self.now();
        let Some(run) = self.running.get_mut(&id) else { return Err(WriterGone.into()) };
        let mut saved = run.saved.clone();
        (saved.phase, saved.slots) = (next.phase(), next.weight().slots());
        saved.frozen = next.frozen();
        saved.metric_baselines = next.metric_baselines();
        saved.finished_at_ms = saved.is_finished().then_some(event.at_ms);
        saved.waits_for = made.task.and_then(|task| run.need_of(task));
        let revision_after = self.deps.published.load().revision + 1;
        let mirrors = run.mirrors(next.mirror());
        let moves = made.weight.is_some() || !mirrors.is_empty();
        // What led to the move, at the weight that it was found at.
        let (stage, weight) = (view::stage_of(run.rollout.phase()), run.saved.weight().percent());
        saved.series.push(EvidencePoint::new(event.at_ms, stage, weight, &event.evidence).at_a_move());
        saved.note(SavedEvent { revision: moves.then_some(revision_after), ..event.clone() });
        let state = serde_json::to_string(&saved).unwrap_or_default();
        let mut change = run.change(made.weight, made.task, &self.deps.published.load());
        change.state = state.into();
        change.mirrors = mirrors;
        change.mirrors.retain(|name, _| change.services.contains(name));
        // A candidate without a share is one that was turned back: none begins with it.
        let is_back = made.weight == Some(Weight::ZERO);
        change.restores = run.saved.revision_before().filter(|_| is_back);
        if by.is_some() {
            // Who orders it has seen the split, or the flag.
            change.expects.clear();
            let onward =
                made.weight.is_some_and(|weight| weight > Weight::ZERO) && !matches!(saved.phase, Phase::Back(_));
            for flag in &mut change.flags {
                (flag.expects, flag.needs_enabled) = (None, onward);
            }
        }
        if run.moved_services().count() > 1 {
            change.salt = Some(format!("{}-{id}", saved.title()).into());
        }
        let (author, reason) = (format!("rollout {id}"), Some(event.text));
        let change = Change::Rollout(change);
        // By itself it goes on to no version that an operator could not shift to, and back to any version.
        let onward = made.weight.is_some_and(|weight| weight > run.rollout.weight()) && run.asks_for_usable();
        let by_itself = if onward { OntoDead::Refuse } else { OntoDead::Ignore };
        let onto_dead = by.map_or(by_itself, |by| by.onto_dead);
        let request =
            ChangeRequest { change, dry_run: false, if_match: None, onto_dead, author, reason, until_ms: None };
        let applied = self.deps.handle.apply(request).await?;
        let word = word(run, &made);
        run.saved = saved;
        run.points_stored = PointsStored::all(stored_at);
        self.tell(id, word);
        Ok(applied)
    }

    /// Makes the tables of its services anew, so that the workers count for it.
    pub(crate) async fn count_from_now(&mut self, id: u64) -> Result<(), ApplyError> {
        let Some(run) = self.running.get(&id) else { return Ok(()) };
        let state = serde_json::to_string(&run.saved).unwrap_or_default().into();
        let change = RolloutChange { state, ..run.change(None, None, &self.deps.published.load()) };
        let (change, author) = (Change::Rollout(change), format!("rollout {id}"));
        let onto_dead = OntoDead::Ignore;
        let request =
            ChangeRequest { change, dry_run: false, if_match: None, onto_dead, author, reason: None, until_ms: None };
        self.deps.handle.apply(request).await.map(drop)
    }

    fn tell(&self, id: u64, word: EventWord) {
        let Some(run) = self.running.get(&id) else { return };
        let Some(event) = run.saved.events.last() else { return };
        let mut json = serde_json::Map::new();
        let view = RolloutView::stored(&run.saved);
        json.insert("event".to_owned(), json!(word.word()));
        json.insert(
            "rollout".to_owned(),
            serde_json::to_value(RolloutView { events: Vec::new(), verdicts: Vec::new(), ..view }).unwrap_or_default(),
        );
        json.insert("endpoints".to_owned(), json!(event.endpoints));
        json.insert("evidence".to_owned(), json!(event.evidence));
        let id = format!("{id}-{}", run.saved.events.len());
        self.deps.notifier.tell(Notification { event: word, id, json, text: event.text.clone() });
    }

    /// Begins the task of a move.
    pub(crate) fn begin(&mut self, id: u64, task: Option<StageTask>) {
        let (now, Some(task)) = (self.now(), task) else { return };
        let foreign = self.running.get(&id).map(|run| self.foreign(&run.saved)).unwrap_or_default();
        let Some(run) = self.running.get_mut(&id) else { return };
        let (from, to) =
            if run.is_back() { (run.to.clone(), run.from.clone()) } else { (run.from.clone(), run.to.clone()) };
        let runner = TaskRunner {
            id,
            release: Arc::clone(&run.release),
            published: Arc::clone(&self.deps.published),
            clients: Arc::clone(&self.deps.clients),
            webhook_client: self.deps.webhook_client.clone(),
            about: serde_json::to_value(RolloutView::of(&run.saved, &run.rollout, now)).unwrap_or_default(),
            back: run.is_back(),
            barred: provenance::bar(&run.release, task, run.is_back(), &foreign),
            from,
            to,
            services: run.moved_services().cloned().collect(),
            places: run.batch_of(task),
        };
        let answers = self.answers.0.clone();
        let doing = tokio::spawn(async move { runner.done(task).await });
        run.does(Some(doing.abort_handle()));
        tokio::spawn(async move {
            let answer = match doing.await {
                Ok(answer) => answer,
                // A task that was put off answers nothing.
                Err(ended) if ended.is_cancelled() => None,
                Err(_panic) => Some(TaskResult::Failed("a bug of the proxy ended this task, see the log".to_owned())),
            };
            if let Some(answer) = answer {
                answers.send(TaskAnswer::Task { id, task, result: answer }).await.ok();
            }
        });
    }

    /// Counts the end of a rollout, in each of its services.
    fn count_ending(&self, id: u64, event: RolloutEvent) {
        let (RolloutEvent::Finished(ending), Some(run)) = (event, self.running.get(&id)) else { return };
        for service in &run.saved.services {
            let (service, ending, why) = (service.as_str().into(), ending.word(), ending.why());
            self.deps.registry.releases().ended(EndingLabels { service, ending, why });
        }
    }

    /// Puts a rollout that has ended away.
    async fn close(&mut self, id: u64) {
        if self.running.get(&id).is_some_and(|run| run.rollout.is_finished())
            && let Some(run) = self.running.remove(&id)
        {
            run.count_out(&self.deps.registry, canary_end(run.rollout.phase()));
            run.count_users(Weight::ZERO, &self.deps.guardrails);
            self.finished.insert(id, run.saved);
            while self.finished.len() > KEPT as usize {
                self.finished.pop_first();
            }
        }
    }
}

/// The word for a move: one that begins what an operator has to do has a word of its own.
fn word(run: &ActiveRollout, made: &Transition) -> EventWord {
    match made.task.and_then(|task| run.need_of(task)) {
        Some(_) => EventWord::Waiting,
        None if matches!(made.event, RolloutEvent::RolledBackStep { .. }) => EventWord::Progress,
        None => made.word(),
    }
}

/// The task that a move is about: the one that is done or has failed, else the one that begins.
fn about(made: &Transition) -> Option<StageTask> {
    match made.event {
        RolloutEvent::Advanced { cause: StageCause::Task(task), .. }
        | RolloutEvent::RollbackBlocked { task }
        | RolloutEvent::TurnedBack(RolloutEnding::TaskFailed(task))
        | RolloutEvent::Finished(RolloutEnding::TaskFailed(task)) => Some(task),
        RolloutEvent::Started
        | RolloutEvent::Advanced { .. }
        | RolloutEvent::AskedAgain
        | RolloutEvent::Paused(_)
        | RolloutEvent::TurnedBack(_)
        | RolloutEvent::RolledBackStep { .. }
        | RolloutEvent::Finished(_) => made.task,
    }
}

/// The service that a sentence is about: the one that decides, or where all of them go on the one with the most against
/// it.
fn told(evidence: &[EvidenceView], worst: usize) -> Option<&EvidenceView> {
    let loudness = |found: &&EvidenceView| found.log10_e_highest.unwrap_or(found.log10_e);
    let all_go_on = evidence.iter().all(|found| found.ruling == "advance");
    let loudest = evidence.iter().max_by(|a, b| loudness(a).total_cmp(&loudness(b))).filter(|_| all_go_on);
    loudest.or(evidence.get(worst))
}

fn event(run: &ActiveRollout, made: Transition, now: Duration, by: Option<&OrderedBy>) -> SavedEvent {
    let bake = run.bake(now);
    let (worst, _) = run.rollout.worst(bake);
    let evidence = view::evidence(&run.saved, &run.rollout, bake);
    let judged = matches!(
        made.event,
        RolloutEvent::Advanced { cause: StageCause::Verdict, .. }
            | RolloutEvent::Paused(Pause::Held(_))
            | RolloutEvent::TurnedBack(RolloutEnding::RolledBack(_) | RolloutEnding::HeldTooLong(_))
            | RolloutEvent::Finished(
                RolloutEnding::RolledBack(_) | RolloutEnding::HeldTooLong(_) | RolloutEnding::Completed
            )
    );
    let verdict = told(&evidence, worst).filter(|_| judged).map(|evidence| evidence.sentence.clone());
    let need = made.task.and_then(|task| Some((run.need_of(task)?, task)));
    let mut text = match need {
        Some((need, task)) => run.saved.waiting(need, task, evidence.get(worst).filter(|_| judged)),
        None => run.saved.sentence(made.event, verdict.as_deref()),
    };
    let failed = matches!(
        made.event,
        RolloutEvent::RollbackBlocked { .. }
            | RolloutEvent::Paused(Pause::NoAgreement(_))
            | RolloutEvent::TurnedBack(RolloutEnding::TaskFailed(_))
            | RolloutEvent::Finished(RolloutEnding::TaskFailed(_))
    );
    if let Some(why) = run.failure.as_ref().filter(|_| failed) {
        text = format!("{text} ({why})");
    }
    if let Some(OrderedBy { author, reason, .. }) = by {
        let reason = reason.as_deref().map_or(String::new(), |reason| format!(": {reason}"));
        text = format!("{text} (by {author}{reason})");
    }
    SavedEvent {
        at_ms: now_ms(),
        word: word(run, &made).word().to_owned(),
        text,
        weight: made.weight.unwrap_or(run.rollout.weight()).percent(),
        revision: None,
        endpoints: about(&made).map(|task| view::places(&run.saved, task)).unwrap_or_default(),
        evidence,
    }
}

/// How what was judged of a rollout has ended, once it is over.
pub(super) fn canary_end(phase: Phase) -> CanaryEnd {
    match phase {
        Phase::Finished { ending: RolloutEnding::Completed, .. } => CanaryEnd::Replaced,
        Phase::Going { .. } | Phase::Paused { .. } | Phase::Back(_) | Phase::Finished { .. } => CanaryEnd::Back,
    }
}
