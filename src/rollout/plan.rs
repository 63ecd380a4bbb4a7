//! The plan of a release: the strategy, and what is asked of the judge on the way.
//!
//! Types here cannot hold a plan that makes no sense; [`Plan::new`] names every problem of one that does not. Every
//! strategy becomes a list of [`Stage`]s ([`Plan::stages`]): so there is one state machine ([`super::run`]) for all of
//! them, and pause, abort, restart and rollback mean the same everywhere. The obvious other way, a machine for each
//! strategy, would have each of those rules three times.

use std::time::Duration;

use crate::problem::{Mismatch, Problem, ProblemKind};
use crate::table::Weight;

use super::judge::JudgeSettings;
use super::stage::{Batch, Stage, StageTask};

/// How a version replaces another.
#[derive(Clone, Debug, PartialEq)]
pub enum Strategy {
    /// Its share grows step by step.
    Canary(Canary),
    /// It gets everything in one swap, and the other stays warm for a while.
    BlueGreen(BlueGreen),
    /// The endpoints of the one become the other's, some at a time.
    Rolling(Rolling),
}

/// See [`Strategy::Canary`].
#[derive(Clone, Debug, PartialEq)]
pub struct Canary {
    /// Whether requests of our own are sent to the candidate before each step, the first one included.
    pub smoke: bool,
    /// Copies of requests to the candidate before it has users.
    pub mirrors: Vec<MirrorStep>,
    /// The steps, each with a larger weight than the one before. A last step below 100 % is followed by 100 %.
    pub steps: Vec<CanaryStep>,
    /// How long the candidate is watched with all the traffic, where the steps end below 100 %.
    pub watch: Duration,
    /// How long the baseline is kept warm after the last step: a rollback is one swap.
    pub keep: Duration,
    /// How the way back is taken.
    pub back: Back,
}

/// A step of a canary.
#[derive(Clone, Debug, PartialEq)]
pub struct CanaryStep {
    /// The candidate's weight.
    pub weight: Weight,
    /// How long it is watched at the least.
    pub bake: Duration,
    /// What has to agree before the step after it.
    pub gate: Option<StepGate>,
}

/// A step of a canary before it has users.
#[derive(Clone, Debug, PartialEq)]
pub struct MirrorStep {
    /// The part of the requests that is copied.
    pub share: Weight,
    /// How long pairs are watched at the least.
    pub bake: Duration,
    /// The part of them that may differ.
    pub differ_max: Weight,
    /// What has to agree before the step after it.
    pub gate: Option<StepGate>,
}

/// Who has to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepGate {
    /// An operator, by `promote`.
    Manual,
    /// A webhook, by an answer of 2xx.
    Webhook,
}

/// How traffic goes back to the baseline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Back {
    /// At once: a version that is proved worse gets nothing more.
    #[default]
    AtOnce,
    /// Down the steps it came up: for baselines whose caches have gone cold.
    Gradual {
        /// Time on each step.
        every: Duration,
    },
}

/// See [`Strategy::BlueGreen`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlueGreen {
    /// Whether requests of our own are sent to green before anything else.
    pub smoke: bool,
    /// How long green is watched with all the traffic.
    pub watch: Duration,
    /// How long blue is kept warm after that: a rollback is one swap.
    pub keep: Duration,
}

/// See [`Strategy::Rolling`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rolling {
    /// Endpoints of the baseline at the start; at least one.
    pub endpoints: u32,
    /// Endpoints that are upgraded at the same time; at least one.
    pub batch: u32,
    /// How long each batch is watched before the next.
    pub watch: Duration,
}

/// What happens when a stage was held for as long as it may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expired {
    /// The rollout pauses where it is, and an operator looks at it.
    #[default]
    Pause,
    /// It goes back.
    RollBack,
}

/// A plan without contradictions.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    strategy: Strategy,
    judge: JudgeSettings,
    on_expired: Expired,
}

/// Why a plan makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum PlanProblem {
    /// A canary without steps.
    #[error("{}", self.mismatch())]
    NoSteps,
    /// A step of nothing.
    #[error("{}", self.mismatch())]
    ZeroStep {
        /// Its number, from 1.
        number: usize,
    },
    /// Steps that fall, or stay.
    #[error("{}", self.mismatch())]
    FallingStep {
        /// Its number, from 1.
        number: usize,
        /// Its weight.
        weight: Weight,
        /// The weight of the step before.
        before: Weight,
    },
    /// A rolling release of nothing, or by nothing.
    #[error("{}", self.mismatch())]
    EmptyBatch {
        /// Endpoints at a time.
        batch: u32,
        /// All of them.
        endpoints: u32,
    },
}

