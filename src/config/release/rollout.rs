//! `[services.S.rollout]` and `[groups.G.rollout]`: how a service is released.
//!
//! All strategies share one section, so that one word changes the strategy and what is said of the judge stays. A key
//! that the chosen strategy does not know is refused all the same: who wrote it believes that it does something.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use utoipa::ToSchema;

use super::contradictions;
use super::guardrails;
use super::guardrails::RawGuardrail;
use super::hook::RawHook;
use super::judge::RawJudge;
use super::own_metrics;
use super::own_metrics::RawMetric;
use super::smoke;
use super::smoke::RawSmoke;
use super::step;
use super::step::{LONGEST, RawStep, StepDefaults};
use crate::config::build::Build;
use crate::config::check::setting;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{Quantity, Setting, TimeSpan};
use crate::config::url::{self, RawWebhook};
use crate::problem::{Mismatch, suggest};
use crate::rollout::judge::JudgeSettings;
use crate::rollout::plan::{Back, Expired};
use crate::rollout::release::{Release, RollingShape, Shape, Webhook};
use crate::table::Weight;

/// As it is written, in the file and in the call that starts a rollout. [`overrides`](super::overrides) says what of it a
/// call may change, and this description is for callers.
#[derive(Debug, Deserialize, Default, ToSchema)]
#[serde(expecting = "a table")]
#[schema(
    as = PlanBody,
    description = "What a start may change of the plan: numbers, steps, durations and tolerances, with the names and values of\n`[services.NAME.rollout]`; `null` is the default. What is run or asked (`webhook`, `smoke`, `metrics`, `upgrade`, `undo`) comes from the\nconfig file only."
)]
pub(crate) struct RawRollout {
    /// `canary`, `blue_green` or `rolling`; the file has to have what the strategy runs.
    #[schema(value_type = Option<String>, example = "canary")]
    strategy: Option<RawStrategy>,
    /// Per cent, or objects of `weight`, `bake` and `gate` (`manual`, or `webhook` to ask the one of the file); first
    /// perhaps objects of `mirror`, `bake`, `gate` and `differ_max`, steps that copy requests and touch no user.
    #[schema(value_type = Option<Vec<serde_json::Value>>, example = json!([5, {"weight": 50, "gate": "manual"}, 100]))]
    steps: Option<List<RawStep>>,
    /// How long each step is watched at the least.
    #[schema(value_type = Option<String>, example = "10m")]
    bake: Option<Setting<TimeSpan>>,
    /// `instant`, or `{"gradual": "30s"}`.
    #[schema(value_type = Option<serde_json::Value>)]
    rollback: Option<RawRollback>,
    /// `pause` or `roll_back`.
    #[schema(value_type = Option<String>)]
    on_hold: Option<RawOnHold>,
    /// How long a step may be held after its bake.
    #[schema(value_type = Option<String>)]
    hold_max: Option<Setting<TimeSpan>>,
    #[schema(ignore)]
    webhook: Option<RawWebhook>,
    #[schema(ignore)]
    smoke: Option<List<RawSmoke>>,
    #[schema(ignore)]
    metrics: Option<List<RawMetric>>,
    /// How long the new version is watched with all the traffic, or a batch is.
    #[schema(value_type = Option<String>)]
    watch: Option<Setting<TimeSpan>>,
    /// How long the old version is kept warm after that.
    #[schema(value_type = Option<String>)]
    keep: Option<Setting<TimeSpan>>,
    /// Per cent of the error budget that has to be left before the new version gets more: `[services.NAME.slo]`.
    #[schema(value_type = Option<f64>, example = 20)]
    budget_left_min: Option<Setting<Weight>>,
    /// Endpoints at a time.
    #[schema(value_type = Option<u64>)]
    batch: Option<Setting<Quantity>>,
    /// Longest wait for the requests of an endpoint.
    #[schema(value_type = Option<String>)]
    drain_timeout: Option<Setting<TimeSpan>>,
    /// Longest wait for an upgraded endpoint to be healthy.
    #[schema(value_type = Option<String>)]
    verify_timeout: Option<Setting<TimeSpan>>,
    #[schema(ignore)]
    upgrade: Option<RawHook>,
    #[schema(ignore)]
    undo: Option<RawHook>,
    /// Metrics of the config file that must not get worse for users: their names, or objects of `metric`, `tolerate` and
    /// `users_min`.
    #[schema(value_type = Option<Vec<serde_json::Value>>, example = json!(["purchase"]))]
    guardrails: Option<List<RawGuardrail>>,
    /// What the judge tolerates; its keys are changed one by one.
    #[schema(value_type = Option<BTreeMap<String, serde_json::Value>>, example = json!({"alpha": 0.01, "slower": false}))]
    judge: Option<RawJudge>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawStrategy {
    #[default]
    Canary,
    BlueGreen,
    Rolling,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawOnHold {
    Pause,
    RollBack,
}

/// `"instant"`, or `{ gradual = "30s" }`.
#[derive(Debug)]
enum RawRollback {
    Word(String),
    Table(RawGradual),
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawGradual {
    gradual: Option<Setting<TimeSpan>>,
}

impl<'de> Deserialize<'de> for RawRollback {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RollbackVisitor)
    }
}

struct RollbackVisitor;

impl<'de> Visitor<'de> for RollbackVisitor {
    type Value = RawRollback;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"instant\" or { gradual = \"30s\" }")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawRollback, E> {
        Ok(RawRollback::Word(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<RawRollback, A::Error> {
        RawGradual::deserialize(MapAccessDeserializer::new(table)).map(RawRollback::Table)
    }
}

impl RawStrategy {
    pub(crate) const ALL: [Self; 3] = [Self::Canary, Self::BlueGreen, Self::Rolling];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::BlueGreen => "blue_green",
            Self::Rolling => "rolling",
        }
    }

    /// The keys that not every strategy knows and this one does.
    pub(crate) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Canary => &["smoke", "guardrails", "steps", "bake", "watch", "keep", "rollback", "webhook"],
            Self::BlueGreen => &["smoke", "watch", "keep"],
            Self::Rolling => {
                &["smoke", "guardrails", "watch", "batch", "drain_timeout", "verify_timeout", "upgrade", "undo"]
            }
        }
    }

    /// The one that a misspelt word means.
    fn meant(word: &str) -> Option<Self> {
        let meant = suggest(word, Self::ALL.into_iter().map(Self::word))?;
        Self::ALL.into_iter().find(|strategy| strategy.word() == meant)
    }

    /// The words of the strategies that know `key`.
    fn owners(key: &str) -> String {
        let owners = Self::ALL.into_iter().filter(|strategy| strategy.keys().contains(&key)).map(Self::word);
        owners.collect::<Vec<_>>().join(" or ")
    }
}

