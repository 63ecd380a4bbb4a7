//! Guardrails: numbers of users (how many buy, what they spend) that must not get worse while a version is released.
//!
//! A version can answer every request well and cost half of the orders. The plan names metrics of the config, and users
//! of the candidate are compared with users of the baseline: whether they do it, or by how much. It is the same
//! comparison that an experiment makes of its arms, asked another question: not which is better, but whether the
//! candidate is worse than is tolerated. The numbers come from the requests themselves and from events that are sent.
//! Why not a query to a metrics server ([`super::own_metric`]): such a number is of no users, and nothing can be proved
//! by it.
//!
//! # The units
//!
//! **A user is one unit**, however often it comes, and its arm is the one that the lot gave its key, whatever answers
//! in the end: a user whose requests are replayed on the baseline is the candidate's.
//!
//! **Each step is a comparison of its own.** From step to step users move to the candidate, those who come back often
//! sooner than others. Who is counted through all steps would be in both arms, and to leave out who was seen in both
//! would leave out the busiest of one arm only: of two equal versions the baseline would look worse, and the candidate
//! would where less is better. So a step counts users from their first request in it, and what they do counts until it
//! ends, in both arms alike. Its share is that of the step; a step at 100 % compares nothing, and a guardrail says
//! nothing there.
//!
//! # What follows
//!
//! E is evidence that the candidate is worse than tolerated, which grows beyond 1/alpha with probability alpha at the
//! most at *any* look, if it is not (`experiment::harm` says how it is made):
//!
//! - **Turn back** at the guardrail's part of alpha, at any time. Guardrails have a fifth of alpha, in equal parts for
//!   each guardrail and step ([`super::judge_settings::JudgeSettings::ln_guardrail`]). The totals have to say it too.
//! - **Hold** from E = 10 on, as for every hint, and where the arms have not the users that the split gives them:
//!   something loses or moves users then, and no other number means anything.
//! - **Not enough data** below [`Guardrail::users_min`] users in either arm. That is no promise to find a fall of a
//!   certain size, which takes thousands of users where one of a hundred buys, and would hold every release of a small
//!   shop. The interval that is shown says what is still possible.
//! - **Let pass** otherwise: no harm is proved.
//!
//! The evidence of a step that is over is not carried on, for its users are those of the next one. Steps are looked at
//! one after the other, and each one's E is large by chance with the probability of its own part (union). To go on at
//! all depends on the steps before it, but in one direction: what lets the candidate go on is that the lot gave it no
//! fewer of those who buy.
//!
//! Of a group, and of a flag, all services count together: the conversions of a user may be in another service than
//! what makes it leave.

use std::sync::Arc;
use std::time::Duration;

use super::evidence::CandidateShare;
use super::per_version::PerVersion;
use super::ratio::RatioInterval;

/// The number of users that is enough in an arm unless the plan says otherwise: with fewer even a fall to nothing is
/// hardly one.
pub(crate) const USERS_MIN: usize = 100;

/// A metric that must not get worse.
#[derive(Clone, Debug, PartialEq)]
pub struct Guardrail {
    /// Its name in the config; that of an experiment's metric is `EXPERIMENT/METRIC`.
    pub metric: Box<str>,
    /// How much worse the candidate may be.
    pub tolerate: Tolerance,
    /// A step needs this number of users in each arm.
    pub users_min: u64,
}

/// A part of the baseline's number by which the candidate's may be worse: from 0 up to, but not including, 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Tolerance(f64);

impl Tolerance {
    /// `None` below 0 or from 1 on.
    #[must_use]
    pub fn new(part: f64) -> Option<Self> {
        (0.0..1.0).contains(&part).then_some(Self(part))
    }

    /// The number.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0
    }
}

/// What is known of a guardrail in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardrailStanding {
    /// The candidate is worse than tolerated.
    Worse,
    /// There is a hint that it is.
    Suspected,
    /// The arms have not the users that the split gives them.
    Lopsided,
    /// An arm has too few users.
    TooFewUsers,
    /// No harm is proved.
    Unharmed,
}

/// A guardrail with what is known of it in a step.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardrailFinding {
    /// The guardrail.
    pub guardrail: Arc<Guardrail>,
    /// The candidate's share in the step.
    pub share: CandidateShare,
    /// What it comes to.
    pub standing: GuardrailStanding,
    /// The users of both arms, and their number.
    pub arms: PerVersion<GuardrailArm>,
    /// How many times the baseline's number the candidate's is, with 95 % confidence at all times; none while nothing
    /// can be said.
    pub times: Option<RatioInterval>,
    /// ln E: how much speaks for it being worse than tolerated.
    pub ln_e: f64,
    /// ln E at which that is proved.
    pub ln_alarm: f64,
}

/// The users of an arm, and what the metric is there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GuardrailArm {
    /// Users that came in the step.
    pub users: u64,
    /// The metric.
    pub number: ArmNumber,
}

/// What a metric is in an arm.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ArmNumber {
    /// Nothing yet.
    #[default]
    Unknown,
    /// This many of the users did it.
    Conversions(u64),
    /// Each user has this on average, or it is this for each of what it is divided by.
    Mean(f64),
}

/// Watches one guardrail through a rollout.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GuardrailWatch {
    pub(crate) guardrail: Arc<Guardrail>,
    /// What was found last in this step.
    pub(crate) found: Option<GuardrailFinding>,
    /// When a user came last in this step, or else it began.
    grew_at: Duration,
}

impl GuardrailWatch {
    /// Nothing is known yet.
    pub(crate) fn new(guardrail: Arc<Guardrail>, now: Duration) -> Self {
        Self { guardrail, found: None, grew_at: now }
    }

    /// A new step begins, with other users.
    pub(crate) fn begin_step(&mut self, now: Duration) {
        (self.found, self.grew_at) = (None, now);
    }

    /// Notes what was found.
    pub(crate) fn note(&mut self, now: Duration, found: GuardrailFinding) {
        let users = |found: &GuardrailFinding| found.arms.map(|arm| arm.users);
        if self.found.as_ref().is_none_or(|before| users(before) != users(&found)) {
            self.grew_at = now;
        }
        self.found = Some(found);
    }

    /// What is known of it; none in this step yet.
    pub(crate) fn standing(&self) -> Option<GuardrailStanding> {
        self.found.as_ref().map(|found| found.standing)
    }

    /// For how long no user has come.
    pub(crate) fn quiet(&self, now: Duration) -> Duration {
        now.saturating_sub(self.grew_at)
    }
}

impl GuardrailFinding {
    /// What is known before anything was counted.
    pub(crate) fn unknown(guardrail: &Arc<Guardrail>, share: CandidateShare, ln_alarm: f64) -> Self {
        Self {
            guardrail: Arc::clone(guardrail),
            share,
            standing: GuardrailStanding::TooFewUsers,
            arms: PerVersion::default(),
            times: None,
            ln_e: 0.0,
            ln_alarm,
        }
    }
}
