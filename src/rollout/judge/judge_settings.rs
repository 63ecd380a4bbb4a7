//! What is asked of the judge, in types that cannot hold nonsense.
//!
//! Every default is argued where it stands. The defaults are for a service that fails one request in a thousand and
//! is rolled out over half an hour; a rollout needs to set none of them.

use std::time::Duration;

use super::response_rules::ResponseRules;
use crate::shared::probability::Probability;
use crate::shared::route_stats::ROUTES;

/// An absolute increase of a probability: from 0 up to, but not including, 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Increase(f64);

impl Increase {
    /// None at all.
    pub const NONE: Self = Self(0.0);

    /// `None` below 0 or from 1 on.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        (0.0..1.0).contains(&value).then_some(Self(value))
    }

    /// The number.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0
    }
}

/// How many times more: 1 or above, finite.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Multiple(f64);

impl Multiple {
    /// Not more at all.
    pub const ONE: Self = Self(1.0);

    /// `None` below 1 or if not finite.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        (value >= 1.0 && value.is_finite()).then_some(Self(value))
    }

    /// The number.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0
    }
}

/// How much more often than the baseline the candidate may fail: `ratio * (p + increase * (1 - p))`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margin {
    /// Tolerated ratio. By default 1: a new version has no right to be worse.
    pub ratio: Multiple,
    /// Tolerated absolute increase. By default 0.1 %: on a baseline that never fails, every failure of the candidate
    /// is infinitely many times more, and three in a million are no reason for a rollback.
    pub increase: Increase,
}

impl Margin {
    /// Nothing is tolerated beyond the baseline's own failures.
    pub const NONE: Self = Self { ratio: Multiple::ONE, increase: Increase::NONE };

    /// The largest tolerated probability of failure beside a baseline with this one.
    #[must_use]
    pub fn tolerated(self, baseline: f64) -> f64 {
        (self.ratio.value() * (baseline + self.increase.value() * (1.0 - baseline))).min(1.0)
    }
}

impl Default for Margin {
    fn default() -> Self {
        Self { ratio: Multiple::ONE, increase: Increase(0.001) }
    }
}

/// What the lot falls on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Assignment {
    /// Each request for itself.
    #[default]
    PerRequest,
    /// Each user, by a sticky key, who is one draw however often he comes. Right as well where some requests come
    /// without a key.
    PerKey,
}

/// No more than this part of the requests may take longer than this.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowCeiling {
    /// Longer than this is slow; the counters compare.
    pub longer_than: Duration,
    /// The part that may be slow.
    pub at_most: Probability,
}

/// Hard objectives that hold without a baseline. Each is an alarm of its own and takes its part of alpha.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ceilings {
    /// The part of the candidate's requests that may fail.
    pub failures: Option<Probability>,
    /// The part that may be slow.
    pub slow: Option<SlowCeiling>,
}

/// Statuses of gRPC (0 to 16) that are failures in an answer of 200; the counters compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedCalls(u32);

impl FailedCalls {
    /// The highest status that there is.
    pub const STATUS_MAX: u8 = 16;

    /// These statuses; those above the highest do not exist.
    #[must_use]
    pub fn of(statuses: &[u8]) -> Self {
        let bit = |status: &u8| if *status <= Self::STATUS_MAX { 1 << status } else { 0 };
        Self(statuses.iter().map(bit).fold(0, |bits, bit| bits | bit))
    }

    /// Whether a good call is one of them.
    #[must_use]
    pub fn has_ok(self) -> bool {
        self.0 & 1 != 0
    }

    /// A bit for each status.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl Default for FailedCalls {
    /// The server's faults: UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE,
    /// DATA_LOSS.
    fn default() -> Self {
        Self::of(&[2, 4, 8, 12, 13, 14, 15])
    }
}

/// The part of alpha that responses have where they are judged: a twentieth for what turns a version back and one for
/// what holds it, because what they find is large.
pub(crate) const RESPONSES_PART: f64 = 0.1;

