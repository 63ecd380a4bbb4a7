//! The plan's own metrics: numbers of a metrics server, for what a proxy cannot see (orders, the length of a queue).
//!
//! They are no bets. Nothing is known of how such a number is spread, so there is no proof at level alpha; what there
//! is instead is patience: a number out of bounds holds the version at once and turns it back when it was so in some
//! answers in a row. One bad scrape is no proof. Alpha has no part in it: what a query says often by chance, it turns
//! back often.
//!
//! An answer is good, bad, or none. None (the server is away, the series is not there yet, two of them are) holds the
//! version like lack of data, neither adds to the bad answers in a row nor ends the row, and is bounded by the plan's
//! hold. Only answers of the step count for going on, and only those of a candidate that has traffic count at all.
//!
//! Where a number is compared with the baseline's, the last one that the baseline had beside the candidate is the
//! measure when it has no traffic any more; in a release without a comparison, the first that it is asked for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use super::evidence::CandidateShare;
use crate::table::Name;

/// A question of the plan to a metrics server.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnMetric {
    /// What people call it.
    pub name: Name,
    /// The base address of the server; the API is below it.
    pub url: Uri,
    /// What is asked; `{version}` and `{service}` are replaced.
    pub query: Box<str>,
    /// Which answers are good.
    pub rule: MetricRule,
    /// It turns the version back after this number of bad answers in a row; at least one.
    pub failures: u32,
    /// Time from one question to the next.
    pub interval: Duration,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// The file with the token that the server wants, if it wants one.
    pub token_file: Option<PathBuf>,
}

/// Which answers are good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricRule {
    /// On which side of the limit.
    pub bound: MetricBound,
    /// The limit.
    pub limit: MetricLimit,
}

/// The good side of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricBound {
    /// The limit and below.
    AtMost,
    /// The limit and above.
    AtLeast,
}

/// Where a limit comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MetricLimit {
    /// It is this.
    Number(f64),
    /// It is a multiple of what the baseline has, and this beyond it.
    OfBaseline {
        /// How many times.
        times: f64,
        /// How much more is tolerated, or how much less: 0 or more.
        slack: f64,
    },
}

impl OwnMetric {
    /// What stands for the version that is asked for.
    pub const VERSION: &'static str = "{version}";

    /// What stands for the service.
    pub const SERVICE: &'static str = "{service}";

    /// Whether each service of a group has an answer of its own.
    #[must_use]
    pub fn is_by_service(&self) -> bool {
        self.query.contains(Self::SERVICE)
    }

    /// Whether the baseline is asked too.
    #[must_use]
    pub fn compares(&self) -> bool {
        matches!(self.rule.limit, MetricLimit::OfBaseline { .. })
    }

    /// The query for a version of a service.
    #[must_use]
    pub fn query_for(&self, service: &str, version: &str) -> String {
        self.query.replace(Self::VERSION, version).replace(Self::SERVICE, service)
    }

    /// After so long without an answer the last one says nothing any more.
    fn forgotten_after(&self) -> Duration {
        (self.interval + self.timeout) * 3
    }
}

impl MetricRule {
    /// The limit beside a baseline with this number.
    #[must_use]
    pub fn limit(&self, baseline: Option<f64>) -> Option<f64> {
        match self.limit {
            MetricLimit::Number(number) => Some(number),
            MetricLimit::OfBaseline { times, slack } => baseline.map(|baseline| {
                // Of a negative number, too, more is on the bad side.
                let away = baseline.abs() * (times - 1.0);
                match self.bound {
                    MetricBound::AtMost => baseline + away + slack,
                    MetricBound::AtLeast => baseline + away - slack,
                }
            }),
        }
    }

    fn is_good(&self, value: f64, limit: f64) -> bool {
        match self.bound {
            MetricBound::AtMost => value <= limit,
            MetricBound::AtLeast => value >= limit,
        }
    }
}

/// A number, or why there is none.
pub(crate) type MetricSample = Result<f64, Arc<str>>;

/// What a metrics server said.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricAnswer {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// In which of the judge's steps it was asked.
    pub step: u32,
    /// Of the candidate, if that was asked.
    pub candidate: Option<MetricSample>,
    /// Of the baseline, if that was asked.
    pub baseline: Option<MetricSample>,
}

/// What a metrics server is to be asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricQuestion {
    /// The step.
    pub step: u32,
    /// The candidate's number.
    pub candidate: bool,
    /// The baseline's.
    pub baseline: bool,
}

/// What is known of a metric.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricStanding {
    /// Within its bounds.
    Good,
    /// Out of them.
    Bad,
    /// Nothing, and why.
    NoData(Arc<str>),
}

/// A metric with what is known of it at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricFinding {
    /// The metric.
    pub metric: Arc<OwnMetric>,
    /// What is known.
    pub standing: MetricStanding,
    /// The candidate's number.
    pub value: Option<f64>,
    /// The baseline's, if they are compared.
    pub baseline: Option<f64>,
    /// The limit.
    pub limit: Option<f64>,
    /// How many answers in a row were bad.
    pub bad_in_a_row: u32,
    /// When it answered, in milliseconds since 1970.
    pub at_ms: Option<i64>,
}

