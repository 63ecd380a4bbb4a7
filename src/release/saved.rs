//! A rollout as it is stored: enough to go on after a crash at any moment, and to read years later why it ended as it
//! did.
//!
//! The plan is stored as the section of the config that it was made from, so that a reload does not change a rollout
//! that is under way. The judge's wealth is not stored: after a restart a stage begins again, and with it a new judge.
//! Nothing is promoted then that was not judged anew, and what an earlier judge found is in the events.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::evidence_series::EvidenceSeries;
use super::evidence_view::{CountsView, EvidenceView};
use super::saved_flag::{ComparedNames, SavedFlag, SavedGroupFlag};
use super::verdict_history::SavedVerdict;
use crate::config::RolloutSection;
use crate::rollout::event::{Need, Pause, RolloutEnding, RolloutEvent, StageCause};
use crate::rollout::judge::frozen::FrozenCeilings;
use crate::rollout::release::Shape;
use crate::rollout::run::Phase;
use crate::rollout::stage::StageTask;
use crate::table::{Name, Weight};

/// Events that are kept of a rollout: hundreds of steps with their verdicts.
const EVENTS_MAX: usize = 500;

/// A rollout as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Saved {
    /// Its number.
    pub id: u64,
    /// The group that it is of.
    pub group: Option<String>,
    /// The services whose requests it is judged by: its own, and those that list its flags.
    pub services: Vec<String>,
    /// The flag that is released, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flag: Option<SavedFlag>,
    /// The flags of the group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<SavedGroupFlag>,
    /// The baseline: a version, or a variant of the flag; of a group of flags only, of its first one.
    pub from: String,
    /// The candidate.
    pub to: String,
    /// The strategy, in one word.
    pub strategy: String,
    /// The plan, as the config says it.
    pub plan: RolloutSection,
    /// Whether what it runs and asks comes from the config file. Earlier builds took that from callers too, and did not
    /// say so.
    #[serde(default)]
    pub hooks_from_file: bool,
    /// The baseline's endpoints at the start, of each service, of a rolling release.
    pub endpoints: Vec<Vec<SocketAddr>>,
    /// Where it is.
    pub phase: Phase,
    /// The candidate's weight, in slots.
    pub slots: u32,
    /// What the baseline's own rates have become in each service, since it has no traffic.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frozen: Vec<Option<FrozenCeilings>>,
    /// The baseline's numbers of the plan's own metrics, by service and name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metric_baselines: Vec<BTreeMap<String, f64>>,
    /// Who started it.
    pub author: String,
    /// Why.
    pub reason: Option<String>,
    /// Whom the stage waits for.
    #[serde(default)]
    pub waits_for: Option<Need>,
    /// When, in milliseconds since 1970.
    pub started_at_ms: i64,
    /// When it ended.
    pub finished_at_ms: Option<i64>,
    /// What happened, oldest first.
    pub events: Vec<SavedEvent>,
    /// How the judge's mind changed, oldest first.
    #[serde(default)]
    pub verdicts: Vec<SavedVerdict>,
    /// What the judge had found over time.
    #[serde(default, skip_serializing_if = "EvidenceSeries::is_empty")]
    pub(crate) series: EvidenceSeries,
}

/// Something that happened to a rollout.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = RolloutEvent)]
pub struct SavedEvent {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// In one word.
    pub word: String,
    /// In one sentence.
    pub text: String,
    /// The candidate's weight from then on, in per cent.
    pub weight: f64,
    /// The revision that it made, if it made one.
    pub revision: Option<u64>,
    /// The endpoints that it is about, as `SERVICE ADDRESS`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<String>,
    /// What the judge had found by then, for each service.
    pub evidence: Vec<EvidenceView>,
}

impl Saved {
    /// Adds an event; of very many the oldest but the first is dropped.
    pub fn note(&mut self, event: SavedEvent) {
        if self.events.len() >= EVENTS_MAX {
            self.events.remove(1);
        }
        self.events.push(event);
    }

