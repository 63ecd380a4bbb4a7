//! A rollout that is under way: its state machine, its evidence collectors, and the task that is being done for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;

use super::evidence_collector::{CollectedEvidence, ComparedArms, CountingTerms, EvidenceCollector};
use super::guardrail_counting::GuardrailCounting;
use super::metric_schedule::MetricSchedule;
use super::others_counted::OthersCounted;
use super::points_stored::PointsStored;
use super::released_rule::{MovedFlag, ReleasedRule, of_both};
use super::saved::Saved;
use super::verdict_news::VerdictNews;
use super::view::RolloutView;
use crate::control::rollout_change::{EndpointMove, RolloutChange, same};
use crate::control::unusable::Unusable;
use crate::rollout::event::{Need, Pause};
use crate::rollout::judge::pair_counts::PairCounts;
use crate::rollout::judge::{Assignment, Bake, CandidateShare, Evidence, Judge, JudgeSettings, PerVersion};
use crate::rollout::plan::{Plan, PlanProblem};
use crate::rollout::release::{Hook, Release, Shape};
use crate::rollout::run::{Phase, Rollout};
use crate::rollout::stage::StageTask;
use crate::shared::canary_stats::FlagTerms;
use crate::shared::mirror_stats::MirrorTotals;
use crate::stats::{CanaryEnd, Registry};
use crate::table::{Name, Service, Table, Weight, Weights};

/// A rollout that is under way.
#[derive(Debug)]
pub(crate) struct ActiveRollout {
    pub(crate) saved: Saved,
    pub(crate) rollout: Rollout,
    pub(crate) release: Arc<Release>,
    /// The services whose requests it is judged by.
    pub(crate) services: Vec<Name>,
    /// The flags that are moved. In the services of theirs variants are compared; in all others versions are, and
    /// splits are moved.
    pub(crate) flags: Vec<MovedFlag>,
    pub(crate) from: Name,
    pub(crate) to: Name,
    pub(super) collectors: Vec<EvidenceCollector>,
    /// What the other replicas of a fleet have counted.
    pub(super) others: OthersCounted,
    /// What is to be told of its verdicts.
    pub(crate) news: VerdictNews,
    /// What is counted of users, if it has guardrails.
    pub(crate) counting: Option<GuardrailCounting>,
    /// What is stored of what it found over time.
    pub(crate) points_stored: PointsStored,
    /// When metrics servers are asked next.
    pub(crate) asked: MetricSchedule,
    doing: Option<RunningTask>,
    /// What mirrors had found at the last look, by service, while the plan mirrors.
    pub(crate) mirrored: Vec<Option<MirrorTotals>>,
    /// Why the last task failed.
    pub(crate) failure: Option<String>,
    /// What keeps it from going on although nothing speaks against the version itself.
    pub(crate) barred: Option<Barred>,
}

/// No endpoint is there to answer for the version that would get more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Barred {
    /// What is known of it.
    pub(crate) why: String,
    /// Since when.
    pub(crate) since: Duration,
}

/// A task that is being done; ended when it is dropped.
#[derive(Debug)]
struct RunningTask(AbortHandle);

impl Drop for RunningTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is rolled out.
pub(crate) struct RolloutSubjects {
    /// The services whose requests it is judged by.
    pub(crate) services: Vec<Name>,
    /// The flags.
    pub(crate) flags: Vec<MovedFlag>,
    /// The baseline.
    pub(crate) from: Name,
    /// The candidate.
    pub(crate) to: Name,
    /// What is counted of their users, if there are guardrails.
    pub(crate) counting: Option<GuardrailCounting>,
}

/// The flag whose variants are compared in a service, if they are.
fn compared_flag<'f>(flags: &'f [MovedFlag], service: &Name) -> Option<&'f MovedFlag> {
    flags.iter().find(|flag| flag.services.contains(service))
}