/// The part of alpha that routes have where they are judged.
pub(crate) const ROUTES_PART: f64 = 0.05;

/// The part of alpha that guardrails have where there are some. What users do says less of a version than whether it
/// works, so it takes many more of them, and the same factor of alpha is a smaller part of that.
pub(crate) const GUARDRAILS_PART: f64 = 0.2;

/// The part of alpha that pairs of responses have where the plan mirrors: they come first and cost no user anything.
pub(crate) const PAIRS_PART: f64 = 0.1;

/// The part of it that is for failures where latency is judged too: a page that fails is worse than one that is slow.
const ROUTE_FAILURES_PART: f64 = 0.75;

/// What is asked of the judge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JudgeSettings {
    /// The probability that a healthy version is rolled back by chance, at any time in the whole rollout. By default 1
    /// in 1,000: with a release a day, one false alarm in three years.
    pub alpha: Probability,
    /// How many more failures than the baseline's are tolerated.
    pub margin: Margin,
    /// How many times slower than the baseline is tolerated; `None` does not judge latency. By default 1.2: a cold
    /// cache and other hardware are slower by so much without a fault.
    pub slower: Option<Multiple>,
    /// Hard objectives. By default none.
    pub ceilings: Ceilings,
    /// The services that are released together, at least one: each has a judge, and they share alpha.
    pub services: u32,
    /// Whether all the traffic comes after a comparison, so that the baseline's own rates become ceilings then, where
    /// there are none ([`super::frozen`]). The plan says so.
    pub freezes: bool,
    /// What follows when responses have changed that did not fail.
    pub responses: ResponseRules,
    /// Whether the busiest routes are judged by themselves too ([`super::routes`]). By default they are: a page that
    /// always fails is what users tell of first, and half a per cent more requests is what it costs.
    pub routes: bool,
    /// Whether the candidate gets copies of requests before it has users, which are judged by pairs ([`super::pairs`]).
    /// The plan says so.
    pub mirrors: bool,
    /// Comparisons of guardrails that there will be: as many as guardrails, in each step that compares. The plan says
    /// so.
    pub guardrails: u32,
    /// What the lot falls on.
    pub assignment: Assignment,
    /// Statuses of gRPC that are failures. By default the server's faults.
    pub failed_calls: FailedCalls,
    /// The regression that a bake must be able to catch: an increase of the probability of failure beyond the
    /// tolerated. By default 2 %: a smaller one would need bakes of hours on an ordinary service.
    pub catches: Probability,
    /// The number of judged requests of the candidate that is enough to advance; `None` computes the number from
    /// [`Self::catches`] ([`super::power`]).
    pub requests_min: Option<u64>,
    /// The baseline is unhealthy when more of its recent requests than this fail ([`super::baseline_health`]). By
    /// default 5 %: such a service has an incident, and an incident is no time to promote.
    pub baseline_unhealthy: Probability,
    /// For how long an endpoint's first requests are left out, together with the same part of the other version's: a
    /// cold start is no regression. By default 10 s.
    pub warm_up: Duration,
    /// The longest burst of trouble on one endpoint that is one draw and not many ([`super::burst`]): a pause, a pool
    /// that reconnects. Zero counts each request for itself. By default 1 s: a longer outage is one.
    pub tolerate_burst: Duration,
    /// How long after the end of its bake a step may be held before the plan says what happens; for lack of data, for
    /// how long without a judged request of the candidate. By default 30 min.
    pub hold_max: Duration,
    /// How long the rollout is expected to take, the sum of its bakes: over this time the reserve for late regressions
    /// is spent ([`super::wealth`]). By default 30 min.
    pub horizon: Duration,
}

