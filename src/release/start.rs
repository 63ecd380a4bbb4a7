//! A rollout begins: everything that speaks against it is said at once, and nothing has changed then.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::Instant;

use super::active;
use super::active::{ActiveRollout, RolloutSubjects};
use super::controller::{RolloutController, now_ms};
use super::evidence_series::EvidenceSeries;
use super::flag_start::FlagStart;
use super::forecast_view::ForecastView;
use super::released_rule::{MovedFlag, ReleasedRule};
use super::rollout_handle::{OrderedBy, RolloutError, RolloutTarget, StartRequest, Started};
use super::saved::Saved;
use super::start_subjects::{StartSides, StartSubjects, StartTargets};
use super::traffic_warnings::{DrawnFor, StartTraffic};
use super::view::RolloutView;
use super::{bad_plan, ceilings, experimented, mirror_steps, traffic_warnings};
use crate::config::RolloutSection;
use crate::control::handle::OntoDead;
use crate::control::rollout_change::EndpointMove;
use crate::control::unusable::Unusable;
use crate::problem::{Mismatch, Problem, ProblemKind, one_of};
use crate::rollout::event::Transition;
use crate::rollout::forecast;
use crate::rollout::forecast::{PlanForecast, SeenTraffic};
use crate::rollout::judge::frozen::REQUESTS_MIN;
use crate::rollout::plan::Plan;
use crate::rollout::release::{Release, Shape};
use crate::rollout::run::{Phase, Rollout};
use crate::shared::per_arm::PerArm;
use crate::stats::{CanaryEnd, VersionTotals};
use crate::table::{Name, Service, Table, Weight};

impl RolloutController {
    /// Starts a rollout.
    ///
    /// # Errors
    /// [`RolloutError`] with everything that speaks against it.
    pub(crate) async fn start(&mut self, request: StartRequest) -> Result<Started, RolloutError> {
        let table = self.deps.published.load_full();
        let prepared = self.prepare(&table, &request).map_err(RolloutError::Problems)?;
        let (run, first) = prepared;
        let spent = run.spent_budgets(&self.deps.slo, &table);
        if !spent.is_empty() {
            return Err(RolloutError::Problems(spent));
        }
        let unusable = run.unusable(&table);
        if !unusable.is_empty() && request.by.onto_dead == OntoDead::Refuse {
            return Err(RolloutError::Unusable(unusable));
        }
        let mut warnings = self.warnings(&table, &run);
        warnings.extend(unusable.iter().map(Unusable::warning));
        let forecast = ForecastView::of(&self.forecast(&table, &run));
        let id = run.saved.id;
        if request.dry_run {
            return Ok(Started { rollout: RolloutView::of(&run.saved, &run.rollout, self.now()), forecast, warnings });
        }
        self.last_id = Some(id);
        run.count_in(&self.deps.registry);
        let begun = run.rollout.clone();
        self.running.insert(id, run);
        let mut made = Some(first);
        // It was asked here, of all services at once.
        let onto_dead = if request.by.onto_dead == OntoDead::Insist { OntoDead::Insist } else { OntoDead::Ignore };
        let by = OrderedBy { onto_dead, ..request.by };
        let moved = self.advance(
            id,
            |rollout| {
                *rollout = begun;
                made.take()
            },
            Some(&by),
        );
        if let Err(error) = moved.await {
            if let Some(run) = self.running.remove(&id) {
                run.count_out(&self.deps.registry, CanaryEnd::Back);
                run.count_users(Weight::ZERO, &self.deps.guardrails);
            }
            return Err(error.into());
        }
        let view = self.running.get(&id).map(|run| RolloutView::of(&run.saved, &run.rollout, self.now()));
        let view = view.or_else(|| self.finished.get(&id).map(RolloutView::over));
        view.map(|rollout| Started { rollout, forecast, warnings }).ok_or(RolloutError::Unknown(id))
    }