/// Whether users of these services stay on their version. A flag is drawn by users' keys only.
pub(crate) fn assignment(services: &[&Service], is_flag: bool) -> Assignment {
    let sticky = is_flag || services.iter().any(|service| !service.spec.sticky.is_empty());
    if sticky { Assignment::PerKey } else { Assignment::PerRequest }
}

/// The plan of a release under this assignment, whose baseline has this many endpoints.
pub(crate) fn plan(release: &Release, assignment: Assignment, endpoints: usize) -> Result<Plan, Vec<PlanProblem>> {
    release.plan(u32::try_from(endpoints).unwrap_or(u32::MAX), assignment)
}

impl ActiveRollout {
    /// A rollout with its collectors, which count from the next table on.
    pub(crate) fn new(
        saved: Saved,
        mut rollout: Rollout,
        release: Arc<Release>,
        RolloutSubjects { services, flags, from, to, counting }: RolloutSubjects,
        workers: usize,
    ) -> Self {
        let settings = *rollout.plan().judge();
        rollout.watch_metrics(&release.metrics, &saved.metric_baselines);
        rollout.watch_guardrails(&release.guardrails);
        let moved: Arc<[Box<str>]> = flags.iter().map(|flag| flag.released.flag.as_str().into()).collect();
        let collectors = services
            .iter()
            .map(|service| {
                let arms = match compared_flag(&flags, service) {
                    None => ComparedArms::Versions(PerVersion { candidate: to.clone(), baseline: from.clone() }),
                    Some(MovedFlag { released: ReleasedRule { flag, rule }, from, to, .. }) => {
                        let variants = PerVersion { candidate: to.clone(), baseline: from.clone() };
                        let flag = FlagTerms { flag: flag.as_str().into(), rule: rule.as_str().into() };
                        ComparedArms::Variants { variants, flag }
                    }
                };
                let trials = counting.as_ref().map(|counting| counting.trials(saved.id));
                EvidenceCollector::new(arms, &moved, &settings, &release.except, workers).with_trials(trials)
            })
            .collect();
        Self {
            saved,
            rollout,
            release,
            services,
            flags,
            from,
            to,
            collectors,
            others: OthersCounted::new(),
            news: VerdictNews::default(),
            counting,
            points_stored: PointsStored::all(Duration::ZERO),
            asked: MetricSchedule::default(),
            doing: None,
            mirrored: Vec::new(),
            failure: None,
            barred: None,
        }
    }

    /// Fresh judges for a rollout that is restored. What the baseline did while there was something to compare with is
    /// remembered.
    pub(crate) fn judges(settings: JudgeSettings, saved: &Saved, now: Duration) -> Vec<Judge> {
        let judge = |number: usize| {
            let mut judge = Judge::new(settings, CandidateShare::at(saved.weight()), now);
            if let Some(Some(frozen)) = saved.frozen.get(number) {
                judge.hold_to(*frozen);
            }
            judge
        };
        (0..saved.services.len()).map(judge).collect()
    }

    /// Has the workers count for it, from the next table on.
    pub(crate) fn count_in(&self, registry: &Registry) {
        for (service, collector) in self.services.iter().zip(&self.collectors) {
            registry.begin_canary(service.as_str(), Arc::clone(&collector.canary));
        }
    }

    /// No more.
    pub(crate) fn count_out(&self, registry: &Registry, end: CanaryEnd) {
        self.services.iter().for_each(|service| registry.end_canary(service.as_str(), end));
    }

    /// Lets go of what was overdue by the clock of the process.
    pub(crate) fn sweep(&self, clock_ms: u64) {
        self.collectors.iter().for_each(|collector| collector.canary.sweep(clock_ms));
    }