impl PlanProblem {
    /// The problem that this is of the plan at `path`.
    pub(crate) fn at(&self, path: &str) -> Problem {
        self.mismatch().at(path, ProblemKind::Invalid)
    }

    fn mismatch(&self) -> Mismatch {
        let (found, wanted) = match self {
            Self::NoSteps => ("no steps".to_owned(), "at least one weight, such as [1, 10, 50, 100]"),
            Self::ZeroStep { number } => (format!("0 as step {number}"), "weights above 0"),
            Self::FallingStep { number, weight, before } => {
                (format!("{weight} after {before} as step {number}"), "each step above the one before")
            }
            Self::EmptyBatch { batch, endpoints } => {
                (format!("a batch of {batch} of {endpoints} endpoints"), "at least 1 of at least 1")
            }
        };
        Mismatch::new(found, wanted, "mend it in the config or in the call")
    }
}

impl Plan {
    /// # Errors
    /// All problems of the strategy.
    pub fn new(strategy: Strategy, judge: JudgeSettings, on_expired: Expired) -> Result<Self, Vec<PlanProblem>> {
        let problems = match &strategy {
            Strategy::Canary(canary) => canary.problems(),
            Strategy::BlueGreen(_) => Vec::new(),
            Strategy::Rolling(rolling) => rolling.problems(),
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let judge = JudgeSettings { freezes: strategy.ends_a_comparison(), mirrors: strategy.mirrors(), ..judge };
        Ok(Self { strategy, judge, on_expired })
    }

    /// The same plan for this number of services together: their judges share alpha.
    #[must_use]
    pub(crate) fn released_together(self, services: usize) -> Self {
        let services = u32::try_from(services).unwrap_or(u32::MAX).max(1);
        Self { judge: JudgeSettings { services, ..self.judge }, ..self }
    }

    /// The same plan without tolerance for bursts, if it has some.
    #[must_use]
    pub(crate) fn without_tolerance(&self) -> Option<Self> {
        let judge = JudgeSettings { tolerate_burst: Duration::ZERO, ..self.judge };
        (judge != self.judge).then(|| Self { judge, ..self.clone() })
    }

    /// How it proceeds.
    #[must_use]
    pub fn strategy(&self) -> &Strategy {
        &self.strategy
    }

    /// What is asked of the judge.
    #[must_use]
    pub fn judge(&self) -> &JudgeSettings {
        &self.judge
    }

    /// What happens after too long a hold.
    #[must_use]
    pub fn on_expired(&self) -> Expired {
        self.on_expired
    }

    /// The stages of the way back from the stage with this number, which may be half done.
    ///
    /// What was done is undone in reverse order. Traffic leaves the candidate before its endpoints are touched: all of
    /// it at once, but in a rolling release only as much as the endpoints that return can take, because the others
    /// would carry the load of all.
    #[must_use]
    pub fn way_back(&self, from: usize) -> Vec<Stage> {
        let stages = self.stages();
        let passed = stages.get(..=from).unwrap_or(&stages);
        let every = match &self.strategy {
            Strategy::Canary(Canary { back: Back::Gradual { every }, .. }) => *every,
            Strategy::Rolling(_) => Duration::ZERO,
            Strategy::Canary(_) | Strategy::BlueGreen(_) => {
                return vec![Stage::Bake { weight: Weight::ZERO, bake: Duration::ZERO }];
            }
        };
        let mut back = Vec::new();
        for (number, stage) in passed.iter().enumerate().rev() {
            match *stage {
                Stage::Bake { .. } => back.push(Stage::Bake { weight: weight_before(passed, number), bake: every }),
                Stage::Do(task) => back.extend(task.undo().into_iter().map(Stage::Do)),
                Stage::Keep(_) | Stage::Mirror { .. } => {}
            }
        }
        back
    }

    /// The stages, in order.
    #[must_use]
    pub fn stages(&self) -> Vec<Stage> {
        self.strategy.stages()
    }
}

impl Strategy {
    fn stages(&self) -> Vec<Stage> {
        match self {
            Self::Canary(canary) => canary.stages(),
            Self::BlueGreen(release) => release.stages(),
            Self::Rolling(rolling) => rolling.stages(),
        }
    }

    /// Whether the candidate gets copies of requests before it has users.
    fn mirrors(&self) -> bool {
        self.stages().iter().any(|stage| matches!(stage, Stage::Mirror { .. }))
    }

