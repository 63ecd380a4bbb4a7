//! A rollout as it is shown: by the API, in notifications, and with each event that is stored.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::evidence_view::EvidenceView;
use super::saved::{Saved, SavedEvent};
use super::saved_flag::{SavedFlag, SavedGroupFlag};
use super::verdict_history::SavedVerdict;
use crate::rollout::event::{Need, Pause};
use crate::rollout::judge::{Assignment, Bake, Names};
use crate::rollout::plan::{Expired, Plan};
use crate::rollout::run::{Phase, Rollout};
use crate::rollout::stage::{Stage, StageTask};

/// A rollout.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RolloutView {
    /// Its number.
    pub id: u64,
    /// The group that it is of.
    pub group: Option<String>,
    /// The services whose requests it is judged by: its own, and those that list its flags.
    pub services: Vec<String>,
    /// The flag that is released, if it is one; `from` and `to` are variants of it then.
    pub flag: Option<String>,
    /// All flags that are released, also those of a group.
    pub flags: Vec<FlagOfRollout>,
    /// The version that had everything at the start; of a group of flags only, the variant of its first one.
    pub from: String,
    /// The version that is to have everything; likewise.
    pub to: String,
    /// `canary`, `blue_green` or `rolling`.
    pub strategy: String,
    /// `going`, `waiting` (for an approval, or for an upgrade by hand), `paused`, `rolling_back` or `finished`.
    pub phase: &'static str,
    /// How it ended: `completed`, `rolled_back`, `held_too_long`, `task_failed` or `aborted`.
    pub ending: Option<&'static str>,
    /// Why it waits.
    pub paused_because: Option<String>,
    /// What somebody has to do so that it goes on: `approval`, `acknowledgement`, `resume` or `repair`.
    pub waits_for: Option<&'static str>,
    /// The command that says so.
    pub command: Option<String>,
    /// The number of the stage that it is in, from 0.
    pub stage: Option<usize>,
    /// All stages.
    pub stages: Vec<StageView>,
    /// What is being done: `approval`, `webhook`, `smoke requests`, `drain`, `upgrade`, ...
    pub task: Option<&'static str>,
    /// The endpoints that it is about, as `SERVICE ADDRESS`.
    pub endpoints: Vec<String>,
    /// The new version's weight, in per cent.
    pub weight: f64,
    /// How long the stage has to last yet, in seconds.
    pub bake_left_seconds: Option<f64>,
    /// While it is held after its bake: how long that may last yet.
    pub hold_left_seconds: Option<f64>,
    /// What happens then: `pause` or `roll_back`.
    pub on_hold: Option<&'static str>,
    /// How long the task that is being done may take yet.
    pub task_left_seconds: Option<f64>,
    /// Who started it.
    pub author: String,
    /// Why.
    pub reason: Option<String>,
    /// When, in milliseconds since 1970.
    pub started_at_ms: i64,
    /// When it ended.
    pub finished_at_ms: Option<i64>,
    /// What the judge has found by now, for each service; of one that is over, what it had found at the end.
    pub evidence: Vec<EvidenceView>,
    /// What happened, oldest first.
    pub events: Vec<SavedEvent>,
    /// How the judge's mind changed, oldest first.
    pub verdicts: Vec<SavedVerdict>,
}

/// A flag that is released.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct FlagOfRollout {
    /// The flag.
    pub flag: String,
    /// The rule that is moved.
    pub rule: String,
    /// The variant that had everything at the start.
    pub from: String,
    /// The variant that is to have everything.
    pub to: String,
    /// The services in which these variants are compared. In the others of a group versions are, with users who have the
    /// same side of the flag.
    pub services: Vec<String>,
}

/// A stage of a plan.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StageView {
    /// `mirror`, `bake`, `keep`, or the task.
    pub what: &'static str,
    /// The new version's weight, of a bake.
    pub weight: Option<f64>,
    /// The part of the requests that is copied to it before it has users, in per cent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<f64>,
    /// How long it lasts at the least.
    pub seconds: Option<f64>,
}

impl RolloutView {
    /// What is shown of a rollout that is under way, or has ended since the start of the process.
    #[must_use]
    pub fn of(saved: &Saved, rollout: &Rollout, now: Duration) -> Self {
        let bake = rollout.bake(now);
        let left = match rollout.phase() {
            Phase::Going { stage, since } => left(rollout, stage, since, now),
            Phase::Paused { .. } | Phase::Back(_) | Phase::Finished { .. } => None,
        };
        Self {
            stage: stage_of(rollout.phase()),
            stages: rollout.stages().iter().map(StageView::of).collect(),
            task: rollout.task().map(|task| task.word()),
            endpoints: rollout.task().map(|task| places(saved, task)).unwrap_or_default(),
            bake_left_seconds: left.map(|left| left.as_secs_f64()),
            hold_left_seconds: rollout.hold_left(now).map(|left| left.as_secs_f64()),
            on_hold: Some(match rollout.plan().on_expired() {
                Expired::Pause => "pause",
                Expired::RollBack => "roll_back",
            }),
            task_left_seconds: rollout.task_left(now).map(|left| left.as_secs_f64()),
            evidence: evidence(saved, rollout, bake),
            ..Self::stored(saved)
        }
    }

    /// What is shown of one that is over, with the stages that it had.
    #[must_use]
    pub fn over(saved: &Saved) -> Self {
        Self { stages: stages(saved), ..Self::stored(saved) }
    }