impl RawRollout {
    pub(crate) fn build(&self, at: &ConfigPath<'_>, build: &mut Build<'_>) -> Result<Release, ErrorGuaranteed> {
        let strategy_at = at.key("strategy");
        let smoke = self.smoke.as_ref().map(|raw| smoke::build_all(raw, &at.key("smoke"), build)).transpose();
        let metrics =
            self.metrics.as_ref().map(|raw| own_metrics::build_all(raw, &at.key("metrics"), build)).transpose();
        let report = &mut build.report;
        let guardrails =
            self.guardrails.as_ref().map(|raw| guardrails::build_all(raw, &at.key("guardrails"), report)).transpose();
        let strategy = report.touched(&strategy_at).map_or(Ok(self.strategy.unwrap_or_default()), Err);
        let judge = self.judge.as_ref().unwrap_or(&RawJudge::default()).build(&at.key("judge"), report);
        let except = self.judge.as_ref().map_or_else(|| Ok(Arc::default()), |raw| raw.except(&at.key("judge"), report));
        let range = TimeSpan::millis(0)..=LONGEST;
        let default = TimeSpan(JudgeSettings::default().hold_max);
        let hold_max = setting(self.hold_max, default, range, &at.key("hold_max"), report);
        let webhook = self.webhook.as_ref().map(|raw| raw.build(url::TIMEOUT, &at.key("webhook"), report)).transpose();
        // The other keys are looked at as well: by a strategy that is misspelt they are those of the one that is meant.
        let shape = match strategy {
            Ok(strategy) => self.shape(strategy, at, report),
            Err(reported) => {
                let meant = report.written(&strategy_at).and_then(|word| RawStrategy::meant(&word));
                Err(meant.and_then(|meant| self.shape(meant, at, report).err()).unwrap_or(reported))
            }
        };
        let judge = JudgeSettings { hold_max: hold_max?.0, ..judge? };
        let on_expired = self.on_hold.map_or(Expired::default(), |raw| match raw {
            RawOnHold::Pause => Expired::Pause,
            RawOnHold::RollBack => Expired::RollBack,
        });
        let webhook: Option<Webhook> = webhook?;
        let smoke = smoke?.unwrap_or_default();
        let (metrics, guardrails) = (metrics?.unwrap_or_default(), guardrails?.unwrap_or_default());
        let (shape, except) = (shape?, except?);
        let budget_left_min = self.budget_left_min.map(|least| least.0);
        let release =
            Release { shape, judge, on_expired, webhook, smoke, metrics, guardrails, budget_left_min, except };
        contradictions::check(&release, at, &mut build.report).map(|()| release)
    }