impl Default for JudgeSettings {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self {
            alpha: Probability::ONE_PER_MILLE,
            margin: Margin::default(),
            slower: Some(Multiple(1.2)),
            ceilings: Ceilings::default(),
            services: 1,
            freezes: false,
            responses: ResponseRules::default(),
            routes: true,
            mirrors: false,
            guardrails: 0,
            assignment: Assignment::default(),
            failed_calls: FailedCalls::default(),
            catches: Probability::TWO_PER_CENT,
            requests_min: None,
            baseline_unhealthy: Probability::FIVE_PER_CENT,
            warm_up: Duration::from_secs(10),
            tolerate_burst: Duration::from_secs(1),
            hold_max: minutes(30),
            horizon: minutes(30),
        }
    }
}

/// From this E on there is a hint against the candidate.
const SUSPICION: f64 = 10.0;

/// The part of alpha for each ceiling that the baseline's own rates become.
const FROZEN_PART: f64 = 0.05;

impl JudgeSettings {
    /// Alarms that share alpha equally: the comparison and each ceiling of the plan.
    #[must_use]
    pub fn alarms(&self) -> u32 {
        1 + u32::from(self.ceilings.failures.is_some()) + u32::from(self.ceilings.slow.is_some())
    }

    /// Alarms that there will be when the comparison ends.
    fn frozen_alarms(&self) -> u32 {
        let slow = self.ceilings.slow.is_none() && self.slower.is_some();
        if self.freezes { u32::from(self.ceilings.failures.is_none()) + u32::from(slow) } else { 0 }
    }

    /// ln E at which an alarm goes off: its part of alpha, inverted.
    #[must_use]
    pub fn ln_alarm(&self) -> f64 {
        let of_responses = if self.responses.judged() > 0 { RESPONSES_PART } else { 0.0 };
        let of_routes = if self.judges_routes() { ROUTES_PART } else { 0.0 };
        let of_guardrails = if self.guardrails > 0 { GUARDRAILS_PART } else { 0.0 };
        let of_pairs = if self.mirrors { PAIRS_PART } else { 0.0 };
        let of_frozen = FROZEN_PART * f64::from(self.frozen_alarms());
        let part = 1.0 - of_responses - of_routes - of_guardrails - of_pairs - of_frozen;
        (f64::from(self.alarms()) / (part * self.alpha_of_one())).ln()
    }

    /// ln E from which on there is a hint against the candidate: by chance in one of ten healthy rollouts at most.
    #[must_use]
    pub fn ln_suspicion(&self) -> f64 {
        (SUSPICION * f64::from(self.services.max(1))).ln()
    }

    /// ln E at which it is proved by pairs that the candidate fails more often.
    #[must_use]
    pub fn ln_pairs(&self) -> f64 {
        -(PAIRS_PART * self.alpha_of_one()).ln()
    }

    /// The part of alpha of one of the services.
    fn alpha_of_one(&self) -> f64 {
        self.alpha.value() / f64::from(self.services.max(1))
    }

    /// The same of a ceiling that the baseline's own rate has become.
    #[must_use]
    pub fn ln_frozen_alarm(&self) -> f64 {
        -(FROZEN_PART * self.alpha_of_one()).ln()
    }

    /// Whether routes are judged by themselves: where versions are compared.
    #[must_use]
    pub fn judges_routes(&self) -> bool {
        self.routes && self.freezes
    }

    /// ln E at which it is proved of one route that the candidate fails there.
    #[must_use]
    pub(crate) fn ln_route_failures(&self) -> f64 {
        self.ln_route(if self.slower.is_some() { ROUTE_FAILURES_PART } else { 1.0 })
    }

    /// ln E at which it is proved of one route that the candidate is slower there.
    #[must_use]
    pub(crate) fn ln_route_latency(&self) -> f64 {
        self.ln_route(1.0 - ROUTE_FAILURES_PART)
    }

    fn ln_route(&self, part: f64) -> f64 {
        (ROUTES as f64 / (self.alpha_of_one() * ROUTES_PART * part)).ln()
    }

    /// ln E at which it is proved that a guardrail is worse in a step. Services that are released together have
    /// guardrails in common, which have their part of the whole alpha.
    #[must_use]
    pub fn ln_guardrail(&self) -> f64 {
        (f64::from(self.guardrails.max(1)) / (self.alpha.value() * GUARDRAILS_PART)).ln()
    }

