//! What may be said of a simulation: of the plan, and of the world in which it is used.
//!
//! All of it may be left out. What is not said of the world is as the proxy sees it at present, or else as it usually
//! is.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::problem::Problem;
use crate::rollout::plan::Expired;
use crate::rollout::simulate::{Behaviour, BurstKind, Bursts, Later, RoughTime, SimulatedWorld, UserPopulation};
use crate::table::Weight;

/// How unequal users are: one in a hundred makes about half of the requests.
const TAIL: f64 = 1.2;

/// The longest burst, unless something else is said.
const BURST: Duration = Duration::from_secs(1);

/// The part of the requests that fail in a rough time, unless something else is said.
const ROUGH_ERRORS: f64 = 0.2;

/// Keys of a plan, and the options that speak for them.
const SHORT: [(&str, &str); 5] = [
    ("plan.steps", "steps"),
    ("plan.bake", "bake"),
    ("plan.on_hold", "on_hold"),
    ("plan.judge.alpha", "alpha"),
    ("plan.judge.tolerate_burst", "tolerate_burst"),
];

/// What is said of the plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PlanOptions {
    /// The weights of a canary.
    pub(crate) steps: Option<Vec<Weight>>,
    /// How long each step is watched, if it has no time of its own.
    pub(crate) bake: Option<Duration>,
    /// What becomes of a step that was held for as long as it may be.
    pub(crate) on_hold: Option<Expired>,
    /// The probability that a good version is turned back.
    pub(crate) alpha: Option<f64>,
    /// The longest burst that is one draw.
    pub(crate) tolerate_burst: Option<Duration>,
}

impl PlanOptions {
    /// Writes them into a plan as a config has it. What is no table where one belongs is left as it is: it is refused
    /// for that.
    pub(crate) fn write(&self, plan: &mut Map<String, Value>) {
        let mut write = |key: &str, value: Option<Value>| drop(value.map(|value| plan.insert(key.to_owned(), value)));
        write("steps", self.steps.as_ref().map(|steps| steps.iter().map(|weight| weight.percent()).collect()));
        write("bake", self.bake.map(written));
        write("on_hold", self.on_hold.map(word).map(Value::from));
        let judge = [("alpha", self.alpha.map(Value::from)), ("tolerate_burst", self.tolerate_burst.map(written))];
        for (key, value) in judge.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            let judge = plan.entry("judge").or_insert_with(|| Value::Object(Map::new()));
            if let Some(judge) = judge.as_object_mut() {
                judge.insert(key.to_owned(), value);
            }
        }
    }

    /// Which of them are said.
    pub(crate) fn said(&self) -> impl Iterator<Item = &'static str> {
        let said = [
            self.steps.is_some(),
            self.bake.is_some(),
            self.on_hold.is_some(),
            self.alpha.is_some(),
            self.tolerate_burst.is_some(),
        ];
        SHORT.into_iter().zip(said).filter(|(_, said)| *said).map(|((_, option), _)| option)
    }

    /// A problem of the plan, at the option that it comes from, which is written as `name` has it.
    pub(crate) fn at_option(&self, problem: Problem, name: impl Fn(&str) -> String) -> Problem {
        let of = |(key, option): &(&str, &str)| {
            let rest = problem.path.strip_prefix(key).filter(|rest| rest.is_empty() || rest.starts_with('['))?;
            self.said().any(|said| said == *option).then(|| name(option) + rest)
        };
        match SHORT.iter().find_map(of) {
            Some(path) => Problem { path, ..problem },
            None => problem,
        }
    }
}

fn word(on_hold: Expired) -> &'static str {
    match on_hold {
        Expired::Pause => "pause",
        Expired::RollBack => "roll_back",
    }
}

/// A duration as a config has it.
fn written(time: Duration) -> Value {
    format!("{}ms", time.as_millis()).into()
}

/// What is said of the world.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WorldOptions {
    /// Requests per second of each service.
    pub(crate) rate: Option<f64>,
    pub(crate) baseline_errors: Option<f64>,
    pub(crate) candidate_errors: Option<f64>,
    /// Requests per second that the candidate can serve.
    pub(crate) candidate_capacity: Option<f64>,
    pub(crate) baseline_not_found: Option<f64>,
    pub(crate) candidate_not_found: Option<f64>,
    pub(crate) slower: Option<f64>,
    /// Sigma of the logarithm of latencies.
    pub(crate) spread: Option<f64>,
    pub(crate) page: Option<f64>,
    pub(crate) bad_at: Option<Duration>,
    pub(crate) ramp: Option<Duration>,
    pub(crate) services: Option<u32>,
    pub(crate) rough: Option<Duration>,
    pub(crate) rough_errors: Option<f64>,
    pub(crate) users: Option<u32>,
    pub(crate) endpoints: Option<u32>,
    pub(crate) bursts: Option<Duration>,
    pub(crate) burst_lasts: Option<Duration>,
    pub(crate) burst_pauses: bool,
    pub(crate) failures_stick: bool,
}

/// What there is, where nothing is said of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PresentTraffic {
    /// Requests per second; of several services, of the one with the least.
    pub(crate) rate: f64,
    pub(crate) baseline_errors: f64,
    /// None: as the baseline's.
    pub(crate) candidate_errors: Option<f64>,
    /// How many times as slow as the baseline the candidate is.
    pub(crate) slower: f64,
    /// Sigma of the logarithm of latencies.
    pub(crate) spread: f64,
    /// Services that are released together.
    pub(crate) services: u32,
    /// The endpoints of each version.
    pub(crate) endpoints: u32,
}