/// Watches one metric through a rollout.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MetricWatch {
    pub(crate) metric: Arc<OwnMetric>,
    /// The baseline's number, if they are compared.
    pub(crate) baseline: Option<f64>,
    pub(crate) bad_in_a_row: u32,
    /// The last answer of this step.
    latest: Option<LatestAnswer>,
    /// Steps so far.
    step: u32,
    /// When it was good last, or else the step began.
    good_at: Duration,
}

#[derive(Clone, Debug, PartialEq)]
struct LatestAnswer {
    at: Duration,
    at_ms: i64,
    value: Option<f64>,
    standing: MetricStanding,
}

impl MetricWatch {
    /// Nothing is known yet; of the baseline perhaps, before a restart.
    pub(crate) fn new(metric: Arc<OwnMetric>, baseline: Option<f64>, now: Duration) -> Self {
        Self { metric, baseline, bad_in_a_row: 0, latest: None, step: 0, good_at: now }
    }

    /// A new step begins: what was answered before says nothing of it. Bad answers in a row stay.
    pub(crate) fn begin_step(&mut self, now: Duration) {
        (self.latest, self.step, self.good_at) = (None, self.step.wrapping_add(1), now);
    }

    /// What is to be asked while the candidate has this share; none: nothing.
    pub(crate) fn question(&self, share: CandidateShare) -> Option<MetricQuestion> {
        let candidate = share.value() > 0.0;
        let beside = candidate && !share.compares();
        let baseline = self.metric.compares() && (!beside || self.baseline.is_none());
        (candidate || baseline).then_some(MetricQuestion { step: self.step, candidate, baseline })
    }

    /// Folds an answer in. One to a question of an earlier step is too late, but for the baseline's number.
    pub(crate) fn answered(&mut self, now: Duration, answer: &MetricAnswer) {
        if let Some(Ok(baseline)) = answer.baseline {
            self.baseline = Some(baseline);
        }
        let Some(candidate) = answer.candidate.as_ref().filter(|_| answer.step == self.step) else { return };
        let standing = match (candidate, &answer.baseline) {
            (Err(why), _) => MetricStanding::NoData(Arc::clone(why)),
            (Ok(_), Some(Err(why))) => MetricStanding::NoData(format!("of the old version: {why}").into()),
            (Ok(value), _) => match self.metric.rule.limit(self.baseline) {
                Some(limit) if self.metric.rule.is_good(*value, limit) => MetricStanding::Good,
                Some(_) => MetricStanding::Bad,
                None => MetricStanding::NoData("there is no number of the old version".into()),
            },
        };
        match standing {
            MetricStanding::Good => (self.bad_in_a_row, self.good_at) = (0, now),
            MetricStanding::Bad => self.bad_in_a_row = self.bad_in_a_row.saturating_add(1),
            MetricStanding::NoData(_) => {}
        }
        let value = candidate.as_ref().ok().copied();
        self.latest = Some(LatestAnswer { at: now, at_ms: answer.at_ms, value, standing });
    }

    /// Whether it was bad often enough to turn the version back.
    pub(crate) fn is_proved(&self) -> bool {
        self.bad_in_a_row >= self.metric.failures
    }

    /// Whether it is known to be bad at this moment.
    pub(crate) fn is_bad(&self, now: Duration) -> bool {
        self.known(now).is_some_and(|latest| latest.standing == MetricStanding::Bad)
    }

    /// Whether it is known to be good at this moment.
    pub(crate) fn is_good(&self, now: Duration) -> bool {
        self.known(now).is_some_and(|latest| latest.standing == MetricStanding::Good)
    }

    /// The last answer, unless it was too long ago.
    fn known(&self, now: Duration) -> Option<&LatestAnswer> {
        self.latest.as_ref().filter(|latest| now <= latest.at + self.metric.forgotten_after())
    }

    /// For how long it has not been good in this step.
    pub(crate) fn not_good_for(&self, now: Duration) -> Duration {
        now.saturating_sub(self.good_at)
    }

    /// What is known of it.
    pub(crate) fn finding(&self, now: Duration) -> MetricFinding {
        let latest = self.latest.as_ref();
        let standing = match latest {
            None => MetricStanding::NoData("it has not answered in this step yet".into()),
            Some(latest) if now > latest.at + self.metric.forgotten_after() => {
                MetricStanding::NoData(format!("no answer for {} s", (now - latest.at).as_secs()).into())
            }
            Some(latest) => latest.standing.clone(),
        };
        MetricFinding {
            metric: Arc::clone(&self.metric),
            standing,
            value: latest.and_then(|latest| latest.value),
            baseline: self.baseline,
            limit: self.metric.rule.limit(self.baseline),
            bad_in_a_row: self.bad_in_a_row,
            at_ms: latest.map(|latest| latest.at_ms),
        }
    }
}

#[cfg(test)]
mod tests;