    /// The revision before the first one of its own; none when it made none, or it is forgotten.
    #[must_use]
    pub fn revision_before(&self) -> Option<u64> {
        let known = if self.events.len() < EVENTS_MAX { &*self.events } else { self.events.get(..1)? };
        known.iter().find_map(|event| event.revision)?.checked_sub(1).filter(|before| *before > 0)
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Finished { .. })
    }

    /// The candidate's weight.
    #[must_use]
    pub fn weight(&self) -> Weight {
        Weight::from_slots(self.slots).unwrap_or_default()
    }

    /// The endpoints that a task is about, with their services.
    #[must_use]
    pub fn places(&self, task: StageTask) -> Vec<(&str, SocketAddr)> {
        let batch = match task {
            StageTask::Drain(batch)
            | StageTask::Upgrade(batch)
            | StageTask::Verify(batch)
            | StageTask::Join(batch)
            | StageTask::Downgrade(batch)
            | StageTask::Return(batch) => batch,
            StageTask::Approval | StageTask::Webhook | StageTask::Smoke => return Vec::new(),
        };
        let range = batch.first as usize..batch.until as usize;
        let of = |(service, all): (_, &Vec<SocketAddr>)| {
            let numbered = all.iter().enumerate().filter(|(number, _)| range.contains(number));
            numbered.map(|(_, address)| (service, *address)).collect::<Vec<_>>()
        };
        self.services.iter().map(String::as_str).zip(&self.endpoints).flat_map(of).collect()
    }

    /// The names of its services.
    pub fn names(&self) -> impl Iterator<Item = Name> {
        self.services.iter().filter_map(|service| Name::new(service).ok())
    }

    /// What the judge had found when something happened last.
    #[must_use]
    pub fn evidence(&self) -> &[EvidenceView] {
        let found = self.events.iter().rev().find(|event| !event.evidence.is_empty());
        found.map_or(&[], |event| &event.evidence)
    }

    /// What it is called: the group, the flag or the service.
    #[must_use]
    pub fn title(&self) -> &str {
        let flag = self.flag.as_ref().map(|flag| flag.name.as_str());
        self.group.as_deref().or(flag).or(self.services.first().map(String::as_str)).unwrap_or_default()
    }

    /// What is compared in a service.
    #[must_use]
    pub fn compared(&self, service: &str) -> ComparedNames<'_> {
        let is_there = |flag: &&SavedGroupFlag| flag.services.iter().any(|known| known == service);
        match self.flags.iter().find(is_there) {
            Some(flag) => ComparedNames { flag: Some(&flag.flag.name), from: &flag.from, to: &flag.to },
            None => {
                let flag = self.flag.as_ref().map(|flag| flag.name.as_str());
                ComparedNames { flag, from: &self.from, to: &self.to }
            }
        }
    }

    /// The names of the flags that it moves.
    pub fn flags(&self) -> impl Iterator<Item = &str> {
        self.flag.iter().chain(self.flags.iter().map(|flag| &flag.flag)).map(|flag| flag.name.as_str())
    }

    /// The services whose splits it moves.
    pub fn moved_services(&self) -> impl Iterator<Item = &str> {
        let services = self.services.iter().map(String::as_str);
        services.filter(|service| self.compared(service).flag.is_none())
    }

    /// What is to have everything: `v2`, `new-checkout=on`, or in a group `v2, new-checkout=on`.
    fn sides(&self) -> String {
        let version = self.moved_services().next().map(|_| self.to.clone());
        let single = self.flag.iter().map(|flag| format!("{}={}", flag.name, self.to));
        let of_group = self.flags.iter().map(|flag| format!("{}={}", flag.flag.name, flag.to));
        version.into_iter().chain(single).chain(of_group).collect::<Vec<_>>().join(", ")
    }

    /// The same in a sentence: `shop v2`, `flag new-checkout=on`.
    fn subject(&self) -> String {
        match &self.flag {
            None => format!("{} {}", self.title(), self.sides()),
            Some(_) => format!("flag {}", self.sides()),
        }
    }

    /// Whom it waits for, by what they have to do.
    #[must_use]
    pub fn need(&self) -> Option<Need> {
        match self.phase {
            Phase::Going { .. } => self.waits_for,
            Phase::Paused { why: Pause::NoAgreement(StageTask::Approval), .. } => Some(Need::Approval),
            Phase::Paused { .. } => Some(Need::Resume),
            Phase::Back(back) if back.stuck => Some(Need::Repair),
            Phase::Back(_) => self.waits_for,
            Phase::Finished { .. } => None,
        }
    }

    /// The command that makes it go on, if it waits for an operator.
    #[must_use]
    pub fn command(&self) -> Option<String> {
        self.need().map(|need| self.command_for(need))
    }

    fn command_for(&self, need: Need) -> String {
        format!("pointsman rollout {} {}", need.order(), self.title())
    }

    /// The endpoints of a task as text.
    fn of_places(&self, task: StageTask) -> String {
        let places = self.places(task);
        let one = |(service, address): &(&str, SocketAddr)| match self.services.len() {
            1 => address.to_string(),
            _ => format!("{service} {address}"),
        };
        let list: Vec<String> = places.iter().map(one).collect();
        if list.is_empty() { String::new() } else { format!(" of {}", list.join(", ")) }
    }

    /// What a task waits for that an operator has to do, with the command that says that it is done; `found` is what
    /// the judge has found by then.
    #[must_use]
    pub fn waiting(&self, need: Need, task: StageTask, found: Option<&EvidenceView>) -> String {
        let (subject, command) = (self.subject(), self.command_for(need));
        let text = match need {
            Need::Acknowledgement => {
                let (task, of) = (task.word(), self.of_places(task));
                format!("{subject}: waiting for the {task}{of} by hand; when it is done: {command}")
            }
            Need::Approval | Need::Resume | Need::Repair => {
                format!("{subject}: waiting for an approval at {} %; to say yes: {command}", self.weight())
            }
        };
        found.map_or(text.clone(), |EvidenceView { service, candidate, baseline, .. }| {
            let part = |counts: &CountsView| format!("{} of {} requests failed", counts.failures, counts.requests);
            let names = self.compared(service);
            let (to, from) = (names.candidate(), names.baseline());
            format!("{text} ({service}: {} on {to}, {} on {from})", part(candidate), part(baseline))
        })
    }

    /// What happened, in a sentence.
    #[must_use]
    pub fn sentence(&self, happened: RolloutEvent, verdict: Option<&str>) -> String {
        let subject = self.subject();
        let because = verdict.map_or(String::new(), |verdict| format!("; {verdict}"));
        let group = self.group.as_ref().map_or(String::new(), |group| format!("group {group}: "));
        match happened {
            RolloutEvent::Started => format!("{subject}: started"),
            RolloutEvent::Advanced { cause: StageCause::Verdict, .. } => self.advanced(verdict.unwrap_or("advanced")),
            RolloutEvent::Finished(RolloutEnding::Completed) => {
                // The judge has said that it may go on, and here is the end of it.
                let found = verdict.map(|verdict| match self.without_advanced(verdict) {
                    Some(found) => format!(", at the end {found}"),
                    None => because,
                });
                format!("{subject}: completed, it has all the traffic{}", found.unwrap_or_default())
            }
            RolloutEvent::TurnedBack(RolloutEnding::RolledBack(_))
            | RolloutEvent::Finished(RolloutEnding::RolledBack(_)) => {
                format!("{group}{}", verdict.unwrap_or("rolled back"))
            }
            RolloutEvent::Advanced { cause, .. } => {
                let why = match cause {
                    StageCause::Start | StageCause::Verdict => "begins".to_owned(),
                    StageCause::Time => "goes on, its time is over".to_owned(),
                    StageCause::Task(task) => format!("goes on, done: {}{}", task.word(), self.of_places(task)),
                    StageCause::Promoted => "is promoted".to_owned(),
                    StageCause::Resumed => "is resumed, the stage begins again".to_owned(),
                    StageCause::Restart => "goes on after a restart, the stage begins again".to_owned(),
                };
                format!("{subject}: {why}")
            }
            RolloutEvent::AskedAgain => format!("{subject}: the webhook is asked again"),
            RolloutEvent::Paused(Pause::Operator) => format!("{subject}: paused"),
            RolloutEvent::Paused(Pause::Shifted) => {
                format!("{subject}: paused, because the {} was changed by hand; resume or abort it", self.moved())
            }
            RolloutEvent::Paused(Pause::Held(_)) => {
                format!("{subject}: paused, held for as long as the plan allows{because}")
            }
            RolloutEvent::Paused(Pause::NoAgreement(task)) => {
                format!("{subject}: paused, nobody agreed in time: {}", task.word())
            }
            RolloutEvent::TurnedBack(ending) => {
                format!("{subject}: {}{}{because}", ending_text(ending, false), self.of_failed(ending))
            }
            RolloutEvent::RolledBackStep { .. } => format!("{subject}: a step back is done"),
            RolloutEvent::RollbackBlocked { task } => {
                let of = self.of_places(task);
                format!("{subject}: stuck on the way back, failed: {}{of}; mend it and resume", task.word())
            }
            RolloutEvent::Finished(ending) => {
                format!("{subject}: {}{}{because}", ending_text(ending, true), self.of_failed(ending))
            }
        }
    }

    /// What it moves.
    pub(crate) fn moved(&self) -> &'static str {
        let flags = self.flag.is_some() || !self.flags.is_empty();
        match (self.moved_services().next().is_some(), flags) {
            (true, true) => "split or a flag",
            (false, true) => "flag",
            (_, false) if self.mirrors() => "split or the mirror",
            (_, false) => "split",
        }
    }

    /// Whether its plan has steps in which requests are copied.
    fn mirrors(&self) -> bool {
        let release = self.plan.release();
        release.is_ok_and(|release| matches!(&release.shape, Shape::Canary(canary) if !canary.mirrors.is_empty()))
    }

    /// That all services go on; the verdict is about one of them.
    fn advanced(&self, verdict: &str) -> String {
        let found = self.group.as_ref().and(self.without_advanced(verdict));
        found.map_or_else(
            || verdict.to_owned(),
            |found| {
                let services = self.services.join(", ");
                format!("group {}: advanced {services} {}, {found}", self.title(), self.sides())
            },
        )
    }

    /// What a verdict has found that lets a service go on, with the service in a group.
    fn without_advanced(&self, verdict: &str) -> Option<String> {
        let (service, found) = self.services.iter().find_map(|service| {
            let found =
                verdict.strip_prefix(&format!("advanced {service} {}: ", self.compared(service).candidate()))?;
            Some((service, found))
        })?;
        Some(if self.group.is_some() { format!("the most against {service}: {found}") } else { found.to_owned() })
    }

    /// The endpoints of the task that failed.
    fn of_failed(&self, ending: RolloutEnding) -> String {
        match ending {
            RolloutEnding::TaskFailed(task) => self.of_places(task),
            RolloutEnding::Completed
            | RolloutEnding::RolledBack(_)
            | RolloutEnding::HeldTooLong(_)
            | RolloutEnding::Aborted => String::new(),
        }
    }
}

fn ending_text(ending: RolloutEnding, there: bool) -> String {
    let back = if there { "rolled back" } else { "rolling back" };
    match ending {
        RolloutEnding::Completed => "completed".to_owned(),
        RolloutEnding::RolledBack(_) => back.to_owned(),
        RolloutEnding::HeldTooLong(_) => format!("{back}, held for too long"),
        RolloutEnding::TaskFailed(task) => format!("{back}, failed: {}", task.word()),
        RolloutEnding::Aborted => format!("{back}, aborted by an operator"),
    }
}
