//! The settings by which a service is released: the plan's shape, and what its tasks ask, run and send.
//!
//! The config says it once for a service or a group; a start may change some of it. It becomes a [`Plan`] when a
//! rollout begins, because a rolling release counts the endpoints that are there then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Uri};
use regex::Regex;

use super::event::EventWord;
use super::judge::guardrail::Guardrail;
use super::judge::own_metric::OwnMetric;
use super::judge::{Assignment, JudgeSettings};
use super::plan::{BlueGreen, Canary, Expired, Plan, PlanProblem, Rolling, Strategy};
use super::stage::Stage;
use crate::table::spec::health_check::StatusRange;
use crate::table::{Name, Weight};

/// How one service, or several together, are released.
#[derive(Clone, Debug)]
pub struct Release {
    /// The strategy.
    pub shape: Shape,
    /// What is asked of the judge. Its horizon and its assignment are set when the rollout begins.
    pub judge: JudgeSettings,
    /// What happens after too long a hold.
    pub on_expired: Expired,
    /// Who is asked at a gate.
    pub webhook: Option<Webhook>,
    /// Requests of our own that the candidate has to answer well: before each step of a canary, before a blue/green
    /// flip, and to verify an endpoint of a rolling release.
    pub smoke: Vec<SmokeRequest>,
    /// What a metrics server is asked about it, while it is under way.
    pub metrics: Arc<[Arc<OwnMetric>]>,
    /// What of its users must not get worse.
    pub guardrails: Arc<[Arc<Guardrail>]>,
    /// What has to be left of the error budgets of its services before the candidate gets more, in per cent.
    pub budget_left_min: Option<Weight>,
    /// Beginnings of paths whose responses are not asked for anything but failures.
    pub except: Arc<[Box<str>]>,
}

/// The strategy, before the endpoints are counted.
#[derive(Clone, Debug)]
pub enum Shape {
    /// See [`Strategy::Canary`].
    Canary(Canary),
    /// See [`Strategy::BlueGreen`]; smoke requests are sent if there are any.
    BlueGreen {
        /// How long green is watched with all the traffic.
        watch: Duration,
        /// How long blue is kept warm after that.
        keep: Duration,
    },
    /// See [`Strategy::Rolling`].
    Rolling(Box<RollingShape>),
}

/// A rolling release, before the endpoints are counted.
#[derive(Clone, Debug)]
pub struct RollingShape {
    /// Endpoints that are upgraded at the same time; at least one.
    pub batch: u32,
    /// How long each batch is watched before the next.
    pub watch: Duration,
    /// Longest wait for the requests of a drained endpoint.
    pub drain_timeout: Duration,
    /// What upgrades an endpoint.
    pub upgrade: Hook,
    /// What brings the earlier version back on an endpoint; without it, the upgrade hook with the words turned round.
    pub rollback: Option<Hook>,
    /// Longest wait for an upgraded endpoint to be healthy.
    pub verify_timeout: Duration,
}

/// What is done to an endpoint, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A program with its arguments, no shell. `{endpoint}`, `{host}`, `{port}`, `{service}`, `{from}` and `{to}` in
    /// arguments are replaced.
    Command {
        /// The program, and its arguments.
        arguments: Vec<String>,
        /// It is ended after this time, and has failed.
        timeout: Duration,
    },
    /// A webhook that answers 2xx when it is done.
    Webhook(Webhook),
    /// An operator who says by the admin API that it is done.
    Acknowledge {
        /// It has failed after this time.
        timeout: Duration,
    },
}

impl Hook {
    /// What can stand in braces in arguments.
    pub const PLACEHOLDERS: [&str; 6] = ["endpoint", "host", "port", "service", "from", "to"];
}

/// A URL that is asked by POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// `http` or `https`.
    pub url: Uri,
    /// Longest wait for the answer.
    pub timeout: Duration,
}

/// A request of our own.
#[derive(Clone, Debug)]
pub struct SmokeRequest {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: PathAndQuery,
    /// Headers; a `Host` among them replaces the endpoint's address.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The good statuses, at least one.
    pub expect: Vec<StatusRange>,
    /// What the body has to look like; its first 64 KiB are looked at.
    pub body: Option<Regex>,
    /// Longest wait for the whole answer.
    pub timeout: Duration,
}

/// Services and flags that are released together.
#[derive(Clone, Debug)]
pub struct ReleaseGroup {
    /// Its name.
    pub name: Name,
    /// Its services.
    pub services: Vec<Name>,
    /// Its flags; at least two with the services.
    pub flags: Vec<Name>,
    /// How.
    pub release: Arc<Release>,
}

/// What the config says about releases.
#[derive(Clone, Debug, Default)]
pub struct Releases {
    /// By service, each of them; one without a section has the default, a canary.
    pub services: BTreeMap<Name, Arc<Release>>,
    /// By flag, those that say how.
    pub flags: BTreeMap<Name, Arc<Release>>,
    /// By name.
    pub groups: BTreeMap<Name, Arc<ReleaseGroup>>,
    /// Who is told.
    pub notify: Vec<Arc<Notify>>,
}

/// A receiver of what rollouts do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// The name in the config.
    pub name: Name,
    /// Where to.
    pub url: Uri,
    /// The file with the secret that messages are signed with, if they are.
    pub secret_file: Option<std::path::PathBuf>,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// How often a message is sent again at the most.
    pub retries: u32,
    /// What it is told of.
    pub events: Vec<EventWord>,
}

impl Release {
    /// The plan for a baseline with this number of endpoints, under requests that are assigned so.
    ///
    /// # Errors
    /// All problems of the strategy.
    pub fn plan(&self, endpoints: u32, assignment: Assignment) -> Result<Plan, Vec<PlanProblem>> {
        let strategy = match &self.shape {
            Shape::Canary(canary) => Strategy::Canary(canary.clone()),
            Shape::BlueGreen { watch, keep } => {
                Strategy::BlueGreen(BlueGreen { smoke: !self.smoke.is_empty(), watch: *watch, keep: *keep })
            }
            Shape::Rolling(shape) => Strategy::Rolling(Rolling { endpoints, batch: shape.batch, watch: shape.watch }),
        };
        let judge = JudgeSettings { assignment, guardrails: 0, ..self.judge };
        let plan = Plan::new(strategy.clone(), judge, self.on_expired)?;
        let comparing = plan.stages().iter().filter(|stage| stage.compares()).count();
        let guardrails = u32::try_from(self.guardrails.len() * comparing).unwrap_or(u32::MAX);
        let baked = plan.stages().into_iter().map(|stage| match stage {
            Stage::Bake { bake, .. } | Stage::Mirror { bake, .. } => bake,
            Stage::Do(_) | Stage::Keep(_) => Duration::ZERO,
        });
        let horizon = baked.sum::<Duration>().max(HORIZON_MIN);
        Plan::new(strategy, JudgeSettings { horizon, guardrails, ..judge }, self.on_expired)
    }

    /// The word for the strategy.
    #[must_use]
    pub fn strategy_word(&self) -> &'static str {
        match self.shape {
            Shape::Canary(_) => "canary",
            Shape::BlueGreen { .. } => "blue_green",
            Shape::Rolling(_) => "rolling",
        }
    }
}

/// The reserve for late regressions is spent over no less than this, however short the bakes are.
const HORIZON_MIN: Duration = Duration::from_secs(60);
