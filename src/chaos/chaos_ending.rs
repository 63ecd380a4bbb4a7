//! Where a run is, how it ends, and by what.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChaosState {
    /// Both slices are only counted.
    Baseline,
    /// The fault is done.
    Injecting,
    /// Nothing is done any more.
    Ended,
}

/// What became of the hypothesis.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChaosEnding {
    /// The fault was there to its end, on enough requests, and users got what they get without it.
    Held,
    /// Users got less: it is proved, or a stop condition says so.
    Broken,
    /// Neither can be said.
    NotEnoughData,
}

/// What ended a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChaosEndedBy {
    /// Its time was over.
    Time,
    /// The judge has proved that the hypothesis is wrong.
    Verdict,
    /// More requests have failed than `stop_when` allows.
    FailedRequests,
    /// Less of the error budget is left than `stop_when` asks for.
    Budget,
    /// The webhook of `stop_when` did not answer 2xx.
    Webhook,
    /// The service was not steady.
    Steady,
    /// Its command could not be run, or failed.
    Command,
    /// An operator.
    Operator,
    /// The process ended in the middle of it.
    Restart,
    /// The config has changed, so that it could not go on.
    Config,
    /// The replica that it was on does not lead its fleet any more.
    Leader,
}

impl ChaosEndedBy {
    /// What it makes of the hypothesis of a run that was in this state; a verdict and the end of its time say it by
    /// themselves.
    #[must_use]
    pub(crate) fn ending(self, state: ChaosState) -> ChaosEnding {
        match (self, state) {
            (Self::Verdict, _) | (Self::FailedRequests | Self::Steady, ChaosState::Injecting) => ChaosEnding::Broken,
            _ => ChaosEnding::NotEnoughData,
        }
    }

    /// What ended it, for people.
    #[must_use]
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Time => "its time was over",
            Self::Verdict => "the hypothesis was proved wrong",
            Self::FailedRequests => "as many requests had failed as stop_when allows",
            Self::Budget => "less of the error budget was left than stop_when asks for",
            Self::Webhook => "the webhook of stop_when did not agree",
            Self::Steady => "the service was not steady",
            Self::Command => "its command has failed",
            Self::Operator => "an operator stopped it",
            Self::Restart => "the process ended in the middle of it",
            Self::Config => "the config has changed",
            Self::Leader => "its replica does not lead the fleet any more",
        }
    }
}

impl ChaosEnding {
    /// The ending in a word or two.
    #[must_use]
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Held => "hypothesis held",
            Self::Broken => "hypothesis broken",
            Self::NotEnoughData => "not enough data",
        }
    }
}
