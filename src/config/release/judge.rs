//! `[services.S.rollout.judge]`: what is asked of the judge. Defaults and their reasons are [`JudgeSettings`]'s.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};

use super::responses::RawResponses;
use crate::config::check::setting;
use crate::config::reader::config_path::ConfigPath;
use crate::config::reader::list::List;
use crate::config::reader::report::{ErrorGuaranteed, Report};
use crate::config::reader::units::{FromScalar, Quantity, Scalar, Setting, TimeSpan, number};
use crate::problem::Mismatch;
use crate::rollout::judge::JudgeSettings;
use crate::rollout::judge::judge_settings::{Ceilings, FailedCalls, Increase, Margin, Multiple, SlowCeiling};
use crate::shared::probability::Probability;

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(crate) struct RawJudge {
    alpha: Option<Setting<Probability>>,
    tolerate_ratio: Option<Setting<Multiple>>,
    tolerate_increase: Option<Setting<Increase>>,
    slower: Option<RawSlower>,
    errors_max: Option<Setting<Probability>>,
    slow_max: Option<RawSlowMax>,
    catches: Option<Setting<Probability>>,
    requests_min: Option<Setting<Quantity>>,
    baseline_ill: Option<Setting<Probability>>,
    warm_up: Option<Setting<TimeSpan>>,
    tolerate_burst: Option<Setting<TimeSpan>>,
    grpc_failures: Option<List<Setting<CallStatus>>>,
    responses: Option<RawResponses>,
    routes: Option<bool>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct RawSlowMax {
    longer_than: Option<Setting<TimeSpan>>,
    at_most: Option<Setting<Probability>>,
}

impl RawJudge {
    /// All of the settings but the hold, the horizon and the assignment.
    pub(crate) fn build(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<JudgeSettings, ErrorGuaranteed> {
        let default = JudgeSettings::default();
        let slow = self.slow_max.as_ref().map(|raw| raw.build(&at.key("slow_max"), report)).transpose();
        let range = Quantity(1)..=Quantity(1_000_000_000);
        let requests = self.requests_min.map(|raw| {
            let count = setting(Some(raw), raw.0, range, &at.key("requests_min"), report)?;
            Ok(u64::try_from(count.0).unwrap_or(u64::MAX))
        });
        let range = TimeSpan::millis(0)..=TimeSpan::secs(3_600);
        let bursts = TimeSpan::millis(0)..=TimeSpan::secs(60);
        let burst =
            setting(self.tolerate_burst, TimeSpan(default.tolerate_burst), bursts, &at.key("tolerate_burst"), report);
        let warm_up = setting(self.warm_up, TimeSpan(default.warm_up), range, &at.key("warm_up"), report);
        Ok(JudgeSettings {
            alpha: self.alpha.map_or(default.alpha, |read| read.0),
            margin: Margin {
                ratio: self.tolerate_ratio.map_or(default.margin.ratio, |read| read.0),
                increase: self.tolerate_increase.map_or(default.margin.increase, |read| read.0),
            },
            slower: self.slower.map_or(default.slower, |raw| raw.0),
            ceilings: Ceilings { failures: self.errors_max.map(|read| read.0), slow: slow? },
            catches: self.catches.map_or(default.catches, |read| read.0),
            requests_min: requests.transpose()?,
            baseline_unhealthy: self.baseline_ill.map_or(default.baseline_unhealthy, |read| read.0),
            warm_up: warm_up?.0,
            tolerate_burst: burst?.0,
            failed_calls: self.grpc_failures.as_ref().map_or(default.failed_calls, |list| {
                let statuses: Vec<u8> = list.iter().map(|(_, read)| read.0.0).collect();
                FailedCalls::of(&statuses)
            }),
            responses: self.responses.as_ref().map_or(default.responses, RawResponses::rules),
            routes: self.routes.unwrap_or(default.routes),
            ..default
        })
    }

    /// Beginnings of paths whose responses are not judged.
    pub(crate) fn except(
        &self,
        at: &ConfigPath<'_>,
        report: &mut Report<'_>,
    ) -> Result<Arc<[Box<str>]>, ErrorGuaranteed> {
        let at = at.key("responses");
        self.responses.as_ref().map_or_else(|| Ok(Arc::default()), |raw| raw.except(&at.key("except"), report))
    }
}

impl RawSlowMax {
    fn build(&self, at: &ConfigPath<'_>, report: &mut Report<'_>) -> Result<SlowCeiling, ErrorGuaranteed> {
        let longer_than = match self.longer_than {
            Some(raw) => {
                let range = TimeSpan::millis(1)..=TimeSpan::secs(3_600);
                setting(Some(raw), raw.0, range, &at.key("longer_than"), report)
            }
            None => {
                let text =
                    Mismatch::new("none", "the time from which a request is slow", "add longer_than = \"500ms\"");
                Err(report.missing(&at.key("longer_than"), text))
            }
        };
        let at_most = self.at_most.ok_or_else(|| {
            let text = Mismatch::new("none", "the part of the requests that may be slow", "add at_most = 0.05");
            report.missing(&at.key("at_most"), text)
        });
        Ok(SlowCeiling { longer_than: longer_than?.0, at_most: at_most?.0 })
    }
}

/// A status of gRPC.
#[derive(Clone, Copy, Debug)]
struct CallStatus(u8);

impl FromScalar for CallStatus {
    const WANTED: &'static str = "a status of gRPC, a whole number from 0 to 16";

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        let Scalar::Whole(number) = scalar else { return None };
        u8::try_from(number).ok().filter(|status| *status <= FailedCalls::STATUS_MAX).map(Self)
    }
}

/// How many times slower is tolerated, or `false`.
#[derive(Clone, Copy, Debug)]
struct RawSlower(Option<Multiple>);

impl<'de> Deserialize<'de> for RawSlower {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SlowerVisitor)
    }
}

struct SlowerVisitor;

impl SlowerVisitor {
    fn read<E: Error>(self, scalar: Scalar<'_>, found: Unexpected<'_>) -> Result<RawSlower, E> {
        let multiple = Multiple::from_scalar(scalar);
        multiple.map(|multiple| RawSlower(Some(multiple))).ok_or_else(|| E::invalid_value(found, &self))
    }
}

impl Visitor<'_> for SlowerVisitor {
    type Value = RawSlower;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of 1 or more such as 1.2, or false")
    }

    fn visit_bool<E: Error>(self, judged: bool) -> Result<RawSlower, E> {
        if judged { Err(E::invalid_value(Unexpected::Bool(true), &self)) } else { Ok(RawSlower(None)) }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<RawSlower, E> {
        self.read(Scalar::Whole(number), Unexpected::Signed(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<RawSlower, E> {
        self.read(Scalar::Fraction(number), Unexpected::Float(number))
    }
}

impl FromScalar for Probability {
    const WANTED: &'static str = "a number between 0 and 1, such as 0.01";

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        Self::new(number(scalar)?)
    }
}

impl FromScalar for Increase {
    const WANTED: &'static str = "a number from 0 up to, but not including, 1, such as 0.001";

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        Self::new(number(scalar)?)
    }
}

impl FromScalar for Multiple {
    const WANTED: &'static str = "a number of 1 or more, such as 1.5";

    fn from_scalar(scalar: Scalar<'_>) -> Option<Self> {
        Self::new(number(scalar)?)
    }
}
