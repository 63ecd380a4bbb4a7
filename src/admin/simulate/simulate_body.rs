//! What `POST /v1/simulate` is asked: the options of `pointsman simulate`, and a service whose traffic it is about.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::simulate_values::{PartOfAll, PositiveNumber, RangeCheck, key};
use crate::config::ReleaseOverrides;
use crate::config::check::setting;
use crate::config::reader::list::List;
use crate::config::reader::report::Report;
use crate::config::reader::units::{Quantity, Setting, TimeSpan};
use crate::config::release::rollout::RawRollout;
use crate::problem::{Mismatch, Problem};
use crate::release::rollout_handle::{RolloutError, RolloutTarget};
use crate::rollout::plan::{Expired, Plan};
use crate::rollout::simulate::SimulatedWorld;
use crate::simulation::release_batch::ReleaseBatch;
use crate::simulation::simulation_options::{PlanOptions, PresentTraffic, WorldOptions};
use crate::table::Weight;

/// Releases of a call; a thousand show what happens in one of a hundred.
const RUNS_MAX: usize = 10_000;
const RUNS: usize = 1_000;

/// The longest that a call takes.
const BUDGET_MAX: TimeSpan = TimeSpan::secs(10);
const BUDGET_MIN: TimeSpan = TimeSpan::millis(100);

/// No release is simulated for longer.
const SIMULATED_MAX: Duration = Duration::from_secs(30 * 86_400);

/// Of a world, where each user's request is played by itself, a tick has to be short.
const USERS_MAX: u32 = 100_000;
const USERS_RATE_MAX: f64 = 100_000.0;
const ENDPOINTS_MAX: u32 = 1_000;
const SERVICES_MAX: u32 = 100;

/// What is simulated; each of it may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(expecting = "an object")]
pub(crate) struct SimulateBody {
    /// A service: by its plan, with its traffic of this moment. Or `group` or `flag`; without any, by the default plan.
    service: Option<String>,
    /// A group of services and flags; with the traffic of the service with the least.
    group: Option<String>,
    /// A flag, in the services that list it.
    flag: Option<String>,
    /// The version or variant that is to have everything; by default another one than that with the most users.
    to: Option<String>,
    /// Keys of the plan that are other than in the config, as at a start.
    #[schema(value_type = Option<RawRollout>)]
    plan: Option<Value>,
    /// The steps of a canary, per cent: short for `plan.steps`.
    #[schema(value_type = Option<Vec<f64>>, example = json!([1, 10, 50, 100]))]
    steps: Option<List<Setting<Weight>>>,
    /// How long each step is watched: short for `plan.bake`.
    #[schema(value_type = Option<String>, example = "10m")]
    bake: Option<Setting<TimeSpan>>,
    /// `pause` or `roll_back`: short for `plan.on_hold`.
    #[schema(value_type = Option<String>)]
    on_hold: Option<OnHoldWord>,
    /// The probability that a good version is turned back: short for `plan.judge.alpha`.
    #[schema(value_type = Option<f64>)]
    alpha: Option<Setting<PartOfAll>>,
    /// The longest burst of an endpoint that is one draw: short for `plan.judge.tolerate_burst`.
    #[schema(value_type = Option<String>)]
    tolerate_burst: Option<Setting<TimeSpan>>,
    /// Requests per second of each service; by default as the proxy sees it, or 1000.
    #[schema(value_type = Option<f64>, example = 50)]
    rate: Option<Setting<PositiveNumber>>,
    /// The part of the baseline's requests that fail; by default as the proxy sees it, or 0.001.
    #[schema(value_type = Option<f64>, example = 0.001)]
    baseline_errors: Option<Setting<PartOfAll>>,
    /// The part of the candidate's; by default as the proxy sees it, or as the baseline's.
    #[schema(value_type = Option<f64>, example = 0.02)]
    candidate_errors: Option<Setting<PartOfAll>>,
    /// Requests per second that the candidate can serve; of more, the surplus fails.
    #[schema(value_type = Option<f64>)]
    candidate_capacity: Option<Setting<PositiveNumber>>,
    /// The part of the baseline's responses that are a 404.
    #[schema(value_type = Option<f64>)]
    baseline_not_found: Option<Setting<PartOfAll>>,
    /// The part of the candidate's; by default as the baseline's.
    #[schema(value_type = Option<f64>)]
    candidate_not_found: Option<Setting<PartOfAll>>,
    /// How many times as slow as the baseline the candidate is; by default as the proxy sees it, or 1.
    #[schema(value_type = Option<f64>)]
    slower: Option<Setting<PositiveNumber>>,
    /// How much latencies differ, as the sigma of their logarithm; by default as the proxy sees it, or 0.5.
    #[schema(value_type = Option<f64>)]
    spread: Option<Setting<PositiveNumber>>,
    /// Only one page is so, with this part of the requests.
    #[schema(value_type = Option<f64>)]
    page: Option<Setting<PartOfAll>>,
    /// When the candidate becomes so; it is as good as the baseline before.
    #[schema(value_type = Option<String>)]
    bad_at: Option<Setting<TimeSpan>>,
    /// How long it takes to become so from then on.
    #[schema(value_type = Option<String>)]
    ramp: Option<Setting<TimeSpan>>,
    /// Services that are released together.
    #[schema(value_type = Option<u64>)]
    services: Option<Setting<Quantity>>,
    /// Both versions fail alike for so long at the beginning.
    #[schema(value_type = Option<String>)]
    rough: Option<Setting<TimeSpan>>,
    /// The part of all requests that fail meanwhile; default 0.2.
    #[schema(value_type = Option<f64>)]
    rough_errors: Option<Setting<PartOfAll>>,
    /// Users who come back and stay on their version; without it, strangers.
    #[schema(value_type = Option<u64>)]
    users: Option<Setting<Quantity>>,
    /// Endpoints of each version; by default as in the config, or 1.
    #[schema(value_type = Option<u64>)]
    endpoints: Option<Setting<Quantity>>,
    /// Each endpoint of both versions has a burst of trouble about so often.
    #[schema(value_type = Option<String>)]
    bursts: Option<Setting<TimeSpan>>,
    /// How long a burst lasts at the most; default 1s.
    #[schema(value_type = Option<String>)]
    burst_lasts: Option<Setting<TimeSpan>>,
    /// Endpoints stand still in bursts; without it, all requests fail in them.
    burst_pauses: Option<bool>,
    /// Failures belong to users.
    failures_stick: Option<bool>,
    /// How many releases are simulated, up to 10,000; default 1000.
    #[schema(value_type = Option<u64>, example = 300)]
    runs: Option<Setting<Quantity>>,
    /// Repeats a result.
    #[schema(value_type = Option<u64>)]
    seed: Option<Setting<Quantity>>,
    /// How long it may take, up to 10s (the default); the result is of the releases that were simulated by then.
    #[schema(value_type = Option<String>, example = "5s")]
    budget: Option<Setting<TimeSpan>>,
}

