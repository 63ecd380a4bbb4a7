//! `steps` of a canary: `[1, 10, { weight = 50, bake = "30m", gate = "manual" }]`.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Unexpected, Visitor};

use crate::config::check::setting;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{FromScalar, Scalar, Setting, TimeSpan};
use crate::problem::Mismatch;
use crate::rollout::judge::JudgeSettings;
use crate::rollout::plan::{Back, Canary, CanaryStep, Expired, MirrorStep, Plan, PlanProblem, StepGate, Strategy};
use crate::table::Weight;

/// The longest bake, watch and hold: who needs more than a week does not release step by step.
pub(crate) const LONGEST: TimeSpan = TimeSpan::secs(604_800);

/// What may differ by default, of a hundred pairs: stamps, counters and caches that no `ignore` names.
const DIFFER_MAX: f64 = 1.0;

/// One request in a hundred finds what is broken for all, a tenth what is broken for many, a half what breaks under
/// load.
const STEPS: [f64; 4] = [1.0, 10.0, 50.0, 100.0];

/// A step as it is written.
#[derive(Debug)]
pub(crate) enum RawStep {
    Weight(Weight),
    Table(RawStepTable),
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawStepTable {
    weight: Option<Setting<Weight>>,
    mirror: Option<Setting<Weight>>,
    differ_max: Option<Setting<Weight>>,
    bake: Option<Setting<TimeSpan>>,
    gate: Option<RawGate>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawGate {
    Manual,
    Webhook,
}

impl<'de> Deserialize<'de> for RawStep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StepVisitor)
    }
}

struct StepVisitor;

impl StepVisitor {
    fn weight<E: Error>(scalar: Scalar<'_>, found: Unexpected<'_>) -> Result<RawStep, E> {
        let weight = Weight::from_scalar(scalar).map(RawStep::Weight);
        weight.ok_or_else(|| E::invalid_value(found, &<Weight as FromScalar>::WANTED))
    }
}