impl Default for PresentTraffic {
    /// A lively service.
    fn default() -> Self {
        Self {
            rate: 1_000.0,
            baseline_errors: 0.001,
            candidate_errors: None,
            slower: 1.0,
            spread: 0.5,
            services: 1,
            endpoints: 1,
        }
    }
}

impl WorldOptions {
    /// The world, which is as at `present` where nothing is said.
    pub(crate) fn world(&self, present: &PresentTraffic) -> SimulatedWorld {
        let baseline = self.baseline_errors.unwrap_or(present.baseline_errors);
        let not_found = self.baseline_not_found.unwrap_or_default();
        let good = Behaviour { failing: baseline, slower: 1.0, not_found };
        let bad = Behaviour {
            failing: self.candidate_errors.or(present.candidate_errors).unwrap_or(baseline),
            slower: self.slower.unwrap_or(present.slower),
            not_found: self.candidate_not_found.unwrap_or(not_found),
        };
        let later = self.bad_at.map(|at| Later { at, ramp: self.ramp.unwrap_or_default(), behaviour: bad });
        let burst = self.burst_lasts.unwrap_or(BURST);
        SimulatedWorld {
            requests_per_second: self.rate.unwrap_or(present.rate),
            baseline_failing: baseline,
            baseline_not_found: not_found,
            candidate: if later.is_some() { good } else { bad },
            later,
            page: self.page,
            capacity: self.candidate_capacity,
            rough: self.rough.map(|until| RoughTime { until, failing: self.rough_errors.unwrap_or(ROUGH_ERRORS) }),
            spread: self.spread.unwrap_or(present.spread),
            services: self.services.unwrap_or(present.services),
            endpoints: self.endpoints.unwrap_or(present.endpoints),
            bursts: self.bursts.map(|every| Bursts {
                every,
                lasting: [burst / 3, burst],
                kind: if self.burst_pauses { BurstKind::Pause } else { BurstKind::Failures },
            }),
            users: self.users.map(|count| UserPopulation { count, tail: TAIL, failures_stick: self.failures_stick }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_said_of_the_plan_is_written_into_it() {
        let weight = |percent| Weight::from_percent(percent).expect("a weight");
        let all = PlanOptions {
            steps: Some(vec![weight(5.0), weight(100.0)]),
            bake: Some(Duration::from_secs(60)),
            on_hold: Some(Expired::RollBack),
            alpha: Some(0.01),
            tolerate_burst: Some(Duration::ZERO),
        };
        let written = |options: &PlanOptions, plan: Value| {
            let Value::Object(mut plan) = plan else { panic!("it is a table") };
            options.write(&mut plan);
            Value::Object(plan)
        };
        let wanted = json!({
            "steps": [5.0, 100.0], "bake": "60000ms", "on_hold": "roll_back",
            "judge": { "alpha": 0.01, "tolerate_burst": "0ms", "catches": 0.1 },
        });
        assert_eq!(written(&all, json!({ "bake": "1s", "judge": { "catches": 0.1 } })), wanted);
        assert_eq!(written(&PlanOptions::default(), json!({ "bake": "1s" })), json!({ "bake": "1s" }));
        assert_eq!(written(&all, json!({ "judge": [] }))["judge"], json!([]));
        let said: Vec<_> = all.said().collect();
        assert_eq!(said, ["steps", "bake", "on_hold", "alpha", "tolerate_burst"]);
    }

    #[test]
    fn a_problem_is_told_where_it_was_written() {
        let options = PlanOptions { alpha: Some(0.0), ..PlanOptions::default() };
        let at = |path: &str| {
            let problem = Problem::invalid(path, "x", "y", "z");
            options.at_option(problem, |option| format!("--{option}")).path
        };
        assert_eq!(at("plan.judge.alpha"), "--alpha");
        assert_eq!(at("plan.judge.alphabet"), "plan.judge.alphabet");
        assert_eq!(at("plan.steps[2]"), "plan.steps[2]", "no option says it");
    }

    #[test]
    fn what_is_said_comes_before_what_is_seen() {
        let seen = PresentTraffic {
            rate: 7.0,
            baseline_errors: 0.01,
            candidate_errors: Some(0.02),
            slower: 2.0,
            spread: 0.7,
            services: 3,
            endpoints: 4,
        };
        let world = WorldOptions::default().world(&seen);
        let found = (world.requests_per_second, world.baseline_failing, world.candidate, world.spread);
        let candidate = Behaviour { failing: 0.02, slower: 2.0, not_found: 0.0 };
        assert_eq!(found, (7.0, 0.01, candidate, 0.7));
        assert_eq!((world.services, world.endpoints), (3, 4));
        let said = WorldOptions {
            rate: Some(9.0),
            candidate_errors: Some(0.5),
            slower: Some(1.0),
            endpoints: Some(1),
            ..WorldOptions::default()
        };
        let world = said.world(&seen);
        assert_eq!((world.requests_per_second, world.baseline_failing, world.endpoints), (9.0, 0.01, 1));
        assert_eq!(world.candidate, Behaviour { failing: 0.5, slower: 1.0, not_found: 0.0 });
    }
}
