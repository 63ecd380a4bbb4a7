//! What is said at a start of how long it will take.

use serde::Serialize;
use utoipa::ToSchema;

use crate::rollout::forecast::{PlanForecast, Suggestion};

/// How long a rollout takes with the traffic of this moment, gates and tasks left out.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ForecastView {
    /// Requests a second, of the service with the least.
    pub requests_per_second: f64,
    /// How long it takes; none: a step will not get the requests that it needs.
    pub seconds: Option<f64>,
    /// What takes about as long as the plan's bakes, if this takes longer.
    pub suggestion: Option<SuggestionView>,
    /// All of it in a sentence for people.
    pub text: String,
}

/// A plan that fits the traffic.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SuggestionView {
    /// The steps in per cent, where they are others.
    pub steps: Option<Vec<f64>>,
    /// `judge.catches`, where it is another one.
    pub catches: Option<f64>,
    /// How long it takes.
    pub seconds: f64,
}

impl ForecastView {
    /// What is shown of a forecast.
    pub(crate) fn of(forecast: &PlanForecast) -> Self {
        let suggestion = |Suggestion { steps, catches, takes }: &Suggestion| SuggestionView {
            steps: steps.as_ref().map(|steps| steps.iter().map(|weight| weight.percent()).collect()),
            catches: *catches,
            seconds: takes.as_secs_f64(),
        };
        Self {
            requests_per_second: forecast.requests_per_second,
            seconds: forecast.takes.map(|takes| takes.as_secs_f64()),
            suggestion: forecast.suggestion.as_ref().map(suggestion),
            text: forecast.text(),
        }
    }
}