    /// Reads the collectors into the judges; `clock_ms` is the clock of the process.
    pub(crate) fn observe(&mut self, now: Duration, clock_ms: u64, table: &Table) {
        self.sweep(clock_ms);
        let judges = self.rollout.judges();
        let read = |((collector, name), judge): ((&mut EvidenceCollector, &Name), &Judge)| match table.index_of(name) {
            Some(index) => collector.read(now, table.service(index), table.compared(index), &CountingTerms::of(judge)),
            None => CollectedEvidence::default(),
        };
        let mut readings: Vec<CollectedEvidence> =
            self.collectors.iter_mut().zip(&self.services).zip(judges).map(read).collect();
        let mut pairs = self.pairs(table);
        self.add_others(now, &mut readings, &mut pairs);
        let with_pairs =
            |(reading, pairs): (_, Option<PairCounts>)| Evidence { pairs, ..CollectedEvidence::evidence(reading) };
        let evidence: Vec<Evidence<'_>> = readings.iter().zip(pairs).map(with_pairs).collect();
        self.rollout.observe(now, &evidence);
    }

    /// The stage's bake, as the judges see it.
    pub(crate) fn bake(&self, now: Duration) -> Bake {
        self.rollout.bake(now)
    }

    /// The services whose splits are moved.
    pub(crate) fn moved_services(&self) -> impl Iterator<Item = &Name> {
        self.services.iter().filter(|service| compared_flag(&self.flags, service).is_none())
    }

    /// The flag whose variants are compared in a service, if they are.
    pub(crate) fn compared_flag(&self, service: &Name) -> Option<&MovedFlag> {
        compared_flag(&self.flags, service)
    }

    /// The names of the two that are compared in a service.
    pub(crate) fn compared(&self, service: &Name) -> PerVersion<&Name> {
        self.compared_flag(service).map_or(
            PerVersion { candidate: &self.to, baseline: &self.from },
            |MovedFlag { from, to, .. }| PerVersion { candidate: to, baseline: from },
        )
    }

    /// The splits of its services at a weight of the candidate.
    pub(crate) fn splits(&self, weight: Weight) -> BTreeMap<Name, Weights> {
        let split = of_both(&self.to, &self.from, weight);
        split
            .into_iter()
            .flat_map(|split| self.moved_services().map(move |name| (name.clone(), split.clone())))
            .collect()
    }

    /// Whether an operator has changed a split, a mirror or a flag by hand, or taken a service or a flag out of the
    /// config.
    pub(crate) fn is_shifted(&self, table: &Table) -> bool {
        let weight = self.rollout.weight();
        let is_other =
            |(name, split): (&Name, &Weights)| table.service_named(name).is_none_or(|s| !same(split, &s.weights()));
        let mirror = self.mirror();
        let mirrors_other = |name: &Name| table.service_named(name).is_some_and(|s| s.traffic.mirror != mirror);
        self.flags.iter().any(|flag| flag.is_shifted(weight, table))
            || self.splits(weight).iter().any(is_other)
            || (mirror.is_some() && self.moved_services().any(mirrors_other))
    }

    /// Whether the split was taken by hand, and the rollout does not know yet.
    pub(crate) fn is_taken(&self, table: &Table) -> bool {
        self.is_shifted(table) && !matches!(self.rollout.phase(), Phase::Paused { why: Pause::Shifted, .. })
    }

    /// What a move to a weight comes to. Services and flags that are gone are left alone.
    pub(crate) fn change(&self, weight: Option<Weight>, task: Option<StageTask>, table: &Table) -> RolloutChange {
        let flags = self.flags.iter().filter(|flag| flag.is_there(table));
        let flags = flags.map(|flag| flag.to_weight(weight, self.rollout.weight())).collect();
        let there = |name: &Name| {
            let service = table.service_named(name);
            service.is_some_and(|service| [&self.from, &self.to].iter().all(|v| service.version_named(v).is_some()))
        };
        let services: BTreeSet<Name> = self.moved_services().filter(|name| there(name)).cloned().collect();
        let mut splits = weight.map(|weight| self.splits(weight)).unwrap_or_default();
        splits.retain(|name, _| services.contains(name));
        let mut expects = self.splits(self.rollout.weight());
        expects.retain(|name, _| services.contains(name) && splits.contains_key(name));
        let mut endpoints = if self.saved.events.is_empty() { self.closed_at_the_start() } else { Vec::new() };
        endpoints.extend(task.into_iter().flat_map(|task| self.endpoint_moves(task)));
        let starts = self.saved.events.is_empty();
        let id = self.saved.id;
        RolloutChange { id, services, splits, expects, endpoints, flags, starts, ..RolloutChange::default() }
    }

