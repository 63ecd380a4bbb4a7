//! What a rollout would be with the traffic of this moment, for those who simulate it first.
//!
//! A start asks for a version that has everything, for usable endpoints and for a service without a rollout. Here none
//! of that matters: what a plan does can be looked at while something else is under way.

use tokio::time::Instant;

use super::active;
use super::controller::RolloutController;
use super::rollout_handle::{PreviewRequest, ReleasePreview, RolloutError};
use super::seen_arm::{SeenArm, SeenArms};
use super::start::{blue_of, with_ceilings};
use super::start_subjects::StartSubjects;
use crate::problem::{Problem, ProblemKind};
use crate::simulation::simulation_options::PresentTraffic;
use crate::stats::VersionTotals;
use crate::table::{Name, Service, Table, Version};

/// The two versions of a service that would be compared.
struct PreviewedPair<'t> {
    service: &'t Service,
    /// None: all of them, for a flag is released.
    baseline: Option<&'t Version>,
    /// None: there is no other one, or a flag is released.
    candidate: Option<&'t Version>,
}

impl RolloutController {
    /// What a rollout would be.
    ///
    /// # Errors
    /// [`RolloutError::Problems`] with all that is wrong with the request.
    pub(crate) fn preview(&self, request: PreviewRequest) -> Result<ReleasePreview, RolloutError> {
        let table = self.deps.published.load_full();
        self.previewed(&table, request).map_err(RolloutError::Problems)
    }

    fn previewed(&self, table: &Table, request: PreviewRequest) -> Result<ReleasePreview, Vec<Problem>> {
        let PreviewRequest { target, to, plan, assignment, mut problems } = request;
        let subjects = match self.subjects(table, &target) {
            Ok(subjects) => subjects,
            Err(found) => {
                problems.extend(found);
                return Err(problems);
            }
        };
        let section = plan.over(&subjects.section);
        let (release, pairs) = (subjects.release(&section), self.pairs(&subjects, to.as_deref()));
        let (release, pairs) = match (release, pairs) {
            (Ok(release), Ok(pairs)) if problems.is_empty() => (release, pairs),
            (release, pairs) => {
                // What the call must not name is not missing too.
                let told: Vec<String> = problems.iter().map(|problem| problem.path.clone()).collect();
                problems.extend(release.err().into_iter().flatten().filter(|found| !told.contains(&found.path)));
                problems.extend(pairs.err().into_iter().flatten());
                return Err(problems);
            }
        };
        let baselines: Vec<_> = pairs.iter().filter_map(PreviewedPair::blue).collect();
        let (_, release) = with_ceilings(section, release, &baselines)?;
        let present = self.present(&pairs);
        let plan = active::plan(&release, assignment, present.endpoints as usize)
            .map_err(|problems| problems.iter().map(|problem| problem.at("plan")).collect::<Vec<_>>())?;
        let sticky = !subjects.flags.is_empty() || pairs.iter().any(|pair| !pair.service.spec.sticky.is_empty());
        Ok(ReleasePreview { plan, present, metrics: release.metrics.len() + release.guardrails.len(), sticky })
    }