    /// What is shown of one that is only remembered.
    #[must_use]
    pub fn stored(saved: &Saved) -> Self {
        let (ending, pause) = match saved.phase {
            Phase::Going { .. } => (None, None),
            Phase::Paused { why, .. } => (None, Some(why)),
            Phase::Back(back) => (Some(back.ending.word()), None),
            Phase::Finished { ending, .. } => (Some(ending.word()), None),
        };
        Self {
            id: saved.id,
            group: saved.group.clone(),
            services: saved.services.clone(),
            flag: saved.flag.as_ref().map(|flag| flag.name.clone()),
            flags: FlagOfRollout::all(saved),
            from: saved.from.clone(),
            to: saved.to.clone(),
            strategy: saved.strategy.clone(),
            phase: phase_word(saved),
            ending,
            paused_because: pause.map(|why| pause_text(saved, why)),
            waits_for: saved.need().map(Need::word),
            command: saved.command(),
            stage: None,
            stages: Vec::new(),
            task: None,
            endpoints: Vec::new(),
            weight: saved.weight().percent(),
            bake_left_seconds: None,
            hold_left_seconds: None,
            on_hold: None,
            task_left_seconds: None,
            author: saved.author.clone(),
            reason: saved.reason.clone(),
            started_at_ms: saved.started_at_ms,
            finished_at_ms: saved.finished_at_ms,
            evidence: saved.evidence().to_vec(),
            events: saved.events.clone(),
            verdicts: saved.verdicts.clone(),
        }
    }
}

/// The stage of the plan that it is in, or in which it turned.
pub(crate) fn stage_of(phase: Phase) -> Option<usize> {
    match phase {
        Phase::Going { stage, .. } | Phase::Paused { stage, .. } => Some(stage),
        Phase::Back(back) => Some(back.turned),
        Phase::Finished { .. } => None,
    }
}

/// The stages of its plan, made again; none if the plan is none any more.
fn stages(saved: &Saved) -> Vec<StageView> {
    let most = saved.endpoints.iter().map(Vec::len).max().unwrap_or(1).max(1);
    let endpoints = u32::try_from(most).unwrap_or(u32::MAX);
    let release = saved.plan.release().ok();
    let plan = release.and_then(|release| release.plan(endpoints, Assignment::PerRequest).ok());
    plan.iter().flat_map(Plan::stages).map(|stage| StageView::of(&stage)).collect()
}

/// The word for the phase.
#[must_use]
pub(crate) fn phase_word(saved: &Saved) -> &'static str {
    match saved.phase {
        Phase::Going { .. } if saved.need().is_some() => "waiting",
        Phase::Going { .. } => "going",
        Phase::Paused { .. } => "paused",
        Phase::Back(_) => "rolling_back",
        Phase::Finished { .. } => "finished",
    }
}

/// The endpoints of a task as they are shown.
pub(crate) fn places(saved: &Saved, task: StageTask) -> Vec<String> {
    saved.places(task).iter().map(|(service, address)| format!("{service} {address}")).collect()
}

fn left(rollout: &Rollout, stage: usize, since: Duration, now: Duration) -> Option<Duration> {
    match rollout.stages().get(stage)? {
        Stage::Bake { bake, .. } | Stage::Mirror { bake, .. } => Some((since + *bake).saturating_sub(now)),
        Stage::Keep(keep) => Some((since + *keep).saturating_sub(now)),
        Stage::Do(_) => None,
    }
}

fn pause_text(saved: &Saved, why: Pause) -> String {
    match why {
        Pause::Operator => "an operator paused it".to_owned(),
        Pause::Shifted => format!("the {} was changed by hand", saved.moved()),
        Pause::Held(hold) => format!("held for too long: {}", hold.word()),
        Pause::NoAgreement(task) => format!("nobody agreed in time: {}", task.word()),
    }
}

/// What the judges have found, a view for each service.
#[must_use]
pub(crate) fn evidence(saved: &Saved, rollout: &Rollout, bake: Bake) -> Vec<EvidenceView> {
    let named = saved.services.iter().zip(rollout.judges());
    let view = |(service, judge): (&String, &crate::rollout::judge::Judge)| {
        let compared = saved.compared(service);
        let (candidate, baseline) = (compared.candidate(), compared.baseline());
        let names = Names { service, candidate: &candidate, baseline: &baseline };
        EvidenceView::of(&names, &judge.verdict_under(rollout.in_charge(), bake, &names))
    };
    named.map(view).collect()
}

impl FlagOfRollout {
    fn all(saved: &Saved) -> Vec<Self> {
        let single = saved.flag.iter().map(|flag| SavedGroupFlag {
            flag: flag.clone(),
            from: saved.from.clone(),
            to: saved.to.clone(),
            services: saved.services.clone(),
        });
        let of = |SavedGroupFlag { flag: SavedFlag { name, rule }, from, to, services }| Self {
            flag: name,
            rule,
            from,
            to,
            services,
        };
        single.chain(saved.flags.iter().cloned()).map(of).collect()
    }
}

impl StageView {
    fn of(stage: &Stage) -> Self {
        let none = Self { what: "keep", weight: None, mirror: None, seconds: None };
        let seconds = |time: &Duration| Some(time.as_secs_f64());
        match stage {
            Stage::Mirror { share, bake, .. } => {
                Self { what: "mirror", mirror: Some(share.percent()), seconds: seconds(bake), ..none }
            }
            Stage::Bake { weight, bake } => {
                Self { what: "bake", weight: Some(weight.percent()), seconds: seconds(bake), ..none }
            }
            Stage::Keep(keep) => Self { seconds: seconds(keep), ..none },
            Stage::Do(task) => Self { what: task.word(), ..none },
        }
    }
}