    /// ln E at which something is proved of one of this number of classes of responses: half of what responses have of
    /// alpha is for what turns a version back, and half for what holds it.
    #[must_use]
    pub(crate) fn ln_finding(&self, classes: u32) -> f64 {
        (2.0 * f64::from(classes.max(1)) / (self.alpha_of_one() * RESPONSES_PART)).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_mean_nothing_are_no_settings() {
        let bad = [f64::NAN, f64::INFINITY, -0.5, 0.0, 1.0, 1.5];
        assert_eq!(bad.map(|value| Probability::new(value).is_some()), [false; 6]);
        assert_eq!(bad.map(|value| Increase::new(value).is_some()), [false, false, false, true, false, false]);
        assert_eq!(bad.map(|value| Multiple::new(value).is_some()), [false, false, false, false, true, true]);
    }

    #[test]
    fn alarms_share_alpha() {
        let mut settings = JudgeSettings::default();
        assert!((settings.ln_alarm() + 0.0009_f64.ln()).abs() < 1e-12);
        settings.responses = ResponseRules::OFF;
        assert!((settings.ln_alarm() - 1000_f64.ln()).abs() < 1e-12);
        settings.ceilings.failures = Probability::new(0.01);
        assert!((settings.ln_alarm() - 2000_f64.ln()).abs() < 1e-12);
        assert_eq!(settings.alarms(), 2);
        settings = JudgeSettings { freezes: true, ..JudgeSettings::default() };
        let spent = |alarms: &[f64]| alarms.iter().map(|ln| (-ln).exp()).sum::<f64>();
        let frozen = settings.ln_frozen_alarm();
        let found = settings.ln_finding(1);
        let routes = |settings: &JudgeSettings| {
            ROUTES as f64 * spent(&[settings.ln_route_failures(), settings.ln_route_latency()])
        };
        let all = spent(&[settings.ln_alarm(), frozen, frozen, found, found]) + routes(&settings);
        assert!((all - 0.001).abs() < 1e-12, "{all}");
        let fast = JudgeSettings { slower: None, ..settings };
        assert!((ROUTES as f64 * spent(&[fast.ln_route_failures()]) - 0.001 * ROUTES_PART).abs() < 1e-12);
        let whole = JudgeSettings { routes: false, ..settings };
        assert!((spent(&[whole.ln_alarm(), frozen, frozen, found, found]) - 0.001).abs() < 1e-12);
        let group = JudgeSettings { services: 20, ..settings };
        let found_of_one = group.ln_finding(1);
        let frozen_of_one = group.ln_frozen_alarm();
        let of_one = spent(&[group.ln_alarm(), frozen_of_one, frozen_of_one, found_of_one, found_of_one]);
        let of_one = of_one + routes(&group);
        assert!((20.0 * of_one - 0.001).abs() < 1e-12, "{of_one}");
        assert!((20.0 * spent(&[group.ln_suspicion()]) - 0.1).abs() < 1e-12);
        let guarded = JudgeSettings { guardrails: 6, ..settings };
        let routes_too = routes(&guarded) + 6.0 * spent(&[guarded.ln_guardrail()]);
        let all = spent(&[guarded.ln_alarm(), frozen, frozen, found, found]) + routes_too;
        assert!((all - 0.001).abs() < 1e-12, "{all}");
        let mirrored = JudgeSettings { mirrors: true, ..settings };
        let all = spent(&[mirrored.ln_alarm(), frozen, frozen, found, found, mirrored.ln_pairs()]) + routes(&mirrored);
        assert!((all - 0.001).abs() < 1e-12, "{all}");
        settings.ceilings.failures = Probability::new(0.01);
        let alarm = settings.ln_alarm();
        let all = spent(&[alarm, alarm, frozen, found, found]) + routes(&settings);
        assert!((all - 0.001).abs() < 1e-12, "{all}");
    }
}
