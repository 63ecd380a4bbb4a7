//! Reads what the workers counted for a rollout, and tells the judge of one service.
//!
//! Each tick the sums are compared with those of the tick before; the increments are the evidence. Besides, it is
//! looked after here what the data plane cannot know: the thresholds that latencies are compared with, and which
//! endpoints have served for long enough to be judged.
//!
//! Of a flag the variants are compared, not versions: all versions with a share serve both of them, and what is slow is
//! counted beside the rest, since no version's own latencies say it.

use std::sync::Arc;
use std::time::Duration;

use super::route_latencies::RouteLatencies;
use super::warm_up::WarmUps;
use crate::rollout::counts::{self, CountsReader};
use crate::rollout::judge::endpoint_watch::EndpointCounts;
use crate::rollout::judge::evidence::RouteCounts;
use crate::rollout::judge::judge_settings::Multiple;
use crate::rollout::judge::quantiles::{Quantiles, Thresholds, micros};
use crate::rollout::judge::windows::Windows;
use crate::rollout::judge::{Assignment, EpochCounts, Evidence, Judge, JudgeSettings, PerVersion};
use crate::rollout::latency_looks::{LatencyLook, LatencyLooks};
use crate::rollout::replica_counts::{ReplicaCounts, TimedBuckets};
use crate::shared::canary_stats::{Arm, CanaryStats, CanaryTerms, FlagTerms};
use crate::shared::route_name::RouteName;
use crate::shared::trial::RolloutTrials;
use crate::shared::user_sets::ActiveUsers;
use crate::stats::latency_histogram::LatencyTotals;
use crate::table::{CanaryPair, Name, Service, Version, Weight};

/// The collector of one service.
#[derive(Debug)]
pub(crate) struct EvidenceCollector {
    /// Where the workers count.
    pub canary: Arc<CanaryStats>,
    arms: ComparedArms,
    counts: CountsReader,
    looks: LatencyLooks,
    warm_ups: WarmUps,
    route_latencies: RouteLatencies,
}

/// What is compared.
#[derive(Clone, Debug)]
pub(crate) enum ComparedArms {
    /// Versions.
    Versions(PerVersion<Name>),
    /// Variants of a flag.
    Variants {
        /// Which.
        variants: PerVersion<Name>,
        /// The flag, and its rule.
        flag: FlagTerms,
    },
}

impl ComparedArms {
    /// The names of both.
    fn names(&self) -> &PerVersion<Name> {
        match self {
            Self::Versions(names) | Self::Variants { variants: names, .. } => names,
        }
    }

    /// The flag, if its variants are compared.
    fn flag(&self) -> Option<&FlagTerms> {
        match self {
            Self::Versions(_) => None,
            Self::Variants { flag, .. } => Some(flag),
        }
    }

    /// The versions that serve the candidate and the baseline; none while one of those is gone.
    fn serving<'s>(&self, service: &'s Service) -> Option<PerVersion<Vec<&'s Version>>> {
        match self {
            Self::Versions(PerVersion { candidate, baseline }) => {
                let of = |name: &Name| service.version_named(name).map(|version| vec![version]);
                Some(PerVersion { candidate: of(candidate)?, baseline: of(baseline)? })
            }
            Self::Variants { .. } => {
                let serving = service.versions.iter().filter(|version| version.weight > Weight::ZERO);
                let all: Vec<_> = serving.collect();
                Some(PerVersion { candidate: all.clone(), baseline: all })
            }
        }
    }
}

/// What counting depends on, as the judge has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CountingTerms {
    /// For how long an endpoint is cold.
    pub warm_up: Duration,
    /// How long the step has lasted.
    pub in_step: Duration,
    /// What takes longer than this is slow, if there is a ceiling on that.
    pub slow: Option<Duration>,
    /// What is tolerated of latency; none where it is not judged.
    pub slower: Option<Multiple>,
    /// The windows in which users testify.
    pub windows: Windows,
    /// How many ticks have passed since the last reading.
    pub ticks: u32,
}

impl CountingTerms {
    /// Those of a judge that is told of each tick.
    #[must_use]
    pub(crate) fn of(judge: &Judge) -> Self {
        Self {
            warm_up: judge.settings().warm_up,
            in_step: judge.in_step(),
            slow: judge.ceilings().slow.map(|slow| slow.longer_than),
            slower: judge.settings().slower,
            windows: *judge.windows(),
            ticks: 1,
        }
    }
}