impl<'de> Visitor<'de> for StepVisitor {
    type Value = RawStep;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a weight such as 10, or { weight = 10, bake = \"30m\", gate = \"manual\" }")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<RawStep, E> {
        Self::weight(Scalar::Whole(number), Unexpected::Signed(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<RawStep, E> {
        Self::weight(Scalar::Fraction(number), Unexpected::Float(number))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<RawStep, A::Error> {
        RawStepTable::deserialize(MapAccessDeserializer::new(table)).map(RawStep::Table)
    }
}

/// What all steps share.
pub(crate) struct StepDefaults {
    /// The bake of steps that do not say their own.
    pub(crate) bake: Duration,
    /// That of a step with all the traffic likewise, and of the one that follows where the steps end below it.
    pub(crate) watch: Duration,
    /// How long the old version is kept warm after the last step.
    pub(crate) keep: Duration,
    /// The way back.
    pub(crate) back: Back,
    /// Whether there is a webhook to ask.
    pub(crate) webhook: bool,
    /// Whether there are smoke requests to send.
    pub(crate) smoke: bool,
}

impl StepDefaults {
    fn bake(&self, weight: Weight) -> Duration {
        if weight == Weight::FULL { self.watch } else { self.bake }
    }

    fn canary(&self, mirrors: Vec<MirrorStep>, steps: Vec<CanaryStep>) -> Canary {
        Canary { smoke: self.smoke, mirrors, steps, watch: self.watch, keep: self.keep, back: self.back }
    }
}

/// A step that is read.
enum BuiltStep {
    Mirror(MirrorStep),
    Weight(CanaryStep),
}

impl RawStep {
    fn build(
        &self,
        shared: &StepDefaults,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<BuiltStep, ErrorGuaranteed> {
        let table = match self {
            Self::Weight(weight) => {
                return Ok(BuiltStep::Weight(CanaryStep { weight: *weight, bake: shared.bake(*weight), gate: None }));
            }
            Self::Table(table) => table,
        };
        let weight = match table.mirror {
            Some(_) => table.no_weight(at, report).map(|()| Weight::ZERO),
            None => table.weight(at, report),
        };
        let usual = TimeSpan(weight.map_or(shared.bake, |weight| shared.bake(weight)));
        let bake = setting(table.bake, usual, TimeSpan::millis(0)..=LONGEST, &at.key("bake"), report);
        let gate = table.gate.map(|raw| match raw {
            RawGate::Manual => StepGate::Manual,
            RawGate::Webhook => StepGate::Webhook,
        });
        if gate == Some(StepGate::Webhook) && !shared.webhook {
            let text =
                Mismatch::new("\"webhook\" and nobody to ask", "a URL", "add webhook = { url = \"https://...\" }");
            report.problem(&at.key("gate"), text);
        }
        let (weight, bake) = (weight?, bake?.0);
        let Some(Setting(share)) = table.mirror else {
            return Ok(BuiltStep::Weight(CanaryStep { weight, bake, gate }));
        };
        if share == Weight::ZERO {
            let text = Mismatch::new("0", "a share above 0", "remove the step, or raise it");
            return Err(report.problem(&at.key("mirror"), text));
        }
        let usual = Weight::from_percent(DIFFER_MAX).unwrap_or_default();
        let differ_max = table.differ_max.map_or(usual, |read| read.0);
        Ok(BuiltStep::Mirror(MirrorStep { share, bake, differ_max, gate }))
    }
}

impl RawStepTable {
    fn weight(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<Weight, ErrorGuaranteed> {
        if self.differ_max.is_some() {
            let text = Mismatch::new("it in a step without mirror", "it beside mirror", "remove it");
            report.problem(&at.key("differ_max"), text);
        }
        self.weight.map(|read| read.0).ok_or_else(|| {
            report.missing(&at.key("weight"), Mismatch::new("none", "the candidate's per cent", "add weight = 10"))
        })
    }

    /// A step that mirrors has no users.
    fn no_weight(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<(), ErrorGuaranteed> {
        if self.weight.is_none() {
            return Ok(());
        }
        let wanted = "one of the two: while it mirrors the candidate has no users";
        Err(report.problem(&at.key("weight"), Mismatch::new("it beside mirror", wanted, "make two steps of it")))
    }
}

/// The canary of these steps, each larger than the one before.
pub(crate) fn canary(
    raw: Option<&List<RawStep>>,
    shared: &StepDefaults,
    at: &ConfigPath<'_>,
    report: &mut Report<'_>,
) -> Result<Canary, ErrorGuaranteed> {
    let Some(raw) = raw else {
        let weights = STEPS.into_iter().filter_map(Weight::from_percent);
        let steps = weights.map(|weight| CanaryStep { weight, bake: shared.bake(weight), gate: None }).collect();
        return report.touched(at).map_or(Ok(shared.canary(Vec::new(), steps)), Err);
    };
    let (mut numbers, mut mirrors, mut steps) = (Vec::new(), Vec::new(), Vec::new());
    for (index, raw) in raw.iter() {
        match raw.build(shared, &at.item(index), report) {
            Ok(BuiltStep::Weight(step)) => {
                numbers.push(index);
                steps.push(step);
            }
            Ok(BuiltStep::Mirror(step)) if steps.is_empty() => mirrors.push(step),
            Ok(BuiltStep::Mirror(_)) => {
                let text = Mismatch::new(
                    "a step that mirrors after one with users",
                    "it before all steps with a weight",
                    "move it to the beginning",
                );
                report.problem(&at.item(index), text);
            }
            Err(_told) => {}
        }
    }
    let canary = shared.canary(mirrors, steps);
    let strategy = Strategy::Canary(canary.clone());
    // Only the steps are looked at here; what the judge is asked has its own section.
    if let Err(problems) = Plan::new(strategy, JudgeSettings::default(), Expired::default()) {
        for problem in problems {
            tell(problem, &numbers, at, report);
        }
    }
    report.touched(at).map_or(Ok(canary), Err)
}

/// Reports a problem of the plan by the number that its step has in the file.
fn tell(problem: PlanProblem, numbers: &[usize], at: &ConfigPath<'_>, report: &mut Report<'_>) {
    let step = |number: usize| number.checked_sub(1).and_then(|index| numbers.get(index)).copied().unwrap_or_default();
    match problem {
        PlanProblem::ZeroStep { number } => {
            let text = Mismatch::new("0", "a weight above 0", "remove the step, or raise it");
            report.problem(&at.item(step(number)), text);
        }
        PlanProblem::FallingStep { number, weight, before } => {
            let text = Mismatch::new(
                format!("{weight} after {before}"),
                "each step above the one before",
                "raise or remove it",
            );
            report.problem(&at.item(step(number)), text);
        }
        // Steps that are all wrong were reported one by one.
        PlanProblem::NoSteps | PlanProblem::EmptyBatch { .. } => {
            report.missing(
                at,
                Mismatch::new("none", "at least one weight", "write [1, 10, 50, 100], or leave it out for that"),
            );
        }
    }
}