    /// The versions of each service that would be compared.
    fn pairs<'t>(
        &self,
        subjects: &StartSubjects<'t>,
        to: Option<&str>,
    ) -> Result<Vec<PreviewedPair<'t>>, Vec<Problem>> {
        let (mut pairs, mut problems) = (Vec::new(), Vec::new());
        for service in &subjects.services {
            let moved = subjects.moved.iter().any(|moved| moved.spec.name == service.spec.name);
            let pair = if moved { self.pair(service, to) } else { Ok(PreviewedPair::of_flag(service)) };
            match pair {
                Ok(pair) => pairs.push(pair),
                // Services with the same versions have the same problem.
                Err(problem) if problems.contains(&problem) => {}
                Err(problem) => problems.push(problem),
            }
        }
        if let Some(to) = to.filter(|_| subjects.moved.is_empty()) {
            problems.extend(subjects.flags.iter().filter_map(|flag| flag.variant_named(to, "to").err()));
        }
        if problems.is_empty() { Ok(pairs) } else { Err(problems) }
    }

    /// The version that is named, or that which is not the baseline; and that with the largest weight beside it. Those
    /// of a rollout that is under way stay what they are there.
    fn pair<'t>(&self, service: &'t Service, to: Option<&str>) -> Result<PreviewedPair<'t>, Problem> {
        let name = &service.spec.name;
        let weights = service.weights();
        let mut by_weight: Vec<&Version> = service.versions.iter().collect();
        by_weight.sort_by_key(|version| std::cmp::Reverse(weights.of(version.name.as_str())));
        let under_way = self.running.values().find(|run| run.moved_services().any(|moved| moved == name));
        let under_way = under_way.map(|run| (service.version_named(&run.from), service.version_named(&run.to)));
        let named = |to: &str| {
            let known = service.versions.iter().map(|version| version.name.as_str());
            let found = service.versions.iter().find(|version| version.name.as_str() == to);
            found.ok_or_else(|| Problem::no_version(ProblemKind::Invalid, "to", to, known))
        };
        let (from, to) = match (to.map(named).transpose()?, under_way) {
            (None, Some((Some(from), to))) => (Some(from), to),
            (None, _) => (by_weight.first().copied(), by_weight.get(1).copied()),
            (Some(to), _) => (by_weight.iter().copied().find(|version| version.name != to.name).or(Some(to)), Some(to)),
        };
        Ok(PreviewedPair { service, baseline: from, candidate: to })
    }

    /// The traffic of the service with the least, and the endpoints of that with the most.
    fn present(&self, pairs: &[PreviewedPair<'_>]) -> PresentTraffic {
        let now = Instant::now();
        let rate = |service: &Service| -> f64 {
            let windows = service.versions.iter().map(|version| self.deps.live.window(service, version, now));
            windows.map(|window| window.per_second(window.recent.requests())).sum()
        };
        let rated = pairs.iter().map(|pair| (rate(pair.service), pair));
        let least = rated.min_by(|(one, _), (other, _)| one.total_cmp(other));
        let (rate, seen) = least.map_or_else(|| (0.0, SeenArms::default()), |(rate, pair)| (rate, self.seen(pair)));
        let endpoints = pairs.iter().map(PreviewedPair::endpoints).max().unwrap_or(1);
        PresentTraffic {
            rate,
            baseline_errors: seen.baseline_errors(),
            candidate_errors: seen.candidate_errors(),
            slower: seen.slower(),
            spread: seen.spread(),
            services: u32::try_from(pairs.len()).unwrap_or(u32::MAX),
            endpoints: u32::try_from(endpoints).unwrap_or(u32::MAX),
        }
    }

    /// What the versions did in the last quarter of an hour.
    fn seen(&self, pair: &PreviewedPair<'_>) -> SeenArms {
        let record = self.deps.live.history(pair.service);
        let of = |wanted: &dyn Fn(&Name) -> bool| -> SeenArm {
            let versions = record.versions.iter().filter(|(name, _)| wanted(name));
            versions.map(|(_, points)| SeenArm::of(points)).fold(SeenArm::default(), SeenArm::and)
        };
        let is_baseline = |name: &Name| pair.baseline.is_none_or(|version| version.name == *name);
        let is_candidate = |name: &Name| pair.candidate.is_some_and(|version| version.name == *name);
        let counted = pair.service.versions.iter().filter(|version| is_baseline(&version.name));
        let since_start = counted.map(|version| SeenArm::since_start(&version.stats.undisturbed_totals()));
        SeenArms {
            since_start: since_start.fold(SeenArm::default(), SeenArm::and),
            baseline: of(&is_baseline),
            candidate: of(&is_candidate),
        }
    }
}

impl<'t> PreviewedPair<'t> {
    fn of_flag(service: &'t Service) -> Self {
        Self { service, baseline: None, candidate: None }
    }

    /// What becomes the ceilings of a release that has nothing to compare with.
    fn blue(&self) -> Option<VersionTotals> {
        blue_of(self.service, |name| self.baseline.is_none_or(|baseline| baseline.name == *name))
    }

    /// The endpoints of the baseline; of a flag those of the version with the most.
    fn endpoints(&self) -> usize {
        let count = |version: &Version| version.endpoints.len();
        let all = || self.service.versions.iter().map(count).max();
        self.baseline.map(count).or_else(all).unwrap_or(1).max(1)
    }
}