    /// What a task does to endpoints, in the revision that begins it.
    fn endpoint_moves(&self, task: StageTask) -> Vec<EndpointMove> {
        let moves: &[(&Name, bool)] = match task {
            StageTask::Drain(_) => &[(&self.from, true), (&self.to, true)],
            StageTask::Join(_) => &[(&self.to, false)],
            StageTask::Return(_) => &[(&self.from, false)],
            StageTask::Approval
            | StageTask::Webhook
            | StageTask::Smoke
            | StageTask::Upgrade(_)
            | StageTask::Verify(_)
            | StageTask::Downgrade(_) => &[],
        };
        let places = self.batch_of(task);
        let each = places.iter().flat_map(|(service, address)| {
            moves.iter().map(|(version, drained)| EndpointMove {
                service: service.clone(),
                version: (*version).clone(),
                address: *address,
                drained: *drained,
            })
        });
        each.collect()
    }

    /// The endpoints that a task is about.
    pub(crate) fn batch_of(&self, task: StageTask) -> Vec<(Name, SocketAddr)> {
        let places = self.saved.places(task).into_iter();
        places.filter_map(|(service, address)| Some((Name::new(service).ok()?, address))).collect()
    }

    /// The services in which the candidate is known to have no endpoint to answer. A rolling release is not asked: what
    /// serves its candidate is upgraded first, and verified.
    pub(crate) fn unusable(&self, table: &Table) -> Vec<Unusable> {
        if !self.asks_for_usable() {
            return Vec::new();
        }
        let services = self.moved_services().filter_map(|name| table.service_named(name));
        services.filter_map(|service| Unusable::of(service, &self.to, Weight::ZERO)).collect()
    }

    /// Whether the candidate has to have an endpoint to answer before it gets more. A variant has none of its own.
    pub(crate) fn asks_for_usable(&self) -> bool {
        self.moved_services().next().is_some() && !matches!(self.release.shape, Shape::Rolling(_))
    }

    /// What is shown of it.
    pub(crate) fn view(&self, now: Duration) -> RolloutView {
        let view = RolloutView::of(&self.saved, &self.rollout, now);
        let barred = self.barred.as_ref().map(|barred| format!("{}; it goes on when one is usable", barred.why));
        RolloutView { paused_because: view.paused_because.or(barred), ..view }
    }

    /// Notes the task that is being done, and ends the one before.
    pub(crate) fn does(&mut self, handle: Option<AbortHandle>) {
        self.doing = handle.map(RunningTask);
    }

    /// Whom a task waits for, by what they have to do.
    pub(crate) fn need_of(&self, task: StageTask) -> Option<Need> {
        if task == StageTask::Approval {
            return Some(Need::Approval);
        }
        self.waits_for_somebody(task).then_some(Need::Acknowledgement)
    }

    /// Whether an operator has to say that a task is done.
    pub(crate) fn waits_for_somebody(&self, task: StageTask) -> bool {
        let Shape::Rolling(shape) = &self.release.shape else { return false };
        let hook = match task {
            StageTask::Upgrade(_) => &shape.upgrade,
            StageTask::Downgrade(_) => shape.rollback.as_ref().unwrap_or(&shape.upgrade),
            StageTask::Approval
            | StageTask::Webhook
            | StageTask::Smoke
            | StageTask::Drain(_)
            | StageTask::Verify(_)
            | StageTask::Join(_)
            | StageTask::Return(_) => return false,
        };
        matches!(hook, Hook::Acknowledge { .. })
    }

    /// Whether it is on its way back.
    pub(crate) fn is_back(&self) -> bool {
        matches!(self.rollout.phase(), Phase::Back(_))
    }
}