/// What happens after too long a hold.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OnHoldWord {
    Pause,
    RollBack,
}

/// What is asked, within bounds.
#[derive(Debug)]
pub(crate) struct SimulationQuestion {
    /// Whose release; none: any.
    pub(crate) target: Option<RolloutTarget>,
    /// The version or variant.
    pub(crate) to: Option<String>,
    /// What is other than in the config.
    pub(crate) plan: ReleaseOverrides,
    /// What is said of the world.
    pub(crate) world: WorldOptions,
    /// How long it may take.
    pub(crate) budget: Duration,
    short: PlanOptions,
    runs: u64,
    seed: u64,
}

impl SimulateBody {
    /// What is asked; what is wrong with it is reported.
    pub(crate) fn question(mut self, report: &mut Report<'_>) -> SimulationQuestion {
        let target = self.target(report);
        self.check_company(report);
        let short = PlanOptions {
            steps: self.steps.as_ref().map(|steps| steps.iter().map(|(_, weight)| weight.0).collect()),
            bake: self.bake.map(|bake| bake.0.0),
            on_hold: self.on_hold.map(|word| match word {
                OnHoldWord::Pause => Expired::Pause,
                OnHoldWord::RollBack => Expired::RollBack,
            }),
            alpha: self.alpha.map(|alpha| alpha.0.0),
            tolerate_burst: self.tolerate_burst.map(|burst| burst.0.0),
        };
        let plan = self.plan.take().unwrap_or_else(|| Value::Object(Map::new()));
        let plan = overrides(plan, &short, report);
        let mut checking = RangeCheck(report);
        let runs = checking.count(self.runs, RUNS_MAX, "runs").unwrap_or(RUNS as u64);
        let budget = setting(self.budget, BUDGET_MAX, BUDGET_MIN..=BUDGET_MAX, &key("budget"), checking.0);
        let world = self.world(&mut checking);
        SimulationQuestion {
            target,
            to: self.to,
            plan,
            world,
            budget: budget.map_or(BUDGET_MAX.0, |budget| budget.0),
            short,
            runs,
            // In JSON a number has 53 bits for who reads it in a browser.
            seed: self.seed.map_or_else(|| rand::random::<u64>() >> 11, |seed| seed.0.0 as u64),
        }
    }