    fn shape(
        &self,
        strategy: RawStrategy,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<Shape, ErrorGuaranteed> {
        self.refuse_keys_of_others(strategy, at, report);
        match strategy {
            RawStrategy::Canary => self.canary(at, report),
            RawStrategy::BlueGreen => self.blue_green(at, report),
            RawStrategy::Rolling => self.rolling(at, report),
        }
    }

    /// The keys that are written and that not every strategy knows.
    fn own_keys(&self) -> impl Iterator<Item = &'static str> {
        let written = [
            ("steps", self.steps.is_some()),
            ("bake", self.bake.is_some()),
            ("rollback", self.rollback.is_some()),
            ("webhook", self.webhook.is_some()),
            ("smoke", self.smoke.is_some()),
            ("guardrails", self.guardrails.is_some()),
            ("watch", self.watch.is_some()),
            ("keep", self.keep.is_some()),
            ("batch", self.batch.is_some()),
            ("drain_timeout", self.drain_timeout.is_some()),
            ("verify_timeout", self.verify_timeout.is_some()),
            ("upgrade", self.upgrade.is_some()),
            ("undo", self.undo.is_some()),
        ];
        written.into_iter().filter(|(_, written)| *written).map(|(key, _)| key)
    }

    fn refuse_keys_of_others(&self, strategy: RawStrategy, at: &ConfigPath<'_>, report: &mut Report<'_>) {
        let word = strategy.word();
        for key in self.own_keys().filter(|key| !strategy.keys().contains(key)) {
            let owners = RawStrategy::owners(key);
            let found = format!("it in a release by {word}");
            let text = Mismatch::new(found, format!("it in one by {owners}"), "remove it, or change strategy");
            report.problem(&at.key(key), text);
        }
    }