    fn prepare(&self, table: &Table, request: &StartRequest) -> Result<(ActiveRollout, Transition), Vec<Problem>> {
        let mut problems = request.problems.clone();
        let Some(last_id) = self.last_id else {
            let found = "the rollouts of before, which could not be read yet";
            let wanted = "to know what is under way";
            problems.push(Problem::invalid("rollouts", found, wanted, "look at the log, repeat the call"));
            return Err(problems);
        };
        let subjects = match self.subjects(table, &request.target) {
            Ok(subjects) => subjects,
            Err(found) => {
                problems.extend(found);
                return Err(problems);
            }
        };
        let section = request.plan.over(&subjects.section);
        problems.extend(subjects.services.iter().filter_map(|service| self.busy(service)));
        let flags: Vec<&Name> = subjects.flags.iter().map(|flag| &flag.rule.flag).collect();
        problems.extend(experimented::problems(table, &subjects.moved, &flags));
        let targets = StartTargets { to: request.to.as_deref(), variants: &request.variants };
        let (release, sides) = (subjects.release(&section), subjects.sides(targets));
        let (release, StartSides { from, to, flags }) = match (release, sides) {
            (Ok(release), Ok(sides)) if problems.is_empty() => (release, sides),
            (release, sides) => {
                // What the call must not name is not missing too.
                let told = |found: &Problem| request.problems.iter().any(|problem| problem.path == found.path);
                problems.extend(release.err().into_iter().flatten().filter(|found| !told(found)));
                problems.extend(sides.err().into_iter().flatten());
                return Err(problems);
            }
        };
        let StartSubjects { group, services, moved, .. } = subjects;
        let (section, release) = with_ceilings(section, release, &blue(&services, &flags, &from))?;
        let endpoints = endpoints(&release, &moved, &from, &to)?;
        let most = endpoints.iter().map(Vec::len).max().unwrap_or(1).max(1);
        let counting = self.counting(&release, &services, &flags, PerArm { control: &from, treatment: &to })?;
        let plan =
            plan(&release, PlanServices { services: &services, moved: &moved, to: &to }, !flags.is_empty(), most)?;
        let (rollout, first) = Rollout::start(plan, services.len(), self.now());
        let single = flags.first().filter(|_| group.is_none()).map(|flag| flag.released.saved());
        let of_group = flags.iter().filter(|_| group.is_some()).map(MovedFlag::saved).collect();
        let saved = Saved {
            id: last_id + 1,
            group,
            services: services.iter().map(|service| service.spec.name.as_str().to_owned()).collect(),
            flag: single,
            flags: of_group,
            from: from.as_str().to_owned(),
            to: to.as_str().to_owned(),
            strategy: release.strategy_word().to_owned(),
            plan: section,
            hooks_from_file: true,
            endpoints,
            phase: Phase::Going { stage: 0, since: self.now() },
            slots: 0,
            frozen: Vec::new(),
            metric_baselines: Vec::new(),
            author: request.by.author.clone(),
            reason: request.by.reason.clone(),
            waits_for: None,
            started_at_ms: now_ms(),
            finished_at_ms: None,
            events: Vec::new(),
            verdicts: Vec::new(),
            series: EvidenceSeries::default(),
        };
        let subjects = RolloutSubjects { services: saved.names().collect(), flags, from, to, counting };
        let run = ActiveRollout::new(saved, rollout, Arc::new(release), subjects, self.deps.registry.workers());
        Ok((run, first))
    }