    fn target(&mut self, report: &mut Report<'_>) -> Option<RolloutTarget> {
        let target = match (self.service.take(), self.group.take(), self.flag.take()) {
            (None, None, None) => None,
            (Some(service), None, None) => Some(RolloutTarget::Service(service)),
            (None, Some(group), None) => Some(RolloutTarget::Group(group)),
            (None, None, Some(flag)) => Some(RolloutTarget::Flag(flag)),
            _ => {
                let found = "more than one of service, group and flag";
                report.problem(&key("service"), Mismatch::new(found, "one of them, or none", "leave the others out"));
                None
            }
        };
        if target.is_none() && self.to.is_some() {
            let mismatch = Mismatch::new("it without a service, group or flag", "it with one", "leave it out");
            report.unless(&key("service"), &key("to"), mismatch);
        }
        if matches!(target, Some(RolloutTarget::Service(_))) && self.services.is_some() {
            let mismatch = Mismatch::new("several of one service", "it without a service", "leave one of them out");
            report.problem(&key("services"), mismatch);
        }
        target
    }

    /// Reports options that make no sense without others, or with them.
    fn check_company(&self, report: &mut Report<'_>) {
        let [bad_at, rough, users, bursts] =
            [self.bad_at.is_some(), self.rough.is_some(), self.users.is_some(), self.bursts.is_some()];
        for (option, is_there, needed, is_needed_there) in [
            ("ramp", self.ramp.is_some(), "bad_at", bad_at),
            ("rough_errors", self.rough_errors.is_some(), "rough", rough),
            ("burst_lasts", self.burst_lasts.is_some(), "bursts", bursts),
            ("burst_pauses", self.burst_pauses.is_some(), "bursts", bursts),
            ("failures_stick", self.failures_stick.is_some(), "users", users),
        ] {
            if is_there && !is_needed_there {
                let wanted = format!("it with {needed}");
                let mismatch = Mismatch::new(format!("it without {needed}"), wanted, "add the other, or leave it out");
                report.unless(&key(needed), &key(option), mismatch);
            }
        }
        for (other, is_there) in [("users", users), ("bursts", bursts)] {
            if self.page.is_some() && is_there {
                let mismatch =
                    Mismatch::new(format!("it with {other}"), format!("it without {other}"), "leave one out");
                report.problem(&key("page"), mismatch);
            }
        }
    }

    fn world(&self, checking: &mut RangeCheck<'_, '_>) -> WorldOptions {
        let part = |part: Option<Setting<PartOfAll>>| part.map(|part| part.0.0);
        WorldOptions {
            rate: checking.number(self.rate, 1e-6..=1e6, "rate"),
            baseline_errors: part(self.baseline_errors),
            candidate_errors: part(self.candidate_errors),
            candidate_capacity: checking.number(self.candidate_capacity, 1e-6..=1e9, "candidate_capacity"),
            baseline_not_found: part(self.baseline_not_found),
            candidate_not_found: part(self.candidate_not_found),
            slower: checking.number(self.slower, 1e-3..=1e3, "slower"),
            spread: checking.number(self.spread, 1e-2..=10.0, "spread"),
            page: part(self.page),
            bad_at: checking.time(self.bad_at, 0, "bad_at"),
            ramp: checking.time(self.ramp, 0, "ramp"),
            services: checking.small(self.services, SERVICES_MAX, "services"),
            rough: checking.time(self.rough, 0, "rough"),
            rough_errors: part(self.rough_errors),
            users: checking.small(self.users, USERS_MAX, "users"),
            endpoints: checking.small(self.endpoints, ENDPOINTS_MAX, "endpoints"),
            bursts: checking.time(self.bursts, 1, "bursts"),
            burst_lasts: checking.time(self.burst_lasts, 1, "burst_lasts"),
            burst_pauses: self.burst_pauses.unwrap_or_default(),
            failures_stick: self.failures_stick.unwrap_or_default(),
        }
    }
}

/// What the call says of the plan, in short and at length.
fn overrides(mut plan: Value, short: &PlanOptions, report: &mut Report<'_>) -> ReleaseOverrides {
    if let Some(plan) = plan.as_object_mut() {
        let judge = plan.get("judge").and_then(Value::as_object);
        let twice: Vec<_> = short
            .said()
            .filter(|option| plan.contains_key(*option) || judge.is_some_and(|judge| judge.contains_key(*option)))
            .collect();
        for option in twice {
            let mismatch = Mismatch::new("it here and in plan", "it once", "leave one of them out");
            report.problem(&key(option), mismatch);
        }
        short.write(plan);
    }
    let (plan, refused) = ReleaseOverrides::read(&plan);
    report.extend(refused);
    plan
}