    fn canary(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Shape, ErrorGuaranteed> {
        // Ten minutes show what fails for a few users in a thousand at a few hundred requests a second.
        let bake = setting(self.bake, TimeSpan::secs(600), TimeSpan::millis(0)..=LONGEST, &at.key("bake"), report);
        let back = self.back(&at.key("rollback"), report);
        // A last step of 100 that is written and one that follows by itself mean the same.
        let usual = bake.map_or(LONGEST.0, |bake| bake.0);
        let watch = setting(self.watch, TimeSpan(usual), TimeSpan::millis(0)..=LONGEST, &at.key("watch"), report);
        // It was judged all the way up; the next release need not wait for more.
        let keep = setting(self.keep, TimeSpan::secs(0), TimeSpan::millis(0)..=LONGEST, &at.key("keep"), report);
        let shared = StepDefaults {
            // What is wrong with it was reported; steps are looked at all the same.
            bake: usual,
            watch: watch.map_or(usual, |watch| watch.0),
            keep: keep.map_or(LONGEST.0, |keep| keep.0),
            back: back.unwrap_or_default(),
            webhook: self.webhook.is_some() || report.touched(&at.key("webhook")).is_some(),
            smoke: self.smoke.as_ref().is_some_and(|requests| !requests.is_empty()),
        };
        let canary = step::canary(self.steps.as_ref(), &shared, &at.key("steps"), report);
        bake.and(watch).and(keep).and(back)?;
        canary.map(Shape::Canary)
    }

    fn back(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Back, ErrorGuaranteed> {
        match &self.rollback {
            None => Ok(Back::default()),
            Some(RawRollback::Word(word)) if word == "instant" => Ok(Back::AtOnce),
            Some(RawRollback::Word(word)) => {
                let text =
                    Mismatch::new(format!("{word:?}"), "\"instant\" or { gradual = \"30s\" }", "choose one of them");
                Err(report.problem(at, text))
            }
            Some(RawRollback::Table(RawGradual { gradual: None })) => {
                Err(report.missing(at, Mismatch::new("no time", "one", "write { gradual = \"30s\" }")))
            }
            Some(RawRollback::Table(RawGradual { gradual: Some(every) })) => {
                let range = TimeSpan::millis(1)..=TimeSpan::secs(3_600);
                let every = setting(Some(*every), every.0, range, &at.key("gradual"), report)?;
                Ok(Back::Gradual { every: every.0 })
            }
        }
    }

    /// A release by its watch; by default as long as most regressions take to show under all the traffic.
    fn watch(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<std::time::Duration, ErrorGuaranteed> {
        let range = TimeSpan::millis(0)..=LONGEST;
        setting(self.watch, TimeSpan::secs(300), range, &at.key("watch"), report).map(|span| span.0)
    }

    fn blue_green(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Shape, ErrorGuaranteed> {
        let watch = self.watch(at, report);
        let keep = setting(self.keep, TimeSpan::secs(1_800), TimeSpan::millis(0)..=LONGEST, &at.key("keep"), report);
        Ok(Shape::BlueGreen { watch: watch?, keep: keep?.0 })
    }

    fn rolling(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Shape, ErrorGuaranteed> {
        let watch = self.watch(at, report);
        let batch = setting(self.batch, Quantity(1), Quantity(1)..=Quantity(10_000), &at.key("batch"), report);
        let mut wait = |raw, default, key: &str| {
            setting(raw, TimeSpan::secs(default), TimeSpan::millis(1)..=TimeSpan::secs(86_400), &at.key(key), report)
        };
        let drain = wait(self.drain_timeout, 30, "drain_timeout");
        let verify = wait(self.verify_timeout, 60, "verify_timeout");
        let upgrade_at = at.key("upgrade");
        let upgrade = match &self.upgrade {
            Some(raw) => raw.build(&upgrade_at, report),
            None => {
                let text = Mismatch::new(
                    "none",
                    "what upgrades an endpoint",
                    "add upgrade = { command = [\"PROGRAM\", \"{endpoint}\"] }, { webhook = { url = \"...\" } } or \"acknowledge\"",
                );
                Err(report.missing(&upgrade_at, text))
            }
        };
        let rollback = self.undo.as_ref().map(|raw| raw.build(&at.key("undo"), report)).transpose();
        Ok(Shape::Rolling(Box::new(RollingShape {
            batch: u32::try_from(batch?.0).unwrap_or(u32::MAX),
            watch: watch?,
            drain_timeout: drain?.0,
            upgrade: upgrade?,
            rollback: rollback?,
            verify_timeout: verify?.0,
        })))
    }
}