/// Where a service is in the table.
#[derive(Clone, Copy)]
pub(crate) struct ServicePlace<'t> {
    pub service: &'t Service,
    /// What is compared of it.
    pub pair: Option<&'t CanaryPair>,
}

/// What a tick brings, in a form that evidence can borrow from.
#[derive(Clone, Debug, Default)]
pub(crate) struct CollectedEvidence {
    /// By share.
    pub epochs: Vec<EpochCounts>,
    /// The same by route.
    pub routes: Vec<RouteCounts>,
    /// The routes that are told apart.
    pub route_names: Vec<RouteName>,
    /// How long requests took since the process began.
    pub latencies: PerVersion<LatencyTotals>,
    /// Latencies of both versions in the last minute.
    pub quantiles: Option<PerVersion<Quantiles>>,
    /// Thresholds that have just come into force.
    pub thresholds: Option<Thresholds>,
    /// What was counted of the candidate's endpoints.
    pub of_endpoints: Vec<EndpointCounts>,
    /// The endpoints of both versions that serve.
    pub endpoints: Option<PerVersion<u32>>,
    /// Once in a minute: the users who came in it.
    pub users: Option<ActiveUsers>,
    /// While one of the versions has only cold endpoints: how long that will last.
    pub warm_up_left: Option<Duration>,
}

impl CollectedEvidence {
    /// What the judge is told.
    #[must_use]
    pub(crate) fn evidence(&self) -> Evidence<'_> {
        let Self { epochs, routes, route_names, quantiles, thresholds, of_endpoints, endpoints, users, .. } = self;
        Evidence {
            epochs,
            routes,
            route_names,
            quantiles: *quantiles,
            thresholds: *thresholds,
            of_endpoints,
            endpoints: *endpoints,
            users: *users,
            // Mirrors count them.
            pairs: None,
            warm_up_left: self.warm_up_left,
        }
    }
}

impl EvidenceCollector {
    /// A collector for a rollout that begins now and moves these flags, counted by `workers` threads.
    #[must_use]
    pub(crate) fn new(
        arms: ComparedArms,
        flags: &Arc<[Box<str>]>,
        settings: &JudgeSettings,
        except: &Arc<[Box<str>]>,
        workers: usize,
    ) -> Self {
        let slow = settings.ceilings.slow.map(|slow| slow.longer_than);
        let terms = CanaryTerms {
            candidate: arms.names().candidate.as_str().into(),
            baseline: arms.names().baseline.as_str().into(),
            per_key: settings.assignment == Assignment::PerKey,
            failed_calls: settings.failed_calls.bits(),
            burst_ticks: settings.burst_ticks(),
            slow_us: slow.map(micros),
            responses: settings.responses.judged() > 0,
            except: Arc::clone(except),
            routes: settings.judges_routes(),
            flag: arms.flag().cloned(),
            flags: Arc::clone(flags),
        };
        let canary = Arc::new(CanaryStats::new(terms, workers));
        let warm_ups = if arms.flag().is_some() { WarmUps::of_serving() } else { WarmUps::default() };
        Self {
            canary,
            arms,
            counts: CountsReader::default(),
            looks: LatencyLooks::default(),
            warm_ups,
            route_latencies: RouteLatencies::default(),
        }
    }

    /// The same, whose workers say what users do, a trial for each share.
    #[must_use]
    pub(crate) fn with_trials(mut self, trials: Option<RolloutTrials>) -> Self {
        // No table has it yet.
        if let Some(canary) = Arc::get_mut(&mut self.canary) {
            canary.count_users(trials);
        }
        self
    }

    /// Has its workers keep who was new, for the replica that leads. Before a table has it.
    pub(crate) fn tell(&mut self) {
        if let Some(canary) = Arc::get_mut(&mut self.canary) {
            canary.tell();
        }
    }

    /// What was counted since the last reading, and what has to be looked after; `pair` is what the service's table has
    /// of what is compared.
    pub(crate) fn read(
        &mut self,
        now: Duration,
        service: &Service,
        pair: Option<&CanaryPair>,
        terms: &CountingTerms,
    ) -> CollectedEvidence {
        let Some(mut reading) = self.look_after(now, service, pair, terms) else { return CollectedEvidence::default() };
        reading.epochs = self.counts.read(&self.canary);
        if let Some(routes) = self.canary.routes() {
            reading.route_names = routes.names().collect();
            reading.routes = self.counts.read_routes(&self.canary);
        }
        reading
    }

