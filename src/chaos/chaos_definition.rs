//! A chaos experiment as it is defined: what is done to whom, for how long, what is believed to stay true, and what
//! ends it before its time.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::chaos_schedule::ChaosSchedule;
use crate::rollout::judge::judge_settings::{FailedCalls, Margin, Multiple};
use crate::rollout::judge::response_rules::ResponseRules;
use crate::rollout::judge::{Assignment, JudgeSettings};
use crate::rollout::release::Webhook;
use crate::shared::name::Name;
use crate::shared::probability::Probability;
use crate::table::spec::fault::{FaultKind, FaultTarget};

/// The shortest baseline of a command, which is compared with nothing else.
pub(crate) const COMMAND_BASELINE_MIN: Duration = Duration::from_secs(1);

/// A chaos experiment without mistakes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChaosDefinition {
    /// Its name.
    pub name: Name,
    /// What the fault is aimed at. A command reaches everyone: its share is all users.
    pub target: FaultTarget,
    /// What is done.
    pub fault: ChaosFault,
    /// How long it is done, above zero.
    pub duration: Duration,
    /// How long both slices are only counted before.
    pub baseline: Duration,
    /// What is believed to stay true.
    pub hypothesis: ChaosHypothesis,
    /// What ends it before its time.
    pub stop_when: ChaosStop,
    /// When it may run; without windows at any time.
    pub only: ChaosSchedule,
    /// The same as it is written.
    pub written: ChaosWritten,
}

/// What is done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ChaosFault {
    /// A fault that the proxy does to requests of the fault slice.
    Injected(FaultKind),
    /// A command that does something on a host, to everyone.
    Command(ChaosCommand),
}

/// A command and the one that undoes what it did. Lists of arguments, no shell; `{service}`, `{experiment}`, `{run}`,
/// `{host}`, `{endpoint}` and `{port}` in arguments are replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChaosCommand {
    /// What begins it.
    pub run: Vec<String>,
    /// What undoes it. It must be right to run it twice, and when `run` never ran.
    pub undo: Vec<String>,
    /// The host that it happens on, for arguments and for people.
    pub host: Option<String>,
    /// The endpoint that is meant, for arguments and for people.
    pub endpoint: Option<SocketAddr>,
    /// Either has failed when it takes longer.
    pub timeout: Duration,
}

impl ChaosCommand {
    /// What can stand in braces in arguments.
    pub(crate) const PLACEHOLDERS: [&str; 6] = ["service", "experiment", "run", "host", "endpoint", "port"];
}

/// What is believed to stay true of the fault slice beside the control slice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ChaosHypothesis {
    /// How many more of its requests may fail. Failures are judged whatever else is.
    pub margin: Margin,
    /// How many times slower it may be; none: latency is not judged.
    pub slower: Option<Multiple>,
    /// How many requests of the fault slice (users, where users are known) are enough to call it held; none: as many as
    /// it takes to find [`CATCHES`] more failures in nine of ten runs.
    pub requests_min: Option<u64>,
}

/// What ends a run before its time, besides a proof.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ChaosStop {
    /// This number of failed requests of the fault slice more than of the control slice.
    pub failed_requests: Option<u64>,
    /// Less than this of the service's error budget is left, in per cent.
    pub budget_left_below: Option<f64>,
    /// A webhook that does not answer 2xx.
    pub webhook: Option<Webhook>,
    /// The service is not steady any more.
    pub steady: bool,
}

/// Parts of a definition as they are written, with the words and units of the config; `null` where nothing is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ChaosWritten {
    /// `target`
    pub target: Value,
    /// `fault`
    pub fault: Value,
    /// `hypothesis`
    pub hypothesis: Value,
    /// `stop_when`
    pub stop_when: Value,
    /// `only`
    pub only: Value,
}

/// The increase of failures that a run is long enough to find.
pub(crate) const CATCHES: Probability = Probability::FIVE_PER_CENT;

impl ChaosDefinition {
    /// What workers do to requests: nothing where a command does it elsewhere.
    #[must_use]
    pub(crate) fn kind(&self) -> FaultKind {
        match &self.fault {
            ChaosFault::Injected(kind) => kind.clone(),
            ChaosFault::Command(_) => FaultKind::Nothing,
        }
    }

    /// The command, if it is one.
    #[must_use]
    pub(crate) fn command(&self) -> Option<&ChaosCommand> {
        match &self.fault {
            ChaosFault::Injected(_) => None,
            ChaosFault::Command(command) => Some(command),
        }
    }

    /// How long a run takes at the most.
    #[must_use]
    pub(crate) fn took(&self) -> Duration {
        self.baseline.saturating_add(self.duration)
    }

    /// What is asked of the judge, where users are known by keys or not.
    ///
    /// Both slices are served by the same endpoints at the same time, so a burst of trouble meets both by the lot, and
    /// no burst has to be taken for one draw; nothing is cold on one side only. Responses and routes are not judged: a
    /// hypothesis says what is.
    #[must_use]
    pub(crate) fn judge(&self, per_key: bool) -> JudgeSettings {
        let ChaosHypothesis { margin, slower, requests_min } = self.hypothesis;
        JudgeSettings {
            alpha: Probability::ONE_PER_MILLE,
            margin,
            slower,
            freezes: self.command().is_some(),
            responses: ResponseRules::OFF,
            routes: false,
            guardrails: 0,
            assignment: if per_key { Assignment::PerKey } else { Assignment::PerRequest },
            // What failed is decided where the request ends.
            failed_calls: FailedCalls::default(),
            catches: CATCHES,
            requests_min,
            warm_up: Duration::ZERO,
            tolerate_burst: Duration::ZERO,
            hold_max: self.duration,
            horizon: self.duration,
            ..JudgeSettings::default()
        }
    }
}
