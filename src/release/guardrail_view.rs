//! Guardrails as they are shown, and stored with each event.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::metrics::guardrail_gauge::GuardrailGauge;
use crate::rollout::judge::Names;
use crate::rollout::judge::guardrail::{ArmNumber, GuardrailArm, GuardrailFinding, GuardrailStanding};
use crate::rollout::judge::guardrail_text;

/// A metric of users that must not get worse, with what this step has counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GuardrailView {
    /// Its name; that of an experiment's metric is `EXPERIMENT/METRIC`.
    pub metric: String,
    /// `worse` (it turns the version back), `suspected`, `lopsided` (the users are not what the split gives the arms),
    /// `too_few_users` or `unharmed`.
    pub standing: String,
    /// The same with numbers, for people.
    pub text: String,
    /// The new version's users in this step.
    pub candidate: GuardrailArmView,
    /// The old version's.
    pub baseline: GuardrailArmView,
    /// How many times the old version's number the new one's is, with 95 % confidence at all times; `null` at the end
    /// that nothing bounds.
    pub times: Option<[Option<f64>; 2]>,
    /// The part of the old version's number by which the new one's may be worse.
    pub tolerate: f64,
    /// A step needs so many users in each arm.
    pub users_min: u64,
    /// log10 of E: how much speaks for it being worse than tolerated.
    pub log10_e: f64,
    /// log10 of E at which it turns the version back.
    pub log10_alarm: f64,
}

/// The users of a version, and what the metric is there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GuardrailArmView {
    /// Users that came in this step.
    pub users: u64,
    /// Those of them that did it, of a conversion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversions: Option<u64>,
    /// What each has on average, or the ratio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
}

impl GuardrailView {
    /// What is shown of one.
    pub(crate) fn of(found: &GuardrailFinding, names: &Names<'_>) -> Self {
        let log10 = |ln: f64| ln / std::f64::consts::LN_10;
        let ends = found.times.map(|times| [times.low, times.high]);
        Self {
            metric: found.guardrail.metric.to_string(),
            standing: word(found.standing).to_owned(),
            text: guardrail_text::told(found, names),
            candidate: GuardrailArmView::of(&found.arms.candidate),
            baseline: GuardrailArmView::of(&found.arms.baseline),
            times: ends.map(|ends| ends.map(|end| Some(end).filter(|end| end.is_finite()))),
            tolerate: found.guardrail.tolerate.value(),
            users_min: found.guardrail.users_min,
            log10_e: log10(found.ln_e),
            log10_alarm: log10(found.ln_alarm),
        }
    }

    /// The same for the exporter.
    pub(crate) fn gauge(&self) -> GuardrailGauge {
        let users = [("candidate", self.candidate.users), ("baseline", self.baseline.users)];
        GuardrailGauge { metric: self.metric.clone(), standing: self.standing.clone(), users }
    }
}

impl GuardrailArmView {
    fn of(arm: &GuardrailArm) -> Self {
        let (conversions, mean) = match arm.number {
            ArmNumber::Unknown => (None, None),
            ArmNumber::Conversions(count) => (Some(count), None),
            ArmNumber::Mean(mean) => (None, Some(mean)),
        };
        Self { users: arm.users, conversions, mean }
    }
}

fn word(standing: GuardrailStanding) -> &'static str {
    match standing {
        GuardrailStanding::Worse => "worse",
        GuardrailStanding::Suspected => "suspected",
        GuardrailStanding::Lopsided => "lopsided",
        GuardrailStanding::TooFewUsers => "too_few_users",
        GuardrailStanding::Unharmed => "unharmed",
    }
}