    /// Whether the candidate has a part of the traffic before it has all of it.
    fn ends_a_comparison(&self) -> bool {
        let part = |stage: &Stage| matches!(stage, Stage::Bake { weight, .. } if *weight < Weight::FULL);
        self.stages().iter().any(part)
    }
}

/// The candidate's weight before the stage with this number.
fn weight_before(stages: &[Stage], number: usize) -> Weight {
    let baked = stages.iter().take(number).rev().find_map(|stage| match stage {
        Stage::Bake { weight, .. } => Some(*weight),
        Stage::Do(_) | Stage::Keep(_) | Stage::Mirror { .. } => None,
    });
    baked.unwrap_or_default()
}

impl Canary {
    fn problems(&self) -> Vec<PlanProblem> {
        if self.steps.is_empty() {
            return vec![PlanProblem::NoSteps];
        }
        let zero = self.steps.iter().enumerate().filter(|(_, step)| step.weight == Weight::ZERO);
        let zero = zero.map(|(index, _)| PlanProblem::ZeroStep { number: index + 1 });
        let falling = self.steps.windows(2).enumerate().filter_map(|(index, pair)| {
            let [before, after] = pair else { return None };
            let (weight, before) = (after.weight, before.weight);
            (weight <= before).then_some(PlanProblem::FallingStep { number: index + 2, weight, before })
        });
        zero.chain(falling).collect()
    }

    /// Smoke requests come last before the weight grows: a gate may be open for days, and they are about the moment.
    fn stages(&self) -> Vec<Stage> {
        let smoke = self.smoke.then_some(Stage::Do(StageTask::Smoke));
        let asked = |gate: StepGate| match gate {
            StepGate::Manual => Stage::Do(StageTask::Approval),
            StepGate::Webhook => Stage::Do(StageTask::Webhook),
        };
        let mut stages = Vec::new();
        for MirrorStep { share, bake, differ_max, gate } in &self.mirrors {
            stages.extend(smoke);
            stages.push(Stage::Mirror { share: *share, bake: *bake, differ_max: *differ_max });
            stages.extend(gate.map(asked));
        }
        for step in &self.steps {
            stages.extend(smoke);
            stages.push(Stage::Bake { weight: step.weight, bake: step.bake });
            stages.extend(step.gate.map(asked));
        }
        if self.steps.last().is_some_and(|step| step.weight < Weight::FULL) {
            stages.extend(smoke);
            stages.push(Stage::Bake { weight: Weight::FULL, bake: self.watch });
        }
        stages.extend((self.keep > Duration::ZERO).then_some(Stage::Keep(self.keep)));
        stages
    }
}

impl BlueGreen {
    fn stages(self) -> Vec<Stage> {
        let smoke = self.smoke.then_some(Stage::Do(StageTask::Smoke));
        let watch = Stage::Bake { weight: Weight::FULL, bake: self.watch };
        let keep = (self.keep > Duration::ZERO).then_some(Stage::Keep(self.keep));
        smoke.into_iter().chain([watch]).chain(keep).collect()
    }
}

impl Rolling {
    fn problems(self) -> Vec<PlanProblem> {
        let Self { endpoints, batch, .. } = self;
        let empty = endpoints == 0 || batch == 0;
        empty.then_some(PlanProblem::EmptyBatch { batch, endpoints }).into_iter().collect()
    }

    fn stages(self) -> Vec<Stage> {
        let firsts = (0..self.endpoints).step_by(self.batch as usize);
        firsts.flat_map(|first| self.batch_stages(first)).collect()
    }