impl SimulationQuestion {
    /// The releases that are to be simulated by this plan, in a world that is as at `present` where nothing is said.
    ///
    /// # Errors
    /// That the world is too large.
    pub(crate) fn batch(&self, plan: Plan, present: &PresentTraffic) -> Result<ReleaseBatch, Vec<Problem>> {
        let world = self.world.world(present);
        let too_large = too_large(&world);
        match too_large.is_empty() {
            true => Ok(ReleaseBatch::new(plan, world, self.runs, self.seed).within(SIMULATED_MAX)),
            false => Err(too_large),
        }
    }

    /// Problems of the plan where the call has them, if they are of what it says in short.
    pub(crate) fn at_options(&self, error: RolloutError) -> RolloutError {
        let RolloutError::Problems(problems) = error else { return error };
        let at_option = |problem| self.short.at_option(problem, str::to_owned);
        RolloutError::Problems(problems.into_iter().map(at_option).collect())
    }
}

/// The problems with a world of which a tick would take too long.
fn too_large(world: &SimulatedWorld) -> Vec<Problem> {
    let (services, mut problems) = (f64::from(world.services), Vec::new());
    let mut bound = |place: &str, found: f64, most: f64, what: &str| {
        if found > most {
            let remedy = format!("lower {place}, or simulate fewer services");
            problems.push(Problem::invalid(
                place,
                format!("{found} {what} in all"),
                format!("{most} at the most"),
                remedy,
            ));
        }
    };
    if let Some(users) = world.users {
        bound("users", f64::from(users.count) * services, f64::from(USERS_MAX), "users");
        bound("rate", world.requests_per_second * services, USERS_RATE_MAX, "requests a second of users");
    }
    if world.bursts.is_some() {
        bound("endpoints", f64::from(world.endpoints) * services, f64::from(ENDPOINTS_MAX), "endpoints with bursts");
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::RolloutSection;
    use crate::config::reader::config_path::ConfigPath;
    use crate::config::reader::read;
    use crate::config::reader::tree::Tree;
    use crate::rollout::judge::Assignment;

    fn read(body: &Value) -> (SimulationQuestion, Vec<Problem>) {
        let mut report = Report::of_call();
        let read: Option<SimulateBody> = read::all(Tree::Json(body), ConfigPath::Root, &mut report);
        let question = read.unwrap_or_default().question(&mut report);
        (question, report.into_problems())
    }

    fn places(body: &Value) -> Vec<String> {
        let mut places: Vec<_> = read(body).1.into_iter().map(|problem| problem.path).collect();
        places.sort();
        places
    }

    fn batch(body: &Value) -> Result<ReleaseBatch, Vec<Problem>> {
        let (question, problems) = read(body);
        assert_eq!(problems, []);
        let release = question.plan.over(&RolloutSection::default()).release().expect("a release");
        question.batch(release.plan(1, Assignment::PerKey).expect("a plan"), &PresentTraffic::default())
    }

    #[test]
    fn everything_may_be_left_out() {
        let batch = batch(&json!({})).expect("a small world");
        assert_eq!((batch.count, batch.world), (1_000, WorldOptions::default().world(&PresentTraffic::default())));
    }

    #[test]
    fn each_option_changes_what_is_simulated() {
        for (before, option, value) in [
            (json!({}), "steps", json!([5, 100])),
            (json!({}), "bake", json!("1m")),
            (json!({}), "on_hold", json!("roll_back")),
            (json!({}), "alpha", json!(0.01)),
            (json!({}), "tolerate_burst", json!("0s")),
            (json!({}), "plan", json!({ "bake": "1m" })),
            (json!({}), "rate", json!(7)),
            (json!({}), "baseline_errors", json!("1%")),
            (json!({}), "candidate_errors", json!(0.02)),
            (json!({}), "candidate_capacity", json!(600)),
            (json!({}), "baseline_not_found", json!(0.02)),
            (json!({}), "candidate_not_found", json!(0.02)),
            (json!({}), "slower", json!(1.5)),
            (json!({}), "spread", json!(1)),
            (json!({}), "page", json!("0.1%")),
            (json!({ "slower": 2 }), "bad_at", json!("1m")),
            (json!({ "bad_at": "1m" }), "ramp", json!("1m")),
            (json!({}), "services", json!(3)),
            (json!({}), "rough", json!("1m")),
            (json!({ "rough": "1m" }), "rough_errors", json!(1)),
            (json!({}), "users", json!(100)),
            (json!({ "users": 100 }), "failures_stick", json!(true)),
            (json!({}), "endpoints", json!(3)),
            (json!({}), "bursts", json!("22s")),
            (json!({ "bursts": "22s" }), "burst_lasts", json!("3s")),
            (json!({ "bursts": "22s" }), "burst_pauses", json!(true)),
            (json!({}), "runs", json!(7)),
            (json!({ "seed": 6 }), "seed", json!(7)),
        ] {
            let seed = |mut body: Value| {
                if body.get("seed").is_none() {
                    body["seed"] = json!(1);
                }
                format!("{:?}", batch(&body).expect("a small world"))
            };
            let mut after = before.clone();
            after[option] = value;
            assert_ne!(seed(before), seed(after), "{option}");
        }
        let (question, _) = read(&json!({ "budget": "300ms", "service": "shop", "to": "v2" }));
        assert_eq!(question.budget, Duration::from_millis(300));
        assert_eq!(
            (question.target, question.to.as_deref()),
            (Some(RolloutTarget::Service("shop".into())), Some("v2"))
        );
    }

    #[test]
    fn what_is_absurd_is_told_all_at_once() {
        let found = places(&json!({
            "runs": 1_000_000_000, "rate": 1e300, "users": 0, "services": 101, "endpoints": 1e9, "budget": "1h",
            "baseline_errors": 2, "candidate_errors": "200%", "slower": 0, "spread": -1, "page": "x", "bad_at": 7,
            "bursts": "0s", "steps": [10, "x"], "alpha": 1.5, "seed": -1, "nonsense": 1, "rough": "9999h",
        }));
        let wanted = [
            "alpha",
            "bad_at",
            "baseline_errors",
            "budget",
            "bursts",
            "candidate_errors",
            "endpoints",
            "nonsense",
            "page",
            "rate",
            "rough",
            "runs",
            "seed",
            "services",
            "slower",
            "spread",
            "steps[2]",
            "users",
        ];
        assert_eq!(found, wanted);
        let (_, problems) = read(&json!({ "runs": 1_000_000_000 }));
        let text = "runs: found 1000000000, want 1 to 10000 (lower it to 10000 or leave it out)";
        assert_eq!(problems[0].to_string(), text);
    }

    #[test]
    fn options_need_each_other_or_exclude_each_other() {
        assert_eq!(places(&json!({ "service": "a", "flag": "b", "to": "v2" })), ["service"]);
        assert_eq!(places(&json!({ "to": "v2" })), ["to"]);
        assert_eq!(places(&json!({ "service": "a", "services": 3 })), ["services"]);
        let alone = json!({
            "ramp": "1m", "rough_errors": 1, "burst_lasts": "1s", "burst_pauses": true, "failures_stick": true,
        });
        assert_eq!(places(&alone), ["burst_lasts", "burst_pauses", "failures_stick", "ramp", "rough_errors"]);
        assert_eq!(places(&json!({ "page": 0.1, "users": 10, "bursts": "1m" })), ["page", "page"]);
        let twice = json!({ "bake": "1m", "alpha": 0.1, "plan": { "bake": "2m", "judge": { "alpha": 0.2 } } });
        assert_eq!(places(&twice), ["alpha", "bake"]);
        assert_eq!(places(&json!({ "plan": { "upgrade": { "command": ["sh"] } } })), ["plan.upgrade"]);
        assert_eq!(places(&json!({ "plan": 7, "bake": "1m" })), ["plan"]);
    }

    #[test]
    fn a_world_of_which_a_tick_takes_long_is_refused() {
        let refused = |body: Value| -> Vec<String> {
            let problems = batch(&body).expect_err("it is too large");
            problems.into_iter().map(|problem| problem.path).collect()
        };
        assert_eq!(refused(json!({ "users": 100_000, "services": 2 })), ["users"]);
        assert_eq!(refused(json!({ "users": 10, "rate": 100_001 })), ["rate"]);
        assert_eq!(refused(json!({ "bursts": "1m", "endpoints": 1000, "services": 2 })), ["endpoints"]);
        assert!(batch(&json!({ "rate": 1_000_000, "services": 100, "endpoints": 1000 })).is_ok());
    }

    #[test]
    fn a_problem_of_the_plan_is_told_where_the_call_has_it() {
        let (question, _) = read(&json!({ "steps": [10, 5], "plan": { "watch": "1s" } }));
        let release = question.plan.over(&RolloutSection::default()).release().expect_err("falling steps");
        let RolloutError::Problems(told) = question.at_options(RolloutError::Problems(release.into())) else {
            panic!("they are problems")
        };
        assert_eq!(told[0].path, "steps[2]", "{told:?}");
    }
}