    /// All that was counted until now, for the replica that leads; while the service is gone, what was counted before.
    pub(crate) fn count(
        &mut self,
        now: Duration,
        at: Option<ServicePlace<'_>>,
        terms: &CountingTerms,
    ) -> ReplicaCounts {
        let reading = at.and_then(|at| self.look_after(now, at.service, at.pair, terms));
        // First who was new: who is told of has been counted by then.
        let sightings = self.canary.take_sightings();
        let counted = ReplicaCounts { sightings, ..self.counted() };
        let Some(CollectedEvidence { latencies, of_endpoints, users, .. }) = reading else { return counted };
        let PerVersion { candidate, baseline } = &latencies;
        let latencies = Some([candidate, baseline].map(TimedBuckets::of));
        ReplicaCounts { latencies, endpoints: Some(of_endpoints), users, ..counted }
    }

    /// The counts alone: nothing is different afterwards.
    pub(crate) fn counted(&self) -> ReplicaCounts {
        let text = |name: RouteName| std::str::from_utf8(name.as_bytes()).ok().map(ToOwned::to_owned);
        let names = self.canary.routes().map(|routes| routes.names().map(text).collect());
        ReplicaCounts {
            epochs: self.canary.totals(),
            routes: self.canary.route_totals(),
            route_names: names.unwrap_or_default(),
            ..ReplicaCounts::default()
        }
    }

    /// Looks after what the data plane cannot know; none while a version is gone.
    fn look_after(
        &mut self,
        now: Duration,
        service: &Service,
        pair: Option<&CanaryPair>,
        terms: &CountingTerms,
    ) -> Option<CollectedEvidence> {
        let serving = self.arms.serving(service)?;
        let is_flag = self.arms.flag().is_some();
        // The same versions serve both variants.
        let baseline = serving.baseline.iter().filter(|_| !is_flag);
        let all = serving.candidate.iter().chain(baseline).copied();
        let warm = self.warm_ups.look(now, all, terms.warm_up);
        self.canary.judge(warm.judged);
        if let Some(slow) = terms.slow {
            self.canary.slow_above(micros(slow));
        }
        if let Some(pair) = pair {
            pair.judge_all(warm.all);
            pair.fill_pools(!is_flag && terms.in_step < terms.warm_up);
        }
        let mut reading = self.look(now, &serving, terms.slower);
        reading.warm_up_left = warm.left;
        let endpoints = |versions: &[&Version]| {
            let all = versions.iter().flat_map(|version| &version.endpoints);
            u32::try_from(all.filter(|endpoint| !endpoint.drained).count()).unwrap_or(u32::MAX)
        };
        let PerVersion { candidate, baseline } = &serving;
        reading.endpoints = Some(PerVersion { candidate: endpoints(candidate), baseline: endpoints(baseline) });
        let of_endpoint = |address, number| EndpointCounts { address, totals: self.canary.of_endpoint(number) };
        let all = candidate.iter().flat_map(|version| &version.endpoints);
        reading.of_endpoints = all.map(|endpoint| of_endpoint(endpoint.address, endpoint.stats.id)).collect();
        // A reading that comes late is of several ticks.
        for _ in 0..terms.ticks {
            reading.users = self.counts.look_at_users(&self.canary, &terms.windows).or(reading.users);
        }
        let compared = pair.is_none_or(|pair| pair.epoch.compares());
        self.canary.refresh(self.looks.looked_at(now), compared);
        if let Some(routes) = self.canary.routes().filter(|_| self.looks.looked_at(now)) {
            self.route_latencies.look(routes, terms.slower);
        }
        Some(reading)
    }