    /// Upgraded endpoints are the candidate's, and the split follows their share: each endpoint goes on serving what
    /// it served before, and the judge compares upgraded with not yet upgraded ones.
    fn batch_stages(self, first: u32) -> [Stage; 5] {
        let batch = Batch { first, until: first.saturating_add(self.batch).min(self.endpoints) };
        let weight = Weight::of_part(batch.until, self.endpoints);
        [
            Stage::Do(StageTask::Drain(batch)),
            Stage::Do(StageTask::Upgrade(batch)),
            Stage::Do(StageTask::Verify(batch)),
            Stage::Do(StageTask::Join(batch)),
            Stage::Bake { weight, bake: self.watch },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(percent: f64) -> CanaryStep {
        CanaryStep { weight: Weight::from_percent(percent).unwrap(), bake: Duration::from_secs(60), gate: None }
    }

    fn canary(steps: Vec<CanaryStep>) -> Canary {
        let mirrors = Vec::new();
        Canary { smoke: false, mirrors, steps, watch: Duration::from_secs(9), keep: Duration::ZERO, back: Back::AtOnce }
    }

    fn problems(percents: &[f64]) -> Vec<String> {
        let steps = percents.iter().map(|percent| step(*percent)).collect();
        let strategy = Strategy::Canary(canary(steps));
        let plan = Plan::new(strategy, JudgeSettings::default(), Expired::Pause);
        plan.map_or_else(|problems| problems.iter().map(ToString::to_string).collect(), |_| Vec::new())
    }

    #[test]
    fn every_problem_of_a_plan_is_named() {
        let remedy = "(mend it in the config or in the call)";
        let wanted = "want at least one weight, such as [1, 10, 50, 100]";
        assert_eq!(problems(&[]), [format!("found no steps, {wanted} {remedy}")]);
        assert_eq!(problems(&[1.0, 10.0, 50.0, 100.0]), [""; 0]);
        let falling = "want each step above the one before";
        assert_eq!(
            problems(&[0.0, 10.0, 5.0, 5.0]),
            [
                format!("found 0 as step 1, want weights above 0 {remedy}"),
                format!("found 5 after 10 as step 3, {falling} {remedy}"),
                format!("found 5 after 5 as step 4, {falling} {remedy}"),
            ]
        );
    }

    #[test]
    fn a_canary_ends_with_everything() {
        let mut gated = step(10.0);
        gated.gate = Some(StepGate::Manual);
        let ends_at_half = canary(vec![gated, step(50.0)]);
        let bake = |weight: f64, seconds| Stage::Bake {
            weight: Weight::from_percent(weight).unwrap(),
            bake: Duration::from_secs(seconds),
        };
        let stages = [bake(10.0, 60), Stage::Do(StageTask::Approval), bake(50.0, 60), bake(100.0, 9)];
        assert_eq!(ends_at_half.stages(), stages);
        let kept = Canary { keep: Duration::from_secs(7), ..canary(vec![step(50.0), step(100.0)]) };
        assert_eq!(kept.stages(), [bake(50.0, 60), bake(100.0, 60), Stage::Keep(Duration::from_secs(7))]);
    }

    #[test]
    fn smoke_requests_come_before_every_step_of_a_canary_and_after_its_gates() {
        let mut gated = step(10.0);
        gated.gate = Some(StepGate::Manual);
        let asks = Canary { smoke: true, ..canary(vec![gated, step(50.0)]) };
        let what = asks.stages().into_iter().map(|stage| match stage {
            Stage::Bake { weight, .. } => weight.to_string(),
            Stage::Do(task) => task.word().to_owned(),
            Stage::Keep(_) => "keep".to_owned(),
            Stage::Mirror { .. } => "mirror".to_owned(),
        });
        let smoke = "smoke requests";
        assert_eq!(what.collect::<Vec<_>>(), [smoke, "10", "approval", smoke, "50", smoke, "100"]);
    }

    #[test]
    fn a_plan_knows_whether_a_comparison_ends_before_the_last_step() {
        let freezes = |strategy| Plan::new(strategy, JudgeSettings::default(), Expired::Pause).unwrap().judge().freezes;
        let rolling = |endpoints| Strategy::Rolling(Rolling { endpoints, batch: 2, watch: Duration::ZERO });
        let blue_green = BlueGreen { smoke: true, watch: Duration::ZERO, keep: Duration::ZERO };
        let steps =
            |percents: &[f64]| Strategy::Canary(canary(percents.iter().map(|percent| step(*percent)).collect()));
        assert!(freezes(steps(&[10.0])) && freezes(steps(&[1.0, 100.0])) && freezes(rolling(4)));
        assert!(!freezes(steps(&[100.0])) && !freezes(rolling(2)) && !freezes(Strategy::BlueGreen(blue_green)));
    }

    #[test]
    fn a_rolling_release_takes_every_endpoint_once() {
        for (endpoints, batch) in [(4, 1), (4, 3), (1, 1), (5, 9)] {
            let stages = Rolling { endpoints, batch, watch: Duration::ZERO }.stages();
            let mut upgraded = 0;
            for stage in &stages {
                if let Stage::Do(StageTask::Upgrade(batch)) = stage {
                    assert!(batch.first == upgraded && batch.until > batch.first, "{stages:?}");
                    upgraded = batch.until;
                }
            }
            assert_eq!(upgraded, endpoints);
            assert!(matches!(stages.last(), Some(Stage::Bake { weight: Weight::FULL, .. })), "{stages:?}");
        }
    }
}