    pub(super) fn subjects<'t>(
        &self,
        table: &'t Table,
        target: &RolloutTarget,
    ) -> Result<StartSubjects<'t>, Vec<Problem>> {
        let known = self.deps.known.borrow();
        let named = |name: &str| {
            let names = table.services().map(|service| service.spec.name.as_str());
            table.service_named(name).ok_or_else(|| Problem::no_service("service", name, names))
        };
        match target {
            RolloutTarget::Service(name) => {
                let service = named(name).map_err(|problem| vec![problem])?;
                let section = known.services.get(&service.spec.name).cloned().unwrap_or_default();
                Ok(StartSubjects::of_service(service, section))
            }
            RolloutTarget::Flag(name) => {
                let flag = FlagStart::of(table, name)?;
                let section = known.flags.get(name.as_str()).cloned().unwrap_or_default();
                Ok(StartSubjects::of_flag(flag, &section))
            }
            RolloutTarget::Group(name) => {
                let found = known.groups.iter().find(|(group, _)| group.as_str() == name);
                let Some((_, group)) = found else {
                    let groups = known.groups.keys().map(Name::as_str);
                    return Err(vec![
                        Mismatch::new(format!("unknown group {name:?}"), one_of(groups), "name a group of the config")
                            .at("group", ProblemKind::Unknown),
                    ]);
                };
                StartSubjects::of_group(table, name, group)
            }
        }
    }

    /// One at a time per service.
    fn busy(&self, service: &Service) -> Option<Problem> {
        let other = self.running.values().find(|run| run.services.contains(&service.spec.name))?;
        Some(Problem::conflict(
            format!("services.{}", service.spec.name),
            format!("rollout {} to {}, which is not over", other.saved.id, other.to),
            "no rollout under way",
            format!("wait for it, or abort it: pointsman rollout abort {}", other.saved.id),
        ))
    }

    /// What its operator will want to know.
    fn warnings(&self, table: &Table, run: &ActiveRollout) -> Vec<String> {
        let mut warnings = Vec::new();
        if matches!(run.release.shape, Shape::BlueGreen { .. }) && run.release.judge.alarms() == 1 {
            let (from, min) = (&run.from, REQUESTS_MIN);
            warnings.push(format!(
                "{from} has had fewer than {min} requests to measure {} by, and at 100 % there is nobody to compare with: \
                 nothing will be judged; set judge.errors_max",
                run.to
            ));
        }
        if let Shape::Rolling(shape) = &run.release.shape {
            let whole = |all: &&Vec<SocketAddr>| all.len() <= shape.batch as usize;
            if let Some(all) = run.saved.endpoints.iter().find(whole) {
                let (count, batch) = (all.len(), shape.batch);
                warnings
                    .push(format!("{count} endpoints in batches of {batch}: while they are upgraded nobody answers"));
            }
        }
        let traffic = run.services.iter().filter_map(|name| {
            let (requests_per_second, failing) = self.traffic(table.service_named(name)?, run);
            let drawn_for = run.drawn_for(name, table);
            Some(StartTraffic { service: name.as_str(), requests_per_second, failing, drawn_for })
        });
        let (stages, settings) = (run.rollout.stages(), run.rollout.plan().judge());
        warnings.extend(traffic_warnings::of_all(stages, settings, &traffic.collect::<Vec<_>>()));
        warnings
    }

    /// How long it will take.
    fn forecast(&self, table: &Table, run: &ActiveRollout) -> PlanForecast {
        let services = run.services.iter().filter_map(|name| table.service_named(name));
        let seen = services.map(|service| {
            let (requests_per_second, failing) = self.traffic(service, run);
            SeenTraffic { requests_per_second, failing }
        });
        let only_by = run.services.iter().find_map(|name| run.drawn_for(name, table).only_by());
        let only_by = only_by.map(str::to_owned);
        PlanForecast { only_by, ..forecast::of(run.rollout.plan(), &seen.collect::<Vec<_>>()) }
    }

    /// Requests per second of a service, and the part of the baseline's that fail.
    fn traffic(&self, service: &Service, run: &ActiveRollout) -> (f64, f64) {
        let windows = service.versions.iter().map(|version| self.deps.live.window(service, version, Instant::now()));
        let rate = windows.map(|window| window.per_second(window.recent.requests())).sum();
        // All versions serve the baseline of a flag.
        let is_flag = !run.moved_services().any(|moved| *moved == service.spec.name);
        let baseline = service.versions.iter().filter(|version| is_flag || version.name == run.from);
        let counts = baseline
            .map(|version| version.stats.undisturbed_totals())
            .map(|totals| [totals.failures(), totals.requests()]);
        let [failures, requests] = counts.fold([0, 0], |sum, one| [sum[0] + one[0], sum[1] + one[1]]);
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let failing = failures as f64 / requests.max(500) as f64;
        (rate, failing.min(1.0))
    }
}

/// The services of a start.
struct PlanServices<'s> {
    /// Those whose requests are judged.
    services: &'s [&'s Service],
    /// Those of them whose splits are moved.
    moved: &'s [&'s Service],
    /// The candidate.
    to: &'s Name,
}

/// The plan of a release, unless something speaks against it.
fn plan(
    release: &Release,
    PlanServices { services, moved, to }: PlanServices<'_>,
    is_flag: bool,
    endpoints: usize,
) -> Result<Plan, Vec<Problem>> {
    let plan = active::plan(release, active::assignment(services, is_flag), endpoints)
        .map_err(|problems| problems.iter().map(|problem| problem.at("plan")).collect::<Vec<_>>())?;
    let problems = mirror_steps::problems(&plan, moved, to, is_flag);
    if problems.is_empty() { Ok(plan) } else { Err(problems) }
}