    /// The latencies of the last minute, for people; every few seconds they become thresholds.
    fn look(
        &mut self,
        now: Duration,
        serving: &PerVersion<Vec<&Version>>,
        slower: Option<Multiple>,
    ) -> CollectedEvidence {
        let of = |versions: &[&Version], arm| match self.canary.latencies() {
            Some(latencies) => LatencyTotals::of(latencies.counted(arm)),
            None => versions.first().map(|version| version.stats.totals().latency).unwrap_or_default(),
        };
        let totals = PerVersion {
            candidate: of(&serving.candidate, Arm::Candidate),
            baseline: of(&serving.baseline, Arm::Baseline),
        };
        let LatencyLook { quantiles, thresholds } = self.looks.look(now, totals.clone(), slower);
        if let Some(thresholds) = &thresholds {
            counts::compare_with(&self.canary, thresholds);
        }
        CollectedEvidence { latencies: totals, quantiles, thresholds, ..CollectedEvidence::default() }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::rollout::TICK;
    use crate::rollout::judge::judge_settings::{Increase, Margin};
    use crate::rollout::judge::{Bake, JudgeDecision, Side};
    use crate::rollout::judge::{CandidateShare, OutcomeCounts};
    use crate::shared::canary_stats::{CanaryOutcome, ResponseSeen};
    use crate::shared::flights::Told;
    use crate::shared::probability::Probability;
    use crate::shared::response_counters::ResponseOutcome;
    use crate::stats::Registry;
    use crate::table::Table;
    use crate::table::fixture::{first_traffic, shared, spec};

    /// Requests a second.
    const RATE: u64 = 1_000;

    fn settings() -> JudgeSettings {
        let margin = Margin { ratio: Multiple::ONE, increase: Increase::NONE };
        let alpha = Probability::new(0.001).unwrap();
        JudgeSettings {
            alpha,
            margin,
            slower: None,
            warm_up: Duration::ZERO,
            tolerate_burst: Duration::ZERO,
            ..JudgeSettings::default()
        }
    }

    /// A table in which v2 has `percent`, counted for `collector`.
    fn table(collector: &EvidenceCollector, registry: &Registry, percent: u32) -> Table {
        let specs = shared([spec("shop", &format!("v1={} v2={percent}", 100 - percent))]);
        registry.begin_canary("shop", Arc::clone(&collector.canary));
        Table::compile(1, &specs, &first_traffic(&specs), registry).unwrap()
    }

    /// How many requests it takes until the candidate is turned back: judged after each one, and through counters of
    /// two workers that are read each tick.
    fn alarms(percent: u32, random: &mut StdRng) -> [u64; 2] {
        let registry = Registry::new(2);
        let (candidate, baseline) = (Name::new("v2").unwrap(), Name::new("v1").unwrap());
        let mut collector = EvidenceCollector::new(
            ComparedArms::Versions(PerVersion { candidate, baseline }),
            &Arc::default(),
            &settings(),
            &[].into(),
            2,
        );
        let table = table(&collector, &registry, percent);
        let service = table.service_named("shop").unwrap();
        let epoch = &service.canary.as_ref().unwrap().epoch;
        let share = CandidateShare::at(Weight::from_slots(percent * 1_000).unwrap());
        let mut exact = Judge::new(settings(), share, Duration::ZERO);
        let mut read = exact.clone();
        let (mut first, mut requests, mut now) = (None, 0_u64, Duration::ZERO);
        let is_over = |judge: &Judge| matches!(judge.decision(Bake::Running), JudgeDecision::RollBack(_));
        loop {
            now += TICK;
            for number in 0..RATE / 4 {
                let (side, arm, failing) = match random.random_bool(share.value()) {
                    true => (Side::Candidate, Arm::Candidate, 0.02),
                    false => (Side::Baseline, Arm::Baseline, 0.001),
                };
                let failed = random.random_bool(failing);
                let outcome = CanaryOutcome {
                    arm,
                    slot: None,
                    client: None,
                    failed,
                    seen: ResponseSeen::Whole,
                    timed: true,
                    micros: 1_000,
                    response: ResponseOutcome::NONE,
                    route: None,
                    endpoint: None,
                };
                epoch.count(usize::try_from(number % 2).unwrap(), &outcome, Told::default());
                requests += 1;
                if first.is_none() {
                    let mut counts = EpochCounts::none(share);
                    let failures = u64::from(failed);
                    *counts.outcomes.of_mut(side) = OutcomeCounts::of(1, failures);
                    exact.tick(now, &Evidence { epochs: &[counts], ..Evidence::default() });
                    first = is_over(&exact).then_some(requests);
                }
            }
            let reading = collector.read(now, service, service.canary.as_ref(), &CountingTerms::of(&read));
            read.tick(now, &reading.evidence());
            if let Some(first) = first.filter(|_| is_over(&read)) {
                return [first, requests];
            }
            assert!(requests < 1_000_000, "it was never turned back");
        }
    }

    #[test]
    fn counters_and_ticks_cost_a_tick_at_the_most() {
        let mut random = StdRng::seed_from_u64(11);
        for percent in [1, 10, 50] {
            let pairs: Vec<_> = (0..20).map(|_| alarms(percent, &mut random)).collect();
            assert!(pairs.iter().all(|[exact, read]| read >= exact), "{percent} %: {pairs:?}");
            // A proof between two ticks that is none any more at the second one has to come again; that is rare.
            let later: u64 = pairs.iter().map(|[exact, read]| read - exact).sum();
            assert!(later < 20 * RATE / 4, "{percent} %: {pairs:?}");
        }
    }
}