/// What the baseline did by now, by service; that of a flag is served by all versions.
fn blue(services: &[&Service], flags: &[MovedFlag], from: &Name) -> Vec<VersionTotals> {
    let of = |service: &&Service| {
        let by_flag = flags.iter().any(|flag| flag.services.contains(&service.spec.name));
        blue_of(service, |version| by_flag || version == from)
    };
    services.iter().filter_map(of).collect()
}

/// What the version with the most requests of those did that may be the baseline.
pub(super) fn blue_of(service: &Service, is_baseline: impl Fn(&Name) -> bool) -> Option<VersionTotals> {
    let all = service.versions.iter().filter(|version| is_baseline(&version.name));
    all.map(|version| version.stats.undisturbed_totals()).max_by_key(VersionTotals::requests)
}

/// The plan with the ceilings that it needs and does not have.
pub(super) fn with_ceilings(
    section: RolloutSection,
    release: Release,
    blue: &[VersionTotals],
) -> Result<(RolloutSection, Release), Vec<Problem>> {
    let Some(found) = ceilings::from_blue(&release, blue) else { return Ok((section, release)) };
    let section = section.merged(&found);
    let release = section.release().map_err(bad_plan::for_caller)?;
    Ok((section, release))
}

/// The baseline's endpoints in order, of a rolling release; they have to be the candidate's as well.
fn endpoints(
    release: &Release,
    services: &[&Service],
    from: &Name,
    to: &Name,
) -> Result<Vec<Vec<SocketAddr>>, Vec<Problem>> {
    if !matches!(release.shape, Shape::Rolling(_)) {
        return Ok(Vec::new());
    }
    let (mut all, mut problems) = (Vec::new(), Vec::new());
    for service in services {
        // In the order of the config, which is the order of the upgrade.
        let addresses = |version: &Name, with_drained: bool| -> Vec<SocketAddr> {
            let version = service.version_named(version);
            let endpoints = version.into_iter().flat_map(|version| &*version.endpoints);
            endpoints.filter(|endpoint| with_drained || !endpoint.drained).map(|endpoint| endpoint.address).collect()
        };
        let (old, new) = (addresses(from, false), addresses(to, true));
        let missing: Vec<String> = old.iter().filter(|old| !new.contains(old)).map(ToString::to_string).collect();
        if !missing.is_empty() || old.is_empty() {
            problems.push(Problem::conflict(
                format!("services.{}.versions.{to}.endpoints", service.spec.name),
                match old.is_empty() {
                    true => format!("no endpoint of {from} that takes requests"),
                    false => format!("{} missing, which {from} has", missing.join(", ")),
                },
                "the endpoints of both versions to be the same: they are upgraded in place",
                format!("list them in both versions; those of {to} get nothing before they are upgraded"),
            ));
        }
        all.push(old);
    }
    if all.windows(2).any(|pair| pair[0].len() != pair[1].len()) {
        let counts: Vec<String> = all.iter().map(|endpoints| endpoints.len().to_string()).collect();
        problems.push(Problem::invalid(
            "group",
            format!("services with {} endpoints", counts.join(", ")),
            "as many in each service: they are upgraded side by side",
            "release them one after the other",
        ));
    }
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

impl ActiveRollout {
    /// What the users of a service are drawn for.
    fn drawn_for<'a>(&'a self, service: &Name, table: &Table) -> DrawnFor<'a> {
        let Some(MovedFlag { released: ReleasedRule { flag, rule }, .. }) = self.compared_flag(service) else {
            return DrawnFor::Version;
        };
        let others = table.flags().named(flag).is_some_and(|flag| flag.spec.rules().len() > 1);
        DrawnFor::Variant { only_by: others.then_some(rule.as_str()) }
    }

    /// A candidate's endpoints get nothing before they are upgraded.
    pub(crate) fn closed_at_the_start(&self) -> Vec<EndpointMove> {
        let closed = |service: &Name, address: SocketAddr| EndpointMove {
            service: service.clone(),
            version: self.to.clone(),
            address,
            drained: true,
        };
        let places = self.services.iter().zip(&self.saved.endpoints);
        places.flat_map(|(service, all)| all.iter().map(move |address| closed(service, *address))).collect()
    }
}
